"""What a look at the machine found. Bytes, watts, °C, MHz and shares 0 to 1 throughout.

None means that nobody says: no file, no permission, or a table without that field. It is never 0.
"""

from __future__ import annotations

import msgspec


class Fault(msgspec.Struct, frozen=True):
    """Something that keeps a probe from seeing all, and what to do about it."""

    what: str
    remedy: str = ""


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """One GPU at one moment."""

    id: str  # PCI slot, or "nvidia0"
    name: str
    driver: str  # amdgpu | nvidia
    kind: str  # apu | discrete | unknown: as the driver says, never guessed from sizes
    vram_total: int | None = None  # on an APU: the carve-out
    vram_used: int | None = None
    visible_total: int | None = None  # part of the VRAM the CPU can address
    visible_used: int | None = None
    gtt_total: int | None = None  # host memory the GPU may map at most
    gtt_used: int | None = None
    own: int | None = None  # of VRAM and GTT used, what the engine core's process holds (fdinfo)
    busy: float | None = None
    memory_busy: float | None = None
    power: float | None = None  # of the GPU; on an APU of the whole socket
    power_limit: float | None = None
    gfx_power: float | None = None
    temperature: float | None = None
    hotspot: float | None = None
    memory_temperature: float | None = None
    clock: float | None = None  # shader clock
    memory_clock: float | None = None
    fabric_clock: float | None = None
    dram_read: float | None = None  # bytes/s, time filtered
    dram_write: float | None = None
    npu_busy: float | None = None  # mean over the columns
    npu_power: float | None = None
    throttled: tuple[str, ...] = ()  # reasons in force
    metrics: str = ""  # version of the gpu_metrics table, "3.0"
    node: str = ""  # render node, "/dev/dri/renderD128"


class GpuUser(msgspec.Struct, frozen=True):
    """Another process of this user that holds GPU memory (VRAM and GTT, all cards)."""

    pid: int
    name: str
    bytes: int


class Npu(msgspec.Struct, frozen=True):
    """A neural processing unit the kernel knows."""

    name: str
    driver: str
    node: str
    firmware: str = ""


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """CPU and system memory."""

    total: int
    available: int
    used: int  # total - available
    cached: int = 0
    swap_total: int = 0
    swap_used: int = 0
    limit: int | None = None  # of the control group, where it is lower than total
    cpu: float | None = None  # busy share of all cores since the look before
    cores: int = 0
    load: float | None = None  # 1 minute
    cpu_clock: float | None = None
    pressure_some: float | None = None  # memory PSI, share of the last 10 s
    pressure_full: float | None = None
    core_resident: int | None = None  # resident memory of the engine core's process
    core_file: int | None = None  # of it, pages of files (mapped weights)
    ttm_limit: int | None = None  # ttm.pages_limit in bytes


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """Everything found in one look."""

    time: float  # seconds since the epoch
    host: Host
    gpus: tuple[Gpu, ...] = ()
    npus: tuple[Npu, ...] = ()
    faults: tuple[Fault, ...] = ()
    users: tuple[GpuUser, ...] = ()  # who else holds GPU memory, the most first
