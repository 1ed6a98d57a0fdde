"""System memory, swap, pressure and CPU: psutil, and /proc where psutil does not look."""

from __future__ import annotations

import os
import threading

import psutil

from engine.telemetry.files import Root
from engine.telemetry.types import Host

_psutil = threading.Lock()  # PROCFS_PATH is one for the whole process
PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


class HostProbe:
    """A probe: the CPU's share is that since the look before."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._before: tuple[float, float] | None = None

    def look(self, core: int | None = None) -> Host:
        """The host now; `core` is the process id of the engine core."""
        root = self._root
        with _psutil:
            kept = getattr(psutil, "PROCFS_PATH", "/proc")
            try:
                if not root.live:
                    psutil.PROCFS_PATH = str(root.at("/proc"))
                memory, swap = psutil.virtual_memory(), psutil.swap_memory()
                times = psutil.cpu_times()
            finally:
                psutil.PROCFS_PATH = kept
        idle = times.idle + getattr(times, "iowait", 0.0)
        # user and nice have the guests' time in them already
        total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        cpu = None
        if self._before is not None and total > self._before[1]:
            cpu = 1 - (idle - self._before[0]) / (total - self._before[1])
        self._before = (idle, total)
        some, full = self._pressure()
        resident, file = self._resident(core) if core else (None, None)
        pages = root.number("/sys/module/ttm/parameters/pages_limit")
        load = (root.text("/proc/loadavg") or "").split()
        return Host(
            total=memory.total,
            available=memory.available,
            used=memory.total - memory.available,
            cached=getattr(memory, "cached", 0),
            swap_total=swap.total,
            swap_used=swap.used,
            limit=self._limit(memory.total),
            cpu=None if cpu is None else min(1.0, max(0.0, cpu)),
            cores=self._cores(),
            load=float(load[0]) if load else None,
            cpu_clock=self._clock(),
            pressure_some=some,
            pressure_full=full,
            core_resident=resident,
            core_file=file,
            ttm_limit=None if pages is None else pages * PAGE,
        )

    def _pressure(self) -> tuple[float | None, float | None]:
        """Memory PSI: shares of the last 10 s in which some, or all, tasks waited for memory."""
        found: dict[str, float] = {}
        for line in (self._root.text("/proc/pressure/memory") or "").splitlines():
            kind, *pairs = line.split()
            values = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
            try:
                found[kind] = float(values["avg10"]) / 100
            except (KeyError, ValueError):
                continue
        return found.get("some"), found.get("full")

    def _resident(self, pid: int) -> tuple[int | None, int | None]:
        words = (self._root.text(f"/proc/{pid}/statm") or "").split()
        if len(words) < 3 or not all(word.isdigit() for word in words[:3]):
            return None, None
        return int(words[1]) * PAGE, int(words[2]) * PAGE

    def _limit(self, total: int) -> int | None:
        """The lowest memory.max from the process's control group up (cgroup v2)."""
        if not self._root.live:
            return None
        lines = (self._root.text("/proc/self/cgroup") or "").splitlines()
        path = next((line.split(":", 2)[2] for line in lines if line.startswith("0::")), "/")
        limits = []
        while True:
            value = self._root.number(f"/sys/fs/cgroup{path.rstrip('/')}/memory.max")
            if value is not None:
                limits.append(value)
            if path in ("/", ""):
                break
            path = path.rsplit("/", 1)[0] or "/"
        return min(limits) if limits and min(limits) < total else None

    def _cores(self) -> int:
        """Logical cores: the lines cpu0, cpu1, ... of /proc/stat."""
        lines = (self._root.text("/proc/stat") or "").splitlines()
        return sum(line.startswith("cpu") and line[3:4].isdigit() for line in lines)

    def _clock(self) -> float | None:
        """Clock of the first core in MHz; reading all of them takes long on many cores."""
        kilohertz = self._root.number("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq")
        return None if kilohertz is None else kilohertz / 1000
