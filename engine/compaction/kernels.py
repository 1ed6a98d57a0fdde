"""temporary NumPy stand-in"""
from __future__ import annotations
from dataclasses import dataclass
from typing import Any, Callable
import numpy as np

class Cancelled(Exception): ...

@dataclass
class Job:
    keys: Any; values: Any; queries: Any; m: int; beta: Any = None

@dataclass
class Options:
    method: str = "am-omp"; fit_beta: bool = True; fit_values: bool = True
    scale: float | None = None; softcap: float = 0.0; value_limit: float = 32752.0; seed: int = 0

@dataclass
class Diag:
    output_error: float; evict_error: float; norm_ratio: float

@dataclass
class Result:
    indices: Any; beta: Any; values: Any; diagnostics: Diag

def softmax(s):
    e = np.exp(s - s.max(1, keepdims=True)); return e / e.sum(1, keepdims=True)

def err(y, t): return float(np.sqrt(((y - t) ** 2).sum() / max(1e-12, (t ** 2).sum())))

def one(job, o):
    K, V, Q = job.keys.astype(np.float64), job.values.astype(np.float64), job.queries.astype(np.float64)
    scale = o.scale or 1 / np.sqrt(K.shape[1])
    b0 = np.zeros(len(K)) if job.beta is None else job.beta.astype(np.float64)
    rng = np.random.default_rng(o.seed); perm = rng.permutation(len(Q)); nh = max(1, len(Q) // 5)
    hold, fit = perm[:nh], perm[nh:]
    def scores(q): 
        s = q @ K.T * scale
        if o.softcap: s = o.softcap * np.tanh(s / o.softcap)
        return s + b0
    S = scores(Q); P = softmax(S); Y = P @ V
    m = min(job.m, len(K))
    if o.method == "evict-recent":
        idx = np.r_[np.arange(min(4, m)), np.arange(len(K) - max(0, m - 4), len(K))][:m]
    else:
        rank = P.mean(0) if o.method == "evict-attention" else np.sqrt((P ** 2).mean(0))
        idx = np.sort(np.argsort(-rank)[:m])
    ev = np.sort(np.argsort(-P.mean(0))[:m])
    E = np.exp(S - S.max(1, keepdims=True)); z = E.sum(1)
    evict_error = err(softmax(S[hold][:, ev]) @ V[ev], Y[hold])
    beta = b0[idx].copy(); C = V[idx].copy()
    base = err(softmax(S[hold][:, idx]) @ V[idx], Y[hold])
    if o.method.startswith("am"):
        if o.fit_beta:
            A = E[:, idx] / z[:, None]; G = A.T @ A + 1e-6 * np.eye(m); r = A.T @ np.ones(len(Q)); w = np.ones(m)
            for _ in range(60):
                for j in range(m):
                    w[j] = np.clip(w[j] + (r[j] - G[j] @ w) / G[j, j], np.exp(-3), np.exp(3))
            beta = beta + np.log(w)
        if o.fit_values:
            X = softmax(S[:, idx] - b0[idx] + beta); R = Y - X @ V[idx]
            best = (err(X[hold] @ V[idx], Y[hold]), None)
            for lam in (1e-3, 1e-2, 1e-1, 1.0):
                def sol(rows):
                    G = X[rows].T @ X[rows]; G[np.diag_indices(m)] += lam * np.trace(G) / m + 1e-12
                    return np.linalg.solve(G, X[rows].T @ R[rows])
                e = err(X[hold] @ (V[idx] + sol(fit)), Y[hold])
                if e < best[0]: best = (e, lam)
            if best[1] is not None:
                lam = best[1]; C = V[idx] + sol(np.arange(len(Q)))
            base = best[0]
    return Result(idx, beta.astype(np.float32), C.astype(np.float32), Diag(base, evict_error, float(np.abs(C).max() / max(1e-9, np.abs(V).max()))))

def compact_heads(jobs, o, *, threads=1, stopped=lambda: False):
    out = []
    for j in jobs:
        if stopped(): raise Cancelled
        out.append(one(j, o))
    return out

def errors_over(jobs, sizes, o, *, threads=1, stopped=lambda: False):
    rows = []
    for j in jobs:
        row = []
        for m in sizes:
            if stopped(): raise Cancelled
            row.append(one(Job(j.keys, j.values, j.queries, m, j.beta), o).diagnostics.output_error)
        rows.append(row)
    return np.array(rows, np.float32)
