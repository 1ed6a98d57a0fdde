"""The KV cache as sequences share it: prefixes found and given, tails trimmed, cells freed.

When cells or slots run out, the prefixes kept of closed sessions go first, then the cells of idle
sessions and of queued ones, the least recently used before others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from engine.core.cells import Cells
from engine.core.pools import Pools
from engine.core.radix import RadixIndex, common_prefix
from engine.core.sequence import Fold, Sequence

if TYPE_CHECKING:
    from engine.core.frozen import Frozen

WORTH_FREEZING = 64  # cells; fewer are computed again as fast as they are copied


class Happening(NamedTuple):
    """Something done with cells that people want to know."""

    kind: str  # freed_kept | freed_idle | preempted | swapped | returned | unusable | unfolded
    session: str
    cells: int  # unfolded: tokens


class KVCache:
    """Whose cells are whose, by the ledger `cells`; who stands where is in `pools`."""

    def __init__(self, cells: Cells, pools: Pools) -> None:
        self.cells = cells
        self._pools = pools
        # Copies a sequence's cells out before they are freed; None: they are lost.
        self.freeze: Callable[[Sequence], Frozen | None] = lambda sequence: None
        self.happenings: list[Happening] = []
        self._index = RadixIndex()

    # --- prefixes -------------------------------------------------------------------------------

    def best_prefix(self, sequence: Sequence) -> tuple[Sequence | None, int]:
        """Who has cells for the longest beginning of what a sequence wants, and how many tokens
        of it: maybe itself, maybe its own frozen cells."""
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
        pools = self._pools
        everyone = {s.slot: s for s in (*pools.waiting_with_cells(), *pools.running) if s.held}
        for slot, other in everyone.items():
            if self._index.length(slot) < other.exact:
                self._index.insert(slot, other.tokens[: other.exact])
        length, slots = self._index.match(sequence.tokens[:-1])
        if own >= length:
            return (sequence, own) if own else (None, 0)
        return everyone[min(slots)], length

    def keep_to_itself(self, sequence: Sequence, start: int) -> None:
        """Tokens from `start` on are not offered to others as a prefix (any more)."""
        self._index.truncate(sequence.slot, sequence.tokens, start)

    def share(self, source: Sequence, target: Sequence, slot: int, length: int) -> bool:
        """Give `target`, which holds nothing, the cells of the first `length` tokens of `source`,
        under the empty `slot`. False when the memory cannot be continued from there."""
        rows, position = source.cells_of(length), source.position(length)
        if not self.cells.share(source.slot, slot, rows, position):
            return False
        fold = source.fold
        target.slot, target.held = slot, length
        target.fold = fold if fold is not None and length >= fold.end else None
        return True

    def fork(self, source: Sequence, target: Sequence) -> int:
        """Give an idle, empty session everything `source` holds; how many tokens that are.

        The cells are shared until one of the two changes. 0 when there is no slot, or the memory
        cannot be copied as it is.
        """
        if source.slot < 0 or not source.held or target.held:
            return 0
        slot = self.slot(spare=source)
        if slot < 0:
            return 0
        if not self.share(source, target, slot, source.held):
            self.cells.drop(slot)
            return 0
        source.guard = 0  # shared cells cannot be compacted
        target.tokens, target.messages = source.tokens[: source.held], source.messages
        target.last_used = self._pools.tick()
        self._pools.idle.append(target)
        return target.held

    # --- the cells of one sequence --------------------------------------------------------------

    def trim(self, sequence: Sequence, length: int) -> None:
        """Keep the first `length` tokens, or none where the memory cannot continue from there."""
        if length == sequence.held:
            return
        if length <= 0 or not self.cells.memory.partial:
            self.drop(sequence)
            return
        fold = sequence.fold
        if fold is not None and length < fold.end:  # a fold is whole or gone
            length = fold.start
            if not length:
                self.drop(sequence)
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
            self.drop(sequence)

    def drop(self, sequence: Sequence) -> None:
        """Give all its cells and its slot back."""
        for pool in (self._pools.kept, self._pools.idle):
            if sequence in pool:
                pool.remove(sequence)
        self._index.truncate(sequence.slot, sequence.tokens, 0)
        self.cells.drop(sequence.slot)
        sequence.slot = -1
        sequence.held = 0
        sequence.fold = None
        sequence.guard = 0

    def fold(self, sequence: Sequence, fold: Fold) -> None:
        """The cells behind `fold` became fewer; memory is changed already."""
        start = sequence.cells_of(fold.start)
        self.keep_to_itself(sequence, fold.start)
        self.cells.fold(sequence.slot, start, sequence.cells_of(fold.end), fold.cells)
        sequence.fold = fold
        sequence.guard = 0
        self._pools.tick()

    # --- making room ----------------------------------------------------------------------------

    def slot(self, spare: Sequence | None = None) -> int:
        """An unused slot, made if need be of anyone's but of `spare`; -1 when there is none."""
        while not self.cells.free_slots and self.evict(spare):
            pass
        return self.cells.take_slot()

    @property
    def no_slot(self) -> str:
        """Why somebody waits whom `slot` had none for."""
        return f"Waits for one of the {self.cells.slots} sequences to become free."

    def evict_kept(self) -> bool:
        """Free the least recently used prefix kept of a closed session: nobody loses by that.
        False if there is none."""
        if not self._pools.kept:
            return False
        self.put_away(min(self._pools.kept, key=lambda s: s.last_used))
        return True

    def evict(self, spare: Sequence | None = None) -> bool:
        """Free the least recently used kept prefix, or else idle session, or else queued one, but
        not `spare`. False if none is left."""
        pools = self._pools
        for pool in (pools.kept, pools.idle, [s for s in pools.queue if s.held]):
            candidates = [s for s in pool if s is not spare and pools.may_lose_cells(s)]
            if candidates:
                self.put_away(min(candidates, key=lambda s: s.last_used))
                return True
        return False

    def put_away(self, victim: Sequence, preempted: bool = False) -> None:
        """Free a sequence's cells, copied out first where that is worth it."""
        cells = self.cells.held(victim.slot)
        kept = victim in self._pools.kept
        away = self.freeze(victim) if not kept and cells >= WORTH_FREEZING else None
        kind = "preempted" if preempted else "freed_kept" if kept else "freed_idle"
        if away is not None:
            kind = kind if preempted else "swapped"
            away.last_used = victim.last_used
        self.happenings.append(Happening(kind, victim.name, cells))
        self.drop(victim)
        victim.away = away
