"""Waiting for a condition instead of a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from textual._context import active_app

from tests.support import quiet


async def until(condition: Callable[[], object], seconds: float = 60.0, what: str = "") -> None:
    """Let the event loop run until `condition()` is true; fails after `seconds`.

    In an app, until all that follows from it is done and drawn as well.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not condition():
        assert loop.time() < end, f"still waiting after {seconds} s {what}"
        await asyncio.sleep(0.002)
    app = active_app.get(None)
    if app is not None and app.is_running:
        await quiet.settled(app)


def until_sync(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """The same without an event loop, for what other threads do."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"still waiting after {seconds} s"
        time.sleep(0.002)


async def settled(
    pilot: Any, at_least: float = 1.2, still: float = 0.4, most: float = 30.0
) -> None:
    """Wait until the timers of the screen came round and it stands still, however slow the machine.

    Still means: for `still` seconds in a row the event loop was punctual and nothing that is drawn
    changed. Cursors stop blinking. Fails after `most` seconds.
    """
    for widget in pilot.app.screen.walk_children():
        if hasattr(widget, "cursor_blink"):
            widget.cursor_blink = False
    loop = asyncio.get_running_loop()
    begin = since = loop.time()
    last: object = None
    while loop.time() - begin < at_least or loop.time() - since < still:
        asked = loop.time()
        await pilot.pause(0.05)
        now = [strip.text for strip in pilot.app.screen._compositor.render_strips()]
        if now != last or loop.time() - asked > 0.15:
            last, since = now, loop.time()
        assert loop.time() - begin < most, f"the screen still changes after {most} s"
