"""The map of the real KV cells: one picture element for a few neighbouring cells."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from engine.protocol import CacheMap

FREE, SHARED, KEPT = "", "*", "~"


def owner_grid(cache: CacheMap, points: int) -> tuple[NDArray[np.int32], list[str]]:
    """Which owner stands for each of `points` equal shares of the cells.

    Returns indices [points] into the list of owners; owner 0 is free. A share shows the owner
    with most cells in it; free cells count only when there is nothing else, so that a single
    used cell is never hidden.
    """
    owners = [FREE, *sorted({run.owner for run in cache.runs} - {FREE})]
    index = {owner: i for i, owner in enumerate(owners)}
    if not cache.total or points <= 0:
        return np.zeros(max(points, 0), np.int32), owners
    lengths = np.fromiter((run.length for run in cache.runs), np.int64, len(cache.runs))
    names = np.fromiter((index[run.owner] for run in cache.runs), np.int64, len(cache.runs))
    cells = np.zeros(cache.total, np.int64)
    filled = np.repeat(names, lengths)[: cache.total]
    cells[: len(filled)] = filled
    if cache.total >= points:
        share = np.arange(cache.total) * points // cache.total
        flat = np.bincount(share * len(owners) + cells, minlength=points * len(owners))
        counts = flat.reshape(points, len(owners))
        counts[:, 0] = 0
        grid = np.where(counts.any(axis=1), counts.argmax(axis=1), 0)
    else:
        grid = cells[np.arange(points) * cache.total // points]
    return grid.astype(np.int32), owners


class CellMap(Widget):
    """Cells from top left to bottom right, two rows of picture elements in each line."""

    DEFAULT_CSS = "CellMap { height: 1fr; min-height: 3; background: $background; }"

    def __init__(self) -> None:
        super().__init__()
        self.cache: CacheMap | None = None
        self.colours: dict[str, str] = {}
        self.letters: dict[str, str] = {}
        self._grid: NDArray[np.int32] = np.zeros(0, np.int32)
        self._owners: list[str] = [FREE]
        self._key: object = None

    def show(self, cache: CacheMap, colours: dict[str, str], letters: dict[str, str]) -> None:
        """Draw another state of the cells."""
        self.cache, self.colours, self.letters = cache, colours, letters
        self._key = None
        self.refresh()

    @property
    def plain(self) -> bool:
        """Without colour, letters stand for owners and each line is one row."""
        return self.app.no_color

    def _prepare(self) -> None:
        rows = self.size.height * (1 if self.plain else 2)
        key = (id(self.cache), self.size, self.plain)
        if self.cache is None or key == self._key:
            return
        self._key = key
        self._grid, self._owners = owner_grid(self.cache, rows * self.size.width)

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if self.cache is None:
            text = "waiting for the engine…" if y == 0 else ""
            return Strip([Segment(text[:width].ljust(width), Style(dim=True))], width)
        self._prepare()
        if self.plain:
            row = self._grid[y * width : (y + 1) * width]
            text = "".join(self._letter(self._owners[i]) for i in row)
            return Strip([Segment(text.ljust(width), Style())], width)
        top = self._grid[2 * y * width : (2 * y + 1) * width]
        bottom = self._grid[(2 * y + 1) * width : (2 * y + 2) * width]
        free = self.app.theme_variables.get("panel", "#222222")
        colours = [self.colours.get(owner, free) if owner else free for owner in self._owners]
        # Equal neighbours become one segment: a full map is a handful of them.
        pairs = top.astype(np.int64) * len(self._owners) + bottom
        borders = np.flatnonzero(np.diff(pairs)) + 1
        segments = []
        for part in np.split(np.arange(len(pairs)), borders):
            if len(part):
                above, below = colours[top[part[0]]], colours[bottom[part[0]]]
                segments.append(Segment("▀" * len(part), Style.parse(f"{above} on {below}")))
        return Strip(segments, width)

    def _letter(self, owner: str) -> str:
        return {FREE: "·", SHARED: "=", KEPT: "~"}.get(owner) or self.letters.get(owner, "?")
