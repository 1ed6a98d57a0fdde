"""The choice without a bonus, beside the one that was made: mass that was replaced, distinct experts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.routing import Experts

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Compared:
    """One sampled step."""

    mass: float  # share of the router mass of the unbiased choice that the made one lacks
    distinct: float  # experts a layer would have read without a bonus, mean over layers
    ranges: F32  # [n_layers] best minus worst selection score of a token, mean over tokens


def flags_of(ids: I32, experts: Experts, rows: int) -> Flags:
    """[n_layers, n_expert]: whether the first `rows` tokens use an expert. ids [layers, >=rows, k]."""
    flags = np.zeros((experts.n_layers, experts.n_expert), bool)
    for layer in experts.layers:
        flags[layer, ids[layer, :rows, : experts.used[layer]]] = True
    return flags


def as_probabilities(probs: F32, gating: str) -> F32:
    """Routers that weigh by logits (llama4: sigmoid, gpt-oss: softmax of the chosen) as the rest."""
    if gating == "softmax of the chosen":
        e = np.exp(probs - probs.max(-1, keepdims=True))
        return (e / e.sum(-1, keepdims=True)).astype(np.float32)
    if (probs < 0).any():
        return (1 / (1 + np.exp(-probs))).astype(np.float32)
    return probs


def compare(experts: Experts, scores: F32, probs: F32, ids: I32) -> Compared:
    """scores, probs [n_layers, n, n_expert], ids [n_layers, >= n, n_used] of the same n tokens."""
    n = scores.shape[1]
    probs = as_probabilities(probs, experts.gating)
    mass, distinct = [], []
    ranges = np.zeros(experts.n_layers, np.float32)
    for layer in experts.layers:
        k = int(experts.used[layer])
        s, p = scores[layer], probs[layer]
        best = np.argpartition(-s, k - 1, axis=1)[:, :k]
        wanted = np.take_along_axis(p, best, 1).sum(1)
        got = np.take_along_axis(p, ids[layer, :n, :k], 1).sum(1)
        mass.append(float(np.mean(1 - got / np.maximum(wanted, 1e-9))))
        distinct.append(len(np.unique(best)))
        finite = np.where(np.isfinite(s), s, np.nan)
        ranges[layer] = np.mean(np.nanmax(finite, 1) - np.nanmin(finite, 1))
    return Compared(max(0.0, float(np.mean(mass))), float(np.mean(distinct)), ranges)


def kl(plain: F32, biased: F32) -> float:
    """Mean KL(plain || biased) in nats of rows of logits [n, n_vocab]."""
    a = plain.astype(np.float64) - plain.max(1, keepdims=True)
    b = biased.astype(np.float64) - biased.max(1, keepdims=True)
    a -= np.log(np.exp(a).sum(1, keepdims=True))
    b -= np.log(np.exp(b).sum(1, keepdims=True))
    return float(np.maximum(0.0, (np.exp(a) * (a - b)).sum(1)).mean())
