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

type Index = npt.NDArray[np.signedinteger]
F16_MAX = 65504.0  # also the limit of a quantised block's scale


@dataclass(slots=True)
class Asked:
    """Tokens of one sequence that looked back at a span, and what else they saw in one layer.

    How much of a query's attention went to the span at all decides how much its error matters: a
    head that looks at its neighbours must not crowd out one that looks things up.
    """

    queries: F32  # [t, n_head, d_k]
    pos: I32  # [t]
    keys: F32  # [r, n_head_kv, d_k] of the sequence's cells outside the span
    key_pos: I32  # [r]
    beta: F32  # [n_head_kv, r]
    known: F32 | None = None  # [t, n_head] log of the mass of further keys, which are not here

    def log_rest(self, info: LayerInfo, heads: Index, tokens: Index) -> F32:
        """Log of the attention mass outside the span of the queries of `heads` [r] at `tokens` [r],
        all of one KV head: [r], -inf where there is none."""
        rest = np.full(len(tokens), -np.inf, np.float32)
        if self.known is not None:
            rest = self.known[tokens, heads]
        if not len(self.keys) or not len(tokens):
            return rest
        kv = int(heads[0]) // info.group
        queries = self.queries[tokens, heads]
        scores = queries @ self.keys[:, kv].T * (info.scale or info.d_k**-0.5)
        if info.softcap:
            scores = info.softcap * np.tanh(scores / info.softcap)
        scores += self.beta[kv]
        scores[self.key_pos[None, :] > self.pos[tokens][:, None]] = -np.inf
        top = scores.max(1)
        top[~np.isfinite(top)] = 0.0
        with np.errstate(divide="ignore"):
            seen = np.log(np.exp(scores - top[:, None]).sum(1)) + top
        return np.asarray(np.logaddexp(rest, seen), np.float32)


@dataclass(slots=True)
class LayerData:
    """One layer's share of a span: n cells, t tokens that asked."""

    index: int  # in the cache
    info: LayerInfo
    keys: F32  # [n, n_head_kv, d_k]
    values: F32  # [n, n_head_kv, d_v]
    beta: F32  # [n_head_kv, n]
    asked: list[Asked]

    def head(self, head: int, most: int = 0) -> tuple[F32, F32, F32, F32, F32]:
        """Keys [n, d], values [n, dv], queries [q, d], beta [n], log_rest [q] of one KV head.

        The queries are those of all query heads of its group, token by token; of more than `most`
        (0: no limit) an even choice, since neighbours resemble each other.
        """
        group = self.info.group
        total = group * sum(len(a.pos) for a in self.asked)
        count = min(most or total, total)
        chosen = np.arange(count, dtype=np.int64) * total // max(1, count)
        queries, rest, first = [], [], 0
        for asked in self.asked:
            size = group * len(asked.pos)
            rows = chosen[(chosen >= first) & (chosen < first + size)] - first
            tokens, heads = rows // group, head * group + rows % group
            queries.append(asked.queries[tokens, heads])
            rest.append(asked.log_rest(self.info, heads, tokens))
            first += size
        return (
            np.ascontiguousarray(self.keys[:, head]),
            np.ascontiguousarray(self.values[:, head]),
            np.ascontiguousarray(np.concatenate(queries)),
            np.ascontiguousarray(self.beta[head]),
            np.concatenate(rest),
        )


@dataclass(slots=True)
class LayerCells:
    """What the m cells that stay are to hold in one layer."""

    keys: F32  # [m, n_head_kv, d_k]
    values: F32  # [m, n_head_kv, d_v]
    beta: F32  # [n_head_kv, m]; -inf where a head needs fewer cells


def locate(ctx: Any, slot: int, first: int, last: int) -> I32:
    """Indices of the cells that belong to `slot` alone, positions in [first, last), by position."""
    cells, pos, owners = seam.cells_of(ctx, slot)
    mine: I32 = cells[(pos >= first) & (pos < last) & (owners == 1)]
    return mine


def who_asked(ctx: Any, index: int, info: LayerInfo, slot: int, first: int, last: int) -> Asked:
    """The kept queries of a sequence at positions >= last, and its keys outside [first, last)."""
    pos, queries = seam.queries(ctx, index, info, slot, last)
    cells, at, _ = seam.cells_of(ctx, slot)
    outside = (at < first) | (at >= last)
    others = cells[outside]
    keys, _ = seam.read(ctx, index, info, others)
    return Asked(queries, pos, keys, at[outside], seam.get_bias(ctx, index, info, others))


def read_layer(ctx: Any, index: int, info: LayerInfo, cells: I32, asked: list[Asked]) -> LayerData:
    """Everything the solver needs of one layer."""
    keys, values = seam.read(ctx, index, info, cells)
    return LayerData(
        index,
        info,
        keys,
        values,
        seam.get_bias(ctx, index, info, cells),
        asked,
    )


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


def runs(indices: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    """Ascending indices as (start, length) of neighbours."""
    if not len(indices):
        return []
    cuts = np.flatnonzero(np.diff(indices) != 1) + 1
    return [(int(run[0]), len(run)) for run in np.split(indices, cuts)]
