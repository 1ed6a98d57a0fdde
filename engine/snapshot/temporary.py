"""The unfinished file beside a snapshot: made, locked while in use, swept when its writer died."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import time
from pathlib import Path

_PATTERN = re.compile(r"\..+\.[0-9a-f]{16}\.halo-part")
_OLD = 24 * 3600.0  # seconds; for file systems without locks


def create(target: Path) -> tuple[int, Path]:
    """Make and lock a hidden file beside `target`, readable by its owner only.

    Returns the descriptor and the path. Raises OSError.
    """
    while True:
        stem = os.fsdecode(os.fsencode(target.name)[:200])  # a name has 255 bytes at most
        path = target.with_name(f".{stem}.{secrets.token_hex(8)}.halo-part")
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with contextlib.suppress(OSError):  # some network file systems cannot lock
            fcntl.flock(fd, fcntl.LOCK_EX)
        if os.fstat(fd).st_nlink:
            return fd, path
        os.close(fd)  # a sweep came between creation and lock


def sweep(folder: Path) -> list[Path]:
    """Remove what killed writers left in a folder; returns what was removed. Never raises."""
    removed = []
    with contextlib.suppress(OSError):
        for path in sorted(folder.iterdir()):
            if _PATTERN.fullmatch(path.name) and _remove(path):
                removed.append(path)
    return removed


def _remove(path: Path) -> bool:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False  # its writer lives
        except OSError:
            if time.time() - os.fstat(fd).st_mtime < _OLD:
                return False
        path.unlink()
        return True
    except OSError:
        return False
    finally:
        os.close(fd)
