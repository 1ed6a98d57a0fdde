"""Admission: which queued sequences begin to run, on whose prefix; why the others wait.

A sequence is admitted when its whole prompt fits beside what the running ones still need.
"""

from __future__ import annotations

from engine.core.kvcache import KVCache
from engine.core.pools import RESERVE, Pools
from engine.core.radix import common_prefix
from engine.core.sequence import Phase, Sequence
from engine.core.swap import Swap

WORTH_WAITING = 16  # prompt tokens another sequence must be about to compute to wait for it
PAUSED = "Paused so that others can finish; goes on when cells are free."


class Admission:
    """Moves sequences from the queue to those that run."""

    def __init__(self, cache: KVCache, swap: Swap, pools: Pools) -> None:
        self._cache, self._cells = cache, cache.cells
        self._swap, self._pools = swap, pools
        self._hopeless: object = None  # the situation in which nobody could be admitted

    def admit(self, focus: Sequence | None) -> None:
        """Start whoever can be, and tell the others why they wait.

        Strictly in order (`focus` first), so that a long prompt is not overtaken for ever; only
        who waits for a neighbour's prefix lets others pass.
        """
        queue = self._pools.queue
        if not queue:
            return
        situation = (self._pools.clock, self._cells.shape, focus)
        if situation == self._hopeless and all(map(self._nothing_new, queue)):
            return
        queue.sort(key=lambda s: (s is not focus, s.arrival))
        for sequence in list(queue):
            if sequence.loading or self._still_waits(sequence):
                continue
            donor, shared = self._cache.best_prefix(sequence)
            if self._waits_for_prefix(sequence, shared):
                continue
            sequence.reason = self._obstacle(sequence, donor, shared)
            if not sequence.reason:
                sequence.reason = self._start(sequence, donor, shared)
            if sequence.reason:
                self._line_up_behind(sequence)
                break
            queue.remove(sequence)
        self._hopeless = (self._pools.clock, self._cells.shape, focus)

    def _nothing_new(self, sequence: Sequence) -> bool:
        """Whether a queued sequence has no neighbour, or waits for it still."""
        if sequence.loading:
            return True
        return sequence.waits_for is None or self._still_waits(sequence)

    def _line_up_behind(self, first: Sequence) -> None:
        queue = self._pools.queue
        for later in queue[queue.index(first) + 1 :]:
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
        if not self._cells.memory.partial:
            return False
        for other in self._pools.prefilling:
            ahead = min(common_prefix(other.tokens, sequence.tokens), len(sequence.tokens) - 1)
            if ahead > other.held and ahead - shared >= WORTH_WAITING:
                sequence.waits_for = (other, ahead)
                sequence.reason = f"Waits for {other.name}, who reads the same beginning."
                return True
        return False

    def _obstacle(self, sequence: Sequence, donor: Sequence | None, shared: int) -> str:
        """Why there are not cells enough for a sequence now, or ""."""
        pools, cells = self._pools, self._cells
        if not pools.running:
            return ""  # it is alone and fits the context: whatever is in the way can be freed
        spare = [
            s.slot
            for s in pools.waiting_with_cells()
            if s is not sequence and pools.may_lose_cells(s)
        ]
        if donor is not sequence and sequence.held:  # its own cells go, the donor's are better
            spare.append(sequence.slot)
        wanted = len(sequence.tokens) - shared + RESERVE
        if donor is sequence and sequence.away is not None:
            pinned = None
            wanted += sequence.away.cells
        else:
            pinned = (donor.slot, donor.cells_of(shared)) if donor is not None else None
        room = cells.free - pools.promised()
        if wanted <= room or wanted <= room + cells.reclaimable(spare, pinned):
            return ""
        if sequence.preempted:
            return PAUSED
        return f"Waits for cells: needs {wanted}, {max(room, 0)} are free."

    def _start(self, sequence: Sequence, donor: Sequence | None, shared: int) -> str:
        """Give a sequence its slot and the donor's prefix; a sentence if there is no slot."""
        cache, pools = self._cache, self._pools
        if donor is sequence and sequence.away is not None:
            if why := self._swap.place(sequence, shared):
                return why
        elif donor is not sequence:
            if sequence.held:
                cache.drop(sequence)
            slot = cache.slot(spare=donor)
            if slot < 0 and donor is not None and pools.may_lose_cells(donor):
                cache.put_away(donor)
                donor, slot = None, cache.slot()
            if slot < 0:
                return cache.no_slot
            sequence.slot = slot
            if donor is not None and cache.share(donor, sequence, slot, shared):
                donor.last_used = pools.tick()
        sequence.away = None
        sequence.cached = sequence.held
        sequence.phase = Phase.PREFILL
        sequence.preempted = False
        sequence.admitted = sequence.last_used = pools.tick()
        pools.running.append(sequence)
        pools.prefilling.append(sequence)
        return ""
