"""Writes a random-weight mixture-of-experts model of about 3 GB, for timing only.

The shape is a slice of today's models: width 2048, 128 experts of 512 a layer, 8 used, but few
layers, so that the file stays small while one decoding step reads far more bytes than any
processor cache holds. The experts are BF16, of which a CPU computes more per second than its
memory delivers, as a GPU does of any type: reading is what a step waits for.

Routers are skewed as trained ones are. A router's logit is the sum of two parts: a popularity of
the expert, the same for every token, and a part that depends on the token. Both are made by the
weights alone: all embeddings share one direction, the routers' rows have a component along it
(popularity), and are random otherwise. `POPULARITY` and `CHOICE` are the two standard deviations;
`halo-tui bench experts` reports what comes of them (share of the top experts, entropy of the use).

Weights are drawn once for each shape and written tensor by tensor, so that memory holds a few of
them at most.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine.bench.random_gguf import Shape, cached, norms, writing

SHAPE = Shape(4, 2048, 16, 4, 64, 512, 4096)
EXPERTS, USED = 128, 8
POPULARITY, CHOICE = 1.0, 1.5  # standard deviations of the two parts of a router's logits
COMMON = 0.6  # share of an embedding's power along the direction all of them share


def _bf16(rng: np.random.Generator, shape: tuple[int, ...], scale: float) -> np.ndarray:
    """Random BF16 weights as the bytes of their rows, uint8 [..., 2 * columns]."""
    out = np.empty(shape, np.uint16)
    for row in out.reshape(-1, shape[-2], shape[-1]):  # float32 of one matrix at a time
        values = rng.standard_normal(row.shape, dtype=np.float32) * np.float32(scale)
        row[:] = values.view(np.uint32) >> 16
    return out.view(np.uint8)


def write(path: Path) -> None:
    """Write the model; the file appears whole or not at all."""
    import gguf

    rng = np.random.default_rng(11)
    width, head, ff = SHAPE.width, SHAPE.head, SHAPE.ff
    common = rng.standard_normal(width).astype(np.float32)
    common /= np.linalg.norm(common)
    made: dict[tuple[int, ...], np.ndarray] = {}
    with writing(path, "qwen3moe", "moe 3g random", "MOSTLY_BF16", SHAPE) as w:
        w.add_expert_count(EXPERTS)
        w.add_expert_used_count(USED)
        w.add_expert_feed_forward_length(ff)

        def matrix(name: str, *shape: int, small: float = 1.0) -> None:
            key = (*shape, int(1000 * small))
            if key not in made:
                made[key] = _bf16(rng, shape, small * shape[-1] ** -0.5)
            w.add_tensor(name, made[key], raw_dtype=gguf.GGMLQuantizationType.BF16)

        embedding = rng.standard_normal((SHAPE.vocab, width)).astype(np.float32)
        embedding *= np.float32((1 - COMMON) ** 0.5)
        embedding += common * np.float32((COMMON * width) ** 0.5)
        w.add_tensor("token_embd.weight", embedding.astype(np.float16))
        matrix("output.weight", SHAPE.vocab, width)
        norms(w, SHAPE)
        for i in range(SHAPE.layers):
            block = f"blk.{i}."
            matrix(block + "attn_q.weight", SHAPE.heads * head, width)
            matrix(block + "attn_k.weight", SHAPE.kv_heads * head, width)
            matrix(block + "attn_v.weight", SHAPE.kv_heads * head, width)
            matrix(block + "attn_output.weight", width, SHAPE.heads * head, small=0.2)
            w.add_tensor(block + "ffn_gate_inp.weight", _router(rng, common))
            matrix(block + "ffn_gate_exps.weight", EXPERTS, ff, width)
            matrix(block + "ffn_up_exps.weight", EXPERTS, ff, width)
            matrix(block + "ffn_down_exps.weight", EXPERTS, width, ff, small=0.2)


def _router(rng: np.random.Generator, common: np.ndarray) -> np.ndarray:
    """A layer's router, float32 [experts, width]: popularity along the common direction."""
    width = SHAPE.width
    router = rng.standard_normal((EXPERTS, width)).astype(np.float32)
    router -= np.outer(router @ common, common)
    # After the norm an input has power 1 a dimension: COMMON of it along the common direction.
    router *= np.float32(CHOICE / ((1 - COMMON) * width) ** 0.5)
    popularity = rng.standard_normal(EXPERTS).astype(np.float32) * np.float32(POPULARITY)
    return router + np.outer(popularity, common) / np.float32((COMMON * width) ** 0.5)


def moe(cache: Path) -> Path:
    """The model's file in the cache folder, written on first use."""
    return cached(cache, "moe-3g-bf16-v1.gguf", write)
