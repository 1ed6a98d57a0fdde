"""Where every sequence stands: queued, running, idle or kept; and the clock that orders them."""

from __future__ import annotations

from collections.abc import Iterable

from engine.core.sequence import Phase, Sequence

RESERVE = 32  # cells that a running sequence should find free for its answer


class Pools:
    """A sequence is in one of the four at most. The scheduler and its parts share and change them."""

    def __init__(self) -> None:
        self.queue: list[Sequence] = []
        self.running: list[Sequence] = []  # in order of admission
        self.idle: list[Sequence] = []  # open, nothing to do, with cells
        self.kept: list[Sequence] = []  # closed, with cells
        self.prefilling: list[Sequence] = []  # of the running ones, in the order of their turns
        self.clock = 0  # of requests, admissions and uses, and of what may change an admission

    def tick(self) -> int:
        """Something changed; its place in the order of such changes."""
        self.clock += 1
        return self.clock

    def alive(self) -> Iterable[Sequence]:
        """Sessions at work, and others that hold cells."""
        yield from self.running
        yield from self.idle
        yield from (s for s in self.queue if s.held)

    def waiting_with_cells(self) -> Iterable[Sequence]:
        """Those that hold cells and are not running."""
        yield from self.kept
        yield from self.idle
        yield from (s for s in self.queue if s.held)

    def may_lose_cells(self, sequence: Sequence) -> bool:
        """Whether a sequence's cells may be taken now."""
        # A pinned one that waits in line must not bar those before it.
        return sequence not in self.running and not (
            sequence.pinned and sequence.phase is Phase.IDLE
        )

    def promised(self) -> int:
        """Cells the running sequences will take before long."""
        return sum(s.pending + RESERVE for s in self.running)

    def stop(self, sequence: Sequence) -> None:
        """Take a sequence out of the queue, or from what runs."""
        for pool in (self.queue, self.running, self.prefilling):
            if sequence in pool:
                pool.remove(sequence)
