"""Tool calls on real llama.cpp: forced by grammar, shared as a prefix, taken up after a crash."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from engine.bench import recall
from engine.client import CoreDied
from engine.config import CompactionConfig
from engine.errors import EngineError
from engine.protocol import CacheMap, Done, Message, Sampling, Tool, ToolCall
from tests.support.engine import GREEDY, Talk, running
from tests.support.mkgguf import tiny
from tests.support.pace import Pace
from tests.support.waiting import until

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(240)]

TEMPLATES = Path(__file__).parents[1] / "corpus" / "templates"
MINI = Path(__file__).parents[2] / "engine" / "assets" / "halo-mini.gguf"
RECALL = Tool(
    "recall",
    "Search the memory of earlier conversations.",
    {
        "type": "object",
        "properties": {
            "question": {"type": "string", "minLength": 3, "maxLength": 40},
            "k": {"type": "integer", "minimum": 1, "maximum": 9},
        },
        "required": ["question"],
        "additionalProperties": False,
    },
)
NOW = Tool("now", "The time.", {"type": "object", "properties": {}, "additionalProperties": False})
FREE = Sampling(temperature=1.5, seed=11, max_tokens=200)


def asked(system: str = "You are Ada.", *more: Message) -> tuple[Message, ...]:
    return (
        Message("system", system, tools=(RECALL, NOW)),
        Message("user", "Where do I work?"),
        *more,
    )


def after(call: ToolCall, result: str) -> tuple[Message, ...]:
    """What is asked when a call has its result."""
    return asked(
        "You are Ada.",
        Message("assistant", "", calls=(ToolCall(call.name, call.arguments, id="abcdefgh1"),)),
        Message("tool", result, name=call.name, call_id="abcdefgh1"),
    )


async def forced(talk: Talk, session: str, sampling: Sampling = FREE) -> ToolCall:
    await talk.client.open(session)
    await talk.client.generate(session, asked(), sampling, must_call=True)
    await talk.finish([session])
    done = talk.done(session)
    assert done is not None and done.reason == "stop", done
    assert done.text == "" and talk.streamed(session) == ""
    (call,) = done.calls
    return call


@pytest.mark.parametrize("seed", range(4))
async def test_the_grammar_makes_a_model_call_that_never_learnt_to(
    seed: int, tmp_path: Path
) -> None:
    async with running(MINI, tmp_path, n_ctx=4096) as talk:
        assert talk.client.ready is not None
        assert not talk.client.ready.knows_tools and talk.client.ready.call_format == "hermes"
        call = await forced(talk, "a", Sampling(temperature=1.5, seed=seed, max_tokens=200))
        given = json.loads(call.arguments)
        assert call.name in ("recall", "now") and not call.fault
        if call.name == "recall":
            assert len(given["question"]) >= 3 and given.get("k", 1) in range(1, 10)
        done = talk.done("a")
        # A short call may be over before anybody is told of it.
        assert done is not None
        assert done.tokens < 60 or any(delta.calling for delta in talk.deltas("a"))


async def test_calls_and_results_go_back_into_the_prompt_and_the_front_is_reused(
    tmp_path: Path,
) -> None:
    async with running(MINI, tmp_path, n_ctx=4096) as talk:
        call = await forced(talk, "a")
        first = talk.done("a")
        assert first is not None
        again = after(call, "Ada works at Halo Labs.")
        await talk.client.generate("a", again, GREEDY)
        await talk.finish(["a"], after=1)
        second = talk.done("a")
        assert second is not None and second.reason in ("stop", "length")
        assert second.prompt_tokens > first.prompt_tokens
        assert second.cached_tokens >= first.prompt_tokens - 1, "the whole first prompt is reused"


async def test_agents_with_the_same_tools_share_their_cells(tmp_path: Path) -> None:
    async with running(MINI, tmp_path, n_ctx=4096) as talk:
        await talk.client.open("a")
        await talk.client.generate("a", asked(), GREEDY)
        await talk.finish(["a"])
        await talk.client.open("b")
        await talk.client.generate("b", asked("You are Grace, and quite another agent."), GREEDY)
        await talk.finish(["b"])
        tools = await talk.client.tokenize((Message("system", "", tools=(RECALL, NOW)),))
        other = talk.done("b")
        assert other is not None and other.cached_tokens >= tools - 8
        cache: CacheMap = await talk.cache()
        assert cache.shared >= tools - 8


async def test_a_forced_call_goes_on_after_the_core_was_killed(
    tmp_path: Path, slow_core: Pace
) -> None:
    slow_core.free()
    long = Sampling(temperature=0, max_tokens=400)
    async with running(MINI, tmp_path, n_ctx=4096) as talk:
        whole = await forced(talk, "a", long)
    slow_core.slow(1.0)
    async with running(MINI, tmp_path, n_ctx=4096) as talk:
        await talk.client.open("a")
        await talk.client.generate("a", asked(), long, must_call=True)
        await until(lambda: len(talk.tokens("a")) > 4, what="for some tokens")
        assert talk.client.pid is not None
        os.kill(talk.client.pid, signal.SIGKILL)
        await until(lambda: talk.all(CoreDied), what="for the news")
        slow_core.free()
        assert not talk.all(Done), "it has to be in the middle of its call"
        await talk.finish(["a"])
        done = talk.done("a")
        assert done is not None and done.calls == (whole,)


async def test_without_a_tool_there_is_nothing_to_force(tmp_path: Path) -> None:
    async with running(MINI, tmp_path) as talk:
        await talk.client.open("a")
        with pytest.raises(EngineError, match="no tool"):
            await talk.client.generate("a", (Message("user", "Hi."),), GREEDY, must_call=True)


async def test_what_looks_like_a_call_is_text_where_no_tool_was_offered(tmp_path: Path) -> None:
    written = '<tool_call>{"name": "now", "arguments": {}}</tool_call>'
    quoted = written.replace('"', '\\"')
    exact = Sampling(temperature=0, max_tokens=99, grammar=f'root ::= "{quoted}"')
    async with running(MINI, tmp_path) as talk:
        await talk.client.open("a")
        await talk.client.generate("a", (Message("user", "Hi."),), exact)
        await talk.finish(["a"])
        done = talk.done("a")
        assert done is not None and done.text == written and not done.calls
        await talk.client.generate("a", asked(), exact)
        await talk.finish(["a"], after=1)
        done = talk.done("a")
        assert done is not None and done.text == "" and done.calls == (ToolCall("now", "{}"),)


def long_talk() -> tuple[Message, ...]:
    """A conversation with a call in it, long enough to be compacted."""
    said = [m for m in recall.load(2000)[0].messages if m.role != "system"]
    call = ToolCall("recall", '{"question": "Where does Ada work?"}', id="abcdefgh1")
    return (
        Message("system", "You are Ada.", tools=(RECALL, NOW)),
        *said,
        Message("user", "Where does Ada work?"),
        Message("assistant", "", calls=(call,)),
        Message("tool", "Ada works at Halo Labs.", name="recall", call_id=call.id),
    )


async def test_a_session_with_tools_is_studied_and_compacted(tmp_path: Path) -> None:
    async with running(MINI, tmp_path, n_ctx=8192, compaction=CompactionConfig(auto=False)) as talk:
        await talk.client.open("a")
        await talk.client.generate("a", long_talk(), GREEDY)
        await talk.finish(["a"])
        ended = await talk.compact("a", ratio=8.0)
        assert ended.phase == "done" and "recap" in ended.source, ended
        before = talk.done("a")
        assert before is not None
        again = (*long_talk(), Message("assistant", before.text), Message("user", "Thanks."))
        await talk.client.generate("a", again, GREEDY)
        await talk.finish(["a"], after=1)
        after = talk.done("a")
        assert after is not None and after.cells < before.cells - 500
        assert after.cached_tokens > before.prompt_tokens - 8, "tools and calls are read once"


async def test_a_snapshot_of_a_session_with_tools_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "one.halo"
    async with running(MINI, tmp_path, n_ctx=8192) as talk:
        await talk.client.open("a")
        await talk.client.generate("a", long_talk(), GREEDY)
        await talk.finish(["a"])
        first = talk.done("a")
        assert first is not None
        await talk.client.save("a", path, b"{}")
    async with running(MINI, tmp_path, n_ctx=8192) as talk:
        await talk.client.open("b")
        assert await talk.client.restore("b", path) >= first.prompt_tokens
        again = (*long_talk(), Message("assistant", first.text), Message("user", "Thanks."))
        await talk.client.generate("b", again, GREEDY)
        await talk.finish(["b"])
        second = talk.done("b")
        assert second is not None and second.cached_tokens >= first.prompt_tokens


@pytest.mark.parametrize(
    ("template", "format"),
    [
        ("hermes", "hermes"),
        ("xml", "xml"),
        ("keys", "keys"),
        ("llama", "llama"),
        ("mistral", "mistral"),
        ("mistral-args", "mistral"),
        ("harmony", "harmony"),
    ],
)
async def test_every_format_goes_round(template: str, format: str, tmp_path: Path) -> None:
    """Its template, the grammar of a call, the parser, and the call back in the template."""
    source = (TEMPLATES / f"{template}.jinja").read_text()
    model = tiny("llama", chat_template=source)
    sampling = Sampling(temperature=1.0, seed=3, max_tokens=1000)
    async with running(model, tmp_path, n_ctx=8192) as talk:
        assert talk.client.ready is not None
        assert (talk.client.ready.call_format, talk.client.ready.knows_tools) == (format, True)
        call = await forced(talk, "a", sampling)
        assert call.name in ("recall", "now") and not call.fault, call
        given = json.loads(call.arguments)
        assert set(given) <= {"question", "k"}
        assert call.name == "now" or given["question"]
        again = after(call, "Halo Labs.")
        await talk.client.generate("a", again, GREEDY)
        await talk.finish(["a"], after=1)
        second = talk.done("a")
        assert second is not None and second.reason in ("stop", "length"), second
