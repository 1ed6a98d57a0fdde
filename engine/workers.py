"""Workers on other machines: who they are, whether one answers, and what to say when it does not.

A worker is llama.cpp's rpc-server. It serves one client at a time and says nothing of itself to
others, so it is asked by its own protocol (ggml/src/ggml-rpc/ggml-rpc.cpp of the pinned llama.cpp):
a command byte, the size of the request (u64) and the request; the answer is its size and itself.
"""

from __future__ import annotations

import errno
import re
import socket
import struct
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from engine.errors import EngineError

PROTOCOL = (7, 0)  # RPC_PROTO_MAJOR_VERSION, _MINOR_VERSION of ggml-rpc.h
MOST = 16  # GGML_RPC_MAX_SERVERS
LOST = 6  # exit code of a core whose worker closed the connection
PORT = 50052  # llama.cpp's default
PATIENCE = 2.0  # seconds a worker may take for one answer

_HELLO, _DEVICE_COUNT, _DEVICE_MEMORY = 14, 15, 11
_CAPABILITIES = bytes(24)  # RPC_CONN_CAPS_SIZE zeros: plain TCP
_ENDPOINT = re.compile(r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?):(?P<port>\d{1,5})")

State = Literal["ready", "busy", "down", "other", "stranger"]


class Worker(msgspec.Struct, frozen=True):
    """What a worker said when it was asked.

    ready: it would serve us now; busy: it serves somebody, or hangs; down: nobody listens there;
    other: another version of the protocol; stranger: no worker at all.
    """

    endpoint: str
    state: State
    detail: str = ""
    free: tuple[int, ...] = ()  # bytes, of each of its devices
    total: tuple[int, ...] = ()


def parse(endpoint: str) -> tuple[str, int]:
    """Host and port of "host:port" (a name or an IPv4 address). Raises ValueError."""
    found = _ENDPOINT.fullmatch(endpoint)
    if found is None or not 0 < int(found["port"]) < 65536:
        raise ValueError(f"'{endpoint}' is no host:port")
    return found["host"], int(found["port"])


def check(endpoints: Sequence[str]) -> None:
    """Whether a list of workers makes sense. Raises ValueError saying why not."""
    for one in endpoints:
        parse(one)
    if len(set(endpoints)) < len(endpoints):
        raise ValueError("a worker is named twice")
    if len(endpoints) > MOST:
        raise ValueError(f"llama.cpp takes {MOST} workers at most")


def probe(endpoint: str, patience: float = PATIENCE) -> Worker:
    """Ask one worker for its version and the memory of its devices; never raises OSError."""
    host, port = parse(endpoint)
    try:
        connection = socket.create_connection((host, port), patience)
    except OSError as error:
        return Worker(endpoint, "down", _why(error))
    with connection:
        try:
            return _ask(endpoint, connection, patience)
        except TimeoutError:
            return Worker(endpoint, "busy", "it takes the connection and says nothing")
        except (OSError, EOFError, struct.error) as error:
            return Worker(endpoint, "stranger", _why(error))


def look(endpoints: Sequence[str], patience: float = PATIENCE) -> list[Worker]:
    """`probe` for all of them at the same time, in their order."""
    if not endpoints:
        return []
    from concurrent.futures import ThreadPoolExecutor  # settings are read without

    with ThreadPoolExecutor(len(endpoints)) as pool:
        return list(pool.map(lambda one: probe(one, patience), endpoints))


def settled(endpoints: Sequence[str], seconds: float = 5.0) -> list[Worker]:
    """`look`, but those that are busy get some time: a worker whose client has just gone needs a
    moment to notice."""
    end = time.monotonic() + seconds
    found = look(endpoints)
    while any(one.state == "busy" for one in found) and time.monotonic() < end:
        time.sleep(0.2)
        found = [probe(one.endpoint) if one.state == "busy" else one for one in found]
    return found


def faulty(workers: Iterable[Worker]) -> list[Worker]:
    """Those that cannot be used now."""
    return [one for one in workers if one.state != "ready"]


def trouble(workers: Sequence[Worker]) -> EngineError | None:
    """What to tell of workers that cannot be used; None when all are ready."""
    bad = faulty(workers)
    if not bad:
        return None
    what = " ".join(_sentence(one) for one in bad)
    remedy = " ".join(dict.fromkeys(_remedy(one) for one in bad))
    return EngineError(what, f"{remedy} Or compute without: {without()}.", "worker")


def program() -> Path:
    """llama.cpp's rpc-server in halo-native. Raises EngineError when it is not there."""
    try:
        import halo_native

        server: Path = halo_native.rpc_server()
    except (ImportError, AttributeError):
        server = Path("rpc-server")
    if not server.is_file():
        raise EngineError(
            "llama.cpp's rpc-server is not installed.",
            "Build the native part again: make clean && make run.",
        )
    return server


def without() -> str:
    """How to go on without workers."""
    return "/workers off in the app, --set engine.rpc= on the command line"


def _sentence(worker: Worker) -> str:
    name = f"The worker {worker.endpoint}"
    match worker.state:
        case "down":
            return f"{name} does not answer ({worker.detail})."
        case "busy":
            return f"{name} serves somebody else already, or hangs: {worker.detail}."
        case "other":
            return f"{name} {worker.detail}."
        case _:
            return f"At {worker.endpoint} there is no rpc-server ({worker.detail})."


def _remedy(worker: Worker) -> str:
    host, port = parse(worker.endpoint)
    match worker.state:
        case "down":
            local = host == "localhost" or host.startswith("127.")
            where = "Start it" if local else f"Start it on {host}"
            listen = "" if local else " --host ADDRESS"
            return f"{where}: halo-tui rpc-worker{listen} --port {port}."
        case "busy":
            return "Close the other program (it serves one at a time), or start the worker again."
        case "other":
            return "Install the same version of halo-tui on both machines."
        case _:
            return "Correct engine.rpc."


def _ask(endpoint: str, connection: socket.socket, patience: float) -> Worker:
    connection.settimeout(patience)
    major, minor, patch, _ = _call(connection, _HELLO, _CAPABILITIES, "<BBBB24x")
    if major != PROTOCOL[0] or minor > PROTOCOL[1]:
        return Worker(
            endpoint,
            "other",
            f"speaks version {major}.{minor}.{patch} of the RPC protocol, this one {PROTOCOL[0]}."
            f"{PROTOCOL[1]}",
        )
    (count,) = _call(connection, _DEVICE_COUNT, b"", "<I")
    if not 0 < count <= 64:
        return Worker(endpoint, "stranger", f"it claims {count} devices")
    memory = [_call(connection, _DEVICE_MEMORY, struct.pack("<I", i), "<QQ") for i in range(count)]
    free, total = (tuple(column) for column in zip(*memory, strict=True))
    return Worker(endpoint, "ready", "", free, total)


def _call(connection: socket.socket, command: int, request: bytes, answer: str) -> tuple[int, ...]:
    connection.sendall(struct.pack("<BQ", command, len(request)) + request)
    (size,) = struct.unpack("<Q", _receive(connection, 8))
    if size != struct.calcsize(answer):
        raise EOFError("it answers in another language")
    return struct.unpack(answer, _receive(connection, size))


def _receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise EOFError("it hung up")
        data += piece
    return data


def _why(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    if isinstance(error, TimeoutError):
        return f"no answer within {PATIENCE:.0f} s"
    if isinstance(error, OSError) and error.errno == errno.ECONNREFUSED:
        return "connection refused"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[0].lower() + error.strerror[1:]
    return str(error) or type(error).__name__
