"""The memory when things go wrong: killed servers and apps, two apps, no database, broken models."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from agents.memory.errors import MemoryDown, MemoryInUse
from agents.memory.events import Learnt, MemoryEvent, StateChanged
from agents.memory.graph import GraphDB, without_password
from agents.memory.memory import Memory
from agents.memory.models import Models
from agents.memory.outbox import Entry, Outbox
from agents.memory.server import Embedded
from agents.memory.service import MemoryService
from engine.config import Config, MemoryConfig
from tests.support.memories import memory, models, note
from tests.support.patterns import PatternExtractor
from tests.support.ports import free_port
from tests.support.waiting import until_sync

KILLED = """
import os, signal, sys
from pathlib import Path
from tests.support.memories import memory, note
with memory(Path(sys.argv[1])) as made:
    made.remember([note(f"t{i}", f"Alice works at Initech{i}.", i) for i in range(20)])
    print(made.server.socket, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def servers(folder: Path) -> list[psutil.Process]:
    """redis-server processes whose files are in a folder."""
    found = []
    for process in psutil.process_iter(["name"]):
        try:
            if process.info["name"] == "redis-server" and process.cwd().startswith(str(folder)):
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_an_app_that_is_killed_loses_nothing_and_leaves_no_server(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    until_sync(lambda: not servers(tmp_path), 60)  # else it outlived the app
    with memory(tmp_path) as made:
        assert made.stats().messages == 20
        assert made.recall("Who is at Initech7?", 1).hits[0].source.message == "t7"
        assert [f.tail_name for f in made.facts("Alice")] == ["Initech19"]
        assert made.verify() == []


def test_a_server_that_is_killed_has_everything_on_disk(tmp_path: Path) -> None:
    with memory(tmp_path) as made:
        made.remember([note("t1", "Alice works at Initech.")])
        (server,) = servers(tmp_path)
        server.kill()
        until_sync(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE)
        with pytest.raises(MemoryDown, match="does not answer"):
            made.facts("Alice")
    with memory(tmp_path) as again:
        assert [f.words for f in again.facts("Alice")] == ["Alice works at Initech"]


def seconds_to_start(folder: Path) -> float:
    """The quickest of three: whatever else the machine does, not all of them are held up."""
    found = []
    for _ in range(3):
        server = Embedded(folder)
        began = time.monotonic()
        server.start()
        found.append(time.monotonic() - began)
        server.stop()
    return min(found)


def test_it_starts_as_soon_as_an_empty_one_under_a_long_path(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 40) / ("deep" * 20)
    with memory(folder) as made:
        made.remember([note(f"t{i}", f"I met Alice Smith{i}.") for i in range(50)])
    empty = seconds_to_start(tmp_path / "empty")
    assert seconds_to_start(folder / "memory") < 5 * empty


def test_two_apps_at_once_are_refused_and_a_guest_may_read(tmp_path: Path) -> None:
    with memory(tmp_path) as made:
        made.remember([note("t1", "Alice works at Initech.")])
        with pytest.raises(MemoryInUse, match="open in another halo-tui"):
            Memory(MemoryConfig(), tmp_path).open()
        guest = Memory(MemoryConfig(), tmp_path)
        guest.open(guest=True)
        assert [f.words for f in guest.facts("Alice")] == ["Alice works at Initech"]
        guest.close()
        assert made.facts("Alice"), "the guest's leaving ends nothing"


def test_a_broken_file_is_said(tmp_path: Path) -> None:
    with memory(tmp_path) as made:
        made.remember([note("t1", "Alice works at Initech.")])
    base = next((tmp_path / "memory" / "appendonlydir").glob("*.aof"))
    base.write_bytes(b"nonsense" + base.read_bytes())
    with pytest.raises(MemoryDown, match="did not start"):
        Memory(MemoryConfig(), tmp_path).open()
    assert servers(tmp_path) == []


def test_a_missing_file_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server ends by itself when a part of its file is gone: nobody waits for it."""
    monkeypatch.setattr("agents.memory.server.START_SECONDS", 1e9)  # who waits is never done
    server = Embedded(tmp_path / "memory")
    server.start()
    server.stop()
    base = next((tmp_path / "memory" / "appendonlydir").glob("*.base.rdb"))
    base.unlink()
    with pytest.raises(MemoryDown, match=r"did not start: .*base\.rdb"):
        server.start()


def test_a_graph_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    with memory(tmp_path) as made:
        made.graph.write("MATCH (x:Meta) SET x.version = 99")
    with pytest.raises(MemoryDown, match="newer halo-tui"):
        Memory(MemoryConfig(), tmp_path).open()


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("falkor://127.0.0.1:1/graph", "does not answer"),
        ("http://x", "no address"),
        ("falkor://", "no address"),
    ],
)
def test_a_server_that_is_not_there_is_said(tmp_path: Path, url: str, what: str) -> None:
    with pytest.raises(MemoryDown, match=what):
        Memory(MemoryConfig(url=url), tmp_path).open()
    assert "secret" not in without_password("falkor://me:secret@host:6379/g")


def test_a_server_by_address_with_a_password(tmp_path: Path) -> None:
    embedded = Embedded(tmp_path)
    embedded.start()
    try:
        import redis

        admin = redis.Redis(unix_socket_path=embedded.socket)
        port = free_port()
        admin.config_set("port", str(port))
        admin.config_set("requirepass", "secret")
        right = MemoryConfig(url=f"falkor://:secret@127.0.0.1:{port}/mine")
        with Memory(right, tmp_path / "x", PatternExtractor()) as made:
            made.remember([note("t1", "Alice works at Initech.")])
            assert made.graph.name == "mine"
            assert "secret" not in made.stats().where
        with pytest.raises(MemoryDown, match="refused the name or password"):
            wrong = MemoryConfig(url=f"falkor://:wrong@127.0.0.1:{port}/mine")
            Memory(wrong, tmp_path / "x").open()
        admin.close()
    finally:
        for process in servers(tmp_path):
            process.kill()
        embedded.stop()


class Broken(PatternExtractor):
    """Fails on one message."""

    def extract(self, texts):  # type: ignore[no-untyped-def]
        if any("boom" in text for text in texts):
            raise ValueError("boom")
        return super().extract(texts)


async def started(
    folder: Path, made: Models | None = None
) -> tuple[MemoryService, list[MemoryEvent]]:
    service = MemoryService(Config(), folder, lambda: made or models())
    heard: list[MemoryEvent] = []
    service.subscribe(heard.append)
    await service.start()
    return service, heard


async def test_what_is_said_while_it_is_down_is_taken_in_later(tmp_path: Path) -> None:
    with memory(tmp_path) as other:  # holds the folder
        service, heard = await started(tmp_path)
        assert not await service.ready()
        assert service.state == "down" and "another halo-tui" in str(service.fault)
        service.remember(note("t1", "Alice works at Initech."))
        assert service.queued == 1
        with pytest.raises(MemoryInUse):
            await service.facts("Alice")
        await service.stop()
        other.remember([note("t0", "Eve works at Umbrella.")])
    assert any(isinstance(e, StateChanged) and e.state == "down" and e.remedy for e in heard)
    service, heard = await started(tmp_path)
    assert await service.ready()
    await service.settled()
    assert [f.words for f in await service.facts("Alice")] == ["Alice works at Initech"]
    assert [e.facts[0].words for e in heard if isinstance(e, Learnt)] == ["Alice works at Initech"]
    await service.stop()
    assert servers(tmp_path) == []


async def test_it_comes_back_by_itself_when_the_server_is_killed(tmp_path: Path) -> None:
    service, _ = await started(tmp_path)
    assert await service.ready()
    service.remember(note("t1", "Alice works at Initech."))
    await service.settled()
    for process in servers(tmp_path):
        process.kill()
    service.remember(note("t2", "Alice lives in Rome."))
    async with asyncio.timeout(60):
        while service.queued or service.state != "ready":
            await asyncio.sleep(0.05)
    words = sorted(f.words for f in await service.facts("Alice"))
    assert words == ["Alice lives in Rome", "Alice works at Initech"]
    await service.stop()


async def test_a_message_that_cannot_be_taken_in_does_not_hold_up_the_others(
    tmp_path: Path,
) -> None:
    service, _ = await started(tmp_path, Models(Broken(), None))
    for id, text in (("t1", "Alice works at Initech."), ("t2", "boom"), ("t3", "Eve likes tea.")):
        service.remember(note(id, text))
    assert await service.ready()
    await service.settled()
    assert [f.words for f in await service.facts("Eve")] == ["Eve likes tea"]
    assert [f.words for f in await service.facts("Alice")] == ["Alice works at Initech"]
    await service.stop()


async def test_deleted_and_caught_up_in_turn(tmp_path: Path) -> None:
    service, _ = await started(tmp_path)
    service.remember(note("t1", "Alice works at Initech."))
    service.unremember(["t1"])
    assert await service.ready()
    await service.settled()
    assert (await service.stats()).messages == 0
    assert await service.catch_up([note("t1", "Alice likes tea."), note("t2", "")]) == 1
    await service.settled()
    assert await service.catch_up([note("t1", "Alice likes tea.")]) == 0
    assert (await service.stats()).messages == 1
    await service.stop()


def test_the_queue_survives_a_half_written_line(tmp_path: Path) -> None:
    path = tmp_path / "queue.jsonl"
    box = Outbox(path)
    box.open()
    box.put(Entry(note("t1", "one")))
    box.put(Entry(remove=("t0",)))
    box.put(Entry(note("t2", "two\n“quoted”")))
    box.close()
    with path.open("a") as file:
        file.write('{"note": {"id": "t3", "te')
    again = Outbox(path)
    again.open()
    assert len(again) == 3
    assert [e.note and e.note.id for e in again.first(8)] == ["t1"], "a removal waits its turn"
    again.taken(1)
    assert again.first(8) == [Entry(remove=("t0",))]
    again.taken(1)
    assert again.first(8)[0].note == note("t2", "two\n“quoted”")
    again.taken(1)
    again.close()
    assert path.read_text() == ""


def test_missing_binaries_are_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MemoryDown, match="not installed"):
        Embedded(tmp_path).start()


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "memory").write_text("a file")
    with pytest.raises(MemoryDown, match="cannot be used"):
        Memory(MemoryConfig(), tmp_path).open()
    with pytest.raises(MemoryDown):
        GraphDB.on_socket(os.devnull).ping()


class Gated(PatternExtractor):
    """Takes in a batch of messages each time the gate is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Semaphore(0)

    def extract(self, texts):  # type: ignore[no-untyped-def]
        if any("Eve likes tea" in text for text in texts):
            assert self.gate.acquire(timeout=60)
        return super().extract(texts)


async def test_questions_while_messages_come_in(tmp_path: Path) -> None:
    extractor = Gated()
    service, _ = await started(tmp_path, Models(extractor, models().embedder))
    assert await service.ready()
    for i in range(120):
        service.remember(note(f"t{i}", f"Alice{i} Smith works at Initech{i}. Eve likes tea.", i))
    asked = 0
    while service.queued:
        extractor.gate.release()
        found = await asyncio.gather(
            service.recall("Where does Alice3 Smith work?"), service.recall("Who likes tea?")
        )
        assert all(found)
        asked += 1
    assert asked > 3
    await service.settled()
    best = (await service.recall("Where does Alice3 Smith work?")).hits[0]
    assert best.source.message == "t3"
    await service.stop()
