"""Widgets that keep their lines: what Textual makes of a line is made once, not at each drawing.

Textual builds every line of a refreshed widget anew, for borders, padding and tints, and with the
line goes what was kept of it: its colours for the terminal, its pieces. A text that scrolls by a
line then costs as much as a new one. A widget that has none of these hands out its own lines.
"""

from __future__ import annotations

from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget


class PlainLines(Widget):
    """For widgets whose `render_line` returns the same Strip while nothing changed."""

    def render_lines(self, crop: Region) -> list[Strip]:
        """The lines of a region, as Textual would draw them."""
        styles = self.styles
        if (
            styles.gutter.totals != (0, 0)
            or styles.tint.a
            or styles.outline.top[0]
            or styles.has_rule("hatch")
            or styles.text_opacity != 1.0
            or self.opacity != 1.0
            or self.border_title
            or self.hover_style._link_id
        ):
            return super().render_lines(crop)
        background = self.background_colors[1]
        filters = self.get_line_filters()
        left, right = crop.column_span
        strips = []
        for y in crop.line_range:
            strip = self.render_line(y)
            for one in filters:
                strip = strip.apply_filter(one, background)
            if left or right < strip.cell_length:
                strip = strip.crop(left, right)
            strips.append(strip)
        return strips
