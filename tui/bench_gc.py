"""The garbage collector's passes while the app works, for `bench ui`."""

from __future__ import annotations

import gc
import time
from typing import Any


class Passes:
    """How long each took, in milliseconds: nothing is drawn and no key is answered meanwhile."""

    def __init__(self) -> None:
        self.milliseconds: list[float] = []
        self._began = 0.0

    def begin(self) -> None:
        """Watch from now on."""
        gc.callbacks.append(self._passed)

    def _passed(self, phase: str, _: dict[str, Any]) -> None:
        now = time.perf_counter()
        if phase == "start":
            self._began = now
        else:
            self.milliseconds.append((now - self._began) * 1000)


def summary(prefix: str, milliseconds: list[float]) -> dict[str, float]:
    """How many passes, the longest, and all together."""
    return {
        f"{prefix}gc_passes": len(milliseconds),
        f"{prefix}gc_longest_ms": max(milliseconds, default=0.0),
        f"{prefix}gc_ms": sum(milliseconds),
    }
