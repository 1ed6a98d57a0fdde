"""The workspace on a scripted engine: talking, queues, handovers, stopping, the list of agents."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from agents import events
from agents.agent import Agent
from agents.workspace import Workspace
from engine.client import CoreDied
from engine.config import Config
from engine.errors import EngineError, HaloError
from engine.protocol import Delta, Deltas, Loading, Message, Note, State, Stats
from tests.support.scripted import READY, ScriptedClient
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio


class Room:
    """A started workspace, its client, and everything it said."""

    def __init__(self, workspace: Workspace, client: ScriptedClient) -> None:
        self.workspace = workspace
        self.client = client
        self.events: list[events.WorkspaceEvent] = []
        workspace.subscribe(self.events.append)

    def agent(self, name: str) -> Agent:
        return self.workspace.get(name)

    async def generating(self, *names: str) -> None:
        """Until exactly these agents have the engine's ear."""
        ids = {self.agent(name).id for name in names}
        await until(lambda: set(self.client.generations) == ids, what=str(names))

    def say(self, name: str, text: str, thinking: bool = False) -> None:
        self.client.say(self.agent(name).id, text, thinking)

    def finish(self, name: str, reason: str = "stop", **fields: object) -> None:
        self.client.finish(self.agent(name).id, reason, **fields)

    def answer(self, name: str, text: str) -> None:
        self.say(name, text)
        self.finish(name)

    def texts(self, name: str) -> list[tuple[str, str]]:
        return [(turn.author or turn.role, turn.text) for turn in self.agent(name).turns]

    def logged(self, level: str) -> list[str]:
        return [entry.text for entry in self.workspace.log if entry.level == level]


@pytest_asyncio.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    client = ScriptedClient()
    workspace = Workspace(Config(), client, tmp_path)
    room = Room(workspace, client)
    await workspace.start()
    await workspace.wait_ready()
    yield room
    await workspace.stop()


async def test_a_prompt_is_answered(room: Room) -> None:
    assert await room.workspace.send("Hi there", "ada") == ["ada"]
    await room.generating("ada")
    ada = room.agent("ada")
    assert ada.busy
    assert room.client.generations[ada.id] == (
        Message("system", "You are Ada, a helpful assistant."),
        Message("user", "Hi there"),
    )
    room.client.emit(State(ada.id, "prefill", done=5, total=20))
    assert (ada.state.kind, ada.state.done, ada.state.total) == ("prefill", 5, 20)
    room.say("ada", "hmm", thinking=True)
    assert ada.state.kind == "thinking"
    room.say("ada", "Hel")
    room.say("ada", "lo")
    assert (ada.state.kind, ada.turns[-1].text, ada.turns[-1].thinking) == (
        "decode",
        "Hello",
        "hmm",
    )
    room.finish("ada", thinking="hmm", prompt_tokens=33, cached_tokens=11, tokens=1)
    turn = ada.turns[-1]
    assert (turn.status, turn.text, turn.thinking) == ("done", "Hello", "hmm")
    assert (turn.prompt_tokens, turn.cached_tokens, turn.seed) == (33, 11, 7)
    assert turn.tok_s == pytest.approx(10)
    assert 0 < turn.ttft <= turn.seconds
    assert (ada.state.kind, ada.state.cells, ada.busy) == ("idle", 100, False)
    kinds = [type(e).__name__ for e in room.events if getattr(e, "agent", "") == "ada"]
    told = [k for k in kinds if k != "AgentChanged"]
    assert told == ["TurnAdded", "TurnAdded", "TurnDelta", "TurnDelta", "TurnDelta", "TurnFinished"]


async def test_several_agents_answer_at_once_and_are_kept_apart(room: Room) -> None:
    assert await room.workspace.send("@grace @alan who are you?", "ada") == ["grace", "alan"]
    assert await room.workspace.send("@all hello", "ada") == ["ada", "grace", "alan"]
    assert room.agent("alan").turns[0].to == ["grace", "alan"]
    assert room.agent("alan").queue[0].to == ["ada", "grace", "alan"]
    await room.generating("ada", "grace", "alan")
    both = (
        Delta(room.agent("grace").id, "I am G"),
        Delta(room.agent("alan").id, "I am A"),
        Delta("a-closed-long-ago", "ghost"),
    )
    room.client.emit(Deltas(both))
    assert room.texts("grace")[-1] == ("grace", "I am G")
    assert room.texts("alan")[-1] == ("alan", "I am A")
    assert room.texts("ada") == [("you", "hello"), ("ada", "")]
    assert [len(room.agent(name).queue) for name in room.workspace.names] == [0, 1, 1]


async def test_the_conversation_grows_with_each_turn(room: Room) -> None:
    for number in range(2):
        await room.workspace.send(f"question {number}", "ada")
        await room.generating("ada")
        room.answer("ada", f"answer {number}")
    await room.workspace.send("last", "ada")
    await room.generating("ada")
    contents = [m.content for m in room.client.generations[room.agent("ada").id]]
    assert contents[1:] == ["question 0", "answer 0", "question 1", "answer 1", "last"]


async def test_a_busy_agent_queues_prompts_that_can_be_taken_back(room: Room) -> None:
    for text in ("one", "two", "three"):
        await room.workspace.send(text, "ada")
    ada = room.agent("ada")
    assert ([p.text for p in ada.queue], ada.state.waiting_prompts) == (["two", "three"], 2)
    assert room.workspace.unqueue("ada", 0) == "two"
    with pytest.raises(HaloError, match="no waiting prompt 6"):
        room.workspace.unqueue("ada", 5)
    await room.generating("ada")
    room.answer("ada", "first")
    await room.generating("ada")
    assert room.texts("ada")[2:] == [("you", "three"), ("ada", "")]
    assert ada.state.waiting_prompts == 0


async def test_a_text_without_content_sends_nothing(room: Room) -> None:
    assert await room.workspace.send("  \n", "ada") == []
    assert await room.workspace.send("@grace", "ada") == []
    assert room.agent("grace").turns == []
    with pytest.raises(HaloError, match=r"no agent called 'adda'\. Did you mean ada\?"):
        await room.workspace.send("hello", "adda")


# --- handovers ------------------------------------------------------------------------------------


async def test_an_answer_hands_over(room: Room) -> None:
    await room.workspace.send("ask grace", "ada")
    await room.generating("ada")
    room.answer("ada", "Well.\n@grace: what is two and two?")
    await room.generating("grace")
    assert room.texts("grace")[0] == ("ada", "Well.\n@grace: what is two and two?")
    sent = room.client.generations[room.agent("grace").id]
    assert sent[-1] == Message("user", "[from ada] Well.\n@grace: what is two and two?")


async def test_handovers_stop_at_the_limit_with_a_note(room: Room) -> None:
    await room.workspace.send("talk to one another", "ada")
    order = ["ada", "grace", "ada", "grace", "ada"]
    for speaker, other in zip(order, [*order[1:], "grace"], strict=True):
        await room.generating(speaker)
        room.answer(speaker, f"@{other} go on")
    assert room.client.generations == {}
    note = room.agent("ada").turns[-1]
    assert note.role == "note"
    assert "stopped after 4 handovers" in note.text
    assert "[from" not in room.agent("ada").messages()[-1].content  # notes are for people
    assert room.agent("ada").messages()[-1].role == "assistant"


async def test_branches_of_one_prompt_share_the_limit(room: Room) -> None:
    room.workspace.config.chat.handover_limit = 1
    await room.workspace.send("@ada @alan ask grace", "ada")
    await room.generating("ada", "alan")
    room.answer("ada", "@grace hello")
    room.answer("alan", "@grace hello")
    await room.generating("grace")
    assert room.agent("grace").queue == []
    assert room.agent("alan").turns[-1].role == "note"


async def test_a_busy_agent_gets_the_handover_afterwards(room: Room) -> None:
    await room.workspace.send("@ada @grace hello", "ada")
    await room.generating("ada", "grace")
    room.answer("ada", "@grace: ping")
    assert [p.author for p in room.agent("grace").queue] == ["ada"]
    room.answer("grace", "fine")
    await room.generating("grace")
    assert room.texts("grace")[2] == ("ada", "@grace: ping")


async def test_an_answer_that_was_stopped_hands_nothing_over(room: Room) -> None:
    await room.workspace.send("ask", "ada")
    await room.generating("ada")
    room.say("ada", "@grace: do it")
    assert await room.workspace.stop_generation("ada")
    assert room.agent("grace").turns == []
    assert (room.agent("ada").turns[-1].status, room.texts("ada")[-1][1]) == (
        "cancelled",
        "@grace: do it",
    )
    assert not await room.workspace.stop_generation("ada")


# --- stopping, editing ----------------------------------------------------------------------------


async def test_stop_goes_on_with_the_queue_and_stop_all_holds_it(room: Room) -> None:
    for text in ("one", "two", "three"):
        await room.workspace.send(text, "ada")
    await room.workspace.send("x", "grace")
    await room.generating("ada", "grace")
    await room.workspace.stop_generation("ada")
    await room.generating("ada", "grace")
    assert room.texts("ada")[-2] == ("you", "two")
    await room.workspace.stop_all()
    ada = room.agent("ada")
    assert room.client.generations == {}
    assert (ada.held, [p.text for p in ada.queue]) == (True, ["three"])
    room.workspace.resume_queue("ada")
    await room.generating("ada")
    assert room.texts("ada")[-2] == ("you", "three")


async def test_stop_all_drops_handovers(room: Room) -> None:
    await room.workspace.send("@ada @grace talk", "ada")
    await room.generating("ada", "grace")
    room.answer("ada", "@grace: ping")
    await room.workspace.stop_all()
    assert (room.agent("grace").queue, room.client.generations) == ([], {})


async def test_regenerate_answers_anew_with_another_seed(room: Room) -> None:
    await room.workspace.change("ada", sampling={"seed": 5, "top_k": 3})
    await room.workspace.send("hi", "ada")
    await room.generating("ada")
    ada = room.agent("ada")
    assert room.client.samplings[ada.id].seed == 5
    room.answer("ada", "first")
    first = ada.turns[-1]
    await room.workspace.regenerate("ada")
    await room.generating("ada")
    assert (room.client.samplings[ada.id].seed, room.client.samplings[ada.id].top_k) == (-1, 3)
    assert [m.content for m in room.client.generations[ada.id]][1:] == ["hi"]
    room.answer("ada", "second")
    assert room.texts("ada") == [("you", "hi"), ("ada", "second")]
    cut = [e for e in room.events if isinstance(e, events.TurnsTruncated)]
    assert [(e.agent, e.turn_id) for e in cut] == [("ada", first.id)]
    with pytest.raises(HaloError, match="Nothing was asked of grace"):
        await room.workspace.regenerate("grace")


async def test_regenerate_stops_an_answer_in_the_making(room: Room) -> None:
    await room.workspace.send("hi", "ada")
    await room.generating("ada")
    room.say("ada", "never mind")
    await room.workspace.regenerate("ada")
    await room.generating("ada")
    assert room.texts("ada") == [("you", "hi"), ("ada", "")]


async def test_edit_and_resend_replaces_all_that_followed(room: Room) -> None:
    for text in ("one", "two"):
        await room.workspace.send(text, "ada")
        await room.generating("ada")
        room.answer("ada", f"re {text}")
    ada = room.agent("ada")
    await room.workspace.edit_and_resend("ada", ada.turns[0].id, "uno @grace")
    await room.generating("ada")
    assert room.texts("ada") == [("you", "uno @grace"), ("ada", "")]
    with pytest.raises(HaloError, match="Only a prompt"):
        await room.workspace.edit_and_resend("ada", ada.turns[1].id, "x")
    with pytest.raises(HaloError, match="empty"):
        await room.workspace.edit_and_resend("ada", ada.turns[0].id, " ")


async def test_clear_empties_everything(room: Room, tmp_path: Path) -> None:
    await room.workspace.send("a secret", "ada")
    await room.workspace.send("another", "ada")
    await room.generating("ada")
    await room.workspace.clear("ada")
    ada = room.agent("ada")
    assert (ada.turns, ada.queue, ada.state.kind) == ([], [], "idle")
    assert b"secret" not in (tmp_path / "agents" / f"{ada.id}.jsonl").read_bytes()


async def test_search_finds_all_places_without_case(room: Room) -> None:
    await room.workspace.send("Straße (a.b) and STRASSE", "ada")
    await room.generating("ada")
    room.answer("ada", "A.B or aXb?")
    turns = room.agent("ada").turns
    assert room.workspace.search("ada", "a.b") == [(turns[0].id, 8, 11), (turns[1].id, 0, 3)]
    assert room.workspace.search("ada", "nothing") == room.workspace.search("ada", "") == []


# --- faults of the engine -------------------------------------------------------------------------


async def test_a_prompt_that_is_too_long_comes_back_and_the_next_one_goes_on(room: Room) -> None:
    room.client.refuse = EngineError("The prompt is too long.", "Shorten it.", "too_long")
    ada = room.agent("ada")
    await room.workspace.send("very long", "ada")
    await room.workspace.send("short", "ada")
    await room.generating("ada")
    why = "The prompt is too long. Shorten it."
    returned = [e for e in room.events if isinstance(e, events.PromptReturned)]
    assert returned == [events.PromptReturned("ada", "very long", why)]
    assert [turn.text for turn in ada.turns] == ["short", ""]
    assert room.client.generations[ada.id][1:] == (Message("user", "short"),)
    assert room.logged("error") == [why]


async def test_what_is_far_too_long_is_not_even_sent(room: Room) -> None:
    await room.workspace.send("first", "ada")
    await room.generating("ada")
    room.answer("ada", "Yes.")
    ada = room.agent("ada")
    for send in (
        room.workspace.send("@ada @grace " + "word " * 8193, "ada"),
        room.workspace.edit_and_resend("ada", ada.turns[0].id, "word " * 8193),
    ):
        with pytest.raises(EngineError, match=r"8,193 tokens .* trained on 8,192") as refused:
            await send
        assert refused.value.code == "too_long"
    assert [turn.text for turn in ada.turns] == ["first", "Yes."]
    assert not room.agent("grace").turns


async def test_a_refused_prompt_is_an_error_turn_and_the_next_one_works(room: Room) -> None:
    room.client.refuse = EngineError("The prompt is too long.", "Shorten it.", "bad_request")
    await room.workspace.send("very long", "ada")
    ada = room.agent("ada")
    await until(lambda: ada.turns[-1].status == "error")
    assert ada.turns[-1].detail == "The prompt is too long. Shorten it."
    assert (ada.state.kind, ada.state.reason) == ("error", "The prompt is too long. Shorten it.")
    assert room.logged("error") == ["The prompt is too long. Shorten it."]
    await room.workspace.send("short", "ada")
    await room.generating("ada")
    # the answer that never came leaves two prompts, which templates want as one
    assert room.client.generations[ada.id][1:] == (Message("user", "very long\n\nshort"),)


async def test_length_says_why(room: Room) -> None:
    await room.workspace.change("ada", sampling={"max_tokens": 2})
    await room.workspace.send("hi", "ada")
    await room.generating("ada")
    room.say("ada", "a b")
    room.finish("ada", "length")
    turn = room.agent("ada").turns[-1]
    assert (turn.status, turn.detail) == (
        "length",
        "The answer was cut at 2 tokens (sampling.max_tokens).",
    )


async def test_what_a_loop_repeats_is_shown_but_not_told_again(room: Room) -> None:
    await room.workspace.send("hi", "ada")
    await room.generating("ada")
    room.say("ada", "It is so so so so so")
    room.finish("ada", "loop", what="It only repeated itself.", remedy="Allow it.", repeated=12)
    turn = room.agent("ada").turns[-1]
    assert (turn.status, turn.detail) == ("loop", "It only repeated itself. Allow it.")
    assert turn.text == "It is so so so so so"
    await room.workspace.send("and now?", "ada")
    await room.generating("ada")
    said = room.client.generations[room.agent("ada").id]
    assert said[-2:] == (Message("assistant", "It is so"), Message("user", "and now?"))


async def test_prompts_wait_while_the_model_loads(tmp_path: Path) -> None:
    client = ScriptedClient()
    client.hold_start = True
    workspace = Workspace(Config(), client, tmp_path)
    room = Room(workspace, client)
    await workspace.start()
    client.emit(Loading(0.5, "tensors"))
    assert [e.fraction for e in room.events if isinstance(e, events.EngineChanged)] == [0.0, 0.5]
    await workspace.send("hello", "ada")
    await workspace.send("hello", "grace")
    assert room.agent("ada").state.reason == "the model is loading"
    assert await workspace.stop_generation("grace")  # can be stopped before it began
    client.let_start()
    await room.generating("ada")
    assert workspace.ready == READY
    await workspace.stop()


async def test_a_model_that_is_loaded_again_is_told_in_a_sentence(room: Room) -> None:
    """The banner goes on after it."""
    room.client.emit(CoreDied("The engine was killed.", "It is started again.", True))
    room.client.emit(Loading(0.4, "Loading mini.gguf"))
    told = [e for e in room.events if isinstance(e, events.EngineChanged)][-1]
    assert (told.state, told.what) == ("restarting", "The engine is loading mini.gguf, 40%.")


async def test_an_engine_that_cannot_start_is_told_and_nothing_hangs(tmp_path: Path) -> None:
    client = ScriptedClient()
    client.start_error = EngineError("The model file is broken.", "Take another one.")
    workspace = Workspace(Config(), client, tmp_path)
    room = Room(workspace, client)
    await workspace.start()
    await workspace.send("early", "ada")
    with pytest.raises(EngineError, match=r"broken\. Take another"):
        await workspace.wait_ready()
    assert workspace.engine_state == "dead"
    assert room.agent("ada").turns[-1].status == "error"
    await workspace.send("late", "ada")
    assert room.agent("ada").turns[-1].detail == "The model file is broken. Take another one."
    # another model
    other = ScriptedClient(lambda messages: "fine")
    workspace.engine.make_client = lambda config: other
    await workspace.restart_engine()
    await workspace.wait_ready()
    await workspace.send("now", "ada")
    await until(lambda: not room.agent("ada").busy)
    assert room.texts("ada")[-1] == ("ada", "fine")
    await workspace.stop()
    assert client.stopped
    assert other.stopped


async def test_a_crash_of_the_core_is_told_and_answers_go_on(room: Room) -> None:
    await room.workspace.send("hi", "ada")
    await room.generating("ada")
    room.say("ada", "half ")
    room.client.emit(CoreDied("The engine was killed.", "It is started again.", True))
    ada = room.agent("ada")
    assert room.workspace.engine_state == "restarting"
    assert (ada.state.kind, ada.state.reason) == ("queued", "the engine is restarting")
    room.client.emit(READY)
    assert room.workspace.engine_state == "ready"
    room.answer("ada", "and whole")
    assert room.texts("ada")[-1] == ("ada", "half and whole")
    assert "The engine is back." in room.logged("info")


async def test_an_answer_stopped_in_a_crash_does_not_speak_in_the_next_one(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.answers.CANCEL_SECONDS", 0.01)
    await room.workspace.send("hi", "ada")
    await room.generating("ada")
    ada = room.agent("ada")
    room.client.deaf = True  # the core does not confirm the stop
    await room.workspace.stop_generation("ada")
    assert ada.turns[-1].status == "cancelled"
    room.client.deaf = False
    room.client.hold_open = True
    await room.workspace.send("again", "ada")
    await until(lambda: ("close", ada.id) in room.client.log)
    room.say("ada", "old words")
    room.finish("ada", "cancelled")
    assert (ada.turns[-1].status, ada.turns[-1].text) == ("waiting", "")
    room.client.hold_open = False
    await room.generating("ada")
    room.answer("ada", "new words")
    assert (ada.turns[-1].status, ada.turns[-1].text) == ("done", "new words")


async def test_a_core_that_stays_dead_ends_answers_and_keeps_their_text(room: Room) -> None:
    await room.workspace.send("hi", "ada")
    await room.workspace.send("next", "ada")
    await room.generating("ada")
    room.say("ada", "half ")
    room.client.emit(CoreDied("The engine died 3 times.", "See the log.", False))
    turn = room.agent("ada").turns[-1]
    assert (turn.status, turn.text) == ("error", "half ")
    assert [p.text for p in room.agent("ada").queue] == ["next"]  # nothing lost


async def test_a_watcher_that_fails_does_not_silence_the_others(room: Room) -> None:
    def broken(event: events.WorkspaceEvent) -> None:
        raise ValueError

    room.workspace.subscribe(broken)
    seen: list[events.WorkspaceEvent] = []
    stop = room.workspace.subscribe(seen.append)
    room.client.emit(Note("warning", "cache", "A prefix was dropped.", room.agent("ada").id))
    assert isinstance(seen[0], events.Logged)
    assert (seen[0].entry.agent, seen[0].entry.level) == ("ada", "warning")
    stop()
    room.client.emit(Note("info", "cache", "Again."))
    assert len(seen) == 1


# --- telemetry ------------------------------------------------------------------------------------


async def test_cells_and_speeds_carry_names(room: Room) -> None:
    ada, grace = room.agent("ada"), room.agent("grace")
    room.client.cells({ada.id: 50, grace.id: 30, "gone": 20})
    cache = room.workspace.cache
    assert cache is not None
    assert cache.cells == {"ada": 50, "grace": 30}
    assert list(cache.runs) == [
        ("ada", 50),
        ("grace", 30),
        ("~", 20),
        ("", 8092),
    ]
    assert (ada.state.cells, grace.state.cells) == (50, 30)
    await room.workspace.rename("ada", "lovelace")
    assert room.workspace.cache is not None
    assert room.workspace.cache.cells == {"lovelace": 50, "grace": 30}
    await room.workspace.send("hi", "lovelace")
    await room.generating("lovelace")
    room.client.emit(Stats(40.0, 0.0, 1, 0, 0, 2.0, 9, {ada.id: 39.0, grace.id: 1.0}))
    assert (ada.state.tok_s, grace.state.tok_s) == (39.0, 0.0)
    assert room.workspace.stats is not None
    assert room.workspace.stats.by_session == {"lovelace": 39.0, "grace": 1.0}


async def test_unread_is_what_finished_out_of_sight(room: Room) -> None:
    await room.workspace.focus("ada")
    await room.workspace.send("@ada @grace hi", "ada")
    await room.generating("ada", "grace")
    room.answer("ada", "x")
    room.answer("grace", "y")
    assert (room.agent("ada").state.unread, room.agent("grace").state.unread) == (False, True)
    await room.workspace.focus("grace")
    assert not room.agent("grace").state.unread
    assert room.client.focused == room.agent("grace").id


# --- the list -------------------------------------------------------------------------------------


async def test_agents_are_created_renamed_moved_closed_and_reopened(room: Room) -> None:
    work = room.workspace
    await work.create("bob", "Be short.", "#ff8800", {"temperature": 0})
    assert work.names == ["ada", "grace", "alan", "bob"]
    await work.move("bob", -2)
    assert work.names == ["ada", "bob", "grace", "alan"]
    await work.move("bob", -9)
    await work.rename("bob", "Bob")
    assert work.names == ["Bob", "ada", "grace", "alan"]
    await work.send("hi", "bob")
    await room.generating("Bob")
    await work.focus("Bob")
    identity = work.get("bob").id
    await work.close_agent("bob")
    assert (work.names, work.closed, work.focused) == (["ada", "grace", "alan"], ["Bob"], "ada")
    assert room.client.generations == {}
    await work.create("bob")
    back = await work.reopen()
    assert (back.id, back.name, back.spec.system) == (identity, "Bob-2", "Be short.")
    assert [turn.text for turn in back.turns] == ["hi", ""]
    with pytest.raises(HaloError, match="no closed agent"):
        await work.reopen()


async def test_a_duplicate_has_the_conversation_and_its_own_future(room: Room) -> None:
    await room.workspace.send("hi", "ada")
    await room.generating("ada")
    room.answer("ada", "hello")
    copy = await room.workspace.duplicate("ada")
    assert room.workspace.names == ["ada", "ada-2", "grace", "alan"]
    assert [turn.text for turn in copy.turns] == ["hi", "hello"]
    await room.workspace.send("more", "ada-2")
    await room.generating("ada-2")
    assert len(room.agent("ada").turns) == 2
    assert {t.id for t in copy.turns}.isdisjoint(t.id for t in room.agent("ada").turns)


@pytest.mark.parametrize("name", ["", "two words", "all", "You", "x" * 33, "-a", "Ada"])
async def test_names_that_cannot_be(room: Room, name: str) -> None:
    before = room.workspace.names
    with pytest.raises(HaloError):
        await room.workspace.create(name)
    with pytest.raises(HaloError):
        await room.workspace.rename("grace", name)
    assert room.workspace.names == before


async def test_specs_that_cannot_be(room: Room) -> None:
    with pytest.raises(HaloError, match="no colour"):
        await room.workspace.create("bob", colour="#12")
    with pytest.raises(HaloError, match="temprature"):
        await room.workspace.create("bob", sampling={"temprature": 1})
    assert "bob" not in room.workspace.names


async def test_the_last_agent_stays(room: Room) -> None:
    await room.workspace.close_agent("ada")
    await room.workspace.close_agent("alan")
    with pytest.raises(HaloError, match="last agent"):
        await room.workspace.close_agent("grace")


async def test_telling_one_agent_ignores_names_and_overrides_for_once(room: Room) -> None:
    await room.workspace.tell("ada", "@grace is a name", "Be brief.", {"seed": 3})
    await room.generating("ada")
    ada = room.agent("ada")
    assert room.client.generations[ada.id] == (
        Message("system", "Be brief."),
        Message("user", "@grace is a name"),
    )
    assert room.client.samplings[ada.id].seed == 3
    room.answer("ada", "@grace: you")
    assert (room.agent("grace").turns, len(ada.turns)) == ([], 2)
    assert ada.spec.system == "You are Ada, a helpful assistant."
