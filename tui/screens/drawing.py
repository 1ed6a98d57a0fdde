"""The main screen's frames: what is behind is drawn together, the meters and the cells more rarely."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from tui.widgets.agent_list import AgentList, AgentTabs
from tui.widgets.cache_pane import CachePane
from tui.widgets.chat.grid import ChatGrid
from tui.widgets.chat.prompt import Prompt
from tui.widgets.key_hints import KeyHints
from tui.widgets.status_line import StatusLine

if TYPE_CHECKING:
    from tui.screens.main import MainScreen

METERS = 0.25  # seconds between two drawings of the list and the tabs: nobody reads faster


class Drawing:
    """Draws by the screen's `frames`, from `begin` until the screen goes."""

    def __init__(self, screen: MainScreen) -> None:
        self.screen = screen
        self.behind: set[str] = set()  # of roster, agents, stats, cells
        self._meters_due = self._cells_due = 0.0
        self.sample_due = 0.0  # when the history of the cells moves on
        self._blinks = True  # the cursor of the prompt
        self._escapes: object = None  # whether there are toasts, and what has the keys

    def begin(self) -> None:
        """The first frame."""
        self.screen.frames.driven = True
        self._tick()

    def meters_now(self) -> None:
        """Draw the list and the tabs with the next frame."""
        self._meters_due = 0.0

    def _tick(self) -> None:
        """One frame."""
        screen, frames, now = self.screen, self.screen.frames, time.monotonic()
        escapes = (screen.app.toasts_shown, screen.focused)  # type: ignore[attr-defined]
        if escapes != self._escapes:  # the hints say what Esc does
            self._escapes = escapes
            self.behind.add("agents")
        slack = frames.interval / 2
        with screen.app.batch_update():
            if screen.grid_shown:
                for grid in screen.query(ChatGrid):
                    grid.look()
            elif screen.current in screen.workspace.names:
                screen.conversation.draw()
            if now >= self._meters_due - slack:
                self._meters_due = now + max(METERS * frames.stretch, 2 * frames.interval)
                self.flush()
            elif now >= self._cells_due - slack:
                every = frames.stretch / screen.workspace.config.ui.cell_map_hz
                self._cells_due = now + max(every, 2 * frames.interval)
                self.cells()
            if now >= self.sample_due - slack:
                self.sample_due = max(self.sample_due + 1.0, now)  # once a second on average
                screen.query_one(CachePane).sample()
        self._adapt()
        # A timer of Textual's is a task, and asks the callback for its signature, for each frame.
        asyncio.get_running_loop().call_later(frames.wait(), self._next_frame)

    def _next_frame(self) -> None:
        if self.screen.is_running:
            self.screen.call_next(self._tick)

    def _adapt(self) -> None:
        """Leave the processor to a model that computes there."""
        workspace, frames = self.screen.workspace, self.screen.frames
        ready = workspace.ready
        busy = any(agent.busy for agent in workspace.agents)
        frames.sparing = ready is not None and ready.backend == "cpu"
        frames.look(busy)
        workspace.client.pace(frames.interval)
        if self._blinks == (busy and frames.sparing):
            self._blinks = not self._blinks
            self.screen.query_one(Prompt).blink(self._blinks)

    def flush(self) -> None:
        """Draw the list, the tabs and the status line, if they are behind."""
        screen = self.screen
        if not self.behind or not screen.is_mounted:
            return
        behind, self.behind = self.behind, self.behind & {"cells"}
        if "roster" in behind:
            screen.run_worker(screen.rebuild(), group="roster")
        elif "agents" in behind:
            screen.query_one(AgentList).refresh_rows()
        if behind & {"agents", "roster"}:
            screen.query_one(AgentTabs).refresh()
            screen.query_one(KeyHints).look()
            if screen.current in screen.workspace.names:
                screen.query_one(Prompt).set_agent(screen.workspace.get(screen.current))
            self._title()
        screen.query_one(StatusLine).look()

    def cells(self) -> None:
        """The cell map, if it can be seen; what cannot waits until it is shown."""
        pane = self.screen.query_one(CachePane)
        if "cells" in self.behind and pane.is_on_screen:
            self.behind.discard("cells")
            pane.draw()

    def _title(self) -> None:
        """The terminal's title: who is busy, what is new."""
        agents = self.screen.workspace.agents
        busy = sum(agent.busy for agent in agents)
        news = sum(agent.state.unread for agent in agents)
        mark = f"● {busy} busy · " if busy else f"✉ {news} new · " if news else ""
        self.screen.app.title = f"{mark}halo-tui"
