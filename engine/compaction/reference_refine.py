"""The refinement's twin in NumPy float64: keys, biases and values by gradient descent (Adam).

Ours, not the paper's: it selects keys and solves for biases and values in closed form, which is where
this starts. Minimised over the queries: |s'o' - s o|² + (s' - s)² |o|², with o the output over the span
and s the span's share of the attention, given the log mass of the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

RATE, POLISH, LOOKS = 0.1, 0.3, 4
ENOUGH = 2048  # queries; with fewer, steps are shorter in proportion
DECAY_MEAN, DECAY_SQUARE = 0.9, 0.999
LOWER, ABOVE = 8.0, 3.0  # default bounds of the change of beta, around 0 and an even share


@dataclass(frozen=True, slots=True)
class Cells:
    """Parameters of m cells, or their slopes."""

    keys: Array  # [m, d]
    beta: Array  # [m]
    values: Array  # [m, dv]


@dataclass(frozen=True, slots=True)
class Problem:
    """Queries and what the full span answered them."""

    queries: Array  # [q, d]
    output: Array  # [q, dv] softmax over the span times the values
    log_mass: Array  # [q]
    rest: Array  # [q] log mass outside; -inf = nothing, log_mass where it is not known
    scale: float
    softcap: float = 0.0

    def part(self, rows: slice) -> Self:
        return replace(
            self,
            queries=self.queries[rows],
            output=self.output[rows],
            log_mass=self.log_mass[rows],
            rest=self.rest[rows],
        )

    def share(self, log_mass: Array) -> Array:
        """Of the attention that goes to the span."""
        return 1 / (1 + np.exp(np.clip(self.rest - log_mass, -80, 80)))

    def loss(self, cells: Cells, unit: float) -> tuple[float, Cells]:
        """The mean loss in units of `unit` (mean |s o|²), and its slopes."""
        raw = self.queries @ cells.keys.T * self.scale
        scores, slope = raw, np.ones_like(raw)
        if self.softcap > 0:
            scores = self.softcap * np.tanh(raw / self.softcap)
            slope = 1 - (scores / self.softcap) ** 2
        scores = scores + cells.beta
        top = scores.max(1, keepdims=True)
        weights = np.exp(scores - top)
        mass = weights.sum(1, keepdims=True)
        weights /= mass
        found = weights @ cells.values
        was, now = self.share(self.log_mass), self.share((top + np.log(mass))[:, 0])
        gap = now[:, None] * found - was[:, None] * self.output
        whole = (self.output**2).sum(1)
        loss = float(((gap**2).sum(1) + (now - was) ** 2 * whole).mean() / unit)
        each = 2 / (unit * len(gap))
        d_found = each * now[:, None] * gap
        d_mass = each * ((gap * found).sum(1) + (now - was) * whole) * now * (1 - now)
        d_weights = d_found @ cells.values.T
        d_scores = weights * (
            d_weights - (weights * d_weights).sum(1, keepdims=True) + d_mass[:, None]
        )
        return loss, Cells(
            self.scale * (d_scores * slope).T @ self.queries,
            d_scores.sum(0),
            weights.T @ d_found,
        )

    def errors(self, cells: Cells) -> tuple[float, float]:
        """Relative error of the output at the share that it had, and mean |log mass ratio|."""
        raw = self.queries @ cells.keys.T * self.scale
        if self.softcap > 0:
            raw = self.softcap * np.tanh(raw / self.softcap)
        scores = raw + cells.beta
        top = scores.max(1, keepdims=True)
        weights = np.exp(scores - top)
        mass = weights.sum(1, keepdims=True)
        was = self.share(self.log_mass)[:, None]
        apart = was * (weights / mass @ cells.values - self.output)
        size = np.linalg.norm(was * self.output)
        off = np.abs((top + np.log(mass))[:, 0] - self.log_mass).mean()
        return float(np.linalg.norm(apart) / size), float(off)


def _descend(
    problem: Problem, cells: Cells, unit: float, rates: Cells, lo: Array, hi: Array, limit: float,
    steps: int, whole: int, rate: float, memory: dict[str, tuple[Array, Array]], done: int,
) -> Cells:  # fmt: skip
    for step in range(done, done + steps):
        _, slopes = problem.loss(cells, unit)
        pace, t = rate * (1 - step / whole), step + 1
        moved = {}
        for name in ("keys", "beta", "values"):
            slope = getattr(slopes, name)
            mean, square = memory.get(name, (np.zeros_like(slope), np.zeros_like(slope)))
            mean = DECAY_MEAN * mean + (1 - DECAY_MEAN) * slope
            square = DECAY_SQUARE * square + (1 - DECAY_SQUARE) * slope**2
            memory[name] = mean, square
            under = np.sqrt(square / (1 - DECAY_SQUARE**t)) + 1e-12
            moved[name] = (
                getattr(cells, name)
                - pace * getattr(rates, name) * (mean / (1 - DECAY_MEAN**t)) / under
            )
        cells = Cells(
            moved["keys"],
            np.clip(moved["beta"], lo, hi),
            np.clip(moved["values"], -limit, limit),
        )
    return cells


def refine(
    problem: Problem, q_fit: int, start: Cells, key_scale: float, value_scale: float,
    bounds: tuple[Array, Array], limit: float, steps: int, bar: float,
) -> Cells | None:  # fmt: skip
    """The refined cells, or None when the queries behind the first `q_fit` see nothing better.

    `bounds` are of beta [m], `limit` of |values|; `bar` is the largest output error that is taken.
    All queries take part in each step, as in the kernel where there are at most 512.
    """
    whole = (problem.share(problem.log_mass) ** 2 * (problem.output**2).sum(1)).mean()
    rates = Cells(np.array(key_scale), np.array(1.0), np.array(value_scale))
    fitting, held = problem.part(slice(0, q_fit)), problem.part(slice(q_fit, None))
    best, kept = held.loss(start, float(whole))[0], None
    cells, done = start, 0
    memory: dict[str, tuple[Array, Array]] = {}
    rate = RATE * min(1.0, q_fit / ENOUGH)
    for look in range(LOOKS):
        upto = steps * (look + 1) // LOOKS
        cells = _descend(
            fitting, cells, float(whole), rates, *bounds, limit, upto - done, steps, rate, memory, done
        )  # fmt: skip
        done = upto
        loss = held.loss(cells, float(whole))[0]
        if loss < best and held.errors(cells)[0] <= bar:
            best, kept = loss, cells
    if kept is None:
        return None
    last = max(1, steps // LOOKS)
    cells = _descend(
        problem, kept, float(whole), rates, *bounds, limit, last, last, rate * POLISH, {}, 0
    )
    return cells if held.loss(cells, float(whole))[0] <= best else kept
