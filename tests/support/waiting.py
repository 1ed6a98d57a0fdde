"""Waiting for a condition instead of a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


async def until(condition: Callable[[], object], seconds: float = 10.0, what: str = "") -> None:
    """Let the event loop run until `condition()` is true; fails after `seconds`."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not condition():
        assert loop.time() < end, f"still waiting after {seconds} s {what}"
        await asyncio.sleep(0.002)


def until_sync(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """The same without an event loop, for what other threads do."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"still waiting after {seconds} s"
        time.sleep(0.002)
