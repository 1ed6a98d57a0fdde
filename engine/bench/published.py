"""The paper authors' published algorithms, after their description: the figures to beat.

Plain least squares for the values, clamped least squares and two projected gradient steps for the
biases, matching pursuit with at most beta 7; float32, as published. See arXiv 2602.16284.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
METHODS = ("published-attention", "published-omp-fast", "published-omp")


def softmax(scores: Array) -> Array:
    """Rows that sum to one."""
    out: Array = np.exp(scores - scores.max(axis=1, keepdims=True))
    out /= out.sum(axis=1, keepdims=True)
    return out


def _weights(features: Array, target: Array, hi: float, steps: int) -> Array:
    """Least squares, clamped, then projected gradient steps; w >= 1e-12."""
    w = np.linalg.lstsq(features, target, rcond=None)[0].clip(1e-12, hi)
    if steps:
        rate = 1.0 / max(float(np.linalg.norm(features, 2)) ** 2, 1e-12)
        for _ in range(steps):
            w = (w - rate * (features.T @ (features @ w - target))).clip(1e-12, hi)
    return w.astype(np.float32)


def _omp(
    mass: Array, target: Array, m: int, k: int, interval: int
) -> tuple[NDArray[np.intp], Array]:
    hi, lowest = float(np.exp(7.0)), float(np.exp(-7.0))
    chosen: list[int] = []
    banned = np.zeros(mass.shape[1], bool)
    w = np.zeros(0, np.float32)
    for attempt in range(4):
        residual, step = target - mass[:, chosen] @ w, 0
        while len(chosen) < m:
            gain = mass.T @ residual
            gain[chosen] = -np.inf
            gain[banned] = -np.inf
            take = min(k, m - len(chosen))
            chosen += np.argpartition(-gain, take - 1)[:take].tolist()
            step += 1
            if step % interval == 0 or len(chosen) == m:
                w = _weights(mass[:, chosen], target, hi, 0)
                residual = target - mass[:, chosen] @ w
        weak = w < lowest
        if attempt == 3 or not weak.any():
            break
        banned[[c for c, bad in zip(chosen, weak, strict=True) if bad]] = True
        chosen = [c for c, bad in zip(chosen, weak, strict=True) if not bad]
        w = w[~weak]
    return np.asarray(chosen), w


def compact(
    keys: Array, values: Array, queries: Array, m: int, method: str
) -> tuple[NDArray[np.intp], Array, Array]:
    """Indices [m], beta [m] and values [m, dv] of one head."""
    scale = np.float32(1.0 / np.sqrt(keys.shape[1]))
    scores = queries @ keys.T * scale
    mass = np.exp(scores - scores.max(axis=1, keepdims=True))
    target = mass.sum(axis=1)
    attention = mass / target[:, None]
    if method == "published-attention":
        strength = np.sqrt((attention**2).mean(axis=0))
        chosen = np.sort(np.argsort(-strength, kind="stable")[:m])
        w = _weights(mass[:, chosen], target, float(np.exp(3.0)), 2).clip(float(np.exp(-3.0)))
    else:
        k, interval = (4, 2) if method == "published-omp-fast" else (1, 1)
        chosen, w = _omp(mass, target, m, k, interval)
    beta = np.log(w)
    x = softmax(scores[:, chosen] + beta)
    fitted = np.linalg.lstsq(x, attention @ values, rcond=None)[0]
    return chosen, beta.astype(np.float32), fitted.astype(np.float32)
