"""Compaction through the workspace, on a scripted engine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from agents import events
from agents.agent import PAST_COMPACTIONS
from agents.workspace import Workspace
from engine.client import CoreDied
from engine.config import Config
from engine.errors import EngineError, HaloError
from engine.protocol import Stretch
from tests.support.scripted import ScriptedClient
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def space(tmp_path: Path) -> AsyncIterator[Workspace]:
    space = Workspace(Config(), ScriptedClient(), tmp_path)
    await space.start()
    await space.wait_ready()
    yield space
    await space.stop()


def client_of(space: Workspace) -> ScriptedClient:
    assert isinstance(space.client, ScriptedClient)
    return space.client


def lines(space: Workspace) -> list[tuple[str, str, str]]:
    return [(e.level, e.agent, e.text) for e in space.log if e.kind == "compaction"]


async def test_a_compaction_is_told_with_names_kept_and_logged(space: Workspace) -> None:
    heard: list[events.WorkspaceEvent] = []
    space.subscribe(heard.append)
    client, ada = client_of(space), space.get("ada")
    assert await space.compact("Ada", 10) == 3412
    assert client.log[-2:] == [("open", ada.id), ("compact", (ada.id, 10, ""))]
    for phase in ("study", "solve"):
        client.compaction(ada.id, phase)
        assert ada.compaction is not None and ada.compaction.phase == phase
    client.compaction(ada.id, "done")
    told = [e for e in heard if isinstance(e, events.CompactionChanged)]
    assert [e.compaction.phase for e in told] == ["started", "study", "solve", "done"]
    assert {(e.agent, e.compaction.session) for e in told} == {("ada", "ada")}
    assert ada.compaction is None
    text = "Compacted 3,412 → 341 cells (10.0×) in 0.8 s, error 4% (eviction 22%)"
    assert lines(space) == [("info", "ada", text)]
    await space.rename("ada", "mia")
    assert [past.compaction.session for past in space.compactions] == ["mia"]


async def test_a_high_error_is_a_warning_with_advice(space: Workspace) -> None:
    client_of(space).compaction(space.get("ada").id, "done", error=0.42)
    [(level, agent, text)] = lines(space)
    assert (level, agent) == ("warning", "ada")
    assert "error 42%" in text and "/compact 5" in text and "engine.n_ctx" in text


async def test_a_failure_is_told_with_its_remedy(space: Workspace) -> None:
    ada = space.get("ada")
    client_of(space).compaction(ada.id, "failed", what="Too few queries.", remedy="Talk more.")
    assert lines(space) == [("error", "ada", "Not compacted: Too few queries. Talk more.")]
    assert ada.compaction is None and len(ada.compactions) == 1


async def test_refusals_name_the_agent_not_its_session(space: Workspace) -> None:
    ada = space.get("ada")
    client_of(space).refuse_compaction = EngineError(
        f"{ada.id} has nothing to compact.", "Talk more.", "nothing"
    )
    with pytest.raises(EngineError, match=r"^ada has nothing to compact. Talk more.$") as caught:
        await space.compact("ada")
    assert caught.value.code == "nothing"
    with pytest.raises(HaloError, match="no ratio"):
        await space.compact("ada", 0.5)
    with pytest.raises(HaloError, match="no agent called"):
        await space.compact("nobody")


async def test_one_at_a_time_and_it_can_be_given_up(space: Workspace) -> None:
    assert not await space.cancel_compaction("ada")
    await space.compact("ada")
    with pytest.raises(HaloError, match="already"):
        await space.compact("ada")
    assert await space.cancel_compaction("ada")
    assert space.get("ada").compaction is None
    assert "nothing changed" in lines(space)[0][2]
    await space.compact("ada")


async def test_what_ran_ends_with_the_engine(space: Workspace) -> None:
    await space.compact("ada")
    client_of(space).emit(CoreDied("The engine was ended by SIGKILL.", "", True))
    assert space.get("ada").compaction is None
    assert "The engine ended" in lines(space)[0][2]
    with pytest.raises(HaloError, match="restarting"):
        await space.compact("ada")


async def test_the_past_is_bounded_and_newest_first(space: Workspace) -> None:
    client, ada = client_of(space), space.get("ada")
    for number in range(PAST_COMPACTIONS + 5):
        client.compaction(ada.id, "done", end=number)
    assert len(ada.compactions) == PAST_COMPACTIONS
    client.compaction(space.get("grace").id, "done", end=99)
    ended = space.compactions
    assert ended[0].compaction.session == "grace"
    assert [p.compaction.end for p in ended[1:3]] == [PAST_COMPACTIONS + 4, PAST_COMPACTIONS + 3]


async def test_closed_agents_say_nothing_more(space: Workspace) -> None:
    ada = space.get("ada")
    await space.compact("ada")
    await space.close_agent("ada")
    client_of(space).compaction(ada.id, "done")
    assert lines(space) == []


async def test_the_map_names_agents_in_folded_too(space: Workspace) -> None:
    ada = space.get("ada").id
    client_of(space).cells(
        {ada: 341}, compacted=(Stretch(0, 300),), folded={ada: (3412, 341), "a-closed": (9, 1)}
    )
    assert space.cache is not None
    assert space.cache.folded == {"ada": (3412, 341)}
    assert space.cache.compacted == (Stretch(0, 300),)


async def test_auto_is_set_in_the_core_and_the_settings(space: Workspace) -> None:
    await space.set_auto(False)
    assert client_of(space).settings["compaction.auto"] is False
    await space.set_auto(True, 0.7)
    assert client_of(space).settings == {"compaction.auto": True, "compaction.threshold": 0.7}
    assert (space.config.compaction.auto, space.config.compaction.threshold) == (True, 0.7)
    with pytest.raises(HaloError, match="no share"):
        await space.set_auto(True, 1.5)


async def test_what_the_core_refuses_is_not_set(
    space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(key: str, value: object) -> None:
        raise EngineError(f"{key} cannot be changed.", "", "bad_request")

    monkeypatch.setattr(space.client, "configure", refuse)
    with pytest.raises(EngineError):
        await space.set_auto(False, 0.5)
    assert (space.config.compaction.auto, space.config.compaction.threshold) == (True, 0.85)


async def test_a_core_that_was_loading_is_told_when_it_is_ready(tmp_path: Path) -> None:
    client = ScriptedClient()
    client.hold_start = True
    space = Workspace(Config(), client, tmp_path)
    await space.start()
    with pytest.raises(HaloError, match="loading"):
        await space.compact("ada")
    await space.set_auto(False)
    assert client.settings == {}
    client.let_start()
    await space.wait_ready()
    await until(lambda: client.settings.get("compaction.auto") is False)
    await space.stop()
