"""manifest.json: what a snapshot holds, and where; the layout of the file follows from it."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from engine.snapshot.errors import NewerFormat, damaged

SUFFIX = ".halo"
FORMAT = 1
MANIFEST = "manifest.json"
TALK = "talk.json"
TOKENS = "tokens.json"
COPIES = {TALK: "talk.copy.json", TOKENS: "tokens.copy.json"}
NONE = "none"
ZSTD = "zstd"

MAX_PARTS = 64
MAX_MANIFEST = 1 << 20  # bytes
MAX_SIZE = 1 << 46  # bytes of one part; far above any state, far below overflow
SMALL = 1 << 20  # bytes that a zstd part may unpack to, however short it is
RATIO = 200  # else: raw bytes for each stored byte

_NAME = re.compile(r"[a-z0-9_][a-z0-9_.-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


Scalar = str | int | float | bool | None


class PartInfo(msgspec.Struct, frozen=True):
    """One part of the file."""

    name: str
    raw: int  # bytes as given to `write`
    stored: int  # bytes in the file
    coding: str  # "none" or "zstd"
    blake2b: str  # BLAKE2b-256 of the raw bytes, hexadecimal


class Manifest(msgspec.Struct, kw_only=True):
    """manifest.json; lists of snapshots show it."""

    format: int = FORMAT
    app: str  # version of halo-tui that wrote it
    saved_at: float  # seconds since 1970, UTC
    fingerprint: str  # of the model
    kv: dict[str, Scalar] = {}  # types of the cache
    about: dict[str, Scalar] = {}  # agent, title, turns, tokens, cells, ...
    parts: tuple[PartInfo, ...] = ()

    def part(self, name: str) -> PartInfo | None:
        """The part of this name, or None."""
        return next((part for part in self.parts if part.name == name), None)


class _Version(msgspec.Struct):
    format: int


def check_name(name: str) -> bool:
    """Whether a part may have this name: no separators, not hidden, nothing like an option."""
    return _NAME.fullmatch(name) is not None


def limit(stored: int) -> int:
    """Bytes that a zstd part of `stored` bytes may unpack to."""
    return max(SMALL, RATIO * stored)


def decode(data: bytes, path: Path) -> Manifest:
    """Read manifest.json and check every field of it. Raises SnapshotError."""
    try:
        version = msgspec.json.decode(data, type=_Version).format
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise damaged(path, MANIFEST, "it is not a manifest") from None
    if version > FORMAT:
        raise NewerFormat(
            f"{path} was saved by a newer halo-tui (format {version}; this one reads {FORMAT}).",
            "Update halo-tui to open it.",
        )
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise damaged(path, MANIFEST, str(error)[:200]) from None
    if version != FORMAT:
        raise damaged(path, MANIFEST, f"there is no format {version}")
    if len(manifest.parts) > MAX_PARTS:
        raise damaged(path, MANIFEST, f"it lists {len(manifest.parts)} parts")
    seen = {MANIFEST}
    for part in manifest.parts:
        _check(part, seen, path)
    return manifest


def _check(part: PartInfo, seen: set[str], path: Path) -> None:
    if not check_name(part.name):
        raise damaged(path, MANIFEST, f"a part has the name {part.name[:80]!r}")
    if part.name in seen:
        raise damaged(path, MANIFEST, f"{part.name} is listed twice")
    seen.add(part.name)
    if not (0 <= part.raw <= MAX_SIZE and 0 <= part.stored <= MAX_SIZE):
        raise damaged(path, MANIFEST, f"the size of {part.name} is absurd")
    if part.coding not in (NONE, ZSTD) or not _DIGEST.fullmatch(part.blake2b):
        raise damaged(path, MANIFEST, f"{part.name} has an unknown coding or digest")
    if part.coding == NONE and part.raw != part.stored:
        raise damaged(path, MANIFEST, f"the sizes of {part.name} contradict each other")
    if part.coding == ZSTD and part.raw > limit(part.stored):
        raise damaged(path, MANIFEST, f"{part.name} would unpack to {part.raw} bytes")
