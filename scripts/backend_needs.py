"""What a ggml backend needs on this machine before it can be built; what is missing is named."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import distribution
import rocm_needs
from rocm_needs import Missing

# Compiled, not looked up: distributions and SDKs put headers into different places.
VULKAN = """
#if __has_include(<vulkan/vulkan.hpp>)
#include <vulkan/vulkan.hpp>
#ifndef VK_EXT_LAYER_SETTINGS_EXTENSION_NAME
#error halo-old-headers
#endif
#else
#error halo-no-headers
#endif
"""
SPIRV = "#include <spirv/unified1/spirv.hpp>\n"
VULKAN_PACKAGES = {  # tools, headers and the driver of AMD and Intel
    "debian": "sudo apt install libvulkan-dev glslc spirv-headers mesa-vulkan-drivers",
    "fedora": "sudo dnf install vulkan-loader-devel glslc spirv-headers-devel mesa-vulkan-drivers",
    "arch": "sudo pacman -S vulkan-headers vulkan-icd-loader shaderc spirv-headers vulkan-radeon",
}
DEV = Path("/dev")  # nvidia0…, or dxg under WSL
# Where vendors install compilers that are not on the PATH of a fresh account.
FOLDERS = {"cuda": ("/usr/local/cuda/bin",)}
# The variable that says what to compile for, and CMake's options for it; the first is what we pass.
# The default is the GPU that is there.
TARGETS = {
    "cuda": ("CUDAARCHS", ("CMAKE_CUDA_ARCHITECTURES",)),
    "hip": ("HIPARCHS", ("GPU_TARGETS", "AMDGPU_TARGETS", "CMAKE_HIP_ARCHITECTURES")),
}


@dataclass(frozen=True)
class Prepared:
    """The environment to build in, and what the built library depends on besides."""

    env: dict[str, str]
    built_with: str = ""  # the vendor's tools; goes into the key of the cache
    warning: str = ""


def _preprocess(compiler: str, source: str, env: Mapping[str, str]) -> str | None:
    """None when `source` passes the preprocessor, else what it said."""
    command = [compiler, "-x", "c++", "-std=c++17", "-E", "-o", os.devnull, "-"]
    if sdk := env.get("VULKAN_SDK"):
        command.insert(1, f"-I{sdk}/include")
    done = subprocess.run(
        command, input=source, env=dict(env), capture_output=True, text=True, check=False
    )
    return done.stderr if done.returncode else None


def _vulkan(compiler: str, env: Mapping[str, str]) -> None:
    family = distribution.here().family
    install = VULKAN_PACKAGES.get(family, VULKAN_PACKAGES["debian"])
    wanted = []
    if not shutil.which("glslc", path=env.get("PATH")):
        wanted.append("glslc")
    headers = _preprocess(compiler, VULKAN, env)
    if headers and "halo-old-headers" in headers:
        raise Missing(
            "the Vulkan headers are too old for llama.cpp (before 1.3.272, as on Debian 12). Take "
            "Debian 13, Ubuntu 24.04 or the Vulkan SDK of LunarG (set VULKAN_SDK)"
        )
    if headers:
        wanted.append("libvulkan-dev")
    if _preprocess(compiler, SPIRV, env):
        wanted.append("spirv-headers")
    if wanted:
        raise Missing(
            f"{', '.join(wanted)} {'is' if len(wanted) == 1 else 'are'} missing. Install what "
            f"Vulkan builds need: {install}"
        )


def _cuda(env: Mapping[str, str], told: list[str]) -> str:
    """What a library built in `env` depends on. Raises Missing."""
    nvcc = env.get("CUDACXX") or shutil.which("nvcc", path=env.get("PATH"))
    if not nvcc or not shutil.which(nvcc, path=env.get("PATH")):
        raise Missing(
            f"{nvcc or 'nvcc'} is missing. Install the CUDA toolkit "
            "(https://developer.nvidia.com/cuda-downloads), or name its compiler: "
            "make run BACKEND=cuda CUDACXX=/path/to/nvcc"
        )
    if not told and not any(DEV.glob("nvidia[0-9]*")) and not (DEV / "dxg").exists():
        raise Missing(
            "there is no NVIDIA GPU here to compile for. Name its compute capability: "
            "make run BACKEND=cuda CUDAARCHS=90"
        )
    said = _say([nvcc, "--version"], env)
    smi = shutil.which("nvidia-smi", path=env.get("PATH"))
    if not told and smi:
        said += _say([smi, "--query-gpu=compute_cap", "--format=csv,noheader"], env)
    return said


def _say(command: list[str], env: Mapping[str, str]) -> str:
    done = subprocess.run(command, env=dict(env), capture_output=True, text=True, check=False)
    return done.stdout


def _told(backend: str, env: Mapping[str, str]) -> list[str]:
    """What the user named to compile for."""
    variable, options = TARGETS.get(backend, ("", ()))
    said = [env.get(variable, "")]
    for option in options:
        said += re.findall(rf"-D{option}(?::\w+)?=[\"']?([^\s\"']+)", env.get("CMAKE_ARGS", ""))
    return [name for part in said for name in re.split(r"[,;\s]+", part) if name]


def prepare(backend: str, compiler: str, env: Mapping[str, str]) -> Prepared:
    """How to build `backend`, starting from the environment `env`. Raises Missing."""
    found = dict(env)
    folders = [folder for folder in FOLDERS.get(backend, ()) if Path(folder).is_dir()]
    if backend == "hip":
        folders = [str(folder) for folder in rocm_needs.folders(env)]
    found["PATH"] = os.pathsep.join([*folders, env.get("PATH", "")])
    told = _told(backend, found)
    built_with = warning = ""
    targets = told
    if backend == "vulkan":
        _vulkan(compiler, found)
    elif backend == "cuda":
        built_with = _cuda(found, told)
    elif backend == "hip":
        add, targets, warning = rocm_needs.prepare(found, told)
        found |= add
        built_with = rocm_needs.built_with(found)
    variable, options = TARGETS.get(backend, ("", ()))
    in_arguments = told and not found.get(variable)
    if targets and not in_arguments:
        extra = f"-D{options[0]}={';'.join(targets)}"
        found["CMAKE_ARGS"] = f"{found.get('CMAKE_ARGS', '')} {extra}".strip()
    return Prepared(found, built_with, warning)
