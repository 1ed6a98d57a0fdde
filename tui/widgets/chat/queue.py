"""Prompts that wait until the agent is free, one line each, above the input."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.content import Content
from textual.message import Message
from textual.style import Style
from textual.widgets import Static

from tui.widgets.chat.markdown import clean

SHOWN = 3
ALL = -1  # in the place of an index


class QueueChips(Static):
    """The waiting prompts; each can be taken back to edit it, or removed."""

    DEFAULT_CSS = """
    QueueChips {
        height: auto;
        display: none;
        background: $panel;
        padding: 0 1;
    }
    """

    class Taken(Message):
        """A waiting prompt (or `ALL`) should leave the queue: to be edited, or for good."""

        def __init__(self, index: int, edit: bool) -> None:
            super().__init__()
            self.index = index
            self.edit = edit

    def __init__(self) -> None:
        super().__init__("", markup=False)
        self._texts: tuple[str, ...] = ()
        self._held = False
        self._width = 0

    def show(self, texts: Sequence[str], held: bool) -> None:
        """Show these prompts. `held`: they wait for the person, not for the agent."""
        shown = tuple(texts)
        if (shown, held) == (self._texts, self._held) and self._width == self.size.width:
            return
        self._texts, self._held, self._width = shown, held, self.size.width
        self.display = bool(shown)
        self._draw()

    def on_resize(self) -> None:
        self._width = self.size.width
        self._draw()

    def _draw(self) -> None:
        width = max(24, self.content_size.width or self.app.size.width - 2)
        lines: list[Content] = []
        for index, text in enumerate(self._texts[:SHOWN]):
            label = "held" if self._held else "next" if index == 0 else "then"
            tools = Content("  ").join(
                [
                    Content.styled(name, "$text-accent underline").stylize(
                        Style.from_meta({"queue": (index, name == "edit")})
                    )
                    for name in ("edit", "remove")
                ]
            )
            room = width - tools.cell_length - len(label) - 4
            words = Content(" ".join(clean(text).split())).truncate(max(4, room), ellipsis=True)
            line = Content.styled(f"{label}  ", "$foreground-muted") + words
            line = line.pad_right(width - line.cell_length - tools.cell_length) + tools
            lines.append(line)
        more = len(self._texts) - SHOWN
        if more > 0:
            line = Content.styled(f"and {more} more", "$foreground-muted")
            tool = Content.styled("remove all", "$text-accent underline").stylize(
                Style.from_meta({"queue": (ALL, False)})
            )
            lines.append(line.pad_right(width - line.cell_length - tool.cell_length) + tool)
        if self._held and lines:
            lines.append(Content.styled("/resume sends them", "$foreground-muted"))
        self.update(Content("\n").join(lines))

    def on_click(self, event: events.Click) -> None:
        todo = event.style.meta.get("queue") if event.style else None
        if todo:
            event.stop()
            self.post_message(self.Taken(*todo))
