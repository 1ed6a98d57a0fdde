"""How many threads decode steps get: measured while running, since it cannot be known.

A decode step is hundreds of small operations, each of which waits for its slowest thread. With a
tiny model, or when other programs use cores, fewer threads are faster, by up to an order of
magnitude; with a large model on a quiet machine all of them are. Prompts always get all threads:
their operations are large.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

SAMPLES = 5  # steps measured for each count, after one that is not
BETTER = 0.92  # a count must be that much faster to be changed to
HOPELESS = 2.5  # a single step so much slower than the best count needs no second look
PAUSE_SECONDS = 4.0  # between trials; and a trial takes at most a twentieth of the time


class ThreadTuner:
    """Chooses a thread count for each decode step, from the durations of earlier ones."""

    def __init__(self, maximum: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.maximum = maximum
        self.current = maximum
        self._clock = clock
        self._counts = sorted({maximum, *(2**i for i in range(10) if 2**i < maximum)})
        self._trial = list(reversed(self._counts)) if maximum > 1 else []
        self._results: dict[int, float] = {}
        self._samples: list[float] = []
        self._warm = False
        self._batch = 0
        self._trial_seconds = 0.0
        self._next_trial = float("inf") if maximum == 1 else 0.0

    def choose(self) -> int:
        """Threads for the next decode step."""
        if not self._trial and self._clock() >= self._next_trial:
            self._begin()
        return self._trial[0] if self._trial else self.current

    def record(self, batch: int, seconds: float) -> None:
        """The decode step of `batch` sequences with the chosen threads took so long."""
        if not self._trial:
            return
        if batch != self._batch:  # other work: what was measured does not compare
            self._batch = batch
            self._trial = [*self._results, *self._trial]
            self._results.clear()
            self._samples.clear()
            self._warm = False
        self._trial_seconds += seconds
        if not self._warm:
            self._warm = True  # the first step starts threads, or was built for another batch
            return
        self._samples.append(seconds)
        best = min(self._results.values(), default=seconds)
        if len(self._samples) >= SAMPLES or min(self._samples) > HOPELESS * best:
            self._results[self._trial.pop(0)] = median(self._samples)
            self._samples.clear()
            self._warm = False
            if not self._trial:
                self._decide()

    def _begin(self) -> None:
        """Compare the current count with its neighbours."""
        at = self._counts.index(self.current)
        self._trial = self._counts[max(0, at - 1) : at + 2]
        self._results.clear()
        self._samples.clear()
        self._warm = False
        self._trial_seconds = 0.0

    def _decide(self) -> None:
        best = min(self._results, key=self._results.__getitem__)
        now = self._results.get(self.current, float("inf"))
        if self._results[best] < BETTER * now:
            self.current = best
        self._results.clear()
        self._next_trial = self._clock() + max(PAUSE_SECONDS, 20 * self._trial_seconds)
