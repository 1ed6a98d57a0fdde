"""A real core through random requests: compaction, forks, swapping, saving, cancelling, failing steps.

After every turn the ledger is compared with llama.cpp's cells: none is leaked, none has a bias that
is not a compacted session's, nobody waits for what does not exist.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from engine import seam
from engine.config import CompactionConfig, SessionsConfig
from engine.core.runner import NO_SLOT
from engine.core.sequence import Phase, Sequence
from engine.protocol import (
    Cancel,
    CancelCompaction,
    Close,
    Compact,
    Compaction,
    Delta,
    Deltas,
    Done,
    Fork,
    Generate,
    Note,
    Open,
    Pin,
    Restore,
    Sampling,
    Save,
    Swap,
)
from tests.support.engine import CHATML, chat
from tests.support.mkgguf import tiny
from tests.support.stepped import SteppedCore

pytestmark = pytest.mark.timeout(600)

NAMES = "abc"
WORDS = ["The quick brown fox jumps over the lazy dog. ", "Pack my box with five jugs. ", "Hello! "]
ASKED = "What do you know about foxes and dogs?"
FIXED = CompactionConfig(
    method="am-attention", ratio=4.0, keep_recent=32, min_span=48, study="recap", study_tokens=24,
    study_samples=3, study_ahead=0.7, threshold=0.7, queries=96,
)  # fmt: skip
ENGINE: dict[str, Any] = {"n_ctx": 1024, "n_batch": 96, "prefill_chunk": 48, "max_sessions": 8}


class World:
    """A core and what was asked of it."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder = folder
        self.core = SteppedCore(
            model, folder, compaction=FIXED, sessions=SessionsConfig(swap_memory_mib=1), **ENGINE
        )
        self.said: dict[str, list[str]] = {}
        self.accepted: dict[str, int] = {}
        self.fails, self.code = 0, 0  # steps that llama.cpp will refuse, and how
        context = self.core.core._context
        self.compute = context.compute
        context.compute = self.step  # type: ignore[method-assign]

    def step(self, step: Any) -> int:
        if self.fails:
            self.fails -= 1
            return self.code
        return self.compute(step)

    # --- what may be asked ------------------------------------------------------------------------

    def say(self, name: str, word: int, times: int, count: int, keep: int) -> None:
        """Go on from the first `keep` messages of what was said; the rest is edited away."""
        said = self.said.setdefault(name, [])
        del said[2 * keep :]
        text = WORDS[word] * times
        self.core.send(Open, session=name)
        number = self.core.send(
            Generate, session=name, messages=chat(*said, text),
            sampling=Sampling(temperature=1.0, seed=word, max_tokens=count, ignore_eos=True),
        )  # fmt: skip
        self.turn(1)
        reply = self.core.reply(number)
        assert reply is not None
        if reply.ok:
            self.accepted[name] = self.accepted.get(name, 0) + 1
            said += [text, "I see."]

    def request(self, kind: Any, name: str, **fields: Any) -> None:
        self.core.send(kind, session=name, **fields)
        self.turn(1)
        if kind is Close:
            self.said.pop(name, None)

    def fork(self, name: str, source: str) -> None:
        self.core.send(Open, session=name)
        number = self.core.send(Fork, session=name, source=source)
        self.turn(1)
        reply = self.core.reply(number)
        if reply is not None and reply.ok and reply.value:
            self.said[name] = list(self.said.get(source, []))

    def save(self, name: str) -> None:
        self.request(Save, name, path=str(self.folder / f"{name}.halo"), talk=b"{}")

    def restore(self, name: str, source: str) -> None:
        self.core.send(Open, session=name)
        self.request(Restore, name, path=str(self.folder / f"{source}.halo"))

    def fail(self, steps: int, code: int) -> None:
        self.fails, self.code = steps, code

    def threshold(self, share: float) -> None:
        self.core.compactor.configure("threshold", share)

    # --- what must be so --------------------------------------------------------------------------

    def turn(self, count: int) -> None:
        for _ in range(count):
            self.core.turn()
            self.check()

    def sequences(self) -> list[Sequence]:
        pools = self.core.scheduler.pools
        return [*pools.running, *pools.idle, *pools.kept, *(s for s in pools.queue if s.held)]

    def check(self) -> None:
        core, ledger = self.core.core, self.core.scheduler.cells
        context, job = core._context, self.core.compactor.job
        everyone = self.sequences()
        assert len({id(s) for s in everyone}) == len(everyone)
        slots = [s.slot for s in everyone if s.slot >= 0]
        assert len(set(slots)) == len(slots) and ledger.free_slots == ledger.slots - len(slots)
        rows = {cell for slot in slots for cell in ledger.row(slot)}
        assert ledger.used == len(rows), "cells are leaked"
        layers = context.layers()
        real: set[int] = set()
        for sequence in everyone:
            if sequence.slot < 0:
                continue
            cells, pos, _ = seam.cells_of(context.pointer, sequence.slot)
            real |= set(cells.tolist())
            assert len(cells) == len(ledger.row(sequence.slot)), (sequence, len(cells))
            assert len(cells) == sequence.cells_of(sequence.held), sequence
            assert len(set(pos.tolist())) == len(pos)
            if len(pos):
                assert pos.max() == sequence.position(sequence.held) - 1, sequence
            fold = sequence.fold
            own = (
                pos < 0 if fold is None
                else (pos >= fold.start) & (pos < fold.end - fold.shift)
            )  # fmt: skip
            for index, info in enumerate(layers):
                beta = seam.get_bias(context.pointer, index, info, cells)
                assert not beta[:, ~own].any(), f"{sequence} has a stale bias"
            assert sequence.guard == 0 or (job is not None and job.sequence is sequence), sequence
            assert not sequence.hold or job is not None, f"{sequence} waits for nothing"
        assert len(real) == ledger.used, "llama.cpp holds other cells"
        for name, sequence in core._sessions.items():
            if sequence.phase is Phase.IDLE:
                assert sequence.payload is None, name

    def finish(self) -> None:
        self.core.until(self.at_rest, "for everybody", 60)
        self.check()
        for phase in sorted({c.phase for c in self.core.all(Compaction)}):
            event(f"compaction {phase}")
        for kind in {n.text.split(",")[0][:20] for n in self.core.all(Note)}:
            event(kind)
        for name, count in self.accepted.items():
            assert len([d for d in self.core.all(Done) if d.session == name]) == count, name

    def at_rest(self) -> bool:
        core = self.core.core
        return not (
            self.core.scheduler.busy or core._archive.pending or core._vault.pending
            or self.core.compactor.pending
        )  # fmt: skip

    def first_words(self) -> list[tuple[int, float]]:
        """Tokens and log-probabilities of an answer that owes nothing to what was before."""
        self.core.answer("z", ASKED, sampling=Sampling(temperature=0.0, max_tokens=6, logprobs=1))
        deltas: list[Delta] = [
            d for e in self.core.all(Deltas) for d in e.items if d.session == "z"
        ]
        return [(p[0].token, p[0].logprob) for d in deltas for p in d.logprobs]


@pytest.fixture(scope="module", params=["qwen3", "gemma3", "lfm2"])
def model(request: pytest.FixtureRequest) -> Path:
    """Plain cells, a sliding window beside them, a recurrent state beside them."""
    return tiny(request.param, chat_template=CHATML)


@pytest.fixture(scope="module")
def expected(model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[int, float]]:
    world = World(tmp_path_factory.mktemp("alone"), model)
    with world.core:
        return world.first_words()


name = st.sampled_from(NAMES)
OPS = st.one_of(
    st.tuples(st.just("say"), name, st.integers(0, 2), st.integers(1, 10), st.integers(1, 40), st.integers(0, 4)),
    st.tuples(st.just("say"), name, st.just(0), st.integers(6, 14), st.integers(1, 8), st.just(9)),
    st.tuples(st.just("turn"), st.integers(1, 40)),
    st.tuples(st.just("request"), st.just(Compact), name, st.just(4.0)),
    st.tuples(st.just("request"), st.sampled_from([Cancel, CancelCompaction, Close]), name),
    st.tuples(st.just("request"), st.just(Swap), name, st.booleans()),
    st.tuples(st.just("request"), st.just(Pin), name, st.booleans()),
    st.tuples(st.just("fork"), name, name),
    st.tuples(st.just("save"), name),
    st.tuples(st.just("restore"), name, name),
    st.tuples(st.just("fail"), st.integers(1, 4), st.sampled_from([NO_SLOT, -3])),
    st.tuples(st.just("threshold"), st.sampled_from([0.2, 0.5, 0.7, 0.9])),
)  # fmt: skip


def play(world: World, ops: list[tuple[Any, ...]]) -> None:
    for op, *rest in ops:
        if op == "request":
            kind, who, *value = rest
            fields = {Compact: "ratio", Swap: "out", Pin: "on"}
            world.request(kind, who, **({fields[kind]: value[0]} if value else {}))
        else:
            getattr(world, op)(*rest)
    world.finish()


@settings(
    max_examples=25, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(st.lists(OPS, min_size=3, max_size=30))
def test_whatever_is_asked(
    model: Path, expected: list[tuple[int, float]], ops: list[tuple[Any, ...]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), model)
        with world.core:
            play(world, ops)
            world.fails = 0
            world.threshold(0.9)
            found = world.first_words()
            assert [t for t, _ in found] == [t for t, _ in expected]
            assert [p for _, p in found] == pytest.approx([p for _, p in expected], abs=0.05)
            for one in list(world.core.core._sessions):
                world.request(Close, one)
            while world.core.scheduler.cache.evict_kept():
                pass
            assert world.core.scheduler.cells.used == 0
            assert world.core.scheduler.cells.free_slots == ENGINE["max_sessions"]
