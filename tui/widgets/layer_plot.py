"""The error of a compaction, layer by layer, as bars with a scale; eviction's stands beside them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

EIGHTHS = " ▁▂▃▄▅▆▇█"
SCALE = 6  # columns of the scale at the left
BESIDE = 13  # columns of the two bars at the right: the mean, and eviction


def top_of(values: Sequence[float], beside: float) -> float:
    """Where the scale ends: a round number that the bars reach into, and eviction if it can."""
    most = max([*values, 1e-4])
    wanted = max(most, beside) if beside <= 8 * most else most * 1.3
    for step in (
        0.001,
        0.002,
        0.005,
        0.01,
        0.02,
        0.03,
        0.05,
        0.08,
        0.1,
        0.15,
        0.2,
        0.3,
        0.4,
        0.6,
        0.8,
        1.0,
    ):
        if step >= wanted:
            return step
    return wanted


def binned(values: Sequence[float], room: int) -> list[tuple[int, float]]:
    """(first layer, worst error) of as many groups of neighbouring layers as there is room for."""
    size = max(1, -(-len(values) // max(1, room)))
    return [(i, max(values[i : i + size])) for i in range(0, len(values), size)]


def layer_plot(
    values: Sequence[float], mean: float, evict: float, width: int, height: int, colour: str = ""
) -> Text:
    """Up to `height` rows: bars on a scale, then a row with the numbers of the layers."""
    text = Text(no_wrap=True, overflow="crop")
    if not values or height < 3:
        return text.append("no error by layer was measured", "dim")
    rows = (height - 1) // 2 * 2  # even, so that the middle of the scale is a round number
    room = width - SCALE - 1 - (BESIDE if evict else 0)
    groups = binned(values, max(1, room))
    each = max(1, min(6, room // len(groups)))
    gap = 1 if each > 2 else 0
    top = top_of(values, max(mean, evict))
    beside = [("mean", mean, "bold"), ("evict", evict, "dim")] if evict else []
    for row in range(rows):
        low = rows - 1 - row  # rows below this one
        label = _mark(top * (rows - row) / rows) if row in (0, rows // 2) else ""
        text.append(f"{label:>{SCALE - 1}} ", "dim")
        text.append("┤" if label else "│", "dim")
        for _, value in groups:
            text.append(_slice(value / top, rows, low) * (each - gap) + " " * gap, colour)
        if beside:
            text.append(" ")
        for _, value, style in beside:
            over = value > top and row == 0
            mark = "▲" if over else _slice(value / top, rows, low)
            text.append(f" {mark * 5}", colour if style == "bold" else style)
        text.append("\n")
    text.append(" " * SCALE + "└", "dim")
    labels = ""
    for place, (first, _) in enumerate(groups):
        if len(labels) <= place * each and place * each + len(str(first + 1)) <= each * len(groups):
            labels = labels.ljust(place * each) + f"{first + 1} "
    text.append(labels[: each * len(groups)].ljust(each * len(groups)), "dim")
    if beside:
        text.append("  mean  evict", "dim")
    return text


def _mark(share: float) -> str:
    """A place on the scale: 5%, 2.5%."""
    return f"{100 * share:.3g}%"


def _slice(share: float, rows: int, low: int) -> str:
    """The part of a bar in the row that has `low` rows below it."""
    eighths = round(max(0.0, min(1.0, share)) * rows * 8)
    if share > 0 and eighths == 0:
        eighths = 1  # what was measured is never invisible
    return EIGHTHS[max(0, min(8, eighths - 8 * low))]
