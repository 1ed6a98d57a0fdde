"""Whatever the input, a compaction returns valid cells and never loses to the unfitted selection."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.compaction import METHODS, compact_head

BAD = [np.nan, np.inf, -np.inf, 1e38, -1e38, 1e-40, 0.0]


@st.composite
def heads(draw):
    n, q = draw(st.integers(1, 70)), draw(st.integers(0, 50))
    d, dv = draw(st.integers(1, 19)), draw(st.integers(1, 19))
    random = np.random.default_rng(draw(st.integers(0, 2**16)))
    size = draw(st.sampled_from([0.0, 1e-20, 1.0, 30.0, 1e20]))
    keys, values = random.standard_normal((n, d)) * size, random.standard_normal((n, dv))
    queries = random.standard_normal((q, d))
    if draw(st.booleans()):  # duplicates
        keys = keys[random.integers(0, max(1, n // 4), n)]
    if draw(st.booleans()):
        values *= draw(st.sampled_from([0.0, 1e-30, 1e30]))
    for array in (keys, values, queries):
        if array.size and draw(st.booleans()):
            array.flat[random.integers(0, array.size, 2)] = draw(st.sampled_from(BAD))
    beta = key_pos = query_pos = None
    if draw(st.booleans()):
        beta = random.standard_normal(n)
        beta[random.random(n) < draw(st.sampled_from([0.0, 0.5, 1.0]))] = -np.inf
    if draw(st.booleans()):
        key_pos = random.integers(-3, n + 3, n)
        query_pos = random.integers(-5, n + 5, q)
    return (
        keys.astype(np.float32),
        values.astype(np.float32),
        queries.astype(np.float32),
        beta,
        key_pos,
        query_pos,
    )


@given(
    heads(),
    st.integers(1, 80),
    st.sampled_from(METHODS),
    st.sampled_from([None, 0.0, 1e-3, 10.0]),
    st.sampled_from([1, 3]),
    st.sampled_from([0.0, 30.0]),
)
@settings(max_examples=150, deadline=None)
def test_degenerate_heads(head, m, method, ridge, threads, softcap):
    keys, values, queries, beta, key_pos, query_pos = head
    with np.errstate(all="ignore"):
        result = compact_head(
            keys,
            values,
            queries,
            m,
            method=method,
            ridge=ridge,
            beta=beta,
            key_pos=key_pos,
            query_pos=query_pos,
            threads=threads,
            softcap=softcap,
        )
    kept = min(m, len(keys))
    assert result.indices.shape == (kept,) and result.values.shape == (kept, values.shape[1])
    assert (np.diff(result.indices) > 0).all()
    assert result.indices.min() >= 0 and result.indices.max() < len(keys)
    assert not np.isnan(result.beta).any() and (result.beta < np.inf).all()
    present = np.isfinite(keys).all(1) & np.isfinite(values).all(1)
    if beta is not None:
        present &= np.isfinite(beta)
    alive = result.beta > -np.inf
    np.testing.assert_array_equal(alive, present[result.indices])
    assert alive.sum() == min(kept, present.sum())  # absent cells only where nothing else is left
    assert np.isfinite(result.values[alive]).all()
    info = result.diagnostics
    if info.held_out and not np.isnan(info.output_error_unfitted):
        assert info.output_error <= info.output_error_unfitted
