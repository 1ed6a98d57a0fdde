"""What a HIP build needs on this machine: ROCm, its libraries, and a GPU to compile for."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

import distribution

ROOT = Path("/")
LEAST = (6, 1)  # ggml-hip refuses older ones
LIBRARIES = ("hip", "hipblas", "rocblas")  # what ggml-hip looks for with find_package
# Where ROCm lies when nothing says so: AMD's packages, of the newest version when there are several.
PLACES = ("opt/rocm", "opt/rocm/core", "opt/rocm/core-*", "opt/rocm-*")
AMD = "AMD's packages, https://rocm.docs.amd.com/en/latest/install/rocm.html"
# gfx1151, gfx90a:xnack-, gfx11-generic
NAME = re.compile(r"gfx[0-9][0-9a-f]*(-[0-9]+)*(-generic)?(:[a-z-]+[+-])*")
STRIX_HALO = "gfx1151"
OWN = {  # distributions whose own ROCm is new enough: the first such release, what to do
    "debian": (14, "sudo apt install hipcc libamdhip64-dev libhipblas-dev librocblas-dev"),
    "fedora": (41, "sudo dnf install hipcc rocm-hip-devel hipblas-devel rocblas-devel"),
    "arch": (0, "sudo pacman -S rocm-hip-sdk"),
}


class Missing(Exception):
    """Something is not installed; the text says what and how to get it."""


def folders(env: Mapping[str, str]) -> list[Path]:
    """Where ROCm's programs may lie besides the PATH, the likeliest first."""
    named = [Path(env["ROCM_PATH"])] if env.get("ROCM_PATH") else []

    def version(path: Path) -> list[int]:
        return [int(part) for part in re.findall(r"\d+", path.name)]

    found = [p for place in PLACES for p in sorted(ROOT.glob(place), key=version, reverse=True)]
    return [path / "bin" for path in [*named, *found] if (path / "bin").is_dir()]


def _ask(hipconfig: str, option: str, env: Mapping[str, str]) -> str:
    done = subprocess.run(
        [hipconfig, option], env=dict(env), capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def how() -> str:
    """How to get ROCm on this distribution."""
    linux = distribution.here()
    least, command = OWN.get(linux.name, (0, ""))
    if not command or (linux.release is not None and linux.release < least):
        return f"{AMD} (for Strix Halo amdrocm-core-sdk-{STRIX_HALO})"
    if linux.name == "debian":
        return f"{command}. For Strix Halo {AMD}: Debian's rocBLAS has no kernels for it"
    return command


def gpus() -> list[str]:
    """LLVM's names of the GPUs the amdkfd driver offers; it tells them to every user."""
    found = []
    for path in sorted(ROOT.glob("sys/class/kfd/kfd/topology/nodes/*/properties")):
        try:
            text = path.read_text()
        except OSError:
            continue
        told = re.search(r"^gfx_target_version (\d+)$", text, re.MULTILINE)
        if told and int(told[1]):  # processors have 0
            number = int(told[1])
            found.append(gfx(number // 10000, number // 100 % 100, number % 100))
    return list(dict.fromkeys(found))


def gfx(major: int, minor: int, stepping: int) -> str:
    """gfx1151 for 11.5.1; minor and stepping are hexadecimal digits."""
    return f"gfx{major}{minor:x}{stepping:x}"


def targets(env: Mapping[str, str]) -> list[str]:
    """What to compile for when nobody says: this machine's GPUs, as ROCm will take them."""
    pretended = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)", env.get("HSA_OVERRIDE_GFX_VERSION", ""))
    if pretended:
        return [gfx(*(int(part) for part in pretended.groups()))]
    return gpus()


def _libraries(prefix: Path) -> list[Path]:
    return [
        path for pattern in ("lib", "lib64", "lib/*-linux-gnu") for path in prefix.glob(pattern)
    ]


def kernels(prefix: Path, env: Mapping[str, str]) -> set[str]:
    """The GPUs that the installed rocBLAS has kernels for; empty where that cannot be seen."""
    if told := env.get("ROCBLAS_TENSILE_LIBPATH"):
        places = [Path(told)]
    else:
        inside = ("rocblas/library", "rocblas/*/library")
        places = [p for lib in _libraries(prefix) for one in inside for p in lib.glob(one)]
    names = (path.name for place in places if place.is_dir() for path in place.iterdir())
    return {found for name in names for found in re.findall(r"gfx[0-9a-f]+", name)}


def without_kernels(wanted: Iterable[str], known: set[str]) -> list[str]:
    """Those of `wanted` that a rocBLAS with kernels for `known` would abort on."""
    bare = [name.split(":")[0] for name in wanted]
    return [name for name in bare if known and name not in known and "generic" not in name]


def prepare(env: Mapping[str, str], told: list[str]) -> tuple[dict[str, str], list[str], str]:
    """What to add to the environment, what to compile for, and a warning ("" for none).

    `told`: what the user named to compile for. Raises Missing.
    """
    hipconfig = shutil.which("hipconfig", path=env.get("PATH"))
    if not hipconfig:
        raise Missing(
            "ROCm is missing: no hipconfig on the PATH, below ROCM_PATH or below /opt/rocm. Install "
            f"version {LEAST[0]}.{LEAST[1]} or newer: {how()}"
        )
    version = re.match(r"(\d+)\.(\d+)", _ask(hipconfig, "--version", env))
    if version and (int(version[1]), int(version[2])) < LEAST:
        raise Missing(
            f"ROCm {version[0]} ({hipconfig}) is too old: llama.cpp needs {LEAST[0]}.{LEAST[1]} or "
            f"newer. Take {AMD}, and name their folder if they are not found: ROCM_PATH=/opt/rocm"
        )
    prefix = Path(_ask(hipconfig, "--rocmpath", env) or Path(hipconfig).resolve().parents[1])
    searched = [prefix, *(Path(p) for p in re.split("[:;]", env.get("CMAKE_PREFIX_PATH", "")) if p)]
    absent = [
        name
        for name in LIBRARIES
        if not any((lib / "cmake" / name).is_dir() for one in searched for lib in _libraries(one))
    ]
    if absent:
        verb = "is" if len(absent) == 1 else "are"
        raise Missing(f"{', '.join(absent)} {verb} missing below {prefix}. Install: {how()}")
    if wrong := [name for name in told if not NAME.fullmatch(name)]:
        raise Missing(
            f"{', '.join(wrong)} {'names' if len(wrong) == 1 else 'name'} no AMD GPU. HIPARCHS takes "
            f"LLVM's names, {STRIX_HALO} for Strix Halo; `rocminfo | grep gfx` tells this machine's"
        )
    wanted = told or targets(env)
    if not wanted:
        raise Missing(
            "there is no AMD GPU here to compile for (none below /sys/class/kfd). Name one: "
            f"make run BACKEND=hip HIPARCHS={STRIX_HALO}"
        )
    known = kernels(prefix, env)
    warning = ""
    if lacking := without_kernels(wanted, known):
        warning = (
            f"rocBLAS below {prefix} has no kernels for {', '.join(lacking)}, and would end the "
            f"program at the first product it is asked for (it has {', '.join(sorted(known))})"
        )
        if not told:
            raise Missing(
                f"{warning}. Take {AMD}, or BACKEND=vulkan. To build all the same: "
                f"HIPARCHS={','.join(wanted)}"
            )
    # ggml-hip, our RPATH and clang look there first. A distribution's clang knows its own places.
    add = {} if prefix == Path("/usr") else {"ROCM_PATH": str(prefix)}
    return add, wanted, warning


def built_with(env: Mapping[str, str]) -> str:
    """What of ROCm a library depends on that is built in `env`: another version, another library."""
    hipconfig = shutil.which("hipconfig", path=env.get("PATH"))
    return f"{env.get('ROCM_PATH', '')} {_ask(hipconfig, '--version', env) if hipconfig else ''}"
