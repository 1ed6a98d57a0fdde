"""How often experts were used lately: a row for each layer, a column for each expert."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from rich.text import Text

from engine.protocol import Experts

SHADES = "·░▒▓█"
LABEL = 5  # columns of a layer's number


def grouped(heat: npt.NDArray[np.uint8], rows: int, columns: int) -> tuple[int, int, npt.NDArray]:
    """(layers in a row, experts in a column, heat) of as many groups as there is room for; a group
    is as hot as its hottest."""
    layers, experts = heat.shape
    high, wide = max(1, -(-layers // max(1, rows))), max(1, -(-experts // max(1, columns)))
    padded = np.zeros((-(-layers // high) * high, -(-experts // wide) * wide), heat.dtype)
    padded[:layers, :experts] = heat
    shape = (padded.shape[0] // high, high, padded.shape[1] // wide, wide)
    return high, wide, padded.reshape(shape).max((1, 3))


def expert_map(event: Experts, width: int, height: int, colours: tuple[str, ...]) -> Text:
    """Up to `height` rows of at most `width` columns; `colours` from cold to hot, one per shade."""
    text = Text(no_wrap=True, overflow="crop")
    layers = len(event.layers)
    heat = np.frombuffer(event.heat, np.uint8).reshape(layers, event.n_expert)
    high, wide, shown = grouped(heat, height - 1, width - LABEL)
    each = max(1, min(8, (width - LABEL) // shown.shape[1]))
    tall = max(1, min(3, (height - 1) // shown.shape[0]))  # lines of a row
    levels = np.minimum(len(SHADES) - 1, -(-shown.astype(int) * (len(SHADES) - 1) // 255))
    for row, line in enumerate(levels):
        for part in range(tall):
            label = "" if part else str(event.layers[row * high] + 1)
            text.append(f"{label:>{LABEL - 1}} ", "dim")
            for level in line:
                text.append(SHADES[level] * each, colours[level])
            text.append("\n")
    unit = f"{wide} experts" if wide > 1 else "an expert"
    step = f"{high} layers" if high > 1 else "a layer"
    text.append(" " * LABEL + f"a row is {step}, a column {unit} · ", "dim")
    for level, word in ((0, "never"), (1, ""), (2, ""), (3, ""), (4, "every step")):
        text.append(SHADES[level], colours[level]).append(f" {word} " if word else " ", "dim")
    return text


def slider(bonus: float, width: int, top: float = 1.0) -> str:
    """├────●─────┤ with the bonus on a scale to `top`."""
    at = round(max(0.0, min(1.0, bonus / top)) * (width - 1))
    return "├" + "─" * at + "●" + "─" * (width - 1 - at) + "┤"
