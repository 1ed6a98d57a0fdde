"""The last minutes of what is plotted."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from engine.telemetry.bars import Bar
from engine.telemetry.types import Gpu, Sample

SERIES = ("load", "power", "clock", "temperature", "memory", "cpu", "bandwidth")


class History:
    """One value for each look; None where nobody told."""

    def __init__(self, length: int) -> None:
        self.length = max(2, length)
        self.values: dict[str, deque[float | None]] = {
            name: deque(maxlen=self.length) for name in SERIES
        }

    def add(self, sample: Sample, bars: Sequence[Bar]) -> None:
        """Take in a look. Of several GPUs the first one that tells is plotted."""
        gpu = main_gpu(sample)
        pool = bars[0] if bars else None
        reads = [gpu.dram_read, gpu.dram_write] if gpu else []
        told = [value for value in reads if value is not None]
        now = {
            "load": gpu.busy if gpu else None,
            "power": gpu.power if gpu else None,
            "clock": gpu.clock if gpu else None,
            "temperature": gpu.temperature if gpu else None,
            "memory": pool.used / pool.total if pool and pool.total else None,
            "cpu": sample.host.cpu,
            "bandwidth": sum(told) if told else None,
        }
        for name, value in now.items():
            self.values[name].append(value)

    def told(self, name: str) -> bool:
        """Whether there is anything to plot."""
        return any(value is not None for value in self.values[name])


def main_gpu(sample: Sample) -> Gpu | None:
    """The GPU that is plotted: one with memory of its own, else the APU, else any."""
    ranks = {"discrete": 0, "apu": 1}
    return min(sample.gpus, key=lambda gpu: ranks.get(gpu.kind, 2), default=None)
