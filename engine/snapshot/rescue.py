"""Salvage: whatever is intact in a damaged snapshot, the conversation before all else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Self

from engine.snapshot.coding import STEP
from engine.snapshot.container import MAX_LOCAL, Entry, Malformed, header_size, local, place
from engine.snapshot.errors import NewerFormat, SnapshotError
from engine.snapshot.manifest import COPIES, MANIFEST, NONE, TALK, TOKENS, Manifest, PartInfo
from engine.snapshot.source import Source

TRIES = 16  # headers tried for each name, so that a file made of headers ends too
_WANTED = (*COPIES, *COPIES.values())
_HEADER = re.compile(
    rb"PK\x03\x04.{26}(?:%s)" % b"|".join(re.escape(name.encode()) for name in _WANTED), re.DOTALL
)


class Salvaged:
    """What came back. `talk` and `tokens` are None when both copies are lost.

    `lost` names every part that did not come back, second copies and the manifest included;
    `part` reads the others. Without a manifest only the conversation can come back: nothing says
    which model the rest belongs to. Close it, or use it as a context manager.
    """

    def __init__(self, source: Source) -> None:
        """Raises SnapshotError for a snapshot of a newer version or a file of another kind."""
        self._source = source
        self._intact: dict[str, int] = {}  # name -> where its bytes start
        self.manifest: Manifest | None = None
        self.lost: tuple[str, ...] = ()
        try:
            self.manifest, size = source.manifest()
        except NewerFormat:
            raise
        except SnapshotError as error:
            self.lost = (MANIFEST,)
            refused = error
        if self.manifest is not None:
            self._follow(self.manifest, size)
        self.talk = self._conversation(TALK)
        self.tokens = self._conversation(TOKENS)
        if self.manifest is None and self.talk is None and self.tokens is None:
            if not refused.part:
                raise refused  # another kind of file
            raise SnapshotError(f"Nothing of the snapshot {source.path} is intact.")

    @property
    def intact(self) -> tuple[str, ...]:
        """Names of the parts that `part` gives."""
        return tuple(self._intact)

    def part(self, name: str) -> memoryview:
        """The raw bytes of an intact part. Raises SnapshotError."""
        info = self.manifest.part(name) if self.manifest else None
        if info is None or name not in self._intact:
            raise SnapshotError(f"{name} of {self._source.path} is lost.", part=name)
        return memoryview(self._source.load(info, self._intact[name])).toreadonly()

    def close(self) -> None:
        """Give the file back."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _follow(self, manifest: Manifest, size: int) -> None:
        """Try every part where the manifest puts it, whatever its header has become."""
        places, _ = place(manifest, size)
        lost = []
        for info in manifest.parts:
            at = places[info.name] + header_size(info.name)
            try:
                self._source.check(info, at)
            except SnapshotError:
                lost.append(info.name)
            else:
                self._intact[info.name] = at
        self.lost += tuple(lost)

    def _conversation(self, name: str) -> bytes | None:
        """talk.json or tokens.json from either copy, or from where a header says."""
        for copy in (name, COPIES[name]):
            info = self.manifest.part(copy) if self.manifest else None
            if info is not None and copy in self._intact:
                return bytes(self._source.load(info, self._intact[copy]))
        info = self.manifest.part(name) if self.manifest else None
        for copy in (name, COPIES[name]):
            for entry in self._entries[copy]:
                data = self._checked(entry, info)
                if data is not None:
                    return data
        if name not in self.lost:
            self.lost += (name,)
        return None

    def _checked(self, entry: Entry, info: PartInfo | None) -> bytes | None:
        """The bytes under a header when they are what was saved."""
        if not self._source.inside(entry.at, entry.size):
            return None
        if info is None:
            if self._source.crc(entry.at, entry.size) != entry.crc:
                return None
            return self._source.bytes_at(entry.at, entry.size)
        if info.coding != NONE or info.raw != entry.size:
            return None
        try:
            return bytes(self._source.load(info, entry.at))
        except SnapshotError:
            return None

    @cached_property
    def _entries(self) -> dict[str, list[Entry]]:
        """Headers of the conversation anywhere in the file."""
        found: dict[str, list[Entry]] = {name: [] for name in _WANTED}
        for entry in scan(self._source):
            entries = found[entry.name]
            entries.append(entry)
            if len(entries) > TRIES:
                # The first copies stand first in the file and the second ones last.
                entries.pop(0 if entry.name in COPIES.values() else -1)
        for name in COPIES.values():
            found[name].reverse()
        return found


def scan(source: Source) -> Iterator[Entry]:
    """Local headers of the conversation, found by their bytes alone, STEP of the file at a time."""
    for at in range(0, source.size, STEP):
        data = source.bytes_at(at, STEP + MAX_LOCAL)
        for match in _HEADER.finditer(data):
            if match.start() >= STEP:
                break  # the next stretch has it
            try:
                entry = local(data[match.start() : match.start() + MAX_LOCAL], at + match.start())
            except Malformed:
                continue
            if entry.name in _WANTED:
                yield entry


def salvage(path: Path) -> Salvaged:
    """Get back whatever is intact.

    The conversation survives any single flipped byte, and any cut behind tokens.json. Raises
    SnapshotError when nothing is left, the file cannot be read, or a newer halo-tui wrote it.
    """
    source = Source(path)
    try:
        return Salvaged(source)
    except BaseException:
        source.close()
        raise
