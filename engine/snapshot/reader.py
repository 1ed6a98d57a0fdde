"""Reading a snapshot that is whole; everything is checked before it is handed out."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from engine.snapshot.container import (
    MAX_LOCAL,
    Entry,
    Malformed,
    check_tail,
    header_size,
    local,
    max_tail,
    place,
)
from engine.snapshot.errors import SnapshotError, damaged
from engine.snapshot.manifest import MANIFEST, TALK, TOKENS, Manifest
from engine.snapshot.source import Source


class Snapshot:
    """An open snapshot whose structure is right; `part` reads and checks one part.

    Close it, or use it as a context manager; what was handed out stays valid.
    """

    def __init__(self, source: Source) -> None:
        """Raises SnapshotError when the structure is wrong; the source stays open."""
        self._source = source
        self.manifest, size = source.manifest()
        self._places = check_structure(source, self.manifest, size)

    @property
    def names(self) -> tuple[str, ...]:
        """The parts in the order of the file."""
        return tuple(part.name for part in self.manifest.parts)

    def part(self, name: str) -> memoryview:
        """The raw bytes of a part, checked against its digest; each call reads them anew.

        Raises SnapshotError for a part that is damaged or not there.
        """
        return memoryview(self._load(name)).toreadonly()

    @property
    def talk(self) -> bytes:
        """talk.json. Raises SnapshotError."""
        return bytes(self._load(TALK))

    @property
    def tokens(self) -> bytes:
        """tokens.json. Raises SnapshotError."""
        return bytes(self._load(TOKENS))

    def _load(self, name: str) -> bytes | bytearray:
        info = self.manifest.part(name)
        if info is None:
            raise SnapshotError(f"The snapshot {self._source.path} has no part {name}.", part=name)
        return self._source.load(info, self._places[name] + header_size(name))

    def close(self) -> None:
        """Give the file back."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def peek(path: Path) -> Manifest:
    """Read and check the manifest alone: a few kilobytes, for lists of hundreds of files.

    A file that is too short for its parts is refused too; other damage to them goes unseen.
    Raises SnapshotError.
    """
    with Source(path) as source:
        manifest, size = source.manifest()
        _, end = place(manifest, size)
        if end > source.size:
            raise _cut(source)
        return manifest


def read(path: Path) -> Snapshot:
    """Open a snapshot and check its structure; the parts are read and checked when asked for.

    Damage to a part that nobody asks for is found by `verify` only. Raises SnapshotError.
    """
    source = Source(path)
    try:
        return Snapshot(source)
    except BaseException:
        source.close()
        raise


def check_structure(source: Source, manifest: Manifest, size: int) -> dict[str, int]:
    """Check every ZIP structure against the manifest (of `size` bytes in the file).

    Returns where the header of each part stands. Raises SnapshotError.
    """
    path = source.path
    places, start = place(manifest, size)
    if start > source.size:
        raise _cut(source)
    entries = []
    expected = [(MANIFEST, 0, size)]
    expected += [(part.name, places[part.name], part.stored) for part in manifest.parts]
    for name, at, stored in expected:
        entries.append(_header(source, name, at, stored))
    if source.size - start > max_tail(len(entries)):
        raise SnapshotError(f"The snapshot {path} goes on after its end.", _SALVAGE)
    try:
        check_tail(source.bytes_at(start, source.size - start), start, entries)
    except Malformed as error:
        raise SnapshotError(f"The snapshot {path} is damaged: {error}.", _SALVAGE) from None
    return places


_SALVAGE = "`halo-tui sessions import` gets back what is intact."


def _cut(source: Source) -> SnapshotError:
    return SnapshotError(
        f"The snapshot {source.path} was cut: only {source.size} bytes are left.", _SALVAGE
    )


def _header(source: Source, name: str, at: int, stored: int) -> Entry:
    try:
        entry = local(source.bytes_at(at, MAX_LOCAL), at)
    except Malformed as error:
        raise damaged(source.path, name, str(error)) from None
    if entry.name != name or entry.size != stored:
        raise damaged(source.path, name, "its header contradicts the manifest")
    return entry
