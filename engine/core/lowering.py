"""Positions of a compacted session, lowered by what its fold left free (a K-shift)."""

from __future__ import annotations

from dataclasses import replace

from engine import seam
from engine.core.runner import Context
from engine.core.scheduler import Scheduler
from engine.core.sequence import Sequence


def lower(context: Context, scheduler: Scheduler, sequence: Sequence) -> bool:
    """Lower what follows the fold; False when that gains nothing or cells are shared. Not while a
    compaction of the session is under way: the keys in its hand were read at these positions."""
    fold = sequence.fold
    if fold is None or scheduler.cells.shared_rows(sequence.slot) > fold.start:
        return False
    cells = context.cell_map()
    assert cells is not None
    mine = cells.pos[(cells.owner == sequence.slot) & (cells.pos >= fold.start)]
    delta = int(mine.min()) - fold.start
    if not delta or not context.shift(sequence.slot, fold.start, delta):
        return False
    sequence.fold = replace(fold, shift=fold.shift + delta)
    if sequence.slot in context.tracked:
        seam.forget_queries(context.pointer, sequence.slot)
    return True
