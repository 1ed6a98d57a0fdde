"""How much each head matters: weights for the error bound, cells for heads that need fewer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from engine.errors import ConfigError
from engine.seam import LayerInfo


class ProfileFile(msgspec.Struct):
    """What `halo-tui profile` writes: errors of every head over ratios, and what follows."""

    model: str
    ratios: list[float]
    errors: list[list[list[float]]]  # [layer][KV head][ratio], relative output error
    sensitivity: list[list[float]]  # [layer][KV head], mean 1: weight in the error bound
    share: list[list[float]]  # [layer][KV head], 0..1 of the kept cells that the head needs
    layers: list[int] = []  # their indices in the model
    context: int = 0
    queries: int = 0


class HeadWeights:
    """Weights and shares of all heads; equal and whole without a profile."""

    def __init__(self, weights: npt.NDArray[np.float64], shares: npt.NDArray[np.float64]) -> None:
        self._weights, self._shares = weights, shares  # [layers, heads]

    @classmethod
    def load(cls, path: str, layers: Sequence[LayerInfo]) -> HeadWeights:
        """Of a profile's file, "" for none. Raises ConfigError when it cannot be used."""
        heads = max((layer.n_head_kv for layer in layers), default=1)
        shape = (max(1, len(layers)), heads)
        if not path:
            return cls(np.ones(shape), np.ones(shape))
        remedy = "Make it anew with `halo-tui profile`, or empty compaction.profile."
        try:
            found = msgspec.json.decode(Path(path).expanduser().read_bytes(), type=ProfileFile)
        except (OSError, msgspec.MsgspecError) as error:
            raise ConfigError(
                f"compaction.profile: {path} cannot be read: {error}.", remedy, file=path
            ) from error
        weights, shares = np.array(found.sensitivity), np.array(found.share)
        if weights.shape != shape or shares.shape != shape:
            raise ConfigError(
                f"compaction.profile: {path} is of another model ({found.model}).",
                remedy,
                file=path,
            )
        return cls(weights, np.clip(shares, 0.0, 1.0))

    def mean(
        self, errors: npt.NDArray[np.floating], layers: Sequence[int] | None = None
    ) -> npt.NDArray[np.float64]:
        """Weighted mean over layers and heads of [layers, heads, k]: [k]. `layers`: which ones."""
        own = self._weights if layers is None else self._weights[list(layers)]
        weights = own[: errors.shape[0], : errors.shape[1], None]
        return np.asarray((errors * weights).sum((0, 1)) / weights.sum())

    def budgets(self, layer: int, cells: int) -> list[int]:
        """Cells of each head of a layer when the span gets `cells`."""
        return [max(1, min(cells, round(cells * float(s)))) for s in self._shares[layer]]
