"""Counts what decoding steps read: uses of each expert, distinct ones, reuse, weight bytes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.routing import Experts

I32 = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]

FADE = 0.97  # share of the heat that is left after a step


class Meter:
    """Figures of a window that `take` closes; the heat map fades slowly by itself."""

    def __init__(self, experts: Experts) -> None:
        self._layers = experts.layers
        self._sizes = experts.bytes[self._layers].astype(np.float64)
        self.heat = np.zeros((experts.n_layers, experts.n_expert), np.float32)
        self._last: Flags | None = None
        self._begin()

    def _begin(self) -> None:
        self.steps = self.tokens = 0
        self._distinct = self._bytes = 0.0
        self._again = self._seen = 0
        self._without = self._without_bytes = 0.0
        self._without_tokens = self._samples = 0

    def step(self, flags: Flags, tokens: int) -> None:
        """One step of `tokens` decoding sequences that used the experts of `flags`."""
        counts = flags[self._layers].sum(1)
        self.steps += 1
        self.tokens += tokens
        self._distinct += float(counts.mean())
        self._bytes += float(counts @ self._sizes)
        if self._last is not None:
            self._again += int((flags & self._last).sum())
            self._seen += int(counts.sum())
        self._last = flags
        self.heat *= np.float32(FADE)
        self.heat[flags] += np.float32(1 - FADE)

    def without(self, distinct: float, tokens: int) -> None:
        """A sample: distinct experts a layer would have read without a bonus."""
        self._samples += 1
        self._without += distinct
        self._without_bytes += distinct * float(self._sizes.sum())
        self._without_tokens += tokens

    def take(self) -> dict[str, float]:
        """The window's figures; begins a new one. Zeros where nothing was seen."""
        steps, tokens = max(1, self.steps), max(1, self.tokens)
        found = {
            "steps": float(self.steps),
            "agents": self.tokens / steps,
            "distinct": self._distinct / steps,
            "distinct_without": self._without / max(1, self._samples),
            "reuse": self._again / max(1, self._seen),
            "bytes_per_token": self._bytes / tokens,
            "bytes_per_token_without": self._without_bytes / max(1, self._without_tokens),
        }
        self._begin()
        return found
