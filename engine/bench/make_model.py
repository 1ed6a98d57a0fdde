"""Writes a random-weight model of about half a billion parameters, for timing only.

The shape is a small Qwen3's (24 layers, width 1024, 16 query and 8 KV heads of 64, vocabulary
32,768), every weight Q8_0. The blocks are drawn directly as quantised bytes and reused for tensors
of one shape, so that writing needs little memory and a few seconds.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine.bench.random_gguf import Shape, cached, norms, writing

SHAPE = Shape(24, 1024, 16, 8, 64, 3072, 32_768)


def q8_blocks(rows: int, columns: int, rng: np.random.Generator) -> np.ndarray:
    """Random Q8_0 rows, uint8 [rows, columns / 32 * 34]: an f16 scale and 32 int8 per block."""
    blocks = columns // 32
    data = np.empty((rows, blocks, 34), np.uint8)
    scale = np.float16(1.6 / np.sqrt(columns) / 127)
    data[:, :, :2] = np.frombuffer(scale.tobytes(), np.uint8)
    data[:, :, 2:] = rng.integers(-127, 128, (rows, blocks, 32), np.int8).view(np.uint8)
    return data.reshape(rows, blocks * 34)


def write(path: Path) -> None:
    """Write the model; the file appears whole or not at all."""
    import gguf

    rng = np.random.default_rng(7)
    made: dict[tuple[int, int], np.ndarray] = {}
    with writing(path, "qwen3", "half-b random", "MOSTLY_Q8_0", SHAPE) as w:

        def matrix(name: str, rows: int, columns: int) -> None:
            if (rows, columns) not in made:
                made[rows, columns] = q8_blocks(rows, columns, rng)
            w.add_tensor(name, made[rows, columns], raw_dtype=gguf.GGMLQuantizationType.Q8_0)

        width, head = SHAPE.width, SHAPE.head
        matrix("token_embd.weight", SHAPE.vocab, width)
        matrix("output.weight", SHAPE.vocab, width)
        norms(w, SHAPE)
        for i in range(SHAPE.layers):
            block = f"blk.{i}."
            matrix(block + "attn_q.weight", SHAPE.heads * head, width)
            matrix(block + "attn_k.weight", SHAPE.kv_heads * head, width)
            matrix(block + "attn_v.weight", SHAPE.kv_heads * head, width)
            matrix(block + "attn_output.weight", width, SHAPE.heads * head)
            matrix(block + "ffn_gate.weight", SHAPE.ff, width)
            matrix(block + "ffn_up.weight", SHAPE.ff, width)
            matrix(block + "ffn_down.weight", width, SHAPE.ff)


def half_b(cache: Path) -> Path:
    """The model's file in the cache folder, written on first use."""
    return cached(cache, "half-b-q8_0-v1.gguf", write)
