"""When to draw: one clock for all that moves by itself, slower where drawing would slow the model.

Text, meters and the cell map draw at common instants, so that the screen is put together once for all
of them. Where the model computes on the processor, every millisecond of drawing is missing there:
its threads wait for each other at each step. Then the pace follows what the app has used. Keys are
not paced: their echo is drawn at once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

SLOWEST = 0.2  # seconds between two frames; more reads as stuttering
BUDGET = 0.03  # of one core, for the app while answers stream
LOOK_AGAIN = 0.5  # seconds between two looks at what was used


class Frames:
    """The pace. `interval` is between two frames, in seconds."""

    def __init__(
        self,
        fps: int,
        now: Callable[[], float] = time.monotonic,
        used: Callable[[], float] = time.process_time,
    ) -> None:
        """`fps`: frames per second where nothing has to be spared."""
        self.fastest = 1 / max(1, fps)
        self.interval = self.fastest
        self.sparing = False  # the model needs the processor
        self.driven = False  # somebody draws all that is behind at each frame
        self._now, self._used = now, used
        self._seen = (now(), used())

    def wait(self, least: float = 0.0) -> float:
        """Seconds to the first common frame that is at least so far away."""
        now = self._now()
        ticks = math.ceil((now + max(least, 0.001)) / self.interval - 1e-6)
        return max(0.001, ticks * self.interval - now)

    @property
    def stretch(self) -> float:
        """How many times rarer than configured what nobody reads word by word is drawn."""
        return (self.interval / self.fastest) ** 2

    def look(self, busy: bool) -> None:
        """Adapt to what the app used since the last look; `busy`: answers stream."""
        now, used = self._now(), self._used()
        before, spent = self._seen
        if now - before < LOOK_AGAIN:
            return
        self._seen = (now, used)
        slowest = max(SLOWEST, self.fastest)
        if not self.sparing:
            self.interval = self.fastest
        elif busy:  # else little is drawn; the next answer begins at the pace of the last
            factor = (used - spent) / (now - before) / BUDGET
            wanted = self.interval * min(2.0, max(0.7, factor))
            self.interval = min(slowest, max(self.fastest, wanted))
