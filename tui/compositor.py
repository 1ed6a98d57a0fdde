"""Partial updates that render only what they show: Textual's compositor, without the rest.

Textual renders every line of every visible widget for each update and throws away what lies outside
the changed regions or under other widgets. With agents streaming that is most of what the app costs,
and on a CPU it is taken from the model. Here a widget renders the lines that changed, and only where
nothing in front covers it. What the terminal shows is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from textual._compositor import ChopsUpdate, Compositor
from textual.geometry import Region
from textual.strip import Strip


class SparingCompositor(Compositor):
    """Draws what `Compositor` draws."""

    def render_partial_update(self) -> ChopsUpdate | None:
        """The changed regions as an update; None if there are none."""
        regions, self._dirty_regions = self._dirty_regions, set()
        if not regions:
            return None
        spans = list(self._regions_to_spans(regions))
        cuts = self.cuts
        # Between two neighbouring cuts of a line lies a piece: one widget covers it whole.
        chops: list[dict[int, Strip | None]] = [{} for _ in cuts]
        missing: dict[int, set[int]] = {}  # line -> beginnings of pieces nobody has drawn yet
        for y, first, last in spans:
            line = cuts[y]
            chops[y] = chops[y] or dict.fromkeys(line[:-1])
            wanted = missing.setdefault(y, set())
            for start, end in pairwise(line):
                if end > first and start < last:
                    wanted.add(start)
        for widget, (region, clip) in self.visible_widgets.items():  # the foremost first
            shown = region.intersection(clip)
            left, right = shown.column_span
            rows = [
                y
                for y in missing
                if shown.y <= y < shown.bottom and any(left <= x < right for x in missing[y])
            ]
            if not rows:
                continue
            top, bottom = rows[0], rows[-1]
            strips = widget.render_lines(
                Region(left - region.x, top - region.y, shown.width, bottom - top + 1)
            )
            for y in rows:
                inside = [cut for cut in cuts[y] if left <= cut <= right]
                pieces = _pieces(strips[y - top], [cut - left for cut in inside[1:]])
                for start, piece in zip(inside, pieces, strict=False):
                    if start in missing[y]:
                        missing[y].remove(start)
                        chops[y][start] = piece
                if not missing[y]:
                    del missing[y]
            if not missing:
                break
        return ChopsUpdate(chops, spans, [line[1:] for line in cuts])

    def _render_chops(
        self, crop: Region, is_rendered_line: Callable[[int], bool]
    ) -> Sequence[Mapping[int, Strip]]:
        """Whole updates are Textual's; their lines forget themselves."""
        chops = super()._render_chops(crop, is_rendered_line)
        for line in chops:
            for strip in line.values():
                if strip is not None and strip in strip._divide_cache.get((strip.cell_length,), ()):
                    strip._divide_cache.clear()
        return chops


def _pieces(strip: Strip, cuts: list[int]) -> Sequence[Strip]:
    """A line in pieces. One that is a single piece would be remembered by itself: no line that was
    drawn would ever go without a pass of the garbage collector."""
    cuts = [cut for cut in cuts if cut <= strip.cell_length]
    return [strip] if cuts == [strip.cell_length] else strip.divide(cuts)
