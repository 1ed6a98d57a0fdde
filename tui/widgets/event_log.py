"""The event log: what happened, newest at the bottom."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping

from rich.text import Text
from textual.events import Resize
from textual.widgets import RichLog

from agents.events import LogEntry
from tui.themes import rich_colour

KEPT = 500
MARKS = {"info": "·", "warning": "!", "error": "✗"}
STYLES = {"info": "dim", "warning": "yellow", "error": "bold red"}


def line(entry: LogEntry, wide: bool, styles: Mapping[str, str] = STYLES) -> Text:
    """One entry as a line of text; `styles` by level."""
    stamp = time.strftime("%H:%M:%S" if wide else "%H:%M", time.localtime(entry.time))
    text = Text(f"{stamp} ", "dim")
    text.append(f"{MARKS[entry.level]} ", styles[entry.level])
    if wide:
        text.append(f"{entry.kind:10} ", "dim")
    if entry.agent:
        text.append(f"{entry.agent}: ", "bold")
    text.append(entry.text, "" if entry.level == "info" else styles[entry.level])
    return text


class EventLog(RichLog):
    """Bounded list of log entries."""

    DEFAULT_CSS = """
    EventLog { height: 1fr; background: $surface; padding: 0 1; border-top: solid $panel;
               border-title-color: $text-muted; scrollbar-size-vertical: 1;
               scrollbar-background: $surface; scrollbar-color: $panel;
               scrollbar-corner-color: $surface; overflow-x: hidden; }
    """

    def __init__(self, entries: list[LogEntry], wide: bool = False) -> None:
        super().__init__(max_lines=KEPT, wrap=True, min_width=10)
        self.can_focus = wide
        self.border_title = "events"
        self.entries, self.wide = deque(entries, KEPT), wide
        self._wrapped = 0  # width that the lines were wrapped at

    def on_resize(self, event: Resize) -> None:
        """Lines are wrapped when they are written: write them again at another width."""
        if self.size.width and self.size.width != self._wrapped:
            self._wrapped = self.size.width
            self.write_again()

    def write_again(self) -> None:
        """All lines anew, at the width and in the colours that are now."""
        if self._wrapped:
            self.clear()
            for entry in self.entries:
                self._write(entry)

    def add(self, entry: LogEntry) -> None:
        """Append an entry."""
        self.entries.append(entry)
        if self._wrapped:
            self._write(entry)

    def _write(self, entry: LogEntry) -> None:
        # The terminal's red and yellow are hard to read on some themes.
        styles = {
            **STYLES,
            "warning": rich_colour(self.app, "warning", STYLES["warning"]),
            "error": f"bold {rich_colour(self.app, 'error', 'red')}",
        }
        self.write(line(entry, self.wide, styles))
