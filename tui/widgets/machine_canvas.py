"""Draws a text of many lines that changes once a second in few of them.

Only lines that differ from those shown before are laid out and painted again; laying out the whole
text each time cost three times as much.
"""

from __future__ import annotations

from rich.text import Text
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget


class MachineCanvas(Widget):
    """Shows a Text, wrapped at words; as high as that takes."""

    DEFAULT_CSS = "MachineCanvas { height: auto; width: 1fr; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._lines: list[Text] = []
        self._laid: list[list[Strip]] = []  # of each line
        self._rows: list[Strip] = []
        self._key: object = None  # width and style they were laid out for
        self.text = ""

    def show(self, text: Text, width: int) -> None:
        """Take another text, to be wrapped at `width` columns."""
        lines = text.split("\n", allow_blank=True)
        key = (width, self.rich_style)
        known = self._lines if key == self._key else []
        laid = [
            self._laid[index]
            if index < len(known) and line == known[index]
            else self._lay(line, width)
            for index, line in enumerate(lines)
        ]
        rows = [strip for strips in laid for strip in strips]
        before, self._rows = self._rows, rows
        self._lines, self._laid, self._key = list(lines), laid, key
        self.text = text.plain
        if len(rows) != len(before):
            self.refresh(layout=True)
            return
        changed = [
            Region(0, y, self.size.width, 1) for y, row in enumerate(rows) if row is not before[y]
        ]
        if changed:
            self.refresh(*changed)

    def _lay(self, line: Text, width: int) -> list[Strip]:
        console, style = self.app.console, self.rich_style
        # Most lines fit, and wrapping costs more than all the rest.
        parts = [line] if line.cell_len <= width else line.wrap(console, width)
        return [
            Strip([s for s in part.render(console, end="") if s.text])
            .adjust_cell_length(width)
            .apply_style(style)
            for part in parts
        ]

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return max(1, len(self._rows))

    def render_line(self, y: int) -> Strip:
        if y >= len(self._rows):
            return Strip.blank(self.size.width, self.rich_style)
        return self._rows[y].adjust_cell_length(self.size.width, self.rich_style)
