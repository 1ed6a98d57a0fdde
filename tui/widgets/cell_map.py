"""The map of the real KV cells: each picture element stands for a few neighbouring cells.

It reads like text, from top left to bottom right, two elements (halves) in each column. Letters
stand in the runs so that owners can be told apart without colour; ◂ marks the highest used cell,
beyond which attention need not read.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.color import Color as Paint
from textual.strip import Strip
from textual.widget import Widget

from engine.protocol import CacheMap
from tui.widgets.marks import KEPT_LETTER, SHARED_LETTER

FREE, SHARED, KEPT = "", "*", "~"
HIGHEST = "◂"
LETTER_RUN = 2  # columns a run must have to carry its letter


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
    """Draws a CacheMap into whatever box it is given."""

    DEFAULT_CSS = "CellMap { height: 1fr; min-height: 3; background: $background; }"

    def __init__(self) -> None:
        super().__init__()
        self.cache: CacheMap | None = None
        self.colours: dict[str, str] = {}
        self.letters: dict[str, str] = {}
        self._strips: list[Strip] = []
        self._key: object = None

    def show(self, cache: CacheMap, colours: dict[str, str], letters: dict[str, str]) -> None:
        """Draw another state of the cells."""
        self.cache, self.colours, self.letters = cache, colours, letters
        self._key = None
        self.refresh()

    def notify_style_update(self) -> None:
        self._key = None
        super().notify_style_update()

    def render_line(self, y: int) -> Strip:
        width, height = self.size
        if self.cache is None:
            text = "waiting for the engine…" if y == 0 else ""
            return Strip([Segment(text[:width].ljust(width), Style(dim=True))], width)
        key = (id(self.cache), width, height, self.app.no_color)
        if key != self._key:
            self._key = key
            self._strips = self._draw(self.cache, width, height)
        return self._strips[y] if y < len(self._strips) else Strip.blank(width)

    def _draw(self, cache: CacheMap, width: int, height: int) -> list[Strip]:
        """All lines at once: the grid is one bincount over the cells."""
        halves = 2 * width
        grid, owners = owner_grid(cache, halves * height)
        # Where the mark of the highest cell goes: the first column that lies wholly beyond it.
        end = -(-cache.highest * width * height // cache.total) if cache.total else 0
        read = np.arange(width * height) < end
        end = end or -1  # an empty cache has no highest cell
        if self.app.no_color:
            return [
                self._plain(grid[2 * a : 2 * a + halves : 2], owners, read[a : a + width], end - a)
                for a in range(0, width * height, width)
            ]
        free, ground = self._free_colours()
        colours = [Color.parse(self.colours.get(o) or free) for o in owners]
        unread = Color.parse(ground)
        return [
            self._coloured(
                grid[2 * a : 2 * a + halves : 2], grid[2 * a + 1 : 2 * a + halves : 2],
                read[a : a + width], owners, colours, unread, end - a,
            )
            for a in range(0, width * height, width)
        ]  # fmt: skip

    def _free_colours(self) -> tuple[str, str]:
        """Free cells that attention reads over, and those beyond the highest one."""
        variables = self.app.theme_variables
        ground = Paint.parse(variables.get("panel", "#222222"))
        text = Paint.parse(variables.get("foreground", "#dddddd"))
        return ground.blend(text, 0.22).hex6, ground.hex6

    def _coloured(
        self, left: NDArray[np.int32], right: NDArray[np.int32], read: NDArray[np.bool_],
        owners: list[str], colours: list[Color], unread: Color, mark: int,
    ) -> Strip:  # fmt: skip
        code = (left.astype(np.int64) * len(owners) + right) * 2 + read
        if 0 <= mark < len(code):  # else it stands in another line
            code = code.copy()
            code[mark] = -1  # a run of its own
        borders = np.flatnonzero(np.diff(code)) + 1
        segments: list[Segment] = []
        starts = [0, *borders.tolist(), len(code)]
        for begin, end in pairwise(starts):
            a, b = int(left[begin]), int(right[begin])
            seen = bool(read[begin])
            fore = colours[a] if a or seen else unread
            back = colours[b] if b or seen else unread
            text = "▌" * (end - begin)
            if begin == mark:
                text, fore = HIGHEST, Color.parse("default")
            elif a == b:
                text = " " * (end - begin)
                if a and end - begin >= LETTER_RUN:
                    text = self._letter(owners[a]) + text[1:]
                    fore = _ink(back)
            segments.append(Segment(text, Style(color=fore, bgcolor=back)))
        return Strip(segments, len(code))

    def _plain(
        self, row: NDArray[np.int32], owners: list[str], read: NDArray[np.bool_], mark: int
    ) -> Strip:
        """Without colour each column shows the letter of its owner."""
        text = [
            HIGHEST if x == mark else self._letter(owners[i]) if i else "·" if seen else " "
            for x, (i, seen) in enumerate(zip(row, read, strict=True))
        ]
        return Strip([Segment("".join(text), Style())], len(text))

    def _letter(self, owner: str) -> str:
        special = {SHARED: SHARED_LETTER, KEPT: KEPT_LETTER}
        return special.get(owner) or self.letters.get(owner, "?")


def _ink(ground: Color) -> Color:
    """Black or white, whichever reads better on `ground`."""
    triplet = ground.get_truecolor()
    light = 0.299 * triplet.red + 0.587 * triplet.green + 0.114 * triplet.blue
    return Color.parse("#000000" if light > 120 else "#ffffff")
