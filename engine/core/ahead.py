"""A compaction prepared before it is due: a study's queries, then cells solved from them, kept outside
llama.cpp until they are needed.

Both take seconds beside everybody's decoding. So the session that will be compacted next is studied,
and its span solved, while cells are still free; when the limit is reached the cells are only written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from engine import seam
from engine.compaction import span
from engine.compaction.policy import FEWEST_QUERIES, Span
from engine.compaction.solve import LayerResult
from engine.core.sequence import Fold, Sequence
from engine.seam import LayerInfo

COVERED = (
    0.75  # share of a span that a study must have seen, or a solution free, to be left as it is
)
ENOUGH = 0.25  # the same when a limit is reached: a part that is ready at once, not all in seconds

Terms = tuple[object, ...]  # what was asked for: method, ratio or error bound


@dataclass(slots=True, frozen=True)
class Solution:
    """Cells that wait for their span to be due."""

    part: Span
    terms: Terms
    results: list[LayerResult]
    source: str  # whose queries
    queries: int  # tokens that asked


@dataclass(slots=True)
class Prepared:
    """What the branches of a study asked, layer by layer."""

    start: int  # first token of what is left of the span they were asked about
    since: int  # its first token then: what lies between has been compacted since
    tokens: list[int]  # of the session, which they saw
    fold: Fold | None  # as it was
    asked: list[list[span.Asked]]  # by `frugal`
    seconds: float
    solution: Solution | None = None

    @property
    def upto(self) -> int:
        """How many tokens of the session they saw."""
        return len(self.tokens)

    @property
    def queries(self) -> int:
        """Tokens that asked."""
        return sum(len(a.pos) for a in self.asked[0])

    def with_tail(
        self, ctx: Any, index: int, info: LayerInfo, sequence: Sequence, last: int
    ) -> list[span.Asked]:
        """Who asked in one layer, with the keys they see outside the span, which ends at position
        `last`: of what was compacted since, and between the span and their own."""
        cells, pos, _ = seam.cells_of(ctx, sequence.slot)
        shift = sequence.fold.shift if sequence.fold is not None else 0
        seen = (pos >= last) & (pos < sequence.position(self.upto))
        if self.since < self.start:
            seen |= (pos >= self.since - shift) & (pos < self.start - shift)
        tail = cells[seen]
        keys, _ = seam.read(ctx, index, info, tail)
        beta = seam.get_bias(ctx, index, info, tail)
        return [
            span.Asked(a.queries.astype(np.float32), a.pos, keys, pos[seen], beta, a.known)
            for a in self.asked[index]
        ]


def left(found: Prepared, part: Span, fold: Fold, least: int) -> Prepared | None:
    """A study after its span has been compacted up to the end of `part`: for the tokens behind it,
    if they are `least` at least."""
    if part.whole or part.start != found.start or found.upto - part.end < least:
        return None
    return Prepared(part.end, found.since, found.tokens, fold, found.asked, found.seconds)


def frugal(found: span.Asked, info: LayerInfo, share: float) -> span.Asked:
    """As much of it as is worth keeping for a while: an even share of the queries, in half
    precision, and of the keys they saw nothing but their mass."""
    count = max(1, round(len(found.pos) * min(1.0, share)))
    own = np.arange(count) * len(found.pos) // count
    known = np.empty((count, info.n_head), np.float32)
    for head in range(info.n_head):
        known[:, head] = found.log_rest(info, np.full(count, head), own)
    return span.Asked(
        found.queries[own].astype(np.float16),
        found.pos[own],
        found.keys[:0],
        found.key_pos[:0],
        found.beta[:, :0],
        known,
    )


def worth(tokens: int, info: LayerInfo) -> float:
    """The share of so many tokens' queries that is kept: as many as a fit is given at least."""
    return FEWEST_QUERIES / max(1, tokens * info.group)


def studied(sequence: Sequence) -> Prepared | None:
    """The study that a session has in hand, if nothing it saw has changed since."""
    found = sequence.studied
    if not isinstance(found, Prepared):
        return None
    same = found.fold == sequence.fold and sequence.held >= found.upto
    return found if same and sequence.tokens[: found.upto] == found.tokens else None


def covered(part: Span, found: Prepared | None, share: float = COVERED) -> Span | None:
    """The span as far as the study saw it, or None when that is less than `share` of it."""
    if found is None or found.start != part.start:
        return None
    unseen = max(0, part.end - found.upto)
    if unseen > (1.0 - share) * (part.end - part.start):
        return None
    return Span(part.start, part.end - unseen, part.cells - unseen, part.fresh - unseen)


def solved(
    part: Span, found: Prepared | None, terms: Terms, share: float = COVERED
) -> Solution | None:
    """The solution in hand, if it is what is asked for now and takes in `share` of the span."""
    solution = found.solution if found is not None else None
    if solution is None or solution.terms != terms or solution.part.start != part.start:
        return None
    whole, enough = part.end - part.start, solution.part.end - solution.part.start
    return solution if share * whole <= enough <= whole else None
