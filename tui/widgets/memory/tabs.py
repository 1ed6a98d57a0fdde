"""The parts of the memory's view, by number or mouse."""

from __future__ import annotations

from typing import Literal

from rich.text import Text
from textual import events
from textual.message import Message
from textual.widget import Widget

Tab = Literal["explore", "graph", "learnt", "ask", "cypher"]
TABS: tuple[tuple[Tab, str], ...] = (
    ("explore", "Explore"), ("graph", "Graph"), ("learnt", "Learnt"), ("ask", "Ask"),
    ("cypher", "Cypher"),
)  # fmt: skip


class MemoryTabs(Widget):
    """The parts, by number or mouse."""

    DEFAULT_CSS = "MemoryTabs { height: 1; padding: 0 1; background: $panel; }"

    class Chosen(Message):
        """A part was clicked."""

        def __init__(self, tab: Tab) -> None:
            super().__init__()
            self.tab = tab

    def __init__(self, tab: Tab) -> None:
        super().__init__()
        self.tab = tab
        self._spans: list[tuple[int, int, Tab]] = []

    def show(self, tab: Tab) -> None:
        """Mark the part shown."""
        self.tab = tab
        self.refresh()

    def render(self) -> Text:
        line = Text(no_wrap=True)
        self._spans = []
        for number, (tab, label) in enumerate(TABS, 1):
            start = line.cell_len
            here = tab == self.tab
            line.append(f" {number} {label} ", "bold reverse" if here else "")
            self._spans.append((start, line.cell_len, tab))
        return line

    def on_click(self, event: events.Click) -> None:
        """Go to the part clicked."""
        place = event.get_content_offset(self)
        for start, end, tab in self._spans:
            if place is not None and start <= place.x < end:
                self.post_message(self.Chosen(tab))
