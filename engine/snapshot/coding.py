"""zstd, one part at a time, with bounds on both sides."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from engine.snapshot.manifest import limit

if TYPE_CHECKING or sys.version_info < (3, 14):
    from backports import zstd
else:
    from compression import zstd

LEVEL = 3
WINDOW_LOG = 20  # a reader never allocates a larger window, whatever a frame asks for
STEP = 1 << 20  # bytes read, packed or unpacked at a time
_SKIPPABLE = b"\x50\x2a\x4d\x18"  # a frame that every zstd reader passes over


class Undecodable(Exception):
    """The stored bytes do not unpack to what the manifest says."""


def pack(pieces: Iterable[memoryview]) -> Iterator[memoryview]:
    """Compress; what shrinks beyond the reader's bound is filled up with an empty frame."""
    packer = zstd.ZstdCompressor(
        options={
            zstd.CompressionParameter.compression_level: LEVEL,
            zstd.CompressionParameter.window_log: WINDOW_LOG,
        }
    )
    raw = stored = 0
    for piece in pieces:
        raw += len(piece)
        out = packer.compress(piece)
        stored += len(out)
        if out:
            yield memoryview(out)
    out = packer.flush()
    stored += len(out)
    yield memoryview(out)
    while raw > limit(stored):
        missing = raw // 200 + 1 - stored
        fill = min(max(missing - 8, 0), STEP)
        yield memoryview(_SKIPPABLE + fill.to_bytes(4, "little") + bytes(fill))
        stored += 8 + fill


def unpack(pieces: Iterable[bytes | memoryview], size: int) -> Iterator[bytes]:
    """Decompress to exactly `size` bytes, at most STEP of them at a time.

    Raises Undecodable.
    """
    unpacker = zstd.ZstdDecompressor(
        options={zstd.DecompressionParameter.window_log_max: WINDOW_LOG}
    )
    done = 0
    try:
        for piece in pieces:
            if unpacker.eof:
                continue  # the filling; the digest of the whole file protects it
            out = unpacker.decompress(piece, STEP)
            while True:
                done += len(out)
                if done > size:
                    raise Undecodable("it unpacks to more than it should")
                if out:
                    yield out
                if unpacker.eof or unpacker.needs_input:
                    break
                out = unpacker.decompress(b"", STEP)
    except (zstd.ZstdError, EOFError) as error:
        raise Undecodable(f"it does not unpack ({error})") from None
    if not unpacker.eof or done != size:
        raise Undecodable("it unpacks to less than it should")
