"""Swapping by request: an idle session's cells leave the cache, frozen ones come back into it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.core.kvcache import Happening, KVCache
from engine.core.pools import RESERVE, Pools
from engine.core.sequence import Phase, Sequence

if TYPE_CHECKING:
    from engine.core.frozen import Frozen


class Swap:
    """Moves whole sequences between the cache and `Sequence.away`."""

    def __init__(self, cache: KVCache, pools: Pools) -> None:
        self._cache, self._pools = cache, pools

    def out(self, sequence: Sequence) -> bool:
        """Take an idle session's cells out of the cache because somebody asked; False if it has
        none, or they could not be copied."""
        if sequence.phase is not Phase.IDLE or not sequence.held:
            return False
        self._cache.put_away(sequence)
        return sequence.away is not None

    def back(self, sequence: Sequence) -> bool:
        """Put a session's frozen cells back before it is asked anything, if they fit as it is."""
        away, cells = sequence.away, self._cache.cells
        if away is None or sequence.phase is not Phase.IDLE or not cells.free_slots:
            return False
        if away.cells + RESERVE > cells.free - self._pools.promised():
            return False
        if self.place(sequence, away.held):
            return False
        sequence.last_used = self._pools.tick()
        if sequence.held:
            self._pools.idle.append(sequence)
        elif sequence.slot >= 0:
            self._cache.drop(sequence)
        return bool(sequence.held)

    def arrived(self, sequence: Sequence, away: Frozen | None) -> int:
        """What a session waited for is here (None: it does not come); how many tokens it has."""
        sequence.loading = False
        self._pools.tick()
        if away is None:
            return 0
        if sequence.held and sequence.phase is Phase.IDLE:
            self._cache.drop(sequence)
        if not sequence.held:
            sequence.away = away
            self.back(sequence)
        return away.held

    def place(self, sequence: Sequence, length: int) -> str:
        """Put `sequence.away` into the cache, of which the first `length` tokens are still right.

        Why it has to wait; "" when it is done, and also when it is impossible for good: then all
        is computed again.
        """
        cache, cells, away = self._cache, self._cache.cells, sequence.away
        assert away is not None and not sequence.held
        slot = cache.slot()
        if slot < 0:
            return cache.no_slot
        while cells.free < away.cells and cache.evict(spare=sequence):
            pass
        if cells.free < away.cells and self._pools.running:
            cells.drop(slot)
            return f"Waits for cells: needs {away.cells}, {cells.free} are free."
        sequence.slot, sequence.away = slot, None
        if not cells.adopt(slot, away, away.cells):
            cache.happenings.append(Happening("unusable", sequence.name, away.cells))
            return ""
        cache.happenings.append(Happening("returned", sequence.name, away.cells))
        wanted, sequence.tokens = sequence.tokens, list(away.tokens)
        sequence.held, sequence.fold, sequence.guard = away.held, away.fold, 0
        if not sequence.messages:
            sequence.messages = away.messages
        cache.trim(sequence, length)
        if wanted and sequence.phase is not Phase.IDLE:
            sequence.tokens = wanted
            if sequence.slot < 0:  # nothing of it could be continued from
                sequence.slot = cells.take_slot()
        self._pools.tick()
        return ""
