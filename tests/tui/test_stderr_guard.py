"""Native output cannot reach the screen while the app runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CODE = """
import ctypes, os, sys
from pathlib import Path
from tui.stderr_guard import guarded_stderr
libc = ctypes.CDLL(None)
os.write(2, b"before\\n")
with guarded_stderr(Path(sys.argv[1])):
    os.write(2, b"python noise\\n")
    libc.write(2, b"native noise\\n", 13)
    libc.write(1, b"native output\\n", 14)
    print("printed", flush=True)
    sys.__stderr__.write("drawn by the app\\n")
    sys.__stderr__.flush()
    sys.__stdout__.write("asked by the app\\n")
os.write(2, b"after\\n")
"""


def test_noise_goes_to_the_log_and_the_app_to_the_terminal(tmp_path: Path) -> None:
    log = tmp_path / "sub" / "noise.log"
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(log)], capture_output=True, text=True, check=True
    )
    assert done.stderr == "before\ndrawn by the app\nafter\n"
    assert done.stdout == "asked by the app\n", "the terminal's own stdout can still be asked"
    assert log.read_text() == "python noise\nnative noise\nnative output\nprinted\n"


def test_a_log_that_cannot_be_opened_does_not_stop_the_app(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(blocked / "noise.log")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == "before\ndrawn by the app\nafter\n"
