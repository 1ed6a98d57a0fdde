"""A matrix as a PNG: uses or pairs of experts as a heat map."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

COLD, WARM, HOT = (17, 21, 27), (95, 179, 249), (245, 166, 91)  # the app's own colours
SIDE = 1200  # pixels that the longer side has at most


def heat_png(path: Path, values: npt.ArrayLike) -> None:
    """Write a matrix [rows, columns], each row scaled to its own maximum. Raises OSError."""
    matrix = np.asarray(values, float)
    share = matrix / np.maximum(1e-12, matrix.max(1, keepdims=True))
    zoom = max(1, SIDE // max(matrix.shape))
    share = share.repeat(zoom, 0).repeat(zoom, 1)
    cold, warm, hot = (np.array(c, float) for c in (COLD, WARM, HOT))
    low = cold + (warm - cold) * np.minimum(1, 2 * share)[..., None]
    pixels = np.where(
        share[..., None] < 0.5, low, warm + (hot - warm) * np.maximum(0, 2 * share - 1)[..., None]
    ).astype(np.uint8)
    height, width = share.shape
    lines = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header)
    path.expanduser().write_bytes(
        data + _chunk(b"IDAT", zlib.compress(lines)) + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
