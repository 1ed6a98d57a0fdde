"""The whole event log on a screen of its own."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Static

from agents.events import LogEntry
from tui.widgets.event_log import EventLog


class LogScreen(Screen[None]):
    """Every entry kept, with kind and seconds."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,f6,q", "dismiss", "Back")]

    def __init__(self, entries: list[LogEntry]) -> None:
        super().__init__()
        self.entries = entries

    def compose(self) -> ComposeResult:
        yield Static("EVENT LOG · newest at the bottom · Esc goes back", classes="title")
        yield EventLog(self.entries, wide=True)

    def add(self, entry: LogEntry) -> None:
        """A new entry while the screen is open."""
        self.query_one(EventLog).add(entry)
