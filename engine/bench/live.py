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
from engine.errors import EngineError
from engine.protocol import Compaction, Deltas, Done, Event, Message, Sampling, Studied

TALKERS = 3
TOKENS = 6000
STUDY_SECONDS = 300.0
NEAR = 0.01  # of the threshold: at once
CALM = 2.0  # seconds of undisturbed talk before
AHEAD = ("", "study", "solution")  # what was prepared


def run(config: Config, plan: Plan, say: Say) -> list[dict[str, Any]]:
    """Seconds and stall of compacting a long session while others answer: one row when it is studied
    at the limit, one when it was studied ahead, one when it was solved too, as the core does by itself."""
    config.model.path = str(plan.model)
    config.engine.n_ctx = max(config.engine.n_ctx, 3 * plan.context + TALKERS * TOKENS)
    config.compaction.auto = True
    config.compaction.threshold = 1.0
    config.compaction.study_ahead = 1.0
    config.compaction.method = plan.methods[0]  # type: ignore[assignment]
    config.compaction.ratio = plan.ratios[len(plan.ratios) // 2]
    return [asyncio.run(_measure(config, plan, say, ahead)) for ahead in AHEAD]


async def _measure(config: Config, plan: Plan, say: Say, ahead: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        client = EngineClient(config, log_path=Path(folder) / "core.log")
        times: list[float] = []
        ended: asyncio.Queue[Event] = asyncio.Queue()

        def watch(event: Event) -> None:
            if isinstance(event, Deltas) and any(d.session != "long" for d in event.items):
                times.append(time.monotonic())
            elif isinstance(event, (Done, Compaction, Studied)):
                ended.put_nowait(event)

        client.subscribe(watch)
        await client.start()
        try:
            return await _with(client, plan, say, times, ended, ahead)
        finally:
            await client.stop()


async def _with(
    client: EngineClient,
    plan: Plan,
    say: Say,
    times: list[float],
    ended: asyncio.Queue[Event],
    ahead: str,
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
    prepared: dict[str, float | None] = {"study": None, "solution": None}  # seconds
    meanwhile: dict[str, Any] = {}
    if ahead:
        await client.configure("compaction.study_ahead", NEAR)
        for stage in AHEAD[1 : AHEAD.index(ahead) + 1]:
            prepared[stage] = (await _prepared(ended, stage == "solution")).seconds
            meanwhile[stage] = np.diff(times)
            times.clear()
        await client.configure("compaction.study_ahead", 1.0)
    begun = time.monotonic()
    before = await client.compact("long", ratio, plan.methods[0])
    reached: dict[str, float] = {}  # stage -> seconds from the start
    while True:
        event = await ended.get()
        if isinstance(event, Compaction):
            reached.setdefault(event.phase, event.seconds)
            if event.phase in ("done", "failed", "cancelled"):
                break
    landed = time.monotonic() - begun
    await asyncio.sleep(0.5)  # some tokens more, so that landing itself shows
    busy = np.diff(times)

    def p(gaps: Any, share: float) -> float:
        return float(1000 * np.percentile(gaps, share)) if len(gaps) else 0.0

    return {
        "task": "live", "method": plan.methods[0], "ratio": ratio, "cells_before": before,
        "cells_after": event.cells_after, "accuracy": None, "perplexity": None, "kl": None,
        "seconds": event.seconds, "seconds_by_stage": reached, "queries": event.queries,
        "beta_min": event.beta_min, "beta_max": event.beta_max,
        "cv_norm_ratio": event.norm_ratio, "phase": event.phase, "stall_ms": event.stall_ms,
        "gap_ms_p50_calm": p(calm, 50), "gap_ms_p99_calm": p(calm, 99),
        "gap_ms_p50_busy": p(busy, 50), "gap_ms_p99_busy": p(busy, 99),
        "p99_ratio": p(busy, 99) / max(1e-9, p(calm, 99)), "talkers": TALKERS,
        "ahead": ahead, "landed_seconds": landed,
        **{f"{stage}_seconds": seconds for stage, seconds in prepared.items()},
        **{f"{stage}_p99_ratio": p(gaps, 99) / max(1e-9, p(calm, 99))
           for stage, gaps in meanwhile.items()},
    }  # fmt: skip


async def _prepared(ended: asyncio.Queue[Event], solved: bool) -> Studied:
    """Wait until the core has studied, or solved, the session that it would compact next."""
    try:
        async with asyncio.timeout(STUDY_SECONDS):
            while True:
                event = await ended.get()
                if isinstance(event, Studied) and event.solved == solved:
                    return event
    except TimeoutError:
        raise EngineError(
            f"No session was {'solved' if solved else 'studied'} ahead in {STUDY_SECONDS:.0f} s.",
            "Give a larger --context: what the others say meanwhile must not outgrow it.",
        ) from None
