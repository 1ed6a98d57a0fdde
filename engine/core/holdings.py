"""What llama.cpp holds, buffer type by buffer type, from its own accounting.

`llama_get_memory_breakdown` is exported, but it is C++: it returns a
`std::map<ggml_backend_buffer_type_t, {size_t model, context, compute}>`. libllama is built by us from
one pinned source with GCC's library, so the map is read as what it is there, a red-black tree; where
anything about it does not fit (another library, another layout) nothing is reported rather than a
wrong number.
"""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Iterator
from typing import Any

from engine.core import remote
from engine.protocol import Held, Holdings

log = logging.getLogger(__name__)

SYMBOL = "_Z26llama_get_memory_breakdownPK13llama_context"
DELETE = "_ZdlPv"  # operator delete(void*)
KINDS = {0: "cpu", 1: "gpu", 2: "igpu", 3: "accel", 4: "meta"}  # enum ggml_backend_dev_type
MOST = 64  # buffer types; more means that this is not such a map


class _Map(ctypes.Structure):
    """std::map as libstdc++ lays it out: comparator, header node, count."""

    _fields_ = (
        ("compare", ctypes.c_size_t),
        ("colour", ctypes.c_uint),  # an enum; the padding behind it holds anything
        ("root", ctypes.c_void_p),
        ("left", ctypes.c_void_p),
        ("right", ctypes.c_void_p),
        ("count", ctypes.c_size_t),
    )


class _Node(ctypes.Structure):
    """A node: base, key, then llama_memory_breakdown_data."""

    _fields_ = (
        ("colour", ctypes.c_uint),  # an enum; the padding behind it holds anything
        ("parent", ctypes.c_void_p),
        ("left", ctypes.c_void_p),
        ("right", ctypes.c_void_p),
        ("buffer_type", ctypes.c_void_p),
        ("model", ctypes.c_size_t),
        ("context", ctypes.c_size_t),
        ("compute", ctypes.c_size_t),
    )


class Accountant:
    """Asks one context; a question takes some microseconds."""

    def __init__(self, api: Any, context: Any) -> None:
        """`api` is the module llama_cpp.llama_cpp, `context` its context pointer."""
        self._library = api._lib
        self._context = ctypes.cast(context, ctypes.c_void_p)
        self._ask: Any = None
        self._delete: Any = None
        try:
            self._ask = self._library[SYMBOL]
            # In libllama's own C++ library, so that what one allocated the same one frees.
            self._delete = self._library[DELETE]
            for name in ("ggml_backend_buft_name", "ggml_backend_dev_name",
                         "ggml_backend_dev_description"):  # fmt: skip
                getattr(self._library, name).restype = ctypes.c_char_p
                getattr(self._library, name).argtypes = [ctypes.c_void_p]
            self._library.ggml_backend_buft_get_device.restype = ctypes.c_void_p
            self._library.ggml_backend_buft_get_device.argtypes = [ctypes.c_void_p]
            self._library.ggml_backend_buft_is_host.restype = ctypes.c_bool
            self._library.ggml_backend_buft_is_host.argtypes = [ctypes.c_void_p]
            remote.declare(self._library)
        except AttributeError as error:
            log.info("llama.cpp does not tell what it holds: %s", error)
            self._ask = None
            return
        self._ask.restype = _Map
        self._ask.argtypes = [ctypes.c_void_p]
        self._delete.restype = None
        self._delete.argtypes = [ctypes.c_void_p]

    def holdings(self) -> Holdings | None:
        """What the context and its model hold now; None when llama.cpp does not tell."""
        if self._ask is None:
            return None
        found: _Map = self._ask(self._context)
        if found.colour not in (0, 1) or not 0 < found.count <= MOST or not found.root:
            self._give_up("an unknown layout of std::map")
            return None
        nodes = list(self._walk(found.root, MOST + 1))
        if len(nodes) != found.count:
            self._give_up("a tree of another size than its count")
            return None
        held = tuple(self._held(_Node.from_address(address)) for address in nodes)
        for address in nodes:
            self._delete(address)
        return Holdings(held)

    def _give_up(self, why: str) -> None:
        log.warning("what llama.cpp holds is not known: %s", why)
        self._ask = None

    def _walk(self, address: int | None, depth: int) -> Iterator[int]:
        """Addresses of the nodes in order; never deeper than a tree of MOST nodes can be."""
        if not address or depth == 0:
            return
        node = _Node.from_address(address)
        left, right = node.left, node.right
        yield from self._walk(left, depth - 1)
        yield address
        yield from self._walk(right, depth - 1)

    def _held(self, node: _Node) -> Held:
        library = self._library
        name = _text(library.ggml_backend_buft_name(node.buffer_type))
        device = library.ggml_backend_buft_get_device(node.buffer_type)
        kind = KINDS.get(library.ggml_backend_dev_type(device), "cpu") if device else "cpu"
        where = _text(library.ggml_backend_dev_name(device)) if device else "CPU"
        if device and remote.is_remote(library, device):
            # For ggml it is a GPU; it is none of this machine.
            kind, where = "rpc", _text(library.ggml_backend_dev_description(device))
        return Held(
            buffer=name,
            device=where,
            kind=kind,
            host=bool(library.ggml_backend_buft_is_host(node.buffer_type)),
            mapped=name.endswith("_Mapped"),
            model=node.model,
            cells=node.context,
            compute=node.compute,
        )


def _text(raw: bytes | None) -> str:
    return raw.decode("utf-8", "replace") if raw else ""
