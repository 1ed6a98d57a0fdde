"""Compaction in a real core: sessions outgrow the context, nobody is stalled or robbed."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.client import CoreDied
from engine.config import CompactionConfig
from engine.core.runner import Context
from engine.core.scheduler import Step
from engine.errors import EngineError
from engine.protocol import CacheMap, Compaction, Done, Generate, Open, Sampling, Studied
from tests.support.engine import CHATML, GREEDY, InProcessCore, Wire, chat, running
from tests.support.mkgguf import ARCHITECTURES, tiny
from tests.support.pace import Pace
from tests.support.waiting import until

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(240)]

LONG = "The quick brown fox jumps over the lazy dog again. " * 20
LONGER = Sampling(temperature=0.0, max_tokens=400, ignore_eos=True)
SMALL = CompactionConfig(
    method="am-attention", ratio=4.0, keep_recent=48, min_span=64, study="off", queries=128
)


def with_(**changes: Any) -> CompactionConfig:
    return msgspec.structs.replace(SMALL, **changes)


def model(arch: str = "qwen3") -> Path:
    return tiny(arch, chat_template=CHATML)


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("method", ["am-attention", "evict-attention", "evict-recent"])
async def test_a_session_shrinks_and_goes_on(arch: str, method: str, tmp_path: Path) -> None:
    async with running(model(arch), tmp_path, n_ctx=4096, compaction=SMALL) as talk:
        await talk.answer("ada", LONG[:700])
        before = (await talk.cache()).cells["ada"]
        event = await talk.compact("ada", 4.0, method)
        assert event.phase == "done", event
        assert event.cells_after == pytest.approx(event.cells_before / 4, abs=1)
        assert len(event.by_layer) > 0 and event.queries > 0
        cache = await talk.cache()
        assert cache.cells["ada"] == before - event.cells_before + event.cells_after
        assert cache.used == cache.cells["ada"]
        assert cache.folded == {"ada": (event.end - event.start, event.cells_after)}
        assert sum(s.length for s in cache.compacted) == event.cells_after
        # What was said goes on from there: nothing is computed again.
        text = talk.done("ada").text  # type: ignore[union-attr]
        done = await talk.answer("ada", LONG[:700], text, "And then?")
        assert done.reason in ("length", "stop")
        if arch != "lfm2":  # recurrent state cannot go back to where the texts part
            assert done.cached_tokens > event.end


async def test_a_ratio_of_one_changes_no_answer(tmp_path: Path) -> None:
    unfitted = with_(beta=False, values=False, auto=False)
    answers = []
    for compacts in (False, True):
        async with running(model(), tmp_path, compaction=unfitted) as talk:
            await talk.client.configure("compaction.auto", True)
            await talk.answer("ada", LONG)
            if compacts:
                event = await talk.compact("ada", 1.0)
                assert event.cells_after == event.cells_before
            answers.append(await talk.answer("ada", LONG, "I see.", "And then?"))
    assert answers[0].text == answers[1].text
    assert answers[1].cached_tokens > 900


async def test_conversations_outgrow_the_context(tmp_path: Path) -> None:
    """Three agents talk on in a context that holds a fraction of what they say."""
    async with running(
        tiny("qwen3", chat_template=CHATML), tmp_path, n_ctx=1024, compaction=with_(threshold=0.7)
    ) as talk:
        said: dict[str, list[str]] = {name: [LONG[:600]] for name in ("ada", "bob", "eve")}
        for _ in range(5):
            before = len(talk.all(type(talk.done("ada")))) if talk.done("ada") else 0
            for name, texts in said.items():
                await talk.say(
                    name,
                    *texts,
                    sampling=msgspec.structs.replace(GREEDY, max_tokens=100, ignore_eos=True),
                )
            await talk.finish(list(said), after=before, seconds=120)
            for name, texts in said.items():
                done = talk.done(name)
                assert done is not None and done.reason == "length" and done.tokens == 100, done
                texts += [done.text, LONG[:500]]
        assert {c.phase for c in talk.compactions()} <= {"done", "cancelled"}
        assert sum(c.phase == "done" for c in talk.compactions()) >= 3
        assert talk.done("ada").prompt_tokens > 1024  # type: ignore[union-attr]
        assert all(c.used <= 1024 for c in talk.all(CacheMap))


async def test_a_conversation_longer_than_the_context_is_read_all_the_same(tmp_path: Path) -> None:
    part = LONG[:150]
    async with running(model(), tmp_path, n_ctx=512, compaction=SMALL) as talk:
        done = await talk.answer("ada", *[part, "Yes."] * 4, part, seconds=120)
        assert done.reason in ("length", "stop") and done.tokens > 0, done
        assert done.prompt_tokens > 700
        assert any(c.phase == "done" and c.trigger == "pressure" for c in talk.compactions())


@pytest.mark.parametrize("auto", [True, False])
async def test_a_prompt_that_cannot_be_read_as_it_is_is_refused(auto: bool, tmp_path: Path) -> None:
    async with running(model(), tmp_path, n_ctx=512, compaction=with_(auto=auto)) as talk:
        await talk.answer("ada", "Hi.")
        with pytest.raises(EngineError, match=r"prompt has 2,\d{3} tokens.* holds 512") as refused:
            await talk.say("ada", "Hi.", "Hello.", LONG * 2)
        assert refused.value.code == "too_long"
        assert "parts" in refused.value.remedy and "engine.n_ctx" in refused.value.remedy
        done = await talk.answer("ada", "Hi.", "Hello.", "And now?")
        assert done.tokens > 0


async def test_a_prompt_longer_than_the_training_is_refused(tmp_path: Path) -> None:
    path = tiny("qwen3", chat_template=CHATML, context=256)
    async with running(path, tmp_path, n_ctx=2048, compaction=SMALL) as talk:
        with pytest.raises(EngineError, match="trained on 256") as refused:
            await talk.say("ada", LONG)
        assert "n_ctx" not in refused.value.remedy, "a larger context would not help"


async def test_a_conversation_read_again_stays_within_the_positions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a crash: all of it at once, longer than the training, with cells in plenty."""
    path = tiny("qwen3", chat_template=CHATML, context=1024)
    highest: list[int] = []
    compute = Context.compute

    def watched(context: Context, step: Step) -> int:
        highest.extend(s.position(start + size - 1) for s, start, size in step.prefill)
        return compute(context, step)

    monkeypatch.setattr(Context, "compute", watched)
    core = InProcessCore(path, n_ctx=8192, compaction=with_(threshold=1.0))
    texts = [f"{n} {LONG[:300]}" for n in range(9)]
    wire = Wire(core.socket)
    core.start()
    try:
        wire.send(Open(1, "ada"))
        wire.send(Generate(2, "ada", chat(*texts), GREEDY))
        done = await asyncio.to_thread(wire.until, Done)
    finally:
        core.stop()
    assert isinstance(done, Done)
    assert done.reason in ("stop", "length") and done.prompt_tokens > 2000, done
    assert max(highest) < 1024


async def test_positions_near_the_trained_length_are_shifted(tmp_path: Path) -> None:
    path = tiny("qwen3", chat_template=CHATML, context=1024)
    async with running(path, tmp_path, n_ctx=1024, compaction=with_(threshold=0.5)) as talk:
        endless = msgspec.structs.replace(LONGER, max_tokens=2500)
        done = await talk.answer("ada", LONG[:400], sampling=endless, seconds=120)
        assert (done.reason, done.tokens) == ("length", 2500), done
        assert sum(c.phase == "done" for c in talk.compactions()) >= 3


async def test_a_compaction_for_want_of_positions_says_so(tmp_path: Path) -> None:
    """There are cells in plenty, and no limit of the session's own."""
    path = tiny("qwen3", chat_template=CHATML, context=1024)
    async with running(path, tmp_path, n_ctx=8192, compaction=with_(threshold=1.0)) as talk:
        endless = msgspec.structs.replace(LONGER, max_tokens=1200)
        await talk.answer("ada", LONG[:400], sampling=endless, seconds=120)
        assert {c.trigger for c in talk.compactions() if c.phase == "done"} == {"positions"}


async def test_six_rounds(tmp_path: Path) -> None:
    async with running(model(), tmp_path, compaction=with_(threshold=1.0)) as talk:
        texts = [LONG]
        for round_ in range(6):
            done = await talk.answer("ada", *texts)
            event = await talk.compact("ada", 2.0)
            assert event.phase == "done", event
            texts += [done.text, LONG[:800]]
            cache = await talk.cache()
            tokens, cells = cache.folded["ada"]
            assert tokens == event.end - event.start and cells == event.cells_after
            assert tokens / cells > 1.5 + 0.3 * round_
        assert (await talk.answer("ada", *texts)).tokens > 0


async def test_editing_inside_the_fold_reads_again_from_its_start(tmp_path: Path) -> None:
    async with running(model(), tmp_path, compaction=SMALL) as talk:
        want = await talk.answer("bob", LONG[:700], "Yes.", "Why?")
        await talk.client.close("bob")
        await talk.answer("ada", LONG[:700], "No. " * 60, "Never mind. " * 20)
        event = await talk.compact("ada", 4.0)
        assert event.end > 160
        done = await talk.answer("ada", LONG[:700], "Yes.", "Why?")
        assert done.text == want.text
        assert (await talk.cache()).folded == {}
        told = f"The {event.end - event.start:,} tokens that were compacted have changed"
        assert [note.startswith(told) for note in talk.notes()].count(True) == 1


async def test_shared_cells_are_left_alone(tmp_path: Path) -> None:
    system = "!" + LONG[:500]
    async with running(model(), tmp_path, compaction=SMALL) as talk:
        await talk.answer("ada", system, "One? " * 60)
        bob = await talk.answer("bob", system, "Two?")
        event = await talk.compact("ada", 4.0)
        cache = await talk.cache()
        assert event.start >= cache.shared > 100
        again = await talk.answer("bob", system, "Two?")
        assert again.text == bob.text


async def test_too_little_to_compact_is_said(tmp_path: Path) -> None:
    async with running(model(), tmp_path, compaction=SMALL) as talk:
        await talk.answer("ada", "Hi")
        with pytest.raises(EngineError, match="too few old cells"):
            await talk.client.compact("ada")
        with pytest.raises(EngineError, match="no way to compact"):
            await talk.client.compact("ada", 2.0, "magic")


async def test_what_is_compacted_already_is_said_to_be(tmp_path: Path) -> None:
    async with running(model(), tmp_path, compaction=with_(min_span=200)) as talk:
        await talk.answer("ada", LONG)
        event = await talk.compact("ada", 8.0)
        with pytest.raises(EngineError) as refused:
            await talk.client.compact("ada", 50.0)
        assert f"{event.cells_after} of them compacted already" in refused.value.what
        assert "200 are worth it" in refused.value.what


async def test_a_conversation_that_is_full_is_told_what_would_let_it_go_on(tmp_path: Path) -> None:
    """Compaction is switched off: to switch it on is the first remedy, and it is one."""
    part, off = LONG[:150], with_(auto=False)
    said = [part, "Yes."] * 4
    async with running(model(), tmp_path, n_ctx=512, compaction=off) as talk:
        with pytest.raises(EngineError, match="holds 512") as refused:
            await talk.say("ada", *said, part)
        assert refused.value.remedy.startswith("Have it compacted by itself (/auto on")
        await talk.answer("bob", part, sampling=LONGER, seconds=120)
        done = talk.done("bob")
        assert done is not None and done.reason == "length"
        assert "/auto on" in done.remedy
        await talk.client.configure("compaction.auto", True)
        assert (await talk.answer("ada", *said, part, seconds=120)).tokens > 0


async def test_a_compaction_that_somebody_stops_does_not_begin_again(
    tmp_path: Path, slow_core: Pace
) -> None:
    slow_core.free()
    slow = with_(study="recap", study_tokens=2000, keep_recent=16, study_ahead=1.0)
    async with running(model(), tmp_path, n_ctx=8192, compaction=slow) as talk:
        await talk.answer("ada", LONG * 2)
        slow_core.slow()
        await talk.client.configure("compaction.threshold", 0.05)
        await until(lambda: bool(talk.all(Compaction)), what="for its start")
        assert talk.all(Compaction)[0].trigger == "threshold"
        assert await talk.client.cancel_compaction("ada")
        slow_core.free()
        await talk.answer("bob", "Still there?")
        await asyncio.sleep(1.0)
        assert {c.number for c in talk.all(Compaction)} == {1}
        assert talk.all(Compaction)[-1].phase == "cancelled"
        await talk.client.configure("compaction.threshold", 0.04)  # asked for anew
        await until(lambda: talk.all(Compaction)[-1].number > 1, what="for the next")


@pytest.mark.parametrize("how", ["close", "edit", "fork", "cancel"])
async def test_what_changes_the_span_ends_the_compaction(
    how: str, tmp_path: Path, slow_core: Pace
) -> None:
    slow_core.free()
    async with running(model(), tmp_path, n_ctx=8192, compaction=SMALL) as talk:
        await talk.answer("ada", LONG * 2)
        await talk.client.open("eve")
        slow_core.slow()
        await talk.say("bob", "Count.", sampling=LONGER)
        await until(lambda: len(talk.tokens("bob")) > 2, what="for Bob")
        slow_core.slow(60.0)  # what is asked for during one step of his is heard after it
        asked: dict[str, Coroutine[Any, Any, object]] = {
            "close": talk.client.close("ada"),
            "edit": talk.client.generate("ada", chat("Something else."), GREEDY),
            "fork": talk.client.fork("eve", "ada"),  # its cells have two owners from then on
            "cancel": talk.client.cancel_compaction("ada"),
        }
        compacting = asyncio.create_task(talk.client.compact("ada", 4.0))
        asking = asyncio.create_task(asked.pop(how))
        for other in asked.values():
            other.close()
        await asyncio.sleep(0.01)
        slow_core.free()
        await compacting
        answer = await asking
        assert how not in ("cancel", "fork") or answer
        await until(lambda: bool(talk.compactions()), what="for its end")
        assert talk.compactions()[-1].phase == "cancelled", talk.compactions()[-1].what
        assert (await talk.answer("dan", "Still there?")).tokens > 0
        cache = await talk.cache()
        assert not cache.solving and "~study" not in cache.cells


async def test_the_core_dies_while_compacting(tmp_path: Path, slow_core: Pace) -> None:
    slow_core.free()
    slow = with_(study="recap", study_tokens=2000)
    async with running(model(), tmp_path, n_ctx=8192, compaction=slow) as talk:
        first = await talk.answer("ada", LONG * 3)
        slow_core.slow(60.0)
        await talk.client.compact("ada", 4.0)
        await until(
            lambda: "study" in {e.phase for e in talk.all(Compaction)}, what="for its study"
        )
        assert talk.client.pid
        os.kill(talk.client.pid, signal.SIGKILL)
        await until(lambda: talk.all(CoreDied), what="for the news")
        slow_core.free()
        assert "done" not in {c.phase for c in talk.compactions()}
        done = await talk.answer("ada", LONG * 3, first.text, "And then?")
        assert done.tokens > 0


async def test_others_go_on_while_one_is_compacted(tmp_path: Path) -> None:
    async with running(
        model(), tmp_path, n_ctx=8192, compaction=with_(study="recap", study_tokens=64)
    ) as talk:
        await talk.answer("ada", LONG * 3)
        await talk.say("bob", "Count.", sampling=LONGER)
        await until(lambda: len(talk.tokens("bob")) > 5, what="for Bob")
        event = await talk.compact("ada", 8.0)
        assert event.phase == "done" and "recap" in event.source
        await talk.finish(["bob"], after=1)
        assert talk.done("bob").tokens == 400  # type: ignore[union-attr]


EARLY = with_(
    study="recap", study_tokens=48, study_samples=4, study_ahead=0.02, threshold=1.0, keep_recent=64
)


async def test_a_session_is_studied_before_its_limit(tmp_path: Path) -> None:
    async with running(model(), tmp_path, n_ctx=8192, compaction=EARLY) as talk:
        await talk.answer("ada", LONG * 3)
        await until(lambda: len(talk.all(Studied)) > 1, what="for the study and the solution")
        assert not talk.all(Compaction)
        found, solution = talk.all(Studied)
        assert not found.solved and solution.solved and solution.tokens <= found.tokens
        cache = await talk.cache()
        assert found.session == "ada" and found.queries >= 16
        assert not cache.solving and "~study" not in cache.cells
        event = await talk.compact("ada", 4.0)
        assert event.phase == "done" and "recap" in event.source
        assert event.end <= found.tokens
        assert "study" not in {e.phase for e in talk.all(Compaction)}
        assert (await talk.answer("ada", "And now?")).tokens > 0


async def test_a_session_is_solved_before_its_limit(tmp_path: Path) -> None:
    async with running(
        model(), tmp_path, n_ctx=8192, compaction=msgspec.structs.replace(EARLY, ratio=4.0)
    ) as talk:
        await talk.answer("ada", LONG * 3)
        await until(lambda: len(talk.all(Studied)) > 1, what="for the solution")
        *_, solution = talk.all(Studied)
        assert solution.solved and not talk.all(Compaction)
        before = await talk.cache()
        await talk.client.configure(
            "compaction.threshold", 0.25
        )  # now it is due, and not again after it
        await until(lambda: bool(talk.compactions()), what="for the landing")
        (event,) = talk.compactions()
        assert event.phase == "done" and event.trigger == "threshold" and "recap" in event.source
        assert [e.phase for e in talk.all(Compaction)] == ["started", "done"]
        assert event.end == solution.tokens and event.cells_before / event.cells_after > 3.5
        after = await talk.cache()
        assert after.cells["ada"] == before.cells["ada"] - event.cells_before + event.cells_after
        assert (await talk.answer("ada", "And now?")).tokens > 0


async def test_a_session_that_outgrew_its_solution_lands_it_first(tmp_path: Path) -> None:
    """A long paste: nobody waits until what was pasted is studied and solved too."""
    async with running(
        model(), tmp_path, n_ctx=8192, compaction=msgspec.structs.replace(EARLY, ratio=4.0)
    ) as talk:
        first = await talk.answer("ada", LONG * 2)
        await until(lambda: len(talk.all(Studied)) > 1, what="for the solution")
        *_, solution = talk.all(Studied)
        await talk.client.configure("compaction.study_ahead", 1.0)
        await talk.answer("ada", LONG * 2, first.text, LONG * 2)
        await talk.client.configure("compaction.threshold", 0.1)
        await until(lambda: bool(talk.compactions()), what="for the landing")
        event = talk.compactions()[0]
        assert event.phase == "done" and "recap" in event.source
        assert event.end == solution.tokens < event.start + 0.6 * first.prompt_tokens * 2
        assert [e.phase for e in talk.all(Compaction)][:2] == ["started", "done"]


async def test_a_limit_passed_while_it_is_solved_ahead(tmp_path: Path) -> None:
    async with running(
        model(), tmp_path, n_ctx=8192, compaction=msgspec.structs.replace(EARLY, ratio=4.0)
    ) as talk:
        await talk.say(
            "bob", "Count.", sampling=LONGER
        )  # nothing is left to who only gets the rest
        await talk.answer("ada", LONG * 3)
        await until(lambda: bool(talk.all(Studied)), what="for the study")
        await talk.client.configure("compaction.threshold", 0.05)
        await until(lambda: bool(talk.compactions()), what="for the landing")
        event = talk.compactions()[0]
        assert event.phase == "done" and event.cells_before / event.cells_after > 3.5
        assert (await talk.answer("ada", "And now?")).tokens > 0


async def test_a_span_that_others_share_by_now_is_not_landed_on(tmp_path: Path) -> None:
    async with running(
        model(), tmp_path, n_ctx=8192, compaction=msgspec.structs.replace(EARLY, ratio=4.0)
    ) as talk:
        await talk.say("bob", "Count.", sampling=LONGER)
        await talk.answer("ada", LONG * 3)
        await until(lambda: bool(talk.all(Studied)), what="for the study")
        core = talk.client.pid
        await talk.answer("eve", LONG * 3)  # reads what ada has
        await talk.client.configure("compaction.threshold", 0.05)
        await until(lambda: bool(talk.compactions()), what="for a landing")
        assert {e.phase for e in talk.compactions()} <= {"done", "cancelled"}
        assert (await talk.answer("ada", "And now?")).tokens > 0
        assert talk.client.pid == core


async def test_a_solution_for_another_ratio_is_not_used(tmp_path: Path) -> None:
    async with running(model(), tmp_path, n_ctx=8192, compaction=EARLY) as talk:
        await talk.answer("ada", LONG * 3)
        await until(lambda: len(talk.all(Studied)) > 1, what="for the solution")
        event = await talk.compact("ada", 7.0)
        assert event.phase == "done" and round(event.cells_before / event.cells_after) == 7
        assert "study" not in {e.phase for e in talk.all(Compaction)}


async def test_a_study_of_other_words_is_not_used(tmp_path: Path) -> None:
    async with running(model(), tmp_path, n_ctx=8192, compaction=EARLY) as talk:
        await talk.answer("ada", LONG * 3)
        await until(lambda: bool(talk.all(Studied)), what="for the study")
        await talk.client.configure("compaction.study_ahead", 1.0)
        await talk.answer("ada", "Something else. " + LONG * 2)
        event = await talk.compact("ada", 4.0)
        assert event.phase == "done"
        assert "study" in {e.phase for e in talk.all(Compaction)}


async def test_the_ratio_is_found_by_the_error(tmp_path: Path) -> None:
    bound = with_(ratio=0.0, max_error=0.5, max_ratio=20.0, keep_recent=16)
    async with running(model(), tmp_path, n_ctx=8192, compaction=bound) as talk:
        await talk.answer("ada", LONG * 3)
        event = await talk.compact("ada")
        assert event.phase == "done"
        assert event.error <= 0.5 or event.cells_before / event.cells_after < 2.1
        found = round(event.cells_before / event.cells_after)
        assert found in (2, 3, 5, 8, 12, 20)
        steps = [e for e in talk.all(Compaction) if e.phase == "solve" and e.total]
        assert steps and all(0 <= e.done <= e.total for e in steps)
        shares = [e.progress for e in steps]
        assert shares == sorted(shares) and shares[-1] > 0.4, shares
        assert steps[-1].cells_after == event.cells_after, "each step tells the ratio in hand"


async def test_no_number_of_rounds_goes_beyond_the_highest_ratio(tmp_path: Path) -> None:
    """By error bound each round looks only at the cells there are; the bound is for what was said."""
    bound = with_(ratio=0.0, max_error=1.0, max_ratio=8.0, keep_recent=128)
    async with running(model(), tmp_path, n_ctx=8192, compaction=bound) as talk:
        await talk.answer("ada", LONG * 3)
        assert (await talk.compact("ada")).ratio == pytest.approx(8.0, rel=0.05)
        done = talk.done("ada")
        assert done is not None
        await talk.answer("ada", LONG * 3, done.text, LONG)
        again = await talk.compact("ada")
        assert again.start == 4 and again.cells_before < again.end / 2, "the fold is in it"
        assert again.ratio <= 8.4, again.ratio
        assert again.cells_before / again.cells_after >= 2, "and no further than that"


async def test_settings_change_while_running(tmp_path: Path) -> None:
    async with running(model(), tmp_path, compaction=with_(auto=False)) as talk:
        await talk.client.configure("compaction.auto", True)
        await talk.client.configure("compaction.threshold", 0.05)
        await talk.answer("ada", LONG)
        await until(lambda: bool(talk.compactions()), what="for a compaction")
        with pytest.raises(EngineError, match="threshold"):
            await talk.client.configure("compaction.threshold", 7.0)
        with pytest.raises(EngineError, match="cannot be changed"):
            await talk.client.configure("compaction.profile", "x")
