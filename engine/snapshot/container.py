"""The ZIP structures of a snapshot, read strictly: one layout is right, all others are refused.

Every local header has a ZIP64 field, so that its length follows from the name alone and the place
of each part follows from the manifest: a damaged header hides nothing that comes after it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from engine.snapshot.manifest import MANIFEST, MAX_MANIFEST, Manifest

MAGIC = b"PK\x03\x04"
COMMENT = b"halo1 "
COMMENT_LENGTH = len(COMMENT) + 64
DIGEST_SIZE = 32  # BLAKE2b-256

_LOCAL = struct.Struct("<4s5H3L2H")
_LOCAL64 = struct.Struct("<HHQQ")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_MAX32 = 0xFFFFFFFF
_MAX16 = 0xFFFF
MAX_LOCAL = _LOCAL.size + 64 + _LOCAL64.size


class Malformed(Exception):
    """A structure is not as `write` makes it; the text says in what."""


@dataclass(frozen=True)
class Entry:
    """One part as its local header describes it; `at` is where its bytes start."""

    name: str
    header: int  # offset of the local header
    at: int
    size: int  # bytes
    crc: int


def header_size(name: str) -> int:
    """Bytes of the local header of a part."""
    return _LOCAL.size + len(name) + _LOCAL64.size


def local(data: bytes, offset: int) -> Entry:
    """Read the local header at the start of `data`, which stands at `offset` of the file.

    Raises Malformed.
    """
    if len(data) < _LOCAL.size or not data.startswith(MAGIC):
        raise Malformed("there is no header")
    fields = _LOCAL.unpack_from(data)
    flags, method, crc, packed, size, name_length, extra_length = (
        *fields[2:4],
        *fields[6:11],
    )
    if flags or method:
        raise Malformed("it is compressed or encrypted by ZIP")
    end = _LOCAL.size + name_length + _LOCAL64.size
    if not 0 < name_length <= 64 or extra_length != _LOCAL64.size or len(data) < end:
        raise Malformed("its header is too long or too short")
    kind, length, size64, packed64 = _LOCAL64.unpack_from(data, end - _LOCAL64.size)
    if (kind, length) != (1, 16) or size64 != packed64 or packed != size or size != _MAX32:
        raise Malformed("the sizes in its header contradict each other")
    name = data[_LOCAL.size : _LOCAL.size + name_length].decode("latin-1")
    return Entry(name, offset, offset + end, size64, crc)


def place(manifest: Manifest, manifest_size: int) -> tuple[dict[str, int], int]:
    """Where the header of each part stands, and where the central directory starts."""
    at = header_size(MANIFEST) + manifest_size
    places = {}
    for part in manifest.parts:
        places[part.name] = at
        at += header_size(part.name) + part.stored
    return places, at


def max_tail(count: int) -> int:
    """The most bytes that the central directory of `count` entries and what follows may have."""
    longest = _CENTRAL.size + 64 + 28
    return count * longest + _END64.size + _LOCATOR.size + _END.size + COMMENT_LENGTH


def check_tail(tail: bytes, start: int, entries: list[Entry]) -> None:
    """Check the central directory (at offset `start`) against the local headers.

    Raises Malformed.
    """
    at = 0
    for entry in entries:
        at += _check_central(tail, at, entry)
    directory = at
    big = len(entries) >= _MAX16 or directory > _MAX32 or start > _MAX32
    if tail[at : at + 4] == b"PK\x06\x06":
        big = True
        if len(tail) < at + _END64.size + _LOCATOR.size:
            raise Malformed("the file ends early")
        end64 = _END64.unpack_from(tail, at)
        if end64[4:6] != (0, 0) or end64[6:] != (len(entries), len(entries), directory, start):
            raise Malformed("the end record contradicts the parts")
        locator = _LOCATOR.unpack_from(tail, at + _END64.size)
        if locator != (b"PK\x06\x07", 0, start + directory, 1):
            raise Malformed("the end record is damaged")
        at += _END64.size + _LOCATOR.size
    if len(tail) != at + _END.size + COMMENT_LENGTH:
        raise Malformed("the file ends early or goes on too long")
    end = _END.unpack_from(tail, at)
    size, offset = end[5:7]
    sizes_ok = size == directory or (big and size == _MAX32)
    offset_ok = offset == start or (big and offset == _MAX32)
    if end[0] != b"PK\x05\x06" or end[1:5] != (0, 0, len(entries), len(entries)):
        raise Malformed("the end record is damaged")
    if not (sizes_ok and offset_ok) or end[7] != COMMENT_LENGTH:
        raise Malformed("the end record contradicts the parts")
    if not tail.startswith(COMMENT, at + _END.size):
        raise Malformed("the digest of the file is missing")


def _check_central(tail: bytes, at: int, entry: Entry) -> int:
    """Check one entry of the central directory; returns its length."""
    if len(tail) < at + _CENTRAL.size or tail[at : at + 4] != b"PK\x01\x02":
        raise Malformed("the directory is damaged")
    fields = _CENTRAL.unpack_from(tail, at)
    flags, method, crc, packed, size = (*fields[3:5], *fields[7:10])
    name_length, extra_length, comment_length, disk = fields[10:14]
    offset = fields[16]
    name_at = at + _CENTRAL.size
    name = tail[name_at : name_at + name_length]
    extra = tail[name_at + name_length : name_at + name_length + extra_length]
    if name != entry.name.encode("latin-1") or flags or method or comment_length or disk:
        raise Malformed(f"the directory is damaged at {entry.name}")
    wide = [value for value in (size, packed, offset) if value == _MAX32]
    expected = 4 + 8 * len(wide) if wide else 0
    if len(extra) != extra_length or extra_length != expected:
        raise Malformed(f"the directory is damaged at {entry.name}")
    if wide:
        kind, length, *values = struct.unpack(f"<HH{len(wide)}Q", extra)
        if (kind, length) != (1, 8 * len(wide)):
            raise Malformed(f"the directory is damaged at {entry.name}")
        size = values.pop(0) if size == _MAX32 else size
        packed = values.pop(0) if packed == _MAX32 else packed
        offset = values.pop(0) if offset == _MAX32 else offset
    if (size, packed, offset, crc) != (entry.size, entry.size, entry.header, entry.crc):
        raise Malformed(f"the directory and the header of {entry.name} contradict each other")
    return int(_CENTRAL.size + name_length + extra_length)


def manifest_entry(data: bytes) -> Entry | None:
    """The header of the manifest at the start of a file; None: this is not a snapshot.

    Raises Malformed for a header that is there but damaged.
    """
    wanted = MANIFEST.encode()
    name = data[_LOCAL.size : _LOCAL.size + len(wanted)]
    wrong = sum(a != b for a, b in zip(name, wanted, strict=False)) + len(wanted) - len(name)
    if wrong > 1 or (wrong and not data.startswith(MAGIC)):
        return None  # one flipped byte is damage; more is something else
    entry = local(data, 0)
    if wrong or entry.name != MANIFEST or not 2 <= entry.size <= MAX_MANIFEST:
        raise Malformed("its header is damaged")
    return entry
