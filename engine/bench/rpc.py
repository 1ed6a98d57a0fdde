"""Layers on two workers of this machine against the same core without them, in turns.

On one machine nothing is gained, so the ratio is what the protocol costs: serialising, copying, and
the waits of a step that passes through three processes. A network adds its own.
"""

from __future__ import annotations

import asyncio
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from engine import environment, workers
from engine.bench import throughput
from engine.bench.throughput import cells_for, generate, machine, prompt, rate, tell
from engine.client import EngineClient
from engine.config import Config
from engine.core.model import thread_count
from engine.errors import EngineError
from engine.protocol import Message, Sampling

WORKERS = 2
REPEATS = 3
LONG = 2  # prompts whose prefill is timed


def run(
    config: Config, model: Path, agents: tuple[int, ...], tokens: int, repeats: int = REPEATS
) -> dict[str, Any]:
    """A row for each number of agents. Raises EngineError when a worker does not start."""
    own: Config = msgspec.convert(msgspec.to_builtins(config), Config)
    own.model.path = str(model)
    own.engine.n_ctx = cells_for(max(agents), tokens)
    own.engine.keep_closed = False  # every prompt is computed
    own.engine.threads = config.engine.threads or thread_count(0)
    own.compaction.auto = False
    about = machine()
    with local_workers(WORKERS, own.engine.threads) as endpoints:
        rows = [_row(own, endpoints, count, tokens, repeats) for count in agents]
    return {"rows": rows, "machine": about, "settings": {
        "workers": WORKERS, "tokens": tokens, "repeats": repeats, "threads": own.engine.threads,
    }}  # fmt: skip


@contextmanager
def local_workers(count: int, threads: int) -> Iterator[list[str]]:
    """llama.cpp's rpc-server, so many times, on free ports of this machine."""
    started: list[tuple[str, subprocess.Popen[bytes]]] = []
    try:
        for _ in range(count):
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            command = [str(workers.program()), "--port", str(port), "--threads", str(threads)]
            process = subprocess.Popen(
                command,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment.for_computing(),
            )
            started.append((f"127.0.0.1:{port}", process))
        endpoints = [endpoint for endpoint, _ in started]
        end = time.monotonic() + 10
        while (trouble := workers.trouble(workers.look(endpoints))) is not None:
            if time.monotonic() > end:
                raise trouble
            time.sleep(0.05)
        yield endpoints
    finally:
        for _, process in started:
            process.kill()
            process.wait()


def _row(
    config: Config, endpoints: list[str], count: int, tokens: int, repeats: int
) -> dict[str, Any]:
    seen: dict[str, list[dict[str, float]]] = {"local": [], "rpc": []}
    for repeat in range(repeats):
        for kind, rpc in (("local", []), ("rpc", endpoints)):
            tell(f"{Path(config.model.path).stem}: {count} agents, {kind}, {repeat + 1}/{repeats}")
            config.engine.rpc = list(rpc)
            seen[kind].append(asyncio.run(_measure(config, count, tokens)))
    row: dict[str, Any] = {"model": Path(config.model.path).stem, "agents": count}
    for key in ("decode", "prefill"):
        middle = {k: statistics.median(one[key] for one in found) for k, found in seen.items()}
        ratios = [r[key] / h[key] for h, r in zip(seen["local"], seen["rpc"], strict=True)]
        row[f"{key}_local"] = round(middle["local"], 1)
        row[f"{key}_rpc"] = round(middle["rpc"], 1)
        row[f"{key}_ratio"] = round(statistics.median(ratios), 3)
        row[f"{key}_spread"] = [round(min(ratios), 3), round(max(ratios), 3)]
    return row


async def _measure(config: Config, count: int, tokens: int) -> dict[str, float]:
    """Tokens/s of decoding by `count` agents together, and of one long prompt."""
    with tempfile.TemporaryDirectory() as folder:
        client = EngineClient(config, log_path=Path(folder) / "core.log")
        await client.start()
        try:
            await generate(client, {"warm": prompt(99, False)}, 8)
            prompts = {f"a{i}": prompt(i, False) for i in range(count)}
            decode = rate(await generate(client, prompts, tokens))
            if not decode:
                raise EngineError("The answers were too short to be timed.", "Give more --tokens.")
            one = Sampling(temperature=0.0, max_tokens=1, ignore_eos=True)
            speeds = []
            for number in range(LONG):
                text = f"Notes {number}. " + throughput.prompt(number, False)[0].content * 3
                said = await generate(client, {"long": (Message("user", text),)}, 1, one)
                done = said["long"].done
                if done is None or not done.prefill_seconds:
                    raise EngineError("A prompt was not timed.", "See the engine's log.")
                speeds.append(done.prompt_tokens / done.prefill_seconds)
            return {"decode": decode, "prefill": statistics.median(speeds)}
        finally:
            await client.stop()
