"""What experts get a bonus in the next step, one class per policy.

A bonus is a share of the *range* of a layer's selection scores (best minus worst expert of a token,
averaged over tokens): routers of different layers and models differ by orders of magnitude.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from engine.routing import Experts

F32 = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]

POLICIES = ("off", "static", "cache")
CALIBRATION = 16  # steps after which a static subset is fixed
STATIC_SHARE = 0.25  # of a layer's experts that a static subset holds
FORGET = 0.7  # share of an expert's recency that is left after a step without it


class Policy(Protocol):
    """Told what each step used; says what the next one gets."""

    keeps: bool  # whether the best experts of a token are shared with the others

    def used(self, flags: Flags) -> None:
        """`flags` [n_layers, n_expert]: whether a step's decoding tokens used an expert."""

    def weights(self) -> F32:
        """[n_layers, n_expert] in 0..1: the share of the bonus that each expert gets."""


class Static:
    """The experts used most in the first steps get the bonus for good."""

    keeps = False

    def __init__(self, experts: Experts) -> None:
        self._counts = np.zeros((experts.n_layers, experts.n_expert), np.float32)
        self._steps = 0
        self._weights = np.zeros_like(self._counts)

    def used(self, flags: Flags) -> None:
        if self._steps >= CALIBRATION:
            return
        self._steps += 1
        self._counts += flags
        if self._steps == CALIBRATION:
            size = max(1, round(STATIC_SHARE * self._counts.shape[1]))
            best = np.argsort(-self._counts, axis=1, kind="stable")[:, :size]
            np.put_along_axis(self._weights, best, 1.0, axis=1)

    def weights(self) -> F32:
        return self._weights


class Cache:
    """Experts that the running batch used lately get a part of the bonus (cache-prior routing,
    arXiv 2412.00099); those that its tokens want most *now* get all of it, inside the graph."""

    keeps = True

    def __init__(self, experts: Experts, recency: float) -> None:
        self._recency = np.float32(recency)
        self._recent = np.zeros((experts.n_layers, experts.n_expert), np.float32)

    def used(self, flags: Flags) -> None:
        self._recent *= np.float32(FORGET)
        self._recent[flags] = 1.0

    def weights(self) -> F32:
        return self._recency * self._recent


def make_policy(name: str, experts: Experts, recency: float) -> Policy | None:
    """The policy of that name; None for off."""
    if name == "static":
        return Static(experts)
    return Cache(experts, recency) if name == "cache" else None
