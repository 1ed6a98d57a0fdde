"""Whether there is an NPU, as the kernel's accel class tells."""

from __future__ import annotations

from engine.telemetry.files import Root
from engine.telemetry.types import Npu

NAMES = {"amdxdna": "AMD XDNA NPU", "intel_vpu": "Intel NPU"}


def look(root: Root) -> list[Npu]:
    """All accelerators of the accel class."""
    found = []
    for entry in root.entries("/sys/class/accel"):
        device = entry / "device"
        driver = root.table(device / "uevent").get("DRIVER", "")
        name = root.text(device / "vbnv") or NAMES.get(driver, driver or "accelerator")
        found.append(
            Npu(name, driver, f"/dev/accel/{entry.name}", root.text(device / "fw_version") or "")
        )
    return found
