"""Studies of sessions at work: branches begin, speak, and leave the queries with which they looked back."""

from __future__ import annotations

import time
from collections.abc import Callable
from collections.abc import Sequence as Many

import numpy as np
import numpy.typing as npt

from engine import seam
from engine.compaction import policy, span
from engine.config import CompactionConfig
from engine.core import ahead
from engine.core.job import Job
from engine.core.keeper import QueryKeeper
from engine.core.language import Language
from engine.core.runner import Context
from engine.core.sampling import are_numbers
from engine.core.scheduler import Scheduler
from engine.core.sequence import Sequence
from engine.core.study import BRANCH, Study, recap_prompt
from engine.seam import LayerInfo

FEWEST_QUERIES = 16  # tokens; below, a fit would be guesswork


class Studies:
    """What a job's study does, for the compactor; all on the core's thread, between two steps."""

    def __init__(
        self,
        context: Context,
        scheduler: Scheduler,
        language: Language,
        keeper: QueryKeeper,
        layers: Many[LayerInfo],
        ends: Callable[[int], bool],
    ) -> None:
        self._context, self._scheduler, self._language = context, scheduler, language
        self._keeper, self._layers, self._ends = keeper, layers, ends

    def begin(self, job: Job, config: CompactionConfig) -> None:
        """Branch off the session and ask the model for recaps; no branches where it cannot be."""
        sequence = job.sequence
        found = recap_prompt(self._language, sequence, job.part.end, self._context.partial)
        if found is None:
            return
        prompt, job.upto = found
        # Several, sampled: a single recap keeps to what comes to mind first.
        count, job.most = policy.recaps_in(
            self._scheduler.cells.free,
            wanted=policy.recaps(config.study_samples, job.part.end - job.part.start),
            question=len(prompt) - job.upto,
            tokens=config.study_tokens,
        )
        # Where somebody waits for it, or cells are few, it does not take turns with sessions.
        self._scheduler.brisk = job.urgent or job.most < config.study_tokens
        for number in range(count):
            branch = Sequence(f"{BRANCH}{number}")
            branch.payload = Study(number)
            if not self._scheduler.branch(sequence, branch, list(prompt), job.upto):
                break
            job.branches.append(branch)

    def choose(
        self,
        job: Job,
        branch: Sequence,
        logits: npt.NDArray[np.float32],
    ) -> bool:
        """Choose a branch's next token; False when it has said enough."""
        study = branch.payload
        assert isinstance(study, Study)
        if not are_numbers(logits):  # what it asked then was no number either
            self.drop(job, branch)
            return False
        token = study.choose(logits)
        said = branch.tokens[branch.n_prompt :]
        if self._ends(token) or len(said) >= job.most or study.repeats(said, token):
            self._scheduler.stop(branch)
            return False
        branch.tokens.append(token)
        job.said += 1
        return True

    def can_do_without(self, sequence: Sequence, part: policy.Span) -> bool:
        """Whether a session's own later tokens have asked enough."""
        if sequence.slot not in self._context.tracked:
            return False
        start = sequence.position(part.end)
        count = seam.count_queries(self._context.pointer, sequence.slot, start)
        return count >= FEWEST_QUERIES

    def settle(self, job: Job) -> bool:
        """The study is over: see whose queries there are. False when they are too few."""
        start = job.sequence.position(job.end)
        sources = [("recap", branch.slot) for branch in job.branches]
        if job.trigger != "study":
            sources.append(("later", job.sequence.slot))
        kept = [(n, s) for n, s in sources if s in self._context.tracked]
        counts = {s: seam.count_queries(self._context.pointer, s, start) for _, s in kept}
        job.sources = [s for _, s in kept if counts[s]]
        names = [n for n, s in kept if counts[s]]
        before = job.prepared.queries if job.prepared is not None else 0
        job.source = "+".join(dict.fromkeys(["recap", *names] if before else names))
        job.tokens = sum(counts.values())
        if job.tokens + before < FEWEST_QUERIES:
            return False
        for branch in job.branches:
            self._scheduler.stop(branch)
        job.stage = "gather"
        return True

    def gather(self, job: Job, first: int, last: int, seconds: float) -> bool:
        """Copy the queries, and the keys they saw beside positions [first, last), of as many layers
        as there is time for. True when that was all; then the branches are gone."""
        ctx, deadline = self._context.pointer, time.monotonic() + seconds
        wanted = len(job.sources) + (len(job.prepared.asked[0]) if job.prepared is not None else 0)
        while len(job.asked) < len(self._layers) or len(job.asked[-1]) < wanted:
            if time.monotonic() >= deadline:
                return False
            if not job.asked or len(job.asked[-1]) == wanted:
                job.asked.append([])
            index, mine = len(job.asked) - 1, job.asked[-1]
            info = self._layers[index]
            if len(mine) < len(job.sources):
                found = span.who_asked(ctx, index, info, job.sources[len(mine)], first, last)
                if job.trigger == "study":
                    found = ahead.frugal(found, info, ahead.worth(job.tokens, info))
                mine.append(found)
            elif job.prepared is not None:
                mine += job.prepared.with_tail(ctx, index, info, job.sequence, last)
        for branch in list(job.branches):
            self.drop(job, branch)
        return True

    def drop(self, job: Job, branch: Sequence) -> None:
        """End a branch and free its cells."""
        job.branches.remove(branch)
        self._keeper.drop(branch)
        self._scheduler.end_branch(branch)
