"""Writes the recorded trees beside it: python tests/data/sysfs/make.py

Nobody here has such a machine: files, units and limits are those of public descriptions (the kernel's
documentation of amdgpu and of drm fdinfo, kgd_pp_interface.h, reports of owners). See README.md.
"""

from __future__ import annotations

import ctypes
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2]))

from engine.telemetry.gpu_metrics import LAYOUTS  # noqa: E402

GIB = 1024**3
PAGE = 4096


def write(root: Path, files: dict[str, str | int | bytes]) -> None:
    for name, value in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(value if isinstance(value, bytes) else f"{value}\n".encode())


def table(form: int, content: int, **values: int | list[int]) -> bytes:
    """A gpu_metrics table; what is not given holds all ones, as the firmware leaves it."""
    layout = LAYOUTS[form, content]
    made = layout.from_buffer(bytearray(b"\xff" * ctypes.sizeof(layout)))
    made.structure_size, made.format_revision, made.content_revision = (
        ctypes.sizeof(layout), form, content,
    )  # fmt: skip
    for name, value in values.items():
        if isinstance(value, list):
            getattr(made, name)[:] = value
        else:
            setattr(made, name, value)
    return bytes(made)


def meminfo(total: int, available: int, cached: int, swap: int, swap_free: int) -> str:
    rows = {
        "MemTotal": total, "MemFree": available - cached // 2, "MemAvailable": available,
        "Buffers": 200_000, "Cached": cached, "SwapCached": 0, "Active": 4_000_000,
        "Inactive": 3_000_000, "SwapTotal": swap, "SwapFree": swap_free, "Shmem": 900_000,
        "Slab": 700_000, "SReclaimable": 300_000,
    }  # fmt: skip
    return "\n".join(f"{key + ':':15} {value:>9} kB" for key, value in rows.items())


def stat(cores: int) -> str:
    lines = [f"cpu  {40_000 * cores} 100 {9_000 * cores} {900_000 * cores} 500 0 300 0 0 0"]
    lines += [f"cpu{n} 40000 100 9000 900000 500 0 300 0 0 0" for n in range(cores)]
    return "\n".join([*lines, "btime 1700000000", "procs_running 4"])


def proc(cores: int, memory: str) -> dict[str, str | int | bytes]:
    half = cores // 2  # physical cores, of two threads each
    blocks = [
        f"processor\t: {n}\ncpu MHz\t\t: 4100.0\nphysical id\t: 0\ncore id\t\t: {n % half}\n"
        for n in range(cores)
    ]
    return {
        "proc/meminfo": memory,
        "proc/stat": stat(cores),
        "proc/vmstat": "pswpin 0\npswpout 0",
        "proc/loadavg": "3.42 2.90 2.10 4/1500 99999",
        "proc/cpuinfo": "\n".join(blocks),
        "proc/pressure/memory": (
            "some avg10=0.00 avg60=0.12 avg300=0.05 total=812345\n"
            "full avg10=0.00 avg60=0.08 avg300=0.02 total=512345"
        ),
    }


def strix_halo() -> None:
    """128 GB, carve-out of 512 MiB set in the BIOS, ttm.pages_limit=25600000; a 62 GB model."""
    root = HERE / "strix-halo"
    shutil.rmtree(root, ignore_errors=True)
    device = "sys/class/drm/card0/device"
    gtt_used = int(66.4 * GIB)
    memory = meminfo(130_960_000, 53_400_000, 9_000_000, 8_388_604, 8_388_604)
    metrics = table(
        3, 0,
        temperature_gfx=6340, temperature_soc=5890, temperature_core=[6100] * 16,
        average_gfx_activity=97, average_vcn_activity=0, average_ipu_activity=[0] * 8,
        average_core_c0_activity=[12] * 16, average_dram_reads=60_100, average_dram_writes=2_450,
        average_ipu_reads=0, average_ipu_writes=0, system_clock_counter=1_234_567_890,
        average_socket_power=96_500, average_ipu_power=0, average_apu_power=96_500,
        average_gfx_power=61_200, average_all_core_power=14_300, average_core_power=[890] * 16,
        average_gfxclk_frequency=2780, average_socclk_frequency=1200,
        average_fclk_frequency=2000, average_uclk_frequency=1000, average_vclk_frequency=0,
        current_coreclk=[4100] * 16, current_core_maxfreq=5187, current_gfx_maxfreq=2900,
        throttle_residency_prochot=0, throttle_residency_spl=120, throttle_residency_fppt=0,
        throttle_residency_sppt=40, throttle_residency_thm_core=0, throttle_residency_thm_gfx=0,
        throttle_residency_thm_soc=0, time_filter_alphavalue=1_000,
    )  # fmt: skip
    write(root, {
        **proc(32, memory),
        f"{device}/vendor": "0x1002",
        f"{device}/device": "0x1586",
        f"{device}/uevent": "DRIVER=amdgpu\nPCI_CLASS=30000\nPCI_ID=1002:1586\n"
                            "PCI_SLOT_NAME=0000:c5:00.0",
        f"{device}/product_name": "AMD Radeon 8060S Graphics",
        f"{device}/drm/card0/dev": "226:0",
        f"{device}/drm/renderD128/dev": "226:128",
        f"{device}/mem_info_vram_total": GIB // 2,
        f"{device}/mem_info_vram_used": int(0.31 * GIB),
        f"{device}/mem_info_vis_vram_total": GIB // 2,
        f"{device}/mem_info_vis_vram_used": int(0.31 * GIB),
        f"{device}/mem_info_gtt_total": 25_600_000 * PAGE,
        f"{device}/mem_info_gtt_used": gtt_used,
        f"{device}/gpu_busy_percent": 97,
        f"{device}/gpu_metrics": metrics,
        f"{device}/hwmon/hwmon4/name": "amdgpu",
        f"{device}/hwmon/hwmon4/temp1_label": "edge",
        f"{device}/hwmon/hwmon4/temp1_input": 63_000,
        f"{device}/hwmon/hwmon4/power1_label": "PPT",
        f"{device}/hwmon/hwmon4/power1_input": 96_012_000,
        f"{device}/hwmon/hwmon4/freq1_label": "sclk",
        f"{device}/hwmon/hwmon4/freq1_input": 2_780_000_000,
        "sys/class/drm/card0-DP-1/status": "connected",
        "sys/class/accel/accel0/device/uevent": "DRIVER=amdxdna\nPCI_SLOT_NAME=0000:c6:00.1",
        "sys/class/accel/accel0/device/vbnv": "RyzenAI-npu5",
        "sys/class/accel/accel0/device/fw_version": "1.0.0.63",
        "sys/module/ttm/parameters/pages_limit": 25_600_000,
        "sys/module/ttm/initstate": "live",  # a module; without it ttm is built into the kernel
        "sys/module/amdgpu/parameters/gttsize": -1,
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": 4_100_000,
        "dev/dri/renderD128": "",
        "dev/dri/card0": "",
        "dev/kfd": "",
        # the engine core: 62.1 GiB of it in GTT through two descriptors of one client
        "proc/4242/statm": "420000 310000 120000 10 0 90000 0",
        "proc/4242/fdinfo/17": fdinfo("0000:c5:00.0", 31, 4_096, 65_116_570),
        "proc/4242/fdinfo/19": fdinfo("0000:c5:00.0", 31, 4_096, 65_116_570),
        "proc/4242/fdinfo/3": "pos:\t0\nflags:\t02\nmnt_id:\t15",
        "proc/4242/comm": "python",
        "proc/2001/comm": "gnome-shell",
        "proc/2001/fdinfo/12": fdinfo("0000:c5:00.0", 7, 210_000, 402_000),
        "proc/2001/fdinfo/13": fdinfo("0000:c5:00.0", 9, 0, 61_000),
        "proc/2050/comm": "tiny",
        "proc/2050/fdinfo/4": fdinfo("0000:c5:00.0", 11, 0, 512),
    })  # fmt: skip


def fdinfo(slot: str, client: int, vram_kib: int, gtt_kib: int) -> str:
    return (
        f"pos:\t0\nflags:\t02100002\ndrm-driver:\tamdgpu\ndrm-client-id:\t{client}\n"
        f"drm-pdev:\t{slot}\npasid:\t32771\ndrm-total-vram:\t{vram_kib} KiB\n"
        f"drm-resident-vram:\t{vram_kib} KiB\ndrm-total-gtt:\t{gtt_kib} KiB\n"
        f"drm-resident-gtt:\t{gtt_kib} KiB\ndrm-memory-vram:\t{vram_kib} KiB\n"
        f"drm-memory-gtt:\t{gtt_kib} KiB\ndrm-engine-compute:\t81234567890 ns"
    )


def discrete() -> None:
    """A Radeon RX 7900 XTX (24 GiB) in a machine with 64 GB."""
    root = HERE / "discrete"
    shutil.rmtree(root, ignore_errors=True)
    device = "sys/class/drm/card1/device"
    metrics = table(
        1, 3,
        temperature_edge=58, temperature_hotspot=74, temperature_mem=78,
        average_gfx_activity=99, average_umc_activity=61, average_mm_activity=0,
        average_socket_power=318, average_gfxclk_frequency=2455, average_uclk_frequency=1249,
        current_gfxclk=2455, current_uclk=1249, throttle_status=0, current_fan_speed=1420,
        pcie_link_width=16, pcie_link_speed=160, indep_throttle_status=1 << 1,
    )  # fmt: skip
    write(root, {
        **proc(16, meminfo(65_780_000, 48_200_000, 12_000_000, 0, 0)),
        f"{device}/vendor": "0x1002",
        f"{device}/device": "0x744c",
        f"{device}/uevent": "DRIVER=amdgpu\nPCI_ID=1002:744C\nPCI_SLOT_NAME=0000:03:00.0",
        f"{device}/drm/card1/dev": "226:1",
        f"{device}/drm/renderD128/dev": "226:128",
        f"{device}/mem_info_vram_total": 25_753_026_560,
        f"{device}/mem_info_vram_used": int(19.6 * GIB),
        f"{device}/mem_info_vis_vram_total": 25_753_026_560,
        f"{device}/mem_info_vis_vram_used": int(19.6 * GIB),
        f"{device}/mem_info_gtt_total": int(31.4 * GIB),
        f"{device}/mem_info_gtt_used": int(0.2 * GIB),
        f"{device}/gpu_busy_percent": 99,
        f"{device}/mem_busy_percent": 61,
        f"{device}/gpu_metrics": metrics,
        f"{device}/hwmon/hwmon2/name": "amdgpu",
        f"{device}/hwmon/hwmon2/temp1_label": "edge",
        f"{device}/hwmon/hwmon2/temp1_input": 58_000,
        f"{device}/hwmon/hwmon2/temp2_label": "junction",
        f"{device}/hwmon/hwmon2/temp2_input": 74_000,
        f"{device}/hwmon/hwmon2/temp3_label": "mem",
        f"{device}/hwmon/hwmon2/temp3_input": 78_000,
        f"{device}/hwmon/hwmon2/power1_average": 318_000_000,
        f"{device}/hwmon/hwmon2/power1_cap": 339_000_000,
        f"{device}/hwmon/hwmon2/freq1_input": 2_455_000_000,
        f"{device}/hwmon/hwmon2/freq2_input": 1_249_000_000,
        "sys/module/ttm/parameters/pages_limit": 8_222_500,
        "dev/dri/renderD128": "",
        "dev/kfd": "",
        "proc/4242/statm": "420000 210000 120000 10 0 90000 0",
        "proc/4242/fdinfo/17": fdinfo("0000:03:00.0", 12, 19_503_120, 102_400),
    })  # fmt: skip


if __name__ == "__main__":
    strix_halo()
    discrete()
