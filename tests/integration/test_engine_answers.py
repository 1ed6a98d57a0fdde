"""The core on real llama.cpp: batching, sharing and sampling change nothing in what is said."""

from __future__ import annotations

import json
import time
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from engine.client import EngineClient
from engine.config import CompactionConfig, Config
from engine.core.cells import Cells
from engine.core.model import Model
from engine.core.runner import Context
from engine.core.scheduler import Scheduler
from engine.core.sequence import Phase, Sequence
from engine.errors import EngineError
from engine.protocol import Deltas, Event, Sampling, State
from tests.support.engine import CHATML, GREEDY, Talk, chat, running, settings
from tests.support.mkgguf import ARCHITECTURES, tiny
from tests.support.pace import Pace
from tests.support.waiting import until

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(240)]

SYSTEM = "!" + "You answer briefly and never lie. " * 12
ENDLESS = "root ::= [a-z ] root"  # never complete, so an answer goes on to its limit


def model(arch: str = "llama") -> Path:
    return tiny(arch, chat_template=CHATML)


def probed(sampling: Sampling, logprobs: int = 2) -> Sampling:
    return msgspec.structs.replace(sampling, logprobs=logprobs)


def assert_same_answer(alone: Talk, together: Talk, session: str, name: str) -> int:
    """Equal token by token, up to the first choice that was a tie but for rounding.

    Returns how many tokens agreed.
    """
    one, other = alone.tokens(session), together.tokens(name)
    probabilities = [p for d in alone.deltas(session) for p in d.logprobs]
    for at, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            _, first, second = probabilities[at]
            margin = first.logprob - second.logprob
            assert margin < 0.02, f"token {at} differs although its margin is {margin}"
            return at
    return min(len(one), len(other))


@pytest.mark.parametrize("arch", ARCHITECTURES)
async def test_many_at_once_say_what_each_says_alone(arch: str, tmp_path: Path) -> None:
    prompts = {f"s{i}": (SYSTEM, f"Question {i}: " + "why? " * (3 * i)) for i in range(5)}
    # The five fill the cache of hybrid models, which share no prefix: nothing may be compacted.
    off = CompactionConfig(auto=False)
    async with running(model(arch), tmp_path, compaction=off) as alone:
        for name, texts in prompts.items():
            await alone.answer(name, *texts, sampling=probed(GREEDY))
            await alone.client.close(name)
        async with running(
            model(arch), tmp_path, compaction=off, n_batch=64, prefill_chunk=32
        ) as together:
            for name, texts in prompts.items():
                await together.say(name, *texts, sampling=probed(GREEDY))
            await together.finish(list(prompts))
            agreed = [assert_same_answer(alone, together, name, name) for name in prompts]
    assert sum(agreed) >= 3 * GREEDY.max_tokens, agreed


@pytest.mark.parametrize("arch", ARCHITECTURES)
async def test_a_reused_prefix_gives_the_same_logits_as_a_fresh_one(arch: str) -> None:
    """Share, trim and continue; compare the raw logits with a computation from nothing."""
    config = settings(model(arch)).engine
    weights = Model(model(arch), config)
    context = Context(weights, config)
    scheduler = Scheduler(Cells(context.n_ctx, 16, context), 512, 256, context.n_ctx)
    text = "The quick brown fox jumps over the lazy dog. " * 6
    base = weights.tokenize(text, False)

    def logits(sequence: Sequence, tokens: list[int]) -> list[float]:
        if sequence.phase is not Phase.IDLE:
            scheduler.stop(sequence)
        scheduler.submit(sequence, tokens, len(tokens))
        while sequence.phase is not Phase.DECODE:
            step = scheduler.schedule()
            assert context.compute(step) == 0
            scheduler.commit(step)
        values = context.logits(0).astype(float).tolist()
        scheduler.stop(sequence)
        return [float(v) for v in values]

    def close(a: list[float], b: list[float]) -> bool:
        return max(abs(x - y) for x, y in zip(a, b, strict=True)) < 0.05

    first, second, third = Sequence("first"), Sequence("second"), Sequence("third")
    logits(first, base)
    turn = [*base, *weights.tokenize(" And then?", False)]
    edited = [*base[:150], *weights.tokenize(" But no.", False)]
    continued = logits(first, turn)  # its own cells
    assert first.cached == len(base)
    shared = logits(second, edited)  # cells of another, the beginning only
    trimmed = logits(first, edited)  # its own cells, the tail cut off
    if context.partial:
        assert first.cached >= 150
        assert second.cached >= 150
        used = scheduler.cells.used
        assert used < len(edited) + len(edited) - 100, "the beginning is held once"
    for sequence in (first, second):
        scheduler.close(sequence)
    scheduler.keep_closed = False
    while scheduler.make_room():
        pass
    assert scheduler.cells.used == 0
    assert close(logits(third, turn), continued)
    fresh = Sequence("fresh")
    scheduler.close(third)
    while scheduler.make_room():
        pass
    expected = logits(fresh, edited)
    assert fresh.cached == 0
    assert close(expected, shared)
    assert close(expected, trimmed)
    context.close()
    weights.close()


async def test_ten_sessions_read_their_common_beginning_once(tmp_path: Path) -> None:
    names = [f"s{i}" for i in range(10)]
    async with running(model(), tmp_path) as talk:
        for name in names:
            await talk.say(name, SYSTEM, f"I am {name}.", sampling=GREEDY)
        await talk.finish(names)
        cached = [talk.done(name).cached_tokens for name in names]  # type: ignore[union-attr]
        prompt = talk.done("s0").prompt_tokens  # type: ignore[union-attr]
        assert cached[0] == 0
        assert min(cached[1:]) > prompt * 0.8
        cells = await talk.cache()
    assert cells.shared >= min(cached[1:])
    assert cells.used < 2 * prompt + 10 * (GREEDY.max_tokens + 30)
    assert cells.cells["s3"] > cells.shared, "shared cells count for everyone who refers to them"
    assert sum(length for _, length in cells.runs) == cells.total


async def test_the_next_turn_and_an_edit_reuse_what_is_unchanged(tmp_path: Path) -> None:
    async with running(model(), tmp_path) as talk:
        one = await talk.answer("ada", SYSTEM, "First question, quite long to be seen.")
        two = await talk.answer("ada", SYSTEM, "First question, quite long to be seen.", one.text,
                                "Second question.")  # fmt: skip
        assert two.cached_tokens >= one.prompt_tokens
        edited = await talk.answer("ada", SYSTEM, "Another first question.")
        assert 0 < edited.cached_tokens < one.prompt_tokens
        again = await talk.answer("ada", SYSTEM, "Another first question.")
        assert again.cached_tokens == again.prompt_tokens - 1
        assert again.text == edited.text


async def test_a_closed_session_leaves_its_prefix_to_the_next(tmp_path: Path) -> None:
    async with running(model(), tmp_path) as talk:
        await talk.answer("ada", SYSTEM, "Hello.")
        await talk.client.close("ada")
        assert (await talk.cache()).kept > 0
        again = await talk.answer("grace", SYSTEM, "Hello.")
        assert again.cached_tokens == again.prompt_tokens - 1
        await talk.client.configure("engine.keep_closed", False)
        await talk.client.close("grace")
        assert "grace" not in (await talk.cache()).cells


async def test_cancel_takes_effect_within_a_step(tmp_path: Path, slow_core: Pace) -> None:
    endless = Sampling(temperature=0, max_tokens=100000, grammar=ENDLESS, loop_tokens=0)
    async with running(model(), tmp_path) as talk:
        await talk.say("ada", "Talk on.", sampling=endless)
        await until(lambda: len(talk.tokens("ada")) > 5)
        await talk.client.cancel("ada")
        seen = len(talk.tokens("ada"))
        await talk.finish(["ada"])
        done = talk.done("ada")
        assert done is not None
        assert done.reason == "cancelled"
        assert done.text == talk.streamed("ada")
        # The reply overtakes at most what one flush had gathered.
        assert len(talk.tokens("ada")) - seen < 64
        assert talk.states("ada")[-1].state == "idle"
        await talk.client.cancel("ada")  # nothing to stop: no error
        assert (await talk.answer("ada", "And now?")).reason == "length"


@pytest.mark.parametrize("temperature", [0.7, 1.5])
async def test_seeds_repeat_answers(temperature: float, tmp_path: Path) -> None:
    random = Sampling(temperature=temperature, max_tokens=20)
    async with running(model(), tmp_path, keep_closed=False) as talk:

        async def ask(seed: int) -> tuple[str, int]:
            await talk.client.open("ada")
            done = await talk.answer(
                "ada", "Tell me.", sampling=msgspec.structs.replace(random, seed=seed)
            )
            await talk.client.close("ada")
            return done.text, done.seed

        assert await ask(5) == await ask(5)
        assert (await ask(6))[0] != (await ask(7))[0]
        text, drawn = await ask(-1)
        assert drawn >= 0
        assert await ask(drawn) == (text, drawn)


async def test_grammars_and_schemas_are_obeyed(tmp_path: Path) -> None:
    schema = json.dumps(
        {
            "type": "object",
            "properties": {"ok": {"type": "boolean"}, "n": {"enum": [1, 22]}},
            "required": ["ok", "n"],
        }
    )
    async with running(model(), tmp_path) as talk:
        grammar = Sampling(temperature=1.0, seed=3, max_tokens=50,
                           grammar='root ::= "yes, " ("Ada" | "Grace") "!"')  # fmt: skip
        done = await talk.answer("ada", "Who?", sampling=grammar)
        assert done.text in ("yes, Ada!", "yes, Grace!")
        assert done.reason == "stop"
        shaped = Sampling(temperature=1.0, seed=3, max_tokens=80, json_schema=schema)
        done = await talk.answer("ada", "Who?", sampling=shaped)
        value = json.loads(done.text)
        assert isinstance(value["ok"], bool)
        assert value["n"] in (1, 22)


@pytest.mark.parametrize(
    ("sampling", "word"),
    [
        (Sampling(grammar="root ::= ("), "grammar"),
        (Sampling(grammar='start ::= "a"'), "grammar"),
        (Sampling(json_schema="{"), "JSON"),
        (Sampling(json_schema="{}", grammar='root ::= "a"'), "both"),
    ],
)
async def test_bad_grammars_are_refused_with_a_sentence(
    sampling: Sampling, word: str, tmp_path: Path
) -> None:
    async with running(model(), tmp_path) as talk:
        await talk.client.open("ada")
        with pytest.raises(EngineError, match=word) as refused:
            await talk.client.generate("ada", chat("Hi."), sampling)
        assert refused.value.code == "bad_request"
        assert (await talk.answer("ada", "Hi.")).reason == "length"


async def test_logprobs_belong_to_the_tokens(tmp_path: Path) -> None:
    everything = Sampling(temperature=0, max_tokens=6, logprobs=20)
    async with running(model(), tmp_path) as talk:
        done = await talk.answer("ada", "Hi.", sampling=everything)
        probabilities = [p for d in talk.deltas("ada") for p in d.logprobs]
        assert len(probabilities) == done.tokens == len(talk.tokens("ada"))
        for token, (chosen, *best) in zip(talk.tokens("ada"), probabilities, strict=True):
            assert chosen.token == token == best[0].token, "greedy takes the likeliest"
            values = [p.logprob for p in best]
            assert values == sorted(values, reverse=True)
            assert all(v <= 0 for v in values)
            assert len(best) == 20


async def test_stop_strings_end_an_answer_and_are_not_shown(tmp_path: Path) -> None:
    async with running(model(), tmp_path) as talk:
        whole = await talk.answer("ada", "Hi.", sampling=GREEDY)
        stop = whole.text[8:11]
        assert stop.isprintable() and len(stop) == 3
        done = await talk.answer(
            "grace", "Hi.", sampling=msgspec.structs.replace(GREEDY, stop=(stop,))
        )
        assert done.reason == "stop"
        assert done.text == whole.text[: whole.text.index(stop)] == talk.streamed("grace")


async def test_penalties_change_what_is_said(tmp_path: Path) -> None:
    plain = Sampling(temperature=0, max_tokens=60)
    penalised = msgspec.structs.replace(plain, repeat_penalty=1.5, penalty_last_n=-1)
    async with running(model(), tmp_path) as talk:
        await talk.answer("ada", "Hi.", sampling=plain)
        await talk.answer("grace", "Hi.", sampling=penalised)
        assert len(set(talk.tokens("grace"))) > len(set(talk.tokens("ada")))


async def test_an_answer_that_only_repeats_itself_is_ended(tmp_path: Path) -> None:
    """A tiny model, always the likeliest token: it says two words for ever."""
    dull = Sampling(temperature=0, max_tokens=512, loop_tokens=64, grammar='root ::= "ab " root')
    async with running(model(), tmp_path) as talk:
        done = await talk.answer("ada", "Hi.", sampling=dull)
        assert done.reason == "loop" and 64 <= done.tokens < 128, done
        assert "repeated itself" in done.what and "repeat_penalty" in done.remedy
        kept = done.text[: -done.repeated]
        assert done.text == talk.streamed("ada") and kept and set(kept.split()) <= {"ab", "a"}
        assert len(kept) < len(done.text) // 2
        free = msgspec.structs.replace(dull, loop_tokens=0)
        assert (await talk.answer("ada", "Hi.", sampling=free)).reason == "length"
        measured = msgspec.structs.replace(dull, ignore_eos=True)
        assert (await talk.answer("ada", "Hi.", sampling=measured)).reason == "length"


async def test_control_names_in_messages_are_plain_text(tmp_path: Path) -> None:
    """Who writes an end-of-turn name gets its letters, not the token."""
    async with running(model(), tmp_path) as talk:
        plain = await talk.client.tokenize(chat("a</s>b"))
        base = await talk.client.tokenize(chat("ab"))
        assert plain - base >= len("</s>"), "the byte vocabulary spells it out"


async def test_a_text_is_counted_by_the_models_own_tokenizer(tmp_path: Path) -> None:
    weights = Model(model(), settings(model()).engine)
    async with running(model(), tmp_path) as talk:
        for text in ("", "Hi.", 'Tallinn, 東京 and </s>\n- "x"', "ü" * 300):
            assert await talk.client.count(text) == len(weights.tokenize(text, False))


async def test_refusals(tmp_path: Path, slow_core: Pace) -> None:
    exact = CompactionConfig(auto=False)  # else a long prompt is read all the same
    async with running(model(), tmp_path, n_ctx=512, compaction=exact) as talk:
        with pytest.raises(EngineError) as refused:
            await talk.client.generate("nobody", chat("Hi."))
        assert refused.value.code == "unknown_session"
        await talk.client.open("ada")
        with pytest.raises(EngineError) as refused:
            await talk.client.generate("ada", chat("word " * 2000))
        assert refused.value.code == "too_long"
        assert "512" in str(refused.value)
        assert "n_ctx" in refused.value.remedy
        await talk.say(
            "ada", "Hi.", sampling=Sampling(max_tokens=100000, grammar=ENDLESS, loop_tokens=0)
        )
        with pytest.raises(EngineError) as refused:
            await talk.client.generate("ada", chat("Hi."))
        assert refused.value.code == "busy"
        slow_core.free()
        await talk.finish(["ada"], seconds=120)
        done = talk.done("ada")
        assert done is not None
        assert done.reason == "length"
        assert "full" in done.what or "fits" in done.what
        with pytest.raises(EngineError) as refused:
            await talk.client.configure("engine.n_ctx", 12)
        assert refused.value.code == "bad_request"


async def test_a_full_cache_queues_pauses_and_completes(tmp_path: Path) -> None:
    """Six sessions want twice what is there: all finish, who waits is told why."""
    long = Sampling(temperature=0, max_tokens=150, grammar=ENDLESS, loop_tokens=0)
    names = [f"s{i}" for i in range(6)]
    async with running(model(), tmp_path, n_ctx=512) as talk:
        for number, name in enumerate(names):
            await talk.say(name, f"{number} " * 40, sampling=long)
        await talk.finish(names, seconds=200)
        for name in names:
            done = talk.done(name)
            assert done is not None
            assert done.reason == "length"
            assert done.tokens == 150
            assert done.text == talk.streamed(name), "nothing is repeated or lost"
        queued = [s for s in talk.all(State) if s.state == "queued"]
        assert queued
        assert all(s.reason.endswith(".") for s in queued)
        alone = await talk.answer(names[3], "3 " * 40, sampling=long)
        assert alone.text == talk.done(names[3]).text  # type: ignore[union-attr]


async def test_the_map_agrees_with_what_done_says(tmp_path: Path) -> None:
    async with running(model(), tmp_path) as talk:
        done = await talk.answer("ada", "Hi there.")
        cells = await talk.cache()
    assert cells.cells == {"ada": done.cells}
    assert cells.used == done.cells == sum(n for owner, n in cells.runs if owner == "ada")


async def test_while_answers_stream_the_core_is_not_watched_all_the_time(
    tmp_path: Path, slow_core: Pace
) -> None:
    """Whoever waits at the socket is woken at each send, often where the core computes."""
    slow_core.slow(0.005)  # some 2 s, wherever it runs
    endless = msgspec.structs.replace(GREEDY, max_tokens=400, grammar=ENDLESS, loop_tokens=0)
    async with running(model(), tmp_path) as talk:
        talk.client.pace(0.15)
        looks: list[float] = []

        def look(event: Event) -> None:
            if isinstance(event, Deltas) and (not looks or time.monotonic() - looks[-1] > 0.02):
                looks.append(time.monotonic())

        talk.client.subscribe(look)
        await talk.say("ada", "Go on.", sampling=endless)
        await talk.say("bob", "Go on.", sampling=endless)
        await talk.finish(["ada", "bob"])
        for name in ("ada", "bob"):
            done = talk.done(name)
            assert done is not None and done.text == talk.streamed(name), "nothing is lost"
        assert len(looks) > 3, "the answers are too short to tell"
        pauses = [b - a for a, b in pairwise(looks)]
        assert sorted(pauses)[len(pauses) // 4] > 0.12


async def test_without_a_setting_it_is_halo_mini(tmp_path: Path) -> None:
    config = Config()
    config.engine.threads = 2
    client = EngineClient(config, log_path=tmp_path / "core.log")
    talk = Talk(client)
    ready = await client.start()
    try:
        assert Path(ready.path).name == "halo-mini.gguf"
        assert ready.load_seconds < 10
        done = await talk.answer("ada", "Hi, I'm Ada.", sampling=GREEDY)
        assert done.text.strip()
        assert "<|im" not in done.text
        assert done.text == talk.streamed("ada")
    finally:
        await client.stop()
