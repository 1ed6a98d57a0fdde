"""What doctor says of GPUs, on recorded machines and on what was changed about them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tui.cli import machine_checks, memory_checks
from tui.cli.checks import Report
from tui.cli.settings import Settings

TREES = Path(__file__).parents[1] / "data" / "sysfs"
GIB = 1024**3


def report_of(tree: Path, needed: int = 0, backends: tuple[str, ...] = ("cpu",)) -> Report:
    report = Report(Settings())
    report.config.telemetry.root = str(tree)
    report.memory = {"needed": needed}
    report.backends = list(backends)
    report.devices = ["CPU"]
    return report


def looked(report: Report) -> dict[str, tuple[bool | None, str]]:
    machine_checks.gpu(report)
    machine_checks.backend(report)
    memory_checks.gpu_memory(report)
    return {check.name: (check.ok, check.detail) for check in report.checks}


@pytest.fixture(autouse=True)
def built(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    monkeypatch.setattr(machine_checks, "_built", lambda: names)
    return names


def test_a_cpu_build_on_a_strix_halo() -> None:
    report = report_of(TREES / "strix-halo", 60 * GIB)
    found = looked(report)
    assert found["gpu"][0] is True
    assert "APU, unified memory" in found["gpu"][1] and "carve-out 512 MiB" in found["gpu"][1]
    assert found["gpu backend"][0] is False
    (problem,) = report.problems
    assert "make run BACKEND=vulkan" in problem.remedy and "hip" in problem.remedy
    assert found["gpu memory"][0] is True
    assert report.gpu["kfd"] and report.gpu["dri"] == ["/dev/dri/renderD128"]


def test_a_vulkan_build(built: list[str]) -> None:
    built.append("vulkan")
    report = report_of(TREES / "strix-halo", 60 * GIB, ("vulkan",))
    assert looked(report)["gpu backend"][0] is False  # no device was found
    report = report_of(TREES / "strix-halo", 60 * GIB, ("vulkan",))
    report.devices = ["Radeon 8060S", "CPU"]
    assert looked(report)["gpu backend"][0] is True
    assert report.problems == []


def test_a_model_larger_than_the_gpu_may_hold(built: list[str], tmp_path: Path) -> None:
    built.append("vulkan")
    report = report_of(TREES / "strix-halo", 110 * GIB, ("vulkan",))
    report.devices = ["Radeon 8060S", "CPU"]
    assert looked(report)["gpu memory"][0] is False
    remedy = report.problems[0].remedy
    pages = report.gpu["pages_limit"]
    assert pages * 4096 >= 110 * GIB
    assert f"pages_limit={pages}" in remedy and "update-initramfs" in remedy
    report = report_of(TREES / "strix-halo", 200 * GIB, ("vulkan",))
    report.devices = ["Radeon 8060S", "CPU"]
    looked(report)
    assert "smaller model" in report.problems[0].remedy


def test_the_kernels_default_is_a_hint(built: list[str], tmp_path: Path) -> None:
    built.append("vulkan")
    tree = tmp_path / "tree"
    shutil.copytree(TREES / "strix-halo", tree)
    gtt = next(tree.glob("sys/class/drm/card0/device/mem_info_gtt_total"))
    gtt.write_text(str(62 * GIB))  # half of the memory
    report = report_of(tree, 20 * GIB, ("vulkan",))
    report.devices = ["Radeon 8060S", "CPU"]
    ok, detail = looked(report)["gpu memory"]
    assert ok is None and report.problems == []
    assert f"pages_limit={report.gpu['pages_limit']} " in detail
    assert "amdgpu.gttsize" in detail  # ttm.pages_limit is higher than what GTT got


def test_the_advice_for_128_gb_is_the_known_one() -> None:
    assert memory_checks.pages_limit(128_000_000_000 + 6_000_000_000) == 25_500_000


def test_no_permission(monkeypatch: pytest.MonkeyPatch, built: list[str]) -> None:
    built.append("vulkan")
    real = os.access

    def access(path: Any, mode: int) -> bool:
        return "renderD128" not in str(path) and real(path, mode)

    monkeypatch.setattr(os, "access", access)
    report = report_of(TREES / "discrete", 0, ("vulkan",))
    assert looked(report)["gpu"][0] is False
    assert any("sudo usermod -aG" in problem.remedy for problem in report.problems)
    assert report.gpu["usable"] == ["/dev/kfd"]
    report = report_of(TREES / "discrete", 0, ("vulkan",))
    report.config.engine.gpu_layers = 0  # nobody wants it
    assert looked(report)["gpu"][0] is True
    assert report.problems == []


def test_no_gpu_is_no_problem(tmp_path: Path) -> None:
    shutil.copytree(TREES / "strix-halo" / "proc", tmp_path / "proc")
    report = report_of(tmp_path)
    found = looked(report)
    assert list(found) == ["gpu"]
    assert found["gpu"][0] is None and "no AMD GPU found" in found["gpu"][1]
    assert found["gpu"][1].endswith("The CPU is used.")
    assert report.problems == []
    other = report_of(tmp_path, backends=("vulkan",))  # another maker's
    assert "CPU is used" not in looked(other)["gpu"][1]


def of_model(tree: str, gib: float, backend: str = "cpu") -> Report:
    report = report_of(TREES / tree, 0, (backend,))
    report.model = {"bytes": int(gib * GIB), "kv_bytes_per_cell": 100_000}
    report.devices = ["Radeon", "CPU"] if backend != "cpu" else ["CPU"]
    machine_checks.gpu(report)
    memory_checks.memory(report)
    return report


def memory_line(report: Report) -> tuple[bool | None, str]:
    return next((c.ok, c.detail) for c in report.checks if c.name == "memory")


def test_the_model_against_the_recorded_hosts_memory() -> None:
    report = of_model("strix-halo", 40)
    assert (
        memory_line(report)[0] is True and "54.7 GB of 134.1 GB available" in memory_line(report)[1]
    )
    report = of_model("strix-halo", 60)
    assert memory_line(report)[0] is False
    assert "q8_0" not in report.problems[0].remedy and "smaller model" in report.problems[0].remedy
    report = of_model("strix-halo", 50.5)  # 400 MiB of 54.7 GB are left for cells
    remedy = report.problems[0].remedy
    assert remedy.startswith(
        "Set engine.n_ctx to 4352 or less, set engine.type_k and type_v to q8_0,"
    )
    report.config.engine.n_ctx = 4352
    memory_checks.memory(report)
    assert memory_line(report)[0] is False and report.checks[-1].ok is True


def test_a_cards_memory_counts_where_it_computes() -> None:
    # 4.4 GiB are free on the card, 46 GiB of the host
    assert memory_line(of_model("discrete", 3, "vulkan")) == (
        True,
        "4.0 GB needed (model 3.2 GB, 8192 cells 819.2 MB), 4.7 GB of 25.8 GB free on AMD GPU "
        "0x744c, 49.4 GB of 67.4 GB available",
    )
    ok, detail = memory_line(of_model("discrete", 20, "vulkan"))
    assert ok is None and "stay with the CPU" in detail
    assert memory_line(of_model("discrete", 60, "vulkan"))[0] is False
    assert "on AMD GPU" not in memory_line(of_model("discrete", 3))[1]  # a CPU build


def test_ttm_built_into_the_kernel_is_raised_on_its_command_line(
    built: list[str], tmp_path: Path
) -> None:
    built.append("vulkan")
    tree = tmp_path / "tree"
    shutil.copytree(TREES / "strix-halo", tree)
    (tree / "sys/module/ttm/initstate").unlink()
    report = report_of(tree, 110 * GIB, ("vulkan",))
    report.devices = ["Radeon 8060S", "CPU"]
    looked(report)
    remedy = report.problems[0].remedy
    assert f"ttm.pages_limit={report.gpu['pages_limit']} " in remedy and "update-grub" in remedy
    assert "modprobe.d" not in remedy
