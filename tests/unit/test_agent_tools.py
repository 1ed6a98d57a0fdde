"""Answers that call tools: the loop, its limits, stopping it, and what is kept of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from agents import calling, events, remembering, results, talk
from agents.events import Call, Turn
from agents.memory import prompt
from agents.tools import TOOLS, Context, Result, Tool
from agents.tools.recall import RECALL
from agents.workspace import Workspace
from engine.client import CoreDied
from engine.config import Config
from engine.errors import EngineError, HaloError
from engine.protocol import Delta, Deltas, Message, ToolCall
from tests.support.memory import ListMemory
from tests.support.quiet import quiet
from tests.support.scripted import ScriptedClient
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio

NOW = ToolCall("now", "{}")
ASK = ToolCall("recall", '{"question": "Where does Priya live?"}')


class Slow(msgspec.Struct, forbid_unknown_fields=True):
    """Takes nothing."""


class Room:
    """A workspace with tools on, its client, and what it said."""

    def __init__(self, workspace: Workspace, client: ScriptedClient) -> None:
        self.workspace, self.client = workspace, client
        self.events: list[events.WorkspaceEvent] = []
        workspace.subscribe(self.events.append)

    @property
    def id(self) -> str:
        return self.workspace.get("ada").id

    @property
    def answer(self) -> Turn:
        return next(t for t in reversed(self.workspace.get("ada").turns) if t.role == "assistant")

    async def ask(self, text: str = "Where does Priya live?") -> None:
        await self.workspace.send(text, "ada")
        await self.generating()

    async def generating(self) -> tuple[Message, ...]:
        await until(lambda: self.id in self.client.generations, what="for a generation")
        return self.client.generations[self.id]

    async def calls(self, *calls: ToolCall, text: str = "") -> tuple[Message, ...]:
        """The model calls; what it is asked next."""
        if text:
            self.client.say(self.id, text)
        self.client.finish(self.id, calls=calls)
        return await self.generating()

    def say(self, text: str) -> None:
        self.client.say(self.id, text)
        self.client.finish(self.id)


@pytest_asyncio.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    config = Config()
    config.tools.offer = "on"
    client = ScriptedClient()
    workspace = Workspace(config, client, tmp_path)
    workspace.memory = ListMemory()
    await workspace.start()
    await workspace.wait_ready()
    yield Room(workspace, client)
    await workspace.stop()


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """A tool that waits for the test; ada may call it."""
    go = asyncio.Event()

    async def run(context: Context, arguments: Slow) -> Result:
        await go.wait()
        return Result("At last.", "done")

    monkeypatch.setitem(TOOLS, "slow", Tool("slow", "Waits.", Slow, run, "waits"))
    return go


# --- the loop -------------------------------------------------------------------------------------


async def test_a_call_is_run_and_the_same_answer_goes_on(room: Room) -> None:
    await room.ask()
    first = room.client.generations[room.id]
    assert [tool.name for tool in first[0].tools] == ["recall", "now"]
    second = await room.calls(ASK, text="Let me look.")
    assert second[:2] == first
    assert second[2].content == "Let me look."
    assert second[2].calls[0].name == "recall"
    assert second[3].role == "tool" and second[3].call_id == second[2].calls[0].id
    assert second[3].content.startswith(prompt.OPEN) and "Lisbon" in second[3].content
    room.say("She lives in Lisbon.")
    answer = room.answer
    assert answer.text == "Let me look.\n\nShe lives in Lisbon."
    assert answer.status == "done" and answer.tokens == 3 + 4
    (call,) = answer.calls
    assert (call.status, call.at) == ("done", len("Let me look."))
    assert call.summary.startswith("3 facts") or "fact" in call.summary
    assert call.found[0].score > 0 and call.found[0].message
    kinds = [type(e).__name__ for e in room.events if isinstance(e, events.CallChanged)]
    assert kinds == ["CallChanged", "CallChanged"]
    assert len([t for t in room.workspace.get("ada").turns if t.role == "assistant"]) == 1
    await room.ask("Thanks.")
    third = room.client.generations[room.id]
    assert third[:4] == second, "the calls stay where they were, so that cells stay valid"
    assert third[4] == Message("assistant", "She lives in Lisbon.")


async def test_several_calls_and_rounds(room: Room) -> None:
    await room.ask()
    second = await room.calls(ASK, NOW)
    assert [m.role for m in second[2:]] == ["assistant", "tool", "tool"]
    third = await room.calls(NOW)
    assert [m.role for m in third[2:]] == ["assistant", "tool", "tool", "assistant", "tool"]
    room.say("Done.")
    assert [call.round for call in room.answer.calls] == [0, 0, 1]


async def test_thoughts_stay_with_their_round(room: Room) -> None:
    await room.ask()
    room.client.say(room.id, "I should look.", thinking=True)
    room.client.finish(room.id, calls=(NOW,), thinking="I should look.")
    second = await room.generating()
    assert second[2].thinking == "I should look."
    room.client.say(room.id, "Now I know.", thinking=True)
    room.client.say(room.id, "It is Friday.")
    room.client.finish(room.id, thinking="Now I know.")
    assert room.answer.thinking == "I should look.\n\nNow I know."
    await room.ask("And?")
    messages = room.client.generations[room.id]
    assert [m.thinking for m in messages if m.role == "assistant"] == [
        "I should look.",
        "Now I know.",
    ]


async def test_the_stream_has_what_sets_rounds_apart(room: Room) -> None:
    await room.ask()
    await room.calls(NOW, text="One moment.")
    room.say("It is late.")
    said = "".join(e.text for e in room.events if isinstance(e, events.TurnDelta))
    assert said == room.answer.text == "One moment.\n\nIt is late."


async def test_while_a_call_is_written_and_run_the_agent_is_at_a_tool(
    room: Room, slow: asyncio.Event
) -> None:
    await room.workspace.change("ada", tools=["slow"])
    await room.ask()
    room.client.emit(Deltas((Delta(room.id, "", (1,), calling=True),)))
    state = lambda: room.workspace.get("ada").state  # noqa: E731
    assert state().kind == "tool" and room.answer.text == ""
    room.client.finish(room.id, calls=(ToolCall("slow", "{}"),))
    await until(lambda: state().reason == "slow …")
    assert room.answer.status == "streaming"
    slow.set()
    await room.generating()
    room.say("Good.")
    assert state().kind == "idle"


async def test_required_forces_the_first_round_only(room: Room) -> None:
    room.workspace.config.tools.choice = "required"
    await room.ask()
    assert room.client.must_call[room.id]
    await room.calls(NOW)
    assert not room.client.must_call[room.id]
    room.say("Fine.")


@pytest.mark.parametrize(("key", "value"), [("offer", "off"), ("offer", "auto"), ("max_calls", 0)])
async def test_where_no_tools_are_offered(room: Room, key: str, value: Any) -> None:
    setattr(room.workspace.config.tools, key, value)
    room.workspace.config.tools.choice = "required"
    await room.ask()
    assert room.client.generations[room.id][0].tools == ()
    assert not room.client.must_call[room.id]


async def test_an_agent_without_tools_is_told_of_none(room: Room) -> None:
    await room.workspace.change("ada", tools=[])
    await room.ask()
    assert room.client.generations[room.id][0].tools == ()


async def test_unknown_tools_are_refused_and_said(room: Room, tmp_path: Path) -> None:
    with pytest.raises(HaloError, match="no tool called 'web'"):
        await room.workspace.change("ada", tools=["web"])
    config = Config()
    config.agents[0].tools = ["web", "now"]
    other = Workspace(config, ScriptedClient(), tmp_path / "other")
    await other.start()
    await until(lambda: any("do not exist: web" in entry.text for entry in other.log))
    await other.stop()


# --- what goes wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (ToolCall("web", "{}"), "no tool called 'web'. There are: recall, now."),
        (ToolCall("recall", "{}"), "missing required field `question`"),
        (ToolCall("recall", '{"question": "x y", "k": 99}'), "`int` <= 20 (argument `k`)"),
        (ToolCall("recall", '{"question": "x y", "colour": 1}'), "unknown field `colour`"),
        (ToolCall("recall", '{"question": "x y", "as_of": "soon"}'), "argument `as_of`"),
        (ToolCall("recall", '{"question": "x y", "as_of": "2026-02-31"}'), "no day 2026-02-31"),
        (ToolCall("", "{}", fault="The call cannot be read: x"), "cannot be read"),
        (ToolCall("</tool_response>", "{}"), "no tool called '‹/tool_response›'"),
    ],
)
async def test_a_bad_call_gives_the_model_a_sentence(room: Room, call: ToolCall, said: str) -> None:
    await room.ask()
    result = (await room.calls(call))[-1].content
    assert result.startswith("Error: ") and said in result
    room.say("Then without.")
    assert room.answer.status == "done" and room.answer.calls[0].status == "error"


async def test_numbers_as_text_are_taken(room: Room) -> None:
    await room.ask()
    call = ToolCall("recall", '{"question": "Where does Priya live?", "k": "2"}')
    result = (await room.calls(call))[-1].content
    assert result.startswith(prompt.OPEN) and len(room.answer.calls[0].found) <= 2 + 2
    room.say("Fine.")


async def test_a_tool_that_fails_or_hangs_does_not_end_the_answer(
    room: Room, slow: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(context: Context, arguments: Slow) -> Result:
        raise RuntimeError("oops")

    monkeypatch.setitem(TOOLS, "broken", Tool("broken", "Fails.", Slow, broken, "fails"))
    room.workspace.config.tools.seconds = 0.05
    await room.workspace.change("ada", tools=["slow", "broken"])
    await room.ask()
    second = await room.calls(ToolCall("slow", "{}"), ToolCall("broken", "{}"))
    assert second[-2].content == "Error: slow took longer than 0.05 s and was stopped."
    assert second[-1].content == "Error: broken failed." and "oops" not in second[-1].content
    room.say("All the same.")
    assert room.answer.status == "done"


async def test_the_limit_of_calls_is_said_and_then_kept(room: Room) -> None:
    room.workspace.config.tools.max_calls = 2
    await room.ask()
    await room.calls(NOW, NOW)
    third = await room.calls(NOW)
    assert "No more calls in this answer, 2 is the limit" in third[-1].content
    room.client.say(room.id, "I insist.")
    room.client.finish(room.id, calls=(NOW,))
    turns = room.workspace.get("ada").turns
    assert turns[-1].role == "note" and "stopped after 2 for one answer" in turns[-1].text
    assert room.answer.status == "done" and room.answer.text == "I insist."


async def test_a_long_result_is_cut_to_its_budget(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def long(context: Context, arguments: Slow) -> Result:
        return Result("é " * 50_000)

    monkeypatch.setitem(TOOLS, "long", Tool("long", "Long.", Slow, long, "long"))
    room.workspace.config.tools.result_tokens = 100
    await room.workspace.change("ada", tools=["long"])
    await room.ask()
    result = (await room.calls(ToolCall("long", "{}")))[-1].content
    assert 98 <= await room.client.count(result) <= 100
    assert result.startswith("é é") and result.endswith(f"…\n{results.CUT}"), "the model is told"
    assert "→ cut to fit" in calling.words(room.answer.calls[0]), "and so is the person"
    room.say("Long.")


async def test_a_cut_keeps_the_fence_closed() -> None:
    text = prompt.fenced(f"- fact {n}" for n in range(100))
    once = results.cut(text, 400)
    assert once.endswith(f"…\n{prompt.CLOSE}\n{results.CUT}") and "- fact 10" in once
    twice = results.cut(once, 200)
    assert twice.count(prompt.CLOSE) == twice.count(results.CUT) == 1 and len(twice) < len(once)


async def test_results_that_do_not_fit_are_cut_until_they_do(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine refuses what is too long; the answer goes on with less."""
    refused: list[int] = []
    room_for = 1500

    async def generate(session: str, messages: tuple[Message, ...], *rest: Any) -> None:
        size = sum(len(message.content) for message in messages)
        if size > room_for:
            refused.append(size)
            raise EngineError("The prompt has too many tokens.", "Shorten it.", "too_long")
        await taken(session, messages, *rest)

    taken = room.client.generate
    monkeypatch.setattr(room.client, "generate", generate)

    async def long(context: Context, arguments: Slow) -> Result:
        return Result("é " * 5_000, "plenty")

    monkeypatch.setitem(TOOLS, "long", Tool("long", "Long.", Slow, long, "long"))
    room.workspace.config.tools.result_tokens = 65536
    await room.workspace.change("ada", tools=["long", "now"])
    await room.ask()
    messages = await room.calls(NOW, ToolCall("long", "{}"), text="Let me look.")
    assert len(refused) >= 3 and messages[-1].content.endswith(results.CUT)
    assert len(messages[-1].content) > 400, "as much as fits, not as little as possible"
    assert "…" not in messages[-2].content, "what is short stays whole"
    assert calling.words(room.answer.calls[1]).startswith("long → plenty, cut to fit")
    room.say("So much.")
    assert room.answer.status == "done" and room.answer.text == "Let me look.\n\nSo much."
    # Nothing fits any more: the results are left out; and when that is not enough, it is told.
    await room.workspace.clear("ada")
    room_for = 150
    await room.ask("And now?")
    messages = await room.calls(ToolCall("long", "{}"))
    assert messages[-1].content == results.NO_ROOM
    assert "left out for want of room" in calling.words(room.answer.calls[0])
    assert room.answer.calls[0].summary.count("fit") == 0
    room_for = 0
    room.client.finish(room.id, calls=(NOW,))
    await until(lambda: room.answer.status == "error")
    assert room.answer.detail == "The prompt has too many tokens. Shorten it."


# --- stopping, queueing, restarting ---------------------------------------------------------------


async def test_stop_ends_a_tool_and_the_answer(room: Room, slow: asyncio.Event) -> None:
    await room.workspace.change("ada", tools=["slow"])
    await room.ask()
    room.client.say(room.id, "Wait.")
    room.client.finish(room.id, calls=(ToolCall("slow", "{}"),))
    await until(lambda: room.workspace.get("ada").state.kind == "tool")
    assert await room.workspace.stop_generation("ada")
    assert room.answer.status == "cancelled" and room.answer.text == "Wait."
    assert room.answer.calls[0].status == "cancelled"
    slow.set()
    await quiet()
    assert not room.client.generations, "nothing goes on by itself"
    await room.ask("Again")
    messages = room.client.generations[room.id]
    assert messages[2] == Message("assistant", "Wait."), "a call without a last word is left out"


async def test_stop_between_rounds_and_a_prompt_that_waited(
    room: Room, slow: asyncio.Event
) -> None:
    await room.workspace.change("ada", tools=["slow"])
    await room.ask()
    await room.workspace.send("And then?", "ada")
    room.client.finish(room.id, calls=(ToolCall("slow", "{}"),))
    await until(lambda: room.workspace.get("ada").state.kind == "tool")
    assert room.workspace.get("ada").queue, "a prompt waits while a tool works"
    await room.workspace.stop_generation("ada")
    messages = await room.generating()
    assert messages[-1].content.endswith("And then?")


async def at_a_slow_tool(room: Room) -> None:
    await room.workspace.change("ada", tools=["slow"])
    await room.ask()
    room.client.finish(room.id, calls=(ToolCall("slow", "{}"),))
    await until(lambda: room.workspace.get("ada").state.kind == "tool")


async def test_the_core_dies_while_a_tool_works(room: Room, slow: asyncio.Event) -> None:
    await at_a_slow_tool(room)
    room.client.emit(CoreDied("The engine was ended.", "It is started again.", True))
    slow.set()
    messages = await room.generating()
    assert messages[-1].content == "At last."
    room.say("Still here.")
    assert room.answer.status == "done"


async def test_the_core_dies_for_good_while_a_tool_works(room: Room, slow: asyncio.Event) -> None:
    await at_a_slow_tool(room)
    room.client.emit(CoreDied("The engine failed.", "Look.", False))
    assert room.answer.status == "error" and room.answer.calls[0].status == "cancelled"
    slow.set()
    await quiet()
    assert not room.client.generations


async def test_a_refused_second_round_ends_the_answer_with_its_reason(room: Room) -> None:
    await room.ask()
    room.client.refuse = EngineError("The conversation is too long.", "Clear it.", "too_long")
    room.client.finish(room.id, calls=(NOW,))
    await until(lambda: room.answer.status == "error")
    assert "too long" in room.answer.detail
    assert room.answer.calls[0].status == "done"


async def test_regenerate_and_edit_take_the_calls_away(room: Room) -> None:
    await room.ask()
    await room.calls(NOW)
    room.say("Friday.")
    await room.workspace.regenerate("ada")
    assert [m.role for m in await room.generating()] == ["system", "user"]
    room.say("Saturday.")
    first = room.workspace.get("ada").turns[0]
    await room.workspace.edit_and_resend("ada", first.id, "What day is it?")
    assert (await room.generating())[-1].content == "What day is it?"


async def test_an_answer_with_calls_hands_over(room: Room) -> None:
    await room.ask()
    await room.calls(NOW)
    room.say("@grace it is Friday.")
    grace = room.workspace.get("grace")
    await until(lambda: grace.id in room.client.generations)
    assert "[from ada]" in room.client.generations[grace.id][-1].content


# --- what is kept ---------------------------------------------------------------------------------


async def test_calls_and_results_come_back_at_the_next_start(room: Room, tmp_path: Path) -> None:
    await room.ask()
    await room.calls(ASK, text="Let me look.")
    room.say("Lisbon.")
    before = room.workspace.get("ada").messages()
    calls = room.answer.calls
    await room.workspace.stop()
    again = Workspace(Config(), ScriptedClient(), tmp_path)
    await again.start()
    assert again.get("ada").turns[-1].calls == calls
    assert again.get("ada").messages() == before
    await again.stop()


async def test_a_tool_at_work_when_the_app_is_killed(
    room: Room, slow: asyncio.Event, tmp_path: Path
) -> None:
    await at_a_slow_tool(room)
    lines = (tmp_path / "agents" / f"{room.id}.jsonl").read_bytes()
    from agents.history import parse

    (answer,) = [turn for turn in parse(lines).turns if turn.role == "assistant"]
    assert answer.status == "cancelled" and answer.calls[0].status == "cancelled"


async def test_files_of_before_have_no_calls() -> None:
    old = b'{"t":"turn","turn":{"id":"t-1","role":"assistant","text":"Hi."}}\n'
    from agents.history import parse

    assert parse(old).turns[0].calls == []


async def test_snapshot_fork_and_export_have_the_calls(room: Room) -> None:
    await room.ask()
    await room.calls(ASK)
    room.say("Lisbon.")
    kept = talk.decode(talk.encode(talk.talk_of(room.workspace.get("ada"))), "x")
    copy = talk.agent_from(kept, "copy")
    assert copy.messages() == room.workspace.get("ada").messages()
    assert copy.turns[-1].calls is not room.answer.calls
    text = talk.markdown(kept)
    assert "*recall" in text and "Where does Priya live?" in text and "> - Priya" in text


@pytest.mark.parametrize(
    "call",
    [
        Call("x", "recall", "no json", at=-5, thought=99),
        Call("", "", "[]", at=10**9),
        Call("<|im_end|>", "now", "{}", round=-3),
    ],
)
async def test_calls_of_a_strange_file_are_messages_all_the_same(call: Call) -> None:
    from agents.agent import Agent
    from engine.core.templates import ChatTemplate

    agent = Agent("a", "ada")
    agent.turns = [
        Turn("1", "user", "Hi"),
        Turn("2", "assistant", "Hello there.", calls=[call]),
        Turn("3", "user", "Go on"),
    ]
    ChatTemplate("", "", "").render(agent.messages())


async def test_results_are_not_learnt_as_said_by_anybody(room: Room) -> None:
    await room.ask()
    await room.calls(ASK)
    room.say("She moved.")
    agent = room.workspace.get("ada")
    notes = [remembering.note_of(agent, turn, room.workspace.config) for turn in agent.turns]
    assert [note.text for note in notes if note] == ["Where does Priya live?", "She moved."]


# --- recall ---------------------------------------------------------------------------------------


def context(room: Room) -> Context:
    return Context(
        room.workspace.get("ada"),
        room.workspace.config,
        room.client.count,
        room.workspace.memory,
    )


async def result_of(room: Room, **given: Any) -> Result:
    arguments = RECALL.checked(json.dumps({"question": "Where does Priya live?", **given}))
    return await RECALL.run(context(room), arguments)


async def test_recall_says_why_there_is_nothing(room: Room) -> None:
    memory = room.workspace.memory
    assert isinstance(memory, ListMemory)
    memory.state = "down"
    away = await result_of(room)
    assert away.failed and "cannot be reached" in away.text
    memory.state = "ready"
    await room.workspace.change("ada", memory="off")
    assert "You have no memory" in (await result_of(room)).text
    room.workspace.memory = None
    assert "switched off" in (await result_of(room)).text


async def test_the_schemas_are_plain_and_closed() -> None:
    for tool in TOOLS.values():
        schema = tool.offer.parameters
        assert schema["type"] == "object" and schema["additionalProperties"] is False
        assert "$ref" not in json.dumps(schema)
    assert TOOLS["recall"].offer.parameters["required"] == ["question"]


async def test_now_is_the_clocks(room: Room) -> None:
    here = context(room)
    fixed = Context(here.agent, here.config, here.count, now=lambda: 1_700_000_000.0)
    assert (await TOOLS["now"].run(fixed, None)).text.startswith(("Tuesday", "Wednesday"))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (Call("x", "recall", '{"question": "a  b"}', summary="3 facts", status="done", seconds=0.012), "recall “a b” → 3 facts, 12 ms"),
        (Call("x", "now", "{}"), "now …"),
        (Call("x", "", "{", status="error", summary="could not be read"), "a tool → could not be read"),
        (Call("x", "recall", '{"question": "q"}', status="cancelled"), "recall “q” → stopped"),
    ],
)  # fmt: skip
async def test_a_call_in_words(call: Call, words: str) -> None:
    assert calling.words(call) == words
