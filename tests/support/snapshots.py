"""Small snapshots for tests."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.snapshot import Manifest, write

TALK_BYTES = b'{"messages": ["hello", "hello yourself"]}'
TOKENS_BYTES = b'{"tokens": [1, 2, 3], "fold": null}'


def save(path: Path, content: Mapping[str, Any], *, compress: bool = False) -> Manifest:
    """Write a snapshot at a fixed time, so that its length is always the same."""
    return write(
        path,
        content,
        fingerprint="tiny",
        kv={"kv_k": "f16", "kv_v": "f16"},
        about={"agent": "ada", "turns": 2},
        saved_at=1.7e9,
        compress=compress,
    )


def parts(size: int = 900) -> dict[str, bytes]:
    """Parts with a state of `size` bytes."""
    state = random.Random(7).randbytes(size // 2) + bytes(size - size // 2)
    return {
        "talk.json": TALK_BYTES,
        "tokens.json": TOKENS_BYTES,
        "bias.npy": bytes(range(80)),
        "state.bin": state,
    }


def make(path: Path, *, compress: bool = False, size: int = 900) -> bytes:
    """Write one and return its bytes."""
    save(path, parts(size), compress=compress)
    return path.read_bytes()
