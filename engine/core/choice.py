"""Which session a compaction, or a study for a later one, is worth the most for."""

from __future__ import annotations

from collections.abc import Iterable

from engine.compaction import policy
from engine.config import CompactionConfig
from engine.core import ahead
from engine.core.ahead import Prepared, Terms
from engine.core.scheduler import Scheduler
from engine.core.sequence import Phase, Sequence
from engine.core.study import Study

Candidate = tuple[Sequence, policy.Span]


class Choice:
    """Looks at the sessions; remembers those for which there was nothing to gain."""

    def __init__(self, config: CompactionConfig, scheduler: Scheduler) -> None:
        self._config, self._scheduler = config, scheduler
        self._given_up: dict[str, int] = {}  # session -> tokens held when it gained nothing
        self._spared: dict[str, int] = {}  # session -> tokens held when somebody stopped it
        self._unstudied: dict[str, int] = {}  # session -> tokens held when no study was possible

    def configure(self, config: CompactionConfig) -> None:
        """Other settings: what was not worth it may be now."""
        self._config = config
        self._given_up.clear()
        self._spared.clear()
        self._unstudied.clear()

    def give_up(self, sequence: Sequence) -> None:
        """Leave a session alone until it has grown."""
        self._given_up[sequence.name] = sequence.held

    def spare(self, sequence: Sequence) -> None:
        """Somebody does not want a session compacted: leave it until it has grown, or until there is
        no cell left for what is being answered."""
        self._spared[sequence.name] = sequence.held

    def cannot_study(self, sequence: Sequence) -> None:
        """Do not study a session ahead until it has grown."""
        self._unstudied[sequence.name] = sequence.held

    def may_study(self, sequence: Sequence) -> bool:
        """Whether it has not just been found that a session cannot be studied."""
        return self._grown(sequence, self._unstudied)

    def _grown(self, sequence: Sequence, since: dict[str, int]) -> bool:
        failed_at = since.get(sequence.name)
        return failed_at is None or not (
            failed_at <= sequence.held < failed_at + self._config.min_span
        )

    def span(self, sequence: Sequence, again: bool = False) -> policy.Span | None:
        """What of a session would be compacted; `again`: what already is, once more."""
        if not sequence.held or sequence.slot < 0 or isinstance(sequence.payload, Study):
            return None
        fold, config = sequence.fold, self._config
        held = policy.Held(
            sequence.held,
            self._scheduler.cells.shared_rows(sequence.slot),
            *((fold.start, fold.end, fold.cells) if fold else ()),
        )
        return policy.find_span(
            held,
            keep_first=config.keep_first,
            keep_recent=config.keep_recent,
            min_span=config.min_span,
            again=again,
        )

    def too_few(self, sequence: Sequence) -> str:
        """Why there is no span in a session, by its numbers; goes on a sentence."""
        config, fold = self._config, sequence.fold
        shared = self._scheduler.cells.shared_rows(sequence.slot) if sequence.held else 0
        end = max(0, sequence.held - config.keep_recent)
        if fold is not None:
            there = fold.cells + max(0, end - fold.end)
            already = f", {fold.cells:,} of them compacted already" if fold.cells else ""
        else:
            there, already = max(0, end - max(config.keep_first, shared)), ""
        others = f", and its first {shared:,} are shared with others" if shared > there else ""
        return (
            f"{there:,} where {config.min_span:,} are worth it{already} "
            f"(its newest {config.keep_recent:,} are always kept{others})"
        )

    def _bearable(self, sequence: Sequence, part: policy.Span) -> bool:
        """Whether nobody's memory gets thinner than max_ratio by being compacted unasked."""
        fold = sequence.fold
        start = fold.start if fold is not None else part.start
        kept = 0 if part.whole or fold is None else fold.cells
        after = policy.cells_after(part.cells, self._config.ratio or policy.RATIOS[0])
        return part.end - start <= self._config.max_ratio * (kept + after)

    def _candidates(self, sequences: Iterable[Sequence], urgent: bool = False) -> list[Candidate]:
        found = []
        for sequence in sequences:
            if not self._grown(sequence, self._given_up):
                continue
            if not urgent and not self._grown(sequence, self._spared):
                continue
            part = self.span(sequence)
            if part is not None and self._bearable(sequence, part):
                found.append((sequence, part))
        return found

    def _ready(
        self, candidates: list[Candidate], best: Candidate, share: float
    ) -> Candidate | None:
        """A session that was studied and frees at least half of what the best one would."""
        for sequence, part in candidates:
            ready = ahead.covered(part, ahead.studied(sequence), share)
            if ready is not None and 2 * policy.gain(ready) >= policy.gain(best[1]):
                return sequence, part
        return None

    def to_compact(self, sequences: Iterable[Sequence], urgent: bool = False) -> Candidate | None:
        """The session whose compaction frees the most, or one that is prepared and frees enough.

        `urgent`: of all, also those that somebody wants spared."""
        candidates = self._candidates(sequences, urgent)
        best = policy.most_promising(candidates)
        return best and (self._ready(candidates, best, ahead.ENOUGH) or best)

    def landable(
        self, sequences: Iterable[Sequence], terms: Terms, urgent: bool = False
    ) -> Candidate | None:
        """The session with most to gain of those that have enough of their span solved."""
        return policy.most_promising(
            (sequence, part)
            for sequence, part in self._candidates(sequences, urgent)
            if ahead.solved(part, ahead.studied(sequence), terms, ahead.ENOUGH)
        )

    def to_prepare(
        self, sequences: Iterable[Sequence], terms: Terms
    ) -> tuple[Sequence, policy.Span, Prepared | None] | None:
        """The session that will be compacted next, unless that is prepared or cannot be: with its
        study and the span to solve, or with None and the span to study."""
        candidates = self._candidates(s for s in sequences if s.phase in (Phase.IDLE, Phase.DECODE))
        best = policy.most_promising(candidates)
        if best is None:
            return None
        sequence, part = self._ready(candidates, best, ahead.COVERED) or best
        if not self.may_study(sequence):
            return None
        found = ahead.studied(sequence)
        ready = ahead.covered(part, found)
        if ready is not None:
            return None if ahead.solved(ready, found, terms) else (sequence, ready, found)
        # It has outgrown its study. First there should be something to land, then all of it.
        some = ahead.covered(part, found, ahead.ENOUGH)
        if some is None or some.cells < self._config.min_span:
            return sequence, part, None
        landable = ahead.solved(part, found, terms, ahead.ENOUGH)
        return (sequence, part, None) if landable else (sequence, some, found)
