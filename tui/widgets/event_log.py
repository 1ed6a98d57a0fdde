"""The event log: what happened, newest at the bottom."""

from __future__ import annotations

import time

from rich.text import Text
from textual.widgets import RichLog

from agents.events import LogEntry

MARKS = {"info": "·", "warning": "!", "error": "✗"}
STYLES = {"info": "dim", "warning": "yellow", "error": "bold red"}


def line(entry: LogEntry, wide: bool) -> Text:
    """One entry as a line of text."""
    stamp = time.strftime("%H:%M:%S" if wide else "%H:%M", time.localtime(entry.time))
    text = Text(f"{stamp} ", "dim")
    text.append(f"{MARKS[entry.level]} ", STYLES[entry.level])
    if wide:
        text.append(f"{entry.kind:10} ", "dim")
    if entry.agent:
        text.append(f"{entry.agent}: ", "bold")
    text.append(entry.text, "" if entry.level == "info" else STYLES[entry.level])
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
        super().__init__(max_lines=500, wrap=True, min_width=10)
        self.can_focus = wide
        self.border_title = "events"
        self.entries, self.wide = entries, wide

    def on_mount(self) -> None:
        for entry in self.entries:
            self.add(entry)

    def add(self, entry: LogEntry) -> None:
        """Append an entry."""
        self.write(line(entry, self.wide))
