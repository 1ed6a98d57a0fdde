"""The kernels' twin in NumPy float64: the same algorithms, written to be read, not to be fast.

Sections of arXiv 2602.16284 in order: selection, biases (mass), values (output). What differs from
the paper is ours: the mass is fitted in relative terms, the weights are truly bounded, the values
are shrunk towards the originals, and queries that took no part in a fit decide whether it is kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Cells = NDArray[np.intp]

SINKS = 4
STRIPES = 32
MIN_JUDGED = 8
GRID = (1.0, 1e-1, 3e-2, 1e-2, 1e-3, 1e-4, 1e-5)
GRID_PLENTY, PLENTY, CLEARLY = (1e-6, 1e-5, 1e-3, 1e-1), 20, 0.995
BETA_ROUNDS = 3
MASS_FLOOR = 1e-3
SERVED_BADLY = 0.2
CANDIDATES = 8
EXPLAINED = 1e-3


@dataclass(frozen=True, slots=True)
class Reference:
    """What the kernels would return, without their timing."""

    indices: Cells  # [m] ascending
    beta: Array  # [m]
    values: Array  # [m, dv]
    output_error: float  # relative, held-out queries
    output_error_unfitted: float
    mass_error: float  # mean |log mass ratio|, held-out queries
    ridge: float  # inf = values left as they were
    power: float  # weighting of the mass fit, 0 = weights not fitted


@dataclass(frozen=True, slots=True)
class _Head:
    """One head: full attention [q, n], its outputs [q, dv] and the number of fitting queries."""

    values: Array
    attention: Array
    targets: Array
    bias: Array
    q_fit: int


def judged_queries(q: int, share: float, seed: int) -> NDArray[np.bool_]:
    """Which queries judge the fits: whole stripes, since neighbours resemble each other."""
    stripes = min(q, STRIPES)
    judged = np.zeros(max(stripes, 1), bool)
    if q >= MIN_JUDGED and share > 0:
        wanted = max(1, int(share * stripes + 0.5))
        state = (seed * 2654435761 + 1) % 2**64
        while judged.sum() < wanted:
            state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
            judged[((state >> 33) * stripes) >> 31] = True
    return judged[np.arange(q) * stripes // max(q, 1)]


def _prepare(
    keys: Array,
    values: Array,
    queries: Array,
    beta: ArrayLike | None,
    key_pos: ArrayLike | None,
    query_pos: ArrayLike | None,
    scale: float | None,
    softcap: float,
    holdout: float,
    seed: int,
) -> _Head:
    n, d = keys.shape
    bias = np.zeros(n) if beta is None else np.asarray(beta, np.float64).copy()
    present = np.isfinite(bias) & np.isfinite(keys).all(1) & np.isfinite(values).all(1)
    bias[~present] = -np.inf
    keys, values = np.where(present[:, None], keys, 0), np.where(present[:, None], values, 0)
    seen = np.broadcast_to(present, (len(queries), n))
    if key_pos is not None and query_pos is not None:
        seen = seen & (np.asarray(key_pos)[None, :] <= np.asarray(query_pos)[:, None])
    usable = np.isfinite(queries).all(1) & seen.any(1)
    queries, seen = queries[usable], seen[usable]
    judged = judged_queries(len(queries), holdout, seed)
    order = np.concatenate([np.flatnonzero(~judged), np.flatnonzero(judged)])
    queries, seen = queries[order], seen[order]
    scores = queries @ keys.T * (scale or 1.0 / np.sqrt(d))
    if softcap > 0:
        scores = softcap * np.tanh(scores / softcap)
    scores = np.where(seen, scores + np.where(present, bias, 0), -np.inf)
    attention = np.exp(scores - scores.max(1, keepdims=True, initial=-1e30))
    attention /= attention.sum(1, keepdims=True)
    return _Head(values, attention, attention @ values, bias, int((~judged).sum()))


def bounded_weights(features: Array, target: Array, lo: float, hi: float, start: Array) -> Array:
    """argmin |target - features w|² with lo <= w <= hi, by coordinate descent to convergence."""
    w = start.copy()
    norms = (features**2).sum(0)
    residual = target - features @ w
    before = float(residual @ residual)
    for _ in range(300):
        for j in np.flatnonzero(norms > 1e-30):
            column = features[:, j]
            new = min(max(w[j] + float(column @ residual) / norms[j], lo), hi)
            residual += (w[j] - new) * column
            w[j] = new
        after = float(residual @ residual)
        if before - after <= 1e-5 * before:
            break
        before = after
    return w


def omp(attention: Array, live: int, m: int, batch: int, lo: float, hi: float) -> Cells:
    """Matching pursuit on the mass: keys that best explain what no chosen key explains yet.

    `batch` keys are picked between two refits, one by one from the best candidates of the last look
    at all keys, each with its effect on the residual.
    """
    chosen: list[int] = []
    w = np.zeros(0)
    residual = np.ones(len(attention))
    while (missing := min(m, live) - len(chosen)) > 0:
        if float(residual @ residual) <= EXPLAINED**2 * len(residual):
            break
        gain = attention.T @ residual
        gain[chosen] = -np.inf
        picks = min(batch, missing)
        size = min(CANDIDATES * picks, live - len(chosen))
        pool = np.argsort(-gain, kind="stable")[:size].tolist()
        left, before = residual.copy(), len(chosen)
        for _ in range(picks):
            gains = attention[:, pool].T @ left
            if gains.max() <= 0:
                break  # nothing here adds mass that is missing
            best = pool.pop(int(np.argmax(gains)))
            column = attention[:, best]
            norm = float(column @ column)
            weight = min(max(float(column @ left) / norm if norm > 1e-30 else 1.0, lo), hi)
            left -= weight * column
            w = np.append(w, weight)
            chosen.append(best)
        if len(chosen) == before:
            break
        features = attention[:, chosen]
        w = bounded_weights(features, np.ones(len(features)), lo, hi, w)
        residual = 1.0 - features @ w
    return np.asarray(chosen, np.intp)


def _select(
    head: _Head,
    m: int,
    method: str,
    score: str,
    pool: int,
    omp_k: int,
    omp_interval: int,
    bounds: tuple[float, float],
    key_pos: ArrayLike | None,
) -> Cells:
    present = np.isfinite(head.bias)
    mean = np.where(present, head.attention.mean(0), -1) if len(head.attention) else None
    if mean is None or method == "evict-recent":
        live = np.flatnonzero(present)
        if key_pos is not None:
            live = live[np.argsort(np.asarray(key_pos)[live], kind="stable")]
        sinks = min(SINKS, m, len(live))
        order = np.concatenate([live[:sinks], live[sinks:][::-1], np.flatnonzero(~present)])
        return np.sort(order[:m])
    if method == "am-omp":
        live_count = int(present.sum())
        chosen = omp(head.attention, live_count, m, omp_k * omp_interval, *bounds)
        order = np.argsort(-mean, kind="stable")
        rest = order[~np.isin(order, chosen)]
        return np.sort(np.concatenate([chosen, rest])[:m])
    strength = mean
    if method == "am-attention":
        if score == "rms":
            strength = np.sqrt((head.attention**2).mean(0))
        elif score == "max":
            strength = head.attention.max(0)
        if (reach := pool // 2) > 0:
            padded = np.pad(strength, reach)
            ones = np.pad(np.ones_like(strength), reach)
            window = np.ones(2 * reach + 1)
            strength = np.convolve(padded, window, "valid") / np.convolve(ones, window, "valid")
        strength = np.where(present, strength, -1)
    return np.sort(np.argsort(-strength, kind="stable")[:m])


class _Fit:
    """Weights and values for chosen cells, judged on the last queries of the head."""

    def __init__(
        self, head: _Head, cells: Cells, bounds: tuple[float, float], limit: float
    ) -> None:
        self.head, self.features = head, head.attention[:, cells]
        self.values, self.limit = head.values[cells], limit
        self.lo, self.hi = np.exp(bounds[0]), np.exp(bounds[1])
        self.plenty = head.q_fit >= PLENTY * len(cells)

    def level(self, rows: slice) -> Array:
        """One weight for all cells: the best for the mass, without effect on the output."""
        total = self.features[rows].sum(1)
        beta = -float(np.log(np.maximum(total, MASS_FLOOR)).mean()) if len(total) else 0.0
        return np.full(len(self.values), min(max(np.exp(beta), self.lo), self.hi))

    def weights(self, rows: slice, power: float, start: Array, warm: bool) -> Array:
        features = self.features[rows]
        w = start
        if not warm:
            w = bounded_weights(features, np.ones(len(features)), self.lo, self.hi, start)
        for _ in range(BETA_ROUNDS):
            scale = np.maximum(features @ w, MASS_FLOOR) ** -power
            w = bounded_weights(features * scale[:, None], scale, self.lo, self.hi, w)
        return w

    def mixture(self, w: Array) -> Array:
        x = self.features * w
        total = x.sum(1, keepdims=True)
        return np.divide(x, total, out=np.zeros_like(x), where=total > 1e-30)

    def change(self, x: Array, rows: slice, ridge: float) -> Array:
        """argmin |(Y - X V) - X D|² + ridge · mean(diag XᵀX) · |D|², in its dual form if smaller."""
        rest, x = (self.head.targets - x @ self.values)[rows], x[rows]
        unit = ridge * float((x**2).sum()) / x.shape[1]
        if x.shape[1] <= x.shape[0]:
            gram = x.T @ x + unit * np.eye(x.shape[1])
            found = np.linalg.solve(gram, x.T @ rest)
        else:
            found = x.T @ np.linalg.solve(x @ x.T + unit * np.eye(x.shape[0]), rest)
        return np.clip(self.values + found, -self.limit, self.limit) - self.values

    def error(self, x: Array, change: Array | float) -> float:
        held = slice(self.head.q_fit, None)
        target = self.head.targets[held]
        left = target - x[held] @ (self.values + change)
        size, off = np.linalg.norm(target), np.linalg.norm(left)
        return float(off / size) if size > 0 else float(off > 0)

    def mass_error(self, w: Array) -> float:
        mass = self.features[self.head.q_fit :] @ w
        return float(np.abs(np.log(np.maximum(mass, 1e-12))).mean())

    def choose(self, w: Array, ridges: tuple[float, ...]) -> tuple[float, float]:
        """The held-out error and the ridge that gives it; inf = unfitted values."""
        x = self.mixture(w)
        best, chosen, worse = self.error(x, 0.0), np.inf, 0
        for ridge in ridges:
            error = self.error(x, self.change(x, slice(0, self.head.q_fit), ridge))
            bar = CLEARLY if self.plenty and chosen < np.inf else 1.0
            if error < best * bar:
                best, chosen, worse = error, ridge, 0
            elif chosen < np.inf:
                worse += 1
                if worse == 2:
                    break
        return best, chosen


def compact_head(
    keys: ArrayLike,
    values: ArrayLike,
    queries: ArrayLike,
    m: int,
    *,
    method: str = "am-attention",
    beta_bounds: tuple[float, float] | None = None,
    ridge: float | None = None,
    beta: ArrayLike | None = None,
    key_pos: ArrayLike | None = None,
    query_pos: ArrayLike | None = None,
    scale: float | None = None,
    softcap: float = 0.0,
    score: str = "rms",
    pool: int = 0,
    omp_k: int = 4,
    omp_interval: int = 2,
    fit_beta: bool | None = None,
    fit_values: bool | None = None,
    value_ratio: float = 20.0,
    value_limit: float = 32752.0,
    holdout: float = 0.2,
    seed: int = 0,
) -> Reference:
    """As engine.compaction.compact_head, for full method names."""
    k, v, q = (np.asarray(a, np.float64) for a in (keys, values, queries))
    head = _prepare(k, v, q, beta, key_pos, query_pos, scale, softcap, holdout, seed)
    m = min(m, len(k))
    if beta_bounds is None:
        share = max(int(np.isfinite(head.bias).sum()), 1) / m
        beta_bounds = (-3.0, max(3.0, np.log(share) + 1 if method == "am-omp" else 0.0))
    bounds = (float(np.exp(beta_bounds[0])), float(np.exp(beta_bounds[1])))
    fits = method.startswith("am-") and m < len(k)
    fit_beta = fits if fit_beta is None else fit_beta and m < len(k)
    fit_values = fits if fit_values is None else fit_values and m < len(k)
    cells = _select(head, m, method, score, pool, omp_k, omp_interval, bounds, key_pos)
    top = float(np.abs(head.values[np.isfinite(head.bias)]).max(initial=0.0))
    limit = min(x for x in (value_ratio * top, value_limit, np.inf) if x > 0 or top == 0)
    fit = _Fit(head, cells, beta_bounds, limit)
    judged, everything = len(head.attention) - head.q_fit, slice(None)
    fitting = slice(0, head.q_fit)
    blind = judged == 0
    grid = GRID_PLENTY if fit.plenty else GRID
    ridges = (grid if ridge is None else (ridge,)) if fit_values and not blind else ()
    ones = np.ones(m)
    plain = fit.choose(ones, ())[0] if judged else np.nan
    best, chosen, power = plain, np.inf, 0.0
    w = fit.level(fitting) if fit_beta and len(head.attention) else ones
    shifted, lost = w, fit.mass_error(w) if judged else np.nan
    if fit_beta and not blind:
        for trial in (1.0, 2.0):
            if trial > 1 and best <= SERVED_BADLY:
                break
            candidate = fit.weights(fitting, trial, w, power > 0)
            near = [r for r in ridges if fit.plenty or chosen / 11 < r < chosen * 11]
            error, found = fit.choose(candidate, tuple(near) if np.isfinite(chosen) else ridges)
            mass = fit.mass_error(candidate)
            if error <= (0.97 * best if power else plain) and mass <= 1.35 * max(lost, 0.05):
                best, chosen, power, w, lost = error, found, trial, candidate, mass
    if fit_values and not blind and power == 0:
        best, chosen = fit.choose(shifted, ridges)
    mass_error = fit.mass_error(w) if judged else np.nan
    if power:
        w = fit.weights(everything, power, w, True)
    elif fit_beta and len(head.attention):
        w = fit.level(everything)
    out = fit.values
    if np.isfinite(chosen):
        out = out + fit.change(fit.mixture(w), everything, chosen)
    total = head.bias[cells] + np.log(w)
    return Reference(cells, total, out, best, plain, mass_error, chosen, power)
