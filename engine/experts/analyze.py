"""What a recording of experts shows: balance, pairs, transitions, reuse, what caches would do."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.experts import record
from engine.experts.record import Frame, Header
from engine.experts.simulate import CACHES, reuse_distances

MOST_STEPS = 2000  # decoding steps that are looked at; of longer recordings the newest
PAIRS = 10
F64 = npt.NDArray[np.float64]


def analyze(path: Path) -> dict[str, Any]:
    """Everything about a file as JSON-able values. Raises RecordError."""
    header, frames, faults = record.read(path)
    steps = [frame for frame in frames if frame.decode]
    steps, dropped = steps[-MOST_STEPS:], max(0, len(steps) - MOST_STEPS)
    result: dict[str, Any] = {
        "file": str(path), "model": header.model, "n_expert": header.n_expert,
        "layers": list(header.layers), "used": list(header.used), "steps": len(steps),
        "tokens": sum(frame.decode for frame in steps), "steps_left_out": dropped,
        "faults": faults,
    }  # fmt: skip
    if not steps:
        return result
    uses = counts(header, steps)
    result["balance"] = balance(uses)
    result["distinct"] = distinct(header, steps)
    result["co_selection"] = pairs(header, steps, uses)
    result["transitions"] = transitions(header, steps)
    accesses = [accesses_of(steps, i) for i in range(len(header.layers))]
    result["reuse"] = reuse(accesses)
    result["caches"] = caches(header, accesses)
    result["uses"] = uses.astype(int).tolist()
    return result


def counts(header: Header, steps: list[Frame]) -> F64:
    """Uses [layers, n_expert]."""
    out = np.zeros((len(header.layers), header.n_expert))
    for i in range(len(header.layers)):
        out[i] = np.bincount(
            np.concatenate([frame.ids[i].ravel() for frame in steps]), minlength=header.n_expert
        )
    return out


def balance(uses: F64) -> dict[str, Any]:
    """1 = all experts are used alike. Entropy as a share of its maximum; busiest over mean; Gini."""
    share = uses / np.maximum(1, uses.sum(1, keepdims=True))
    logs = np.log(np.where(share > 0, share, 1))
    entropy = -(share * logs).sum(1) / np.log(max(2, uses.shape[1]))
    ordered, n = np.sort(share, 1), uses.shape[1]
    gini = ((2 * np.arange(1, n + 1) - n - 1) * ordered).sum(1) / n
    return {
        "entropy": _round(entropy), "busiest_to_mean": _round(share.max(1) * n),
        "gini": _round(gini), "never_used": (uses == 0).sum(1).astype(int).tolist(),
    }  # fmt: skip


def distinct(header: Header, steps: list[Frame]) -> dict[str, Any]:
    """Experts of a layer that a step reads, and the bytes of expert weights a token costs."""
    sizes = np.asarray(header.bytes, float)
    found = np.array([[len(np.unique(ids)) for ids in frame.ids] for frame in steps], float)
    tokens = sum(frame.decode for frame in steps)
    return {
        "by_layer": _round(found.mean(0)), "mean": round(float(found.mean()), 2),
        "bytes_per_token": round(float((found @ sizes).sum() / tokens)),
    }  # fmt: skip


def pairs(header: Header, steps: list[Frame], uses: F64) -> list[dict[str, Any]]:
    """The pairs that tokens choose together most, beyond chance (`lift` 1 = chance)."""
    found: list[dict[str, Any]] = []
    for i, layer in enumerate(header.layers):
        together = co_selection(header, steps, i)
        tokens = max(1, sum(len(frame.ids[i]) for frame in steps))
        chance = np.outer(uses[i], uses[i]) / tokens
        upper = np.triu(together, 1)
        for at in np.argsort(-upper, axis=None, kind="stable")[:PAIRS]:
            a, b = divmod(int(at), header.n_expert)
            if upper[a, b] > 0:
                found.append({
                    "layer": layer, "experts": [a, b], "share": round(upper[a, b] / tokens, 4),
                    "lift": round(float(upper[a, b] / chance[a, b]), 2),
                })  # fmt: skip
    return sorted(found, key=lambda p: -float(p["share"]))[:PAIRS]


def co_selection(header: Header, steps: list[Frame], i: int) -> F64:
    """[n_expert, n_expert]: tokens that chose both; the diagonal counts single uses."""
    rows = np.concatenate([frame.ids[i] for frame in steps])
    chosen = np.zeros((len(rows), header.n_expert), np.float32)
    np.put_along_axis(chosen, rows, 1.0, axis=1)
    return (chosen.T @ chosen).astype(float)


def transitions(header: Header, steps: list[Frame]) -> list[dict[str, Any]]:
    """How well a layer's experts foretell the next layer's: share of them that is found.

    Learnt on the first half of the tokens, measured on the second; `popular` foretells the experts
    used most, whatever came before.
    """
    found = []
    for i, (here, there) in enumerate(pairwise(header.layers)):
        fits = [f for f in steps if len(f.ids[i]) == len(f.ids[i + 1])]
        if not fits:
            continue
        a = np.concatenate([f.ids[i] for f in fits])
        b = np.concatenate([f.ids[i + 1] for f in fits])
        half, n, k = len(a) // 2, header.n_expert, b.shape[1]
        if half < 8:
            continue
        ones_a, ones_b = np.zeros((len(a), n), np.float32), np.zeros((len(b), n), np.float32)
        np.put_along_axis(ones_a, a, 1.0, axis=1)
        np.put_along_axis(ones_b, b, 1.0, axis=1)
        seen = ones_a[:half].sum(0)[:, None] + 1.0
        table = np.log((ones_a[:half].T @ ones_b[:half] + 0.5) / seen)
        guessed = np.argsort(-(ones_a[half:] @ table), axis=1)[:, :k]
        popular = np.argsort(-ones_b[:half].sum(0))[:k]
        truth = ones_b[half:]
        found.append({
            "from": here, "to": there,
            "accuracy": round(float(np.take_along_axis(truth, guessed, 1).mean()), 3),
            "popular": round(float(truth[:, popular].mean()), 3),
        })  # fmt: skip
    return found


def accesses_of(steps: list[Frame], i: int) -> list[int]:
    """What a cache of layer i is asked for: the distinct experts of each step, in order."""
    return [int(e) for frame in steps for e in np.unique(frame.ids[i])]


def reuse(accesses: list[list[int]]) -> dict[str, Any]:
    """Other experts of the layer between two uses of one."""
    all_distances = np.array([d for one in accesses for d in reuse_distances(one)])
    if not len(all_distances):
        return {"median": None, "p90": None, "p99": None}
    return {f"p{q}" if q != 50 else "median": float(np.percentile(all_distances, q))
            for q in (50, 90, 99)}  # fmt: skip


def caches(header: Header, accesses: list[list[int]]) -> list[dict[str, Any]]:
    """Hit rates by experts that a layer's cache holds."""
    total = sum(map(len, accesses))
    sizes = sorted({max(1, round(header.n_expert * part / 8)) for part in range(1, 8)})
    return [
        {"size": size, **{
            name: round(sum(hits(one, size) for one in accesses) / max(1, total), 4)
            for name, hits in CACHES.items()
        }}
        for size in sizes
    ]  # fmt: skip


def _round(values: F64) -> list[float]:
    return [round(float(v), 4) for v in values]
