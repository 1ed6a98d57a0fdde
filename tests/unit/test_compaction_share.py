"""Queries that hardly look at the span hardly count: log_rest of the kernels, and where it comes from."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from engine.compaction import compact_head
from engine.compaction.span import Asked
from engine.seam import LayerInfo

F32 = npt.NDArray[np.float32]
N, D, M = 600, 64, 30


def head(seed: int) -> tuple[F32, F32, F32, F32]:
    """Keys, values, queries that look a few things up, queries that look anywhere."""
    rng = np.random.default_rng(seed)
    keys = rng.normal(size=(N, D)).astype(np.float32)
    values = rng.normal(size=(N, D)).astype(np.float32)
    wanted = rng.choice(N, 20, replace=False)
    sharp = (keys[np.repeat(wanted, 10)] * 1.2 + rng.normal(size=(200, D)) * 0.2).astype(np.float32)
    vague = (rng.normal(size=(800, D)) * 2.0).astype(np.float32)
    return keys, values, sharp, vague


def output(queries: F32, keys: F32, values: F32, beta: F32) -> npt.NDArray[np.float64]:
    scores = queries.astype(np.float64) @ keys.T / np.sqrt(D) + beta
    weights = np.exp(scores - scores.max(1, keepdims=True))
    return np.asarray(weights / weights.sum(1, keepdims=True) @ values)


@pytest.mark.parametrize("method", ["attention", "omp", "evict-attention"])
def test_nothing_outside_is_as_if_nothing_was_said(method: str) -> None:
    keys, values, sharp, vague = head(1)
    queries = np.concatenate([sharp, vague])
    rest = np.full(len(queries), -np.inf, np.float32)
    without = compact_head(keys, values, queries, M, method=method)
    with_ = compact_head(keys, values, queries, M, method=method, log_rest=rest)
    np.testing.assert_array_equal(without.indices, with_.indices)
    np.testing.assert_allclose(without.beta, with_.beta, atol=1e-5)
    np.testing.assert_allclose(without.values, with_.values, atol=1e-4)
    unknown = compact_head(keys, values, queries, M, method=method, log_rest=rest * np.nan)
    np.testing.assert_array_equal(without.indices, unknown.indices)


@pytest.mark.parametrize("method", ["attention", "omp"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_cells_go_to_those_who_look(method: str, seed: int) -> None:
    keys, values, sharp, vague = head(seed)
    queries = np.concatenate([sharp, vague])
    rest = np.concatenate([np.full(200, -20.0), np.full(800, 30.0)]).astype(np.float32)
    found = compact_head(keys, values, queries, M, method=method, log_rest=rest)
    blind = compact_head(keys, values, queries, M, method=method)
    zero = np.zeros(N, np.float32)
    want = output(sharp, keys, values, zero)

    def error(result: object) -> float:
        got = output(sharp, keys[result.indices], result.values, result.beta)  # type: ignore[attr-defined]
        return float(np.linalg.norm(got - want) / np.linalg.norm(want))

    assert error(found) < 0.7 * error(blind)


@pytest.mark.parametrize("rest", [80.0, 1e30, np.inf])
def test_even_if_nobody_looks(rest: float) -> None:
    keys, values, sharp, _ = head(4)
    found = compact_head(
        keys, values, sharp, M, method="omp", log_rest=np.full(200, rest, np.float32)
    )
    assert len(set(found.indices.tolist())) == M
    assert np.isfinite(found.values).all() and np.isfinite(found.beta).all()


def test_the_mass_outside_is_that_of_attention() -> None:
    info = LayerInfo(0, 4, 2, D, D, 1, 1, False, False, 0.125, 30.0, False)
    rng = np.random.default_rng(0)
    asked = Asked(
        rng.normal(size=(5, 4, D)).astype(np.float32),
        np.array([10, 11, 12, 13, 2], np.int32),
        rng.normal(size=(7, 2, D)).astype(np.float32),
        np.array([3, 4, 9, 10, 11, 12, 13], np.int32),
        rng.normal(size=(2, 7)).astype(np.float32),
    )
    asked.known = np.full((5, 4), -2.0, np.float32)  # further keys, of which only this is left
    tokens = np.arange(5)
    for h in range(4):
        got = asked.log_rest(info, np.full(5, h), tokens)
        for t in range(5):
            scores = asked.queries[t, h].astype(np.float64) @ asked.keys[:, h // 2].T * 0.125
            scores = 30 * np.tanh(scores / 30) + asked.beta[h // 2]
            seen = asked.key_pos <= asked.pos[t]
            want = np.log(np.exp(scores[seen]).sum() + np.exp(-2.0))
            assert got[t] == pytest.approx(want, abs=1e-4)
