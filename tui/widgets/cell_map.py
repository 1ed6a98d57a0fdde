"""The map of the real KV cells: each picture element stands for a few neighbouring cells.

It reads like text, from top left to bottom right, two elements (halves) in each column. Letters
stand in the runs so that owners can be told apart without colour, small ones in runs of fitted
cells; ◂ marks the highest used cell, beyond which attention need not read.
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
from textual.timer import Timer

from engine.protocol import CacheMap
from tui.themes import solid
from tui.widgets.cell_looks import (
    FADE,
    FITTED,
    FRESH,
    GONE,
    LOOKS,
    SOLVING,
    covered,
    paint,
    plain,
    wave,
)
from tui.widgets.marks import KEPT_LETTER, SHARED_LETTER
from tui.widgets.plain_lines import PlainLines

FREE, SHARED, KEPT = "", "*", "~"
HIGHEST = "◂"
LETTER_RUN = 2  # columns a run must have to carry its letter
PULSE = 0.2  # seconds from one picture to the next while something is compacted


def owner_grid(cache: CacheMap, points: int) -> tuple[NDArray[np.int32], list[str]]:
    """Which owner stands for each of `points` equal shares of the cells.

    Returns indices [points] into the list of owners; owner 0 is free. A share shows the owner
    with most cells in it; free cells count only when there is nothing else, so that a single
    used cell is never hidden.
    """
    owners = [FREE, *sorted(set(cache.runs.owners) - {FREE})]
    if not cache.total or points <= 0:
        return np.zeros(max(points, 0), np.int32), owners
    index = np.array([owners.index(owner) for owner in cache.runs.owners], np.int64)
    lengths = np.frombuffer(cache.runs.lengths, np.uint32)
    cells = np.zeros(cache.total, np.int64)
    filled = np.repeat(index[np.frombuffer(cache.runs.codes, np.uint16)], lengths)[: cache.total]
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


class CellMap(PlainLines):
    """Draws a CacheMap into whatever box it is given; it moves only while something is solved."""

    DEFAULT_CSS = "CellMap { height: 1fr; min-height: 3; background: $background; }"

    def __init__(self) -> None:
        super().__init__()
        self.cache: CacheMap | None = None
        self.colours: dict[str, str] = {}
        self.letters: dict[str, str] = {}
        self._before: CacheMap | None = None  # as it was when the last compaction landed
        self._phase = 0  # of the wave
        self._fading = FADE  # steps since something landed; FADE = nothing to show of it
        self._pulse: Timer | None = None
        self._grid: tuple[CacheMap, int, NDArray[np.int32], list[str]] | None = None
        self._strips: list[Strip] = []
        self._key: object = None

    def on_mount(self) -> None:
        self._pulse = self.set_interval(PULSE, self._beat, pause=True)
        self._wake()

    def show(self, cache: CacheMap, colours: dict[str, str], letters: dict[str, str]) -> None:
        """Draw another state of the cells."""
        last = self.cache
        if last is not None and self._moves and _landed(last, cache):
            self._before, self._fading = last, 0
        self.cache, self.colours, self.letters = cache, colours, letters
        self._key = None
        self._wake()
        self.refresh()

    @property
    def _moves(self) -> bool:
        return self.app.animation_level != "none"

    def _wake(self) -> None:
        """Let the timer run while there is something to move, and only then."""
        if self._pulse is not None and self.cache is not None:
            if self._moves and (self.cache.solving or self._fading < FADE):
                self._pulse.resume()
            else:
                self._pulse.pause()

    def _beat(self) -> None:
        self._phase += 1
        if self._fading < FADE and self._phase % 2 == 0:
            self._fading += 1
            if self._fading == FADE:
                self._before = None
        self._wake()
        self._key = None
        if self.is_on_screen:
            self.refresh()

    def notify_style_update(self) -> None:
        self._key = None
        super().notify_style_update()

    def render_line(self, y: int) -> Strip:
        width, height = self.size
        if self.cache is None:
            text = "waiting for the engine…" if y == 0 else ""
            style = self.rich_style + Style(dim=True)
            return Strip([Segment(text[:width].ljust(width), style)], width)
        key = (id(self.cache), width, height, self.app.no_color)
        if key != self._key:
            self._key = key
            self._strips = self._draw(self.cache, width, height)
        return self._strips[y] if y < len(self._strips) else Strip.blank(width, self.rich_style)

    def _draw(self, cache: CacheMap, width: int, height: int) -> list[Strip]:
        """All lines at once: the grid is one bincount over the cells."""
        halves = 2 * width
        grid, owners = self._owners(cache, halves * height)
        looks = self._looks(cache, grid, owners, width, height)
        # Where the mark of the highest cell goes: the first column that lies wholly beyond it.
        end = -(-cache.highest * width * height // cache.total) if cache.total else 0
        read = np.arange(width * height) < end
        end = end or -1  # an empty cache has no highest cell
        if self.app.no_color:
            return [
                self._plain(
                    grid[2 * a : 2 * a + halves : 2], looks[2 * a : 2 * a + halves : 2], owners,
                    read[a : a + width], end - a,
                )
                for a in range(0, width * height, width)
            ]  # fmt: skip
        free, ground = self._free_colours()
        inks = grid.astype(np.int64) * LOOKS + looks
        paints = {
            int(ink): self._paint(owners[ink // LOOKS], int(ink) % LOOKS, free, ground)
            for ink in np.unique(inks)
        }
        unread = Color.parse(ground)
        return [
            self._coloured(
                inks[2 * a : 2 * a + halves : 2], inks[2 * a + 1 : 2 * a + halves : 2],
                read[a : a + width], owners, paints, unread, end - a,
            )
            for a in range(0, width * height, width)
        ]  # fmt: skip

    def _owners(self, cache: CacheMap, points: int) -> tuple[NDArray[np.int32], list[str]]:
        """The grid of owners; counting all cells again for each step of a wave would be waste."""
        if self._grid is None or self._grid[0] is not cache or self._grid[1] != points:
            self._grid = (cache, points, *owner_grid(cache, points))
        return self._grid[2].copy(), self._grid[3]

    def _looks(
        self, cache: CacheMap, grid: NDArray[np.int32], owners: list[str], width: int, height: int
    ) -> NDArray[np.int64]:
        """What is going on in each picture element; owners of freed ones are put back for a while."""
        points = len(grid)
        looks = np.zeros(points, np.int64)
        used = grid > 0
        fitted = covered(cache.compacted, cache.total, points) & used
        looks[fitted] = FITTED
        if cache.solving:
            solved = covered(cache.solving, cache.total, points) & used
            looks[solved] = SOLVING + wave(width, height, self._phase)[solved]
        before = self._before
        if before is not None and self._fading < FADE:
            old, names = owner_grid(before, points)
            index = {owner: i for i, owner in enumerate(owners)}
            was = np.array([index.get(owner, 0) for owner in names])[old]
            gone = ~used & (was > 0)
            grid[gone] = was[gone]
            looks[gone] = GONE + self._fading
            fresh = fitted & ~covered(before.compacted, before.total, points)
            looks[fresh & (looks == FITTED)] = FRESH + self._fading
        return looks

    def _paint(self, owner: str, look: int, free: str, ground: str) -> tuple[Color, Color, str]:
        back, ink, mark = paint(self.colours.get(owner) or free, look, ground)
        return Color.parse(back), Color.parse(ink), mark

    def _free_colours(self) -> tuple[str, str]:
        """Free cells that attention reads over, and those beyond the highest one."""
        ground = Paint.parse(solid(self.app, "panel", "#222222"))
        text = Paint.parse(solid(self.app, "foreground", "#dddddd"))
        return ground.blend(text, 0.22).hex6, ground.hex6

    def _coloured(
        self, left: NDArray[np.int64], right: NDArray[np.int64], read: NDArray[np.bool_],
        owners: list[str], paints: dict[int, tuple[Color, Color, str]], unread: Color, mark: int,
    ) -> Strip:  # fmt: skip
        code = (left * len(owners) * LOOKS + right) * 2 + read
        if 0 <= mark < len(code):  # else it stands in another line
            code = code.copy()
            code[mark] = -1  # a run of its own
        borders = np.flatnonzero(np.diff(code)) + 1
        segments: list[Segment] = []
        starts = [0, *borders.tolist(), len(code)]
        for begin, end in pairwise(starts):
            a, b = int(left[begin]), int(right[begin])
            seen = bool(read[begin])
            fore = paints[a][0] if a or seen else unread
            back, ink, texture = paints[b]
            if not (b or seen):
                back = unread
            text = "▌" * (end - begin)
            if begin == mark:
                text, fore = HIGHEST, Color.parse("default")
            elif a == b:
                text = (texture or " ") * (end - begin)
                owner, look = divmod(a, LOOKS)
                if texture:
                    fore = ink
                if owner and look <= SOLVING and end - begin >= LETTER_RUN:
                    letter = self._letter(owners[owner])
                    segments.append(Segment(
                        letter.lower() if look == FITTED else letter, Style(color=_ink(back), bgcolor=back)
                    ))  # fmt: skip
                    text = text[1:]
            segments.append(Segment(text, Style(color=fore, bgcolor=back)))
        return Strip(segments, len(code))

    def _plain(
        self, row: NDArray[np.int32], looks: NDArray[np.int64], owners: list[str],
        read: NDArray[np.bool_], mark: int,
    ) -> Strip:  # fmt: skip
        """Without colour each column shows the letter of its owner."""
        text = [
            HIGHEST if x == mark
            else plain(self._letter(owners[i]), int(look)) if i else "·" if seen else " "
            for x, (i, look, seen) in enumerate(zip(row, looks, read, strict=True))
        ]  # fmt: skip
        return Strip([Segment("".join(text), Style())], len(text))

    def _letter(self, owner: str) -> str:
        special = {SHARED: SHARED_LETTER, KEPT: KEPT_LETTER}
        return special.get(owner) or self.letters.get(owner, "?")


def _landed(last: CacheMap, cache: CacheMap) -> bool:
    """Whether cells went from one map to the next because they were compacted."""
    if cache.used >= last.used:
        return False
    fitted = sum(stretch.length for stretch in cache.compacted)
    return bool(last.solving) or fitted > sum(stretch.length for stretch in last.compacted)


def _ink(ground: Color) -> Color:
    """Black or white, whichever reads better on `ground`."""
    triplet = ground.get_truecolor()
    light = 0.299 * triplet.red + 0.587 * triplet.green + 0.114 * triplet.blue
    return Color.parse("#000000" if light > 120 else "#ffffff")
