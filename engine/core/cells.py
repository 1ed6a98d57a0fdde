"""The ledger of KV cells: who holds how many, which are shared, what freeing would give back.

llama.cpp owns the real cells. The ledger mirrors its bookkeeping for a unified cache, where
copying a sequence only adds an owner to each cell and a cell is free when it has none, so the
scheduler knows before a step whether the step fits.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from typing import Any, Protocol


class Memory(Protocol):
    """What the ledger asks of llama.cpp's memory. Slots are llama's sequence ids."""

    partial: bool  # tails can be removed and prefixes copied; recurrent memories cannot

    def remove(self, slot: int, start: int) -> bool:
        """Remove positions >= start. False when what is left cannot be continued from."""

    def copy(self, source: int, target: int, count: int) -> bool:
        """Give `target` (empty) the first `count` positions. False when that cannot be used."""

    def load(self, slot: int, frozen: Any) -> bool:
        """Put a frozen sequence's cells into `slot` (empty). False when that cannot be done."""


class Cells:
    """Cells and slots of one context; every change goes to llama.cpp's memory as well."""

    def __init__(self, total: int, slots: int, memory: Memory) -> None:
        self.total = total
        self.slots = slots
        self.memory = memory
        self._free = list(range(total - 1, -1, -1))
        self._owners = [0] * total
        self._rows: list[list[int]] = [[] for _ in range(slots)]
        self._free_slots = list(range(slots - 1, -1, -1))
        self.shape = 0  # counts changes of ownership other than by growing
        self._reclaimable: tuple[object, int] = (None, 0)

    @property
    def free(self) -> int:
        return len(self._free)

    @property
    def used(self) -> int:
        return self.total - len(self._free)

    @property
    def version(self) -> tuple[int, int]:
        """Differs whenever the map of cells does."""
        return self.shape, len(self._free)

    def held(self, slot: int) -> int:
        return len(self._rows[slot])

    def row(self, slot: int) -> list[int]:
        """The ledger's numbers of the cells of `slot`, in order of position; do not change it."""
        return self._rows[slot]

    def owners(self, cell: int) -> int:
        return self._owners[cell]

    # --- slots ----------------------------------------------------------------------------------

    def take_slot(self) -> int:
        """An unused slot, or -1."""
        if not self._free_slots:
            return -1
        self.shape += 1
        return self._free_slots.pop()

    @property
    def free_slots(self) -> int:
        return len(self._free_slots)

    def drop(self, slot: int) -> None:
        """Give the slot and all its cells back."""
        self.memory.remove(slot, 0)
        self._release(slot, 0)
        self._free_slots.append(slot)

    # --- cells ----------------------------------------------------------------------------------

    def grow(self, slot: int, count: int) -> None:
        """Take `count` cells for tokens that the next step computes; the caller checked `free`."""
        if count == 1:
            cell = self._free.pop()
            self._owners[cell] = 1
            self._rows[slot].append(cell)
            return
        if count > len(self._free):
            raise ValueError(f"{count} cells wanted, {len(self._free)} free")
        cells = self._free[-count:]
        del self._free[-count:]
        cells.reverse()
        for cell in cells:
            self._owners[cell] = 1
        self._rows[slot].extend(cells)

    def adopt(self, slot: int, frozen: Any, count: int) -> bool:
        """Take `count` cells for what was frozen and put it there; the caller checked `free`."""
        if count > len(self._free) or not self.memory.load(slot, frozen):
            return False
        if count:
            self.grow(slot, count)
        self.shape += 1
        return True

    def ungrow(self, slot: int, start: int) -> None:
        """Take a `grow` back whose step did not happen; llama.cpp never saw those cells."""
        self._release(slot, start)

    def trim(self, slot: int, start: int, position: int = -1) -> bool:
        """Keep the first `start` cells, those below `position` (which is `start` unless cells were
        compacted). False when memory cannot continue from there."""
        if start >= len(self._rows[slot]):
            return True
        kept = self.memory.remove(slot, start if position < 0 else position)
        self._release(slot, start)
        return kept

    def share(self, source: int, target: int, count: int, position: int = -1) -> bool:
        """Make `target`, which holds nothing, an owner of the first `count` cells of `source`,
        those below `position`."""
        if not self.memory.copy(source, target, count if position < 0 else position):
            return False
        cells = self._rows[source][:count]
        for cell in cells:
            self._owners[cell] += 1
        self._rows[target] = cells
        self.shape += 1
        return True

    def shared_rows(self, slot: int) -> int:
        """Cells at the beginning of `slot` that others own too."""
        # Sharing begins at the beginning, so owners only become fewer along a row.
        row, owners = self._rows[slot], self._owners
        return bisect_left(row, True, key=lambda cell: owners[cell] == 1)

    def fold(self, slot: int, start: int, end: int, kept: int) -> None:
        """Cells [start, end) of `slot`, which it owns alone, became `kept`; memory knows already."""
        row = self._rows[slot]
        gone = row[start + kept : end]
        if any(self._owners[cell] != 1 for cell in row[start:end]):
            raise ValueError("cells that are shared cannot be compacted")
        for cell in reversed(gone):
            self._owners[cell] = 0
            self._free.append(cell)
        del row[start + kept : end]
        self.shape += 1

    def reclaimable(self, slots: Iterable[int], pinned: tuple[int, int] | None = None) -> int:
        """Cells that dropping all `slots` would free, but for the first n of slot s pinned=(s, n).

        Cells they share with anyone else stay.
        """
        chosen = frozenset(slots)
        key = (chosen, pinned, self.shape, tuple(len(self._rows[slot]) for slot in chosen))
        if self._reclaimable[0] != key:
            count = Counter[int]()
            for slot in chosen:
                count.update(self._rows[slot])
            if pinned is not None:
                for cell in self._rows[pinned[0]][: pinned[1]]:
                    count.pop(cell, None)
            freed = sum(1 for cell, n in count.items() if n == self._owners[cell])
            self._reclaimable = (key, freed)
        return self._reclaimable[1]

    def _release(self, slot: int, start: int) -> None:
        row = self._rows[slot]
        owners = self._owners
        for cell in reversed(row[start:]):
            owners[cell] -= 1
            if not owners[cell]:
                self._free.append(cell)
        del row[start:]
        self.shape += 1
