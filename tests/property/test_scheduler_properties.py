"""Whatever people ask in whatever order, the scheduler keeps its promises."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.cells import Cells
from engine.core.frozen import Frozen
from engine.core.scheduler import Scheduler
from engine.core.sequence import Phase, Sequence
from engine.core.step import Step


class FakeMemory:
    """llama.cpp's unified memory: the tokens under each slot."""

    def __init__(self, partial: bool = True, fragile: bool = False) -> None:
        self.partial = partial
        self.fragile = fragile  # as sliding windows: copies and trims cannot be continued
        self.slots: dict[int, list[int]] = {}
        self.broken = False  # as llama.cpp when it does not accept a state

    def remove(self, slot: int, start: int) -> bool:
        if start and not self.partial:
            return False
        self.slots[slot] = self.slots.get(slot, [])[:start]
        return not (self.fragile and start)

    def copy(self, source: int, target: int, count: int) -> bool:
        assert self.partial
        assert not self.slots.get(target), "the target must be empty"
        if self.fragile:
            return False
        self.slots[target] = self.slots[source][:count]
        return True

    def load(self, slot: int, frozen: Frozen) -> bool:
        assert not self.slots.get(slot), "the slot must be empty"
        if self.broken:
            return False
        self.slots[slot] = list(frozen.state)
        return True


@dataclass
class World:
    """A scheduler with a fake model behind it, checked after every change."""

    total: int = 256
    slots: int = 4
    n_batch: int = 32
    prefill_chunk: int = 16
    partial: bool = True
    fragile: bool = False
    keep_closed: bool = True
    swaps: bool = False
    sessions: dict[str, Sequence] = field(default_factory=dict)
    wanted: dict[str, int] = field(default_factory=dict)  # length at which an answer ends
    finished: list[tuple[str, str]] = field(default_factory=list)
    steps: int = 0
    branches: list[Sequence] = field(default_factory=list)
    settles: bool = True  # a study that is cut short has heard enough

    def __post_init__(self) -> None:
        self.memory = FakeMemory(self.partial, self.fragile)
        self.cells = Cells(self.total, self.slots, self.memory)
        self.scheduler = Scheduler(
            self.cells, self.n_batch, self.prefill_chunk, self.total, self.keep_closed
        )
        self.scheduler.relief = self.relief
        self.snapshots: list[Frozen] = []
        self.pinned_cells: dict[str, list[int]] = {}
        if self.swaps:
            self.scheduler.cache.freeze = self.freeze

    def freeze(self, sequence: Sequence) -> Frozen:
        tokens = sequence.tokens[: sequence.held]
        state = list(self.memory.slots[sequence.slot])
        assert state == tokens
        copy = Frozen(sequence.name, tokens, None, (), len(tokens), state, len(tokens), None)  # type: ignore[arg-type]
        self.snapshots.append(copy)
        return copy

    def talk(self, name: str, cut: int, tail: list[int], answer: int) -> None:
        """Go on with what a session has, or with a part of it, to the end of the answer."""
        sequence = self.sessions.setdefault(name, Sequence(name))
        past = sequence.away.tokens if sequence.away is not None else sequence.tokens
        self.submit(name, past[: max(0, len(past) - cut)][: self.total - 80] + tail, answer)
        for _ in range(200):
            if sequence.phase is Phase.IDLE or sequence.loading:
                return
            self.step()

    def swap(self, name: str, out: bool) -> None:
        if (sequence := self.sessions.get(name)) is not None:
            held, away = sequence.held, sequence.away
            if out:
                done = self.scheduler.swap.out(sequence)
                assert done == (held >= WORTH and sequence.phase is Phase.IDLE)
            else:
                self.scheduler.swap.back(sequence)
                if away is not None and sequence.away is None and not self.memory.broken:
                    assert sequence.tokens[: sequence.held] == away.tokens
            self.check()

    def pin(self, name: str, on: bool) -> None:
        if (sequence := self.sessions.get(name)) is not None:
            self.scheduler.pin(sequence, on)

    def fork(self, name: str, source: str) -> None:
        origin = self.sessions.get(source)
        target = self.sessions.setdefault(name, Sequence(name))
        if origin is None or target is origin or target.held or target.phase is not Phase.IDLE:
            return
        if target.away is not None or not self.partial:
            return
        tokens = self.scheduler.cache.fork(origin, target)
        assert tokens in (0, origin.held)
        assert target.tokens[: target.held] == origin.tokens[:tokens]
        self.check()

    def arrive(self, name: str, which: int) -> None:
        """What was saved of anyone is restored into a session, which may be waiting for it."""
        sequence = self.sessions.setdefault(name, Sequence(name))
        if not self.snapshots or sequence.phase not in (Phase.IDLE, Phase.QUEUED):
            return
        if sequence.phase is Phase.QUEUED and not sequence.loading:
            return
        found = self.snapshots[which % len(self.snapshots)]
        self.scheduler.swap.arrived(sequence, replace(found) if which % 5 else None)
        self.check()

    def load(self, name: str) -> None:
        sequence = self.sessions.setdefault(name, Sequence(name))
        if sequence.phase is Phase.IDLE:
            sequence.loading = True

    def fail(self, on: bool) -> None:
        self.memory.broken = on

    def submit(self, name: str, prompt: list[int], answer: int) -> None:
        sequence = self.sessions.setdefault(name, Sequence(name))
        if sequence.phase is not Phase.IDLE or not 0 < len(prompt) < self.total:
            return
        self.scheduler.submit(sequence, prompt, len(prompt))
        self.wanted[name] = min(len(prompt) + answer, self.total)
        self.check()

    def cancel(self, name: str) -> None:
        if (sequence := self.sessions.get(name)) is not None:
            self.scheduler.stop(sequence)
            assert sequence.phase is Phase.IDLE
            assert sequence not in [*self.scheduler.pools.running, *self.scheduler.pools.queue]
            self.check()

    def close(self, name: str) -> None:
        if (sequence := self.sessions.pop(name, None)) is not None:
            self.scheduler.close(sequence)
            self.check()

    def study(self, name: str, count: int, tail: int) -> None:
        """Branches of a session speak, as before its compaction."""
        sequence = self.sessions.get(name)
        if sequence is None or not sequence.held or self.branches or not self.partial:
            return
        if sequence.phase not in (Phase.IDLE, Phase.DECODE):
            return
        for number in range(count):
            branch = Sequence(f"~study{number}")
            tokens = [*sequence.tokens[: sequence.held], *range(2000, 2000 + tail)]
            if not self.scheduler.branch(sequence, branch, tokens, sequence.held):
                break
            self.wanted[branch.name] = len(tokens) + 20
            self.branches.append(branch)

    def relief(self) -> bool:
        """Cells are short: a study ends, and either is copied out after the step, or gives up."""
        branches = [b for b in self.branches if b.phase is not Phase.IDLE]
        for branch in branches:
            if self.settles:
                self.scheduler.stop(branch)
            else:
                self.end(branch)
        return self.settles and bool(branches)

    def end(self, branch: Sequence) -> None:
        self.scheduler.end_branch(branch)
        self.branches.remove(branch)

    def focus(self, name: str) -> None:
        self.scheduler.focus = self.sessions.get(name)

    def step(self) -> Step:
        """Schedule, compute, sample."""
        scheduler = self.scheduler
        decoding = [s for s in scheduler.pools.running if s.phase is Phase.DECODE]
        pinned = self.pinned_before()
        step = scheduler.schedule()
        for name, held in pinned.items():
            assert self.sessions[name].held == held, "pinned cells stay"
        for sequence in scheduler.overfull:
            if sequence in self.branches:
                continue
            self.finished.append((sequence.name, "full"))
        scheduler.overfull.clear()
        scheduler.cache.happenings.clear()
        self.check_step(step, decoding)
        for sequence in step.decode:
            self.memory.slots.setdefault(sequence.slot, []).append(sequence.tokens[sequence.held])
        for sequence, start, count in step.prefill:
            row = self.memory.slots.setdefault(sequence.slot, [])
            assert len(row) == start
            row += sequence.tokens[start : start + count]
        scheduler.commit(step)
        self.steps += bool(step)
        self.check()
        for sequence in [*step.decode, *(chunk.sequence for chunk in step.prefill)]:
            if sequence.phase is Phase.DECODE and sequence.pending == 0:
                sequence.tokens.append(1000 + len(sequence.tokens))
                if len(sequence.tokens) >= self.wanted[sequence.name]:
                    scheduler.stop(sequence)
                    if sequence not in self.branches:
                        self.finished.append((sequence.name, "done"))
        for branch in [b for b in self.branches if b.phase in (Phase.IDLE, Phase.QUEUED)]:
            self.end(branch)  # it has said enough, or was preempted
        self.check()
        return step

    def pinned_before(self) -> dict[str, int]:
        return {
            s.name: s.held
            for s in self.sessions.values()
            if s.pinned and s.phase is Phase.IDLE and s.held
        }

    def check_step(self, step: Step, decoding: list[Sequence]) -> None:
        assert step.tokens <= self.n_batch
        at_work = [*step.decode, *(chunk.sequence for chunk in step.prefill)]
        assert all(s in self.scheduler.pools.running for s in at_work)
        names = [s.name for s in step.decode] + [c.sequence.name for c in step.prefill]
        assert len(names) == len(set(names)), "a sequence stands in a step once"
        if step.decode:
            assert sum(c.size for c in step.prefill) <= self.prefill_chunk
        if self.scheduler.waiting:
            return  # relief is near
        still = [s for s in decoding if s.phase is Phase.DECODE and s not in self.branches]
        if len(still) + 16 <= self.n_batch:
            assert {s.name for s in still} <= {s.name for s in step.decode}, "decode comes first"
        waits = (
            all(s.loading for s in self.scheduler.pools.queue) and not self.scheduler.pools.running
        )
        if self.scheduler.busy and not waits and not self.hemmed_in():
            assert step, "there is work, so there is a step"

    def hemmed_in(self) -> bool:
        """Whether pinned sessions hold what the others would need."""
        return not self.scheduler.pools.running and any(s.pinned for s in self.scheduler.pools.idle)

    def check(self) -> None:
        """What must hold between any two calls."""
        scheduler, cells = self.scheduler, self.cells
        pools = [
            *scheduler.pools.running,
            *scheduler.pools.queue,
            *scheduler.pools.idle,
            *scheduler.pools.kept,
        ]
        assert len(pools) == len({id(s) for s in pools}), "each sequence is in one pool"
        held = [s for s in pools if s.slot >= 0]
        assert len({s.slot for s in held}) == len(held) <= self.slots
        assert len(held) + cells.free_slots == self.slots, "no slot is lost"
        for sequence in held:
            assert self.memory.slots.get(sequence.slot, []) == sequence.tokens[: sequence.held]
            assert cells.held(sequence.slot) == sequence.held
        assert all(s.held == 0 for s in pools if s.slot < 0)
        referred = Counter(cell for s in held for cell in cells.row(s.slot))
        assert cells.used == len(referred) <= self.total
        assert all(cells.owners(cell) == count for cell, count in referred.items())
        for sequence in scheduler.pools.running:
            assert sequence.phase in (Phase.PREFILL, Phase.DECODE)
            assert sequence.away is None, "what runs has its cells in the cache"
        assert not any(s.away and s.held for s in self.sessions.values()), "either here or away"

    def run_out(self, most: int) -> None:
        """Step until nobody has anything to do; no more than `most` steps."""
        for _ in range(most):
            if not self.scheduler.busy:
                return
            self.step()
            for sequence in self.scheduler.pools.queue:
                assert sequence.reason, "who waits is told why"
        raise AssertionError(f"still busy after {most} steps: {self.scheduler.pools.running}")


WORTH = 8  # cells that are copied out, here
names = st.sampled_from(["ada", "grace", "alan", "edsger", "barbara", "donald"])
# Few distinct beginnings, so that prefixes are shared often.
prompts = st.builds(
    lambda base, keep, tail: ([base] * keep) + tail,
    st.integers(1, 3),
    st.integers(0, 120),
    st.lists(st.integers(1, 5), min_size=1, max_size=120),
)
operations = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), names, prompts, st.integers(1, 60)),
        st.tuples(st.just("step"), st.integers(1, 12)),
        st.tuples(st.just("cancel"), names),
        st.tuples(st.just("close"), names),
        st.tuples(st.just("focus"), names),
    ),
    min_size=8,
    max_size=40,
)
few = st.sampled_from(["ada", "grace", "alan"])
talk = st.tuples(
    st.just("talk"), few, st.integers(0, 40), st.lists(st.integers(1, 5), min_size=1, max_size=60),
    st.integers(1, 30),
)  # fmt: skip
moves = st.lists(
    st.one_of(
        talk,
        talk,
        st.tuples(st.just("submit"), few, prompts, st.integers(1, 60)),
        st.tuples(st.just("step"), st.integers(1, 12)),
        st.tuples(st.just("cancel"), few),
        st.tuples(st.just("swap"), few, st.booleans()),
        st.tuples(st.just("swap"), few, st.just(True)),
        st.one_of(
            st.tuples(st.just("close"), few),
            st.tuples(st.just("pin"), few, st.booleans()),
            st.tuples(st.just("fork"), few, names),
            st.tuples(st.just("load"), few),
            st.tuples(st.just("arrive"), few, st.integers(0, 20)),
            st.tuples(st.just("arrive"), few, st.integers(0, 20)),
            st.tuples(st.just("fail"), st.booleans()),
        ),
    ),
    min_size=8,
    max_size=60,
)
studies = st.lists(
    st.one_of(
        talk,
        st.tuples(st.just("submit"), few, prompts, st.integers(1, 60)),
        st.tuples(st.just("step"), st.integers(1, 3)),
        st.tuples(st.just("study"), few, st.integers(1, 4), st.integers(1, 60)),
        st.tuples(st.just("cancel"), few),
        st.tuples(st.just("focus"), few),
    ),
    min_size=8,
    max_size=40,
)
worlds = st.builds(
    World,
    total=st.sampled_from([250, 300, 600, 2000]),
    slots=st.integers(1, 6),
    n_batch=st.sampled_from([32, 64, 128]),
    prefill_chunk=st.sampled_from([16, 24, 64]),
    keep_closed=st.booleans(),
    # Plain, recurrent, and sliding-window memories.
    partial=st.just(True),
)
kinds = st.sampled_from([(True, False), (False, False), (True, True)])


@settings(max_examples=300, deadline=None)
@given(worlds, kinds, operations)
def test_promises_hold_whatever_comes(
    world: World, kind: tuple[bool, bool], ops: list[tuple[Any, ...]]
) -> None:
    world.partial, world.fragile = kind
    world.__post_init__()
    submitted = 0
    for op, *arguments in ops:
        if op == "step":
            for _ in range(arguments[0]):
                world.step()
        else:
            submitted += op == "submit"
            getattr(world, op)(*arguments)
    world.run_out(3000)
    assert len(world.finished) <= submitted


@settings(max_examples=400, deadline=None)
@given(worlds, kinds, moves)
def test_promises_hold_when_cells_leave_and_come_back(
    world: World, kind: tuple[bool, bool], ops: list[tuple[Any, ...]]
) -> None:
    world.partial, world.fragile = kind
    world.swaps = True
    world.__post_init__()
    with mock.patch("engine.core.kvcache.WORTH_FREEZING", WORTH):
        _go_through(world, ops)


@settings(max_examples=300, deadline=None)
@given(worlds, st.booleans(), studies)
def test_promises_hold_while_relief_ends_studies(
    world: World, settles: bool, ops: list[tuple[Any, ...]]
) -> None:
    world.settles = settles
    _go_through(world, ops)


def _go_through(world: World, ops: list[tuple[Any, ...]]) -> None:
    for op, *arguments in ops:
        if op == "step":
            for _ in range(arguments[0]):
                world.step()
        else:
            getattr(world, op)(*arguments)
    for sequence in world.sessions.values():
        world.scheduler.pin(sequence, False)
        if sequence.loading:
            world.scheduler.swap.arrived(sequence, None)
    world.run_out(3000)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 6), st.integers(10, 100), st.integers(20, 120), st.integers(1, 6))
def test_preemption_loses_nothing(agents: int, prompt: int, answer: int, slots: int) -> None:
    """More wanted than fits: everyone still gets the whole answer, or all the context holds."""
    world = World(total=256, slots=slots)
    for number in range(agents):
        world.submit(f"a{number}", [number + 1] * prompt, answer)
    world.run_out(20000)
    assert sorted(world.finished) == [(f"a{n}", "done") for n in range(agents)]
    for name, sequence in world.sessions.items():
        assert len(sequence.tokens) == world.wanted[name]
        generated = sequence.tokens[prompt:]
        assert generated == [1000 + prompt + i for i in range(len(generated))]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(40, 400), min_size=2, max_size=6), st.integers(0, 3))
def test_every_prefill_progresses_within_as_many_steps_as_there_are(
    lengths: list[int], decoders: int
) -> None:
    world = World(total=4096, slots=16)
    for number in range(decoders):
        world.submit(f"d{number}", [900 + number], 2000)
    world.step()
    for number, length in enumerate(lengths):
        world.submit(f"p{number}", [100 + number] * length, 5)
    waited: dict[str, int] = {}
    while any(s.phase is not Phase.IDLE for n, s in world.sessions.items() if n[0] == "p"):
        step = world.step()
        moved = {c.sequence.name for c in step.prefill}
        for sequence in world.scheduler.pools.running:
            if sequence.phase is Phase.PREFILL:
                name = sequence.name
                waited[name] = 0 if name in moved else waited.get(name, 0) + 1
                assert waited[name] <= len(lengths)


@given(st.integers(0, 4))
def test_the_focused_prefill_comes_first(position: int) -> None:
    world = World(total=8192, slots=8, n_batch=64)
    for number in range(5):
        world.submit(f"p{number}", [number + 1] * 300, 3)
    world.focus(f"p{position}")
    for _ in range(1000):
        world.step()
        done = [name for name, _ in world.finished]
        if done:
            break
    assert done == [f"p{position}"]


def test_a_full_batch_of_decoders_takes_turns_and_leaves_room_for_prompts() -> None:
    world = World(total=16384, slots=80, n_batch=32)
    for number in range(60):
        world.submit(f"d{number}", [number + 1, 7], 150)
    for _ in range(40):
        world.step()
    assert all(s.phase is Phase.DECODE for s in world.sessions.values())
    lengths = [len(s.tokens) for s in world.sessions.values()]
    for _ in range(20):
        world.step()
    gained = [len(s.tokens) - n for s, n in zip(world.sessions.values(), lengths, strict=True)]
    assert min(gained) >= 9, "20 steps of 32 for 60 sequences"
    world.run_out(10000)
    assert len(world.finished) == 60


@given(sessions=st.integers(0, 9), branches=st.integers(0, 16))
def test_a_study_takes_turns_beside_sessions_and_all_of_a_step_alone(
    sessions: int, branches: int
) -> None:
    scheduler = World(total=64, slots=4).scheduler
    everyone = [Sequence(f"a{n}") for n in range(sessions)]
    everyone += [Sequence(f"~study{n}") for n in range(branches)]
    chosen: list[str] = []
    for _ in range(16):
        step = scheduler._calm(everyone)
        own = [s.name for s in step if s.name.startswith("~")]
        assert len(step) - len(own) == sessions, "nobody waits for a study"
        assert len(own) <= (max(1, sessions // 2) if sessions else branches)
        chosen += own
    assert set(chosen) == {f"~study{n}" for n in range(branches)}, "each has its turn"


def test_a_prompt_that_just_fits_is_taken_though_no_reserve_is_left() -> None:
    world = World(total=256, slots=2)
    world.submit("idle", [1] * 100, 3)
    world.run_out(100)
    world.submit("ada", [2] * 255, 10)
    world.run_out(100)
    assert world.finished[-1] == ("ada", "done")


def test_what_was_trimmed_is_no_prefix_any_more() -> None:
    world = World(total=2048, slots=4)
    world.submit("ada", [*range(100)], 2)
    world.run_out(100)
    world.submit("grace", [7, 7], 2)  # someone asks, so that ada's cells are indexed
    world.run_out(100)
    world.submit("ada", [*range(20), 500, 501], 2)
    world.run_out(100)
    world.submit("alan", [*range(100)], 2)
    world.step()
    assert world.sessions["alan"].cached == 20


def test_kept_prefixes_go_before_idle_sessions_and_those_before_the_youngest() -> None:
    world = World(total=256, slots=8)
    world.submit("closed", [1] * 60, 1)
    world.run_out(100)
    world.submit("idle", [2] * 60, 1)
    world.run_out(100)
    world.close("closed")
    order: list[tuple[str, str]] = []
    for name, base in (("old", 3), ("young", 4)):
        world.submit(name, [base] * 50, 140)
    for _ in range(1000):
        if not world.scheduler.busy:
            break
        step = world.scheduler.schedule()
        order += [(h.kind, h.session) for h in world.scheduler.cache.happenings]
        world.scheduler.rollback(step)
        world.step()
    assert order[:3] == [("freed_kept", "closed"), ("freed_idle", "idle"), ("preempted", "young")]


def test_ten_agents_with_one_beginning_read_it_once() -> None:
    world = World(total=8192, slots=16, n_batch=64)
    system = list(range(1, 201))
    for number in range(10):
        world.submit(f"a{number}", [*system, 300 + number], 3)
    computed = 0
    while world.scheduler.busy:
        computed += sum(chunk.size for chunk in world.step().prefill)
    assert computed == len(system) + 10


def test_a_longer_prefix_elsewhere_replaces_ones_own_cells() -> None:
    world = World(total=2048, slots=4)
    world.submit("ada", [1] * 100, 2)
    world.run_out(100)
    world.submit("grace", [1] * 10 + [2] * 50, 2)
    world.run_out(100)
    world.submit("grace", [1] * 100 + [3], 2)
    world.step()
    assert world.sessions["grace"].cached == 100


def test_an_edit_in_the_middle_keeps_what_stands_before_it() -> None:
    world = World(total=2048, slots=4)
    world.submit("ada", [*range(100)], 2)
    world.run_out(100)
    world.submit("ada", [*range(60), 500, 501], 2)
    world.step()
    assert world.sessions["ada"].cached == 60


def test_recurrent_memories_only_continue() -> None:
    world = World(total=2048, slots=4, partial=False)
    world.submit("ada", [*range(50)], 3)
    world.run_out(100)
    held = world.sessions["ada"].held
    world.submit("ada", [*world.sessions["ada"].tokens, 7, 8], 2)
    world.step()
    assert world.sessions["ada"].cached == held
    world.run_out(100)
    world.submit("ada", [*range(40), 9], 2)
    world.step()
    assert world.sessions["ada"].cached == 0


def test_room_is_made_when_the_memory_is_fuller_than_the_ledger_says() -> None:
    world = World(total=1024, slots=4)
    world.submit("idle", [1] * 30, 1)
    world.run_out(50)
    world.submit("ada", [2] * 30, 5)
    step = world.scheduler.schedule()
    world.scheduler.rollback(step)
    assert world.scheduler.make_room()
    assert world.sessions["idle"].held == 0
    world.check()
    assert not world.scheduler.make_room(), "one running sequence alone makes no more room"


def test_after_the_memory_was_lost_everyone_reads_again() -> None:
    world = World(total=1024, slots=4)
    for name in ("ada", "grace"):
        world.submit(name, [len(name)] * 30, 20)
    for _ in range(5):
        world.step()
    world.submit("alan", [9] * 30, 20)
    world.scheduler.schedule()  # alan has a slot, but nothing computed: the step fails
    world.scheduler.forget()
    world.memory.slots.clear()
    assert world.cells.used == 0
    world.check()
    world.run_out(200)
    assert sorted(world.finished) == [("ada", "done"), ("alan", "done"), ("grace", "done")]


def test_growing_past_the_end_is_refused() -> None:
    cells = Cells(8, 1, FakeMemory())
    slot = cells.take_slot()
    with pytest.raises(ValueError, match="9 cells"):
        cells.grow(slot, 9)


def test_a_sequence_stopped_before_its_first_chunk_gives_its_slot_back() -> None:
    world = World(total=4096, slots=2, n_batch=32)
    world.submit("ada", [1] * 300, 3)
    world.submit("grace", [2] * 300, 3)
    world.step()
    assert world.sessions["grace"].held == 0
    world.cancel("grace")
    world.submit("alan", [3] * 10, 3)
    world.run_out(100)
    assert sorted(name for name, _ in world.finished) == ["ada", "alan"]


def test_who_waits_for_a_compaction_says_so_until_it_goes_on() -> None:
    scheduler = Scheduler(Cells(16, 4, FakeMemory()), 8, 8, 16)
    ada, bob = Sequence("ada"), Sequence("bob")
    scheduler.submit(bob, list(range(8)), 8)
    scheduler.commit(scheduler.schedule())
    scheduler.stop(bob)
    scheduler.relief = lambda: True  # a compaction is on its way
    scheduler.submit(ada, list(range(100, 112)), 12)
    for _ in range(2):  # what is free is read, then there is nothing
        assert not ada.reason
        step = scheduler.schedule()
        scheduler.commit(step)
    assert scheduler.waiting and not step and ada.phase is Phase.PREFILL
    assert "compaction is about to free cells" in ada.reason
    scheduler.relief = lambda: False
    step = scheduler.schedule()
    assert step.prefill and not ada.reason
