"""The thread tuner against machines that are known."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from engine.core.threads import ThreadTuner


class Machine:
    """Runs steps whose duration is a function of the thread count; time is simulated."""

    def __init__(self, maximum: int, cost: Callable[[int], float]) -> None:
        self.now = 100.0
        self.cost = cost
        self.tuner = ThreadTuner(maximum, clock=lambda: self.now)
        self.used: list[int] = []

    def run(self, steps: int, batch: int = 8) -> float:
        """Mean duration of a step."""
        began = self.now
        for _ in range(steps):
            threads = self.tuner.choose()
            self.used.append(threads)
            seconds = self.cost(threads)
            self.now += seconds
            self.tuner.record(batch, seconds)
        return (self.now - began) / steps


@pytest.mark.parametrize(
    ("cost", "best"),
    [
        (lambda n: 0.010 / n, 6),  # a quiet machine
        (lambda n: 0.002 + 0.002 * n, 1),  # a tiny model
        (lambda n: 0.004 / n + 0.001 * n, 2),
        (lambda n: 0.004 / n if n < 4 else 0.2, 2),  # four threads meet busy cores
    ],
)
def test_the_fastest_count_is_found(cost: Callable[[int], float], best: int) -> None:
    machine = Machine(6, cost)
    machine.run(200)
    assert machine.tuner.current == best


def test_trials_cost_little() -> None:
    machine = Machine(8, lambda n: 0.002 * n)
    machine.run(100)
    assert machine.run(20000) < 0.002 * 1.06


def test_a_slow_count_is_left_after_two_steps() -> None:
    machine = Machine(4, lambda n: 1.0 if n == 2 else 0.01)
    machine.run(40)
    assert machine.used.count(2) == 2


def test_it_follows_a_machine_that_becomes_busy_and_quiet_again() -> None:
    machine = Machine(4, lambda n: 0.008 / n)
    machine.run(100)
    assert machine.tuner.current == 4
    machine.cost = lambda n: 0.004 * n
    machine.run(8000)
    assert machine.tuner.current == 1
    machine.cost = lambda n: 0.008 / n
    machine.run(8000)
    assert machine.tuner.current == 4


def test_other_batches_start_the_trial_again() -> None:
    machine = Machine(4, lambda n: 0.004 * n)
    for batch in (1, 2, 3, 4, 5, 6):
        machine.run(7, batch)
    machine.run(60, 8)
    assert machine.tuner.current == 1
    assert set(machine.used) == {1, 2, 4}


def test_one_thread_is_one_thread() -> None:
    machine = Machine(1, lambda n: 0.01)
    machine.run(50)
    assert set(machine.used) == {1}
