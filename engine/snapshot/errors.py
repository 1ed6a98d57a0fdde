"""What a person reads when a snapshot cannot be written or read."""

from __future__ import annotations

import errno
from pathlib import Path

from engine.errors import HaloError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


class SnapshotError(HaloError):
    """A snapshot could not be written, or is not what it should be.

    `part` names the damaged part, or is "".
    """

    def __init__(self, what: str, remedy: str = "", part: str = "") -> None:
        super().__init__(what, remedy)
        self.part = part


class NewerFormat(SnapshotError):
    """The file is in order, but this halo-tui is too old for it."""


def damaged(path: Path, part: str, why: str) -> SnapshotError:
    """The error for a part whose bytes are not those that were saved."""
    return SnapshotError(
        f"The snapshot {path} is damaged in {part}: {why}.",
        "`halo-tui sessions import` gets back what is intact.",
        part,
    )


def not_written(path: Path, error: OSError) -> SnapshotError:
    """The error for a save that the system refused; the earlier file is untouched."""
    if error.errno in _FULL:
        return SnapshotError(
            f"There is no room on the disk to save {path}.", "Free some space and save again."
        )
    if error.errno in _FORBIDDEN:
        return SnapshotError(
            f"The folder {path.parent} does not let halo-tui save {path.name}.",
            "Correct its permissions or choose another folder.",
        )
    return SnapshotError(
        f"{path} could not be saved: {error.strerror or error}.", "Choose another folder."
    )


def not_read(path: Path, error: OSError) -> SnapshotError:
    """The error for a file that the system does not let us read."""
    return SnapshotError(f"The snapshot {path} cannot be read: {error.strerror or error}.")
