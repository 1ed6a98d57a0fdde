"""Keys in order: what is typed after a key waits until that key has had its effect.

Textual hands each key to the widget that has the focus at that moment. A key that moves the focus,
opens a dialog or shows another agent takes effect a little later; letters typed right behind it
would go to where the focus was, or into a text that is just being replaced. Here they wait, in
order, for a moment at most. Plain typing is never held back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import ContextVar

from textual import events
from textual.app import App
from textual.message_pump import MessagePump
from textual.widgets import Input, TextArea

PATIENCE = 0.5  # seconds that keys wait at most for the effect of one
ROUNDS = 4  # messages that a key may cause one after the other until something begins
PAGES = frozenset(("pageup", "pagedown"))
MOVES = PAGES | {"up", "down", "home", "end"}

Release = Callable[[], None]
_action: ContextVar[Release | None] = ContextVar("key_order_action", default=None)


def typed(event: events.Event) -> bool:
    """Whether this is text."""
    return isinstance(event, events.Paste) or (isinstance(event, events.Key) and event.is_printable)


class KeyOrder:
    """Keys and pastes of one app, from its `on_event` to its `hand_on`."""

    def __init__(self, app: App[int], hand_on: Callable[[events.Event], Awaitable[None]]) -> None:
        self._app, self._hand_on = app, hand_on
        self._holds: set[object] = set()
        self._waiting: deque[events.Event] = deque()

    async def take(self, event: events.Event) -> None:
        """A key or a paste arrived."""
        self._waiting.append(event)
        await self._go_on()

    def hold(self, seconds: float | None = PATIENCE) -> Release:
        """Keep keys until the result is called; `seconds`: or until then. None: however long."""
        token = object()
        self._holds.add(token)

        def release() -> None:
            if token in self._holds:
                self._holds.discard(token)
                if timer is not None:
                    timer.cancel()
                if not self._holds:
                    self._app.call_later(self._go_on)

        loop = asyncio.get_running_loop()
        timer = loop.call_later(seconds, release) if seconds is not None else None
        return release

    async def during(self, work: Awaitable[None]) -> None:
        """Await work that a key began. Keys wait for it, or until `opened` is called inside."""
        release = self.hold()
        reset = _action.set(release)
        try:
            await work
        finally:
            _action.reset(reset)
            release()

    def again(self, event: events.Event, work: Callable[[], object]) -> None:
        """Do `work` first; the key and those behind it come when it has had its effect."""
        self._waiting.appendleft(event)
        release = self.hold()
        work()
        self._follow(release)

    @staticmethod
    def opened() -> None:
        """The work goes on to wait for the person: what is typed is meant for what it shows."""
        if (release := _action.get()) is not None:
            release()

    async def _go_on(self) -> None:
        while self._waiting and not self._holds:
            event = self._waiting.popleft()
            if isinstance(event, events.Key) and self._has_effect(event):
                self._follow(self.hold())
            await self._hand_on(event)

    def _has_effect(self, key: events.Key) -> bool:
        """Whether what is typed behind a key could overtake it.

        A letter goes straight into a text; a key that edits it takes the way up to the app first.
        """
        focused = None
        with suppress(Exception):  # no screen yet
            focused = self._app.focused
        if isinstance(focused, Input | TextArea):
            return not typed(key) and key.key not in PAGES
        return not typed(key) if focused is None else key.key not in MOVES

    def _follow(self, release: Release) -> None:
        """Release when the key about to be handed on, and what it causes, has gone its way: from
        the focused widget up to the app, some times over."""
        path: list[MessagePump] = []
        with suppress(Exception):  # no screen yet
            path = list((self._app.focused or self._app.screen).ancestors_with_self)

        def step(number: int) -> None:
            while number < ROUNDS * len(path):
                if path[number % len(path)].call_later(step, number + 1):
                    return
                number += 1  # it was closed meanwhile
            release()

        self._app.call_later(step, 0)
