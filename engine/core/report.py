"""What the core tells about itself: the map of its cells, its speed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

from engine.compaction.span import runs
from engine.core.compactor import Compactor
from engine.core.scheduler import Scheduler
from engine.core.sequence import Phase, Sequence, internal
from engine.native import FREE, SHARED, CellMap
from engine.protocol import Away, CacheMap, CellRuns, Stats, Stretch

KEPT = -3  # below FREE and SHARED, in place of slots


def cache_map(
    scheduler: Scheduler,
    real: CellMap | None,
    compactor: Compactor | None = None,
    sessions: Iterable[Sequence] = (),
) -> CacheMap:
    """Run-length code who owns which cell.

    `compactor` knows what is being compacted, `sessions` are the open ones. `real` lists
    llama.cpp's cells; without it (memories that have none to list) the scheduler's ledger stands
    in, whose cells are as many but numbered by itself.
    """
    sessions = list(sessions)
    sequences = _with_slots(scheduler)
    owner = real.owner if real is not None else _ledger_owner(scheduler, sequences)
    total = len(owner)
    kept_slots = [s.slot for s in scheduler.pools.kept]
    # Kept prefixes are one owner, so that their neighbours make one run.
    code = np.where(np.isin(owner, kept_slots), KEPT, owner) if kept_slots else owner
    starts = np.concatenate(([0], np.flatnonzero(np.diff(code)) + 1))
    lengths = np.diff(np.append(starts, total))
    names = {s.slot: "~" if internal(s.name) else s.name for s in sequences}
    label = {FREE: "", SHARED: "*", KEPT: "~", **names}
    codes = code[starts] - KEPT
    coded = CellRuns(
        tuple(label.get(c + KEPT, "~") for c in range(int(codes.max(initial=0)) + 1)),
        codes.astype(np.uint16).tobytes(),
        lengths.astype(np.uint32).tobytes(),
    )
    used = np.flatnonzero(owner != FREE)
    solving, compacted, folded = _marks(scheduler, real, compactor)
    return CacheMap(
        total=total,
        used=len(used),
        highest=int(used[-1]) + 1 if len(used) else 0,
        shared=int((owner == SHARED).sum()),
        kept=int(lengths[codes == 0].sum()),
        cells={
            s.name: scheduler.cells.held(s.slot)
            for s in sequences
            if s not in scheduler.pools.kept and not internal(s.name)
        },
        runs=coded,
        solving=solving,
        compacted=compacted,
        folded=folded,
        away={
            s.name: Away(s.away.cells, s.away.size, s.away.place)
            for s in sessions
            if s.away is not None
        },
        pinned=tuple(s.name for s in sessions if s.pinned),
    )


def _marks(
    scheduler: Scheduler, cells: CellMap | None, compactor: Compactor | None
) -> tuple[tuple[Stretch, ...], tuple[Stretch, ...], dict[str, tuple[int, int]]]:
    """Cells being compacted, cells that hold fitted keys, and each session's fold."""
    if cells is None or compactor is None:
        return (), (), {}
    solving: tuple[Stretch, ...] = ()
    if (found := compactor.marked()) is not None:
        slots, first, last = found
        # With branches at work the span has several owners.
        owner = np.where(cells.owner == SHARED, cells.first, cells.owner)
        mine = np.isin(owner, slots) & (cells.pos >= first) & (cells.pos < last)
        solving = tuple(Stretch(*run) for run in runs(np.flatnonzero(mine)))
    folds, marks = {}, np.zeros(cells.total, bool)
    for sequence in scheduler.pools.alive():
        fold = sequence.fold
        if fold is None or sequence in compactor.branches:
            continue
        folds[sequence.name] = (fold.end - fold.start, fold.cells)
        own = (cells.owner == sequence.slot) | (
            (cells.owner == SHARED) & (cells.first == sequence.slot)
        )
        marks |= own & (cells.pos >= fold.start) & (cells.pos < fold.end - fold.shift)
    return solving, tuple(Stretch(*run) for run in runs(np.flatnonzero(marks))), folds


def _with_slots(scheduler: Scheduler) -> list[Sequence]:
    pools = scheduler.pools
    everyone = (*pools.running, *pools.queue, *pools.idle, *pools.kept)
    return [s for s in everyone if s.slot >= 0]


def _ledger_owner(scheduler: Scheduler, sequences: list[Sequence]) -> npt.NDArray[np.int32]:
    owner = np.full(scheduler.cells.total, FREE, np.int32)
    for sequence in sequences:
        row = np.asarray(scheduler.cells.row(sequence.slot), np.int32)
        owner[row] = np.where(owner[row] == FREE, sequence.slot, SHARED)
    return owner


class Speedometer:
    """Counts tokens and steps over windows of about a second."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begin()
        self.steps = 0
        self.unread = False  # something was counted, or the last figures were not zero

    def _begin(self) -> None:
        self._since = self._clock()
        self._decoded: dict[str, int] = {}
        self._prefilled = 0
        self._window_steps = 0
        self._step_seconds = 0.0

    def step(self, decode: list[Sequence], prefilled: int, seconds: float) -> None:
        """Count one computed step."""
        self.unread = True
        self.steps += 1
        self._window_steps += 1
        self._step_seconds += seconds
        self._prefilled += prefilled
        decoded = self._decoded
        for sequence in decode:
            if internal(sequence.name):
                continue  # the engine's own
            decoded[sequence.name] = decoded.get(sequence.name, 0) + 1

    def read(self, scheduler: Scheduler) -> Stats:
        """The figures of the window that ends now; starts a new one."""
        seconds = max(self._clock() - self._since, 1e-6)
        phases = [s.phase for s in scheduler.pools.running if not internal(s.name)]
        stats = Stats(
            decode_tok_s=sum(self._decoded.values()) / seconds,
            prefill_tok_s=self._prefilled / seconds,
            running=phases.count(Phase.DECODE),
            prefilling=phases.count(Phase.PREFILL),
            queued=len(scheduler.pools.queue),
            step_ms=1000 * self._step_seconds / max(1, self._window_steps),
            steps=self.steps,
            by_session={name: n / seconds for name, n in self._decoded.items()},
        )
        self.unread = self._window_steps > 0
        self._begin()
        return stats
