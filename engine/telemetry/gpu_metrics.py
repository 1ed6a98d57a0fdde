"""The binary table `gpu_metrics` of amdgpu: the layouts of the kernel's kgd_pp_interface.h.

Format revision 1 is that of discrete cards (and of the MI300 family), 2 and 3 are those of APUs.
A field the firmware does not fill holds all ones. Only fields whose unit is the same on every chip
with that table are taken: power and temperatures of revision 2 are not (hwmon has them).
"""

from __future__ import annotations

import ctypes
from ctypes import c_uint8 as u8
from ctypes import c_uint16 as u16
from ctypes import c_uint32 as u32
from ctypes import c_uint64 as u64
from dataclasses import dataclass, field

Fields = list[tuple[str, type]]


def _many(kind: type, names: str) -> Fields:
    return [(name, kind) for name in names.split()]


_HEADER: Fields = [("structure_size", u16), ("format_revision", u8), ("content_revision", u8)]
_V1_1: Fields = [
    *_HEADER,
    *_many(u16, "temperature_edge temperature_hotspot temperature_mem temperature_vrgfx "
                "temperature_vrsoc temperature_vrmem average_gfx_activity average_umc_activity "
                "average_mm_activity average_socket_power"),
    ("energy_accumulator", u64), ("system_clock_counter", u64),
    *_many(u16, "average_gfxclk_frequency average_socclk_frequency average_uclk_frequency "
                "average_vclk0_frequency average_dclk0_frequency average_vclk1_frequency "
                "average_dclk1_frequency current_gfxclk current_socclk current_uclk current_vclk0 "
                "current_dclk0 current_vclk1 current_dclk1"),
    ("throttle_status", u32),
    *_many(u16, "current_fan_speed pcie_link_width pcie_link_speed padding"),
    *_many(u32, "gfx_activity_acc mem_activity_acc"),
    ("temperature_hbm", u16 * 4),
]  # fmt: skip
_V1_2: Fields = [*_V1_1, ("firmware_timestamp", u64)]
_V1_3: Fields = [
    *_V1_2,
    *_many(u16, "voltage_soc voltage_gfx voltage_mem padding1"),
    ("indep_throttle_status", u64),
]
_CLOCKS_V2 = (
    "average_gfxclk_frequency average_socclk_frequency average_uclk_frequency "
    "average_fclk_frequency average_vclk_frequency average_dclk_frequency current_gfxclk "
    "current_socclk current_uclk current_fclk current_vclk current_dclk"
)
_V2_1: Fields = [
    *_HEADER,
    *_many(u16, "temperature_gfx temperature_soc"),
    ("temperature_core", u16 * 8), ("temperature_l3", u16 * 2),
    *_many(u16, "average_gfx_activity average_mm_activity"),
    ("system_clock_counter", u64),
    *_many(u16, "average_socket_power average_cpu_power average_soc_power average_gfx_power"),
    ("average_core_power", u16 * 8),
    *_many(u16, _CLOCKS_V2),
    ("current_coreclk", u16 * 8), ("current_l3clk", u16 * 2),
    ("throttle_status", u32), ("fan_pwm", u16), ("padding", u16 * 3),
]  # fmt: skip
_V2_2: Fields = [*_V2_1, ("indep_throttle_status", u64)]
_V2_3: Fields = [
    *_V2_2,
    *_many(u16, "average_temperature_gfx average_temperature_soc"),
    ("average_temperature_core", u16 * 8), ("average_temperature_l3", u16 * 2),
]  # fmt: skip
_V2_4: Fields = [
    *_V2_3,
    *_many(u16, "average_cpu_voltage average_soc_voltage average_gfx_voltage average_cpu_current "
                "average_soc_current average_gfx_current"),
]  # fmt: skip
_V3_0: Fields = [
    *_HEADER,
    *_many(u16, "temperature_gfx temperature_soc"),
    ("temperature_core", u16 * 16),
    *_many(u16, "temperature_skin average_gfx_activity average_vcn_activity"),
    ("average_ipu_activity", u16 * 8), ("average_core_c0_activity", u16 * 16),
    *_many(u16, "average_dram_reads average_dram_writes average_ipu_reads average_ipu_writes"),
    ("system_clock_counter", u64),
    ("average_socket_power", u32), ("average_ipu_power", u16),
    *_many(u32, "average_apu_power average_gfx_power average_dgpu_power average_all_core_power"),
    ("average_core_power", u16 * 16),
    *_many(u16, "average_sys_power stapm_power_limit current_stapm_power_limit "
                "average_gfxclk_frequency average_socclk_frequency average_vpeclk_frequency "
                "average_ipuclk_frequency average_fclk_frequency average_vclk_frequency "
                "average_uclk_frequency average_mpipu_frequency"),
    ("current_coreclk", u16 * 16),
    *_many(u16, "current_core_maxfreq current_gfx_maxfreq"),
    *_many(u32, "throttle_residency_prochot throttle_residency_spl throttle_residency_fppt "
                "throttle_residency_sppt throttle_residency_thm_core throttle_residency_thm_gfx "
                "throttle_residency_thm_soc time_filter_alphavalue"),
]  # fmt: skip


def _structure(name: str, fields: Fields) -> type[ctypes.LittleEndianStructure]:
    return type(name, (ctypes.LittleEndianStructure,), {"_fields_": fields})


LAYOUTS: dict[tuple[int, int], type[ctypes.LittleEndianStructure]] = {
    version: _structure(f"GpuMetrics{version[0]}_{version[1]}", fields)
    for version, fields in {
        (1, 1): _V1_1, (1, 2): _V1_2, (1, 3): _V1_3,
        (2, 1): _V2_1, (2, 2): _V2_2, (2, 3): _V2_3, (2, 4): _V2_4, (3, 0): _V3_0,
    }.items()
}  # fmt: skip
KINDS = {1: "discrete", 2: "apu", 3: "apu"}
# Bits of indep_throttle_status (amdgpu_smu.h): what a person can do something about.
_THROTTLERS = {
    "power": range(16),
    "current": range(16, 32),
    "temperature": range(32, 56),
    "other": range(56, 64),
}
_RESIDENCIES = {
    "prochot": "temperature", "spl": "power", "fppt": "power", "sppt": "power",
    "thm_core": "temperature", "thm_gfx": "temperature", "thm_soc": "temperature",
}  # fmt: skip


@dataclass(frozen=True)
class Metrics:
    """A decoded table. `kind`: apu | discrete | unknown, by the format revision."""

    version: str
    kind: str
    values: dict[str, int] = field(default_factory=dict)  # fields that are filled
    lists: dict[str, list[int]] = field(default_factory=dict)

    def get(self, *names: str, scale: float = 1.0) -> float | None:
        """The first of these fields that is filled, times `scale`."""
        for name in names:
            if name in self.values:
                return self.values[name] * scale
        return None

    def mean(self, name: str, scale: float = 1.0) -> float | None:
        """Mean of an array's filled entries, times `scale`."""
        found = self.lists.get(name) or []
        return sum(found) / len(found) * scale if found else None

    def throttled(self, before: Metrics | None) -> tuple[str, ...]:
        """Why it is slowed down: power | current | temperature | other.

        Revision 3 counts, so that takes the table of the look `before`.
        """
        reasons = set()
        bits = self.values.get("indep_throttle_status", 0)
        for reason, places in _THROTTLERS.items():
            if any(bits >> place & 1 for place in places):
                reasons.add(reason)
        for name, reason in _RESIDENCIES.items() if before else ():
            key = f"throttle_residency_{name}"
            if self.values.get(key, 0) > before.values.get(key, 1 << 32):  # type: ignore[union-attr]
                reasons.add(reason)
        return tuple(sorted(reasons))


def decode(data: bytes | None) -> Metrics | None:
    """Decode a table. None when there is none or it is cut off.

    Of a version nobody described here only the header is used: it says what kind of GPU it is.
    """
    if data is None or len(data) < 4:
        return None
    size, form, content = int.from_bytes(data[:2], "little"), data[2], data[3]
    if size < 4 or form == 0:
        return None
    version, kind = f"{form}.{content}", KINDS.get(form, "unknown")
    layout = LAYOUTS.get((form, content))
    if layout is None:
        return Metrics(version, kind)
    if len(data) < ctypes.sizeof(layout):
        return None
    table = layout.from_buffer_copy(data)
    values: dict[str, int] = {}
    lists: dict[str, list[int]] = {}
    for name, c_type in layout._fields_:  # type: ignore[misc]
        value = getattr(table, name)
        if isinstance(value, int):
            if value != (1 << (8 * ctypes.sizeof(c_type))) - 1:
                values[name] = value
        else:
            lists[name] = [int(one) for one in value if one != 0xFFFF]  # all arrays are of u16
    return Metrics(version, kind, values, lists)
