"""Who computes which tokens in the next step; pure bookkeeping, llama.cpp is behind `Cells`.

A step takes at most `n_batch` tokens: one for each decoding sequence first, then chunks of
prompts. A sequence is admitted when its whole prompt fits beside what the running ones still
need. When cells run out all the same, the prefixes kept of closed sessions go first, then the
cells of idle sessions, then the youngest running sequence goes back into the queue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from engine.core.cells import Cells
from engine.core.radix import RadixIndex, common_prefix
from engine.core.sequence import Fold, Phase, Sequence

if TYPE_CHECKING:
    from engine.core.frozen import Frozen

RESERVE = 32  # cells a sequence should find free for its answer before it is admitted
WORTH_WAITING = 16  # prompt tokens another sequence must be about to compute to wait for it
WORTH_FREEZING = 64  # cells; fewer are computed again as fast as they are copied
FOCUS_SHARE = 0.75  # of the prefill budget, while others wait too
UNLIMITED = 1 << 30
PAUSED = "Paused so that others can finish; goes on when cells are free."


class Chunk(NamedTuple):
    """Prompt tokens `sequence.tokens[start : start + size]` of one step."""

    sequence: Sequence
    start: int
    size: int


@dataclass(slots=True)
class Step:
    """What to compute now. `decode` sequences add one token each, their last."""

    decode: list[Sequence] = field(default_factory=list)
    prefill: list[Chunk] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        return len(self.decode) + sum(chunk.size for chunk in self.prefill)

    def __bool__(self) -> bool:
        return bool(self.decode or self.prefill)


class Happening(NamedTuple):
    """Something the scheduler did that people want to know."""

    kind: str  # freed_kept | freed_idle | preempted | swapped | returned | unusable
    session: str
    cells: int


class Scheduler:
    """All sequences of one context. `schedule`, compute, then `commit` or `rollback`."""

    def __init__(
        self,
        cells: Cells,
        n_batch: int,
        prefill_chunk: int,
        max_length: int,
        keep_closed: bool = True,
    ) -> None:
        self.cells = cells
        self.n_batch = n_batch
        self.prefill_chunk = prefill_chunk
        self.max_length = min(max_length, cells.total)  # cells, positions of one sequence
        self.keep_closed = keep_closed
        self.focus: Sequence | None = None
        self.queue: list[Sequence] = []
        self.running: list[Sequence] = []  # in order of admission
        self.idle: list[Sequence] = []  # open, nothing to do, with cells
        self.kept: list[Sequence] = []  # closed, with cells
        self.happenings: list[Happening] = []
        self.overfull: list[Sequence] = []  # cannot go on: alone and out of cells
        # Asked when cells are short: whether some are about to become free by compaction.
        self.relief: Callable[[], bool] = lambda: False
        # Positions a sequence has left for what it reads, and whether there will be more when it has
        # none: at once, or when a compaction has landed.
        self.positions: Callable[[Sequence], int] = lambda sequence: UNLIMITED
        self.more_positions: Callable[[Sequence], bool] = lambda sequence: False
        self.waiting = False  # the last step was cut short by waiting for that
        # Copies an idle sequence's cells out before they are freed; None: they are lost.
        self.freeze: Callable[[Sequence], Frozen | None] = lambda sequence: None
        self._index = RadixIndex()
        self._clock = 0
        self._prefill_order: list[Sequence] = []
        self._decode_turn = 0
        self._branch_turn = 0
        self._hopeless: object = None  # the situation in which nobody could be admitted

    # --- requests -------------------------------------------------------------------------------

    def submit(self, sequence: Sequence, tokens: list[int], n_prompt: int) -> None:
        """Queue an idle sequence for computing `tokens`, then sampling.

        `n_prompt` of them are the prompt; more are there when an answer is continued. Cells whose
        tokens are still right stay. The caller checked `len(tokens) < max_length`.
        """
        if sequence.phase is not Phase.IDLE:
            raise ValueError(f"{sequence} is busy")
        if sequence in self.idle:
            self.idle.remove(sequence)
        if sequence.held:
            # The last token is computed again in any case: sampling needs its logits.
            common = min(common_prefix(sequence.tokens[: sequence.held], tokens), len(tokens) - 1)
            self._trim(sequence, common)
        sequence.tokens = list(tokens)
        sequence.n_prompt = n_prompt
        sequence.cached = 0
        sequence.preempted = False
        sequence.arrival = sequence.last_used = self._tick()
        sequence.phase = Phase.QUEUED
        sequence.reason = ""
        sequence.waits_for = None
        self.queue.append(sequence)

    def stop(self, sequence: Sequence) -> None:
        """End what a sequence does, at once; its cells stay for its next turn."""
        if sequence in self.queue:
            self.queue.remove(sequence)
        if sequence in self.running:
            self.running.remove(sequence)
        if sequence in self._prefill_order:
            self._prefill_order.remove(sequence)
        if sequence.held and sequence not in self.idle:
            self.idle.append(sequence)
        elif not sequence.held and sequence.slot >= 0:  # stopped before its first chunk
            self._drop(sequence)
        sequence.phase = Phase.IDLE
        sequence.hold = False
        sequence.reason = ""
        sequence.last_used = self._tick()

    def close(self, sequence: Sequence) -> None:
        """Forget a session; its cells stay as a reusable prefix where that makes sense."""
        self.stop(sequence)
        sequence.guard = 0
        sequence.away = None
        if self.focus is sequence:
            self.focus = None
        if not sequence.held:
            return
        if self.keep_closed and self.cells.memory.partial:
            self.idle.remove(sequence)
            self.kept.append(sequence)
        else:
            self._drop(sequence)

    @property
    def busy(self) -> bool:
        return bool(self.running or self.queue)

    # --- compaction -----------------------------------------------------------------------------

    def alive(self) -> Iterable[Sequence]:
        """Sessions at work, and idle ones that hold cells."""
        yield from self.running
        yield from self.idle
        yield from (s for s in self.queue if s.held)

    def drop_kept(self) -> bool:
        """Give up the oldest prefix kept of a closed session; False if there is none."""
        return self._reclaim_kept()

    def keep_to_itself(self, sequence: Sequence, start: int) -> None:
        """Tokens from `start` on are not offered to others as a prefix (any more)."""
        self._index.truncate(sequence.slot, sequence.tokens, start)

    def fold(self, sequence: Sequence, fold: Fold) -> None:
        """The cells behind `fold` became fewer; memory is changed already."""
        start = sequence.cells_of(fold.start)
        self.keep_to_itself(sequence, fold.start)
        self.cells.fold(sequence.slot, start, sequence.cells_of(fold.end), fold.cells)
        sequence.fold = fold
        sequence.guard = 0
        self._tick()

    def branch(self, source: Sequence, branch: Sequence, tokens: list[int], held: int) -> bool:
        """Start `branch` on the first `held` cells' tokens of `source`, to compute `tokens`.

        Ahead of the queue: it is the engine's own work, not a session's. False when there is no
        slot, or the memory cannot be continued from there.
        """
        slot = self.cells.take_slot()
        if slot < 0:
            return False
        rows, position = source.cells_of(held), source.position(held)
        if not self.cells.share(source.slot, slot, rows, position):
            self.cells.drop(slot)
            return False
        branch.slot, branch.tokens, branch.held, branch.fold = slot, tokens, held, source.fold
        branch.n_prompt, branch.cached = len(tokens), held
        branch.phase = Phase.PREFILL
        branch.admitted = branch.last_used = self._tick()
        self.running.append(branch)
        self._prefill_order.append(branch)
        return True

    def end_branch(self, branch: Sequence) -> None:
        """Drop a branch and its cells."""
        self.stop(branch)
        if branch.slot >= 0:
            self._drop(branch)

    # --- the step -------------------------------------------------------------------------------

    def schedule(self) -> Step:
        """Choose the next step and take its cells. Empty when there is nothing to compute."""
        self.waiting = False
        if self.queue:
            self._admit()
        while True:
            step = self._plan()
            if step or not self.running or self.waiting:
                return step
            # Everyone waits for cells that everyone else holds: the youngest makes room.
            if not self._preempt_youngest():
                self._give_up(self.running[0])

    def commit(self, step: Step) -> None:
        """The step was computed: its tokens have their cells."""
        for sequence in step.decode:
            sequence.held += 1
        for sequence, start, count in step.prefill:
            sequence.held = start + count
            if sequence.held == len(sequence.tokens):
                sequence.phase = Phase.DECODE
                self._prefill_order.remove(sequence)
            else:  # to the back of the round
                self._prefill_order.remove(sequence)
                self._prefill_order.append(sequence)

    def rollback(self, step: Step) -> None:
        """The step was not computed; llama.cpp's memory is as it was before."""
        for sequence in step.decode:
            self.cells.ungrow(sequence.slot, sequence.cells_of(sequence.held))
        for sequence, start, _ in step.prefill:
            self.cells.ungrow(sequence.slot, sequence.cells_of(start))

    def make_room(self) -> bool:
        """Free something after llama.cpp found no place although the ledger did."""
        return self._reclaim_one() or self._preempt_youngest()

    def forget(self) -> None:
        """llama.cpp's memory is lost: all cells are free, whoever runs is queued again."""
        for sequence in self.running:
            sequence.phase = Phase.QUEUED
            sequence.reason = "Reads the conversation again."
            self.queue.append(sequence)
        self.running.clear()
        self._prefill_order.clear()
        for sequence in [*self.queue, *self.idle, *self.kept]:
            if sequence.slot >= 0:
                self._drop(sequence)
        self._tick()

    def _plan(self) -> Step:
        step = Step()
        deciding = [s for s in self.running if s.phase is Phase.DECODE and not s.hold]
        if not deciding and not self._prefill_order and self.running:
            self.waiting = True
            return step
        deciding = self._calm(deciding)
        waiting = len(deciding) < len(self.running)
        limit = self.n_batch - min(16, self.n_batch // 4) if waiting else self.n_batch
        if len(deciding) > limit:  # more than fit into one step: take turns
            turn = self._decode_turn % len(deciding)
            self._decode_turn += limit
            deciding = (deciding[turn:] + deciding[:turn])[:limit]
        while len(deciding) > self.cells.free:
            if self._reclaim_kept():
                continue
            if self._relieved():
                deciding = deciding[: self.cells.free]
                break
            if not self._reclaim_one() and not self._preempt_youngest():
                self._give_up(self.running[0])
            deciding = [s for s in deciding if s.phase is Phase.DECODE]
        grow = self.cells.grow
        for sequence in deciding:
            grow(sequence.slot, 1)
        step.decode = deciding
        if self._prefill_order:
            budget = self.n_batch - len(deciding)
            self._plan_prefill(step, min(budget, self.prefill_chunk) if deciding else budget)
        return step

    def _calm(self, deciding: list[Sequence]) -> list[Sequence]:
        """While sessions decode, the engine's own branches take turns, half as many in a step: a
        study may take longer, but nobody's tokens come much later for it."""
        own = [s for s in deciding if s.name.startswith("~")]
        others = len(deciding) - len(own)
        most = max(1, others // 2)
        if not others or len(own) <= most:
            return deciding
        turn = self._branch_turn % len(own)
        self._branch_turn += most
        chosen = (own[turn:] + own[:turn])[:most]
        return [s for s in deciding if not s.name.startswith("~")] + chosen

    def _relieved(self) -> bool:
        self.waiting = self.waiting or self.relief()
        return self.waiting

    def _give_up(self, alone: Sequence) -> None:
        self.overfull.append(alone)
        self.stop(alone)

    def _plan_prefill(self, step: Step, budget: int) -> None:
        order = self._prefill_order
        focus = self.focus
        if focus in order:
            order = [focus] + [s for s in order if s is not focus]
        for sequence in list(order):
            if budget <= 0:
                break
            limit = budget
            if sequence is focus and len(order) > 1:
                limit = max(1, int(budget * FOCUS_SHARE))
            left = self._positions_left(sequence)
            count = min(sequence.pending, limit, left)
            while self.cells.free < count and self._reclaim_kept():
                pass
            if self.cells.free < count and not self._relieved():
                while self.cells.free < count and self._reclaim_one():
                    pass
            count = min(count, self.cells.free)
            if count:
                self.cells.grow(sequence.slot, count)
                step.prefill.append(Chunk(sequence, sequence.held, count))
                budget -= count

    def _positions_left(self, sequence: Sequence) -> int:
        """0 while a sequence waits for positions; it is given up when there will be none."""
        left = self.positions(sequence)
        if left > 0:
            return left
        if self.more_positions(sequence):
            left = max(0, self.positions(sequence))
            self.waiting = self.waiting or not left
            return left
        self._give_up(sequence)
        return 0

    # --- admission ------------------------------------------------------------------------------

    def _admit(self) -> None:
        """Move sequences from the queue to `running`, and tell the others why they wait.

        Strictly in order (the focused one first), so that a long prompt is not overtaken for
        ever; only who waits for a neighbour's prefix lets others pass.
        """
        focus = self.focus
        situation = (self._clock, self.cells.shape, focus)
        if situation == self._hopeless and all(map(self._nothing_new, self.queue)):
            return
        self.queue.sort(key=lambda s: (s is not focus, s.arrival))
        for sequence in list(self.queue):
            if sequence.loading or self._still_waits(sequence):
                continue
            donor, shared = self._best_prefix(sequence)
            if self._waits_for_prefix(sequence, shared):
                continue
            sequence.reason = self._obstacle(sequence, donor, shared)
            if not sequence.reason:
                sequence.reason = self._start(sequence, donor, shared)
            if sequence.reason:
                self._line_up_behind(sequence)
                break
            self.queue.remove(sequence)
        self._hopeless = (self._clock, self.cells.shape, focus)

    def _nothing_new(self, sequence: Sequence) -> bool:
        """Whether a queued sequence has no neighbour, or waits for it still."""
        if sequence.loading:
            return True
        return sequence.waits_for is None or self._still_waits(sequence)

    def _line_up_behind(self, first: Sequence) -> None:
        for later in self.queue[self.queue.index(first) + 1 :]:
            if not later.preempted and later.waits_for is None:
                later.reason = f"Next in line after {first.name}."

    def _still_waits(self, sequence: Sequence) -> bool:
        """Whether the neighbour it waits for has not come far enough yet."""
        if sequence.waits_for is None:
            return False
        other, length = sequence.waits_for
        if other.phase is Phase.PREFILL and other.held < length:
            return True
        sequence.waits_for = None
        return False

    def _waits_for_prefix(self, sequence: Sequence, shared: int) -> bool:
        """Whether a running prefill is about to compute a longer beginning than is there."""
        if not self.cells.memory.partial:
            return False
        for other in self._prefill_order:
            ahead = min(common_prefix(other.tokens, sequence.tokens), len(sequence.tokens) - 1)
            if ahead > other.held and ahead - shared >= WORTH_WAITING:
                sequence.waits_for = (other, ahead)
                sequence.reason = f"Waits for {other.name}, who reads the same beginning."
                return True
        return False

    def _obstacle(self, sequence: Sequence, donor: Sequence | None, shared: int) -> str:
        """Why there are not cells enough for a sequence now, or ""."""
        if not self.running:
            return ""  # it is alone and fits the context: whatever is in the way can be freed
        spare = [s.slot for s in self._with_cells() if s is not sequence and self._spare(s)]
        if donor is not sequence and sequence.held:  # its own cells go, the donor's are better
            spare.append(sequence.slot)
        wanted = len(sequence.tokens) - shared + RESERVE
        if donor is sequence and sequence.away is not None:
            pinned = None
            wanted += sequence.away.cells
        else:
            pinned = (donor.slot, donor.cells_of(shared)) if donor is not None else None
        room = self.cells.free - self._promised()
        if wanted <= room or wanted <= room + self.cells.reclaimable(spare, pinned):
            return ""
        if sequence.preempted:
            return PAUSED
        return f"Waits for cells: needs {wanted}, {max(room, 0)} are free."

    def _start(self, sequence: Sequence, donor: Sequence | None, shared: int) -> str:
        """Give a sequence its slot and the donor's prefix; a sentence if there is no slot."""
        if donor is sequence and sequence.away is not None:
            if why := self._bring_back(sequence, shared):
                return why
        elif donor is not sequence:
            if sequence.held:
                self._drop(sequence)
            while not self.cells.free_slots and self._reclaim_one(spare=donor):
                pass
            if not self.cells.free_slots and donor is not None and self._spare(donor):
                self._put_away(donor, "freed_kept" if donor in self.kept else "freed_idle")
                donor = None
            if not self.cells.free_slots:
                return f"Waits for one of the {self.cells.slots} sequences to become free."
            sequence.slot = self.cells.take_slot()
            if donor is not None and self.cells.share(donor.slot, sequence.slot, shared):
                sequence.held = shared
                donor.last_used = self._tick()
        sequence.away = None
        sequence.cached = sequence.held
        sequence.phase = Phase.PREFILL
        sequence.preempted = False
        sequence.admitted = sequence.last_used = self._tick()
        self.running.append(sequence)
        self._prefill_order.append(sequence)
        return ""

    def arrived(self, sequence: Sequence, away: Frozen | None) -> int:
        """What a session waited for is here (None: it does not come); how many tokens it has."""
        sequence.loading = False
        self._tick()
        if away is None:
            return 0
        if sequence.held and sequence.phase is Phase.IDLE:
            self._drop(sequence)
        if not sequence.held:
            sequence.away = away
            self.bring_back(sequence)
        return away.held

    def bring_back(self, sequence: Sequence) -> bool:
        """Put a session's frozen cells back before it is asked anything, if they fit as it is."""
        away = sequence.away
        if away is None or sequence.phase is not Phase.IDLE or not self.cells.free_slots:
            return False
        if away.cells + RESERVE > self.cells.free - self._promised():
            return False
        if self._bring_back(sequence, away.held):
            return False
        sequence.last_used = self._tick()
        if sequence.held:
            self.idle.append(sequence)
        elif sequence.slot >= 0:
            self._drop(sequence)
        return bool(sequence.held)

    def _bring_back(self, sequence: Sequence, length: int) -> str:
        """Put frozen cells into the cache, of which the first `length` tokens are still right.

        "" also when that is impossible for good: then all is computed again.
        """
        away = sequence.away
        assert away is not None and not sequence.held
        slot, why = self._slot_for(sequence)
        if slot < 0:
            return why
        while self.cells.free < away.cells and self._reclaim_one(spare=sequence):
            pass
        if self.cells.free < away.cells and self.running:
            self.cells.drop(slot)
            return f"Waits for cells: needs {away.cells}, {self.cells.free} are free."
        sequence.slot, sequence.away = slot, None
        if not self.cells.adopt(slot, away, away.cells):
            self.happenings.append(Happening("unusable", sequence.name, away.cells))
            return ""
        self.happenings.append(Happening("returned", sequence.name, away.cells))
        wanted, sequence.tokens = sequence.tokens, list(away.tokens)
        sequence.held, sequence.fold, sequence.guard = away.held, away.fold, 0
        if not sequence.messages:
            sequence.messages = away.messages
        self._trim(sequence, length)
        if wanted and sequence.phase is not Phase.IDLE:
            sequence.tokens = wanted
            if sequence.slot < 0:  # nothing of it could be continued from
                sequence.slot = self.cells.take_slot()
        self._tick()
        return ""

    def pin(self, sequence: Sequence, on: bool) -> None:
        """Keep a session's cells in the cache even while it is idle, or no longer."""
        sequence.pinned = on
        self._tick()

    def _spare(self, sequence: Sequence) -> bool:
        """Whether a sequence's cells may be taken now."""
        # A pinned one that waits in line must not bar those before it.
        return sequence not in self.running and not (
            sequence.pinned and sequence.phase is Phase.IDLE
        )

    def _slot_for(self, sequence: Sequence, donor: Sequence | None = None) -> tuple[int, str]:
        """A slot, or -1 and why there is none."""
        while not self.cells.free_slots and self._reclaim_one(spare=donor):
            pass
        slot = self.cells.take_slot()
        if slot < 0:
            return -1, f"Waits for one of the {self.cells.slots} sequences to become free."
        return slot, ""

    def _best_prefix(self, sequence: Sequence) -> tuple[Sequence | None, int]:
        """Who has cells for the longest beginning of what a sequence wants: maybe itself, maybe
        its own frozen cells."""
        donor, length = self._best_held_prefix(sequence)
        away = sequence.away
        if away is not None and not sequence.held:
            wanted = sequence.tokens
            common = min(common_prefix(away.tokens, wanted), len(wanted) - 1)
            usable = away.usable(common, self.cells.memory.partial)
            if usable > length:
                return sequence, usable
        return donor, length

    def _best_held_prefix(self, sequence: Sequence) -> tuple[Sequence | None, int]:
        own = sequence.held
        if not self.cells.memory.partial:
            return (sequence, own) if own else (None, 0)
        everyone = {s.slot: s for s in (*self._with_cells(), *self.running) if s.held}
        for slot, other in everyone.items():
            if self._index.length(slot) < other.exact:
                self._index.insert(slot, other.tokens[: other.exact])
        length, slots = self._index.match(sequence.tokens[:-1])
        if own >= length:
            return (sequence, own) if own else (None, 0)
        return everyone[min(slots)], length

    def _promised(self) -> int:
        """Cells the running sequences will take before long."""
        return sum(s.pending + RESERVE for s in self.running)

    # --- making room ----------------------------------------------------------------------------

    def fork(self, source: Sequence, target: Sequence) -> int:
        """Give an idle, empty session everything `source` holds; how many tokens that are.

        The cells are shared until one of the two changes. 0 when there is no slot, or the memory
        cannot be copied as it is.
        """
        if source.slot < 0 or not source.held or target.held:
            return 0
        slot, _ = self._slot_for(target, source)
        if slot < 0:
            return 0
        count = source.cells_of(source.held)
        if not self.cells.share(source.slot, slot, count, source.position(source.held)):
            self.cells.drop(slot)
            return 0
        target.slot, target.fold, target.held = slot, source.fold, source.held
        target.tokens, target.messages = source.tokens[: source.held], source.messages
        target.last_used = self._tick()
        self.idle.append(target)
        return target.held

    def _with_cells(self) -> Iterable[Sequence]:
        yield from self.kept
        yield from self.idle
        yield from (s for s in self.queue if s.held)

    def _reclaim_kept(self) -> bool:
        """Free the least recently used prefix kept of a closed session: nobody loses by that."""
        if not self.kept:
            return False
        victim = min(self.kept, key=lambda s: s.last_used)
        self.happenings.append(Happening("freed_kept", victim.name, self.cells.held(victim.slot)))
        self._drop(victim)
        return True

    def _reclaim_one(self, spare: Sequence | None = None) -> bool:
        """Free the least recently used kept prefix, or else idle session. False if none is left."""
        for pool, kind in (
            (self.kept, "freed_kept"),
            (self.idle, "freed_idle"),
            ([s for s in self.queue if s.held], "freed_idle"),
        ):
            candidates = [s for s in pool if s is not spare and self._spare(s)]
            if candidates:
                victim = min(candidates, key=lambda s: s.last_used)
                self._put_away(victim, kind)
                return True
        return False

    def put_away(self, sequence: Sequence) -> bool:
        """Take an idle session's cells out of the cache because somebody asked; False if it has
        none, or they could not be copied."""
        if sequence.phase is not Phase.IDLE or not sequence.held:
            return False
        self._put_away(sequence, "freed_idle")
        return sequence.away is not None

    def _put_away(self, victim: Sequence, kind: str) -> None:
        """Free a sequence's cells, copied out first where that is worth it."""
        cells = self.cells.held(victim.slot)
        away = self.freeze(victim) if kind != "freed_kept" and cells >= WORTH_FREEZING else None
        if away is not None:
            kind = "preempted" if kind == "preempted" else "swapped"
            away.last_used = victim.last_used
        self.happenings.append(Happening(kind, victim.name, cells))
        self._drop(victim)
        victim.away = away

    def _preempt_youngest(self) -> bool:
        """Put the youngest running sequence back into the queue; False if only one is left."""
        if len(self.running) < 2:
            return False
        others = [s for s in self.running if s is not self.focus]
        victim = max(others, key=lambda s: s.admitted)
        self.running.remove(victim)
        if victim in self._prefill_order:
            self._prefill_order.remove(victim)
        self._put_away(victim, "preempted")
        victim.phase = Phase.QUEUED
        victim.hold = False
        victim.preempted = True
        victim.waits_for = None
        victim.reason = PAUSED
        self.queue.append(victim)
        return True

    def _trim(self, sequence: Sequence, length: int) -> None:
        """Keep the first `length` tokens, or none where the memory cannot continue from there."""
        if length == sequence.held:
            return
        if length <= 0 or not self.cells.memory.partial:
            self._drop(sequence)
            return
        fold = sequence.fold
        if fold is not None and length < fold.end:  # a fold is whole or gone
            length = fold.start
            if not length:
                self._drop(sequence)
                return
        if length < sequence.guard:
            sequence.guard = 0
        self._index.truncate(sequence.slot, sequence.tokens, length)
        rows, position = sequence.cells_of(length), sequence.position(length)
        if fold is not None and length <= fold.start:
            sequence.fold = None
        if self.cells.trim(sequence.slot, rows, position):
            sequence.held = length
        else:
            self._drop(sequence)

    def _drop(self, sequence: Sequence) -> None:
        for pool in (self.kept, self.idle):
            if sequence in pool:
                pool.remove(sequence)
        self._index.truncate(sequence.slot, sequence.tokens, 0)
        self.cells.drop(sequence.slot)
        sequence.slot = -1
        sequence.held = 0
        sequence.fold = None
        sequence.guard = 0

    def _tick(self) -> int:
        self._clock += 1
        return self._clock
