"""Keeps native output off the screen: file descriptor 2 goes to a log while the app runs.

Textual draws on fd 2's terminal through its own descriptor; a library that prints a warning there
would tear the picture. Python's sys.__stderr__ is what Textual writes to, so it is given a
descriptor of its own first.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def guarded_stderr(log: Path) -> Iterator[None]:
    """While the block runs, whatever writes to fd 2 lands in `log`; afterwards all is as before.

    A log that cannot be opened is no reason not to start: /dev/null takes its place.
    """
    sys.stderr.flush()
    terminal = os.dup(2)
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        sink = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError:
        sink = os.open(os.devnull, os.O_WRONLY)
    original = sys.__stderr__
    screen = os.fdopen(os.dup(terminal), "w", encoding="utf-8", errors="replace")
    sys.__stderr__ = screen  # type: ignore[misc]
    os.dup2(sink, 2)
    os.close(sink)
    try:
        yield
    finally:
        screen.flush()
        os.dup2(terminal, 2)
        os.close(terminal)
        sys.__stderr__ = original  # type: ignore[misc]
        screen.close()
