"""One look at the whole machine: every probe, and why one sees nothing.

A probe of another maker's GPUs is one file with a class that has `look(core) -> list[Gpu]`, and one
line in `Machine.__init__`.
"""

from __future__ import annotations

import grp
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from engine.telemetry import npu
from engine.telemetry.amdgpu import AmdGpus
from engine.telemetry.clients import Clients
from engine.telemetry.files import Root
from engine.telemetry.host import HostProbe
from engine.telemetry.nvidia import NvidiaGpus
from engine.telemetry.radeon import Libdrm
from engine.telemetry.types import Fault, Gpu, Sample

NO_GPU = "no AMD GPU found: showing host memory"


class Probe(Protocol):
    """Finds the GPUs of one driver."""

    def look(self, core: int | None = None) -> list[Gpu]:
        """All of its GPUs now; `core` is the engine core's process id."""


def _usable(path: Path) -> bool:
    return os.access(path, os.R_OK | os.W_OK)


class Machine:
    """All probes. One look takes about a millisecond; call it from one thread at a time."""

    def __init__(
        self,
        root: str | Path = "/",
        *,
        usable: Callable[[Path], bool] = _usable,
        nvml: Any = None,
    ) -> None:
        """`root`: "/" or a recorded tree. `usable`: whether this user may open a device file."""
        self.root = Root(root)
        self._usable = usable
        self._amd = AmdGpus(self.root)
        self._nvidia = NvidiaGpus(self.root, nvml)
        self._probes: tuple[Probe, ...] = (self._amd, self._nvidia)
        self._libdrm = Libdrm() if self.root.live else None
        self._host = HostProbe(self.root)
        self._clients = Clients(self.root)

    def look(self, core: int | None = None) -> Sample:
        """Everything now. `core`: the engine core's process id, for its share of the memory."""
        host = self._host.look(core)
        gpus = [gpu for probe in self._probes for gpu in probe.look(core)]
        if self._libdrm is not None:
            gpus = [self._libdrm.fill(gpu) if gpu.driver == "amdgpu" else gpu for gpu in gpus]
        faults = self._faults(gpus)
        return Sample(
            time=time.time(),
            host=host,
            gpus=tuple(gpus),
            npus=tuple(npu.look(self.root)),
            faults=tuple(faults),
            users=self._clients.look(core) if gpus else (),
        )

    def _faults(self, gpus: list[Gpu]) -> list[Fault]:
        faults = [] if self._nvidia.fault is None else [self._nvidia.fault]
        amd = [gpu for gpu in gpus if gpu.driver == "amdgpu"]
        if not gpus:
            faults.append(self._nothing())
        for gpu in amd:
            if gpu.node and (fault := self._permission(gpu.node)):
                faults.append(fault)
            if gpu.kind == "unknown":
                faults.append(
                    Fault(
                        f"The driver does not say whether {gpu.name} has memory of its own: its "
                        f"gpu_metrics table {'is ' + gpu.metrics if gpu.metrics else 'cannot be read'}.",
                        "Update the kernel; its memory is shown apart from the host's meanwhile.",
                    )
                )
        kfd = self.root.at("/dev/kfd")
        if amd and kfd.exists() and not self._usable(kfd):
            faults.append(self._denied("/dev/kfd"))
        return faults

    def _nothing(self) -> Fault:
        """Why no GPU was found."""
        if not self.root.exists("/dev/dri"):
            if self.root.exists("/sys/module/amdgpu"):
                why = "the amdgpu driver is loaded, but there is no /dev/dri here (a container?)"
                remedy = "Start the container with --device /dev/dri --device /dev/kfd."
            else:
                why = "there is no /dev/dri, since no GPU driver is loaded"
                remedy = (
                    "With an AMD GPU: sudo modprobe amdgpu, and see `sudo dmesg | grep amdgpu`; "
                    "in a container: --device /dev/dri --device /dev/kfd."
                )
        else:
            why = "none of the cards in /sys/class/drm is driven by amdgpu"
            remedy = "Without an AMD GPU there is nothing to do: the CPU is used."
        return Fault(f"{NO_GPU} ({why}).", remedy)

    def _permission(self, node: str) -> Fault | None:
        path = self.root.at(node)
        if not path.exists():
            return Fault(
                f"{node} is missing, so that nothing can be computed on the GPU.",
                "In a container: --device /dev/dri --device /dev/kfd.",
            )
        return None if self._usable(path) else self._denied(node)

    def _denied(self, node: str) -> Fault:
        group = "render"
        try:
            group = grp.getgrgid(self.root.at(node).stat().st_gid).gr_name
        except (OSError, KeyError):
            pass
        group = group if group not in ("root", "wheel") else "render"
        return Fault(
            f"This user may not open {node}, which belongs to the group {group}.",
            f"sudo usermod -aG {group} $USER, then log in again.",
        )

    def close(self) -> None:
        """Give libraries back."""
        self._nvidia.close()
