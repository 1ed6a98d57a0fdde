"""The workspace on a real engine: several agents at once, a killed core, another model."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from agents import events
from agents.workspace import Workspace
from engine.config import Config
from tests.support.engine import CHATML, settings
from tests.support.mkgguf import tiny
from tests.support.pace import Pace
from tests.support.waiting import until
from tests.support.workspaces import ENDLESS, NAMES, started, with_agents

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(240)]


def config(max_tokens: int = 24, seed: int = 1, **engine: int) -> Config:
    made = settings(tiny("llama", chat_template=CHATML), **{"n_ctx": 4096, **engine})
    return with_agents(made, max_tokens, seed)


async def quiet(workspace: Workspace) -> None:
    await until(lambda: not workspace.answers.running, 120, "for all answers")


async def test_everyone_answers_at_once_and_cells_are_theirs(tmp_path: Path) -> None:
    async with started(config(), tmp_path) as workspace:
        seen: list[events.WorkspaceEvent] = []
        workspace.subscribe(seen.append)
        assert await workspace.send("@all hello", "ada") == NAMES
        assert len(workspace.answers.running) == 4
        await quiet(workspace)
        for agent in workspace.agents:
            turn = agent.turns[-1]
            assert (turn.status, turn.tokens) == ("length", 24)
            assert turn.prompt_tokens > 0
            assert turn.tok_s > 0
            deltas = [e.text for e in seen if isinstance(e, events.TurnDelta) and e.turn is turn]
            assert "".join(deltas) == turn.text
        await workspace.client.stats()  # type: ignore[attr-defined]
        await until(lambda: workspace.cache is not None and len(workspace.cache.cells) == 4)
        assert workspace.cache is not None
        assert set(workspace.cache.cells) == set(NAMES)
        assert sum(length for _, length in workspace.cache.runs) == 4096
        for agent in workspace.agents:
            assert agent.state.cells == workspace.cache.cells[agent.name] > 0


async def test_a_second_turn_reuses_the_first_ones_cells(tmp_path: Path) -> None:
    async with started(config(), tmp_path) as workspace:
        for text in ("hello", "more"):
            await workspace.send(text, "ada")
            await quiet(workspace)
        first, second = (t for t in workspace.get("ada").turns if t.role == "assistant")
        assert second.cached_tokens >= first.prompt_tokens


async def test_a_core_that_is_killed_while_four_talk(tmp_path: Path, slow_core: Pace) -> None:
    """The app stays up, says what happened, and every answer ends as it would have."""
    slow_core.free()
    async with started(config(400), tmp_path / "undisturbed") as workspace:
        await workspace.send("@all count", "ada")
        await quiet(workspace)
        expected = {agent.name: agent.turns[-1].text for agent in workspace.agents}

    slow_core.slow()
    async with started(config(400), tmp_path / "killed") as workspace:
        states: list[str] = []
        workspace.subscribe(
            lambda e: states.append(e.state) if isinstance(e, events.EngineChanged) else None
        )
        await workspace.send("@all count", "ada")
        await until(lambda: all(len(a.turns[-1].text) > 20 for a in workspace.agents), 60)
        assert workspace.ready is not None
        os.kill(workspace.ready.pid, signal.SIGKILL)
        await until(lambda: workspace.engine_state == "restarting")
        assert workspace.get("ada").state.reason == "the engine is restarting"
        assert len(workspace.answers.running) == 4, "all four have to talk when it is killed"
        slow_core.free()
        await until(lambda: workspace.engine_state == "ready", 60)
        await quiet(workspace)
        told = [entry.text for entry in workspace.log if entry.level == "warning"]
        assert len(told) == 1
        assert "SIGKILL" in told[0]
        assert "The engine is back." in [entry.text for entry in workspace.log]
        assert "restarting" in states
        for agent in workspace.agents:
            turn = agent.turns[-1]
            assert (turn.status, turn.tokens) == ("length", 400)
            # What was streamed before is not said again, and goes on where it was.
            assert turn.text.startswith(expected[agent.name][:20])
        await workspace.send("still there?", "ada")
        await quiet(workspace)
        assert workspace.get("ada").turns[-1].tokens == 400


async def test_stopping_is_quick_and_the_next_prompt_works(
    tmp_path: Path, slow_core: Pace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.answers.CANCEL_SECONDS", 60.0)  # should this process be held up
    async with started(config(1500), tmp_path) as workspace:
        await workspace.send("@ada @grace go", "ada")
        await until(lambda: all(workspace.get(n).turns[-1].text for n in ("ada", "grace")), 60)
        await workspace.stop_all()
        turns = [workspace.get(name).turns[-1] for name in ("ada", "grace")]
        assert [turn.status for turn in turns] == ["cancelled"] * 2
        assert all(0 < turn.tokens < 1500 for turn in turns)
        await workspace.change("ada", sampling={"max_tokens": 4, "grammar": ENDLESS})
        await workspace.send("again", "ada")
        await quiet(workspace)
        assert workspace.get("ada").turns[-1].tokens == 4


async def test_another_model_takes_over_the_conversations(tmp_path: Path) -> None:
    async with started(config(), tmp_path) as workspace:
        await workspace.send("hello", "ada")
        await quiet(workspace)
        first = workspace.ready
        workspace.config.model.path = str(tiny("qwen3moe", chat_template=CHATML))
        await workspace.restart_engine()
        second = await workspace.wait_ready()
        assert first is not None
        assert (first.architecture, second.architecture) == ("llama", "qwen3moe")
        await workspace.send("still there?", "ada")
        await quiet(workspace)
        turns = workspace.get("ada").turns
        assert [turn.status for turn in turns] == ["done", "length", "done", "length"]


async def test_a_conversation_comes_back_at_the_next_start(tmp_path: Path) -> None:
    async with started(config(), tmp_path) as workspace:
        await workspace.send("@all hello", "ada")
        await quiet(workspace)
        before = {agent.name: agent.turns for agent in workspace.agents}
    async with started(config(), tmp_path) as workspace:
        assert {agent.name: agent.turns for agent in workspace.agents} == before
        await workspace.regenerate("grace")
        await quiet(workspace)
        turns = workspace.get("grace").turns
        assert (len(turns), turns[-1].status) == (2, "length")
        assert turns[-1].text != before["grace"][-1].text  # another seed
        assert turns[-1].prompt_tokens == before["grace"][-1].prompt_tokens


async def test_leaving_in_the_middle_keeps_what_was_said(tmp_path: Path, slow_core: Pace) -> None:
    async with started(config(1500), tmp_path) as workspace:
        await workspace.send("go", "ada")
        await until(lambda: len(workspace.get("ada").turns[-1].text) > 10, 60)
    async with started(config(), tmp_path) as workspace:
        turn = workspace.get("ada").turns[-1]
        assert turn.status == "cancelled"
        assert len(turn.text) > 10
