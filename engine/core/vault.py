"""Cells that left the cache: kept in host memory, the oldest moved on to disk, as far as is allowed.

Files have no name (the kernel frees them with the process), so that nothing is left behind.
"""

from __future__ import annotations

import logging
import mmap
import os
import tempfile
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from engine.config import SessionsConfig
from engine.core.frozen import Frozen, freeze
from engine.core.runner import Context
from engine.core.sequence import Sequence
from engine.errors import HaloError

log = logging.getLogger(__name__)

MIB = 1 << 20


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
        self._disk_works = True
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
        if not self._config.swap or sequence.name.startswith("~"):
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
        if self._disk_works:
            room += self._config.swap_disk_mib
        if total <= room * MIB:
            self._said_full = False
            return True
        if not self._said_full:
            self._said_full = True
            self._tell(
                "warning",
                f"No room to keep {sequence.name}'s cells aside ({room:,} MiB are allowed): it "
                "reads its conversation again. Raise sessions.swap_disk_mib.",
                sequence.name,
            )
        return False

    def _spill(self) -> None:
        """Begin to move the oldest ones to disk while memory holds more than is allowed."""
        leaving = {id(ref()) for ref in self._moves.values()}
        here = sorted((f for f in self._memory if id(f) not in leaving), key=lambda f: f.last_used)
        excess = sum(f.size for f in here) - self._config.swap_memory_mib * MIB
        for frozen in here:
            if excess <= 0 or not self._disk_works:
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
                self._disk_works = False
                why = error.strerror if isinstance(error, OSError) else error
                self._tell(
                    "warning",
                    f"Idle sessions' cells cannot be moved to {self._folder}: {why}. They stay in "
                    "memory, as far as sessions.swap_memory_mib allows.",
                    "",
                )
            elif frozen is not None:
                frozen.state, frozen.place = future.result(), "disk"
                self._memory.discard(frozen)
                self._disk.add(frozen)

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
