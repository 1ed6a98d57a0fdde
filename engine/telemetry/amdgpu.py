"""AMD GPUs through the sysfs files of the amdgpu driver."""

from __future__ import annotations

import re
from pathlib import Path

from engine.telemetry.files import Root
from engine.telemetry.gpu_metrics import Metrics, decode
from engine.telemetry.types import Gpu

CARD = re.compile(r"card\d+$")
AMD = 0x1002
MB = 1_000_000.0  # gpu_metrics counts bandwidth in MB/s
SENSORS = {"edge": "temperature", "junction": "hotspot", "mem": "memory_temperature"}


class AmdGpus:
    """A probe: call `look` once a second. Keeps the table before, since throttling is counted."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._before: dict[str, Metrics] = {}
        self._hwmon: dict[Path, Path | None] = {}

    def cards(self) -> list[Path]:
        """Device folders of the cards that amdgpu drives."""
        found = []
        for card in self._root.entries("/sys/class/drm"):
            if not CARD.match(card.name):
                continue
            device = card / "device"
            if self._root.number(device / "vendor") != AMD:
                continue
            if self._root.table(device / "uevent").get("DRIVER", "amdgpu") == "amdgpu":
                found.append(device)
        return found

    def look(self, core: int | None = None) -> list[Gpu]:
        """All cards now. `core`: process id whose share of the memory is wanted."""
        own = client_memory(self._root, core) if core else {}
        return [self._one(device, own) for device in self.cards()]

    def _one(self, device: Path, own: dict[str, int]) -> Gpu:
        root = self._root
        slot = root.table(device / "uevent").get("PCI_SLOT_NAME", device.parent.name)
        metrics = decode(root.data(device / "gpu_metrics", 4096))
        before = self._before.get(slot)
        if metrics is not None:
            self._before[slot] = metrics
        filled = metrics or Metrics("", "unknown")
        apu = filled.kind == "apu"
        three = filled.version.startswith("3.")
        sensors = self._sensors(device)
        milliwatts = 0.001
        watts = filled.get("average_socket_power", scale=milliwatts) if three else None
        return Gpu(
            id=slot,
            name=self._name(device, slot),
            driver="amdgpu",
            kind=filled.kind,
            vram_total=root.number(device / "mem_info_vram_total"),
            vram_used=root.number(device / "mem_info_vram_used"),
            visible_total=root.number(device / "mem_info_vis_vram_total"),
            visible_used=root.number(device / "mem_info_vis_vram_used"),
            gtt_total=root.number(device / "mem_info_gtt_total"),
            gtt_used=root.number(device / "mem_info_gtt_used"),
            own=own.get(slot),
            busy=_percent(
                _first(
                    root.number(device / "gpu_busy_percent"),
                    filled.get("average_gfx_activity") if three else None,
                )
            ),
            memory_busy=_percent(root.number(device / "mem_busy_percent")),
            power=_first(sensors.get("power"), watts),
            power_limit=_first(
                sensors.get("power_limit"),
                # Of tables whose 16 bits cannot hold the limit of a desktop chip, 0 is no limit.
                (filled.get("current_stapm_power_limit", scale=milliwatts) or None)
                if three
                else None,
            ),
            gfx_power=filled.get("average_gfx_power", scale=milliwatts) if three else None,
            temperature=_first(
                sensors.get("temperature"),
                filled.get("temperature_gfx", scale=0.01) if three else None,
            ),
            hotspot=sensors.get("hotspot"),
            memory_temperature=sensors.get("memory_temperature"),
            clock=_first(
                sensors.get("clock"), filled.get("current_gfxclk", "average_gfxclk_frequency")
            ),
            memory_clock=_first(
                sensors.get("memory_clock"), filled.get("current_uclk", "average_uclk_frequency")
            ),
            fabric_clock=filled.get("current_fclk", "average_fclk_frequency") if apu else None,
            dram_read=filled.get("average_dram_reads", scale=MB),
            dram_write=filled.get("average_dram_writes", scale=MB),
            npu_busy=filled.mean("average_ipu_activity", scale=0.01),
            npu_power=filled.get("average_ipu_power", scale=milliwatts) if three else None,
            throttled=filled.throttled(before),
            metrics=filled.version,
            node=self._node(device),
        )

    def _name(self, device: Path, slot: str) -> str:
        if name := self._root.text(device / "product_name"):
            return name
        found = self._root.number(device / "device")
        return f"AMD GPU {found:#06x}" if found is not None else f"AMD GPU {slot}"

    def _node(self, device: Path) -> str:
        names = [entry.name for entry in self._root.entries(device / "drm")]
        node = next((name for name in names if name.startswith("renderD")), "")
        return f"/dev/dri/{node}" if node else ""

    def _sensors(self, device: Path) -> dict[str, float]:
        """hwmon: µW, milli-°C and Hz become W, °C and MHz."""
        if device not in self._hwmon:
            self._hwmon[device] = next(iter(self._root.entries(device / "hwmon")), None)
        folder = self._hwmon[device]
        if folder is None:
            return {}
        read = self._root.number
        found: dict[str, float | None] = {}
        for index in (1, 2, 3):
            label = self._root.text(folder / f"temp{index}_label") or ("edge" if index == 1 else "")
            value = read(folder / f"temp{index}_input") if label in SENSORS else None
            if value is not None:
                found[SENSORS[label]] = value / 1000
        power = read(folder / "power1_average")
        power = power if power is not None else read(folder / "power1_input")
        found["power"] = power / 1e6 if power is not None else None
        cap = read(folder / "power1_cap")
        found["power_limit"] = cap / 1e6 if cap else None
        for index, key in ((1, "clock"), (2, "memory_clock")):
            hertz = read(folder / f"freq{index}_input")
            found[key] = hertz / 1e6 if hertz is not None else None
        return {key: value for key, value in found.items() if value is not None}


def client_memory(root: Root, pid: int) -> dict[str, int]:
    """Bytes of VRAM and GTT that a process holds, by PCI slot: the kernel's drm fdinfo.

    A client may have several descriptors of one file, so that its id counts once.
    """
    held: dict[str, int] = {}
    seen: set[tuple[str, str]] = set()
    for entry in root.entries(f"/proc/{pid}/fdinfo"):
        text = root.text(entry)
        if text is None or "drm-driver" not in text:
            continue
        info = root.table(entry, ":")
        slot, client = info.get("drm-pdev", ""), info.get("drm-client-id", entry.name)
        if info.get("drm-driver") != "amdgpu" or (slot, client) in seen:
            continue
        seen.add((slot, client))
        for region in ("vram", "gtt"):
            # Newer kernels write resident sizes; drm-memory- stays for older tools.
            words = (
                info.get(f"drm-resident-{region}") or info.get(f"drm-memory-{region}") or ""
            ).split()
            if words and words[0].isdigit():
                unit = {"KiB": 1024, "MiB": 1024**2}.get(words[1] if len(words) > 1 else "", 1)
                held[slot] = held.get(slot, 0) + int(words[0]) * unit
    return held


def _percent(value: float | None) -> float | None:
    return None if value is None else min(1.0, max(0.0, value / 100))


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)
