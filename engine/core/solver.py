"""The thread that solves layers while the core's loop goes on decoding."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterable

from engine.compaction import span
from engine.compaction.kernels import Cancel

PATIENT = (
    10  # nice: a tenth of a core that a step wants too; with 19, or SCHED_IDLE, next to nothing
)


class Worker(threading.Thread):
    """Solves layers as they come; the native calls let the main loop run."""

    def __init__(
        self,
        work: Callable[[span.LayerData, Cancel], object],
        *,
        results: Iterable[object] = (),
        patient: bool = False,
    ) -> None:
        """`results`: of layers that another worker has solved. `patient`: where steps want the same
        cores, they come first."""
        super().__init__(name="compaction", daemon=True)
        self.work = work
        self._patient = patient
        self.inbox: queue.Queue[span.LayerData | None] = queue.Queue(1)
        self.results = list(results)
        self.failure: Exception | None = None
        self.finished = threading.Event()
        self.cancel = Cancel()

    def run(self) -> None:
        try:
            if self._patient:
                _yield_to_all()
            while (data := self.inbox.get()) is not None and not self.cancel.is_set():
                self.results.append(self.work(data, self.cancel))
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


def _yield_to_all() -> None:
    """Lower the priority of the calling thread and of those it will start."""
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), PATIENT)
    except OSError:
        pass  # it competes then; nothing else changes
