"""What others notice of a compaction: gaps between their tokens, in a real core."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from engine.bench import recall
from engine.bench.compaction import Plan, Say
from engine.client import EngineClient
from engine.config import Config
from engine.protocol import Compaction, Deltas, Done, Event, Message, Sampling

TALKERS = 3
TOKENS = 3000
CALM = 2.0  # seconds of undisturbed talk before


def run(config: Config, plan: Plan, say: Say) -> dict[str, Any]:
    """One row: seconds and stall of compacting a long session while others answer."""
    config.model.path = str(plan.model)
    config.engine.n_ctx = max(config.engine.n_ctx, 3 * plan.context + TALKERS * TOKENS)
    config.compaction.auto = True
    config.compaction.threshold = 1.0
    return asyncio.run(_measure(config, plan, say))


async def _measure(config: Config, plan: Plan, say: Say) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        client = EngineClient(config, log_path=Path(folder) / "core.log")
        times: list[float] = []
        ended: asyncio.Queue[Event] = asyncio.Queue()

        def watch(event: Event) -> None:
            if isinstance(event, Deltas) and any(d.session != "long" for d in event.items):
                times.append(time.monotonic())
            elif isinstance(event, (Done, Compaction)):
                ended.put_nowait(event)

        client.subscribe(watch)
        await client.start()
        try:
            return await _with(client, config, plan, say, times, ended)
        finally:
            await client.stop()


async def _with(
    client: EngineClient,
    config: Config,
    plan: Plan,
    say: Say,
    times: list[float],
    ended: asyncio.Queue[Event],
) -> dict[str, Any]:
    messages: list[Message] = []
    for dialogue in recall.load(2000):
        messages += [m for m in dialogue.messages if m.role != "system"]
        if await client.tokenize(messages) > plan.context:
            break
    say("live: one session reads its past")
    await client.open("long")
    await client.generate(
        "long", (*messages, Message("user", "Hello")), Sampling(temperature=0, max_tokens=8)
    )
    while not isinstance(await ended.get(), Done):
        pass
    for number in range(TALKERS):
        await client.open(f"talker{number}")
        await client.generate(
            f"talker{number}",
            (Message("user", "Hello"),),
            Sampling(max_tokens=TOKENS, ignore_eos=True),
        )
    say(f"live: {TALKERS} others talk")
    await asyncio.sleep(0.5)
    times.clear()
    await asyncio.sleep(CALM)
    calm = np.diff(times)
    times.clear()
    ratio = plan.ratios[len(plan.ratios) // 2]
    before = await client.compact("long", ratio, plan.methods[0])
    while True:
        event = await ended.get()
        if isinstance(event, Compaction) and event.phase in ("done", "failed", "cancelled"):
            break
    busy = np.diff(times)

    def p(gaps: Any, share: float) -> float:
        return float(1000 * np.percentile(gaps, share)) if len(gaps) else 0.0

    return {
        "task": "live", "method": plan.methods[0], "ratio": ratio, "cells_before": before,
        "cells_after": event.cells_after, "accuracy": None, "perplexity": None, "kl": None,
        "seconds": event.seconds, "beta_min": event.beta_min, "beta_max": event.beta_max,
        "cv_norm_ratio": event.norm_ratio, "phase": event.phase, "stall_ms": event.stall_ms,
        "gap_ms_p50_calm": p(calm, 50), "gap_ms_p99_calm": p(calm, 99),
        "gap_ms_p50_busy": p(busy, 50), "gap_ms_p99_busy": p(busy, 99),
        "p99_ratio": p(busy, 99) / max(1e-9, p(calm, 99)), "talkers": TALKERS,
    }  # fmt: skip
