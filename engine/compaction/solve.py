"""Compacts the layers of a span with the native kernels: per head, then side by side in cells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.compaction import kernels
from engine.compaction.span import F16_MAX, LayerCells, LayerData
from engine.config import CompactionConfig
from engine.seam import F32

_HALF = 65504.0 / 2


@dataclass(slots=True)
class Settings:
    """How to compact; the ablation switches of `halo-tui bench compaction` are here too."""

    method: str = "am-omp"
    fit_beta: bool = True
    fit_values: bool = True
    threads: int = 1
    seed: int = 0
    kernel: dict[str, Any] = field(default_factory=dict)  # further arguments of the kernels

    @classmethod
    def of(cls, config: CompactionConfig, method: str, threads: int) -> Settings:
        return cls(method or config.method, config.beta, config.values, threads)


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
    data: LayerData,
    budgets: list[int],
    settings: Settings,
    stopped: Callable[[], bool] = lambda: False,
) -> LayerResult:
    """Compact each KV head into its budget of cells; the largest budget is what all heads share.

    Heads with smaller budgets hide the rest behind beta = -inf. Raises kernels.Cancelled.
    """
    m, heads = max(budgets), data.info.n_head_kv
    jobs = []
    for head in range(heads):
        keys, values, queries, beta = data.head(head)
        jobs.append(
            kernels.Job(
                keys=keys, values=values, queries=queries, m=budgets[head],
                beta=beta if beta.any() else None,
            )
        )  # fmt: skip
    results = kernels.compact_heads(
        jobs, _options(data, settings), threads=settings.threads, stopped=stopped
    )
    cells = LayerCells(
        np.zeros((m, heads, data.info.d_k), np.float32),
        np.zeros((m, heads, data.info.d_v), np.float32),
        np.full((heads, m), -np.inf, np.float32),
    )
    for head, (job, result) in enumerate(zip(jobs, results, strict=True)):
        n = len(result.indices)
        cells.keys[:n, head] = job.keys[result.indices]
        cells.values[:n, head] = result.values
        cells.beta[head, :n] = result.beta
    found = [r.diagnostics for r in results]
    finite = cells.beta[np.isfinite(cells.beta)]
    return LayerResult(
        cells,
        [float(d.output_error) for d in found],
        [float(d.evict_error) for d in found],
        float(finite.min(initial=0.0)),
        float(finite.max(initial=0.0)),
        max((float(d.norm_ratio) for d in found), default=0.0),
    )


def error_curve(
    data: LayerData, sizes: list[int], settings: Settings, stopped: Callable[[], bool] = lambda: False
) -> F32:
    """Output error on unseen queries [n_head_kv, len(sizes)] for several numbers of cells."""
    jobs = []
    for head in range(data.info.n_head_kv):
        keys, values, queries, beta = data.head(head)
        jobs.append(
            kernels.Job(
                keys=keys, values=values, queries=queries, m=max(sizes),
                beta=beta if beta.any() else None,
            )
        )  # fmt: skip
    return kernels.errors_over(
        jobs, sizes, _options(data, settings), threads=settings.threads, stopped=stopped
    )


def _options(data: LayerData, settings: Settings) -> kernels.Options:
    return kernels.Options(
        method=settings.method,
        fit_beta=settings.fit_beta,
        fit_values=settings.fit_values,
        scale=data.info.scale or None,
        softcap=data.info.softcap,
        value_limit=_HALF if data.info.type_v not in (0, 30) else F16_MAX,
        seed=settings.seed,
        **settings.kernel,
    )
