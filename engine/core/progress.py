"""What the app is told of a compaction while it goes on; of one prepared ahead, nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from engine.compaction.solve import LayerResult
from engine.core.job import Job
from engine.protocol import Compaction, Studied


class Progress:
    """Makes the events of a job."""

    def __init__(self, tell: Callable[[Compaction | Studied], None], group: int) -> None:
        """`group` query heads share a KV head."""
        self._tell, self._group = tell, group

    def report(self, job: Job, phase: str, **more: object) -> None:
        """A job has come to a phase of `protocol.Compaction`."""
        if job.ahead:
            return
        fields = {**job.described(self._group), **more}
        if phase in ("study", "solve"):
            done, total = fields.get("done", 0), fields.get("total", 0)
            fields["progress"] = job.advance(phase, done, total)
        if fields["cells_after"]:
            fields["ratio"] = (job.part.end - job.part.start) / fields["cells_after"]
        self._tell(Compaction(job.sequence.name, job.number, phase, **fields))

    def layers(self, job: Job) -> None:
        """How many layers are solved at the ratio in hand, if that has changed."""
        if job.ahead or job.worker is None:
            return
        now = (job.ratio, len(job.worker.results))
        if now != job.told:
            job.told = now
            self.report(job, "solve", done=now[1], total=len(job.layers))

    def landed(
        self, job: Job, cells: int, results: list[LayerResult], error: float, error_evict: float
    ) -> None:
        """The span has so many cells now; errors are means over layers and heads."""
        self.report(
            job,
            "done",
            cells_after=cells,
            error=error,
            error_evict=error_evict,
            by_layer=tuple(float(np.mean(r.errors)) for r in results),
            beta_min=min(r.beta_min for r in results),
            beta_max=max(r.beta_max for r in results),
            norm_ratio=max(r.norm_ratio for r in results),
        )

    def studied(self, job: Job, queries: int, seconds: float) -> None:
        """A study ahead has kept so many queries of tokens."""
        self._tell(Studied(job.sequence.name, job.upto, queries * self._group, seconds))

    def solved(self, job: Job, seconds: float) -> None:
        """A solution waits for its limit."""
        self._tell(Studied(job.sequence.name, job.part.end, 0, seconds, solved=True))
