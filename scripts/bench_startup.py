"""Time from starting halo-tui in a terminal to its first chat frame, with the memory and without.

`python scripts/bench_startup.py [RUNS]`: the two take turns, each with a home of its own.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import statistics
import struct
import sys
import tempfile
import termios
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SEEN = b"is listening"  # the empty conversation
SETTINGS = {"memory": "", "without": "[memory]\nenabled = false\n"}


def drain(fd: int, seconds: float) -> bytes:
    """What the app writes within some time."""
    ready, _, _ = select.select([fd], [], [], seconds)
    try:
        return os.read(fd, 65536) if ready else b""
    except OSError:
        return b""


def once(settings: str) -> float:
    """Seconds to the first frame of one start. Raises TimeoutError after a minute."""
    with tempfile.TemporaryDirectory() as home:
        Path(home, "config.toml").write_text(f"[chat]\nthinking = true\n{settings}")
        env = {
            **os.environ,
            "HALO_TUI_HOME": home,
            "PYTHONPATH": str(ROOT),
            "TERM": "xterm-256color",
        }
        began = time.monotonic()
        pid, fd = pty.fork()
        if pid == 0:
            os.execve(sys.executable, [sys.executable, "-m", "tui.cli"], env)
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        written = b""
        while SEEN not in written:
            written += drain(fd, 0.5)
            if time.monotonic() - began > 60:
                raise TimeoutError("no frame within a minute")
        seconds = time.monotonic() - began
        settled = time.monotonic() + 3
        while time.monotonic() < settled:
            drain(fd, 0.2)
        os.kill(pid, signal.SIGTERM)
        while os.waitpid(pid, os.WNOHANG)[0] == 0:
            drain(fd, 0.1)
        os.close(fd)
        return seconds


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 6
    times: dict[str, list[float]] = {name: [] for name in SETTINGS}
    for _ in range(runs):
        for name, settings in SETTINGS.items():
            times[name].append(once(settings))
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, values in times.items():
        print(f"{name:8} median {medians[name]:.2f} s  ({', '.join(f'{v:.2f}' for v in values)})")
    print(f"ratio    {medians['memory'] / medians['without']:.2f}")


if __name__ == "__main__":
    main()
