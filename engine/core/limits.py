"""The limits at which sessions are compacted unasked: which is passed, and who is near one."""

from __future__ import annotations

import math

from engine.compaction import policy
from engine.config import CompactionConfig
from engine.core import ahead
from engine.core.scheduler import Scheduler
from engine.core.sequence import Phase, Sequence
from engine.core.study import Study


class Limits:
    """Looks at the ledger; starts nothing."""

    def __init__(self, config: CompactionConfig, scheduler: Scheduler) -> None:
        self._config, self._scheduler = config, scheduler

    def configure(self, config: CompactionConfig) -> None:
        """Other limits."""
        self._config = config

    def too_long(self, sequence: Sequence) -> bool:
        """Whether a session has more cells than one may."""
        limit = self._config.session_cells
        return bool(limit) and self._scheduler.cells.held(sequence.slot) >= limit

    def all_too_long(self) -> list[Sequence]:
        """The sessions that have."""
        if not self._config.session_cells:
            return []
        return [s for s in self._scheduler.pools.alive() if self.too_long(s)]

    def full(self, coming: int = 0) -> bool:
        """Whether the threshold is passed, or will be with so many cells more, without the prefixes of
        closed sessions: those go before anybody's memory is thinned."""
        cells = self._scheduler.cells
        limit = self._config.threshold * cells.total - coming
        while cells.used >= limit and self._scheduler.cache.evict_kept():
            pass
        return cells.used >= limit

    def coming(self) -> int:
        """Cells that the next step may take for what is read."""
        scheduler = self._scheduler
        reading = [
            s.pending for s in scheduler.pools.prefilling if not isinstance(s.payload, Study)
        ]
        return min(scheduler.n_batch, sum(reading))

    def fits(self, sequence: Sequence, each: int = 0) -> bool:
        """Whether what is being read fits as it is, a session's own too, and leaves so many cells to
        each who runs."""
        scheduler = self._scheduler
        if scheduler.positions(sequence) < sequence.pending:
            return False
        pools = scheduler.pools
        return scheduler.cells.free >= pools.promised() + each * len(pools.running)

    def soon_read(self, sequence: Sequence, part: policy.Span) -> bool:
        """Whether what a session is reading fits as it is, and leaves room for a study of it then,
        if it has not been studied."""
        if sequence.phase is not Phase.PREFILL or not self.fits(sequence):
            return False
        config, scheduler = self._config, self._scheduler
        if config.study == "off" or ahead.covered(part, ahead.studied(sequence), ahead.ENOUGH):
            return True
        wanted = policy.recaps(config.study_samples, part.end - part.start + sequence.pending)
        room = scheduler.cells.free - scheduler.pools.promised()
        return room >= policy.study_room(wanted, config.study_tokens)

    def passed(self, sequence: Sequence) -> str:
        """Which limit makes the compaction of a session due: session | threshold, "" when none."""
        if self.too_long(sequence):
            return "session"
        return "threshold" if self.full() else ""

    def near(self) -> list[Sequence]:
        """Sessions that one of them will be chosen from before long."""
        config, cells, pools = self._config, self._scheduler.cells, self._scheduler.pools
        coming = sum(s.pending for s in (*pools.running, *pools.queue))  # prompts: before long
        if cells.used + coming >= config.study_ahead * config.threshold * cells.total:
            return list(pools.alive())
        limit = config.study_ahead * config.session_cells or math.inf
        return [s for s in pools.alive() if cells.held(s.slot) + s.pending >= limit]
