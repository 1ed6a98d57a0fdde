"""Checkpoints under fire: killed apps and cores, full disks, damaged files. Talk is never lost."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from agents import talk as talks
from agents.history import parse
from agents.workspace import Workspace
from engine import snapshot
from engine.client import EngineClient
from engine.config import CompactionConfig, Config
from engine.errors import EngineError
from tests.support.engine import CHATML, settings
from tests.support.mkgguf import tiny
from tests.support.pace import Pace
from tests.support.waiting import until, until_sync
from tests.support.workspaces import NAMES, started, with_agents

pytestmark = pytest.mark.timeout(240)
REPOSITORY = Path(__file__).parents[2]
LONG = "the quick brown fox jumps over the lazy dog again and again " * 8


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.sessions.QUIET_SECONDS", 0.02)


def config(arch: str = "llama", max_tokens: int = 24, **engine: object) -> Config:
    compaction = CompactionConfig(
        method="am-attention", ratio=4.0, keep_recent=190, min_span=64, study="off", threshold=1.0
    )
    made = settings(
        tiny(arch, chat_template=CHATML), compaction=compaction, **{"n_ctx": 4096, **engine}
    )
    return with_agents(made, max_tokens)


def checkpoint(workspace: Workspace, name: str) -> Path:
    return Path(workspace.data_dir) / "agents" / f"{workspace.get(name).id}.halo"


async def say(workspace: Workspace, text: str, name: str = "ada") -> None:
    await workspace.send(text, name)
    await until(lambda: not workspace.answers.running, 100, "for the answers")


async def kept(workspace: Workspace, name: str = "ada", turns: int = 2) -> None:
    """Until the checkpoint has so many turns."""

    def there() -> bool:
        try:
            found = talks.decode(snapshot.read(checkpoint(workspace, name)).talk, "checkpoint")
        except snapshot.SnapshotError:
            return False
        return len(found.turns) == turns

    await until(there, 30, "for a checkpoint")


def log(workspace: Workspace) -> str:
    return "\n".join(entry.text for entry in workspace.log)


@pytest.mark.asyncio
async def test_the_next_start_reads_nothing_again(tmp_path: Path) -> None:
    async with started(config(), tmp_path) as workspace:
        await say(workspace, f"@all {LONG}")
        event = await workspace.compact("ada", 4.0)
        assert event > 64
        await until(lambda: workspace.get("ada").compactions, 30, "for the compaction")
    async with started(config(), tmp_path) as workspace:
        await until(lambda: "ada" in (workspace.cache.folded if workspace.cache else {}), 30)
        for name in NAMES:
            await say(workspace, "and then?", name)
            turn = workspace.get(name).turns[-1]
            assert turn.cached_tokens > turn.prompt_tokens - 60, (name, turn)


@pytest.mark.asyncio
async def test_a_prompt_waits_for_the_cells_that_are_being_read(tmp_path: Path) -> None:
    async with started(config(), tmp_path) as workspace:
        await say(workspace, LONG)
    made = config()
    workspace = Workspace(
        made, EngineClient(made, log_path=tmp_path / "core.log"), tmp_path / "data"
    )
    await workspace.start()
    try:
        await workspace.send("and then?", "ada")  # the model is still loading
        await until(lambda: not workspace.answers.running, 60, "for the answer")
        turn = workspace.get("ada").turns[-1]
        assert turn.cached_tokens > turn.prompt_tokens - 60, turn
    finally:
        await workspace.stop()


@pytest.mark.asyncio
async def test_a_killed_core_comes_back_with_compacted_cells_while_four_talk(
    tmp_path: Path, slow_core: Pace
) -> None:
    slow_core.free()
    async with started(config(n_ctx=8192), tmp_path) as workspace:
        await say(workspace, f"@all {LONG}")
        for name in NAMES:
            await workspace.compact(name, 4.0)
            await until(lambda n=name: workspace.get(n).compactions, 30, "for the compaction")
        for name in NAMES:
            await kept(workspace, name)
        await until(lambda: not workspace.sessions.busy, 30, "for all checkpoints")
        for agent in workspace.agents:
            await workspace.change(agent.name, sampling=agent.spec.sampling | {"max_tokens": 500})
        slow_core.slow()
        await workspace.send("@all go on", "ada")
        await until(lambda: all(len(a.turns[-1].text) > 20 for a in workspace.agents), 60)
        pid = workspace.client.pid
        os.kill(pid, signal.SIGKILL)
        await until(lambda: workspace.client.pid != pid, 30, "for the news")
        slow_core.free()
        assert len(workspace.answers.running) == 4, "all four have to talk when it is killed"
        await until(lambda: not workspace.answers.running, 100, "for the answers")
        for agent in workspace.agents:
            assert (agent.turns[-1].status, agent.turns[-1].tokens) == ("length", 500)
        assert workspace.client.pid not in (None, pid)
        await until(lambda: set(NAMES) == set(workspace.cache.folded), 30, "for the folds")


@pytest.mark.asyncio
@pytest.mark.parametrize("damage", ["cut", "flip", "rubbish", "empty"])
async def test_a_damaged_checkpoint_is_said_and_read_again(damage: str, tmp_path: Path) -> None:
    async with started(config(), tmp_path) as workspace:
        await say(workspace, LONG)
        await kept(workspace)
        path = checkpoint(workspace, "ada")
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 16
    path.write_bytes(
        {"cut": data[: len(data) // 2], "rubbish": b"rubbish" * 99, "empty": b""}.get(damage, data)
    )
    async with started(config(), tmp_path) as workspace:
        await until(lambda: "is read again" in log(workspace), 30, "for a note")
        await say(workspace, "and then?")
        turn = workspace.get("ada").turns[-1]
        assert turn.status == "length" and turn.cached_tokens < 100
        await kept(workspace, turns=4)  # the next one is whole
    assert snapshot.verify(path).ok


@pytest.mark.asyncio
@pytest.mark.parametrize("other", ["model", "cache"])
async def test_another_model_or_cache_reads_the_text_again_and_says_so(
    other: str, tmp_path: Path
) -> None:
    async with started(config(), tmp_path) as workspace:
        await say(workspace, LONG)
    made = config("qwen3") if other == "model" else config(type_k="q8_0", type_v="q8_0")
    async with started(made, tmp_path) as workspace:
        await until(lambda: "saved with" in log(workspace), 30, "for a note")
        await say(workspace, "and then?")
        assert workspace.get("ada").turns[-1].cached_tokens == 0


@pytest.mark.asyncio
async def test_a_full_disk_is_said_once_and_the_chat_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The core's disk is full: its writes fail as the kernel would have them fail."""
    monkeypatch.setenv("HALO_TEST_FULL_DISK", str(tmp_path / "full"))
    hook = tmp_path / "sitecustomize.py"
    hook.write_text(
        textwrap.dedent("""
        import errno, os
        real = os.write
        def write(fd, data):
            if os.path.exists(os.environ["HALO_TEST_FULL_DISK"]) and fd > 2 and len(data) > 64:
                if ".halo" in os.readlink(f"/proc/self/fd/{fd}"):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(fd, data)
        os.write = write
        """)
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    async with started(config(), tmp_path) as workspace:
        await say(workspace, LONG)
        await kept(workspace)
        before = checkpoint(workspace, "ada").read_bytes()
        (tmp_path / "full").touch()
        for _ in range(2):
            await say(workspace, "go on")
            await until(lambda: not workspace.sessions.busy, 30)
        assert log(workspace).count("No checkpoint") == 1
        assert "space" in log(workspace)
        assert checkpoint(workspace, "ada").read_bytes() == before
        (tmp_path / "full").unlink()
        await say(workspace, "go on")
        await kept(workspace, turns=8)
    assert not list((tmp_path / "data" / "agents").glob(".*"))


APP = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {repository!r})
import agents.sessions
agents.sessions.QUIET_SECONDS = 0.0
from tests.faults.test_sessions import config, started

async def main():
    async with started(config(max_tokens=8), Path({folder!r})) as workspace:
        print("up", flush=True)
        for number in range(1000):
            await workspace.send(f"number {{number}} " + "x " * 50, "ada")
            while workspace.answers.running:
                await asyncio.sleep(0.001)

asyncio.run(main())
"""


def test_killed_at_any_moment_the_old_or_the_new_checkpoint_is_there(tmp_path: Path) -> None:
    """The app dies of SIGKILL while checkpoints are written; its core follows."""
    script = APP.format(repository=str(REPOSITORY), folder=str(tmp_path))
    folder = tmp_path / "data" / "agents"
    rng = random.Random(7)
    path: Path | None = None
    turns = 0

    def said() -> int:
        return max((len(parse(h.read_bytes()).turns) for h in folder.glob("*.jsonl")), default=0)

    for _ in range(6):
        app = subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=tmp_path, text=True
        )
        assert app.stdout is not None and app.stdout.readline() == "up\n"
        until_sync(lambda: said() > turns + 2 and list(folder.glob("*.halo")), 60)  # noqa: B023
        time.sleep(rng.random() * 0.3)
        app.kill()
        app.wait()
        app.stdout.close()
        assert said() > turns  # nothing that was said is lost
        turns = said()
        found = list(folder.glob("*.halo"))
        assert found == [path or found[0]]
        path = found[0]
        assert snapshot.verify(path).ok
        saved = talks.decode(snapshot.read(path).talk, path.name)
        assert 0 < len(saved.turns) <= turns


# A core that stops for ever where the test wants it killed: in the file that HALO_TEST_POINT names.
STOPS = """
import os, time
from pathlib import Path

point = Path(os.environ["HALO_TEST_POINT"])

def stop(where):
    if point.exists() and point.read_text() == where:
        point.rename(point.with_name("there"))
        time.sleep(1000)

def ours(fd):
    return "ada.halo" in os.readlink(f"/proc/self/fd/{fd}")

write, fsync, replace = os.write, os.fsync, os.replace

def written(fd, data):
    large = len(data) > 4096
    if fd > 2 and ours(fd):
        stop("state" if large else "begin")
        if large:  # a part of it is on disk when it stops
            return write(fd, data[:4096])
    return write(fd, data)

def synced(fd):
    if ours(fd):
        stop("sync")
    fsync(fd)

def replaced(source, target, *more, **options):
    if str(target).endswith("ada.halo"):
        stop("rename")
        replace(source, target, *more, **options)
        stop("renamed")
    else:
        replace(source, target, *more, **options)

os.write, os.fsync, os.replace = written, synced, replaced
"""


@pytest.mark.parametrize("point", ["begin", "state", "sync", "rename", "renamed"])
async def test_a_core_killed_in_the_middle_of_a_save_leaves_the_old_file_or_the_new(
    point: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the core alone, which writes the cells; the app lives on and is told."""
    hook, file = tmp_path / "hook", tmp_path / "ada.halo"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(STOPS)
    monkeypatch.setenv("PYTHONPATH", str(hook))
    monkeypatch.setenv("HALO_TEST_POINT", str(hook / "point"))
    async with started(config(), tmp_path) as workspace:
        client, ada = workspace.client, workspace.get("ada")
        assert isinstance(client, EngineClient) and client.pid is not None
        await say(workspace, LONG)
        await client.save(ada.id, file, b"first")
        (hook / "point").write_text(point)
        save = asyncio.ensure_future(client.save(ada.id, file, b"second"))
        await until((hook / "there").exists, 60, "for the core to be there")
        os.kill(client.pid, signal.SIGKILL)
        with pytest.raises(EngineError):
            await save
        assert snapshot.verify(file).ok
        assert snapshot.read(file).talk == (b"second" if point == "renamed" else b"first")
        await workspace.wait_ready()
        await say(workspace, "go on")
