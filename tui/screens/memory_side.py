"""The memory beside the chat: opens, takes the keys, closes; on narrow screens it is a screen."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from typing import TYPE_CHECKING

from textual.css.query import NoMatches
from textual.timer import Timer

from agents.memory.events import GraphChanged, Learnt, MemoryEvent, StateChanged
from agents.memory.types import Recall, Source
from engine.errors import HaloError
from tui.memory_news import MemoryNews
from tui.widgets.chat.message import count
from tui.widgets.memory.words import plain, type_word

if TYPE_CHECKING:
    from tui.screens.main import MainScreen
    from tui.widgets.memory.tabs import Tab
    from tui.widgets.memory.view import MemoryView

QUIET, NAMES = 2.0, 200
LONGEST, DELAY = 4.0, 0.3  # seconds to wait for the model, and after it


class MemorySide:
    """What the main screen has to do with the memory. Widgets are loaded when they are needed."""

    def __init__(self, screen: MainScreen) -> None:
        self.screen = screen
        self.news = MemoryNews()
        self.names: list[tuple[str, str]] = []  # of entities and what they are, for completion
        self._stale: Timer | None = None
        self._before = False  # what was learnt before the start was asked for

    def begin(self, load: bool) -> None:
        """The app has started: listen to the memory, or `load` it first, in the background."""
        workspace = self.screen.workspace
        self.news.watch(self._heard)
        if workspace.memory is not None:
            self.news.attend(workspace.memory)
        elif load and workspace.config.memory.enabled:
            self.news.apply(StateChanged("starting"))
            self.screen.run_worker(self._load(), group="memory")

    async def _load(self) -> None:
        """The memory's libraries take a quarter of a second that nobody should wait for: first the
        chat is there and the model loaded. What is said meanwhile is taken in afterwards."""
        from agents import remembering

        workspace = self.screen.workspace
        with contextlib.suppress(HaloError, TimeoutError):
            async with asyncio.timeout(LONGEST):
                await workspace.wait_ready()
        await asyncio.sleep(DELAY)
        try:
            await asyncio.to_thread(importlib.import_module, "agents.memory.service")
            remembering.attach(workspace)
        except ImportError as error:
            self.news.apply(
                StateChanged(
                    "down", 0, f"The memory is not installed: {error}.", "Run make run again."
                )
            )
            return
        if workspace.memory is not None:
            self.news.attend(workspace.memory)
            await workspace.memory.start()

    def _heard(self, event: MemoryEvent) -> None:
        """Names may have changed; they are asked for once when it has become quiet."""
        if isinstance(event, StateChanged) and event.state == "ready" and not self._before:
            self._before = True
            self.screen.run_worker(self._earlier(), group="memory-earlier")
        ready = isinstance(event, StateChanged) and event.state == "ready" and not self.names
        if (ready or isinstance(event, Learnt | GraphChanged)) and self._stale is None:
            self._stale = self.screen.set_timer(
                QUIET, lambda: self.screen.run_worker(self._name(), group="memory-names")
            )

    async def _earlier(self) -> None:
        """What was learnt before this start, for the feed."""
        from tui.widgets.memory.feed import SHOWN

        if self.news.service is not None:
            with contextlib.suppress(HaloError):
                self.news.earlier(await self.news.service.latest(SHOWN))
                view = self.view
                if view is not None:
                    view.show_lessons()

    async def _name(self) -> None:
        self._stale = None
        if self.news.service is not None:
            with contextlib.suppress(HaloError):
                nodes = await self.news.service.entities("recency", limit=NAMES)
                self.names = [
                    (plain(node.name), f"{type_word(node.type)} · {count(node.degree, 'fact')}")
                    for node in nodes
                ]

    # --- state -----------------------------------------------------------------------------------

    @property
    def view(self) -> MemoryView | None:
        """The panel, once it was opened."""
        from tui.widgets.memory.view import MemoryView

        try:
            return self.screen.query_one("#memory").query_one(MemoryView)
        except NoMatches:
            return None

    @property
    def shown(self) -> bool:
        """Whether the panel stands beside the chat."""
        return self.screen.has_class("-memory")

    @property
    def focused(self) -> bool:
        """Whether it has the keys."""
        focused = self.screen.focused
        return self.shown and focused is not None and any(
            node.id == "memory" for node in focused.ancestors_with_self
        )  # fmt: skip

    # --- what can be done ------------------------------------------------------------------------

    async def toggle(self, entity: str = "") -> None:
        """Open it, go to it, or close it."""
        if self.focused and not entity:
            self.close()
        else:
            await self.open(entity=entity)

    def close(self) -> None:
        """Only the chat."""
        self.screen.set_class(False, "-memory")
        self.screen.focus_prompt()

    def resized(self) -> None:
        """Where the panel has no room any more, the prompt gets its keys."""
        lost = self.screen.focused is None or self.focused
        if self.shown and lost and self.screen.has_class("-narrow"):
            self.screen.focus_prompt()

    async def ask(self, question: str) -> None:
        """Open it at the question box and ask."""
        await self.open("ask", question)

    async def open(self, tab: Tab | None = None, question: str = "", entity: str = "") -> None:
        """Beside the chat, or whole where there is no room."""
        if self.screen.has_class("-narrow"):
            await self.whole(tab or "explore", question, entity)
            return
        from tui.widgets.memory.view import MemoryView

        view = self.view
        if view is None:
            view = MemoryView(self.screen.workspace.config, self.news, tab=tab or "explore")
            await self.screen.query_one("#memory").mount(view)
        self.screen.set_class(True, "-memory")
        self.screen.call_after_refresh(self._go, view, tab, question, entity)

    def _go(self, view: MemoryView, tab: Tab | None, question: str, entity: str) -> None:
        if question:
            view.ask(question)
            return
        view.go(tab or ("explore" if entity else view.tab))
        if entity:
            view.look(entity)

    async def whole(self, tab: Tab = "explore", question: str = "", entity: str = "") -> None:
        """On a screen of its own, then do what was chosen there."""
        from tui.screens.memory import BESIDE, MemoryScreen

        controller = self.screen.controller
        config = self.screen.workspace.config
        result = await controller.ask(MemoryScreen(config, self.news, tab, question, entity))
        if isinstance(result, Source):
            await controller.go_to_source(result)
        elif isinstance(result, Recall):
            await controller.word(result)
        elif isinstance(result, str) and result.startswith(BESIDE):
            await self.open(entity=result.removeprefix(BESIDE))
