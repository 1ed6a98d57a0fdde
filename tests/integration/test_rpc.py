"""Layers on two workers: the same numbers, compaction, snapshots, and workers that die."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from engine import models, workers
from engine.bench import recall
from engine.bench import rpc as bench
from engine.client import CoreDied, EngineClient
from engine.config import CompactionConfig
from engine.errors import EngineError
from engine.protocol import Holdings, Ready, Sampling
from tests.support.cli import halo
from tests.support.engine import CHATML, Talk, chat, running, settings
from tests.support.mkgguf import tiny
from tests.support.pace import Pace
from tests.support.waiting import until
from tests.support.workers import Rpc, rpc_workers

pytestmark = pytest.mark.timeout(240)

MINI = Path(models.__file__).parent / "assets" / "halo-mini.gguf"
ENDLESS = "root ::= [a-z ] root"
HELLO = "Hi, I'm Ada and I work at Halo Labs."
LONG = Sampling(temperature=0.0, max_tokens=300, grammar=ENDLESS, loop_tokens=0)
COMPACT = CompactionConfig(auto=False, ratio=5.0, keep_recent=64, min_span=64)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Rpc]]:
    with rpc_workers(tmp_path_factory.mktemp("workers")) as found:
        yield found


def dialogue() -> tuple[list[str], list[tuple[str, tuple[str, ...]]]]:
    """A told conversation for `Talk.answer`, and some of what can be asked of it afterwards."""
    told = recall.load(512)[0]
    return [m.content for m in told.messages[:-1]], list(told.questions[:3])


def kept_alive(port: int) -> bool:
    """Whether the kernel probes an open connection to that port: timer 02 of /proc/net/tcp."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    there = [r for r in rows if r[2].endswith(f":{port:04X}") and r[3] == "01"]
    return bool(there) and all(r[5].startswith("02") for r in there)


def served(worker: Rpc) -> tuple[int, int]:
    """How many connections it took, and how many of them have ended."""
    log = worker.log.read_text()
    return log.count("Accepted client"), log.count("connection closed")


def names(found: list[Rpc]) -> list[str]:
    return [one.endpoint for one in found]


@pytest.mark.parametrize(
    ("model", "flash", "cache"),
    [("mini", "auto", "f16"), ("gemma3", "off", "f16"), ("qwen3moe", "on", "q8_0")],
)
def test_the_seam_gives_the_same_numbers(
    model: str, flash: str, cache: str, two: list[Rpc], tmp_path: Path
) -> None:
    """Workers run the same CPU code on the same layers, so not a bit may differ."""
    path = MINI if model == "mini" else tiny(model, chat_template=CHATML)
    seen = []
    for endpoints in ([], names(two)):
        out = tmp_path / f"{len(endpoints)}.npz"
        command = [sys.executable, "-m", "tests.support.seam_walk", str(out), str(path)]
        done = subprocess.run(
            [*command, flash, cache, *endpoints], capture_output=True, text=True, timeout=200
        )
        assert done.returncode == 0, done.stderr[-3000:]
        seen.append(np.load(out))
    here, there = seen
    assert set(here.files) == set(there.files)
    assert here["moved"] > 0 and len(here["state"]) > 10_000
    for name in here.files:
        np.testing.assert_array_equal(here[name], there[name], err_msg=name)


@pytest.mark.asyncio
async def test_agents_compaction_and_a_snapshot(two: list[Rpc], tmp_path: Path) -> None:
    file = tmp_path / "ada.halo"
    async with running(MINI, tmp_path, rpc=names(two), compaction=COMPACT, n_ctx=4096) as talk:
        ready = talk.client.ready
        assert ready is not None and ready.backend == "rpc"
        assert [d for d in ready.devices if d.startswith("RPC")] == [f"RPC {n}" for n in names(two)]
        assert all(kept_alive(one.port) for one in two)
        for one in workers.look(names(two), 0.3):
            assert one.state == "busy"  # it serves us, and nobody else
        for agent in ("bob", "eve"):
            await talk.say(agent, HELLO)
        texts, questions = dialogue()
        texts.append((await talk.answer("ada", *texts)).text)
        await talk.finish(["bob", "eve"])
        assert "Ada" in talk.done("bob").text  # type: ignore[union-attr]
        event = await talk.compact("ada", 5.0, "am-omp")
        assert event.phase == "done" and event.cells_after < event.cells_before / 4, event
        for question, answers in questions:
            after = await talk.answer("ada", *texts, question)
            assert recall.holds(after.text, answers) and after.cached_tokens > event.end, after
        await talk.client.save("ada", file, b"{}")
        await talk.client.stats()
        await until(lambda: bool(talk.all(Holdings)), what="for what they hold")
        held = talk.all(Holdings)[-1].held
        for name in names(two):
            of = [h for h in held if h.device == name]
            assert {h.kind for h in of} == {"rpc"}
            assert all(sum(getattr(h, key) for h in of) for key in ("model", "cells", "compute"))
    # What was saved there goes on here, and knows what was compacted.
    async with running(MINI, tmp_path, compaction=COMPACT, n_ctx=4096) as talk:
        await talk.client.open("ada")
        assert await talk.client.restore("ada", file) > event.end
        assert "ada" in (await talk.cache()).folded
        here = await talk.answer("ada", *texts, questions[-1][0])
        assert (here.text, here.cached_tokens > event.end) == (after.text, True)


@pytest.mark.asyncio
async def test_a_worker_dies_in_the_middle_of_answers(tmp_path: Path, slow_core: Pace) -> None:
    """One sentence, no restart before it is back, then every answer goes on where it was."""
    slow_core.free()
    with rpc_workers(tmp_path) as (first, second):
        async with running(MINI, tmp_path, rpc=names([first, second]), compaction=COMPACT) as talk:
            whole = await talk.answer("eve", "Tell me.", sampling=LONG)
            texts, questions = dialogue()
            texts.append((await talk.answer("ada", *texts)).text)
            event = await talk.compact("ada", 5.0)
            await talk.client.save("ada", tmp_path / "ada.halo", b"{}", checkpoint=True)
            # Nobody talks: it is told all the same.
            second.kill(signal.SIGTERM)
            await until(lambda: bool(talk.all(CoreDied)), 60, "for the news")
            assert second.endpoint in talk.all(CoreDied)[0].what
            second.start()
            await until(lambda: len(talk.all(Ready)) == 2, 60)
            slow_core.slow(0.1)
            talk.events.clear()
            before = len(talk.tokens("bob"))
            await talk.say("bob", "Tell me.", sampling=LONG)
            await until(lambda: len(talk.tokens("bob")) > before + 10)
            old = talk.client.pid
            second.kill(signal.SIGKILL)
            await until(lambda: bool(talk.all(CoreDied)), 60, "for the news")
            slow_core.free()
            assert talk.done("bob") is None, "it has to be in the middle of an answer"
            (died,) = talk.all(CoreDied)
            assert died.restarting and second.endpoint in died.what
            assert first.endpoint not in died.what
            assert f"rpc-worker --port {second.port}" in died.remedy
            # Nobody hammers: no other core is started, and the one that lives is left alone.
            await until(lambda: served(first)[0] == served(first)[1], what="for the old core's end")
            asked = served(first)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(2.5):
                    await talk.client.tokenize([])
            assert talk.client.pid is None and not talk.all(Ready)
            assert served(first) == asked
            second.start()
            await talk.finish(["bob"], seconds=60)
            done = talk.done("bob")
            assert done is not None and (done.reason, done.text) == ("length", whole.text)
            assert done.text == talk.streamed("bob")
            assert talk.client.pid not in (None, old)
            assert "ada" in (await talk.cache()).folded
            after = await talk.answer("ada", *texts, questions[0][0])
            assert recall.holds(after.text, questions[0][1]) and after.cached_tokens > event.end


@pytest.mark.asyncio
async def test_a_worker_that_stays_away_ends_it_with_a_sentence(
    tmp_path: Path, slow_core: Pace
) -> None:
    with rpc_workers(tmp_path) as (first, second):
        config = settings(MINI, rpc=names([first, second]), rpc_wait=1)
        client = EngineClient(config, log_path=tmp_path / "core.log")
        talk = Talk(client)
        await client.start()
        await talk.say("ada", "Talk.", sampling=msgspec.structs.replace(LONG, max_tokens=1500))
        await until(lambda: len(talk.tokens("ada")) > 5)
        second.kill()
        await until(lambda: client.state == "dead", 60)
        done = talk.done("ada")
        assert done is not None and done.reason == "error"
        assert second.endpoint in done.what and "/restart" in done.remedy
        assert done.text.startswith(talk.streamed("ada")[:10])
        await client.stop()
        # Stopped while it waits: at once.
        config.engine.rpc_wait = 600
        client = EngineClient(config, log_path=tmp_path / "core.log")
        with pytest.raises(EngineError, match=f"{second.endpoint} does not answer") as failed:
            await client.start()
        assert "rpc-worker" in failed.value.remedy and client.state == "dead"
        await client.stop()
        second.start()
        client = EngineClient(config, log_path=tmp_path / "core.log")
        await client.start()
        second.kill()
        await until(lambda: client.state == "restarting", 60)
        asked = asyncio.ensure_future(client.tokenize(chat("Hello.")))
        await asyncio.wait_for(client.stop(), 60)  # of 600
        with pytest.raises(EngineError, match="stopped"):
            await asked


def test_the_command_line(two: list[Rpc], tmp_path: Path) -> None:
    config = ["--set", f"engine.rpc={','.join(names(two))}", "--set", "engine.n_ctx=1024"]
    done = halo(tmp_path, "chat", *config, HELLO)
    assert done.returncode == 0, done.stderr
    assert "Ada" in done.stdout
    done = halo(tmp_path, "machine", "--json", *config)
    assert [w["state"] for w in json.loads(done.stdout)["workers"]] == ["ready", "ready"]
    done = halo(tmp_path, "doctor", "--json", *config)
    found = json.loads(done.stdout)
    assert done.returncode == 0, found["problems"]
    assert found["backends"] == ["rpc"] and len(found["workers"]) == 2
    # One that is not there is a problem with a remedy, and the rest is checked all the same.
    gone = Rpc(tmp_path)
    config[1] = f"engine.rpc={two[0].endpoint},{gone.endpoint}"
    done = halo(tmp_path, "doctor", "--json", *config)
    found = json.loads(done.stdout)
    assert done.returncode == 5
    (problem,) = found["problems"]
    assert gone.endpoint in problem["what"] and str(gone.port) in problem["remedy"]
    assert found["backends"] == ["cpu"]
    done = halo(tmp_path, "chat", *config, HELLO)
    assert done.returncode == 4 and gone.endpoint in done.stderr, done.stderr
    assert done.stderr.count("\n") <= 2
    # The port is taken; and who listens to everybody is warned.
    done = halo(tmp_path, "rpc-worker", "--port", str(two[0].port))
    assert done.returncode == 4 and "listen" in done.stderr
    done = halo(tmp_path, "rpc-worker", "--host", "nowhere")
    assert done.returncode == 2 and "IPv4" in done.stderr


def test_the_bench(tmp_path: Path) -> None:
    config = settings(MINI)
    found = bench.run(config, tiny("llama", chat_template=CHATML), (2,), 600, repeats=1)
    (row,) = found["rows"]
    assert row["agents"] == 2
    assert all(
        row[f"{what}_{kind}"] > 0 for what in ("decode", "prefill") for kind in ("local", "rpc")
    )
