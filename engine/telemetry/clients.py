"""Who else holds GPU memory: the kernel's drm fdinfo of this user's other processes.

Looking through all processes takes some milliseconds, so that it is done every quarter of a minute and
only where there is a GPU. Processes of others cannot be read; what they hold stays unnamed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.telemetry.amdgpu import client_memory
from engine.telemetry.files import Root
from engine.telemetry.types import GpuUser

SECONDS = 15.0
LEAST = 8 * 1024**2  # bytes; less is not worth a name
MOST = 6


class Clients:
    """Looks again when what it knows is older than `SECONDS`."""

    def __init__(self, root: Root, clock: Callable[[], float] = time.monotonic) -> None:
        self._root = root
        self._clock = clock
        self._due = float("-inf")
        self._known: tuple[GpuUser, ...] = ()

    def look(self, core: int | None = None) -> tuple[GpuUser, ...]:
        """Those that hold most, without the engine `core`."""
        if self._clock() >= self._due:
            self._due = self._clock() + SECONDS
            self._known = self._scan()
        return tuple(user for user in self._known if user.pid != core)[:MOST]

    def _scan(self) -> tuple[GpuUser, ...]:
        found = []
        for folder in self._root.entries("/proc"):
            if not folder.name.isdigit() or not self._uses_gpu(folder):
                continue
            pid = int(folder.name)
            held = sum(client_memory(self._root, pid).values())
            if held >= LEAST:
                name = self._root.text(folder / "comm") or f"process {pid}"
                found.append(GpuUser(pid, name, held))
        return tuple(sorted(found, key=lambda user: -user.bytes))

    def _uses_gpu(self, folder: Path) -> bool:
        """Whether a process has a render node open; of a recorded one, whether it has fdinfo."""
        if not self._root.live:
            return (folder / "fdinfo").is_dir()
        return any(target.startswith("/dev/dri/") for target in _open_files(folder))


def _open_files(folder: Path) -> Iterator[str]:
    try:
        with os.scandir(folder / "fd") as entries:
            for entry in entries:
                try:
                    yield os.readlink(entry.path)
                except OSError:
                    continue  # closed meanwhile
    except OSError:
        return  # somebody else's, or it has ended
