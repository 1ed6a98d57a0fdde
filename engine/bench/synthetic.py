"""Made-up attention heads of the three kinds that real models have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
KINDS = ("sink", "retrieval", "diffuse")


@dataclass(frozen=True, slots=True)
class SyntheticHead:
    """One head with queries to fit to and others, of the same source, to judge by."""

    keys: Array  # [n, d]
    values: Array  # [n, d]
    queries: Array  # [q, d]
    unseen: Array  # [unseen, d]


def make(kind: str, n: int, d: int, q: int, *, unseen: int = 512, seed: int = 0) -> SyntheticHead:
    """A head whose text wanders through topics; its queries ask for topics, or for single cells.

    sink: the first cell takes most of each query's mass, the rest is spread; retrieval: a query
    asks for one of a few hundred cells and finds it; diffuse: mass spread over whole topics.
    """
    random = np.random.default_rng([seed, n, d, KINDS.index(kind)])
    topics, rank = 24, 16
    centres = random.standard_normal((topics, rank)) @ random.standard_normal((rank, d))
    centres /= np.sqrt(rank)
    span = np.repeat(random.integers(0, topics, n // 32 + 1), 32)[:n]
    keys = centres[span] + 0.7 * random.standard_normal((n, d))
    meanings = random.standard_normal((topics, d))
    values = 0.8 * meanings[span] + 0.6 * random.standard_normal((n, d))
    total = q + unseen
    mix = random.dirichlet(np.full(topics, 0.15), total)
    queries = 0.5 * (mix @ centres) + 0.4 * random.standard_normal((total, d))
    if kind == "retrieval":
        needles = random.permutation(n)[: max(8, n // 8)]
        odds = 1.0 / np.arange(1, len(needles) + 1) ** 0.7
        asked = random.choice(needles, total, p=odds / odds.sum())
        queries = 0.9 * keys[asked] + 0.3 * random.standard_normal((total, d))
    if kind == "sink":
        axis = random.standard_normal(d)
        axis /= np.linalg.norm(axis)
        keys -= np.outer(keys @ axis, axis)
        keys[0] = 12.0 * axis
        values[0] *= 0.05
        lift = np.sqrt(d) * (np.log(n) + random.normal(1.5, 0.7, total)) / 12.0
        queries += np.outer(lift - queries @ axis, axis)
    both = queries.astype(np.float32)
    return SyntheticHead(keys.astype(np.float32), values.astype(np.float32), both[:q], both[q:])
