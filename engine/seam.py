"""What the seam does to KV cells: read, write, evict, move, bias them, and keep the queries.

Thin over `halo.h`; every array is NumPy's, every failure a `NativeError`. All calls belong to the
thread that owns the context, between two decodes. One stream: the engine's caches are unified.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.native import check, library

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]


class _LayerInfo(ctypes.Structure):
    _fields_ = [
        *[
            (name, ctypes.c_int32)
            for name in ("layer", "n_head", "n_head_kv", "d_k", "d_v", "type_k", "type_v")
        ],
        ("rotated_k", ctypes.c_bool),
        ("rotated_v", ctypes.c_bool),
        ("scale", ctypes.c_float),
        ("softcap", ctypes.c_float),
        ("alibi", ctypes.c_bool),
    ]


@dataclass(frozen=True, slots=True)
class LayerInfo:
    """One layer of one attention cache."""

    layer: int  # index in the model
    n_head: int  # query heads
    n_head_kv: int  # KV heads
    d_k: int  # width of one head's key
    d_v: int
    type_k: int  # ggml_type of the stored keys
    type_v: int
    rotated_k: bool  # stored Hadamard-rotated, as captured queries are
    rotated_v: bool
    scale: float  # of the scores; 0 until a graph was built
    softcap: float  # 0 = none
    alibi: bool  # no bias possible

    @property
    def group(self) -> int:
        """Query heads that share one KV head."""
        return self.n_head // self.n_head_kv


@cache
def _lib() -> Any:
    """The library, with the types of the functions this module calls."""
    lib = library()
    i32, ptr = ctypes.c_int32, ctypes.c_void_p
    where = [ptr, i32, i32, i32]
    for name, arguments in {
        "halo_cells_of": [ptr, i32, i32, i32, ptr, ptr, ptr, i32],
        "halo_layer_describe": [ptr, i32, i32, ctypes.POINTER(_LayerInfo)],
        "halo_cells_read": [*where, ptr, i32, ptr, ptr],
        "halo_cells_write": [*where, ptr, i32, ptr, ptr],
        "halo_cells_evict": [ptr, i32, i32, i32, ptr, i32],
        "halo_cells_defragment": [ptr, i32, i32, i32],
        "halo_bias_set": [*where, ptr, i32, ptr],
        "halo_bias_get": [*where, ptr, i32, ptr],
        "halo_bias_count": [ptr, i32],
        "halo_bias_mode": [ptr, i32],
        "halo_queries_track": [ptr, i32, i32],
        "halo_queries_count": [ptr, i32, i32],
        "halo_queries_read": [ptr, i32, i32, i32, ptr, ptr, i32],
        "halo_queries_forget": [ptr, i32, i32],
    }.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = i32, arguments
    return lib


def layers(ctx: Any, n_layers: int, cache: int = 0) -> list[LayerInfo]:
    """The layers of one cache, in the cache's order."""
    found = []
    for index in range(n_layers):
        info = _LayerInfo()
        check(_lib().halo_layer_describe(ctx, cache, index, ctypes.byref(info)))
        found.append(LayerInfo(*[getattr(info, field[0]) for field in _LayerInfo._fields_]))
    return found


def _cells(cells: npt.ArrayLike) -> I32:
    return np.ascontiguousarray(cells, np.int32)


def cells_of(ctx: Any, slot: int, cache: int = 0) -> tuple[I32, I32, I32]:
    """Cells of a sequence by position, their positions, and how many sequences own each: [n]."""
    n = check(int(_lib().halo_cells_of(ctx, cache, 0, slot, None, None, None, 0)))
    cells, pos, owners = np.empty((3, n), np.int32)
    check(
        int(
            _lib().halo_cells_of(
                ctx, cache, 0, slot, cells.ctypes.data, pos.ctypes.data, owners.ctypes.data, n
            )
        )
    )
    return cells, pos, owners


def read(
    ctx: Any, index: int, info: LayerInfo, cells: npt.ArrayLike, cache: int = 0
) -> tuple[F32, F32]:
    """Keys [n, n_head_kv, d_k] and values [n, n_head_kv, d_v] of cells, de-quantised."""
    which = _cells(cells)
    keys = np.empty((len(which), info.n_head_kv, info.d_k), np.float32)
    values = np.empty((len(which), info.n_head_kv, info.d_v), np.float32)
    check(
        _lib().halo_cells_read(
            ctx,
            cache,
            index,
            0,
            which.ctypes.data,
            len(which),
            keys.ctypes.data,
            values.ctypes.data,
        )
    )
    return keys, values


def write(
    ctx: Any, index: int, cells: npt.ArrayLike, keys: F32, values: F32, cache: int = 0
) -> None:
    """Overwrite keys and values, quantised where the cache is; shapes as `read` returns them."""
    which = _cells(cells)
    k, v = np.ascontiguousarray(keys, np.float32), np.ascontiguousarray(values, np.float32)
    check(
        _lib().halo_cells_write(
            ctx, cache, index, 0, which.ctypes.data, len(which), k.ctypes.data, v.ctypes.data
        )
    )


def evict(ctx: Any, slot: int, cells: npt.ArrayLike, cache: int = 0) -> None:
    """Free cells that belong to `slot` alone; all or none."""
    which = _cells(cells)
    check(_lib().halo_cells_evict(ctx, cache, 0, slot, which.ctypes.data, len(which)))


def defragment(ctx: Any, most: int, cache: int = 0) -> int:
    """Move up to `most` of the highest cells into holes; how many were moved."""
    return check(int(_lib().halo_cells_defragment(ctx, cache, 0, most)))


def set_bias(ctx: Any, index: int, cells: npt.ArrayLike, beta: F32, cache: int = 0) -> None:
    """Biases [n_head_kv, n] of cells; 0 = none, -inf hides."""
    which, b = _cells(cells), np.ascontiguousarray(beta, np.float32)
    check(_lib().halo_bias_set(ctx, cache, index, 0, which.ctypes.data, len(which), b.ctypes.data))


def get_bias(ctx: Any, index: int, info: LayerInfo, cells: npt.ArrayLike, cache: int = 0) -> F32:
    """Biases [n_head_kv, n] of cells."""
    which = _cells(cells)
    beta = np.empty((info.n_head_kv, len(which)), np.float32)
    check(
        _lib().halo_bias_get(ctx, cache, index, 0, which.ctypes.data, len(which), beta.ctypes.data)
    )
    return beta


def bias_count(ctx: Any, cache: int = -1) -> int:
    """Cells with a bias in any layer or head."""
    return check(int(_lib().halo_bias_count(ctx, cache)))


def bias_mode(ctx: Any, mode: int) -> None:
    """How the bias enters flash attention (see halo.h); for tests."""
    check(_lib().halo_bias_mode(ctx, mode))


def track_queries(ctx: Any, slot: int, capacity: int) -> None:
    """Keep the queries of the newest `capacity` tokens of a sequence; 0 stops and forgets."""
    check(_lib().halo_queries_track(ctx, slot, capacity))


def count_queries(ctx: Any, slot: int, start: int = 0) -> int:
    """Tokens at positions >= start whose queries are kept."""
    return check(int(_lib().halo_queries_count(ctx, slot, start)))


def queries(ctx: Any, index: int, info: LayerInfo, slot: int, start: int = 0) -> tuple[I32, F32]:
    """Positions [t] and queries [t, n_head, d_k], oldest first, of tokens at positions >= start."""
    n = count_queries(ctx, slot, start)
    pos, rows = np.empty(n, np.int32), np.empty((n, info.n_head, info.d_k), np.float32)
    got = check(
        int(_lib().halo_queries_read(ctx, index, slot, start, pos.ctypes.data, rows.ctypes.data, n))
    )
    return pos[:got], rows[:got]


def forget_queries(ctx: Any, slot: int, start: int = 0) -> None:
    """Drop kept queries at positions >= start: their rotation is stale after a shift."""
    check(_lib().halo_queries_forget(ctx, slot, start))
