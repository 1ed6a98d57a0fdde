"""The binding of halo.h: finds the native library, proves its hooks, reads the KV cells.

Importing this module loads nothing. `load()` points llama-cpp-python at our libllama *before* its
first import, which is the only moment when that can be done.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import re
import sys
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import HaloError

ABI = 2
FREE = -1
SHARED = -2

_REMEDY = "Build the native part again: make clean && make run."
_BUILDS = ("hip", "cuda", "vulkan")

_MISSING = re.compile(r"(lib[\w.+-]+\.so[\w.]*): cannot open shared object file")
# Libraries that come with a driver, not with what the build was made with: building again is no help.
_DRIVERS = {
    "libcuda.so": ("NVIDIA's driver", "Install it and see what `nvidia-smi` says"),
    "libvulkan.so": (
        "Vulkan's loader",
        "Install libvulkan1 (Debian, Ubuntu) or vulkan-loader (Fedora)",
    ),
}


class NativeError(HaloError):
    """The native library is missing, of another version, or refused a call."""


class _Hook(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("symbol", ctypes.c_char_p), ("reached", ctypes.c_int64)]


class _CacheInfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int32) for name in ("n_streams", "n_cells", "n_layers", "n_swa")]


class _Summary(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int32) for name in ("total", "used", "highest", "shared")]


class _BenchParams(ctypes.Structure):
    _fields_ = [
        ("n_seq", ctypes.c_int32),
        ("n_decode", ctypes.c_int32),
        ("temperature", ctypes.c_float),
        ("top_k", ctypes.c_int32),
        ("top_p", ctypes.c_float),
        ("min_p", ctypes.c_float),
        ("seed", ctypes.c_uint32),
    ]


class _BenchResult(ctypes.Structure):
    _fields_ = [
        ("prefill_seconds", ctypes.c_double),
        ("decode_seconds", ctypes.c_double),
        ("ttft_seconds", ctypes.c_double),
        ("prompt_tokens", ctypes.c_int64),
        ("decoded_tokens", ctypes.c_int64),
    ]


@dataclass(frozen=True, slots=True)
class CacheInfo:
    """One attention cache of a context."""

    n_streams: int
    n_cells: int
    n_layers: int
    n_swa: int  # sliding window in tokens, 0 = none


@dataclass(frozen=True, slots=True)
class CellMap:
    """The cells of one stream by index; arrays are int32 [total]."""

    total: int
    used: int
    highest: int
    shared: int
    pos: NDArray[np.int32]  # -1 = free
    owner: NDArray[np.int32]  # sequence id, FREE or SHARED
    first: NDArray[np.int32]  # lowest sequence id, also of shared cells; -1 = free
    count: NDArray[np.int32]  # sequences the cell belongs to


@dataclass(frozen=True, slots=True)
class BenchResult:
    """Times of the bare batched loop, in seconds."""

    prefill_seconds: float
    decode_seconds: float
    ttft_seconds: float
    prompt_tokens: int
    decoded_tokens: int


@cache
def load() -> ModuleType:
    """llama-cpp-python's low-level module, running on our library.

    Raises NativeError when halo-native is not installed, or when llama_cpp was imported from
    elsewhere first.
    """
    try:
        import halo_native
    except ImportError as error:
        raise NativeError("The native library (halo-native) is not installed.", _REMEDY) from error
    folder = halo_native.lib_dir()
    if not (folder / "libllama.so").is_file():
        raise NativeError(f"libllama.so is missing from {folder}.", _REMEDY)
    if "llama_cpp" not in sys.modules:
        os.environ["LLAMA_CPP_LIB_PATH"] = str(folder)
    try:
        llama_cpp = importlib.import_module("llama_cpp.llama_cpp")
    except Exception as error:
        built = next((name for name in _BUILDS if (folder / f"libggml-{name}.so").is_file()), "")
        raise _not_loaded(str(error), built) from error
    lib = llama_cpp._lib
    if not hasattr(lib, "halo_abi"):
        raise NativeError("llama-cpp-python was loaded with another libllama than ours.", _REMEDY)
    _declare(lib)
    if (abi := int(lib.halo_abi())) != ABI:
        raise NativeError(f"halo-native has ABI {abi}, this version needs {ABI}.", _REMEDY)
    return llama_cpp


def _not_loaded(error: str, built: str) -> NativeError:
    """What the dynamic loader's words mean to the user of a build for the backend `built`."""
    missing = _MISSING.search(error)
    for start, (what, remedy) in _DRIVERS.items():
        if missing and missing[1].startswith(start):
            return NativeError(
                f"{what} is missing ({missing[1]}), which this build for {built or 'a GPU'} needs.",
                f"{remedy}, or go without: make run BACKEND=cpu.",
            )
    # A vendor's libraries change names with their versions: built again, it takes the new ones.
    remedy = _REMEDY.rstrip(".") + (f" BACKEND={built}." if built else ".")
    return NativeError(f"llama-cpp-python could not be loaded: {error}.", remedy)


def _declare(lib: Any) -> None:
    i32, ptr = ctypes.c_int32, ctypes.c_void_p
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "halo_last_error": (ctypes.c_char_p, []),
        "halo_version": (ctypes.c_char_p, []),
        "halo_abi": (i32, []),
        "halo_build_info": (ctypes.c_char_p, []),
        "halo_hooks": (i32, [ctypes.POINTER(_Hook), i32]),
        "halo_attach": (i32, [ptr]),
        "halo_detach": (None, [ptr]),
        "halo_cache_count": (i32, [ptr]),
        "halo_cache_describe": (i32, [ptr, i32, ctypes.POINTER(_CacheInfo)]),
        "halo_cells": (i32, [ptr, i32, i32, ptr, ptr, ptr, ptr, i32, ctypes.POINTER(_Summary)]),
        "halo_bench_batched": (
            i32,
            [ptr, ptr, ptr, ctypes.POINTER(_BenchParams), ctypes.POINTER(_BenchResult)],
        ),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments


def library() -> Any:
    """The shared library itself, for the modules that declare and call functions of their own."""
    return load()._lib


@cache
def silence() -> Any:
    """llama.cpp says nothing on stderr in this process from now on.

    For those who ask what a build can do: a backend without a device complains when it is asked.
    """
    llama = load()
    callback = llama.llama_log_callback(lambda _level, _text, _data: None)
    llama.llama_log_set(callback, ctypes.c_void_p(0))
    return callback  # llama.cpp keeps the pointer: it must not die


# What the user can do about a halo_status; the rest are faults of the program.
_REMEDIES = {
    -3: "Generation works all the same; the cells cannot be shown.",
    -4: "Raise engine.n_ctx, or use fewer or shorter prompts.",
}


def check(status: int) -> int:
    """A status as it came, or NativeError with the library's own words for it."""
    if status < 0:
        text = library().halo_last_error().decode(errors="replace")
        remedy = _REMEDIES.get(status, "Please report this.")
        raise NativeError(f"The native library refused: {text}.", remedy)
    return status


def build_info() -> dict[str, Any]:
    """Version, llama.cpp's version, compiler, registered backends, CPU features."""
    return dict(json.loads(library().halo_build_info().decode()))


def gpu_backends() -> tuple[str, ...]:
    """GPU backends of this build, as `make run BACKEND=` names them: vulkan, hip, cuda.

    Also those that did not register: Vulkan does not where no driver is installed.
    """
    import halo_native

    names = (str(name).lower() for name in build_info()["backends"])
    known = {"rocm": "hip", "hip": "hip", "vulkan": "vulkan", "cuda": "cuda"}
    registered = [known[name] for name in names if name in known]
    folder = halo_native.lib_dir()
    built = [name for name in _BUILDS if (folder / f"libggml-{name}.so").is_file()]
    return tuple(dict.fromkeys([*registered, *built]))


def hooks(*, experts: bool = True) -> dict[str, bool]:
    """For each wrapped upstream symbol, whether a call has come through it yet.

    Creating a context builds a graph, so after that every hook must be True; a False one means
    that upstream renamed the symbol. Models without `experts` never come by that one.
    """
    count = int(library().halo_hooks(None, 0))
    table = (_Hook * count)()
    library().halo_hooks(table, count)
    found = {hook.name.decode(): hook.reached > 0 for hook in table}
    if not experts:
        found.pop("experts", None)
    return found


def attach(ctx: Any) -> None:
    """Makes a llama_context known. Raises NativeError for memories without attention cells."""
    check(library().halo_attach(ctx))


def detach(ctx: Any) -> None:
    """Forgets a context; call it before llama_free."""
    library().halo_detach(ctx)


def caches(ctx: Any) -> list[CacheInfo]:
    """The attention caches of an attached context."""
    found = []
    for index in range(check(library().halo_cache_count(ctx))):
        info = _CacheInfo()
        check(library().halo_cache_describe(ctx, index, ctypes.byref(info)))
        found.append(CacheInfo(info.n_streams, info.n_cells, info.n_layers, info.n_swa))
    return found


def cell_map(ctx: Any, cache: int = 0, stream: int = 0) -> CellMap:
    """The cells of one stream of an attached context, in order of their index."""
    info, summary = _CacheInfo(), _Summary()
    check(library().halo_cache_describe(ctx, cache, ctypes.byref(info)))
    rows = np.empty((4, info.n_cells), np.int32)
    addresses = [rows[i].ctypes.data for i in range(4)]
    check(library().halo_cells(ctx, cache, stream, *addresses, info.n_cells, ctypes.byref(summary)))
    return CellMap(summary.total, summary.used, summary.highest, summary.shared, *rows)


def bench_batched(
    ctx: Any,
    prompts: list[list[int]],
    n_decode: int,
    *,
    temperature: float = 0.0,
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
    seed: int = 0,
) -> BenchResult:
    """Prefill, then lock-step decode of all prompts, in C++ with nothing around it.

    Clears the context's memory before and after.
    """
    tokens = np.asarray([t for prompt in prompts for t in prompt], np.int32)
    offsets = np.cumsum([0, *map(len, prompts)], dtype=np.int32)
    params = _BenchParams(len(prompts), n_decode, temperature, top_k, top_p, min_p, seed)
    result = _BenchResult()
    status = library().halo_bench_batched(
        ctx,
        tokens.ctypes.data,
        offsets.ctypes.data,
        ctypes.byref(params),
        ctypes.byref(result),
    )
    check(status)
    return BenchResult(
        result.prefill_seconds,
        result.decode_seconds,
        result.ttft_seconds,
        result.prompt_tokens,
        result.decoded_tokens,
    )
