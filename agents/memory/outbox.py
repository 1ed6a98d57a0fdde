"""The queue on disk: what was said and is not in the graph yet, or has to leave it.

One JSON object a line. Entries are taken off after the graph has acknowledged them, so that a crash
repeats some; taking in is idempotent. An entry is in the operating system's hands when `put`
returns, and on the disk after the next `sync`.
"""

from __future__ import annotations

import json
import os
import threading
from collections import deque
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from agents.memory.types import Note

REWRITE = 256  # entries taken off before the file is written anew


@dataclass(frozen=True, slots=True)
class Entry:
    """A note to take in, or ids of notes to take out."""

    note: Note | None = None
    remove: tuple[str, ...] = field(default=())


class Outbox:
    """A queue that survives the process. Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._entries: deque[Entry] = deque()
        self._taken = 0
        self._file: IO[str] | None = None
        self._dirty = False

    def open(self) -> None:
        """Read what waits from last time. Raises OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.path.exists():
            for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
                entry = _read(line)
                if entry is not None:
                    self._entries.append(entry)
        self._file = self.path.open("a", encoding="utf-8")

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, entry: Entry) -> None:
        """Add an entry. When the disk refuses, it waits in memory only; OSError says so."""
        with self._lock:
            self._entries.append(entry)
            if self._file is not None:
                self._file.write(_line(entry))
                self._file.flush()
                self._dirty = True

    def first(self, count: int) -> list[Entry]:
        """The oldest entries, up to `count`, all notes or one removal."""
        with self._lock:
            found: list[Entry] = []
            for entry in self._entries:
                if entry.note is None:
                    return found or [entry]
                found.append(entry)
                if len(found) == count:
                    break
            return found

    def taken(self, count: int) -> None:
        """The oldest entries are in the graph."""
        with self._lock:
            for _ in range(count):
                self._entries.popleft()
            self._taken += count
            if self._file is not None and (not self._entries or self._taken >= REWRITE):
                self._rewrite()

    def sync(self) -> None:
        """Put what was added on the disk itself."""
        with self._lock:
            if self._dirty and self._file is not None:
                os.fsync(self._file.fileno())
                self._dirty = False

    def close(self) -> None:
        """Keep what waits for the next start."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _rewrite(self) -> None:
        beside = self.path.with_suffix(".new")
        with beside.open("w", encoding="utf-8") as file:
            file.writelines(_line(entry) for entry in self._entries)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, self.path)
        if self._file is not None:
            self._file.close()
        self._file = self.path.open("a", encoding="utf-8")
        self._taken = 0


def _line(entry: Entry) -> str:
    value: dict[str, Any] = (
        {"note": asdict(entry.note)} if entry.note is not None else {"remove": list(entry.remove)}
    )
    return json.dumps(value) + "\n"


def _read(line: str) -> Entry | None:
    try:
        value = json.loads(line)
        if "note" in value:
            return Entry(Note(**value["note"]))
        return Entry(remove=tuple(str(id) for id in value["remove"]))
    except (ValueError, TypeError, KeyError):
        return None  # the line that was being written when the machine stopped
