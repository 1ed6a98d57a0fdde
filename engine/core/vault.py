"""Cells that left the cache: kept in host memory, the oldest moved on to disk, as far as is allowed.

Files have no name (the kernel frees them with the process), so that nothing is left behind.
"""

from __future__ import annotations

import logging
import mmap
import os
import tempfile
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from engine.config import SessionsConfig
from engine.core.frozen import Frozen, freeze
from engine.core.runner import Context
from engine.core.sequence import Sequence, internal
from engine.errors import HaloError

log = logging.getLogger(__name__)

MIB = 1 << 20
FIRST_WAIT, LONGEST_WAIT = 30.0, 600.0  # seconds until a disk that failed is tried again


class Vault:
    """Takes sequences out of the cache. All methods on the core's thread."""

    def __init__(
        self,
        context: Context,
        config: SessionsConfig,
        folder: Path,
        tell: Callable[[str, str, str], None],
    ) -> None:
        """`tell(level, text, session)` makes a line of the event log."""
        self._context, self._config, self._folder, self._tell = context, config, folder, tell
        self._memory: weakref.WeakSet[Frozen] = weakref.WeakSet()
        self._disk: weakref.WeakSet[Frozen] = weakref.WeakSet()
        self._moves: dict[Future[mmap.mmap], weakref.ref[Frozen]] = {}
        self._pool = ThreadPoolExecutor(1, "halo-swap")
        self._wait = 0.0  # seconds between two tries of a disk that fails; 0 = it works
        self._next_try = 0.0
        self._said_full = False

    @property
    def pending(self) -> bool:
        """Whether `pump` has something to do soon."""
        return bool(self._moves)

    def bytes_in(self, place: str) -> int:
        """Bytes that are in "memory" or on "disk" now."""
        return sum(f.size for f in (self._memory if place == "memory" else self._disk))

    def freeze(self, sequence: Sequence) -> Frozen | None:
        """Copy out what a sequence holds, or None when it has to be computed again."""
        if not self._config.swap or internal(sequence.name):
            return None
        if not self._room_for(sequence):
            return None
        try:
            frozen = freeze(self._context, sequence)
        except (HaloError, MemoryError) as error:
            log.warning("cannot copy %s's cells out: %s", sequence.name, error)
            return None
        self._memory.add(frozen)
        self._spill()
        return frozen

    def adopt(self, frozen: Frozen) -> None:
        """Look after what was read from a snapshot, as if it had left the cache."""
        self._memory.add(frozen)
        self._spill()

    def _room_for(self, sequence: Sequence) -> bool:
        needed = self._context.model.kv_bytes_per_cell * sequence.cells_of(sequence.held)
        total = self.bytes_in("memory") + self.bytes_in("disk") + needed
        room = self._config.swap_memory_mib
        if not self._wait:
            room += self._config.swap_disk_mib
        if total <= room * MIB:
            self._said_full = False
            return True
        if not self._said_full:
            self._said_full = True
            remedy = (
                f"{self._folder} cannot be written now." if self._wait
                else "Raise sessions.swap_disk_mib."
            )  # fmt: skip
            self._tell(
                "warning",
                f"No room to keep {sequence.name}'s cells aside ({room:,} MiB are allowed): it "
                f"reads its conversation again. {remedy}",
                sequence.name,
            )
        return False

    def _spill(self) -> None:
        """Begin to move the oldest ones to disk while memory holds more than is allowed."""
        leaving = {id(ref()) for ref in self._moves.values()}
        here = sorted((f for f in self._memory if id(f) not in leaving), key=lambda f: f.last_used)
        excess = sum(f.size for f in here) - self._config.swap_memory_mib * MIB
        for frozen in here:
            if excess <= 0 or time.monotonic() < self._next_try:
                return
            self._moves[self._pool.submit(_to_disk, frozen.state, self._folder)] = weakref.ref(
                frozen
            )
            excess -= frozen.size

    def pump(self) -> None:
        """Between two steps: take note of what has arrived on disk."""
        for future in [f for f in self._moves if f.done()]:
            frozen = self._moves.pop(future)()
            error = future.exception()
            if error is not None:
                self._failed(error)
            elif frozen is not None:
                frozen.state, frozen.place = future.result(), "disk"
                self._memory.discard(frozen)
                self._disk.add(frozen)
                self._succeeded()
        if self._wait and not self._moves and time.monotonic() >= self._next_try:
            self._spill()

    def _failed(self, error: BaseException) -> None:
        """What should have moved stays in memory; try again later."""
        now = time.monotonic()
        if now < self._next_try:  # was on its way when another failed
            return
        first, self._wait = not self._wait, min(LONGEST_WAIT, 2 * self._wait or FIRST_WAIT)
        self._next_try = now + self._wait
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        log.warning(
            "cannot move cells to %s: %s; next try in %.0f s", self._folder, why, self._wait
        )
        if first:
            self._tell(
                "warning",
                f"Idle sessions' cells cannot be moved to {self._folder}: {why}. They stay in "
                "memory, as far as sessions.swap_memory_mib allows; it is tried again every "
                f"{FIRST_WAIT:.0f} to {LONGEST_WAIT:.0f} s.",
                "",
            )

    def _succeeded(self) -> None:
        if self._wait:
            self._wait = self._next_try = 0.0
            self._said_full = False
            self._tell("info", f"Idle sessions' cells can be moved to {self._folder} again.", "")
            self._spill()

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def _to_disk(state: object, folder: Path) -> mmap.mmap:
    """Write to a file without a name; the map keeps it alive."""
    data = memoryview(np.frombuffer(state, np.uint8))  # type: ignore[call-overload]
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        done = 0
        while done < len(data):
            done += os.write(file.fileno(), data[done : done + (64 << 20)])
        return mmap.mmap(file.fileno(), len(data), access=mmap.ACCESS_READ)
