"""What doctor says of a HIP build: the GPUs it was compiled for, and those rocBLAS has kernels for.

Both end the engine when they do not fit: a kernel that is missing in our library at the first one
that is started, one that is missing in rocBLAS at the first product it is asked for.
"""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Mapping
from pathlib import Path

from engine.telemetry.files import Root
from tui.cli.checks import Problem, Report

ROCM = "AMD's packages, https://rocm.docs.amd.com/en/latest/install/rocm.html"
# Code objects in a library are named hipv4-amdgcn-amd-amdhsa--gfx1151, with features after a colon.
_BUNDLED = re.compile(rb"amdgcn-amd-amdhsa--(gfx[0-9][0-9a-f]*(?:-[0-9]+)*(?:-generic)?)")


def gpus(root: Root, env: Mapping[str, str]) -> list[str]:
    """LLVM's names of the GPUs, as ROCm takes them. The kernel tells every user."""
    pretended = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)", env.get("HSA_OVERRIDE_GFX_VERSION", ""))
    if pretended and root.live:
        return [_gfx(*(int(part) for part in pretended.groups()))]
    found = []
    for node in root.entries("/sys/class/kfd/kfd/topology/nodes"):
        number = int(root.table(node / "properties", " ").get("gfx_target_version", "0") or 0)
        if number:  # processors have 0
            found.append(_gfx(number // 10000, number // 100 % 100, number % 100))
    return list(dict.fromkeys(found))


def _gfx(major: int, minor: int, stepping: int) -> str:
    return f"gfx{major}{minor:x}{stepping:x}"


def compiled_for(library: Path) -> list[str]:
    """The GPUs a HIP library holds code for; empty where that cannot be seen (compressed code)."""
    try:
        with (
            library.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            return sorted({name.decode() for name in _BUNDLED.findall(data)})
    except (OSError, ValueError):
        return []


def kernels(rocblas: Path, env: Mapping[str, str]) -> list[str]:
    """The GPUs that a rocBLAS has kernels for; empty where that cannot be seen."""
    told = env.get("ROCBLAS_TENSILE_LIBPATH")
    near = rocblas.resolve().parent / "rocblas"
    places = [Path(told)] if told else [near / "library", *near.glob("*/library")]
    names = (path.name for place in places if place.is_dir() for path in place.iterdir())
    return sorted({found for name in names for found in re.findall(r"gfx[0-9a-f]+", name)})


def loaded(name: str) -> Path | None:
    """Where a library lies that this process has loaded."""
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return None
    paths = (line.split(maxsplit=5)[-1] for line in lines if "/" in line)
    return next((Path(p) for p in paths if Path(p).name.startswith(f"{name}.so")), None)


def hip(report: Report, root: Root) -> None:
    """A line on the code that there is for these GPUs. Call it for builds with HIP only."""
    ours, rocblas = loaded("libggml-hip"), loaded("librocblas")
    here = gpus(root, os.environ)
    code = compiled_for(ours) if ours else []
    blas = kernels(rocblas, os.environ) if rocblas else []
    report.gpu["hip"] = {"gpus": here, "compiled": code, "rocblas": blas}
    problems = []
    if lacking := _without(here, code):
        problems.append(
            Problem(
                f"This build is for {', '.join(code)} and cannot run on {', '.join(lacking)}.",
                f"make run BACKEND=hip HIPARCHS={','.join(here)}",
            )
        )
    if lacking := _without(here, blas):
        problems.append(
            Problem(
                f"rocBLAS ({rocblas}) has no kernels for {', '.join(lacking)} and ends the engine "
                "when it is asked for a product.",
                f"Install {ROCM}, and build again; or make run BACKEND=vulkan.",
            )
        )
    what = f"compiled for {', '.join(code) or 'unknown GPUs'}"
    if here:
        what += f"; here: {', '.join(here)}"
    report.add("hip", not problems if here else None, what, *problems)


def _without(here: list[str], known: list[str]) -> list[str]:
    """Those of `here` that are not among `known`; none where nothing is known."""
    if not known or any("generic" in name for name in known):
        return []
    return [name for name in here if name not in known]
