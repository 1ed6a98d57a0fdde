"""A session that fills fast: what is read is studied where it stands, and nobody waits for all of it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from engine.config import CompactionConfig
from engine.core.model import Model
from engine.core.sequence import Phase
from engine.core.study import recap_tail
from engine.protocol import (
    Cancel,
    CancelCompaction,
    Close,
    Compact,
    Compaction,
    Done,
    Generate,
    Sampling,
    Studied,
)
from tests.support.engine import CHATML, GREEDY, chat
from tests.support.mkgguf import tiny
from tests.support.stepped import SteppedCore

pytestmark = pytest.mark.timeout(240)

WORDS = "The quick brown fox jumps over the lazy dog again. "
SMALL = CompactionConfig(
    method="am-attention", ratio=4.0, keep_recent=48, min_span=64, study="recap", study_tokens=32,
    study_samples=4, study_ahead=1.0, threshold=0.6, queries=128,
)  # fmt: skip
TALKING = Sampling(temperature=1.0, seed=3, max_tokens=2000, ignore_eos=True)


def with_(**changes: Any) -> CompactionConfig:
    return msgspec.structs.replace(SMALL, **changes)


def core(**changes: Any) -> SteppedCore:
    engine = {"n_ctx": 2048, "n_batch": 128, "prefill_chunk": 128, **changes.pop("engine", {})}
    return SteppedCore(tiny("qwen3", chat_template=CHATML), compaction=with_(**changes), **engine)


def landed(one: SteppedCore) -> list[Compaction]:
    return [c for c in one.all(Compaction) if c.phase == "done"]


def test_what_is_read_is_studied_where_it_stands_and_waits_for_it() -> None:
    with core() as one:
        one.say("bob", "Count.", sampling=TALKING)
        one.say("ada", WORDS * 26)
        one.until(lambda: one.session("ada").hold, "for the study")
        ada = one.session("ada")
        held = ada.held
        assert ada.phase is Phase.PREFILL and 0 < held < len(ada.tokens)
        assert one.compactor.branches and not landed(one)
        one.until(lambda: one.all(Studied), "for its end")
        assert ada.held == held, "it took cells that the study needs"
        one.until(lambda: landed(one), "for the landing")
        (event,) = landed(one)
        assert event.session == "ada" and event.source.startswith("recap") and event.end <= held
        one.until(lambda: any(d.session == "ada" for d in one.all(Done)), "for the answer")
        assert not ada.hold and one.session("bob").phase is Phase.DECODE


def test_a_question_sees_all_of_a_prompt_that_fits() -> None:
    with core(threshold=0.5) as one:
        done = one.answer("ada", WORDS * 24, sampling=msgspec.structs.replace(GREEDY, max_tokens=1))
        assert done.prompt_tokens > 0.5 * 2048
        assert not landed(one)
        one.until(lambda: landed(one), "for the compaction afterwards")
        assert "recap" in landed(one)[0].source


def test_what_follows_a_landing_needs_no_study_of_its_own() -> None:
    with core(engine={"n_ctx": 5120, "n_batch": 512}) as one:
        one.say("ada", WORDS * 38, "I see.", WORDS * 38, "I see.", WORDS * 16)
        one.until(lambda: len(landed(one)) == 1, "for a part")
        first = landed(one)[0]
        assert first.cells_before == 1024 and first.trigger == "threshold"
        studies = len(one.all(Studied))
        ada = one.session("ada")
        assert ada.studied is not None and ada.studied.start == first.end
        one.until(lambda: len(landed(one)) == 2, "for the next")
        second = landed(one)[1]
        assert (second.start, len(one.all(Studied))) == (first.end, studies)
        assert second.source.startswith("recap")
        one.until(lambda: one.all(Done), "for the answer")


@pytest.mark.parametrize("how", ["cancel", "close", "compaction"])
def test_who_waits_for_a_study_can_be_stopped(how: str) -> None:
    with core() as one:
        one.say("ada", WORDS * 26)
        one.until(lambda: one.session("ada").hold, "for the study")
        ada = one.session("ada")
        if how == "compaction":
            one.ask(CancelCompaction, session="ada")
            one.until(lambda: one.all(Done), "for the answer")
        else:
            one.ask(Cancel if how == "cancel" else Close, session="ada")
        one.until(lambda: one.compactor.job is None and not one.scheduler.busy, "for its end")
        assert not ada.hold
        assert one.answer("bob", "Still there?").tokens > 0


@pytest.mark.parametrize("how", ["edit", "close"])
def test_a_limit_passed_while_the_span_changes_lands_nothing_stale(how: str) -> None:
    """What was being solved ahead is about cells that are gone: a limit must not make it land."""
    with core(method="am-omp", study_ahead=0.02, threshold=0.99, ratio=8.0) as one:
        one.answer("ada", WORDS * 16)
        one.until(lambda: one.compactor.job and one.compactor.job.trigger == "solve", "to solve")
        job = one.compactor.job
        number = job.number
        assert not number, "only a preparation"
        if how == "edit":
            words = chat(WORDS * 4 + "Something else entirely. " * 20)
            one.send(Generate, session="ada", messages=words, sampling=GREEDY)
        else:
            one.send(Close, session="ada")
        # A limit is passed in the very turn in which the span changes.
        one.compactor._limits.configure(with_(threshold=0.05))
        one.turn()
        assert one.compactor.job is not job and job.number == number


def test_compacting_by_hand_while_a_study_is_prepared_takes_all_there_is() -> None:
    """The branches of the study share the span's cells until they end."""
    with core(study_ahead=0.02, threshold=0.99) as one:
        done = one.answer("ada", WORDS * 12)
        one.until(lambda: one.compactor.branches, "for the study ahead")
        reply = one.ask(Compact, session="ada", ratio=4.0)
        assert reply.ok and isinstance(reply.value, int), reply
        assert reply.value > 0.8 * done.prompt_tokens
        one.until(lambda: landed(one), "for the landing")


def test_a_session_at_its_last_position_waits_while_another_is_compacted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is not ended because somebody else's compaction is under way."""
    with core(threshold=0.99, engine={"n_ctx": 8192}) as one:
        one.answer("bob", "Another beginning. " + WORDS * 20)
        held = one.answer("ada", WORDS * 8).cells
        monkeypatch.setattr(Model, "n_ctx_train", held + 80)  # the next turn comes up to it
        assert one.ask(Compact, session="bob", ratio=4.0).ok
        many = Sampling(temperature=1.0, seed=1, max_tokens=200, ignore_eos=True)
        done = one.answer("ada", WORDS * 8, "I see.", "And then?", sampling=many)
        assert (done.reason, done.tokens) == ("length", 200) and not done.what
        assert {c.session for c in landed(one)} == {"ada", "bob"}


@pytest.mark.parametrize("ratio", [0.0, 6.0])
def test_cells_that_run_out_make_it_solve_a_part_within_the_bound_all_the_same(
    ratio: float,
) -> None:
    with core(
        method="am-omp", ratio=ratio, max_error=0.2, threshold=0.99, engine={"n_ctx": 4096}
    ) as one:
        one.answer("ada", WORDS * 40)
        one.compactor.configure("threshold", 0.5)
        one.until(lambda: one.compactor.job and one.compactor.job.worker, "for the solver")
        job = one.compactor.job
        assert job.part.cells > 2000 and not job.urgent
        assert one.compactor.relief() and one.compactor.job is job
        assert job.part.cells == 1024 and job.urgent and job.ratio == ratio
        one.until(lambda: landed(one), "for the landing")
        event = landed(one)[0]
        assert (event.number, event.cells_before) == (job.number, 1024)
        assert event.error <= 0.2 or event.cells_after == 512 or ratio
        assert not ratio or event.cells_after == round(1024 / ratio)


def test_a_ratio_that_was_set_is_kept_though_a_preparation_is_hurried() -> None:
    with core(
        method="am-omp", ratio=6.0, threshold=0.99, study_ahead=0.02, engine={"n_ctx": 4096}
    ) as one:
        one.answer("ada", WORDS * 40)
        one.until(lambda: one.compactor.job and one.compactor.job.trigger == "solve", "to solve")
        one.until(lambda: one.compactor.job.worker, "for the solver")
        one.compactor.configure("threshold", 0.5)
        one.turn()
        assert one.compactor.job.trigger == "threshold" and one.compactor.relief()
        one.until(lambda: landed(one), "for the landing")
        event = landed(one)[0]
        assert event.cells_after == round(event.cells_before / 6)


def test_a_recap_can_be_asked_for_in_the_middle_of_a_message() -> None:
    alternating = (
        "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('roles must alternate') }}{% endif %}<s>{{ m.role }}\n{{ m.content }}"
        "</s>\n{% endfor %}{% if add_generation_prompt %}<s>assistant\n{% endif %}"
    )
    for template in (CHATML, alternating):
        with SteppedCore(tiny("qwen3", chat_template=template), compaction=SMALL) as one:
            language = one.core._language
            tail = recap_tail(language)
            assert tail is not None
            text = b"".join(map(one.core._model.piece, tail)).decode().replace("▁", " ")
            assert "Ask yourself" in text and text.rstrip().endswith("assistant")
            # Where turns have to alternate it stands in the same turn as what was cut off.
            assert text.startswith("</s>" if template is CHATML else "\n\nAsk")
