"""When a study or a solution made before serves for what is due now."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.compaction import span
from engine.compaction.policy import Span
from engine.core import ahead
from engine.core.job import Job
from engine.core.sequence import Fold, Sequence
from engine.core.studies import Studies
from engine.core.study import Study

TERMS = ("am-omp", 10.0)


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 12)), max_size=5), st.booleans())
def test_progress_never_goes_back_though_ratios_are_tried_anew(
    tried: list[tuple[int, int]], studies: bool
) -> None:
    job = Job(1, Sequence("ada"), Span(4, 400, 396, 396), "manual", "am-omp", 0.0, 0.0)
    told = [job.advance("study", n, 8) for n in range(9)] if studies else []
    for job.ratio, layers in tried:
        job.stage = "measure"
        told += [job.advance("solve", n, layers) for n in range(layers + 1)]
    assert told == sorted(told) and all(share < 1.0 for share in told)
    job.stage, job.ratio = "solve", 7.0
    told += [job.advance("solve", n, 12) for n in range(13)]
    assert told == sorted(told) and told[-1] == pytest.approx(1.0)
    assert len(set(told)) > 12, "it moves"


def prepared(tokens: int, solved_to: int | None, start: int = 4) -> ahead.Prepared:
    none = np.empty((0, 4, 8), np.float32)
    asked = span.Asked(
        none, np.empty(0, np.int32), none, np.empty(0, np.int32), np.empty((4, 0), np.float32), None
    )
    found = ahead.Prepared(start, start, list(range(tokens)), None, [[asked]], 1.0)
    if solved_to is not None:
        cells = solved_to - start
        found.solution = ahead.Solution(
            Span(start, solved_to, cells, cells), TERMS, [], "recap", 32
        )
    return found


def due(end: int, start: int = 4) -> Span:
    return Span(start, end, end - start, end - start)


def test_a_solution_serves_for_a_span_that_has_grown_a_little() -> None:
    found = prepared(tokens=1200, solved_to=1004)
    assert ahead.solved(due(1004), found, TERMS) is found.solution
    assert ahead.solved(due(1300), found, TERMS) is found.solution
    assert ahead.solved(due(1400), found, TERMS) is None  # frees less than three quarters
    assert ahead.solved(due(1000), found, TERMS) is None  # would take what must stay


def test_at_a_limit_a_part_that_is_solved_serves_too() -> None:
    found = prepared(tokens=1200, solved_to=1004)
    assert ahead.solved(due(4004), found, TERMS, ahead.ENOUGH) is found.solution
    assert ahead.solved(due(4100), found, TERMS, ahead.ENOUGH) is None  # too little to be worth it
    assert ahead.covered(due(4004), found) is None
    assert ahead.covered(due(4004), found, ahead.ENOUGH) == due(1200)


def test_a_study_serves_for_what_is_left_of_its_span() -> None:
    found = prepared(tokens=3000, solved_to=None)
    fold = Fold(4, 1028, 102)
    rest = ahead.left(found, due(1028), fold, 256)
    assert rest is not None and (rest.start, rest.since, rest.upto) == (1028, 4, 3000)
    assert ahead.covered(due(2800, start=1028), rest) == due(2800, start=1028)
    again = ahead.left(rest, due(2052, start=1028), fold, 256)
    assert again is not None and (again.start, again.since) == (2052, 4)
    assert ahead.left(found, due(2800), fold, 256) is None  # next to nothing is left
    assert ahead.left(rest, due(2052), fold, 256) is None  # another span
    assert ahead.left(found, Span(4, 1028, 600, 300), fold, 256) is None  # compacted once more


@pytest.mark.parametrize(
    "terms", [("am-omp", 20.0), ("am-attention", 10.0), ("am-omp", 0.0, 0.1, 50.0)]
)
def test_a_solution_serves_only_for_what_was_asked_for(terms: ahead.Terms) -> None:
    assert ahead.solved(due(1004), prepared(1200, 1004), terms) is None


def test_nothing_serves_where_nothing_was_made() -> None:
    assert ahead.solved(due(1004), None, TERMS) is None
    assert ahead.solved(due(1004), prepared(1200, None), TERMS) is None
    assert ahead.solved(due(1004, start=40), prepared(1200, 1004), TERMS) is None  # shared since


@given(st.integers(64, 4000), st.integers(64, 4000), st.integers(64, 4000))
def test_what_serves_is_inside_of_what_is_due(upto: int, solved_to: int, end: int) -> None:
    found = prepared(upto, min(solved_to, upto))
    ready = ahead.covered(due(end), found)
    if ready is None:
        return
    assert ready.start == 4 and ready.end <= min(upto, end)
    solution = ahead.solved(ready, found, TERMS)
    if solution is not None:
        assert ahead.COVERED**2 * (end - 4) <= solution.part.cells <= end - 4


def test_a_branch_whose_numbers_overflowed_is_dropped() -> None:
    gone: list[Sequence] = []
    scheduler = SimpleNamespace(end_branch=gone.append)
    keeper = SimpleNamespace(drop=lambda branch: None)
    studies = Studies(None, scheduler, None, keeper, [], lambda token: False)  # type: ignore[arg-type]
    job = Job(0, Sequence("ada"), due(1004), "study", "", 0.0, 0.0, most=64)
    for number in range(2):
        branch = Sequence(f"~study{number}")
        branch.payload, branch.tokens, branch.n_prompt = Study(number), [1, 2], 2
        job.branches.append(branch)
    bad, good = job.branches
    assert not studies.choose(job, bad, np.full(8, np.nan, np.float32))
    assert studies.choose(job, good, np.zeros(8, np.float32))
    assert (gone, job.branches, len(good.tokens)) == ([bad], [good], 3)


def test_an_edit_ends_what_was_prepared() -> None:
    sequence = Sequence("ada")
    sequence.tokens, sequence.held = list(range(1200)), 1200
    sequence.studied = prepared(1200, 1004)
    assert ahead.studied(sequence) is sequence.studied
    sequence.tokens[700] = 7
    assert ahead.studied(sequence) is None
