"""What the rules look at: cores, memory, GPU, what the build of llama.cpp can do, and the model."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from engine.config import EngineConfig
from engine.core import remote
from engine.core.model import thread_count
from engine.core.preflight import Header, available_bytes
from engine.telemetry.files import Root
from engine.telemetry.history import main_gpu
from engine.telemetry.machine import Machine
from engine.telemetry.types import Gpu


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """One machine, one build, one model. Bytes throughout."""

    cores: int  # physical cores this process may use
    available: int  # host memory that is free
    gpu: Gpu | None = None  # the one that would be used
    fault: str = ""  # why the machine could not be looked at
    backends: tuple[str, ...] = ()  # of the build, without the CPU's: vulkan, hip, cuda
    devices: int = 0  # GPUs that ggml found
    device_free: int | None = None  # what ggml says is free on the first of them
    model: int = 0  # weights
    layers: int = 0
    cells: int = 0  # the whole cache, in the configured types
    n_ctx: int = 0
    heads: int = 0  # of attention, the most that a layer has
    experts: int = 0  # of a layer
    experts_used: int = 0

    @property
    def unified(self) -> bool:
        """Whether the GPU's memory is the host's."""
        return self.gpu is not None and self.gpu.kind == "apu"

    @property
    def needed(self) -> int:
        """Weights and cells."""
        return self.model + self.cells

    @property
    def gpu_total(self) -> int | None:
        """What the GPU may hold: its memory; of an APU carve-out and GTT. None: nobody says."""
        if self.gpu is None or self.gpu.vram_total is None:
            return None
        return self.gpu.vram_total + ((self.gpu.gtt_total or 0) if self.unified else 0)

    @property
    def gpu_free(self) -> int | None:
        """What is free of that."""
        if self.gpu is None or self.gpu_total is None:
            return self.device_free
        used = (self.gpu.vram_used or 0) + ((self.gpu.gtt_used or 0) if self.unified else 0)
        free = max(0, self.gpu_total - used)
        if not self.unified:
            return free if self.device_free is None else min(free, self.device_free)
        # GTT's pages come out of the host's free memory. What ggml says is not asked here: some
        # backends tell an APU's carve-out alone, others the host's free memory.
        carve = max(0, (self.gpu.vram_total or 0) - (self.gpu.vram_used or 0))
        return min(free, carve + self.available)


def gather(
    header: Header,
    config: EngineConfig,
    *,
    backends: Sequence[str] = (),
    api: Any = None,
    root: str = "",
) -> Facts:
    """Look at the machine (or a recorded one below `root`) and the model's metadata.

    `api`: the module llama_cpp.llama_cpp, for the devices; None = none are asked. A machine that
    cannot be looked at is a fact (`fault`), not an error.
    """
    gpu, fault, available = None, "", available_bytes()
    machine = Machine(root or "/")
    try:
        sample = machine.look()
        gpu = main_gpu(sample)
        available = available if machine.root.live else sample.host.available
    except Exception as error:  # a driver's library that fails must not keep a model from loading
        fault = str(error) or type(error).__name__
    finally:
        machine.close()
    devices, free = _devices(api) if api is not None else (0, None)
    n_ctx = config.n_ctx or header.number("context_length", 4096)
    return Facts(
        cores=_cores(machine.root),
        available=available,
        gpu=gpu,
        fault=fault,
        backends=tuple(name.lower() for name in backends if name.lower() != "cpu"),
        devices=devices,
        device_free=free,
        model=header.bytes_on_disk,
        layers=header.number("block_count"),
        cells=n_ctx * header.kv_bytes_per_cell(config.type_k, config.type_v),
        n_ctx=n_ctx,
        heads=header.number("attention.head_count"),
        experts=header.number("expert_count"),
        experts_used=header.number("expert_used_count"),
    )


def _cores(root: Root) -> int:
    """Physical cores; of a recorded machine, what its /proc/cpuinfo says."""
    if root.live:
        return thread_count(0)
    text = root.data("/proc/cpuinfo") or b""
    cores, package = set(), ""
    for line in text.decode("utf-8", "replace").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "physical id":
            package = value.strip()
        elif key.strip() == "core id":
            cores.add((package, value.strip()))
    return len(cores) or len(re.findall(rb"^processor\s*:", text, re.MULTILINE)) or 1


def _devices(api: Any) -> tuple[int, int | None]:
    """How many GPUs of this machine ggml found, and the bytes free on the first."""
    library = remote.declare(api._lib)
    size = ctypes.POINTER(ctypes.c_size_t)
    library.ggml_backend_dev_memory.restype = None
    library.ggml_backend_dev_memory.argtypes = [ctypes.c_void_p, size, size]
    count, first = remote.local_gpus(api), None
    for index in range(library.ggml_backend_dev_count() if count else 0):
        device = library.ggml_backend_dev_get(index)
        if library.ggml_backend_dev_type(device) in remote.GPUS:
            free, total = ctypes.c_size_t(0), ctypes.c_size_t(0)
            library.ggml_backend_dev_memory(device, ctypes.byref(free), ctypes.byref(total))
            first = free.value if total.value else None
            break
    return count, first
