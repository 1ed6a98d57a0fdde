"""Whose queries llama.cpp's seam keeps, and how many: those of sessions that may be compacted."""

from __future__ import annotations

from collections.abc import Sequence as Many

from engine.config import CompactionConfig
from engine.core.runner import Context
from engine.core.scheduler import Scheduler
from engine.core.sequence import Sequence
from engine.seam import LayerInfo

QUERY_BYTES = 64 << 20  # kept queries of one session at most
QUESTION = 64  # tokens of the question that a branch is asked


class QueryKeeper:
    """Follows the scheduler's slots; `update` before each step."""

    def __init__(self, context: Context, scheduler: Scheduler, layers: Many[LayerInfo]) -> None:
        self._context, self._scheduler = context, scheduler
        self._width = 4 * sum(layer.n_head * layer.d_k for layer in layers)  # bytes a token
        self._kept: dict[int, Sequence] = {}
        self._shape = -1

    def update(self, config: CompactionConfig, branches: list[Sequence]) -> None:
        """Keep the queries of all sessions, or only of branches where nothing is automatic."""
        if self._scheduler.cells.shape == self._shape:
            return
        self._shape = self._scheduler.cells.shape
        wanted = {s.slot: s for s in self._scheduler.pools.alive() if s.slot >= 0}
        if not config.auto:
            wanted = {slot: s for slot, s in wanted.items() if s in branches}
        for slot, sequence in list(self._kept.items()):
            if wanted.get(slot) is not sequence:
                self._context.track(slot, 0)
                del self._kept[slot]
        for slot, sequence in wanted.items():
            if slot not in self._kept:
                tokens = config.study_tokens + QUESTION if sequence in branches else config.queries
                most = QUERY_BYTES // max(1, self._width)
                self._context.track(slot, max(16, min(tokens, most)))
                self._kept[slot] = sequence

    def drop(self, sequence: Sequence) -> None:
        """A branch ends."""
        if self._kept.get(sequence.slot) is sequence:
            self._context.track(sequence.slot, 0)
            del self._kept[sequence.slot]

    def forget_shape(self) -> None:
        """Settings changed: look again at the next step."""
        self._shape = -1
