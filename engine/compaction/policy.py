"""Which tokens of a session may be compacted, and which session comes first; pure arithmetic."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

# Ratios tried for an error bound. Finer steps cost solver time and nobody would see the difference.
RATIOS = (2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 32.0, 50.0, 80.0, 125.0)
# Measured on 4,200 tokens of dialogue at 20x: 8 recaps miss a fact of 16, 16 recaps none.
FEWEST_RECAPS, MOST_RECAPS, TOKENS_A_RECAP = 8, 16, 256


@dataclass(frozen=True, slots=True)
class Held:
    """What a session holds, in tokens from its beginning; `fold_*` are 0 without a fold."""

    held: int  # tokens with cells
    shared: int  # cells at the beginning that others own too
    fold_start: int = 0
    fold_end: int = 0
    fold_cells: int = 0


@dataclass(frozen=True, slots=True)
class Span:
    """Tokens [start, end) to compact, which are in `cells` cells now."""

    start: int
    end: int
    cells: int
    fresh: int  # of these, cells that hold one token as it was computed

    @property
    def whole(self) -> bool:
        """Takes compacted cells in, to be compacted again."""
        return self.fresh < self.cells


def find_span(
    session: Held, *, keep_first: int, keep_recent: int, min_span: int, again: bool = False
) -> Span | None:
    """The oldest cells of a session that may be compacted, or None when they are too few.

    Compacting what was compacted adds its errors up, so new cells are preferred until there are
    fewer of them than compacted ones; `again` takes everything at once.
    """
    end = session.held - max(1, keep_recent)
    if not session.fold_end:
        start = max(keep_first, session.shared)
        cells = end - start
        return Span(start, end, cells, cells) if cells >= min_span else None
    if session.shared > session.fold_start:
        return None  # a branch of it is at work
    fresh = max(0, end - session.fold_end)
    if not again and fresh >= max(min_span, session.fold_cells):
        return Span(session.fold_end, end, fresh, fresh)
    end = max(end, session.fold_end)
    cells = session.fold_cells + fresh
    return Span(session.fold_start, end, cells, fresh) if cells >= min_span else None


PIECE = 1024  # cells: solved in a tenth of the time that four times as many take


def piece(span: Span, min_span: int) -> Span:
    """The oldest part of a span, where somebody waits for it; all where little else would be left."""
    size = max(PIECE, min_span)
    if span.whole or span.cells < size + min_span:
        return span
    return Span(span.start, span.start + size, size, size)


def gain(span: Span) -> int:
    """How much a span promises, in cells: those compacted before count a quarter."""
    return span.fresh + (span.cells - span.fresh) // 4


def cells_after(cells: int, ratio: float) -> int:
    """Cells left of `cells` at `ratio`: at least 1, at most all."""
    return max(1, min(cells, round(cells / max(1.0, ratio))))


def recaps(samples: int, tokens: int) -> int:
    """Recaps of a study of a span of `tokens`: `samples`, or as many as come past what it says."""
    return samples or max(FEWEST_RECAPS, min(MOST_RECAPS, round(tokens / TOKENS_A_RECAP)))


# Tokens: shorter recaps hardly come to the point; so long ones say most of it; of a question for one.
SHORT_RECAP, GOOD_RECAP, QUESTION = 48, 96, 24


def recaps_in(room: int, *, wanted: int, question: int, tokens: int) -> tuple[int, int]:
    """How many of `wanted` recaps there is room for, in free cells, and tokens of each at most; most
    end earlier. Where there is little room all are shorter, since each begins with something else;
    a third of it is left to those who answer meanwhile."""
    if room // (question + tokens // 2) >= wanted:
        return wanted, tokens
    most = min(tokens, max(SHORT_RECAP, 2 * room // (3 * wanted) - question))
    return min(wanted, room // (question + most)), most


def study_room(wanted: int, tokens: int) -> int:
    """Free cells that a study of so many recaps, of `tokens` at most, should find."""
    return wanted * (QUESTION + min(tokens, GOOD_RECAP))


FEWEST_QUERIES, MOST_QUERIES, QUERIES_A_CELL = 4096, 8192, 6
GROWTH = 0.8  # errors grow about with this power of the ratio
LIKELY_RATIO = 12.0  # measured first where nothing is known yet


def fit_queries(cells: int) -> int:
    """Queries of a head that the fit to `cells` cells is given at most.

    More cost seconds in proportion. With 4,096 of 7,778 queries halo-mini answers as many questions as
    with all (48 of 48 at 20x, 44 at 50x, 6,000 tokens), with 2,048 fewer (44 and 34).
    """
    return max(FEWEST_QUERIES, min(MOST_QUERIES, QUERIES_A_CELL * cells))


REFINED_CELLS, FEWEST_STEPS, MOST_STEPS = 24_000, 64, 400


def refine_steps(cells: int) -> int:
    """Steps in which `cells` cells of a head are refined: about as much work for any number of them,
    since few cells gain more and a step costs in proportion to them."""
    return max(FEWEST_STEPS, min(MOST_STEPS, REFINED_CELLS // cells))


def next_ratio(
    ratios: Sequence[float],
    errors: Mapping[float, float],
    max_error: float,
    guess: float,
    first: bool = False,
) -> tuple[float, bool]:
    """The ratio to measure next, or the one to take and True: the highest below which all is within
    `max_error`, or the `first` that was found within; the lowest if none is. `ratios` ascend; `errors`
    holds what was measured.

    From `guess` one step at a time, since errors grow with the ratio and a step costs a solution; for
    the `first` down by as much as the error was too large.
    """
    if not errors:
        return min(ratios, key=lambda r: abs(math.log(r / max(guess, 1.0)))), False
    within = [r for r in ratios if errors.get(r, math.inf) <= max_error]
    beyond = [r for r in ratios if r in errors and not errors[r] <= max_error]
    below = [r for r in within if not beyond or r < beyond[0]]
    if not below:
        at = ratios.index(beyond[0])
        if not at:
            return ratios[0], True
        share = max_error / errors[beyond[0]] if first else 1.0
        likely = beyond[0] * (share if share > 0 else 1.0) ** (1 / GROWTH)
        return next((r for r in reversed(ratios[:at]) if r <= likely), ratios[0]), False
    at = ratios.index(below[-1]) + 1
    if first or at == len(ratios) or ratios[at] in errors:
        return below[-1], True
    return ratios[at], False


def ratio_left(span: Span, most: float) -> float:
    """The highest ratio that leaves a span's tokens, and not only its cells of now, at `most` tokens a
    cell; but the lowest that is tried, for who asks."""
    return max(min(RATIOS[0], most), most * span.cells / max(1, span.end - span.start))


def ratios_up_to(most: float) -> tuple[float, ...]:
    """The ratios tried for an error bound."""
    return tuple(r for r in RATIOS if r <= most) or (max(1.0, most),)


def most_promising[T](candidates: Iterable[tuple[T, Span]]) -> tuple[T, Span] | None:
    """The candidate whose span promises most."""
    return max(candidates, key=lambda c: gain(c[1]), default=None)
