"""Find in a conversation: the search itself, and the bar."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Static

from agents.events import Turn
from tui.widgets.chat.layout import lay_out
from tui.widgets.chat.markdown import parse
from tui.widgets.chat.message import BODY
from tui.widgets.chat.scroll import Match

SLICE = 0.008  # seconds of search between two looks at the event loop
_MARKUP = re.compile(r"[*_`~\\]+")
_SPACE = re.compile(r"\s+")


def places(turn: Turn, index: int, query: str, width: int) -> list[Match]:
    """Where `query` stands in the message as it is shown, without case."""
    own = turn.role == "user" and turn.author in ("", "you")
    if turn.role == "note":
        logical = [" ".join(turn.text.split())]
    elif own:
        logical = lay_out(parse(turn.text.strip("\n"), "plain"), width).logical
    else:
        text = turn.text.strip("\n") if turn.role == "user" else turn.text
        logical = lay_out(parse(text), width).logical
    pattern = re.compile(re.escape(query), re.IGNORECASE)
    return [
        (index, BODY + y, match.start(), match.end())
        for y, line in enumerate(logical)
        for match in pattern.finditer(line)
    ]


def may_contain(turn: Turn, query: str) -> bool:
    """False for most messages without the query, at a fraction of the cost of `places`."""
    query = _squeezed(query)
    return not query or query in _squeezed(turn.text)


def _squeezed(text: str) -> str:
    return _SPACE.sub("", _MARKUP.sub("", text)).casefold()


async def search(
    turns: Sequence[Turn], query: str, width: int, found: Callable[[list[Match]], None]
) -> None:
    """Report the matches message by message, newest first, leaving the loop free in between."""
    if not query:
        return
    started = time.monotonic()
    for index in range(len(turns) - 1, -1, -1):
        if index < len(turns) and may_contain(turns[index], query):
            matches = places(turns[index], index, query, width)
            if matches:
                found(matches)
        if time.monotonic() - started > SLICE:
            await asyncio.sleep(0)
            started = time.monotonic()


class FindBar(Horizontal):
    """A line with the search text, how many places there are, and which one is shown."""

    DEFAULT_CSS = """
    FindBar {
        height: 1;
        display: none;
        background: $panel;
        padding: 0 1;

        & > #find-label { width: auto; color: $text-muted; }
        & > Input {
            width: 1fr;
            height: 1;
            border: none;
            margin: 0 1;
            padding: 0;
            background: $panel;
            &:focus { border: none; background: $foreground 10%; }
        }
        & > #find-count { width: auto; padding: 0 1; color: $foreground; }
        & > .find-button {
            width: auto;
            padding: 0 1;
            color: $text-accent;
            &:hover { background: $foreground 15%; }
        }
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,down,f3", "go(1)", "Next", key_display="Enter", priority=True),
        Binding("shift+enter,up,shift+f3", "go(-1)", "Previous", key_display="↑", priority=True),
        Binding("escape", "close", "Close", priority=True),
    ]

    class Changed(Message):
        """The search text changed."""

        def __init__(self, query: str) -> None:
            super().__init__()
            self.query = query

    class Go(Message):
        """To the next (1) or the previous (-1) place."""

        def __init__(self, step: int) -> None:
            super().__init__()
            self.step = step

    class Closed(Message):
        """The person is done searching."""

    def compose(self) -> ComposeResult:
        yield Static("Find", id="find-label")
        yield Input(placeholder="in this conversation", compact=True, select_on_focus=True)
        yield Static("", id="find-count")
        yield Static("↑", id="find-previous", classes="find-button")
        yield Static("↓", id="find-next", classes="find-button")
        yield Static("✕", id="find-close", classes="find-button")

    @property
    def input(self) -> Input:
        return self.query_one(Input)

    def open(self, text: str | None = None) -> None:
        """Show the bar, with a text to search for."""
        self.display = True
        if text is not None and text != self.input.value:
            self.input.value = text
        elif self.input.value:
            self.post_message(self.Changed(self.input.value))
        self.input.focus()

    def report(self, number: int, total: int, searching: bool) -> None:
        """Say where we are: place `number` of `total`."""
        if not self.input.value:
            text = ""
        elif total:
            text = f"{number} of {total}{'+' if searching else ''}"
        else:
            text = "searching…" if searching else "not found"
        self.query_one("#find-count", Static).update(text)

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Changed(event.value))

    def on_click(self, event: events.Click) -> None:
        name = event.widget.id if event.widget else None
        if name == "find-close":
            self.action_close()
        elif name in ("find-previous", "find-next"):
            self.action_go(1 if name == "find-next" else -1)

    def action_go(self, step: int) -> None:
        self.post_message(self.Go(step))

    def action_close(self) -> None:
        self.display = False
        self.post_message(self.Closed())
