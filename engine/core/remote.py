"""Devices of other machines: made known to ggml before the model is loaded, and watched.

ggml ends the process when a worker cannot be reached or its connection breaks (GGML_ABORT), so
workers are asked first, and whoever started this process tells what happened to one that died
later. A connection that breaks without a word (a pulled cable) is found out by TCP keep-alive,
which is set here: ggml's own sockets wait for ever.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine import workers
from engine.errors import EngineError
from engine.workers import Worker

log = logging.getLogger(__name__)

NAME = "RPC"  # of ggml's backend; devices are called RPC0, RPC1, ... and described by host:port
_CPU, _GPU, _INTEGRATED = 0, 1, 2  # enum ggml_backend_dev_type
GPUS = (_GPU, _INTEGRATED)
_IDLE, _INTERVAL, _COUNT = 10, 5, 3  # seconds, seconds, probes: 25 s until a lost one is noticed
FITS = 0.95  # share of the workers' free memory that weights and cells may take


def connect(api: Any, endpoints: Sequence[str]) -> list[Worker]:
    """Make the devices of all workers known to ggml; what they said of themselves.

    Raises EngineError, naming the worker and what to do, when one cannot be used.
    """
    if not endpoints:
        return []
    found = workers.settled(endpoints)
    if (trouble := workers.trouble(found)) is not None:
        raise trouble
    library = declare(api._lib)
    try:
        add = library.ggml_backend_rpc_add_server
    except AttributeError:
        raise EngineError(
            "The native library was built without RPC.",
            "Build it again: make clean && make run.",
        ) from None
    add.restype, add.argtypes = ctypes.c_void_p, [ctypes.c_char_p]
    for endpoint in endpoints:
        registry = add(endpoint.encode())
        if not registry:
            raise EngineError(f"The worker {endpoint} has no devices.", "See its own output.")
        library.ggml_backend_register(registry)
    return found


def layers_that_fit(n_layer: int, needed: int, found: Sequence[Worker]) -> int:
    """How many layers workers have room for: -1 = all, when `needed` bytes of weights and cells do.

    One more than `n_layer` counts the output.
    """
    room = int(FITS * sum(sum(one.free) for one in found))
    return -1 if needed <= room else (n_layer + 1) * room // max(1, needed)


def local_gpus(api: Any) -> int:
    """GPUs of this machine that ggml can use; those of workers do not count."""
    library = declare(api._lib)
    found = (library.ggml_backend_dev_get(i) for i in range(library.ggml_backend_dev_count()))
    return sum(
        library.ggml_backend_dev_type(device) in GPUS and not is_remote(library, device)
        for device in found
    )


def is_remote(library: Any, device: int) -> bool:
    """Whether a ggml_backend_dev_t is a worker's."""
    registry = library.ggml_backend_dev_backend_reg(device)
    return bool(library.ggml_backend_reg_name(registry) == NAME.encode())


def declare(library: Any) -> Any:
    """Give ggml's functions, which are reachable through libllama, their types. Returns it."""
    pointer = ctypes.c_void_p
    for name, result, arguments in (
        ("ggml_backend_register", None, [pointer]),
        ("ggml_backend_dev_count", ctypes.c_size_t, []),
        ("ggml_backend_dev_get", pointer, [ctypes.c_size_t]),
        ("ggml_backend_dev_type", ctypes.c_int, [pointer]),
        ("ggml_backend_dev_backend_reg", pointer, [pointer]),
        ("ggml_backend_reg_name", ctypes.c_char_p, [pointer]),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def connections(endpoints: Sequence[str]) -> list[socket.socket]:
    """ggml's connections to the workers, as copies to be watched; the kernel notices dead ones.

    For when the context is made: before, ggml opens and drops them as it goes. It tells nobody of
    them, so they are found among this process's descriptors. A worker serves nobody else as long as
    a copy is open.
    """
    ports = {workers.parse(endpoint)[1] for endpoint in endpoints}
    found = []
    for entry in Path("/proc/self/fd").iterdir() if ports else ():
        with contextlib.suppress(OSError, ValueError):
            if not os.readlink(entry).startswith("socket:"):
                continue
            one = socket.socket(fileno=os.dup(int(entry.name)))
            if one.family == socket.AF_INET and _peer_port(one) in ports:
                # Options belong to the connection, not to the descriptor.
                one.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _IDLE)
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _INTERVAL)
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _COUNT)
                patience = 1000 * (_IDLE + _INTERVAL * _COUNT)
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, patience)
                found.append(one)
            else:
                one.close()
    return found


def _peer_port(connection: socket.socket) -> int:
    """0 when it is not connected."""
    try:
        return int(connection.getpeername()[1])
    except OSError:
        return 0
