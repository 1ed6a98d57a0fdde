"""Faults of our own or of a library: written down in full, told in a sentence."""

from __future__ import annotations

import time
import traceback
from pathlib import Path

from engine import paths

LIMIT = 1024 * 1024  # bytes kept in the file


def record(error: BaseException) -> Path | None:
    """Append the traceback to faults.log in the logs folder. Returns the file, None if it cannot."""
    file = paths.state_dir() / "faults.log"
    text = "".join(traceback.format_exception(error))
    stamp = time.strftime("%Y-%m-%d %H:%M:%S")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        mode = "w" if file.exists() and file.stat().st_size > LIMIT else "a"
        with file.open(mode, encoding="utf-8") as stream:
            stream.write(f"--- {stamp}\n{text}\n")
    except OSError:
        return None
    return file


def sentence(error: BaseException) -> str:
    """What happened, in one line: "KeyError: 'x'"."""
    words = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
