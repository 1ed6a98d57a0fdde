"""What everybody waits for when a long text is pasted into a session and cells run short.

Two others answer without a pause. Prints one JSON object. `--case` says what goes before:

- prepared: the session is studied and solved ahead; then 5,200 characters are pasted at once, more than the
  limit leaves. `--cells 3072 --threshold 0.85 --ahead 0.45` lets the cells run out, `--cells 4096
  --threshold 0.7 --ahead 0.4` does not.
- again: the same, and the same amount once more as soon as the first paste is answered.
- first: nothing; the session's first prompt is a long one (`--share` of the cells).
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
BRIEF = Sampling(temperature=0, max_tokens=8)
LONG = Sampling(temperature=0, max_tokens=120, ignore_eos=True)


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

    def longest_gap(self, sessions: tuple[str, ...], since: float) -> float:
        """Seconds that one of the sessions was silent, at most."""
        return max(
            b - a
            for name in sessions
            for a, b in pairwise([since, *(t for t in self.times.get(name, []) if t >= since)])
        )


async def measure(given: argparse.Namespace) -> dict[str, object]:
    """The figures of one run."""
    config = Config()
    config.engine.threads, config.engine.n_ctx = 1, given.cells
    compaction = config.compaction
    compaction.ratio, compaction.threshold = given.ratio, given.threshold
    compaction.study_ahead = given.ahead
    compaction.refine = not given.unrefined
    if not given.full_study:
        compaction.study_samples, compaction.study_tokens = 4, 64
    with tempfile.TemporaryDirectory() as folder:
        client = EngineClient(config, log_path=Path(folder) / "core.log")
        watch = Watch(client)
        await client.start()
        try:
            return await _fill(client, watch, given)
        finally:
            await client.stop()


async def _fill(client: EngineClient, watch: Watch, given: argparse.Namespace) -> dict[str, object]:
    told, *others = dialogues = recall.load(2000)
    others = others[:3]
    talkers, ended = ("one", "two"), asyncio.Event()

    async def talk(name: str) -> None:
        await client.open(name)
        seed = 0
        while not ended.is_set():
            seed += 1
            sampling = Sampling(max_tokens=300, ignore_eos=True, seed=seed)
            await watch.ask(name, (Message("user", "Hello"),), sampling)

    await client.open("long")
    said = tuple(m for m in told.messages if m.role != "system")
    if given.case != "first":
        said = (*said, Message("user", "Hello"))
        said = (*said, Message("assistant", (await watch.ask("long", said, BRIEF)).text))
    tasks = [asyncio.create_task(talk(name)) for name in talkers]
    if given.case == "first":
        await asyncio.sleep(1.0)
        for dialogue in dialogues[1:]:
            for one in dialogue.messages[1:]:
                longer = (*said, one, Message("user", "Hello"))
                if await client.tokenize(longer) > given.share * given.cells:
                    break
                said = (*said, one)
        pastes = [(*said, Message("user", "Hello"))]
    else:
        await asyncio.wait_for(watch.solved.wait(), 300)
        texts = [_text(d)[:PASTED] for d in (others[-1], others[0])]
        pastes = [(Message("user", text),) for text in texts[: 2 if given.case == "again" else 1]]
        pastes[0] = (*said, *pastes[0])
    said, rows = (), []
    for paste in pastes:
        said = (*said, *paste)
        before, begun = len(watch.compactions), time.monotonic()
        done = await watch.ask("long", said, LONG if given.answer else BRIEF)
        said = (*said, Message("assistant", done.text))
        rows.append(
            {
                "tokens": done.prompt_tokens,
                "pasted_to_answer_seconds": done.queue_seconds + done.prefill_seconds,
                "answered_seconds": time.monotonic() - begun,
                "longest_gap_seconds": watch.longest_gap((*talkers, "long"), begun),
            }
        )
        last = begun, before
    await asyncio.sleep(SETTLE)
    ended.set()
    begun, before = last
    rows[-1]["longest_gap_seconds"] = watch.longest_gap(talkers, begun)
    await asyncio.gather(*tasks)

    async def known(dialogue: recall.Dialogue) -> str:
        right, asked = 0, dialogue.questions[:QUESTIONS]
        for question, answers in asked:
            reply = await watch.ask("long", (*said, Message("user", question)), GREEDY)
            right += recall.holds(reply.text, answers)
        return f"{right}/{len(asked)}"

    return {
        "case": given.case,
        "ratio": given.ratio,
        "pastes": rows,
        "compactions": [
            {"session": e.session, "trigger": e.trigger, "seconds": e.seconds, "source": e.source,
             "cells_before": e.cells_before, "cells_after": e.cells_after, "error": e.error,
             "phase": e.phase, "at": at - begun}
            for at, e in watch.compactions if e.phase in ("done", "failed", "cancelled")
        ],
        "recall": await known(told),
        "recall_pasted": await known(others[-1 if given.case == "prepared" else 0]),
    }  # fmt: skip


def _text(dialogue: recall.Dialogue) -> str:
    return " ".join(m.content for m in dialogue.messages if m.role == "user")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", choices=("prepared", "again", "first"), default="prepared")
    parser.add_argument("--cells", type=int, default=3072)
    parser.add_argument("--threshold", type=float, default=0.85)
    parser.add_argument("--ahead", type=float, default=0.45)
    parser.add_argument("--ratio", type=float, default=10.0)
    parser.add_argument("--share", type=float, default=0.8)
    parser.add_argument("--full-study", action="store_true", help="with the default recaps")
    parser.add_argument("--unrefined", action="store_true")
    parser.add_argument("--answer", action="store_true", help="120 tokens are answered, not 8")
    json.dump(asyncio.run(measure(parser.parse_args())), sys.stdout)
    print()


if __name__ == "__main__":
    main()
