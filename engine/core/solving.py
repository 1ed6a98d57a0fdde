"""What a compaction job solves: layers read between two steps, handed to a thread, at one ratio or, for a
ratio by error bound, at several."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from collections.abc import Sequence as Many

import numpy as np
import numpy.typing as npt

from engine.compaction import policy, solve, span
from engine.compaction.kernels import Cancel, CompactionCancelled
from engine.compaction.profile import HeadWeights
from engine.config import CompactionConfig
from engine.core.job import Job
from engine.core.runner import Context
from engine.core.solver import Worker
from engine.errors import EngineError
from engine.seam import LayerInfo

log = logging.getLogger(__name__)

READ_SECONDS = 0.004  # of copying cells out between two steps
PROBED = 8  # layers that a ratio by error bound is chosen by


class Solving:
    """For the compactor; all on the core's thread, between two steps."""

    def __init__(
        self,
        context: Context,
        layers: Many[LayerInfo],
        weights: HeadWeights,
        threads: int,
        chosen: Callable[[Job], None],
    ) -> None:
        """`chosen` is told when all layers begin to be solved at the ratio that will land."""
        self._context, self._layers, self._weights = context, layers, weights
        self.threads = threads
        self._chosen = chosen
        self._guess = policy.LIKELY_RATIO  # the ratio by error bound that fitted last

    def begin(self, job: Job, config: CompactionConfig) -> None:
        """Start on a job whose queries are there."""
        if job.ratio:
            self._solve(job, config)
        else:
            self._measure(job, config)

    def go_on(self, job: Job, config: CompactionConfig) -> list[solve.LayerResult] | None:
        """Hand over what there is time for. All layers' results, once they are there.

        Raises CompactionCancelled when the worker was stopped, EngineError when it failed or the
        span's cells are others than at the start.
        """
        worker = job.worker
        assert worker is not None
        deadline = time.monotonic() + READ_SECONDS
        while worker.hungry and job.handed < len(job.layers):
            index = job.layers[job.handed]
            cells = located(self._context, job)
            worker.inbox.put(
                span.read_layer(
                    self._context.pointer, index, self._layers[index], cells, job.asked[index]
                )
            )
            job.handed += 1
            if job.handed < len(job.layers) and time.monotonic() >= deadline:
                return None
        if job.handed == len(job.layers) and worker.hungry:
            worker.inbox.put(None)
            job.handed += 1
        return self._results(job, worker, config) if worker.finished.is_set() else None

    def hurry(self, job: Job) -> None:
        """Go on from the layers that are done, on processor time of its own."""
        worker = job.worker
        if worker is not None:
            worker.stop()
            done = list(worker.results)
            job.handed = len(done)
            self._employ(job, worker.work, done)

    def mean(self, errors: Iterable[Iterable[float]]) -> float:
        """Errors by layer and head as one, heads weighed by what they matter."""
        return float(self._weights.mean(np.array(list(errors))[..., None])[0])

    def _results(
        self, job: Job, worker: Worker, config: CompactionConfig
    ) -> list[solve.LayerResult] | None:
        if isinstance(worker.failure, CompactionCancelled):
            raise worker.failure
        if worker.failure is not None:
            log.error("compaction failed", exc_info=worker.failure)
            raise EngineError(f"The solver failed: {worker.failure}.", "See the engine's log.")
        results = [r for r in worker.results if isinstance(r, solve.LayerResult)]
        if job.stage != "measure":
            return results
        errors = np.array([r.errors for r in results])[..., None]
        job.errors[job.ratio] = float(self._weights.mean(errors, job.layers)[0])
        if len(job.layers) == len(self._layers):
            job.solved[job.ratio] = results
        return self._measure(job, config)

    def _measure(self, job: Job, config: CompactionConfig) -> list[solve.LayerResult] | None:
        """The ratio by error bound: solve some layers at one ratio after the other."""
        ratios = policy.ratios_up_to(policy.ratio_left(job.part, config.max_ratio))
        job.ratio, chosen = policy.next_ratio(
            ratios, job.errors, config.max_error, self._guess, first=job.urgent
        )
        if not chosen:
            count = min(PROBED, len(self._layers))
            self._work(
                job, config, "measure", [i * len(self._layers) // count for i in range(count)]
            )
            return None
        self._guess = job.ratio
        if job.ratio not in job.solved:
            self._solve(job, config)
            return None
        job.cells_after = policy.cells_after(job.part.cells, job.ratio)
        self._chosen(job)
        return job.solved[job.ratio]

    def _solve(self, job: Job, config: CompactionConfig) -> None:
        self._work(job, config, "solve", list(range(len(self._layers))))
        self._chosen(job)

    def _work(self, job: Job, config: CompactionConfig, stage: str, layers: list[int]) -> None:
        job.stage, job.handed, job.layers = stage, 0, layers
        job.cells_after = after = policy.cells_after(job.part.cells, job.ratio)
        settings = solve.Settings.of(config, job.method, self.threads)
        if job.urgent and not job.exact:  # more cells at once, not fewer in seconds
            settings.refine = False
        weights = self._weights
        self._employ(
            job,
            lambda data, cancel: solve.solve_layer(
                data, weights.budgets(data.index, after), settings, cancel
            ),
        )

    def _employ(
        self,
        job: Job,
        work: Callable[[span.LayerData, Cancel], object],
        results: Iterable[object] = (),
    ) -> None:
        job.worker = Worker(work, results=results, patient=job.ahead)
        job.worker.start()


def located(context: Context, job: Job) -> npt.NDArray[np.int32]:
    """The span's cells. Raises EngineError when they are others than at the start."""
    cells = span.locate(context.pointer, job.sequence.slot, *job.positions)
    if len(cells) != job.part.cells:
        raise EngineError("The session's cells changed.", "Compact again.")
    return cells
