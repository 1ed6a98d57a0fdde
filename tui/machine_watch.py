"""Looks at the machine while the app is open: keeps the last minutes, and warns in time.

The files are read in a thread, one look at a time, so that a GPU that takes long to answer never holds
up a key. A screen that shows the machine is told after each look.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.telemetry.advice import Warn, warnings
from engine.telemetry.bars import Bar, bars
from engine.telemetry.history import History
from engine.telemetry.machine import Machine
from engine.telemetry.types import Sample
from tui.widgets.worker_text import worker_lines

if TYPE_CHECKING:
    from textual.timer import Timer

    from agents.workspace import Workspace
    from tui.screens.main import MainScreen


class MachineWatch:
    """State of the machine for the app; `begin` starts looking."""

    def __init__(self, screen: MainScreen, machine: Machine | None = None) -> None:
        """`machine` stands in for the one that `[telemetry] root` names."""
        self._screen = screen
        self._settings = screen.workspace.config.telemetry
        self._machine = machine
        self._timer: Timer | None = None
        self._busy = False
        self._failed = False  # and that was told
        self.sample: Sample | None = None
        self.bars: tuple[Bar, ...] = ()
        self.warned: list[Warn] = []
        self.history = History(round(self._settings.history * self._settings.hz))
        self.shown: Callable[[], None] | None = None  # called after each look

    @property
    def workspace(self) -> Workspace:
        return self._screen.workspace

    @property
    def seconds(self) -> float:
        """Between two looks."""
        return 1 / self._settings.hz

    @property
    def workers(self) -> list[str]:
        """A line for each worker the engine computes on."""
        space = self.workspace
        used = space.config.engine.rpc if space.ready is not None else []
        return worker_lines(used, space.holdings)

    def begin(self) -> None:
        """Look at a steady rate from now on; once is enough."""
        if self._timer is None:
            self._timer = self._screen.set_interval(self.seconds, self._tick)
            self._tick()

    def _tick(self) -> None:
        if not self._busy:
            self._busy = True
            self._screen.run_worker(self.look(), group="machine")

    async def look(self) -> None:
        """One look; what it says is taken in on the app's own thread."""
        try:
            if self._machine is None:
                self._machine = Machine(self._settings.root or "/")
            pid = self.workspace.ready.pid if self.workspace.ready is not None else None
            sample = await asyncio.to_thread(self._machine.look, pid)
        except Exception as error:  # a driver or library that fails must not take the app with it
            if not self._failed:
                self.workspace.note(
                    "error", "machine", f"The machine cannot be looked at: {error}. It is tried on."
                )
            self._failed = True
        else:
            self._failed = False
            self.take(sample)
        finally:
            self._busy = False

    def take(self, sample: Sample) -> None:
        """A new look: keep it, warn, tell the screen."""
        self.sample = sample
        self.bars = bars(sample, self.workspace.holdings)
        self.history.add(sample, self.bars)
        config = self.workspace.config
        known = [warning.key for warning in self.warned]
        self.warned = warnings(sample, self.bars, config.engine, config.telemetry.warn_free, known)
        for warning in self.warned:
            if warning.key not in known:
                self._tell(warning)
        if self.shown is not None:
            self.shown()

    def _tell(self, warning: Warn) -> None:
        self.workspace.note("warning", "machine", f"{warning.what} {warning.remedy}")
        self._screen.notify(
            warning.remedy, title=warning.what, severity="warning", markup=False, timeout=12
        )

    def close(self) -> None:
        """Stop looking."""
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        if self._machine is not None:
            self._machine.close()
