"""Probes on recorded machines, on machines that lack things, and on damaged tables."""

from __future__ import annotations

import ctypes
import importlib.util
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.telemetry.amdgpu import AmdGpus, client_memory
from engine.telemetry.clients import SECONDS, Clients
from engine.telemetry.files import Root
from engine.telemetry.gpu_metrics import LAYOUTS, decode
from engine.telemetry.host import HostProbe
from engine.telemetry.machine import NO_GPU, Machine
from engine.telemetry.nvidia import NvidiaGpus
from engine.telemetry.radeon import Libdrm

TREES = Path(__file__).parents[1] / "data" / "sysfs"
HALO, CARD = TREES / "strix-halo", TREES / "discrete"
GIB = 1024**3
CORE = 4242


def copied(tree: Path, folder: Path) -> Path:
    shutil.copytree(tree, folder / "tree")
    return folder / "tree"


def device(tree: Path) -> Path:
    return next(tree.glob("sys/class/drm/card?/device"))


def test_a_strix_halo() -> None:
    sample = Machine(HALO).look(CORE)
    (gpu,) = sample.gpus
    assert (gpu.name, gpu.kind, gpu.metrics) == ("AMD Radeon 8060S Graphics", "apu", "3.0")
    assert gpu.vram_total == GIB // 2
    assert gpu.gtt_total == 25_600_000 * 4096 == sample.host.ttm_limit
    assert gpu.own is not None and 62 < gpu.own / GIB < 62.2  # one client, seen twice, counts once
    assert (gpu.busy, gpu.temperature, gpu.clock) == (0.97, 63.0, 2780.0)
    assert gpu.power == pytest.approx(96.0, abs=0.1) and gpu.gfx_power == pytest.approx(61.2)
    assert gpu.dram_read == pytest.approx(60.1e9)
    assert (gpu.memory_clock, gpu.fabric_clock) == (1000.0, 2000.0)
    assert gpu.hotspot is None and gpu.memory_busy is None  # no such files: not 0
    assert [npu.driver for npu in sample.npus] == ["amdxdna"]
    assert sample.host.cores == 32
    assert sample.host.core_resident == 310_000 * 4096
    assert sample.faults == ()


def test_a_discrete_card() -> None:
    sample = Machine(CARD).look(CORE)
    (gpu,) = sample.gpus
    assert (gpu.kind, gpu.metrics, gpu.vram_total) == ("discrete", "1.3", 25_753_026_560)
    assert (gpu.hotspot, gpu.memory_temperature, gpu.power_limit) == (74.0, 78.0, 339.0)
    assert gpu.throttled == ("power",)
    assert gpu.dram_read is None
    assert sample.npus == ()


def test_kind_is_the_drivers_word_whatever_the_sizes(tmp_path: Path) -> None:
    tree = copied(HALO, tmp_path)
    (device(tree) / "mem_info_vram_total").write_text(str(96 * GIB))  # a large carve-out
    assert Machine(tree).look().gpus[0].kind == "apu"
    (device(tree) / "gpu_metrics").unlink()
    sample = Machine(tree).look()
    assert sample.gpus[0].kind == "unknown"
    assert any("memory of its own" in fault.what and fault.remedy for fault in sample.faults)


def test_a_sleeping_card_and_missing_files(tmp_path: Path) -> None:
    tree = copied(CARD, tmp_path)
    for file in device(tree).rglob("*"):
        if file.is_file() and file.name not in ("vendor", "uevent"):
            file.unlink()
    (gpu,) = Machine(tree).look().gpus
    assert (gpu.power, gpu.busy, gpu.vram_used) == (None, None, None)


def test_no_gpu_says_why(tmp_path: Path) -> None:
    (bare := tmp_path / "bare").mkdir()
    shutil.copytree(HALO / "proc", bare / "proc")
    (fault,) = Machine(bare).look().faults
    assert NO_GPU in fault.what and "no /dev/dri" in fault.what and "modprobe" in fault.remedy
    (bare / "sys/module/amdgpu").mkdir(parents=True)
    (fault,) = Machine(bare).look().faults
    assert "container" in fault.what and "--device /dev/dri" in fault.remedy
    (bare / "dev/dri").mkdir(parents=True)
    (fault,) = Machine(bare).look().faults
    assert "driven by amdgpu" in fault.what


def test_no_permission_names_the_group_and_the_command() -> None:
    faults = Machine(HALO, usable=lambda path: False).look().faults
    assert len(faults) == 2  # the render node and /dev/kfd
    assert all("group" in f.what and "sudo usermod -aG" in f.remedy for f in faults)


def test_cards_of_other_makers_and_connectors_are_no_cards(tmp_path: Path) -> None:
    tree = copied(HALO, tmp_path)
    assert len(AmdGpus(Root(tree)).cards()) == 1  # card0-DP-1 is a connector
    (device(tree) / "vendor").write_text("0x8086")
    assert AmdGpus(Root(tree)).cards() == []


def test_the_cpu_is_busy_since_the_look_before(tmp_path: Path) -> None:
    tree = copied(HALO, tmp_path)
    probe = HostProbe(Root(tree))
    assert probe.look().cpu is None
    words = (tree / "proc/stat").read_text().splitlines()[0].split()
    words[1] = str(int(words[1]) + 300)  # 300 ticks of work
    words[4] = str(int(words[4]) + 100)  # 100 of nothing
    (tree / "proc/stat").write_text(" ".join(words) + "\n")
    assert probe.look().cpu == pytest.approx(0.75)


def test_pressure_and_garbage(tmp_path: Path) -> None:
    tree = copied(HALO, tmp_path)
    file = tree / "proc/pressure/memory"
    file.write_text("some avg10=12.50 avg60=1 avg300=0 total=1\nfull avg10=x\n")
    host = HostProbe(Root(tree)).look()
    assert (host.pressure_some, host.pressure_full) == (0.125, None)


def test_this_machine_is_seen_and_psutil_is_left_alone() -> None:
    import psutil

    Machine(HALO).look()
    host = Machine().look().host
    assert host.total == psutil.virtual_memory().total != Machine(HALO).look().host.total


@given(st.binary(max_size=600))
def test_any_bytes_are_no_reason_to_fail(data: bytes) -> None:
    found = decode(data)
    assert found is None or found.kind in ("apu", "discrete", "unknown")


@given(st.sampled_from(sorted(LAYOUTS)), st.integers(0, 400), st.booleans())
def test_cut_tables_and_unfilled_fields(version: tuple[int, int], cut: int, filled: bool) -> None:
    size = ctypes.sizeof(LAYOUTS[version])
    head = size.to_bytes(2, "little") + bytes(version)
    data = head + (b"\0" if filled else b"\xff") * (size - 4)
    found = decode(data)
    assert found is not None
    assert (found.get("average_gfxclk_frequency") is not None) == filled
    if cut < size:
        assert decode(data[:cut]) is None


def test_sizes_are_those_of_the_kernel() -> None:
    sizes = {version: ctypes.sizeof(layout) for version, layout in LAYOUTS.items()}
    assert (sizes[1, 3], sizes[2, 1], sizes[2, 2], sizes[3, 0]) == (120, 120, 128, 264)


def test_a_newer_table_still_says_what_kind() -> None:
    found = decode((300).to_bytes(2, "little") + bytes((3, 9)) + bytes(296))
    assert found is not None and (found.kind, found.values) == ("apu", {})


def test_throttling_is_counted_in_revision_3(tmp_path: Path) -> None:
    tree = copied(HALO, tmp_path)
    probe, file = AmdGpus(Root(tree)), device(tree) / "gpu_metrics"
    assert probe.look()[0].throttled == ()  # residencies are not 0, but nothing was added yet
    table = LAYOUTS[3, 0].from_buffer(bytearray(file.read_bytes()))
    table.throttle_residency_thm_gfx += 5
    file.write_bytes(bytes(table))
    assert probe.look()[0].throttled == ("temperature",)
    assert probe.look()[0].throttled == ()


def test_fdinfo_of_others_does_not_count(tmp_path: Path) -> None:
    folder = tmp_path / "proc/7/fdinfo"
    folder.mkdir(parents=True)
    (folder / "1").write_text("drm-driver: i915\ndrm-pdev: a\ndrm-memory-gtt: 5 KiB\n")
    (folder / "2").write_text("drm-driver: amdgpu\ndrm-pdev: b\ndrm-memory-gtt: 2 MiB\n")
    assert client_memory(Root(tmp_path), 7) == {"b": 2 * 1024**2}
    assert client_memory(Root(tmp_path), 8) == {}


class FakeNvml:
    """NVML's calls for one card that does not tell its power."""

    NVML_TEMPERATURE_GPU, NVML_CLOCK_SM, NVML_CLOCK_MEM = 0, 1, 2

    class NVMLError(Exception):
        pass

    def __init__(self, broken: bool = False) -> None:
        self.broken, self.open = broken, 0

    def nvmlInit(self) -> None:
        if self.broken:
            raise self.NVMLError("Driver Not Loaded")
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:
        return 1

    def __getattr__(self, name: str) -> Any:
        answers = {
            "nvmlDeviceGetHandleByIndex": "h",
            "nvmlDeviceGetName": b"NVIDIA H200",
            "nvmlDeviceGetMemoryInfo": SimpleNamespace(total=150 * GIB, used=20 * GIB),
            "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=40, memory=10),
            "nvmlDeviceGetTemperature": 44,
            "nvmlDeviceGetClockInfo": 1980,
            "nvmlDeviceGetComputeRunningProcesses": [
                SimpleNamespace(pid=CORE, usedGpuMemory=18 * GIB),
                SimpleNamespace(pid=1, usedGpuMemory=GIB),
            ],
        }

        def call(*_: object) -> Any:
            if name not in answers:
                raise self.NVMLError("Not Supported")
            return answers[name]

        return call


def test_nvidia_by_nvml() -> None:
    nvml = FakeNvml()
    probe = NvidiaGpus(Root(HALO), nvml)
    (gpu,) = probe.look(CORE)
    assert (gpu.name, gpu.kind, gpu.own, gpu.busy) == ("NVIDIA H200", "discrete", 18 * GIB, 0.4)
    assert gpu.power is None
    probe.close()
    assert nvml.open == 0


def test_nvml_that_cannot_be_used_says_so_once() -> None:
    machine = Machine(HALO, nvml=FakeNvml(broken=True))
    for _ in range(2):
        assert [f.what for f in machine.look().faults] == [
            "NVML cannot be used: Driver Not Loaded."
        ]


def test_libdrm_fills_only_what_is_open() -> None:
    (gpu,) = Machine(CARD).look().gpus
    card = SimpleNamespace(pci_slot=gpu.id, name="Radeon RX 7900 XTX", query_power=lambda: 1.0)
    lib = Libdrm(SimpleNamespace(detect_gpus=lambda: 1, get_gpu=lambda index: card))
    filled = lib.fill(gpu)
    assert (filled.name, filled.power) == ("Radeon RX 7900 XTX", 318.0)
    missing = Libdrm(SimpleNamespace(detect_gpus=lambda: _raise(FileNotFoundError("/dev/dri"))))
    assert missing.fill(gpu) == gpu


def _raise(error: Exception) -> Any:
    raise error


def test_the_trees_are_what_make_writes(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("make_trees", TREES / "make.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.HERE = tmp_path
    module.strix_halo()
    module.discrete()
    for tree in (HALO, CARD):
        files = {p.relative_to(TREES): p.read_bytes() for p in tree.rglob("*") if p.is_file()}
        made = tmp_path / tree.name
        assert files == {
            p.relative_to(tmp_path): p.read_bytes() for p in made.rglob("*") if p.is_file()
        }


def test_who_else_holds_gpu_memory() -> None:
    sample = Machine(TREES / "strix-halo").look(4242)
    (user,) = sample.users  # two clients of one process; who holds half a MiB has no name here
    assert (user.pid, user.name) == (2001, "gnome-shell")
    assert user.bytes == (210_000 + 402_000 + 61_000) * 1024
    names = [u.name for u in Machine(TREES / "strix-halo").look().users]
    assert names == ["python", "gnome-shell"]  # no engine is known
    now = [0.0]
    clients = Clients(Root(TREES / "strix-halo"), lambda: now[0])
    looks: list[float] = []
    scan = clients._scan
    clients._scan = lambda: looks.append(now[0]) or scan()  # type: ignore[func-returns-value,method-assign]
    for now[0] in (0.0, 1.0, SECONDS - 0.1, SECONDS, SECONDS + 1):
        clients.look()
    assert looks == [0.0, SECONDS]  # not each second through all processes


def test_a_machine_without_a_gpu_looks_through_no_processes(tmp_path: Path) -> None:
    shutil.copytree(TREES / "strix-halo" / "proc", tmp_path / "proc")
    assert Machine(tmp_path).look().users == ()
