"""A pilot that waits until the app has nothing left to do, not until the processor looks idle.

Textual's own waits for 20 ms in which the process used little processor time. A machine that is
busy, or stops the process for a moment, makes that true too early, and a quick one makes it long.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from textual import app as textual_app
from textual import pilot as textual_pilot
from textual._context import active_app
from textual.app import App
from textual.notifications import Notification
from textual.pilot import Pilot

MOST = 60.0  # seconds; whoever is busy for longer will never be done


async def quiet() -> None:
    """Until the event loop has nothing to run: all that is left waits for time, files or threads."""
    loop: Any = asyncio.get_running_loop()
    end = loop.time() + MOST
    calm = 0
    while calm < 2:
        await asyncio.sleep(0)
        # Who ran before us in this turn would have left something here, had it anything to add.
        calm = calm + 1 if not loop._ready else 0
        assert loop.time() < end, f"something still runs after {MOST} s"


async def settled(app: App[Any]) -> None:
    """Until nothing is to be done, laid out or drawn, but by timers."""
    while True:
        await quiet()
        if not app.is_running or not app.screen_stack:
            return
        screen = app.screen
        waits = (
            screen._layout_required, screen._scroll_required, screen._repaint_required,
            screen._dirty_widgets, screen._recompose_required,
        )  # fmt: skip
        if not screen._callbacks and not (any(waits) and screen.is_current):
            return
        screen._on_timer_update()


async def _idle(min_sleep: float = 0.0, max_sleep: float = 1.0) -> None:
    app = active_app.get(None)
    if app is None:
        await quiet()
    else:
        await settled(app)


async def _pause(self: Pilot[Any], delay: float | None = None) -> None:
    await self._wait_for_screen()
    if delay is not None:
        await asyncio.sleep(delay)
    await settled(self.app)


@pytest.fixture
def lasting_toasts(monkeypatch: pytest.MonkeyPatch) -> None:
    """No toast goes by the clock: a test that was held up would miss it."""
    monkeypatch.setattr(Notification, "time_left", 3600.0)


def install() -> None:
    """For every pilot of this process."""
    textual_app.wait_for_idle = _idle  # type: ignore[assignment]
    textual_pilot.wait_for_idle = _idle  # type: ignore[assignment]
    Pilot.pause = _pause  # type: ignore[method-assign]
