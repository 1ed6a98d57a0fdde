"""What doctor says of a HIP build, on recorded trees and small stand-ins for the libraries."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from engine.telemetry.files import Root
from tests.unit.test_machine_checks import TREES, looked, report_of
from tui.cli import hip_checks, machine_checks
from tui.cli.checks import Report

HEAD = b"__CLANG_OFFLOAD_BUNDLE__\0host-x86_64-unknown-linux-gnu-\0hipv4-amdgcn-amd-amdhsa--"


@pytest.fixture
def strix(tmp_path: Path) -> Path:
    """A Strix Halo with its processor and its GPU in the KFD's topology."""
    tree = tmp_path / "tree"
    shutil.copytree(TREES / "strix-halo", tree)
    for node, target in enumerate((0, 110501)):
        folder = tree / "sys/class/kfd/kfd/topology/nodes" / str(node)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "properties").write_text(f"simd_count 80\ngfx_target_version {target}\n")
    return tree


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A machine without a GPU."""
    tree = tmp_path / "bare"
    shutil.copytree(TREES / "strix-halo" / "proc", tree / "proc")
    return tree


@pytest.fixture
def hip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A HIP build with its libraries in a folder: nothing compiled in, no kernels yet."""
    folder = tmp_path / "lib"
    (folder / "rocblas" / "library").mkdir(parents=True)
    for name in ("libggml-hip.so", "librocblas.so.4"):
        (folder / name).write_bytes(b"\x7fELF")
    monkeypatch.setattr(machine_checks, "_built", lambda: ["hip"])
    monkeypatch.setattr(hip_checks, "loaded", lambda name: next(folder.glob(f"{name}.so*")))
    for name in ("HSA_OVERRIDE_GFX_VERSION", "ROCBLAS_TENSILE_LIBPATH", "HIP_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    return folder


def fill(folder: Path, compiled: str, blas: str) -> None:
    code = b"".join(HEAD + name.encode() + b"\0" for name in compiled.split())
    (folder / "libggml-hip.so").write_bytes(b"\x7fELF" + code)
    for name in blas.split():
        (folder / "rocblas/library" / f"TensileLibrary_lazy_{name}.dat").touch()


def with_device(tree: Path) -> Report:
    report = report_of(tree, 0, ("hip",))
    report.devices = ["Radeon 8060S", "CPU"]
    return report


def test_a_build_that_fits(strix: Path, hip: Path) -> None:
    fill(hip, "gfx1151 gfx90a:xnack+", "gfx1100 gfx1151")
    report = with_device(strix)
    found = looked(report)
    assert found["gpu backend"][0] is True
    assert found["hip"] == (True, "compiled for gfx1151, gfx90a; here: gfx1151")
    assert report.problems == []
    assert report.gpu["hip"] == {
        "gpus": ["gfx1151"],
        "compiled": ["gfx1151", "gfx90a"],
        "rocblas": ["gfx1100", "gfx1151"],
    }


def test_code_for_another_gpu_is_a_problem(strix: Path, hip: Path) -> None:
    fill(hip, "gfx906", "gfx1151")
    report = with_device(strix)
    assert looked(report)["hip"][0] is False
    (problem,) = report.problems
    assert "for gfx906 and cannot run on gfx1151" in problem.what
    assert problem.remedy == "make run BACKEND=hip HIPARCHS=gfx1151"


def test_a_rocblas_without_kernels_is_a_problem(strix: Path, hip: Path) -> None:
    fill(hip, "gfx1151", "gfx1030 gfx1100")
    report = with_device(strix)
    assert looked(report)["hip"][0] is False
    (problem,) = report.problems
    assert "no kernels for gfx1151" in problem.what and "BACKEND=vulkan" in problem.remedy


@pytest.mark.parametrize("compiled", ["", "gfx11-generic", "gfx10-3-generic gfx11-generic"])
def test_what_cannot_be_seen_is_no_problem(strix: Path, hip: Path, compiled: str) -> None:
    fill(hip, compiled, "")
    assert hip_checks.compiled_for(hip / "libggml-hip.so") == compiled.split()
    assert looked(with_device(strix))["hip"][0] is True


def test_no_gpu_at_all_is_said_with_a_remedy(bare: Path, hip: Path) -> None:
    fill(hip, "gfx1151", "gfx1151")
    report = report_of(bare, 0, ("cpu",))
    found = looked(report)
    assert found["gpu backend"] == (False, "hip, but it found no device")
    assert found["hip"] == (None, "compiled for gfx1151")
    (problem,) = report.problems
    assert "no /dev/kfd" in problem.what and "the CPU computes" in problem.what
    assert "modprobe amdgpu" in problem.remedy and "make run BACKEND=cpu" in problem.remedy


def test_gpu_layers_of_0_asks_for_no_gpu(bare: Path, hip: Path) -> None:
    report = report_of(bare, 0, ("cpu",))
    report.config.engine.gpu_layers = 0
    assert "gpu backend" not in looked(report) and report.problems == []


def test_a_user_who_may_not_open_kfd(
    strix: Path, hip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(hip, "gfx1151", "gfx1151")
    real = os.access

    def access(path: Any, mode: int) -> bool:
        return "kfd" not in str(path) and real(path, mode)

    monkeypatch.setattr(os, "access", access)
    report = report_of(strix, 0, ("cpu",))
    assert looked(report)["gpu backend"][0] is False
    told = next(p for p in report.problems if "found no GPU" in p.what)
    assert "(this user may not open /dev/kfd)" in told.what
    assert "usermod -aG render,video" in told.remedy


def test_devices_hidden_by_the_environment(
    strix: Path, hip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(hip, "gfx1151", "gfx1151")
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "")
    report = report_of(strix, 0, ("cpu",))
    looked(report)
    told = next(p for p in report.problems if "HIP_VISIBLE_DEVICES" in p.what)
    assert told.remedy == "unset HIP_VISIBLE_DEVICES"


def test_an_override_counts_as_the_gpu() -> None:
    assert hip_checks.gpus(Root("/"), {"HSA_OVERRIDE_GFX_VERSION": "9.0.10"}) == ["gfx90a"]


def test_a_loaded_library_is_found_by_its_name() -> None:
    found = hip_checks.loaded("libc")
    assert found is not None and found.is_file()
    assert hip_checks.loaded("libnobody") is None
