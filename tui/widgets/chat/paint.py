"""Draws laid-out lines of messages as strips, in the styles of their widget."""

from __future__ import annotations

from rich.segment import Segment
from textual.content import Content
from textual.strip import Strip
from textual.style import Style
from textual.widget import Widget

from tui.widgets.chat.layout import Line
from tui.widgets.chat.message import GUTTER

Mark = tuple[int, int | None, Style | str]  # start, end (None: of the line) and style


class Painter:
    """Looks styles up once, until it is told to forget them."""

    def __init__(self, widget: Widget) -> None:
        self._widget = widget
        self._styles: dict[object, Style] = {}

    def forget(self) -> None:
        """Styles have changed."""
        self._styles.clear()

    def blank(self, width: int) -> Strip:
        """A line with nothing on it."""
        return Strip.blank(width, self._base("").rich_style)

    def draw(
        self,
        line: Line,
        number: int,
        gutter: tuple[str, str],
        marks: list[Mark],
        filled: int,
        width: int,
    ) -> Strip:
        """The line, `width` cells wide; a background of its own goes to `filled`.

        `number`: the logical line that a selection counts in; `gutter`: a character and its
        component class; `marks`: of logical characters, later ones on top.
        """
        content = line.content
        for mark in marks:
            content = _mark(content, line, *mark)
        base = self._base(line.base)
        segments = self._gutter(line, number, *gutter)
        used = GUTTER
        x = line.x
        position = 0
        for text, style in content.render(base, end="", parse_style=self._style):
            lead = text[: max(0, line.lead - position)]
            for character in lead:
                segments.append(Segment(character, style.rich_style_with_offset(line.x, number)))
            rest = text[len(lead) :]
            if rest:
                segments.append(Segment(rest, style.rich_style_with_offset(x, number)))
                x += len(rest)
            position += len(text)
        used += content.cell_length
        if line.base:
            room = max(0, filled - used)
            segments.append(Segment(" " * room, base.rich_style_with_offset(x, number)))
            used += room
        if used < width:
            plain = self._base("").rich_style_with_offset(x, number)
            segments.append(Segment(" " * (width - used), plain))
        return Strip(segments, max(used, width)).crop(0, width)

    def _gutter(self, line: Line, number: int, mark: str, name: str) -> list[Segment]:
        """Two cells left of the text: which message is selected, and what was said to the agent."""
        style = (self._base("") + self._base(name)) if name else self._base("")
        return [
            Segment(mark, style.rich_style_with_offset(line.x, number)),
            Segment(" ", self._base("").rich_style_with_offset(line.x, number)),
        ]

    def _style(self, style: Style | str) -> Style:
        if not isinstance(style, str):
            return style
        known = self._styles.get(style)
        if known is None:
            own = style.startswith(".")
            known = self._component(style[1:]) if own else self._widget._get_style(style)
            self._styles[style] = known
        return known

    def _component(self, name: str) -> Style:
        """What a component class sets, and nothing else (Textual's own loses solid backgrounds)."""
        styles = self._widget.get_component_styles(name)
        text = styles.text_style
        return Style(
            background=styles.background if styles.has_rule("background") else None,
            foreground=styles.color if styles.has_rule("color") else None,
            bold=text.bold,
            italic=text.italic,
            underline=text.underline,
            strike=text.strike,
        )

    def _base(self, name: str) -> Style:
        key = ("base", name)
        known = self._styles.get(key)
        if known is None:
            known = self._widget.get_visual_style(name) if name else self._widget.visual_style
            self._styles[key] = known
        return known


def _mark(content: Content, line: Line, start: int, end: int | None, style: Style | str) -> Content:
    """Style logical characters start:end where they are on this line."""
    length = len(content.plain) - line.lead
    first = max(0, start - line.x)
    last = length if end is None else min(length, end - line.x)
    if first >= last:
        return content
    return content.stylize(style, line.lead + first, line.lead + last)
