"""What the app does when the core died because of a worker: find out which, wait until it is back."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from engine import workers
from engine.config import EngineConfig
from engine.errors import EngineError
from engine.workers import Worker

TAIL = 16384  # bytes of the log; stacks of all threads follow what ggml says
BROKEN = b"Remote RPC server crashed"  # GGML_ABORT of ggml-rpc.cpp
FIRST, LONGEST = 1.0, 10.0  # seconds between two looks: doubled from the one to the other


async def lost(config: EngineConfig) -> list[Worker]:
    """The workers that cannot be used now; [] when there are none, or none has to do with it."""
    if not config.rpc or config.gpu_layers == 0:
        return []
    return workers.faulty(await asyncio.to_thread(workers.settled, config.rpc))


def obituary(gone: Sequence[Worker], waits: bool) -> EngineError:
    """What to tell when the core ended and these workers do not answer."""
    names = " and ".join(one.endpoint for one in gone)
    several = len(gone) > 1
    what = (
        f"The engine stopped: the worker{'s' if several else ''} {names} "
        f"{'are' if several else 'is'} gone ({gone[0].detail or gone[0].state})."
    )
    ports = " ".join(dict.fromkeys(f"--port {workers.parse(one.endpoint)[1]}" for one in gone))
    start = f"Start {'them' if several else 'it'} again (halo-tui rpc-worker {ports})"
    if waits:
        remedy = f"{start}: answers go on by themselves. Without: /workers off."
    else:
        remedy = f"{start}, then /restart. Without: {workers.without()}."
    return EngineError(what, f"Nothing is lost. {remedy}", "worker")


def was_broken(log: Path) -> bool:
    """Whether ggml's last words in the core's log are about a worker: it aborts on a broken one."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
            return BROKEN in file.read()
    except OSError:
        return False


async def back(gone: Sequence[Worker], seconds: float, given_up: asyncio.Event) -> bool:
    """Wait until all of them answer again: False after so many seconds, or when given up."""
    loop = asyncio.get_running_loop()
    end, pause = loop.time() + seconds, FIRST
    missing = [one.endpoint for one in gone]
    while missing:
        left = end - loop.time()
        if left <= 0:
            return False
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(given_up.wait(), min(pause, left))
            return False
        pause = min(2 * pause, LONGEST)
        found = await asyncio.to_thread(workers.look, missing)
        missing = [one.endpoint for one in workers.faulty(found)]
    return True
