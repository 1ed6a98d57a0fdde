"""A span of one sequence's cells: found, read layer by layer, replaced by fewer ones.

All calls belong to the thread that owns the context, between two decodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine import native, seam
from engine.seam import F32, I32, LayerInfo

F16_MAX = 65504.0  # also the limit of a quantised block's scale


@dataclass(slots=True)
class LayerData:
    """One layer's share of a span: n cells, t tokens that asked."""

    index: int  # in the cache
    info: LayerInfo
    keys: F32  # [n, n_head_kv, d_k]
    values: F32  # [n, n_head_kv, d_v]
    beta: F32  # [n_head_kv, n]
    queries: F32  # [t, n_head, d_k]

    def head(self, head: int) -> tuple[F32, F32, F32, F32]:
        """Keys [n, d], values [n, dv], queries [t * group, d], beta [n] of one KV head."""
        group = self.info.group
        asked = self.queries[:, head * group : (head + 1) * group]
        return (
            np.ascontiguousarray(self.keys[:, head]),
            np.ascontiguousarray(self.values[:, head]),
            np.ascontiguousarray(asked.reshape(-1, self.info.d_k)),
            np.ascontiguousarray(self.beta[head]),
        )


@dataclass(slots=True)
class LayerCells:
    """What the m cells that stay are to hold in one layer."""

    keys: F32  # [m, n_head_kv, d_k]
    values: F32  # [m, n_head_kv, d_v]
    beta: F32  # [n_head_kv, m]; -inf where a head needs fewer cells


def locate(ctx: Any, slot: int, first: int, last: int) -> I32:
    """Indices of the cells of `slot` alone with positions in [first, last), by position."""
    cells = native.cell_map(ctx)
    mine = np.flatnonzero((cells.owner == slot) & (cells.pos >= first) & (cells.pos < last))
    return mine[np.argsort(cells.pos[mine], kind="stable")].astype(np.int32)


def read_layer(ctx: Any, index: int, info: LayerInfo, cells: I32, queries: F32) -> LayerData:
    """Everything the solver needs of one layer."""
    keys, values = seam.read(ctx, index, info, cells)
    return LayerData(index, info, keys, values, seam.get_bias(ctx, index, info, cells), queries)


def replace(ctx: Any, slot: int, first: int, last: int, layers: list[LayerCells]) -> int:
    """Put the fitted cells in place of the span; how many cells that freed.

    The cells with the highest positions stay: so positions of the whole tail can be lowered later
    by as much as was freed (K-shift). Raises NativeError when the span is not there as it was, or
    when a number does not fit the cache's type; then nothing has changed for attention.
    """
    cells = locate(ctx, slot, first, last)
    m = layers[0].keys.shape[0]
    kept, gone = cells[len(cells) - m :], cells[: len(cells) - m]
    if len(cells) < m:
        raise native.NativeError("The span's cells are gone.", "Compact again.")
    for layer in layers:
        if not (_fits(layer.keys) and _fits(layer.values)):
            raise native.NativeError(
                "The fit has numbers that the cache cannot hold.",
                'Set compaction.method to "am-attention", or compaction.values to false.',
            )
    # Biases last: until they are set and the others are freed, a step cannot come in between.
    for index, layer in enumerate(layers):
        seam.write(ctx, index, kept, layer.keys, layer.values)
    for index, layer in enumerate(layers):
        seam.set_bias(ctx, index, kept, layer.beta)
    seam.evict(ctx, slot, gone)
    return len(gone)


def _fits(numbers: F32) -> bool:
    return bool(np.abs(numbers).max(initial=0.0) <= F16_MAX)  # false for NaN


def gather(parts: list[F32]) -> F32:
    """Queries of several sources as one [t, n_head, d_k]."""
    return np.concatenate(parts) if len(parts) > 1 else parts[0]


def empty_queries(info: LayerInfo) -> F32:
    """No queries of a layer."""
    return np.empty((0, info.n_head, info.d_k), np.float32)


def runs(indices: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    """Ascending indices as (start, length) of neighbours."""
    if not len(indices):
        return []
    cuts = np.flatnonzero(np.diff(indices) != 1) + 1
    return [(int(run[0]), len(run)) for run in np.split(indices, cuts)]
