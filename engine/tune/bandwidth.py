"""How fast memory can be read: what decoding is bound by, since each token reads all weights.

Two measures. `host_read`: all cores read large arrays of their own, by NumPy. `device_read`: a
matrix-vector product of ggml on the device that will hold the weights, the very thing that decoding
is made of; for an APU's or a card's GPU it is the only one that counts. It runs in a process of its
own (`python -m engine.tune.bandwidth`), since a driver that fails must not take the rest with it.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from engine import environment
from engine.errors import EngineError

MIB = 1024**2
BLOCK = 256 * MIB  # of each thread; far beyond any cache
DEVICE_BYTES = 1024 * MIB  # at most; SMALL times a power of four
COLUMNS = 4096  # of the matrix, as in a model
SMALL = 16 * MIB
REPEATS = 5
PATIENCE = 5.0  # seconds
GPU, IGPU = 1, 2  # enum ggml_backend_dev_type
F32, F16 = 0, 1  # enum ggml_type
TIMEOUT = 120.0


def host_read(threads: int) -> float:
    """Bytes a second that `threads` threads read together; the best of some turns.

    Takes a fourth of the free memory at most. NumPy gives the interpreter lock back meanwhile.
    """
    room = int(psutil.virtual_memory().available // 4 // max(1, threads))
    count = max(4 * MIB, min(BLOCK, room)) // 8
    blocks = [np.zeros(count, np.uint64) for _ in range(threads)]
    for block in blocks:
        block.fill(1)  # so that every page is one of its own

    def read(block: Any) -> None:
        np.bitwise_or.reduce(block)

    best = float("inf")
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(REPEATS):
            began = time.perf_counter()
            list(pool.map(read, blocks))
            best = min(best, time.perf_counter() - began)
    return threads * count * 8 / best


def device_read(threads: int, gpu: bool) -> tuple[str, float]:
    """(device, bytes a second) of ggml's own product on the first GPU, or on the CPU.

    Raises EngineError when it cannot be measured.
    """
    package_parent = str(Path(__file__).parents[2])
    old = os.environ.get("PYTHONPATH")
    path = f"{package_parent}{os.pathsep}{old}" if old else package_parent
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "engine.tune.bandwidth", str(threads), str(int(gpu))],
            capture_output=True, text=True, timeout=TIMEOUT, check=False,
            env={**environment.for_computing(), "PYTHONPATH": path},
        )  # fmt: skip
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no reason was given"])[-1]
            raise ValueError(f"it failed with code {done.returncode}: {last[-200:]}")
        told = json.loads(done.stdout.splitlines()[-1])
        return str(told["device"]), float(told["bytes_s"])
    except subprocess.TimeoutExpired:
        raise EngineError(
            f"The device's bandwidth was not measured within {TIMEOUT:.0f} s.",
            "`halo-tui doctor` says which device computes.",
        ) from None
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise EngineError(
            f"The device's bandwidth could not be measured: {error}.",
            "`halo-tui doctor` says whether the build and the driver work.",
        ) from None


class _Parameters(ctypes.Structure):
    """ggml_init_params."""

    _fields_ = (
        ("mem_size", ctypes.c_size_t),
        ("mem_buffer", ctypes.c_void_p),
        ("no_alloc", ctypes.c_bool),
    )


def _measure(threads: int, gpu: bool) -> tuple[str, float]:
    """In the child: the product of a matrix of F16 [rows, COLUMNS] with a vector."""
    from engine import native

    library = native.load()._lib
    pointer, size, i64 = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64

    def call(name: str, result: Any, *kinds: Any) -> Any:
        function = getattr(library, name)
        function.restype, function.argtypes = result, list(kinds)
        return function

    device = _device(call, gpu)
    name = call("ggml_backend_dev_description", ctypes.c_char_p, pointer)(device).decode()
    backend = call("ggml_backend_dev_init", pointer, pointer, ctypes.c_char_p)(device, None)
    if not gpu:
        registry = call("ggml_backend_dev_backend_reg", pointer, pointer)(device)
        find = call("ggml_backend_reg_get_proc_address", pointer, pointer, ctypes.c_char_p)
        address = find(registry, b"ggml_backend_set_n_threads")
        ctypes.CFUNCTYPE(None, pointer, ctypes.c_int)(address)(backend, threads)
    free, total = size(0), size(0)
    call("ggml_backend_dev_memory", None, pointer, ctypes.POINTER(size), ctypes.POINTER(size))(
        device, ctypes.byref(free), ctypes.byref(total)
    )
    room = free.value // 4 if free.value else DEVICE_BYTES
    new = call("ggml_new_tensor_2d", pointer, pointer, ctypes.c_int, i64, i64)
    multiply = call("ggml_mul_mat", pointer, pointer, pointer, pointer)
    start = call("ggml_init", pointer, _Parameters)
    expand = call("ggml_build_forward_expand", None, pointer, pointer)
    new_graph = call("ggml_new_graph", pointer, pointer)
    allocate = call("ggml_backend_alloc_ctx_tensors", pointer, pointer, pointer)
    clear = call("ggml_backend_buffer_clear", None, pointer, ctypes.c_uint8)
    compute = call("ggml_backend_graph_compute", ctypes.c_int, pointer, pointer)
    release = call("ggml_backend_buffer_free", None, pointer)

    def product(bytes_: int) -> float:
        """Bytes a second over a matrix of so many bytes; the first time is not counted."""
        rows = bytes_ // (2 * COLUMNS)
        context = start(_Parameters(16 * MIB, None, True))
        matrix, vector = new(context, F16, COLUMNS, rows), new(context, F32, COLUMNS, 1)
        graph = new_graph(context)
        expand(graph, multiply(context, matrix, vector))
        buffer = allocate(context, backend)
        if not buffer:
            raise MemoryError("no buffer")
        clear(buffer, 0)
        best, spent = float("inf"), 0.0
        for turn in range(REPEATS + 1):
            began = time.perf_counter()
            if compute(backend, graph) != 0:
                raise RuntimeError("the product was not computed")
            seconds = time.perf_counter() - began
            if turn:
                best, spent = min(best, seconds), spent + seconds
            if spent > PATIENCE:
                break
        release(buffer)
        return rows * COLUMNS * 2 / best

    amount = SMALL
    speed = product(amount)
    # Larger until no cache holds it; a software device would take minutes for all of it.
    while amount < min(DEVICE_BYTES, room) and 8 * amount / speed < PATIENCE:
        amount *= 4
        speed = product(amount)
    return name.strip(), speed


def _device(call: Any, gpu: bool) -> Any:
    count = call("ggml_backend_dev_count", ctypes.c_size_t)()
    get = call("ggml_backend_dev_get", ctypes.c_void_p, ctypes.c_size_t)
    kind = call("ggml_backend_dev_type", ctypes.c_int, ctypes.c_void_p)
    wanted = (GPU, IGPU) if gpu else (0,)
    device = next((d for d in (get(i) for i in range(count)) if kind(d) in wanted), None)
    if device is None:
        raise RuntimeError("ggml found no GPU")
    return device


def main(arguments: Sequence[str]) -> None:
    """Print what was measured as one JSON object."""
    name, speed = _measure(int(arguments[0]), bool(int(arguments[1])))
    print(json.dumps({"device": name, "bytes_s": speed}))


if __name__ == "__main__":
    main(sys.argv[1:])
