"""Compaction beside the steps: a session's span is read, solved on spare threads, and swapped in.

One job at a time. Its stages: *study* (a hidden branch of the session makes the model look back,
and its queries are kept), *measure* (only for a ratio by error bound: the error at several
ratios), *solve*, then it lands between two steps. The span's cells do not change meanwhile, while
the session and all others go on; whatever changes them ends the job. When a limit is near, the
study and the solution of the session that is next are prepared ahead.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from engine import seam
from engine.compaction import policy, solve
from engine.compaction.kernels import CompactionCancelled
from engine.compaction.profile import HeadWeights
from engine.config import CompactionConfig
from engine.core import ahead
from engine.core.choice import Choice
from engine.core.job import Job
from engine.core.keeper import QueryKeeper
from engine.core.landing import land
from engine.core.language import Language
from engine.core.limits import Limits
from engine.core.positions import Positions
from engine.core.progress import Progress
from engine.core.runner import Context
from engine.core.scheduler import Scheduler
from engine.core.sequence import Phase, Sequence
from engine.core.settings import changed
from engine.core.solving import READ_SECONDS, Solving, located
from engine.core.studies import Studies
from engine.errors import EngineError, HaloError
from engine.protocol import URGENT, Compaction, Studied

MEANWHILE = 256  # cells that each who answers should find until a piece lands
MOVES = 64  # cells moved down between two steps
ADJUSTABLE = (
    "auto", "threshold", "session_cells", "ratio", "max_error", "method", "study", "study_ahead",
)  # fmt: skip
LOOK_SECONDS = 0.25  # between two looks for a session to prepare ahead


class Compactor:
    """Starts, pursues and lands compactions. All methods but the worker's on the core's thread."""

    def __init__(
        self,
        config: CompactionConfig,
        context: Context,
        scheduler: Scheduler,
        language: Language,
        tell: Callable[[Compaction | Studied], None],
        ends: Callable[[int], bool],
        threads: int,
    ) -> None:
        """Raises ConfigError when the profile named in `config` cannot be used."""
        self.config = config
        self._context, self._scheduler = context, scheduler
        self.impossible = context.cannot_compact()
        self._layers = [] if self.impossible else context.layers()
        self.job: Job | None = None
        self._count = 0
        self._keeper = QueryKeeper(context, scheduler, self._layers)
        self._studies = Studies(context, scheduler, language, self._keeper, self._layers, ends)
        self._choice = Choice(config, scheduler)
        self._limits = Limits(config, scheduler)
        self._progress = Progress(tell, self._layers[0].group if self._layers else 1)
        self._solving = Solving(
            context,
            self._layers,
            HeadWeights.load(config.profile, self._layers),
            config.threads or max(1, threads // 2),
            chosen=lambda job: self._progress.report(job, "solve"),
        )
        self._next_look = 0.0
        self._holes = False
        scheduler.relief = self.relief
        self.positions = Positions(context, scheduler, self)

    @property
    def on(self) -> bool:
        """Whether sessions are compacted without being asked."""
        return self.config.auto and not self.impossible

    @property
    def switched_off(self) -> bool:
        """Whether only the setting keeps conversations from being unbounded."""
        return not self.config.auto and not self.impossible and self._context.can_shift

    @property
    def branches(self) -> list[Sequence]:
        """The sessions' hidden branches that are at work now."""
        return self.job.branches if self.job is not None else []

    @property
    def solving(self) -> int:
        """Threads at work now on a solution that somebody waits for."""
        job = self.job if self.job is not None and not self.job.ahead else None
        busy = job is not None and job.worker is not None and not job.worker.finished.is_set()
        return self._solving.threads if busy else 0

    # --- from outside ---------------------------------------------------------------------------

    def compact(self, sequence: Sequence, ratio: float, method: str) -> int:
        """Start compacting a session because somebody asked. Raises EngineError if it cannot be."""
        if self.impossible:
            raise EngineError(self.impossible, "Its cells cannot be compacted.", "unsupported")
        if self.job is not None and not self.job.ahead:
            raise EngineError(
                f"{self.job.sequence.name} is being compacted.", "Wait for it.", "busy"
            )
        if self.job is not None:  # its branches share cells
            self._leave(self.job)
        part = self._choice.span(sequence, again=True)
        if part is None:
            raise EngineError(
                f"{sequence.name} has too few old cells to compact: {self._choice.too_few(sequence)}.",
                "Talk on, or lower compaction.keep_recent or compaction.min_span.",
                "nothing",
            )
        if not ratio:
            ratio = self.config.ratio
        return self._start(sequence, part, "manual", method or self.config.method, max(0.0, ratio))

    def cancel(self, sequence: Sequence) -> bool:
        """Give up a session's compaction; whether there was one."""
        if self.job is None or self.job.sequence is not sequence:
            return False
        asked_for = not self.job.ahead
        if asked_for and self.job.trigger != "manual":
            self._choice.spare(sequence)  # else the next look would start it again
        self._end("cancelled")
        return asked_for

    def configure(self, key: str, value: object) -> None:
        """Change a setting while running. Raises EngineError for what cannot be."""
        if key not in ADJUSTABLE:
            raise EngineError(
                f"compaction.{key} cannot be changed while the engine runs.", "Restart it.",
                "bad_request",
            )  # fmt: skip
        self.config = changed(self.config, "compaction", key, value)
        self._choice.configure(self.config)
        self._limits.configure(self.config)
        self._keeper.forget_shape()

    def relief(self) -> bool:
        """Cells are short: whether a compaction will free some. Starts one if it can."""
        self._mind_changes()
        if self.job is None and self.on:
            self.consider("pressure")
            if self.job is not None and self.job.branches:
                return True
        job = self.job
        if job is None:
            return False
        first, job.urgent = not job.urgent, True
        if job.ahead and self.on and self._land_part(job, "pressure"):
            return True
        if job.stage == "study":  # its branches need cells themselves
            self._begin_gathering(job)
            if self.job is None and self.on:
                self.consider("pressure")
        elif job.trigger == "solve" and self.on:
            self._hurry(job, "pressure")
        elif first and not job.ahead and job.trigger != "manual":
            self._shorten(job)
        return self.job is not None

    def prepare(self) -> None:
        """Before a step: keep the queries of whoever may be compacted."""
        if not self.impossible:
            self._keeper.update(self.config, self.branches)

    def pump(self) -> None:
        """Between two steps: do the next little piece of work."""
        self._mind_changes()
        if self.positions.unbounded:
            self.positions.mind()
        job = self.job
        if job is None:
            if self._holes:
                self._holes = seam.defragment(self._context.pointer, MOVES) == MOVES
            if self.on:
                self._watch()
            return
        if job.ahead and self.on and (trigger := self._limits.passed(job.sequence)):
            if not self._land_part(job, trigger) and job.trigger == "solve":
                self._hurry(job, trigger)
            if self.job is not job:
                return
        self._hold_up(job)
        begun = time.monotonic()
        try:
            self._pursue(job)
        except HaloError as error:
            self._fail(job, error.what, error.remedy)
        job.stall = max(job.stall, time.monotonic() - begun)

    def make_way(self) -> None:
        """End a preparation that nobody waits for."""
        if self.job is not None and self.job.ahead and not self.job.urgent:
            self._end("cancelled")

    @property
    def pending(self) -> bool:
        """Whether `pump` has something to do."""
        return self.job is not None or self._holes

    def close(self) -> None:
        if self.job is not None:
            self._end("cancelled")

    # --- choosing -------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Start a compaction when a limit is passed, or prepare one when a limit is near."""
        for sequence in self._limits.all_too_long():
            self.consider("session", sequence)
            if self.job is not None:
                return
        if self._limits.full():
            self.consider("threshold")
        elif (coming := self._limits.coming()) and self._limits.full(coming):
            self.consider("threshold", reading=True)
        else:
            self._look_ahead()

    def _land_part(self, job: Job, trigger: str) -> bool:
        """Land a solution that is in hand, though `job` prepares more."""
        config = self.config
        sequences = [job.sequence] if trigger == "session" else self._scheduler.pools.alive()
        terms = self._terms(config.method, config.ratio)
        found = self._choice.landable(sequences, terms, urgent=trigger == "pressure")
        if found is None:
            return False
        self._leave(job)
        self._start(*found, trigger, config.method, config.ratio)
        return True

    def _look_ahead(self) -> None:
        """Prepare for the session that will be compacted next."""
        config, now = self.config, time.monotonic()
        if config.study == "off" or config.study_ahead >= 1.0:
            return
        if self._scheduler.busy and now < self._next_look:
            return
        self._next_look = now + LOOK_SECONDS
        near, terms = self._limits.near(), self._terms(config.method, config.ratio)
        found = self._choice.to_prepare(near, terms)
        if found is None:
            return
        sequence, part, prepared = found
        if prepared is None:
            self._study_ahead(sequence, part)
        else:
            self._solve_ahead(sequence, part, prepared)

    def _terms(self, method: str, ratio: float) -> ahead.Terms:
        bound = () if ratio else (self.config.max_error, self.config.max_ratio)
        return method, ratio, *bound

    def _solve_ahead(self, sequence: Sequence, part: policy.Span, prepared: ahead.Prepared) -> None:
        config = self.config
        self.job = job = Job(
            0, sequence, part, "solve", config.method, config.ratio, time.monotonic()
        )
        job.prepared, job.terms = prepared, self._terms(config.method, config.ratio)
        sequence.guard, sequence.private = part.end, sequence.held  # others may still share all
        self._begin_gathering(job)

    def _study_ahead(self, sequence: Sequence, part: policy.Span, urgent: bool = False) -> bool:
        job = Job(0, sequence, part, "study", "", 0.0, time.monotonic(), urgent=urgent)
        self._studies.begin(job, self.config)
        if not job.branches:
            self._choice.cannot_study(sequence)
            return False
        sequence.guard, sequence.private = job.upto, sequence.held  # others may still share all
        sequence.hold = sequence.hold or sequence.phase is Phase.PREFILL
        self.job = job
        return True

    def consider(self, trigger: str, only: Sequence | None = None, reading: bool = False) -> None:
        """Start on the session with most to gain, if there is one; `reading`: if it is reading."""
        sequences = [only] if only is not None else self._scheduler.pools.alive()
        best = self._choice.to_compact(sequences, urgent=trigger in URGENT)
        if best is None or (reading and best[0].phase is not Phase.PREFILL):
            return
        if trigger == "pressure" or not self._limits.soon_read(*best):
            self._start(*best, trigger, self.config.method, self.config.ratio)

    # --- a job's life ---------------------------------------------------------------------------

    def _start(
        self, sequence: Sequence, part: policy.Span, trigger: str, method: str, ratio: float
    ) -> int:
        """Start a compaction; the cells it is about: by hand of all there is, else of a part if that
        is ready, so that nobody waits for the rest."""
        reading = sequence.phase is Phase.PREFILL
        urgent = trigger == "pressure" or (reading and trigger != "manual")
        prepared = ahead.studied(sequence) if self.config.study != "off" else None
        share = ahead.COVERED if trigger == "manual" else ahead.ENOUGH
        ready = ahead.covered(part, prepared, share)
        solution = None
        studies = self.config.study != "off" and not method.startswith("evict-recent")
        if ready is None or ready.cells < self.config.min_span:
            prepared = None
            if trigger != "manual":  # what is studied first serves for any part of it
                studies = studies and self._choice.may_study(sequence)
                if studies and self._study_ahead(sequence, part, urgent):
                    return 0
                studies = False
                if not self._studies.can_do_without(sequence, part):
                    self._choice.give_up(sequence)
                    return 0
        else:
            whole = ready if trigger == "manual" else part
            solution = ahead.solved(whole, prepared, self._terms(method, ratio), share)
            part = solution.part if solution is not None else ready
        if urgent and solution is None:
            part = policy.piece(part, self.config.min_span)
        self.job = job = Job(
            0, sequence, part, trigger, method, ratio, time.monotonic(),
            urgent=urgent,
        )  # fmt: skip
        job.prepared = prepared
        self._begin(job)
        self._hold_up(job)
        if solution is not None:
            job.solution, job.source = solution, solution.source
            return part.cells
        if prepared is None and studies:
            self._studies.begin(job, self.config)
            if job.branches:
                self._progress.report(job, "study", total=self._study_total(job))
        if not job.branches:
            self._begin_gathering(job)
        return part.cells

    def _hold_up(self, job: Job) -> None:
        """What is being read and does not fit as it is waits for the landing, so that others have
        cells meanwhile."""
        if job.urgent and not job.ahead and job.sequence.phase is Phase.PREFILL:
            job.sequence.hold = not self._limits.fits(job.sequence, MEANWHILE)

    def _begin(self, job: Job) -> None:
        """It is to land: nobody else may share its span any more."""
        self._count += 1
        job.number = self._count
        job.sequence.guard, job.sequence.private = job.part.end, job.part.start
        self._scheduler.cache.keep_to_itself(job.sequence, job.part.start)
        self._progress.report(job, "started")

    def _hurry(self, job: Job, trigger: str) -> None:
        """What was being solved for later is wanted now: go on from the layers that are done, on
        processor time of its own. Not if others share the span by now."""
        sequence = job.sequence
        shared = self._scheduler.cells.shared_rows(sequence.slot)
        if shared > sequence.cells_of(job.part.start):
            self._end("cancelled")
            return
        job.trigger, job.started = trigger, time.monotonic()
        self._begin(job)
        self._solving.hurry(job)

    def _mind_changes(self) -> None:
        """End a job whose tokens are not what they were."""
        if self.job is not None and self.job.sequence.guard != self.job.end:
            self._end("cancelled")

    def _shorten(self, job: Job) -> None:
        """Somebody waits for its end now: solve a part of the span first, if most is to be done yet."""
        part, worker = policy.piece(job.part, self.config.min_span), job.worker
        far = worker is not None and 2 * len(worker.results) >= len(job.layers)
        if part == job.part or far or job.solution is not None:
            return
        if worker is not None:
            worker.stop()
        job.part, job.worker, job.sequence.guard = part, None, part.end
        job.asked, job.errors, job.solved = [], {}, {}
        job.ratio = job.ratio if job.exact else 0.0
        self._begin_gathering(job)

    def _pursue(self, job: Job) -> None:
        if not self._context.settle():  # keys are read and written as they are rotated
            if self._scheduler.waiting:
                raise EngineError("No cell is free to lower positions.", "Free some.")
            return
        if job.solution is not None:
            located(self._context, job)
            self._land(job, job.solution.results)
            return
        if job.stage == "study":
            for branch in [b for b in job.branches if b.phase is Phase.QUEUED]:
                self._studies.drop(job, branch)  # preempted: somebody needed its cells
            if all(branch.phase is Phase.IDLE for branch in job.branches):
                self._begin_gathering(job)
            return
        if job.stage == "gather":
            self._gather(job)
            return
        try:
            results = self._solving.go_on(job, self.config)
        except CompactionCancelled:
            self._end("cancelled")
            return
        if results is not None:
            self._finish(job, results)
        else:
            self._progress.layers(job)

    def _finish(self, job: Job, results: list[solve.LayerResult]) -> None:
        """All layers are solved: land, or keep them until they are wanted."""
        if job.trigger != "solve":
            self._land(job, results)
            return
        sequence, prepared = job.sequence, job.prepared
        sequence.guard, self.job = 0, None
        assert prepared is not None
        prepared.solution = ahead.Solution(
            job.part,
            job.terms,
            results,
            job.source,
            job.queries,
        )
        self._progress.solved(job, time.monotonic() - job.started)

    def _land(self, job: Job, results: list[solve.LayerResult]) -> None:
        begun = time.monotonic()
        sequence, studied = job.sequence, ahead.studied(job.sequence)
        sequence.studied = None
        m = land(self._context, self._scheduler, job, results)
        if studied is not None and sequence.fold is not None:
            least = self.config.min_span
            sequence.studied = ahead.left(studied, job.part, sequence.fold, least)
        self._holes = True
        job.stall = max(job.stall, time.monotonic() - begun)
        self.job, job.sequence.hold = None, False
        if m >= job.part.cells:
            self._choice.give_up(job.sequence)
        mean = self._solving.mean
        error, evicted = mean(r.errors for r in results), mean(r.evicted for r in results)
        self._progress.landed(job, m, results, error, evicted)

    def _fail(self, job: Job, what: str, remedy: str) -> None:
        if not job.ahead:
            self._choice.give_up(job.sequence)
        self._end("failed", what, remedy)

    def _end(self, phase: str, what: str = "", remedy: str = "") -> None:
        job = self.job
        assert job is not None
        self._leave(job)
        if job.ahead:
            self._choice.cannot_study(job.sequence)
        else:
            self._progress.report(job, phase, what=what, remedy=remedy)

    def _leave(self, job: Job) -> None:
        """Stop working on a job."""
        if job.worker is not None:
            job.worker.stop()
        for branch in list(job.branches):
            self._studies.drop(job, branch)
        job.sequence.guard = 0
        job.sequence.hold = False
        self.job = None

    # --- study ----------------------------------------------------------------------------------

    def studied(self, branch: Sequence, logits: npt.NDArray[np.float32]) -> None:
        """A branch has been computed up to its last token: choose the next."""
        job = self.job
        assert job is not None
        spoke = self._studies.choose(job, branch, logits)
        if spoke and job.said % 32 == 0 and not job.ahead:
            self._progress.report(job, "study", done=job.said, total=self._study_total(job))

    def _study_total(self, job: Job) -> int:
        return len(job.branches) * job.most

    def _begin_gathering(self, job: Job) -> None:
        if not self._studies.settle(job):
            self._fail(
                job,
                f"Nothing shows yet what of {job.sequence.name}'s old cells will be looked up.",
                "Say something more, then compact again.",
            )

    def _gather(self, job: Job) -> None:
        """Collect who asked; then go on to the solver, or keep it for later."""
        if not self._studies.gather(job, *job.positions, READ_SECONDS):
            return
        if job.trigger == "study":
            self._keep(job)
        else:
            self._solving.begin(job, self.config)

    def _keep(self, job: Job) -> None:
        """A study ahead is done: its queries wait for their compaction."""
        sequence, seconds = job.sequence, time.monotonic() - job.started
        sequence.guard, self.job = 0, None
        sequence.hold = sequence.hold and not job.urgent
        start = job.part.start
        kept = ahead.Prepared(
            start, start, sequence.tokens[: job.upto], sequence.fold, job.asked, seconds
        )
        # The span has grown since the last one: until all of it is solved, what is solved may land.
        before = ahead.studied(sequence)
        kept.solution = before.solution if before is not None else None
        sequence.studied = kept
        self._progress.studied(job, kept.queries, seconds)
        if job.urgent and self.on:
            self._watch()

    def marked(self) -> tuple[list[int], int, int] | None:
        """The slots that refer to the span being compacted, and its positions [first, last)."""
        job = self.job
        if job is None or job.trigger == "study" or job.sequence.slot < 0 or not job.sequence.guard:
            return None
        return [job.sequence.slot, *(b.slot for b in job.branches)], *job.positions
