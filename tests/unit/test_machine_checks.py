"""What doctor says of GPUs, on recorded machines and on what was changed about them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tui.cli import machine_checks
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
    machine_checks.gpu_memory(report)
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
    assert machine_checks.pages_limit(128_000_000_000 + 6_000_000_000) == 25_500_000


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
    assert report.problems == []
