"""Keeps native output off the screen: file descriptors 1 and 2 go to a log while the app runs.

A library that prints a warning would tear the picture. Textual draws through `sys.__stderr__` and
asks `sys.__stdout__` for the terminal's size, so both get descriptors of their own first; whatever
writes to 1 or 2 directly, C code included, lands in the log.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LIMIT = 4 * 1024 * 1024  # bytes; a longer log is begun anew


@contextmanager
def guarded_stderr(log: Path) -> Iterator[None]:
    """While the block runs, output to fd 1 and 2 lands in `log`; afterwards all is as before.

    A log that cannot be opened is no reason not to start: /dev/null takes its place.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    python = (sys.__stdout__, sys.__stderr__)
    terminals = [os.dup(fd) for fd in (1, 2)]
    own = [os.fdopen(os.dup(fd), "w", encoding="utf-8", errors="replace") for fd in terminals]
    sys.__stdout__, sys.__stderr__ = own  # type: ignore[misc]
    sink = _sink(log)
    for fd in (1, 2):
        os.dup2(sink, fd)
    os.close(sink)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr, *own):
            _flush(stream)
        for fd, terminal in zip((1, 2), terminals, strict=True):
            os.dup2(terminal, fd)
            os.close(terminal)
        sys.__stdout__, sys.__stderr__ = python  # type: ignore[misc]
        for stream in own:
            _close(stream)


def _sink(log: Path) -> int:
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        fresh = os.O_TRUNC if log.exists() and log.stat().st_size > LIMIT else os.O_APPEND
        return os.open(log, os.O_WRONLY | os.O_CREAT | fresh, 0o600)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY)


def _flush(stream: object) -> None:
    try:
        stream.flush()  # type: ignore[attr-defined]
    except (OSError, ValueError):
        pass  # the terminal has gone


def _close(stream: object) -> None:
    try:
        stream.close()  # type: ignore[attr-defined]
    except OSError:
        pass
