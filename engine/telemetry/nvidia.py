"""NVIDIA GPUs through NVML (nvidia-ml-py), where its driver is."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from typing import Any

from engine.telemetry.files import Root
from engine.telemetry.types import Fault, Gpu


class NvidiaGpus:
    """A probe. NVML is loaded at the first look, and only when the driver's device is there."""

    def __init__(self, root: Root, nvml: Any = None) -> None:
        """`nvml` stands in for the module pynvml."""
        self._root, self._nvml = root, nvml
        self._ready = False
        self.fault: Fault | None = None

    def look(self, core: int | None = None) -> list[Gpu]:
        """All cards now."""
        if not self._open():
            return []
        nvml = self._nvml
        found = []
        try:
            for index in range(nvml.nvmlDeviceGetCount()):
                found.append(self._one(index, core))
        except nvml.NVMLError as error:
            self.fault = Fault(f"NVML failed: {error}.", "Run nvidia-smi to see why.")
        return found

    def _open(self) -> bool:
        if self._ready:
            return True
        if self.fault is not None:
            return False
        if self._nvml is None:
            if not (self._root.live and self._root.exists("/dev/nvidiactl")):
                return False
            try:
                self._nvml = importlib.import_module("pynvml")
            except ImportError:
                self.fault = Fault(
                    "There is an NVIDIA GPU, but nvidia-ml-py is not installed.",
                    "pip install nvidia-ml-py",
                )
                return False
        try:
            self._nvml.nvmlInit()
        except self._nvml.NVMLError as error:
            self.fault = Fault(
                f"NVML cannot be used: {error}.", "Install the NVIDIA driver's libnvidia-ml."
            )
            return False
        self._ready = True
        return True

    def _one(self, index: int, core: int | None) -> Gpu:
        nvml = self._nvml
        handle = nvml.nvmlDeviceGetHandleByIndex(index)

        def ask(call: Callable[..., Any], *args: Any) -> Any:
            try:
                return call(handle, *args)
            except nvml.NVMLError:
                return None  # a card that does not say, or not to this user

        memory = ask(nvml.nvmlDeviceGetMemoryInfo)
        rates = ask(nvml.nvmlDeviceGetUtilizationRates)
        milliwatts = ask(nvml.nvmlDeviceGetPowerUsage)
        limit = ask(nvml.nvmlDeviceGetEnforcedPowerLimit)
        mine = None
        if core is not None:
            running = ask(nvml.nvmlDeviceGetComputeRunningProcesses) or []
            sizes = [p.usedGpuMemory for p in running if p.pid == core]
            mine = sum(size for size in sizes if size) if sizes else None
        name = ask(nvml.nvmlDeviceGetName) or "NVIDIA GPU"
        return Gpu(
            id=f"nvidia{index}",
            name=name.decode() if isinstance(name, bytes) else name,
            driver="nvidia",
            kind="discrete",
            vram_total=memory.total if memory else None,
            vram_used=memory.used if memory else None,
            own=mine,
            busy=rates.gpu / 100 if rates else None,
            memory_busy=rates.memory / 100 if rates else None,
            power=None if milliwatts is None else milliwatts / 1000,
            power_limit=None if limit is None else limit / 1000,
            temperature=ask(nvml.nvmlDeviceGetTemperature, nvml.NVML_TEMPERATURE_GPU),
            clock=ask(nvml.nvmlDeviceGetClockInfo, nvml.NVML_CLOCK_SM),
            memory_clock=ask(nvml.nvmlDeviceGetClockInfo, nvml.NVML_CLOCK_MEM),
            node=f"/dev/nvidia{index}",
        )

    def close(self) -> None:
        """Give NVML back."""
        if self._ready:
            self._ready = False
            with contextlib.suppress(self._nvml.NVMLError):
                self._nvml.nvmlShutdown()
