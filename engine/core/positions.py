"""Positions of sessions near the last one that the model knows: lowered, or waited for."""

from __future__ import annotations

from typing import Protocol

from engine.core.job import Job
from engine.core.lowering import lower
from engine.core.runner import Context
from engine.core.scheduler import UNLIMITED, Scheduler
from engine.core.sequence import Sequence
from engine.core.study import Study


class Compacts(Protocol):
    """What lowering asks of the compactor: a compaction leaves positions free."""

    job: Job | None

    @property
    def on(self) -> bool:
        """Whether sessions are compacted without being asked."""

    def make_way(self) -> None:
        """End a preparation that nobody waits for."""

    def consider(self, trigger: str, only: Sequence | None = None, reading: bool = False) -> None:
        """Start compacting a session, if that is worth it."""


class Positions:
    """For the compactor; all on the core's thread, between two steps."""

    def __init__(self, context: Context, scheduler: Scheduler, compactor: Compacts) -> None:
        self._context, self._scheduler, self._compactor = context, scheduler, compactor
        scheduler.positions, scheduler.more_positions = self.left, self.more

    @property
    def unbounded(self) -> bool:
        """Whether conversations may grow longer than the context and the model's trained length."""
        return self._compactor.on and self._context.can_shift

    @property
    def last(self) -> int:
        """Positions a session may have: with compaction the model's training is the limit, not
        the cells."""
        if self._compactor.on:
            return self._context.model.n_ctx_train or 1 << 30
        return self._scheduler.max_length

    def left(self, sequence: Sequence) -> int:
        """Positions a session has left before the last one the model knows."""
        if not self.unbounded or isinstance(sequence.payload, Study):
            return UNLIMITED
        return self.last - sequence.position(sequence.held)

    def make(self, sequence: Sequence) -> bool:
        """A session is at its last position: lower it, or have it wait until that can be done."""
        if self._lower(sequence):
            return True
        compactor = self._compactor
        compactor.make_way()
        if compactor.job is None and self.unbounded:
            compactor.consider("positions", sequence)
        if compactor.job is not None and self.unbounded:  # another's has to land first
            sequence.hold = True
            return True
        return False

    def more(self, sequence: Sequence) -> bool:
        """A prompt is read up to the last position: lower it, or whether that can be done soon."""
        if self._lower(sequence):
            return True
        self._compactor.make_way()
        if self._compactor.job is None:
            self._compactor.consider("positions", sequence)
        return self._compactor.job is not None  # another's has to land first

    def mind(self) -> None:
        """Lower positions in good time, so that prompts do not run past the last one."""
        limit, compactor = self.last, self._compactor
        for sequence in self._scheduler.pools.running:
            if sequence.position(sequence.held) < limit - limit // 8:
                continue
            if not self._lower(sequence) and compactor.job is None:
                compactor.consider("positions", sequence)
            if compactor.job is None:  # what it waited for, if it did, has landed
                sequence.hold = False

    def _lower(self, sequence: Sequence) -> bool:
        job = self._compactor.job
        if job is not None and job.sequence is sequence:
            return False
        return lower(self._context, self._scheduler, sequence)
