"""Caches of experts, simulated: how often an expert would have been there already.

One layer at a time, one access after the other; every miss loads the expert and throws another out
when the cache is full. `belady` knows the future and is the best such a cache can do.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

FADE = 0.98  # share of an expert's frequency that is left after an access of any


def lru(accesses: Sequence[int], size: int) -> int:
    """Hits when the one used longest ago is thrown out."""
    held: OrderedDict[int, None] = OrderedDict()
    hits = 0
    for expert in accesses:
        if expert in held:
            hits += 1
            held.move_to_end(expert)
            continue
        if len(held) >= size:
            held.popitem(last=False)
        held[expert] = None
    return hits


def ema(accesses: Sequence[int], size: int) -> int:
    """Hits when the one used least often lately (exponential average) is thrown out."""
    held: set[int] = set()
    weight: dict[int, float] = {}  # grows with time instead of all others fading
    gain, hits = 1.0, 0
    for expert in accesses:
        gain /= FADE
        if gain > 1e200:
            weight = {e: w / gain for e, w in weight.items()}
            gain = 1.0
        weight[expert] = weight.get(expert, 0.0) + gain
        if expert in held:
            hits += 1
            continue
        if len(held) >= size:
            held.remove(min(held, key=lambda e: (weight[e], e)))
        held.add(expert)
    return hits


def belady(accesses: Sequence[int], size: int) -> int:
    """Hits when the one that is needed again last is thrown out."""
    never = len(accesses)
    following = [never] * len(accesses)
    last: dict[int, int] = {}
    for i in range(len(accesses) - 1, -1, -1):
        following[i] = last.get(accesses[i], never)
        last[accesses[i]] = i
    held: dict[int, int] = {}  # expert -> its next use
    hits = 0
    for i, expert in enumerate(accesses):
        if expert in held:
            hits += 1
        elif len(held) >= size:
            del held[max(held, key=lambda e: (held[e], e))]
        held[expert] = following[i]
    return hits


CACHES: dict[str, Callable[[Sequence[int], int], int]] = {
    "lru": lru, "ema": ema, "belady": belady,
}  # fmt: skip


def reuse_distances(accesses: Sequence[int]) -> list[int]:
    """For each access but the first of an expert: how many *other* experts came between."""
    stack: list[int] = []  # newest last
    distances = []
    for expert in accesses:
        if expert in stack:
            at = stack.index(expert)
            distances.append(len(stack) - 1 - at)
            del stack[at]
        stack.append(expert)
    return distances
