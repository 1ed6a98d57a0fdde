"""A disk that is full, read-only, locked or damaged: one sentence, nothing lost, the chat goes on."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agents.events import Turn
from agents.history import HistoryFile, parse
from agents.keeper import trouble
from agents.roster import DataFolder, Document, Entry
from agents.workspace import Workspace
from engine.config import AgentConfig, Config
from engine.errors import HaloError
from tests.support.scripted import ScriptedClient
from tests.support.waiting import until

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.keeper.FLUSH_SECONDS", 0.02)


class SmallDisk:
    """A write function for a disk with `room` bytes, which takes what still fits."""

    def __init__(self, room: int) -> None:
        self.room = room

    def write(self, fd: int, data: bytes) -> int:
        if self.room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        part = data[: self.room]
        self.room -= len(part)
        return os.write(fd, part)


@pytest.mark.parametrize("room", [0, 1, 50, 130, 200])
def test_what_does_not_fit_is_written_later_and_in_order(tmp_path: Path, room: int) -> None:
    disk = SmallDisk(room)
    file = HistoryFile(tmp_path / "a.jsonl", disk.write)
    turns = [Turn(f"t-{i}", "user", f"text {i}") for i in range(4)]
    for turn in turns:
        file.turn(turn)
    assert file.error is not None
    assert file.error.errno == errno.ENOSPC
    assert not file.flush()
    found = parse((tmp_path / "a.jsonl").read_bytes()).turns
    assert found == turns[: len(found)]
    disk.room = 1_000_000
    assert file.flush()
    assert file.error is None
    file.turn(Turn("t-9", "user", "after"))
    loaded = parse((tmp_path / "a.jsonl").read_bytes())
    assert [t.id for t in loaded.turns] == ["t-0", "t-1", "t-2", "t-3", "t-9"]
    assert loaded.faults == []


def test_a_rewrite_that_does_not_fit_keeps_the_file(tmp_path: Path) -> None:
    from agents.history import Header

    disk = SmallDisk(1_000_000)
    file = HistoryFile(tmp_path / "a.jsonl", disk.write)
    file.turn(Turn("t-0", "user", "old"))
    disk.room = 3
    file.rewrite(Header("a", "ada"), [Turn("t-1", "user", "new")])
    assert [t.text for t in parse(file.path.read_bytes()).turns] == ["old"]
    assert [p.name for p in tmp_path.iterdir()] == ["a.jsonl"]
    disk.room = 1_000_000
    assert file.flush()
    assert [t.text for t in parse(file.path.read_bytes()).turns] == ["new"]


@pytest.fixture
def file_limit() -> Iterator[None]:
    """The kernel refuses to let files grow, as a full disk does; lifted at the end."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.asyncio
async def test_the_chat_goes_on_and_says_so_once(tmp_path: Path, file_limit: None) -> None:
    client = ScriptedClient(lambda messages: f"echo {messages[-1].content}")
    workspace = Workspace(Config(), client, tmp_path)
    await workspace.start()
    await workspace.wait_ready()
    ada = workspace.get("ada")

    def warnings() -> list[str]:
        return [e.text for e in workspace.log if e.kind == "disk"]

    async def ask(text: str) -> None:
        await workspace.send(text, "ada")
        await until(lambda: not ada.busy)

    await ask("before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    for number in range(3):
        await ask(f"full {number}")
    assert len(ada.turns) == 8
    assert warnings() == [trouble(OSError(errno.EFBIG, ""), tmp_path)]
    assert "no space left" in warnings()[0]
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    await until(lambda: len(warnings()) == 2)  # it notices by itself
    assert "takes everything again" in warnings()[1]
    await workspace.stop()

    again = Workspace(Config(), ScriptedClient(), tmp_path)
    await again.start()
    assert [t.text for t in again.get("ada").turns] == [t.text for t in ada.turns]
    assert [e for e in again.log if e.kind == "disk"] == []
    await again.stop()


@pytest.mark.asyncio
async def test_closing_with_a_full_disk_ends(tmp_path: Path, file_limit: None) -> None:
    workspace = Workspace(Config(), ScriptedClient(), tmp_path)
    await workspace.start()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    await workspace.send("hello", "ada")
    await workspace.stop()
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert workspace.get("ada").turns[0].text == "hello"


# --- the list of agents ---------------------------------------------------------------------------


async def _with_some_talk(folder: Path) -> list[str]:
    client = ScriptedClient(lambda messages: "fine")
    workspace = Workspace(Config(), client, folder)
    await workspace.start()
    await workspace.wait_ready()
    await workspace.create("bob", "Be short.", "#112233", {"top_k": 2})
    await workspace.send("@all hello", "ada")
    await until(lambda: not workspace.answers.running)
    await workspace.stop()
    return workspace.names


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "damage", [b"", b"{", b"\x00" * 300, b"[1]", b'{"version": 1, "agents": 3}']
)
async def test_a_damaged_list_is_set_aside_and_made_anew(tmp_path: Path, damage: bytes) -> None:
    names = await _with_some_talk(tmp_path)
    (tmp_path / "workspace.json").write_bytes(damage)
    workspace = Workspace(Config(), ScriptedClient(), tmp_path)
    await workspace.start()
    assert sorted(workspace.names) == sorted(names)
    bob = workspace.get("bob")
    assert (bob.spec.system, bob.spec.colour, bob.spec.sampling) == (
        "Be short.",
        "#112233",
        {"top_k": 2},
    )
    assert [turn.text for turn in bob.turns] == ["hello", "fine"]
    told = " ".join(entry.text for entry in workspace.log)
    assert "brought back" in told
    broken = list(tmp_path.glob("workspace.json.broken-*"))
    if damage:
        assert "damaged" in told
        assert [file.read_bytes() for file in broken] == [damage]
        assert broken[0].name in told
    await workspace.stop()
    third = Workspace(Config(), ScriptedClient(), tmp_path)
    await third.start()
    assert sorted(third.names) == sorted(names)
    assert not [e for e in third.log if e.kind == "disk"]
    await third.stop()


@pytest.mark.asyncio
async def test_a_conversation_the_list_does_not_know_comes_back(tmp_path: Path) -> None:
    await _with_some_talk(tmp_path)
    file = tmp_path / "workspace.json"
    document = msgspec.json.decode(file.read_bytes(), type=Document)
    document.agents = [e for e in document.agents if e.name != "grace"]
    document.agents.append(Entry("a-other", "Grace"))  # the name is taken meanwhile
    file.write_bytes(msgspec.json.encode(document))
    workspace = Workspace(Config(), ScriptedClient(), tmp_path)
    await workspace.start()
    assert workspace.names == ["ada", "alan", "bob", "Grace", "grace-2"]
    assert [t.text for t in workspace.get("grace-2").turns] == ["hello", "fine"]
    await workspace.stop()


@pytest.mark.asyncio
async def test_a_list_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    text = '{"version": 99, "agents": []}'
    (tmp_path / "workspace.json").write_text(text)
    workspace = Workspace(Config(), ScriptedClient(), tmp_path)
    with pytest.raises(HaloError, match="newer halo-tui"):
        await workspace.start()
    assert (tmp_path / "workspace.json").read_text() == text
    DataFolder(tmp_path).lock()  # and the folder is free again


# --- two apps, no permission ----------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_second_app_on_one_folder_is_told_who_has_it(tmp_path: Path) -> None:
    first = Workspace(Config(), ScriptedClient(), tmp_path)
    await first.start()
    second = Workspace(Config(), ScriptedClient(), tmp_path)
    with pytest.raises(HaloError, match=rf"process {os.getpid()}\) is using .*--data"):
        await second.start()
    await first.stop()
    third = Workspace(Config(), ScriptedClient(), tmp_path)
    await third.start()
    await third.stop()


def test_a_lock_of_a_process_that_was_killed_does_not_stay(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from agents.roster import DataFolder;"
        "DataFolder(Path(sys.argv[1])).lock(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=REPOSITORY, check=False)
    assert done.returncode == -9
    assert (tmp_path / "lock").read_text().strip().isdigit()
    assert DataFolder(tmp_path).lock() == ""


@pytest.mark.asyncio
async def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    workspace = Workspace(Config(), ScriptedClient(), tmp_path / "file" / "data")
    with pytest.raises(HaloError, match="cannot be used: Not a directory"):
        await workspace.start()


@pytest.mark.asyncio
async def test_a_history_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    await _with_some_talk(tmp_path)
    document = msgspec.json.decode((tmp_path / "workspace.json").read_bytes(), type=Document)
    file = tmp_path / "agents" / f"{document.agents[0].id}.jsonl"
    file.unlink()
    file.mkdir()
    workspace = Workspace(Config(), ScriptedClient(), tmp_path)
    await workspace.start()
    assert any("cannot be read" in entry.text for entry in workspace.log)
    assert len(workspace.get("grace").turns) == 2
    await workspace.stop()


def test_an_app_killed_in_the_middle_of_an_answer_keeps_what_was_said(tmp_path: Path) -> None:
    code = textwrap.dedent("""
        import asyncio, os, signal, sys
        import agents.keeper
        from agents.workspace import Workspace
        from engine.config import Config
        from tests.support.scripted import ScriptedClient
        from tests.support.waiting import until

        agents.keeper.FLUSH_SECONDS = 0.02

        async def main():
            client = ScriptedClient()
            workspace = Workspace(Config(), client, sys.argv[1])
            await workspace.start()
            await workspace.wait_ready()
            await workspace.send("tell me", "ada")
            await workspace.send("and then", "ada")
            workspace.set_draft("grace", "half a th")
            ada = workspace.get("ada")
            await until(lambda: client.generations)
            client.say(ada.id, "Once upon a time")
            file = workspace.data_dir / "agents" / f"{ada.id}.jsonl"
            saved = workspace.data_dir / "workspace.json"
            await until(lambda: b"upon" in file.read_bytes() and b"half a" in saved.read_bytes())
            os.kill(os.getpid(), signal.SIGKILL)

        asyncio.run(main())
    """)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=REPOSITORY, check=False, timeout=60
    )
    assert done.returncode == -9

    import asyncio

    async def look() -> None:
        client = ScriptedClient(lambda messages: "well")
        workspace = Workspace(Config(), client, tmp_path)
        await workspace.start()
        await workspace.wait_ready()
        ada = workspace.get("ada")
        assert [(t.text, t.status) for t in ada.turns] == [
            ("tell me", "done"),
            ("Once upon a time", "cancelled"),
        ]
        assert "ended before" in ada.turns[1].detail
        assert workspace.get("grace").draft == "half a th"
        assert ([p.text for p in ada.queue], ada.held) == (["and then"], True)
        workspace.resume_queue("ada")
        await until(lambda: not ada.busy)
        assert ada.turns[-1].text == "well"
        await workspace.stop()

    asyncio.run(look())


# --- the settings' agents -------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_agents_follow_the_settings_but_not_against_the_person(tmp_path: Path) -> None:
    async def started(*agents: AgentConfig) -> Workspace:
        workspace = Workspace(Config(agents=list(agents)), ScriptedClient(), tmp_path)
        await workspace.start()
        return workspace

    one, two = AgentConfig("one", "first"), AgentConfig("two", "second")
    workspace = await started(one, two)
    await workspace.change("two", system="mine")
    await workspace.create("own")
    await workspace.stop()

    three = AgentConfig("three", tools=["search"])
    workspace = await started(AgentConfig("one", "changed"), AgentConfig("two", "changed"), three)
    assert workspace.names == ["one", "two", "own", "three"]
    assert [a.spec.system for a in workspace.agents[:2]] == ["changed", "mine"]
    assert any("tools that do not exist: search" in entry.text for entry in workspace.log)
    await workspace.rename("one", "uno")
    await workspace.close_agent("three")
    await workspace.stop()

    workspace = await started(AgentConfig("one", "changed"), two, three)
    assert workspace.names == ["uno", "two", "own"]
    assert workspace.closed == ["three"]
    await workspace.stop()
