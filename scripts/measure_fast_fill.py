"""What everybody waits for when a long text is pasted into a session that is prepared for compaction.

A session of halo-mini is studied and solved ahead; two others answer without a pause; then 5,200 characters
are pasted at once, more than the limit leaves. Prints one JSON object; `--cells 3072 --threshold 0.85
--ahead 0.45` lets the cells run out, `--cells 4096 --threshold 0.7 --ahead 0.4` does not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from engine.bench import recall
from engine.client import EngineClient
from engine.config import Config
from engine.protocol import Compaction, Deltas, Done, Event, Message, Sampling, Studied

PASTED = 5200  # characters
SETTLE = 20.0  # seconds after the answer
QUESTIONS = 8
GREEDY = Sampling(temperature=0, max_tokens=40)


class Watch:
    """Keeps when who said something, and how compactions went."""

    def __init__(self, client: EngineClient) -> None:
        self.client = client
        self.times: dict[str, list[float]] = {}
        self.compactions: list[tuple[float, Compaction]] = []
        self.solved = asyncio.Event()
        self._ends: dict[str, asyncio.Future[Done]] = {}
        client.subscribe(self._take)

    def _take(self, event: Event) -> None:
        now = time.monotonic()
        if isinstance(event, Deltas):
            for delta in event.items:
                self.times.setdefault(delta.session, []).append(now)
        elif isinstance(event, Compaction):
            self.compactions.append((now, event))
        elif isinstance(event, Studied) and event.solved and event.session == "long":
            self.solved.set()
        elif isinstance(event, Done) and event.session in self._ends:
            self._ends.pop(event.session).set_result(event)

    async def ask(self, session: str, messages: tuple[Message, ...], sampling: Sampling) -> Done:
        """Have a session answer."""
        end: asyncio.Future[Done] = asyncio.get_running_loop().create_future()
        self._ends[session] = end
        await self.client.generate(session, messages, sampling)
        return await end


async def measure(cells: int, threshold: float, share: float) -> dict[str, object]:
    """The figures of one run."""
    config = Config()
    config.engine.threads, config.engine.n_ctx = 1, cells
    compaction = config.compaction
    compaction.ratio, compaction.threshold, compaction.study_ahead = 10.0, threshold, share
    compaction.study_samples, compaction.study_tokens = 4, 64
    with tempfile.TemporaryDirectory() as folder:
        client = EngineClient(config, log_path=Path(folder) / "core.log")
        watch = Watch(client)
        await client.start()
        try:
            return await _fill(client, watch)
        finally:
            await client.stop()


async def _fill(client: EngineClient, watch: Watch) -> dict[str, object]:
    first, *_, last = recall.load(2000)[:4]
    said = (*(m for m in first.messages if m.role != "system"), Message("user", "Hello"))
    await client.open("long")
    done = await watch.ask("long", said, Sampling(temperature=0, max_tokens=8))
    said += (Message("assistant", done.text),)
    ended = asyncio.Event()

    async def talk(name: str) -> None:
        await client.open(name)
        seed = 0
        while not ended.is_set():
            seed += 1
            sampling = Sampling(max_tokens=300, ignore_eos=True, seed=seed)
            await watch.ask(name, (Message("user", "Hello"),), sampling)

    talkers = [asyncio.create_task(talk(name)) for name in ("one", "two")]
    await asyncio.wait_for(watch.solved.wait(), 300)
    pasted = " ".join(m.content for m in last.messages if m.role == "user")[:PASTED]
    said += (Message("user", pasted),)
    begun = time.monotonic()
    done = await watch.ask("long", said, Sampling(temperature=0, max_tokens=8))
    answered = time.monotonic() - begun
    await asyncio.sleep(SETTLE)
    ended.set()
    gaps = [
        b - a
        for name in ("one", "two")
        for a, b in pairwise([begun, *(t for t in watch.times.get(name, []) if t >= begun)])
    ]
    landed = [(t, e) for t, e in watch.compactions if e.phase == "done" and e.session == "long"]
    found = landed[0][1] if landed else None
    await asyncio.gather(*talkers)
    said += (Message("assistant", done.text),)
    right = 0
    for question, answers in first.questions[:QUESTIONS]:
        reply = await watch.ask("long", (*said, Message("user", question)), GREEDY)
        right += recall.holds(reply.text, answers)
    return {
        "pasted_to_answer_seconds": answered,
        "longest_gap_seconds": max(gaps),
        "trigger_to_landing_seconds": found.seconds if found else None,
        "cells_before": found.cells_before if found else None,
        "cells_after": found.cells_after if found else None,
        "recall": right / QUESTIONS,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=3072)
    parser.add_argument("--threshold", type=float, default=0.85)
    parser.add_argument("--ahead", type=float, default=0.45)
    given = parser.parse_args()
    result = asyncio.run(measure(given.cells, given.threshold, given.ahead))
    json.dump(result, sys.stdout)
    print()


if __name__ == "__main__":
    main()
