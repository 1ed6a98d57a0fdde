"""The throughput bench: our engine, the bare batched loop, and one agent after the other.

All three decode the same number of tokens after prompts of the same length, greedily, with the
same threads and batch sizes, each alone on the machine, in turns: engine, ceiling, sequential,
engine, ... Rates count decoding only; figures are medians over the repeats. Threads are as many as
engine.threads says; where it leaves that open, as many as the bare loop is fastest with, found first:
with more, a small model's steps measure how cores wait for each other, not who drives them.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from engine import paths
from engine.bench import make_model
from engine.bench.contender import INTERRUPTED
from engine.client import EngineClient
from engine.config import Config
from engine.core.model import thread_count
from engine.environment import for_computing
from engine.models import MINI, resolve
from engine.protocol import Deltas, Done, Event, Message, Sampling

PROMPT_WORDS = 42
REPEATS = 3
LEAST_CELLS = 8192
ROOM = 128  # cells of an agent beside its answer: the prompt


def run(
    config: Config,
    agents: tuple[int, ...] = (1, 2, 4, 8),
    model: str | None = None,
    tokens: int = 128,
    repeats: int = REPEATS,
) -> dict[str, Any]:
    """Measure; without `model` on halo-mini and on a random half-billion-parameter model."""
    if model == "half-b":
        files = [make_model.half_b(paths.cache_dir())]
    elif model:
        files = [resolve(model, config)]
    else:
        files = [MINI, make_model.half_b(paths.cache_dir())]
    rows = [
        row for path in files for row in asyncio.run(_model(config, path, agents, tokens, repeats))
    ]
    return {"rows": rows, "machine": machine(), "settings": {
        "tokens": tokens, "repeats": repeats, "threads": config.engine.threads,
        "n_batch": config.engine.n_batch, "n_ubatch": config.engine.n_ubatch,
    }}  # fmt: skip


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    name = platform.machine()
    try:
        text = Path("/proc/cpuinfo").read_text()
        name = next(
            x.split(":")[1].strip() for x in text.splitlines() if x.startswith("model name")
        )
    except (OSError, StopIteration):
        pass
    load = os.getloadavg()[0]
    return {"cpu": name, "cores": os.cpu_count(), "load_before": round(load, 2)}


def prompt(agent: int, shared: bool) -> tuple[Message, ...]:
    """A system prompt of some length and a question; not shared = different from the first word."""
    words = " ".join(f"item {i} is kept in room {i * 7 % 97}" for i in range(PROMPT_WORDS // 7))
    system = f"Notes. {words}" if shared else f"Agent {agent} notes. {agent} {words}"
    return (Message("system", system), Message("user", f"Question {agent}: what is in the room?"))


class Heard:
    """Counts what one session receives."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.stamps: list[tuple[float, int]] = []
        self.done: Done | None = None
        self.heard_at = 0.0  # when `done` was there, on the clock of its `ended_at`

    @property
    def first(self) -> float:
        return self.stamps[0][0]

    @property
    def last(self) -> float:
        return self.stamps[-1][0]


async def generate(
    client: EngineClient,
    prompts: dict[str, tuple[Message, ...]],
    tokens: int,
    sampling: Sampling | None = None,
) -> dict[str, Heard]:
    """Run all prompts at once; returns when all are done."""
    sessions = {name: Heard() for name in prompts}
    finished = asyncio.Event()

    def handle(event: Event) -> None:
        now = time.perf_counter()
        if isinstance(event, Deltas):
            for item in event.items:
                if item.session in sessions and item.tokens:
                    sessions[item.session].stamps.append((now, len(item.tokens)))
        elif isinstance(event, Done) and event.session in sessions:
            sessions[event.session].done = event
            sessions[event.session].heard_at = time.monotonic()
            if all(s.done for s in sessions.values()):
                finished.set()

    stop = client.subscribe(handle)
    if sampling is None:
        sampling = Sampling(temperature=0.0, max_tokens=tokens, ignore_eos=True, seed=1)
    try:
        for name in prompts:
            await client.open(name)
        for heard in sessions.values():
            heard.started = time.perf_counter()
        # Together, so that they are read in the same steps.
        await asyncio.gather(*(client.generate(n, m, sampling) for n, m in prompts.items()))
        await finished.wait()
    finally:
        stop()
    for name in prompts:
        await client.close(name)
    return sessions


def rate(sessions: dict[str, Heard]) -> float:
    """Tokens/s while all sessions decode: from the last first token to the first end.

    On the core's clock: text reaches the app in batches of 40 ms, in which a small model says more than
    a hundred tokens. Of answers so short that they never decode all at once: tokens/s of the whole.
    """
    ended = [s.done for s in sessions.values() if s.done and s.done.decode_seconds > 0]
    if not ended:
        return 0.0
    firsts = [done.ended_at - done.decode_seconds for done in ended]
    begin, end = max(firsts), min(done.ended_at for done in ended)
    if end <= begin:
        whole = max(done.ended_at for done in ended) - min(firsts)
        return sum(done.tokens - 1 for done in ended) / whole
    # Each goes on evenly: its first token stands at the beginning of its decoding.
    return sum((done.tokens - 1) / done.decode_seconds for done in ended)


def cells_for(agents: int, tokens: int) -> int:
    """Cells with which nobody waits for one: all prompts and answers of `tokens` at once."""
    return max(LEAST_CELLS, agents * (tokens + ROOM))


def lag(sessions: dict[str, Heard]) -> float:
    """Seconds from the end of an answer to when the app had all of it, at most."""
    return max((s.heard_at - s.done.ended_at for s in sessions.values() if s.done), default=0.0)


def _peer(job: dict[str, Any], kind: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "engine.bench.contender"], input=json.dumps({**job, "kind": kind}),
        capture_output=True, text=True, env=for_computing(), check=False,
    )  # fmt: skip
    if done.returncode == INTERRUPTED:
        raise KeyboardInterrupt
    if done.returncode:
        raise RuntimeError(f"the {kind} contender failed: {done.stderr.strip()[-400:]}")
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def _job(config: Config, path: Path, count: int, tokens: int, length: int = 64) -> dict[str, Any]:
    """What a contender is told."""
    return {
        "path": str(path), "texts": [prompt(i, False)[0].content for i in range(count)],
        "prompt_tokens": length, "tokens": tokens, "n_ctx": config.engine.n_ctx,
        "n_batch": config.engine.n_batch, "n_ubatch": config.engine.n_ubatch,
        "n_seq_max": config.engine.max_sessions, "threads": thread_count(config.engine.threads),
    }  # fmt: skip


def _best_threads(job: dict[str, Any]) -> int:
    """The number of threads with which the bare loop is fastest, of powers of two and all."""
    most = thread_count(0)
    job = {**job, "tokens": min(job["tokens"], 48)}
    counts = sorted({most, *(1 << i for i in range(10) if 1 << i < most)})
    rates = {n: _peer({**job, "threads": n}, "ceiling")["tok_s"] for n in counts}
    return max(counts, key=lambda n: rates[n])


async def _model(
    config: Config, path: Path, agents: tuple[int, ...], tokens: int, repeats: int
) -> list[dict[str, Any]]:
    own: Config = msgspec.convert(msgspec.to_builtins(config), Config)
    own.model.path = str(path)
    own.engine.keep_closed = False  # every prompt is computed
    own.compaction.auto = False
    own.engine.auto = False  # the contenders know nothing of it
    rows = []
    for count in agents:
        found: dict[str, list[float]] = {
            k: [] for k in ("engine", "ceiling", "sequential", "ttft", "shared", "lag")
        }
        own.engine.n_ctx = cells_for(count, tokens)
        tell(f"{path.stem}: {count} agents, how many threads")
        own.engine.threads = config.engine.threads or _best_threads(_job(own, path, count, tokens))
        for repeat in range(repeats):
            tell(f"{path.stem}: {count} agents, {repeat + 1}/{repeats}")
            length = 0
            with tempfile.TemporaryDirectory() as folder:
                client = EngineClient(own, log_path=Path(folder) / "core.log")
                await client.start()
                try:
                    await generate(client, {"warm": prompt(99, False)}, 8)
                    sessions = await generate(
                        client, {f"a{i}": prompt(i, False) for i in range(count)}, tokens
                    )
                    found["engine"].append(rate(sessions))
                    found["lag"].append(lag(sessions))
                    length = max(s.done.prompt_tokens for s in sessions.values() if s.done)
                    alone = (await generate(client, {"x": prompt(50, False)}, 8))["x"]
                    found["ttft"].append(alone.first - alone.started)
                    found["shared"].append(await _shared_ttft(client))
                finally:
                    await client.stop()
            job = _job(own, path, count, tokens, length)
            for kind in ("ceiling", "sequential"):
                found[kind].append(_peer(job, kind)["tok_s"])
        rows.append({**_row(path, count, found), "threads": own.engine.threads})
    return rows


async def _shared_ttft(client: EngineClient) -> float:
    """Seconds to the first token of a session whose system prompt another one holds."""
    await client.open("holder")
    done = asyncio.Event()
    stop = client.subscribe(lambda e: done.set() if isinstance(e, Done) else None)
    await client.generate("holder", prompt(60, True), Sampling(temperature=0.0, max_tokens=2))
    await done.wait()
    stop()
    shared = (await generate(client, {"y": prompt(61, True)}, 8))["y"]
    await client.close("holder")
    return shared.first - shared.started


def _row(path: Path, count: int, found: dict[str, list[float]]) -> dict[str, Any]:
    middle = {key: statistics.median(values) for key, values in found.items()}
    ratios = [e / c for e, c in zip(found["engine"], found["ceiling"], strict=True)]
    return {
        "model": path.stem,
        "agents": count,
        "engine_tok_s": round(middle["engine"], 1),
        "ceiling_tok_s": round(middle["ceiling"], 1),
        "sequential_tok_s": round(middle["sequential"], 1),
        "ratio_to_ceiling": round(statistics.median(ratios), 3),
        "ratio_spread": [round(min(ratios), 3), round(max(ratios), 3)],
        "ratio_to_sequential": round(middle["engine"] / middle["sequential"], 2),
        "ttft_ms": round(1000 * middle["ttft"], 1),
        "ttft_shared_ms": round(1000 * middle["shared"], 1),
        "lag_ms": round(1000 * middle["lag"], 1),
    }


def tell(text: str) -> None:
    """Progress on stderr."""
    print(f"bench: {text}", file=sys.stderr, flush=True)
