"""Which model a snapshot belongs to: a hash of what the file contains, not of its name."""

from __future__ import annotations

import hashlib
from pathlib import Path

from engine.core.preflight import parts_of, read_header, read_tensor_table
from engine.errors import ModelError

_WHOLE = 64 << 20  # bytes; files up to here are hashed whole
_SAMPLES, _SAMPLE = 512, 64 << 10  # of larger ones: so many pieces of so many bytes


def fingerprint(path: Path) -> str:
    """32 hex digits over metadata (architecture, sizes, tokenizer), tensor table and weights.

    Of weights beyond 64 MiB evenly spaced pieces are read, 32 MiB altogether, so that a model of
    100 GB takes a second. Raises ModelError when the file cannot be read.
    """
    header = read_header(path)
    digest = hashlib.blake2b(digest_size=16)
    try:
        with path.open("rb") as file:
            digest.update(file.read(header.tensors_at))
        digest.update(repr(read_tensor_table(header)).encode())
        for part in parts_of(path):
            size = part.stat().st_size
            digest.update(size.to_bytes(8, "little"))
            with part.open("rb") as file:
                if size <= _WHOLE:
                    while piece := file.read(1 << 20):
                        digest.update(piece)
                    continue
                for index in range(_SAMPLES):
                    file.seek((size - _SAMPLE) * index // (_SAMPLES - 1))
                    digest.update(file.read(_SAMPLE))
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.", "Check the disk.") from None
    return digest.hexdigest()
