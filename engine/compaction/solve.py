"""Compacts the layers of a span with the native kernels: per head, then side by side in cells."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from engine.compaction.kernels import (
    F16_LIMIT,
    VALUE_RATIO,
    Cancel,
    Job,
    Params,
    compact_heads,
    errors_over,
)
from engine.compaction.policy import fit_queries, refine_steps
from engine.compaction.span import LayerCells, LayerData
from engine.config import CompactionConfig
from engine.seam import F32

_FLOAT_TYPES = (0, 1, 30)  # GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_BF16
QUANTISED_RATIO = 5.0  # of max|V|: one large value coarsens its whole block
OMP_K = 8  # keys a round, two rounds a refit: as good as 4 on halo-mini's heads, a third faster
_WIDE_TYPES = (0, 30)  # GGML_TYPE_F32, GGML_TYPE_BF16: no small limit of magnitude


@dataclass(slots=True)
class Settings:
    """How to compact; the ablation switches of `halo-tui bench compaction` are here too."""

    method: str = "am-omp"
    fit_beta: bool = True
    fit_values: bool = True
    refine: bool = True  # keys, beta and values together, after both fits
    threads: int = 1
    seed: int = 0
    kernel: dict[str, Any] = field(default_factory=dict)  # further arguments of the kernels

    @classmethod
    def of(cls, config: CompactionConfig, method: str, threads: int) -> Settings:
        return cls(method or config.method, config.beta, config.values, config.refine, threads)


@dataclass(slots=True)
class LayerResult:
    """One layer compacted, and how well."""

    cells: LayerCells
    errors: list[float]  # relative output error of each KV head on unseen queries
    evicted: list[float]  # of plain attention eviction to as many cells
    beta_min: float
    beta_max: float
    norm_ratio: float


def solve_layer(
    data: LayerData, budgets: list[int], settings: Settings, cancel: Cancel | None = None
) -> LayerResult:
    """Compact each KV head into its budget of cells; the largest budget is what all heads share.

    Heads with smaller budgets hide the rest behind beta = -inf. Raises CompactionCancelled.
    """
    m, heads = max(budgets), data.info.n_head_kv
    jobs = [_job(data, head, budgets[head]) for head in range(heads)]
    params = replace(_params(data, settings), refine=refine_steps(m) if settings.refine else 0)
    results = compact_heads(jobs, params, cancel=cancel)
    cells = LayerCells(
        np.zeros((m, heads, data.info.d_k), np.float32),
        np.zeros((m, heads, data.info.d_v), np.float32),
        np.full((heads, m), -np.inf, np.float32),
    )
    for head, result in enumerate(results):
        n = len(result.indices)
        cells.keys[:n, head] = result.keys
        cells.values[:n, head] = result.values
        cells.beta[head, :n] = result.beta
    found = [r.diagnostics for r in results]
    finite = cells.beta[np.isfinite(cells.beta)]
    return LayerResult(
        cells,
        [_known(d.output_error) for d in found],
        [_known(d.output_error_evict_attention) for d in found],
        float(finite.min(initial=0.0)),
        float(finite.max(initial=0.0)),
        max((float(d.norm_ratio) for d in found), default=0.0),
    )


def error_curve(
    data: LayerData, sizes: list[int], settings: Settings, cancel: Cancel | None = None
) -> F32:
    """Output error on unseen queries [n_head_kv, len(sizes)] for several numbers of cells."""
    rows = []
    for head in range(data.info.n_head_kv):
        job = _job(data, head, max(sizes))
        found = errors_over(job, sizes, _params(data, settings), cancel=cancel)
        rows.append([_known(d.output_error) for d in found])
    return np.array(rows, np.float32)


def _known(error: float) -> float:
    """Too few queries to hold any out: as if nothing were left, which no bound accepts."""
    return error if math.isfinite(error) else 1.0


def _job(data: LayerData, head: int, m: int) -> Job:
    keys, values, queries, beta, log_rest = data.head(head, fit_queries(m))
    return Job(
        keys=keys,
        values=values,
        queries=queries,
        m=m,
        beta=beta if beta.any() else None,
        log_rest=log_rest,
        scale=data.info.scale or None,
        softcap=data.info.softcap,
    )


def _params(data: LayerData, settings: Settings) -> Params:
    fits = settings.method.startswith("am-")
    return Params(
        method=settings.method,
        fit_beta=settings.fit_beta and fits,
        fit_values=settings.fit_values and fits,
        value_ratio=VALUE_RATIO if data.info.type_v in _FLOAT_TYPES else QUANTISED_RATIO,
        value_limit=0.0 if data.info.type_v in _WIDE_TYPES else F16_LIMIT,
        threads=settings.threads,
        seed=settings.seed,
        **{"omp_k": OMP_K, **settings.kernel},
    )
