"""Who computes which tokens in the next step; pure bookkeeping, llama.cpp is behind `Cells`.

A step takes at most `n_batch` tokens: one for each decoding sequence first, then chunks of
prompts. When cells run out all the same, the youngest running sequence goes back into the queue.
"""

from __future__ import annotations

from collections.abc import Callable

from engine.core.admission import PAUSED, Admission
from engine.core.cells import Cells
from engine.core.kvcache import Happening, KVCache
from engine.core.pools import Pools
from engine.core.radix import common_prefix
from engine.core.sequence import Phase, Sequence, internal
from engine.core.step import Chunk, Step
from engine.core.swap import Swap

FOCUS_SHARE = 0.75  # of the prefill budget, while others wait too
UNLIMITED = 1 << 30
SHORT = "A compaction is about to free cells."


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
        self.pools = Pools()
        self.cache = KVCache(cells, self.pools)
        self.swap = Swap(self.cache, self.pools)
        self.n_batch = n_batch
        self.prefill_chunk = prefill_chunk
        self.max_length = min(max_length, cells.total)  # cells, positions of one sequence
        self.keep_closed = keep_closed
        self.focus: Sequence | None = None
        self.overfull: list[Sequence] = []  # cannot go on: alone and out of cells
        # Asked when cells are short: whether some are about to become free by compaction. It may
        # begin and end branches.
        self.relief: Callable[[], bool] = lambda: False
        # Positions a sequence has left for what it reads, and whether there will be more when it has
        # none: at once, or when a compaction has landed.
        self.positions: Callable[[Sequence], int] = lambda sequence: UNLIMITED
        self.more_positions: Callable[[Sequence], bool] = lambda sequence: False
        self.waiting = False  # the last step was cut short by waiting for that
        self._short: list[Sequence] = []  # those that had to wait
        self._admission = Admission(self.cache, self.swap, self.pools)
        self.brisk = False  # branches do not take turns
        self._decode_turn = 0
        self._branch_turn = 0

    # --- requests -------------------------------------------------------------------------------

    def submit(self, sequence: Sequence, tokens: list[int], n_prompt: int) -> None:
        """Queue an idle sequence for computing `tokens`, then sampling.

        `n_prompt` of them are the prompt; more are there when an answer is continued. Cells whose
        tokens are still right stay. The caller checked `len(tokens) < max_length`.
        """
        if sequence.phase is not Phase.IDLE:
            raise ValueError(f"{sequence} is busy")
        if sequence in self.pools.idle:
            self.pools.idle.remove(sequence)
        if sequence.held:
            # The last token is computed again in any case: sampling needs its logits.
            common = min(common_prefix(sequence.tokens[: sequence.held], tokens), len(tokens) - 1)
            fold = sequence.fold
            self.cache.trim(sequence, common)
            if fold is not None and sequence.fold is None:
                lost = Happening("unfolded", sequence.name, fold.end - fold.start)
                self.cache.happenings.append(lost)
        sequence.tokens = list(tokens)
        sequence.n_prompt = n_prompt
        sequence.cached = 0
        sequence.preempted = False
        sequence.arrival = sequence.last_used = self.pools.tick()
        sequence.phase = Phase.QUEUED
        sequence.reason = ""
        sequence.waits_for = None
        self.pools.queue.append(sequence)

    def stop(self, sequence: Sequence) -> None:
        """End what a sequence does, at once; its cells stay for its next turn."""
        self.pools.stop(sequence)
        if sequence.held and sequence not in self.pools.idle:
            self.pools.idle.append(sequence)
        elif not sequence.held and sequence.slot >= 0:  # stopped before its first chunk
            self.cache.drop(sequence)
        sequence.phase = Phase.IDLE
        sequence.hold = False
        sequence.reason = ""
        sequence.last_used = self.pools.tick()

    def close(self, sequence: Sequence) -> None:
        """Forget a session; its cells stay as a reusable prefix where that makes sense."""
        self.stop(sequence)
        sequence.guard = 0
        sequence.away = None
        sequence.loading = False  # what is being read for it is not wanted any more
        if self.focus is sequence:
            self.focus = None
        if not sequence.held:
            return
        if self.keep_closed and self.cells.memory.partial:
            self.pools.idle.remove(sequence)
            self.pools.kept.append(sequence)
        else:
            self.cache.drop(sequence)

    def pin(self, sequence: Sequence, on: bool) -> None:
        """Keep a session's cells in the cache even while it is idle, or no longer."""
        sequence.pinned = on
        self.pools.tick()

    @property
    def busy(self) -> bool:
        return bool(self.pools.running or self.pools.queue)

    # --- branches -------------------------------------------------------------------------------

    def branch(self, source: Sequence, branch: Sequence, tokens: list[int], held: int) -> bool:
        """Start `branch` on the first `held` tokens' cells of `source`, to compute `tokens`.

        Ahead of the queue: it is the engine's own work, not a session's. False when there is no
        slot, or the memory cannot be continued from there.
        """
        slot = self.cells.take_slot()
        if slot < 0:
            return False
        if not self.cache.share(source, branch, slot, held):
            self.cells.drop(slot)
            return False
        branch.tokens, branch.n_prompt, branch.cached = tokens, len(tokens), held
        branch.phase = Phase.PREFILL
        branch.admitted = branch.last_used = self.pools.tick()
        self.pools.running.append(branch)
        self.pools.prefilling.append(branch)
        return True

    def end_branch(self, branch: Sequence) -> None:
        """Drop a branch and its cells."""
        self.stop(branch)
        if branch.slot >= 0:
            self.cache.drop(branch)

    # --- the step -------------------------------------------------------------------------------

    def schedule(self) -> Step:
        """Choose the next step and take its cells. Empty when there is nothing to compute."""
        self.waiting = False
        for sequence in self._short:
            if sequence.reason == SHORT:
                sequence.reason = ""
        self._short.clear()
        running = self.pools.running
        self._admission.admit(self.focus)
        while True:
            step = self._plan()
            if step or self.waiting:
                return step
            if not running:
                self._admission.admit(self.focus)  # those that ran may have ended to make room
                if not running:
                    return step
            # Everyone waits for cells that everyone else holds: the youngest makes room.
            elif not self._preempt_youngest():
                self._give_up(running[0])

    def commit(self, step: Step) -> None:
        """The step was computed: its tokens have their cells."""
        for sequence in step.decode:
            sequence.held += 1
        prefilling = self.pools.prefilling
        for sequence, start, count in step.prefill:
            sequence.held = start + count
            prefilling.remove(sequence)
            if sequence.held == len(sequence.tokens):
                sequence.phase = Phase.DECODE
            else:  # to the back of the round
                prefilling.append(sequence)

    def rollback(self, step: Step) -> None:
        """The step was not computed; llama.cpp's memory is as it was before."""
        for sequence in step.decode:
            self.cells.ungrow(sequence.slot, sequence.cells_of(sequence.held))
        for sequence, start, _ in step.prefill:
            self.cells.ungrow(sequence.slot, sequence.cells_of(start))

    def make_room(self) -> bool:
        """Free something after llama.cpp found no place although the ledger did."""
        return self.cache.evict() or self._preempt_youngest()

    def forget(self) -> None:
        """llama.cpp's memory is lost: all cells are free, whoever runs is queued again."""
        pools = self.pools
        for sequence in pools.running:
            sequence.phase = Phase.QUEUED
            sequence.reason = "Reads the conversation again."
            pools.queue.append(sequence)
        pools.running.clear()
        pools.prefilling.clear()
        for sequence in [*pools.queue, *pools.idle, *pools.kept]:
            if sequence.slot >= 0:
                self.cache.drop(sequence)
        pools.tick()

    def _plan(self) -> Step:
        running, prefilling = self.pools.running, self.pools.prefilling
        step = Step()
        self._wait([s for s in running if s.hold])
        decoding = [s for s in running if s.phase is Phase.DECODE and not s.hold]
        if not decoding and running and all(s.hold for s in prefilling):
            self.waiting = True
            return step
        decoding = self._calm(decoding)
        others = len(decoding) < len(running)
        limit = self.n_batch - min(16, self.n_batch // 4) if others else self.n_batch
        if len(decoding) > limit:  # more than fit into one step: take turns
            turn = self._decode_turn % len(decoding)
            self._decode_turn += limit
            decoding = (decoding[turn:] + decoding[:turn])[:limit]
        if len(decoding) > self.cells.free:
            decoding = self._with_room(decoding)
        grow = self.cells.grow
        for sequence in decoding:
            grow(sequence.slot, 1)
        step.decode = decoding
        if prefilling:
            budget = self.n_batch - len(decoding)
            self._plan_prefill(step, min(budget, self.prefill_chunk) if decoding else budget)
            self._leave_out_ended(step)
        return step

    def _calm(self, decoding: list[Sequence]) -> list[Sequence]:
        """While sessions decode, the engine's own branches take turns, half as many in a step: a
        study may take longer, but nobody's tokens come much later for it. Not where that
        is wanted soon (`brisk`)."""
        if self.brisk:
            return decoding
        own = [s for s in decoding if internal(s.name)]
        others = len(decoding) - len(own)
        most = max(1, others // 2)
        if not others or len(own) <= most:
            return decoding
        turn = self._branch_turn % len(own)
        self._branch_turn += most
        chosen = (own[turn:] + own[:turn])[:most]
        return [s for s in decoding if not internal(s.name)] + chosen

    def _with_room(self, decoding: list[Sequence]) -> list[Sequence]:
        """Make room for the next tokens of decoding sequences; those that go on decoding now."""
        while len(decoding) > self.cells.free:
            if self.cache.evict_kept():
                continue
            relieved = self._relieved()
            decoding = [s for s in decoding if s.phase is Phase.DECODE]  # branches may have ended
            if relieved:
                self._wait(decoding[self.cells.free :])
                return decoding[: self.cells.free]
            if len(decoding) <= self.cells.free:
                break
            if not self.cache.evict() and not self._preempt_youngest():
                self._give_up(self.pools.running[0])
            decoding = [s for s in decoding if s.phase is Phase.DECODE]
        return decoding

    def _plan_prefill(self, step: Step, budget: int) -> None:
        # relief may end branches, or begin some
        order = [s for s in self.pools.prefilling if not s.hold]
        focus = self.focus
        if focus in order:
            order = [focus] + [s for s in order if s is not focus]
        for sequence in order:
            if budget <= 0:
                break
            if sequence.phase is not Phase.PREFILL or sequence.hold:
                continue
            limit = budget
            if sequence is focus and len(order) > 1:
                limit = max(1, int(budget * FOCUS_SHARE))
            wanted = min(sequence.pending, limit, self._positions_left(sequence))
            while self.cells.free < wanted and self.cache.evict_kept():
                pass
            relieved = self.cells.free >= wanted or self._relieved()
            if sequence.phase is not Phase.PREFILL or sequence.hold:
                continue
            while not relieved and self.cells.free < wanted and self.cache.evict():
                pass
            count = min(wanted, self.cells.free)
            if count:
                self.cells.grow(sequence.slot, count)
                step.prefill.append(Chunk(sequence, sequence.held, count))
                budget -= count
            elif sequence.pending:
                self._wait([sequence])

    def _wait(self, sequences: list[Sequence]) -> None:
        """They get nothing in this step, and people are told why."""
        for sequence in sequences:
            sequence.reason = SHORT
        self._short += sequences

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

    def _leave_out_ended(self, step: Step) -> None:
        """Take branches out of the step that relief has ended since they were put into it."""
        ended = [s for s in step.decode if s.phase is not Phase.DECODE]
        ended += [c.sequence for c in step.prefill if c.sequence.phase is not Phase.PREFILL]
        if not ended:
            return
        for sequence in ended:
            if sequence.slot >= 0:
                self.cells.ungrow(sequence.slot, sequence.cells_of(sequence.held))
        step.decode = [s for s in step.decode if s not in ended]
        step.prefill = [c for c in step.prefill if c.sequence not in ended]

    def _relieved(self) -> bool:
        self.waiting = self.waiting or self.relief()
        return self.waiting

    def _give_up(self, alone: Sequence) -> None:
        self.overfull.append(alone)
        self.stop(alone)

    def _preempt_youngest(self) -> bool:
        """Put the youngest running sequence back into the queue; False if only one is left."""
        running = self.pools.running
        if len(running) < 2:
            return False
        victim = max((s for s in running if s is not self.focus), key=lambda s: s.admitted)
        self.pools.stop(victim)
        self.cache.put_away(victim, preempted=True)
        victim.phase = Phase.QUEUED
        victim.hold = False
        victim.preempted = True
        victim.waits_for = None
        victim.reason = PAUSED
        self.pools.queue.append(victim)
        return True
