"""Looking for words in a conversation: the places found, and which of them is chosen."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from textual.worker import Worker

from tui.widgets.chat.find import search
from tui.widgets.chat.scroll import Match

if TYPE_CHECKING:
    from tui.widgets.chat.conversation import Conversation


class Finding:
    """One search at a time, in the background; its places are marked as they come."""

    def __init__(self, chat: Conversation) -> None:
        self._chat = chat
        self._found: list[Match] = []  # in the order of the conversation
        self._current: Match | None = None
        self._search: Worker[None] | None = None

    @property
    def runs(self) -> bool:
        """Whether a search goes on."""
        return self._search is not None

    def start(self, query: str) -> None:
        """Look for something else; "" for nothing."""
        if self._search is not None:
            self._search.cancel()
            self._search = None
        self._found = []
        self._current = None
        self._show()
        if query.strip():
            self._search = self._chat.run_worker(
                partial(self._run, query), group="find", exclusive=True
            )

    def next(self, step: int) -> None:
        """So many places on, round the ends."""
        if not self._found:
            return
        index = self._found.index(self._current) if self._current in self._found else -1
        self._current = self._found[(index + step) % len(self._found)]
        self._show()

    async def _run(self, query: str) -> None:
        def found(matches: list[Match]) -> None:
            # Newest message first; within a message in reading order.
            self._found[:0] = matches
            if self._current is None:
                self._current = matches[-1]
                self._show(searching=True)

        chat = self._chat
        await search(chat.agent.turns, query, chat.transcript.text_width, found)
        self._search = None
        self._show()

    def _show(self, searching: bool = False) -> None:
        by_message: dict[int, list[Match]] = {}
        for match in self._found:
            by_message.setdefault(match[0], []).append(match)
        self._chat.transcript.set_matches(by_message, self._current)
        number = self._found.index(self._current) + 1 if self._current in self._found else 0
        self._chat.bar.report(number, len(self._found), searching)
