"""What it costs to put a session's cells aside, to save and to restore them, against prefilling."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from engine.bench import recall
from engine.client import EngineClient
from engine.config import Config
from engine.protocol import Deltas, Done, Event, Message, Sampling

Say = Callable[[str], None]
REPEATS = 3
SESSIONS, SESSION_CELLS = 8, 4000  # of the restore row
TALKERS, TALK_TOKENS = 3, 2500  # of the checkpoint row
ONE = Sampling(temperature=0, max_tokens=1, ignore_eos=True)


def run(config: Config, model: Path, cells: tuple[int, ...], say: Say) -> dict[str, Any]:
    """A row for each number of cells; beside them `restore` and `checkpoint`."""
    config.model.path = str(model)
    config.compaction.auto = False
    config.engine.keep_closed = False
    config.engine.n_ctx = max(max(cells) * 2, (SESSIONS + 1) * (SESSION_CELLS + 64), 16384)
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measure(config, cells, Path(folder), say))


class _Bench:
    """A core, and how long it takes for things."""

    def __init__(self, config: Config, folder: Path) -> None:
        self.client = EngineClient(config, log_path=folder / "core.log", swap_folder=folder)
        self.done: dict[str, asyncio.Future[Done]] = {}
        self.times: list[float] = []
        self.client.subscribe(self._heard)

    def _heard(self, event: Event) -> None:
        if isinstance(event, Deltas):
            self.times.append(time.monotonic())
        elif isinstance(event, Done) and (future := self.done.pop(event.session, None)):
            future.set_result(event)

    async def ask(self, session: str, messages: tuple[Message, ...], sampling: Sampling) -> Done:
        future: asyncio.Future[Done] = asyncio.get_running_loop().create_future()
        self.done[session] = future
        await self.client.open(session)
        await self.client.generate(session, messages, sampling)
        return await future

    async def past(self, cells: int, mark: str) -> tuple[Message, ...]:
        """A conversation of about so many tokens that shares no beginning with another mark's."""
        messages = [Message("user", f"{mark}."), Message("assistant", "I see.")]
        last = Message("user", "Hello")
        for dialogue in recall.load(6000) + recall.load(2000):
            for message in dialogue.messages:
                if message.role != "system":
                    messages.append(message)
            while await self.client.tokenize([*messages, last]) > cells:
                messages.pop()
                if await self.client.tokenize([*messages, last]) <= cells:
                    return (*messages, last)
        return (*messages, last)


async def _measure(
    config: Config, cells: tuple[int, ...], folder: Path, say: Say
) -> dict[str, Any]:
    bench = _Bench(config, folder)
    ready = await bench.client.start()
    rows: list[dict[str, Any]] = []
    try:
        for count in cells:
            say(f"swap: {count} cells")
            rows.append(await _swap(bench, count))
        say("checkpoint: one session is saved while others talk")
        checkpoint = await _checkpoint(bench, folder)
        say(f"restore: {SESSIONS} sessions are read")
        prefill, tokens = await _prefill_all(bench, folder)
    finally:
        await bench.client.stop()
    bench = _Bench(config, folder)
    await bench.client.start()
    try:
        say(f"restore: {SESSIONS} sessions are restored")
        restore = await _restore(bench, folder, prefill, tokens)
    finally:
        await bench.client.stop()
    return {
        "model": ready.model,
        "kv_bytes_per_cell": ready.kv_bytes_per_cell,
        "rows": rows,
        "restore": restore,
        "checkpoint": checkpoint,
    }


async def _swap(bench: _Bench, count: int) -> dict[str, Any]:
    out, back, prefill = [], [], []
    cells = 0
    for number in range(REPEATS):
        name = f"s{count}-{number}"
        done = await bench.ask(name, await bench.past(count, name), ONE)
        prefill.append(done.prefill_seconds)
        started = time.monotonic()
        cells = await bench.client.swap(name, True)
        out.append(time.monotonic() - started)
        started = time.monotonic()
        await bench.client.swap(name, False)
        back.append(time.monotonic() - started)
        await bench.client.close(name)
    middle = {key: float(np.median(v)) for key, v in zip("oip", (out, back, prefill), strict=True)}
    return {
        "cells": cells, "seconds_out": middle["o"], "seconds_in": middle["i"],
        "seconds_prefill": middle["p"], "ratio": middle["p"] / max(1e-9, middle["i"]),
    }  # fmt: skip


async def _checkpoint(bench: _Bench, folder: Path) -> dict[str, Any]:
    """The gaps between the others' tokens, calm and while a session is saved again and again."""
    done = await bench.ask("long", await bench.past(SESSION_CELLS, "long"), ONE)
    endless = Sampling(max_tokens=TALK_TOKENS, ignore_eos=True)
    talks = [
        asyncio.create_task(bench.ask(f"talker{n}", (Message("user", f"Hello {n}"),), endless))
        for n in range(TALKERS)
    ]
    await asyncio.sleep(0.5)
    gaps: list[Any] = []
    saved = 0
    for busy in (False, True):
        bench.times.clear()
        until = time.monotonic() + 2.0
        while time.monotonic() < until:
            if busy:
                await bench.client.save("long", folder / "long.halo", b"{}")
                saved += 1
            await asyncio.sleep(0.1)
        gaps.append(1000 * np.diff(bench.times))
    for number in range(TALKERS):
        await bench.client.cancel(f"talker{number}")
    await asyncio.gather(*talks)
    for name in ("long", *(f"talker{n}" for n in range(TALKERS))):
        await bench.client.close(name)

    def of(which: Any, share: float) -> float:
        return float(np.percentile(which, share)) if len(which) else 0.0

    return {
        "cells": done.cells, "saves": saved,
        "gap_ms_p50_calm": of(gaps[0], 50), "gap_ms_p99_calm": of(gaps[0], 99),
        "gap_ms_max_calm": of(gaps[0], 100), "gap_ms_p50_busy": of(gaps[1], 50),
        "gap_ms_p99_busy": of(gaps[1], 99), "gap_ms_max_busy": of(gaps[1], 100),
    }  # fmt: skip


async def _prefill_all(bench: _Bench, folder: Path) -> tuple[float, int]:
    """Read all sessions at once, as a start without snapshots would, and save them."""
    pasts = [await bench.past(SESSION_CELLS, f"r{n}") for n in range(SESSIONS)]
    started = time.monotonic()
    done = await asyncio.gather(*(bench.ask(f"r{n}", p, ONE) for n, p in enumerate(pasts)))
    seconds = time.monotonic() - started
    for number in range(SESSIONS):
        await bench.client.save(f"r{number}", folder / f"r{number}.halo", b"{}")
    return seconds, sum(d.cells for d in done)


async def _restore(bench: _Bench, folder: Path, prefill: float, cells: int) -> dict[str, Any]:
    for number in range(SESSIONS):
        await bench.client.open(f"r{number}")
    started = time.monotonic()
    tokens = await asyncio.gather(
        *(bench.client.restore(f"r{n}", folder / f"r{n}.halo") for n in range(SESSIONS))
    )
    seconds = time.monotonic() - started
    size = sum((folder / f"r{n}.halo").stat().st_size for n in range(SESSIONS))
    return {
        "sessions": SESSIONS, "cells": cells, "tokens": sum(tokens),
        "bytes": size, "seconds_in": seconds, "seconds_prefill": prefill,
        "ratio": prefill / max(1e-9, seconds),
    }  # fmt: skip
