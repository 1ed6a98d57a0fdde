"""Keys, biases and values refined together: against the float64 twin, and never for the worse."""

from __future__ import annotations

import numpy as np
import pytest

from engine.bench import synthetic
from engine.bench.published import softmax
from engine.compaction import Compacted, Params, compact_head, compact_heads
from engine.compaction.kernels import Job
from engine.compaction.policy import FEWEST_STEPS, MOST_STEPS, refine_steps
from engine.compaction.reference import judged_queries
from engine.compaction.reference_refine import ABOVE, LOWER, Cells, Problem, refine

METHODS = ("am-omp", "am-attention")


@pytest.fixture(scope="module", params=synthetic.KINDS)
def head(request):
    return synthetic.make(request.param, 600, 32, 400, seed=3)


def over_all(keys, values, queries, scale, softcap=0.0):
    scores = queries @ keys.T * scale
    if softcap:
        scores = softcap * np.tanh(scores / softcap)
    top = scores.max(1, keepdims=True)
    return softmax(scores) @ values, (np.log(np.exp(scores - top).sum(1)) + top[:, 0])


def unseen(head, kept: Compacted) -> tuple[float, float]:
    """Output error and mean |log mass ratio| on queries that nothing saw."""
    scale = 1 / np.sqrt(head.keys.shape[1])
    full, mass = over_all(head.keys, head.values, head.unseen, scale)
    scores = head.unseen @ kept.keys.T * scale + kept.beta
    top = scores.max(1, keepdims=True)
    found = softmax(scores) @ kept.values
    found_mass = np.log(np.exp(scores - top).sum(1)) + top[:, 0]
    return (
        float(np.linalg.norm(found - full) / np.linalg.norm(full)),
        float(np.abs(found_mass - mass).mean()),
    )


@pytest.mark.parametrize("softcap", [0.0, 4.0])
def test_the_twins_slopes_are_those_of_its_loss(softcap):
    rng = np.random.default_rng(5)
    queries, output = rng.normal(size=(12, 6)) * 2, rng.normal(size=(12, 3))
    mass, rest = rng.normal(size=12), rng.normal(size=12)
    rest[0] = -np.inf
    problem = Problem(queries, output, mass, rest, 0.4, softcap)
    at = [rng.normal(size=(4, 6)), rng.normal(size=4), rng.normal(size=(4, 3))]
    _, slopes = problem.loss(Cells(*at), 0.7)
    for part, slope in enumerate((slopes.keys, slopes.beta, slopes.values)):
        for where in np.ndindex(slope.shape):
            losses = []
            for off in (1e-5, -1e-5):
                moved = [x.copy() for x in at]
                moved[part][where] += off
                losses.append(problem.loss(Cells(*moved), 0.7)[0])
            assert slope[where] == pytest.approx((losses[0] - losses[1]) / 2e-5, rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("softcap", [0.0, 6.0])
@pytest.mark.parametrize("known_rest", [False, True])
def test_the_kernel_takes_the_twins_course(head, known_rest, softcap):
    """One step more or less, float32 or float64: from the same start both end at the same loss."""
    m, steps, scale = 30, 80, 1 / np.sqrt(32)
    queries = head.queries.astype(np.float64)
    output, mass = over_all(head.keys.astype(np.float64), head.values, queries, scale, softcap)
    rest = mass + np.random.default_rng(1).normal(size=len(mass))
    # So narrow that neither biases nor values are fitted: the start is then the same for both.
    narrow = {"beta_bounds": (-1e-4, 1e-4), "ridge": 1e8, "softcap": softcap, "holdout": 0.25}
    ours = compact_head(
        head.keys, head.values, head.queries, m, refine=steps,
        log_rest=rest.astype(np.float32) if known_rest else None, **narrow,
    )  # fmt: skip
    plain = compact_head(
        head.keys, head.values, head.queries, m,
        log_rest=rest.astype(np.float32) if known_rest else None, **narrow,
    )  # fmt: skip
    np.testing.assert_array_equal(ours.indices, plain.indices)
    judged = judged_queries(len(queries), 0.25, 0)
    order = np.concatenate([np.flatnonzero(~judged), np.flatnonzero(judged)])
    problem = Problem(
        queries[order],
        output[order],
        mass[order],
        (rest if known_rest else mass)[order],
        scale,
        softcap,
    )
    start = Cells(
        head.keys[ours.indices].astype(np.float64),
        np.zeros(m),
        head.values[ours.indices].astype(np.float64),
    )
    bound = np.full(m, 1e-4)
    twin = refine(
        problem, int((~judged).sum()), start, float(head.keys.std()), float(head.values.std()),
        (-bound, bound), 20 * float(np.abs(head.values).max()), steps,
        plain.diagnostics.output_error,
    )  # fmt: skip
    assert (twin is not None) == ours.diagnostics.refined
    if twin is None:
        return
    held = problem.part(slice(int((~judged).sum()), None))
    mine = Cells(
        ours.keys.astype(np.float64), ours.beta.astype(np.float64), ours.values.astype(np.float64)
    )
    unit = 1.0
    assert held.loss(mine, unit)[0] == pytest.approx(held.loss(twin, unit)[0], rel=0.02)
    assert held.loss(mine, unit)[0] < 0.95 * held.loss(start, unit)[0]
    moved = np.linalg.norm(twin.keys - start.keys)
    assert np.linalg.norm(mine.keys - twin.keys) < 0.1 * moved


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("m", [12, 60])
def test_refined_cells_are_better_on_unseen_queries(head, method, m):
    options = {"method": method, "threads": 1}
    plain = compact_head(head.keys, head.values, head.queries, m, **options)
    refined = compact_head(head.keys, head.values, head.queries, m, refine=200, **options)
    (before, mass_before), (after, mass_after) = unseen(head, plain), unseen(head, refined)
    np.testing.assert_array_equal(plain.indices, refined.indices)
    np.testing.assert_array_equal(plain.keys, head.keys[plain.indices])
    if not refined.diagnostics.refined:
        np.testing.assert_array_equal(plain.values, refined.values)
        return
    assert after < 1.02 * before and after + mass_after < before + mass_before
    assert refined.diagnostics.output_error <= plain.diagnostics.output_error
    assert np.abs(refined.values).max() <= 20.001 * np.abs(head.values).max()
    even = np.log(len(head.keys) / m)
    assert refined.beta.min() >= -LOWER - 1e-3 and refined.beta.max() <= even + ABOVE + 1e-3


def test_refinement_gains_much_where_few_cells_are_left():
    gains = []
    for kind in synthetic.KINDS:
        head = synthetic.make(kind, 1200, 32, 3000, seed=4)
        for method in METHODS:
            plain = compact_head(head.keys, head.values, head.queries, 24, method=method)
            refined = compact_head(
                head.keys, head.values, head.queries, 24, method=method, refine=refine_steps(24)
            )
            gains.append(unseen(head, refined)[0] / unseen(head, plain)[0])
    assert np.median(gains) < 0.8


@pytest.mark.parametrize(
    "switch", [{"fit_beta": False}, {"fit_values": False}, {"method": "evict-attention"}]
)
def test_where_nothing_is_fitted_nothing_is_refined(head, switch):
    plain = compact_head(head.keys, head.values, head.queries, 40, **switch)
    refined = compact_head(head.keys, head.values, head.queries, 40, refine=50, **switch)
    assert not refined.diagnostics.refined
    np.testing.assert_array_equal(plain.values, refined.values)
    np.testing.assert_array_equal(refined.keys, head.keys[refined.indices])


def test_too_few_queries_to_judge_and_absent_cells():
    head = synthetic.make("sink", 64, 16, 200, seed=1)
    few = compact_head(head.keys, head.values, head.queries[:6], 8, refine=50)
    assert not few.diagnostics.refined
    beta = np.zeros(64, np.float32)
    beta[5:] = -np.inf  # fewer cells than are wanted
    scarce = compact_head(head.keys, head.values, head.queries, 8, refine=50, beta=beta)
    assert np.isneginf(scarce.beta).sum() == 3
    assert np.isfinite(scarce.values).all() and np.isfinite(scarce.keys).all()


def test_threads_and_batches_do_not_change_the_result(head):
    jobs = [
        Job(keys=head.keys, values=head.values, queries=head.queries, m=m) for m in (10, 20, 30)
    ]
    one, three = (compact_heads(jobs, Params(refine=40), threads=t) for t in (1, 3))
    for a, b in zip(one, three, strict=True):
        np.testing.assert_array_equal(a.keys, b.keys)
        np.testing.assert_array_equal(a.values, b.values)


@pytest.mark.parametrize("cells", [1, 10, 100, 1000, 100_000])
def test_steps_are_few_for_many_cells(cells):
    assert FEWEST_STEPS <= refine_steps(cells) <= MOST_STEPS
    assert refine_steps(cells) >= refine_steps(2 * cells)
