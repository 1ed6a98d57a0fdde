"""What a ggml backend needs on this machine before it can be built; what is missing is named."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

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
DEV = Path("/dev")  # nvidia0…, or dxg under WSL
HIP_LEAST = (6, 1)  # ggml-hip refuses older ones
# Where vendors install compilers that are not on the PATH of a fresh account.
FOLDERS = {"cuda": ("/usr/local/cuda/bin",), "hip": ("/opt/rocm/bin",)}
# The variables with which CMake is told what to compile for; the default is the GPU that is there.
TARGETS = {"cuda": ("CUDAARCHS", "CMAKE_CUDA_ARCHITECTURES"), "hip": ("HIPARCHS", "GPU_TARGETS")}


class Missing(Exception):
    """Something is not installed; the text says what and how to get it."""


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
            "Vulkan builds need: sudo apt install libvulkan-dev glslc spirv-headers "
            "mesa-vulkan-drivers"
        )


def _cuda(env: Mapping[str, str]) -> None:
    if not (env.get("CUDACXX") or shutil.which("nvcc", path=env.get("PATH"))):
        raise Missing(
            "nvcc is missing. Install the CUDA toolkit, or name its compiler: "
            "CUDACXX=/path/to/nvcc make run BACKEND=cuda"
        )
    told = env.get("CUDAARCHS") or "CMAKE_CUDA_ARCHITECTURES" in env.get("CMAKE_ARGS", "")
    if not told and not any(DEV.glob("nvidia[0-9]*")) and not (DEV / "dxg").exists():
        raise Missing(
            "there is no NVIDIA GPU here to compile for. Name its compute capability: "
            "make run BACKEND=cuda CUDAARCHS=90"
        )


def _hip(env: Mapping[str, str]) -> None:
    hipconfig = shutil.which("hipconfig", path=env.get("PATH"))
    if not hipconfig:
        raise Missing(
            "hipconfig is missing. Install ROCm 6.1 or newer with hipcc, hipblas-dev and rocblas-dev"
        )
    done = subprocess.run(
        [hipconfig, "--version"], env=dict(env), capture_output=True, text=True, check=False
    )
    version = re.match(r"(\d+)\.(\d+)", done.stdout.strip())
    if version and (int(version[1]), int(version[2])) < HIP_LEAST:
        raise Missing(
            f"ROCm {version[0]} is too old: llama.cpp needs 6.1 or newer, from AMD's packages "
            "(Debian 13 has 5.7)"
        )


def prepare(backend: str, compiler: str, env: Mapping[str, str]) -> dict[str, str]:
    """The environment to build `backend` in, from `env`. Raises Missing."""
    found = dict(env)
    folders = [folder for folder in FOLDERS.get(backend, ()) if Path(folder).is_dir()]
    found["PATH"] = os.pathsep.join([*folders, env.get("PATH", "")])
    if backend == "vulkan":
        _vulkan(compiler, found)
    elif backend == "cuda":
        _cuda(found)
    elif backend == "hip":
        _hip(found)
    variable, option = TARGETS.get(backend, ("", ""))
    if targets := found.get(variable, ""):
        extra = f"-D{option}={targets.replace(',', ';')}"
        found["CMAKE_ARGS"] = f"{found.get('CMAKE_ARGS', '')} {extra}".strip()
    return found
