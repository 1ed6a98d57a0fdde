"""Which span and which ratio: nothing protected is ever taken, and nothing is taken twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.compaction import policy

COUNTS = st.integers(0, 5000)


@st.composite
def sessions(draw: st.DrawFn) -> policy.Held:
    held = draw(COUNTS)
    shared = draw(st.integers(0, held))
    if held < 10 or draw(st.booleans()):
        return policy.Held(held, shared)
    start = draw(st.integers(0, held - 3))
    end = draw(st.integers(start + 2, held - 1))
    cells = draw(st.integers(1, end - start))
    return policy.Held(held, draw(st.integers(0, start)), start, end, cells)


@given(sessions(), COUNTS, st.integers(1, 600), st.integers(1, 600), st.booleans())
def test_what_is_protected_stays(
    session: policy.Held, first: int, recent: int, least: int, again: bool
) -> None:
    span = policy.find_span(
        session, keep_first=first, keep_recent=recent, min_span=least, again=again
    )
    if span is None:
        return
    assert span.cells >= least
    assert 0 <= span.start < span.end < session.held
    assert 0 <= span.fresh <= span.cells <= span.end - span.start
    if not session.fold_end:
        assert span.start >= max(first, session.shared)
        assert span.end <= session.held - recent
        assert span.cells == span.fresh == span.end - span.start
    elif span.whole:
        assert span.start == session.fold_start and span.end >= session.fold_end
        assert span.cells == session.fold_cells + span.fresh
    else:
        assert span.start == session.fold_end
        assert span.end <= session.held - recent
    assert policy.gain(span) <= span.cells


@given(st.integers(1, 100_000), st.floats(1, 1000))
def test_cells_after_are_some_and_not_more(cells: int, ratio: float) -> None:
    after = policy.cells_after(cells, ratio)
    assert 1 <= after <= cells
    assert abs(after - cells / ratio) <= 1


@given(
    st.lists(st.floats(0, 2), min_size=8, max_size=8),
    st.floats(0.001, 1),
    st.floats(0.1, 200),
    st.integers(1, 9),
)
def test_the_ratio_found_is_within_the_bound(
    errors: list[float], bound: float, guess: float, urgent_after: int
) -> None:
    ratios = policy.ratios_up_to(50)
    assert len(ratios) == 8
    true, measured = dict(zip(ratios, errors, strict=True)), dict[float, float]()
    ratio, chosen = policy.next_ratio(ratios, measured, bound, guess)
    while not chosen:
        assert ratio not in measured  # so it ends
        measured[ratio] = true[ratio]
        urgent = len(measured) >= urgent_after
        ratio, chosen = policy.next_ratio(ratios, measured, bound, guess, first=urgent)
    assert ratio in measured or ratio == ratios[0]
    assert ratio == ratios[0] or true[ratio] <= bound


@given(st.lists(st.floats(0, 2), min_size=8, max_size=8), st.floats(0.001, 1), st.floats(1, 50))
def test_errors_that_grow_with_the_ratio_give_the_highest_within_the_bound(
    errors: list[float], bound: float, guess: float
) -> None:
    ratios, errors = policy.ratios_up_to(50), sorted(errors)
    measured = dict[float, float]()
    ratio, chosen = policy.next_ratio(ratios, measured, bound, guess)
    while not chosen:
        measured[ratio] = errors[ratios.index(ratio)]
        ratio, chosen = policy.next_ratio(ratios, measured, bound, guess)
    within = [r for r, e in zip(ratios, errors, strict=True) if e <= bound]
    assert ratio == (within[-1] if within else ratios[0])


@given(st.floats(1, 1000))
def test_ratios_stay_below_the_limit(most: float) -> None:
    ratios = policy.ratios_up_to(most)
    assert ratios and list(ratios) == sorted(ratios) and ratios[-1] <= max(most, 1.0)


@given(st.integers(0, 16), COUNTS, COUNTS)
def test_longer_spans_are_studied_more(samples: int, tokens: int, more: int) -> None:
    found = policy.recaps(samples, tokens)
    assert found == samples if samples else 8 <= found <= policy.recaps(0, tokens + more) <= 16


@given(st.integers(1, 100_000))
def test_more_cells_are_fitted_to_more_queries(cells: int) -> None:
    assert 4096 <= policy.fit_queries(cells) <= policy.fit_queries(cells + 1) <= 8192


@given(st.integers(0, 20_000), st.integers(1, 16), st.integers(1, 60), st.integers(1, 512))
def test_recaps_fit_into_the_room_there_is(
    room: int, wanted: int, question: int, tokens: int
) -> None:
    count, most = policy.recaps_in(room, wanted=wanted, question=question, tokens=tokens)
    assert 0 <= count <= wanted and 1 <= most <= tokens
    if most < tokens:  # nothing speaks of most of them ending earlier
        assert count * (question + most) <= room
    assert count == wanted or room < wanted * (question + max(most, policy.SHORT_RECAP))


@given(st.integers(0, 4000), st.integers(1, 9000), st.integers(1, 2000))
def test_a_piece_is_the_beginning_of_its_span(start: int, cells: int, min_span: int) -> None:
    span = policy.Span(start, start + cells, cells, cells)
    part = policy.piece(span, min_span)
    assert part.start == span.start and part.end - part.start == part.cells == part.fresh
    assert part == span or min_span <= part.cells <= cells - min_span
    again = policy.Span(start, start + 2 * cells, cells, cells - 1)
    assert policy.piece(again, min_span) == again, "what is compacted is whole or gone"
