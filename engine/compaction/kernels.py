"""The binding of halo_compact.h: which cells a head keeps, with which biases and values.

Shapes: keys [n, d], values [n, dv], queries [q, d] (post-RoPE, all query heads of the group pooled),
beta [n] in natural-log units; everything float32, positions int32. Section numbers are the paper's
steps: select the keys, fit the biases to the mass, fit the values to the output.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import HaloError

ABI = 3
METHODS = ("am-attention", "am-omp", "evict-attention", "evict-recent")
VALUE_RATIO = (
    20.0  # of max|V|: real heads gain up to there (docs/compaction-kernels.md), f16 holds it
)
F16_LIMIT = 32752.0  # half of the largest float16: attention adds values up

_ALIASES = {"attention": "am-attention", "omp": "am-omp"}
_SCORES = ("rms", "mean", "max")
_REMEDY = "Build the native part again: make clean && make run."


class CompactionError(HaloError):
    """The kernels are missing, refused their input, or were cancelled."""


class CompactionCancelled(CompactionError):
    """The cancel flag was raised before every head was done."""


class _Params(ctypes.Structure):
    _fields_ = [
        ("method", ctypes.c_int32),
        ("score", ctypes.c_int32),
        ("pool", ctypes.c_int32),
        ("omp_k", ctypes.c_int32),
        ("omp_interval", ctypes.c_int32),
        ("fit_beta", ctypes.c_int32),
        ("fit_values", ctypes.c_int32),
        ("beta_min", ctypes.c_float),
        ("beta_max", ctypes.c_float),
        ("ridge", ctypes.c_float),
        ("value_ratio", ctypes.c_float),
        ("value_limit", ctypes.c_float),
        ("holdout", ctypes.c_float),
        ("refine", ctypes.c_int32),
        ("threads", ctypes.c_int32),
        ("seed", ctypes.c_uint32),
    ]


class _Diagnostics(ctypes.Structure):
    _fields_ = [
        ("seconds", ctypes.c_double),
        ("mass_error", ctypes.c_float),
        ("mass_error_unfitted", ctypes.c_float),
        ("output_error", ctypes.c_float),
        ("output_error_unfitted", ctypes.c_float),
        ("output_error_evict_attention", ctypes.c_float),
        ("output_error_evict_recent", ctypes.c_float),
        ("ridge", ctypes.c_float),
        ("norm_ratio", ctypes.c_float),
        ("beta_min", ctypes.c_float),
        ("beta_max", ctypes.c_float),
        ("fitted_beta", ctypes.c_int32),
        ("fitted_values", ctypes.c_int32),
        ("refined", ctypes.c_int32),
        ("queries", ctypes.c_int32),
        ("held_out", ctypes.c_int32),
    ]


class _Job(ctypes.Structure):
    _fields_ = [
        *[
            (name, ctypes.c_void_p)
            for name in ("keys", "values", "queries", "beta", "key_pos", "query_pos", "log_rest")
        ],
        *[(name, ctypes.c_int64) for name in ("key_stride", "value_stride", "query_stride")],
        *[(name, ctypes.c_int32) for name in ("n", "q", "d", "dv", "m")],
        ("scale", ctypes.c_float),
        ("softcap", ctypes.c_float),
        *[(name, ctypes.c_void_p) for name in ("indices", "out_beta", "out_values", "out_keys")],
        ("count", ctypes.c_int32),
        ("status", ctypes.c_int32),
        ("diagnostics", _Diagnostics),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """How heads are compacted.

    `fit_beta` and `fit_values` None: on for the `am-` methods, off for the evictions. `ridge` None:
    chosen per head on held-out queries, "leave the values alone" included; a number is that
    shrinkage, in units of mean(diag XᵀX). `beta_bounds` limit the *change* of beta (log domain); None
    is (-3, 3), for `am-omp` (-3, max(3, log(n / m) + 1)), since at 50x an even share needs log 50.
    Magnitudes stay within `value_ratio` times max|V| of the head and `value_limit`.
    """

    method: str = "am-attention"
    beta_bounds: tuple[float, float] | None = None
    ridge: float | None = None
    score: str = "rms"
    pool: int = 0
    omp_k: int = 4
    omp_interval: int = 2
    fit_beta: bool | None = None
    fit_values: bool | None = None
    value_ratio: float = VALUE_RATIO
    value_limit: float = F16_LIMIT
    holdout: float = 0.2
    refine: int = 0
    threads: int | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One layer and KV head. A row of `keys`, `values` or `queries` must be contiguous; rows may be strided."""

    keys: NDArray[np.float32]  # [n, d]
    values: NDArray[np.float32]  # [n, dv]
    queries: NDArray[np.float32]  # [q, d]
    m: int  # cells to keep
    beta: NDArray[np.float32] | None = None  # [n], -inf = no such cell
    key_pos: NDArray[np.int32] | None = None  # [n]
    query_pos: NDArray[np.int32] | None = None  # [q], sees key_pos <= query_pos
    log_rest: NDArray[np.float32] | None = None  # [q] log of the attention mass outside the span
    scale: float | None = None  # of q·k; None = 1/sqrt(d)
    softcap: float = 0.0  # cap of the scores, 0 = off


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostics:
    """What a compaction did to one head.

    Output errors are |O - O'| / |O| over held-out queries, of a fit that did not see them; mass
    errors are mean |log(mass' / mass)|. NaN where there were too few queries to hold any out.
    """

    seconds: float
    mass_error: float
    mass_error_unfitted: float
    output_error: float
    output_error_unfitted: float  # the same cells as they are
    output_error_evict_attention: float  # the cells with the largest mean attention, as they are
    output_error_evict_recent: float  # the newest cells and the first 4, as they are
    ridge: float  # infinity = values left as they were
    norm_ratio: float  # max|C_v| / max|V|
    beta_min: float
    beta_max: float
    fitted_beta: bool
    fitted_values: bool
    refined: bool
    queries: int
    held_out: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON: NaN and infinity become None."""
        items = asdict(self).items()
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in items}


@dataclass(frozen=True, slots=True)
class Compacted:
    """The kept cells of one head, in ascending order; length min(m, n)."""

    indices: NDArray[np.int32]  # [m] into keys
    beta: NDArray[np.float32]  # [m] total bias of each cell
    values: NDArray[np.float32]  # [m, dv]
    keys: NDArray[np.float32]  # [m, d] those of the cells, but for refined ones
    diagnostics: Diagnostics


@dataclass(slots=True)
class Cancel:
    """A flag the kernels read between heads and between rounds. Any thread may raise it."""

    _flag: ctypes.c_int32 = field(default_factory=ctypes.c_int32)

    def set(self) -> None:
        self._flag.value = 1

    def is_set(self) -> bool:
        return bool(self._flag.value)


def library_path() -> Path:
    """Where libhalo_compact.so is installed."""
    try:
        import halo_native
    except ImportError as error:
        raise CompactionError(
            "The native library (halo-native) is not installed.", _REMEDY
        ) from error
    return Path(halo_native.lib_dir()) / "libhalo_compact.so"


@cache
def load() -> ctypes.CDLL:
    """The kernels' library; libllama is not touched."""
    path = library_path()
    try:
        lib = ctypes.CDLL(str(path))
    except OSError as error:
        raise CompactionError(
            f"The compaction kernels could not be loaded: {error}.", _REMEDY
        ) from error
    i32, ptr = ctypes.c_int32, ctypes.c_void_p
    lib.halo_compact_last_error.restype = ctypes.c_char_p
    lib.halo_compact_run.argtypes = [ptr, i32, ptr, ptr, ptr]
    lib.halo_compact_profile.argtypes = [ptr, ptr, i32, ptr, ptr, ptr]
    lib.halo_compact_gemm_rate.argtypes = [i32, i32, i32, i32, ctypes.c_double]
    lib.halo_compact_gemm_rate.restype = ctypes.c_double
    if (abi := int(lib.halo_compact_abi())) != ABI:
        raise CompactionError(
            f"The compaction kernels have ABI {abi}, this version needs {ABI}.", _REMEDY
        )
    return lib


def gemm_rate(rows: int, cols: int, inner: int, threads: int = 1, seconds: float = 0.2) -> float:
    """GFLOP/s of the linked single-precision GEMM for one shape: the floor of a bench."""
    return float(load().halo_compact_gemm_rate(rows, cols, inner, threads, seconds))


def method_name(method: str) -> str:
    """The full name of a method or alias; raises for unknown ones."""
    name = _ALIASES.get(method, method)
    if name not in METHODS:
        raise CompactionError(
            f"There is no compaction method called {method!r}.",
            f"Use one of: {', '.join(METHODS)}.",
        )
    return name


def _native_params(params: Params, threads: int | None) -> _Params:
    name = method_name(params.method)
    if params.score not in _SCORES:
        raise CompactionError(
            f"There is no score called {params.score!r}.", f"Use one of: {', '.join(_SCORES)}."
        )
    fits = name.startswith("am-")
    return _Params(
        METHODS.index(name),
        _SCORES.index(params.score),
        params.pool,
        params.omp_k,
        params.omp_interval,
        int(fits if params.fit_beta is None else params.fit_beta),
        int(fits if params.fit_values is None else params.fit_values),
        *(params.beta_bounds or (-3.0, math.nan)),
        -1.0 if params.ridge is None else params.ridge,
        params.value_ratio,
        params.value_limit,
        params.holdout,
        params.refine,
        (params.threads if threads is None else threads) or 0,
        params.seed & 0xFFFFFFFF,
    )


def _rows(array: ArrayLike, name: str) -> NDArray[np.float32]:
    """float32 with contiguous rows; copied only when it is not."""
    out = np.asarray(array, np.float32)
    if out.ndim != 2:
        raise CompactionError(f"{name} must have two axes, not {out.ndim}.", "")
    item = out.itemsize
    if out.size and (
        out.strides[1] != item or out.strides[0] < out.shape[1] * item or out.strides[0] % item
    ):
        out = np.ascontiguousarray(out)
    return out


def _flat(array: ArrayLike | None, dtype: Any, size: int, name: str) -> NDArray[Any] | None:
    if array is None:
        return None
    out = np.ascontiguousarray(array, dtype)
    if out.shape != (size,):
        raise CompactionError(f"{name} must have shape ({size},), not {out.shape}.", "")
    return out


def _address(array: NDArray[Any] | None) -> int | None:
    return None if array is None else int(array.ctypes.data)


def _stride(array: NDArray[np.float32]) -> int:
    return array.strides[0] // array.itemsize if array.shape[0] > 1 else 0


def _fill(native: _Job, job: Job) -> list[Any]:
    """Points a native job at a Python one; returns what must stay alive meanwhile."""
    keys, values = _rows(job.keys, "keys"), _rows(job.values, "values")
    queries = _rows(job.queries, "queries")
    n, d = keys.shape[0], keys.shape[1]
    dv, q = values.shape[1], queries.shape[0]
    if values.shape[0] != n or queries.shape[1] != d:
        raise CompactionError(
            f"Shapes do not fit: keys {keys.shape}, values {values.shape}, queries {queries.shape}.",
            "",
        )
    if job.m < 1:
        raise CompactionError(f"A head cannot be compacted to {job.m} cells.", "")
    beta = _flat(job.beta, np.float32, n, "beta")
    key_pos = _flat(job.key_pos, np.int32, n, "key_pos")
    query_pos = _flat(job.query_pos, np.int32, q, "query_pos")
    native.keys, native.values = _address(keys), _address(values)
    native.queries, native.beta = _address(queries), _address(beta)
    native.key_pos, native.query_pos = _address(key_pos), _address(query_pos)
    log_rest = _flat(job.log_rest, np.float32, q, "log_rest")
    native.log_rest = _address(log_rest)
    native.key_stride, native.value_stride = _stride(keys), _stride(values)
    native.query_stride = _stride(queries)
    native.n, native.q, native.d, native.dv = n, q, d, dv
    native.m = min(job.m, max(n, 1))
    native.scale, native.softcap = job.scale or 0.0, job.softcap
    return [keys, values, queries, beta, key_pos, query_pos, log_rest]


def _diagnostics(native: _Diagnostics) -> Diagnostics:
    found = {field[0]: getattr(native, field[0]) for field in native._fields_}
    found["fitted_beta"] = bool(found["fitted_beta"])
    found["fitted_values"] = bool(found["fitted_values"])
    found["refined"] = bool(found["refined"])
    return Diagnostics(**found)


def _check(status: int) -> None:
    if status:
        text = load().halo_compact_last_error().decode(errors="replace")
        kind = CompactionCancelled if status == -2 else CompactionError
        raise kind(f"Compaction failed: {text}.", "")


def compact_heads(
    jobs: Sequence[Job],
    params: Params | None = None,
    *,
    threads: int | None = None,
    cancel: Cancel | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Compacted]:
    """Compacts many heads in one native call, which holds no Python lock.

    Heads run in parallel, one thread each; with fewer heads than threads a head is split.
    `threads` None: those of `params`, else one per core. `on_progress(done, total)` is called from
    a thread of its own about ten times a second. Raises CompactionCancelled after `cancel.set()`.
    """
    lib, settings = load(), _native_params(params or Params(), threads)
    natives = (_Job * len(jobs))()
    kept: list[Any] = []
    results: list[tuple[NDArray[Any], ...]] = []
    for native, job in zip(natives, jobs, strict=True):
        kept.append(_fill(native, job))
        arrays = (
            np.empty(native.m, np.int32),
            np.empty(native.m, np.float32),
            np.empty((native.m, native.dv), np.float32),
            np.empty((native.m, native.d), np.float32),
        )
        native.indices, native.out_beta, native.out_values, native.out_keys = map(_address, arrays)
        results.append(arrays)
    flag = (cancel or Cancel())._flag
    done, finished = ctypes.c_int32(), Event()

    def watch() -> None:
        seen = -1
        while not finished.wait(0.1):
            if done.value != seen and on_progress:
                seen = done.value
                on_progress(seen, len(jobs))

    watcher = Thread(target=watch, name="compaction-progress", daemon=True)
    if on_progress:
        watcher.start()
    try:
        status = lib.halo_compact_run(
            natives,
            len(jobs),
            ctypes.byref(settings),
            ctypes.byref(flag),
            ctypes.byref(done),
        )
    finally:
        finished.set()
        if on_progress:
            watcher.join()
    _check(status)
    if on_progress:
        on_progress(len(jobs), len(jobs))
    return [
        Compacted(indices, beta, values, keys, _diagnostics(native.diagnostics))
        for (indices, beta, values, keys), native in zip(results, natives, strict=True)
    ]


def compact_head(
    keys: ArrayLike,
    values: ArrayLike,
    queries: ArrayLike,
    m: int,
    *,
    method: str = "am-attention",
    beta_bounds: tuple[float, float] | None = None,
    ridge: float | None = None,
    beta: ArrayLike | None = None,
    key_pos: ArrayLike | None = None,
    query_pos: ArrayLike | None = None,
    log_rest: ArrayLike | None = None,
    scale: float | None = None,
    softcap: float = 0.0,
    score: str = "rms",
    pool: int = 0,
    omp_k: int = 4,
    omp_interval: int = 2,
    fit_beta: bool | None = None,
    fit_values: bool | None = None,
    value_ratio: float = VALUE_RATIO,
    value_limit: float = F16_LIMIT,
    holdout: float = 0.2,
    refine: int = 0,
    threads: int | None = None,
    seed: int = 0,
) -> Compacted:
    """Compacts one head: keys [n, d], values [n, dv], queries [q, d] to m cells.

    See Job for the arrays and Params for the rest. The result has min(m, n) cells.
    """
    params = Params(
        method=method,
        beta_bounds=beta_bounds,
        ridge=ridge,
        score=score,
        pool=pool,
        omp_k=omp_k,
        omp_interval=omp_interval,
        fit_beta=fit_beta,
        fit_values=fit_values,
        value_ratio=value_ratio,
        value_limit=value_limit,
        holdout=holdout,
        refine=refine,
        threads=threads,
        seed=seed,
    )
    job = Job(
        keys=np.asarray(keys, np.float32),
        values=np.asarray(values, np.float32),
        queries=np.asarray(queries, np.float32),
        m=m,
        beta=None if beta is None else np.asarray(beta, np.float32),
        key_pos=None if key_pos is None else np.asarray(key_pos, np.int32),
        query_pos=None if query_pos is None else np.asarray(query_pos, np.int32),
        log_rest=None if log_rest is None else np.asarray(log_rest, np.float32),
        scale=scale,
        softcap=softcap,
    )
    return compact_heads([job], params)[0]


def errors_over(
    job: Job,
    ms: Sequence[int],
    params: Params | None = None,
    *,
    threads: int | None = None,
    cancel: Cancel | None = None,
) -> list[Diagnostics]:
    """What compacting one head to each of `ms` cells would cost, from one pass over the span.

    For `auto` ratios (the smallest m with output_error under a bound) and sensitivity profiles;
    `job.m` is not used, and `seconds` is that of each m without the shared pass.
    """
    lib, settings = load(), _native_params(params or Params(), threads)
    native = _Job()
    kept = _fill(native, job)
    wanted = np.asarray(ms, np.int32)
    out = (_Diagnostics * len(ms))()
    flag = (cancel or Cancel())._flag
    status = lib.halo_compact_profile(
        ctypes.byref(native),
        _address(wanted),
        len(ms),
        ctypes.byref(settings),
        ctypes.byref(flag),
        out,
    )
    del kept
    _check(status)
    return [_diagnostics(one) for one in out]
