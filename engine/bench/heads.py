"""The head bench: how well and how fast single attention heads are compacted.

Quality: relative output error and log-mass error on queries that no method saw, for synthetic heads
and for dumped real ones, beside plain eviction and the authors' published algorithms. Speed: seconds
per head beside the NumPy reference and the time the score product alone takes.

A dump is an .npz of float arrays `k` [layers, heads, n, d], `v` [layers, heads, n, dv] and `q`
[layers, heads, queries, d]: post-RoPE, all query heads of a group pooled, in order of their tokens.
Optional: `beta` [layers, heads, n], `key_pos` [n], `query_pos` [queries], `log_rest` [layers, heads,
queries] (log of a query's attention mass outside the span; not used here) and `meta`, a JSON string
with any of model, text, scale, softcap. The last quarter of the queries is never fitted to.
"""

from __future__ import annotations

import json
import math
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.bench import published, synthetic
from engine.compaction import METHODS, Job, Params, compact_heads, reference
from engine.compaction.kernels import gemm_rate
from engine.compaction.policy import refine_steps
from engine.models import MINI, info

Array = NDArray[np.float32]
Row = dict[str, Any]

# (n, d, q, m): queries from fewer than the kept cells to forty times as many.
QUALITY_CELLS = (
    (1024, 64, 64, 102),
    (2048, 64, 128, 204),
    (2048, 64, 256, 102),
    (2048, 64, 256, 204),
    (2048, 64, 1024, 40),
    (2048, 128, 1024, 102),
    (2048, 64, 4096, 102),
    (8192, 128, 1024, 163),
    (8192, 128, 1024, 819),
)
SPEED_CELLS = tuple(
    (n, d, q, n // ratio)
    for n in (2048, 8192, 32768)
    for d in (64, 128)
    for q in (256, 1024)
    for ratio in (10, 50)
)
# Beyond these the published code and the reference take minutes and say nothing new.
REFINED = "+refine"
PUBLISHED_OMP_M = 204
REFERENCE_WORK = 8192 * 1024
REFERENCE_M = 204


@dataclass(frozen=True, slots=True)
class _Case:
    name: str
    keys: Array
    values: Array
    queries: Array
    unseen: Array
    m: int
    beta: Array | None = None
    key_pos: NDArray[np.int32] | None = None
    query_pos: NDArray[np.int32] | None = None
    unseen_pos: NDArray[np.int32] | None = None
    scale: float | None = None
    softcap: float = 0.0

    def scores(self, keys: Array, beta: Array | float, pos: NDArray[np.int32] | None) -> Array:
        out = self.unseen @ keys.T * np.float32(self.scale or 1 / math.sqrt(keys.shape[1]))
        if self.softcap:
            out = self.softcap * np.tanh(out / self.softcap)
        out = out + beta
        if pos is not None and self.unseen_pos is not None:
            out = np.where(pos[None, :] <= self.unseen_pos[:, None], out, -np.inf)
        return np.asarray(out, np.float32)

    def errors(
        self, cells: NDArray[Any], beta: Array, values: Array, keys: Array
    ) -> tuple[float, float]:
        """Relative output error and mean |log mass ratio| on the unseen queries."""
        before = 0.0 if self.beta is None else self.beta
        full = self.scores(self.keys, before, self.key_pos)
        pos = None if self.key_pos is None else self.key_pos[cells]
        kept = self.scores(keys, beta, pos)
        seen = np.isfinite(full).any(axis=1)
        full, kept = full[seen], kept[seen]
        top = full.max(axis=1, keepdims=True)
        a, b = np.exp(full - top), np.exp(kept - top)
        mass_a, mass_b = a.sum(axis=1), np.maximum(b.sum(axis=1), 1e-30)
        target = a @ self.values / mass_a[:, None]
        off = np.linalg.norm(b @ values / mass_b[:, None] - target) / np.linalg.norm(target)
        return float(off), float(np.abs(np.log(mass_b / mass_a)).mean())


def synthetic_cases(
    cells: Sequence[tuple[int, int, int, int]], seeds: Sequence[int]
) -> Iterator[_Case]:
    for n, d, q, m in cells:
        for kind in synthetic.KINDS:
            for seed in seeds:
                head = synthetic.make(kind, n, d, q, seed=seed)
                yield _Case(kind, head.keys, head.values, head.queries, head.unseen, m)


def dumped_cases(path: Path, ratios: Sequence[float]) -> Iterator[_Case]:
    """Each head of a dump at each ratio; the last quarter of its queries judges."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    meta = json.loads(str(arrays["meta"])) if "meta" in arrays else {}
    keys, values, queries = (arrays[name].astype(np.float32) for name in "kvq")
    split = queries.shape[2] - max(1, queries.shape[2] // 4)
    key_pos = arrays["key_pos"].astype(np.int32) if "key_pos" in arrays else None
    pos = arrays["query_pos"].astype(np.int32) if "query_pos" in arrays else None
    for layer, head in np.ndindex(*keys.shape[:2]):
        for ratio in ratios:
            yield _Case(
                f"layer {layer} head {head}",
                keys[layer, head],
                values[layer, head],
                queries[layer, head, :split],
                queries[layer, head, split:],
                max(1, round(keys.shape[2] / ratio)),
                arrays["beta"][layer, head].astype(np.float32) if "beta" in arrays else None,
                key_pos,
                None if pos is None else pos[:split],
                None if pos is None else pos[split:],
                meta.get("scale"),
                meta.get("softcap", 0.0),
            )


_Found = tuple[NDArray[Any], Array, Array, Array, Row]  # cells, beta, values, keys


def _ours(case: _Case, params: Params) -> _Found:
    job = Job(
        keys=case.keys,
        values=case.values,
        queries=case.queries,
        m=case.m,
        beta=case.beta,
        key_pos=case.key_pos,
        query_pos=case.query_pos,
        scale=case.scale,
        softcap=case.softcap,
    )
    result = compact_heads([job], params)[0]
    told = result.diagnostics.as_dict()
    kept = ("seconds", "ridge", "norm_ratio", "beta_min", "beta_max")
    row = {name: told[name] for name in kept}
    return result.indices, result.beta, result.values, result.keys, row


def _theirs(case: _Case, method: str) -> _Found:
    start = time.perf_counter()
    found = published.compact(case.keys, case.values, case.queries, case.m, method)
    ratio = float(np.abs(found[2]).max() / max(float(np.abs(case.values).max()), 1e-30))
    beta = found[1]
    row = {
        "seconds": time.perf_counter() - start,
        "norm_ratio": ratio,
        "beta_min": float(beta.min()),
        "beta_max": float(beta.max()),
    }
    return *found, case.keys[found[0]], row


def quality(cases: Iterator[_Case], say: Callable[[str], None], params: Params) -> list[Row]:
    """One row per case and method."""
    rows: list[Row] = []
    for case in cases:
        # The published code knows neither masks nor earlier biases.
        plain = case.beta is None and case.key_pos is None and not case.softcap and not case.scale
        theirs = [*published.METHODS[:1]] if plain else []
        if plain and case.m <= PUBLISHED_OMP_M:
            theirs.append(published.METHODS[1])
        line = []
        for method in (*METHODS, *(f"{name}{REFINED}" for name in METHODS[:2]), *theirs):
            name = method.removesuffix(REFINED)
            if name in METHODS:
                steps = refine_steps(case.m) if method.endswith(REFINED) else 0
                found = _ours(case, replace(_with(params, name), refine=steps))
            else:
                found = _theirs(case, method)
            error, mass = case.errors(*found[:4])
            n, d = case.keys.shape
            size = {"head": case.name, "n": n, "d": d, "q": len(case.queries), "m": case.m}
            rows.append({**size, "method": method, "error": error, "mass_error": mass, **found[4]})
            line.append(f"{method} {error:.3f}/{mass:.3f}")
        say(f"{case.name} n={n} d={d} q={len(case.queries)} m={case.m}: " + ", ".join(line))
    return rows


def _with(params: Params, method: str) -> Params:
    return Params(
        method=method,
        beta_bounds=params.beta_bounds,
        ridge=params.ridge,
        omp_k=params.omp_k,
        omp_interval=params.omp_interval,
        threads=params.threads,
        seed=params.seed,
    )


def speed(
    cells: Sequence[tuple[int, int, int, int]],
    say: Callable[[str], None],
    *,
    repeats: int = 3,
    with_reference: bool = True,
) -> list[Row]:
    """Seconds per head on one and on all cores; the least of several runs.

    `floor` is the score product q x n x d at the GEMM rate of the same moment and thread count,
    `floor_both` adds the product with the values, without which no value can be fitted.
    """
    rows: list[Row] = []
    cores = os.cpu_count() or 1
    for n, d, q, m in cells:
        head = synthetic.make("retrieval", n, d, q, unseen=1)
        references: dict[str, float] = {}
        for method in ("am-attention", "am-omp") if with_reference else ():
            if n * q <= REFERENCE_WORK and m <= REFERENCE_M:
                start = time.perf_counter()
                reference.compact_head(head.keys, head.values, head.queries, m, method=method)
                references[method] = time.perf_counter() - start
        for threads in sorted({1, cores}):
            for method in ("am-attention", "am-omp", "evict-attention"):
                job = Job(keys=head.keys, values=head.values, queries=head.queries, m=m)
                params, best, rate = Params(method=method), math.inf, 0.0
                for _ in range(repeats):
                    rate = max(rate, gemm_rate(min(q, 256), n, d, threads, 0.05))
                    start = time.perf_counter()
                    compact_heads([job], params, threads=threads)
                    best = min(best, time.perf_counter() - start)
                floor = 2e-9 * n * q * d / rate
                twin = references.get(method)
                row = {"n": n, "d": d, "q": q, "m": m, "threads": threads, "method": method}
                row |= {"seconds": best, "gemm_gflops": rate, "floor": floor}
                row |= {"floor_both": 2 * floor, "to_floor": best / floor}
                row |= {"to_floor_both": best / (2 * floor), "reference_seconds": twin}
                row |= {"speedup": None if twin is None else twin / best}
                rows.append(row)
                say(
                    f"n={n} d={d} q={q} m={m} threads={threads} {method}: {best:.4f} s, "
                    f"{row['to_floor']:.1f}x floor, {row['to_floor_both']:.1f}x both"
                    + ("" if twin is None else f", reference {twin:.2f} s = {twin / best:.0f}x")
                )
    return rows


def whole_model(say: Callable[[str], None], cells: int = 4096, ratio: int = 10) -> Row:
    """A span of the shipped model's shape (all KV heads of all layers, d 64) in one call."""
    mini = info(MINI)
    jobs = []
    for index in range(mini.layers * mini.n_head_kv):
        head = synthetic.make(synthetic.KINDS[index % 3], cells, 64, 1024, unseen=1, seed=index)
        jobs.append(Job(keys=head.keys, values=head.values, queries=head.queries, m=cells // ratio))
    row: Row = {"cells": cells, "ratio": ratio, "heads": len(jobs)}
    for method in ("am-attention", "am-omp"):
        best = math.inf
        for _ in range(3):
            start = time.perf_counter()
            compact_heads(jobs, Params(method=method))
            best = min(best, time.perf_counter() - start)
        row[method] = best
        say(f"{len(jobs)} heads of {cells} cells at {ratio}x, all cores, {method}: {best:.3f} s")
    return row


def run(
    *,
    dump: Path | None = None,
    ratios: Sequence[float] = (2, 5, 10, 20, 50),
    quality_cells: Sequence[tuple[int, int, int, int]] = QUALITY_CELLS,
    speed_cells: Sequence[tuple[int, int, int, int]] = SPEED_CELLS,
    seeds: Sequence[int] = (0, 1),
    params: Params | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """The whole bench. Keys: machine, quality, dump (rows of the same shape), speed, span."""
    settings = params or Params()
    found: dict[str, Any] = {
        "machine": {"cpu": platform.machine(), "cores": os.cpu_count()},
        "quality": quality(synthetic_cases(quality_cells, seeds), say, settings),
    }
    if dump is not None:
        found["dump"] = quality(dumped_cases(dump, ratios), say, settings)
    if speed_cells:
        found["speed"] = speed(speed_cells, say)
        found["span"] = whole_model(say)
    return found


def main() -> None:
    import argparse
    import sys

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dump", type=Path)
    parser.add_argument("--quality-only", action="store_true")
    parser.add_argument("--speed-only", action="store_true")
    args = parser.parse_args()
    found = run(
        dump=args.dump,
        quality_cells=() if args.speed_only else QUALITY_CELLS,
        speed_cells=() if args.quality_only else SPEED_CELLS,
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
