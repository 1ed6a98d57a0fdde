"""The thread that solves layers while the core's loop goes on decoding."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from engine.compaction import span
from engine.compaction.kernels import Cancel


class Worker(threading.Thread):
    """Solves layers as they come; the native calls let the main loop run."""

    def __init__(self, work: Callable[[span.LayerData], object]) -> None:
        super().__init__(name="compaction", daemon=True)
        self._work = work
        self.inbox: queue.Queue[span.LayerData | None] = queue.Queue(1)
        self.results: list[object] = []
        self.failure: Exception | None = None
        self.finished = threading.Event()
        self.cancel = Cancel()

    def run(self) -> None:
        try:
            while (data := self.inbox.get()) is not None and not self.cancel.is_set():
                self.results.append(self._work(data))
        except Exception as error:  # reported by the main loop
            self.failure = error
        finally:
            self.finished.set()

    def stop(self) -> None:
        """Have it end soon; what it found is not wanted any more."""
        self.cancel.set()
        if not self.finished.is_set():
            try:
                self.inbox.put_nowait(None)
            except queue.Full:
                pass  # it looks at `cancel` after the layer in hand

    @property
    def hungry(self) -> bool:
        return not self.inbox.full() and not self.finished.is_set()
