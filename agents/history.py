"""One agent's conversation on disk: a file of JSON lines that only grows while people talk.

Lines are records: who the agent is, a turn (a later line with the same id replaces it), more
text of a turn that is being written, a cut. What a crash can leave is a torn last line, which is
dropped; a damaged line in the middle is skipped and the rest kept. When the disk is full, lines
wait in memory and are written once there is space.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from agents.events import Turn

INTERRUPTED = "halo-tui ended before the answer was complete."
_REWRITE_BYTES = 1 << 20  # files beyond this are rewritten at start if less than half is in use


class Header(msgspec.Struct, tag_field="t", tag="agent", omit_defaults=True):
    """Who the agent is; enough to find it again when the list of agents is lost."""

    id: str
    name: str
    system: str = ""
    colour: str = ""
    sampling: dict[str, Any] = {}
    tools: list[str] = []
    created: float = 0.0
    memory: str = "shared"


class TurnLine(msgspec.Struct, tag_field="t", tag="turn"):
    """A whole turn."""

    turn: Turn


class MoreLine(msgspec.Struct, tag_field="t", tag="more", omit_defaults=True):
    """Text that was added to a turn since the last line about it."""

    id: str
    text: str = ""
    thinking: str = ""


class CutLine(msgspec.Struct, tag_field="t", tag="cut", omit_defaults=True):
    """All turns from `id` on are gone; "" = all turns."""

    id: str = ""


Line = Header | TurnLine | MoreLine | CutLine
_decoder = msgspec.json.Decoder(Line)


@dataclass
class Loaded:
    """What a file says. `faults` are sentences for the event log."""

    header: Header | None = None
    turns: list[Turn] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    good_bytes: int = 0  # up to here the file is whole lines


def parse(data: bytes, name: str = "history") -> Loaded:
    """Read the bytes of a history file; never raises."""
    loaded = Loaded()
    turns: dict[str, Turn] = {}
    damaged = 0
    start = 0
    while start < len(data):
        newline = data.find(b"\n", start)
        end = len(data) if newline < 0 else newline + 1
        line = data[start:end].strip()
        start = end
        if not line:
            loaded.good_bytes = end
            continue
        try:
            record = _decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if newline < 0:
                loaded.faults.append(f"{name}: the last line was torn and is dropped.")
                break
            damaged += 1
            loaded.good_bytes = end
            continue
        loaded.good_bytes = end
        _apply(record, loaded, turns)
    if damaged:
        lines = "1 damaged line was" if damaged == 1 else f"{damaged} damaged lines were"
        loaded.faults.append(f"{name}: {lines} skipped.")
    loaded.turns = list(turns.values())
    for turn in loaded.turns:
        interrupt(turn)
    return loaded


def interrupt(turn: Turn) -> None:
    """Nobody writes this turn any more: what was going on in it is over."""
    if turn.status in ("waiting", "streaming"):
        turn.status = "cancelled"
        turn.detail = INTERRUPTED
    for call in turn.calls:
        if call.status == "running":
            call.status = "cancelled"


def _apply(record: Line, loaded: Loaded, turns: dict[str, Turn]) -> None:
    match record:
        case Header():
            loaded.header = record
        case TurnLine(turn):
            turns[turn.id] = turn
        case MoreLine(id, text, thinking):
            if id in turns:
                turns[id].text += text
                turns[id].thinking += thinking
        case CutLine(id):
            if not id or id in turns:
                kept = list(turns)
                for gone in kept[kept.index(id) if id else 0 :]:
                    del turns[gone]


class HistoryFile:
    """Appends records to one file. No method raises OSError: see `error`.

    `error` is None while the disk takes everything; otherwise the last OSError, and the lines
    wait in memory until `flush` succeeds.
    """

    def __init__(self, path: Path, write: Callable[[int, bytes], int] = os.write) -> None:
        self.path = path
        self.error: OSError | None = None
        self._write = write
        self._fd = -1
        self._size = 0  # bytes of whole lines on disk
        self._waiting = bytearray()
        self._partial = ("", 0, 0)  # turn id, characters of text and thinking already recorded

    def load(self) -> Loaded:
        """Read the file and cut a torn end off, so that the next line starts on its own."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return Loaded()
        except OSError as error:
            self.error = error
            return Loaded(faults=[f"{self.path.name} cannot be read: {error.strerror}."])
        loaded = parse(data, self.path.name)
        self._size = loaded.good_bytes
        if loaded.good_bytes and data[loaded.good_bytes - 1 : loaded.good_bytes] != b"\n":
            self._waiting += b"\n"  # the last line was whole, only its end was missing
        in_use = sum(
            len(t.text) + len(t.thinking) + 300 + sum(len(c.result) * 2 + 300 for c in t.calls)
            for t in loaded.turns
        )
        if loaded.header and len(data) > _REWRITE_BYTES and in_use * 2 < len(data):
            self.rewrite(loaded.header, loaded.turns)
        return loaded

    def load_only(self) -> Loaded:
        """What the file says, without mending it: another process may be writing it."""
        try:
            return parse(self.path.read_bytes(), self.path.name)
        except FileNotFoundError:
            return Loaded()
        except OSError as error:
            return Loaded(faults=[f"{self.path.name} cannot be read: {error.strerror}."])

    def header(self, header: Header) -> None:
        """Record who the agent is (at creation and after each change)."""
        self._append(header)

    def turn(self, turn: Turn) -> None:
        """Record a turn as it is now."""
        self._partial = (turn.id, len(turn.text), len(turn.thinking))
        self._append(TurnLine(turn))

    def progress(self, turn: Turn) -> None:
        """Record what was added to a turn that is being written, if anything was."""
        id, text, thinking = self._partial
        if id != turn.id:
            self.turn(turn)
        elif len(turn.text) > text or len(turn.thinking) > thinking:
            self._partial = (id, len(turn.text), len(turn.thinking))
            self._append(MoreLine(id, turn.text[text:], turn.thinking[thinking:]))

    def cut(self, turn_id: str) -> None:
        """Record that all turns from this one on were removed."""
        self._append(CutLine(turn_id))

    def rewrite(self, header: Header, turns: Sequence[Turn]) -> None:
        """Replace the file by these turns, leaving no trace of earlier ones."""
        lines = [header, *(TurnLine(turn) for turn in turns)]
        data = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
        self.close()
        try:
            write_atomically(self.path, data, self._write)
        except OSError as error:
            # The file keeps its old lines; say the same by appending.
            self.error = error
            self._waiting += msgspec.json.encode(CutLine()) + b"\n" + data
            return
        self._size = len(data)
        self._waiting.clear()
        self.error = None

    def _append(self, line: Line) -> None:
        self._waiting += msgspec.json.encode(line) + b"\n"
        self.flush()

    def flush(self) -> bool:
        """Write what waits. Returns whether everything is in the file now."""
        if not self._waiting:
            return self.error is None
        try:
            if self._fd < 0:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if os.fstat(self._fd).st_size != self._size:
                os.ftruncate(self._fd, self._size)  # half a line from a failed attempt
            os.lseek(self._fd, self._size, os.SEEK_SET)
            data = bytes(self._waiting)
            done = 0
            while done < len(data):
                done += self._write(self._fd, data[done:])
        except OSError as error:
            self.error = error
            return False
        self._size += len(self._waiting)
        self._waiting.clear()
        self.error = None
        return True

    def sync(self) -> None:
        """Make the file survive a power cut. Blocks; call it off the event loop."""
        if self._fd >= 0:
            try:
                copy = os.dup(self._fd)  # the file may be closed meanwhile
                try:
                    os.fsync(copy)
                finally:
                    os.close(copy)
            except OSError:
                return  # the lines are written; the next write reports a failing disk

    def move(self, path: Path) -> None:
        """Rename the file (closing and reopening an agent). Raises OSError."""
        self.flush()
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            os.replace(self.path, path)
        self.path = path

    def close(self) -> None:
        """Write what waits, if it can be, and close the file. It reopens on the next line."""
        self.flush()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def write_atomically(
    path: Path, data: bytes, write: Callable[[int, bytes], int] = os.write
) -> None:
    """Write a file so that a crash leaves the old or the new one. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        try:
            done = 0
            while done < len(data):
                done += write(fd, data[done:])
            os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
