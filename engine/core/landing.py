"""A solved span takes the place of its cells, between two steps."""

from __future__ import annotations

from engine.compaction import span
from engine.compaction.solve import LayerResult
from engine.core.job import Job
from engine.core.runner import Context
from engine.core.scheduler import Scheduler
from engine.core.sequence import Fold


def land(context: Context, scheduler: Scheduler, job: Job, results: list[LayerResult]) -> int:
    """Write what was fitted, of all layers, and free the rest; how many cells the span has now.

    Raises NativeError when the span is not there as it was, or a number does not fit the cache's
    type; then nothing has changed.
    """
    sequence, part, old = job.sequence, job.part, job.sequence.fold
    first, last = job.positions
    m = int(results[0].cells.keys.shape[0])
    span.replace(context.pointer, sequence.slot, first, last, [r.cells for r in results])
    before = old.cells if old is not None and not part.whole else 0
    fold = Fold(
        old.start if old is not None else part.start,
        part.end,
        before + m,
        (old.rounds if old is not None else 0) + 1,
        old.shift if old is not None else 0,
    )
    scheduler.cache.fold(sequence, fold)
    return m
