"""Everything the seam does, once, on a model: `python -m tests.support.seam_walk OUT MODEL [HOST:PORT …]`.

Writes an .npz of all that came out. In a process of its own, because ggml never forgets a worker
that it was told of.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine import routing, seam
from engine.bench.lab import Lab
from engine.core.frozen import Frozen

TEXT = "The quick brown fox jumps over the lazy dog, and Ada Lovelace works at Halo Labs. " * 8


def walk(model: Path, workers: Sequence[str], flash: str, cache: str) -> dict[str, Any]:
    """Logits of prefill and decode, cells, queries, biases, experts, a moved and a copied cache."""
    lab = Lab(
        model, 2048, slots=8, threads=1, rpc=list(workers), flash_attention=flash,
        type_k=cache, type_v=cache,
    )  # fmt: skip
    ctx, found = lab.context.pointer, dict[str, Any]()
    tokens = lab.model.tokenize(TEXT, False)
    with lab.tracked(0, 64):
        found["prefill"] = lab.feed(0, tokens)
        found["decode"] = lab.feed(0, tokens[:24], every=True)
        for i, rows in enumerate(lab.queries(0, 0)):
            found[f"queries{i}"] = rows
    cells, _, _ = seam.cells_of(ctx, 0)
    for i, info in enumerate(lab.layers):
        found[f"keys{i}"], found[f"values{i}"] = seam.read(ctx, i, info, cells)
    # Scattered cells are overwritten, some are biased, some freed, then the last are moved down.
    some = cells[5:120:3]
    for i, info in enumerate(lab.layers):
        keys, values = seam.read(ctx, i, info, some)
        seam.write(ctx, i, some, keys[::-1], values * 0.5)
        beta = np.linspace(-2, 1, info.n_head_kv * len(some), dtype=np.float32)
        seam.set_bias(ctx, i, some, beta.reshape(info.n_head_kv, -1))
    found["biased"] = lab.feed(0, tokens[24:60], every=True)
    seam.evict(ctx, 0, cells[40:100:2])
    found["moved"] = seam.defragment(ctx, 4096)
    found["after"] = lab.feed(0, tokens[60:96], every=True)
    cells, _, _ = seam.cells_of(ctx, 0)
    for i, info in enumerate(lab.layers):
        found[f"end_keys{i}"], found[f"end_values{i}"] = seam.read(ctx, i, info, cells)
        found[f"beta{i}"] = seam.get_bias(ctx, i, info, cells)
    # Out and back in again: a snapshot, a swapped session, a fork.
    state = copy(lab, 0)
    found["state"] = np.frombuffer(state.state, np.uint8)
    assert lab.context.load(3, state)
    lab.positions[3] = lab.positions[0]
    found["copy"] = lab.feed(3, tokens[96:120], every=True)
    if lab.model.n_expert:
        experts = routing.describe(ctx)
        shape = (experts.n_layers, experts.n_expert)
        routing.set_mode(ctx, bias=True, keep=1, capture=2)
        bias = np.linspace(-0.2, 0.2, shape[0] * shape[1], dtype=np.float32).reshape(shape)
        routing.set_bias(ctx, bias, np.full(shape[0], 0.1, np.float32))
        found["routed"] = lab.feed(0, tokens[96:104], every=True)
        found["rows"], found["ids"] = routing.read_ids(ctx, experts)
        found["scores"], found["probs"] = routing.read_scores(ctx, experts, 8)
    lab.close()
    return found


def copy(lab: Lab, slot: int) -> Frozen:
    """What `freeze` takes of a slot, without the loop's bookkeeping."""
    from types import SimpleNamespace

    from engine.core.frozen import freeze

    held = lab.positions[slot]
    cells = len(seam.cells_of(lab.context.pointer, slot)[0])  # some were evicted
    sequence = SimpleNamespace(
        name="ada", slot=slot, tokens=[0] * held, held=held, fold=None, messages=(),
        cells_of=lambda count: cells,
    )  # fmt: skip
    return freeze(lab.context, sequence)  # type: ignore[arg-type]


if __name__ == "__main__":
    out, model, flash, cache, *endpoints = sys.argv[1:]
    np.savez(out, **walk(Path(model), endpoints, flash, cache))
