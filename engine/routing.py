"""What the seam does to the routers of a mixture of experts: bias their choice, read it.

Thin over `halo.h`; arrays are NumPy's, failures `NativeError`s. All calls belong to the thread that
owns the context, between two decodes.
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
I64 = npt.NDArray[np.int64]

ROWS = 64  # HALO_EXPERT_ROWS: tokens of a ubatch whose scores can be read
NOTHING, IDS, SCORES = 0, 1, 2  # what is captured

GATINGS = {1: "softmax", 2: "sigmoid", 3: "softmax of the chosen", 4: "sqrt softplus"}


class _Info(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_int32)
        for name in ("n_layers", "n_expert", "n_used", "n_groups", "n_groups_used", "gating")
    ]


@dataclass(frozen=True, slots=True)
class Experts:
    """The experts of a model; per-layer arrays cover all layers, dense ones too."""

    n_layers: int
    n_expert: int  # of a layer; 0 = a dense model
    n_used: int  # most that a layer takes for a token
    n_groups: int  # 0 or 1 = none
    n_groups_used: int
    gating: str
    used: I32  # [n_layers], 0 = dense
    bytes: I64  # [n_layers], of one expert's weights

    @property
    def layers(self) -> npt.NDArray[np.intp]:
        """Indices of the layers that have experts."""
        return np.flatnonzero(self.used)


@cache
def _lib() -> Any:
    """The library, with the types of the functions this module calls."""
    lib = library()
    i32, ptr = ctypes.c_int32, ctypes.c_void_p
    for name, arguments in {
        "halo_experts_describe": [ptr, ctypes.POINTER(_Info)],
        "halo_experts_layers": [ptr, ptr, ptr, i32],
        "halo_experts_mode": [ptr, ctypes.c_bool, i32, i32],
        "halo_experts_set_bias": [ptr, ptr, ptr],
        "halo_experts_read": [ptr, ptr, ptr, i32],
        "halo_experts_scores": [ptr, i32, ptr, ptr],
    }.items():
        function = getattr(lib, name, None)
        if function is not None:
            function.restype, function.argtypes = i32, arguments
    return lib


def available() -> bool:
    """Whether the library has these functions; one built by an earlier version has not."""
    return hasattr(_lib(), "halo_experts_describe")


def describe(ctx: Any) -> Experts:
    """The experts of an attached context's model."""
    info = _Info()
    check(_lib().halo_experts_describe(ctx, ctypes.byref(info)))
    used, size = np.zeros(info.n_layers, np.int32), np.zeros(info.n_layers, np.int64)
    check(_lib().halo_experts_layers(ctx, used.ctypes.data, size.ctypes.data, info.n_layers))
    return Experts(
        info.n_layers, info.n_expert, info.n_used, info.n_groups, info.n_groups_used,
        GATINGS.get(info.gating, "softmax"), used, size,
    )  # fmt: skip


def set_mode(ctx: Any, *, bias: bool, keep: int, capture: int) -> None:
    """What the next graphs do; see `halo_experts_mode`."""
    check(_lib().halo_experts_mode(ctx, bias, keep, capture))


def set_bias(ctx: Any, bias: F32, shared: F32) -> None:
    """Biases [n_layers, n_expert] of the selection scores, finite or -inf, and the bonus [n_layers]
    of experts that are among the kept ones of any token of the step."""
    rows, bonus = np.ascontiguousarray(bias, np.float32), np.ascontiguousarray(shared, np.float32)
    check(_lib().halo_experts_set_bias(ctx, rows.ctypes.data, bonus.ctypes.data))


def read_ids(ctx: Any, experts: Experts) -> tuple[I32, I32]:
    """What was chosen since the last call: rows [n_layers], ids [n_layers, most rows, n_used]."""
    most = check(int(_lib().halo_experts_read(ctx, None, None, 0)))
    rows = np.zeros(experts.n_layers, np.int32)
    ids = np.zeros((experts.n_layers, most, experts.n_used), np.int32)
    if most:
        check(int(_lib().halo_experts_read(ctx, rows.ctypes.data, ids.ctypes.data, most)))
    return rows, ids


def read_scores(ctx: Any, experts: Experts, n: int) -> tuple[F32, F32]:
    """Of the first n tokens of the last ubatch: selection scores and weights' probabilities,
    [n_layers, n, n_expert], unbiased; layers without experts are zeros."""
    n = min(n, ROWS)
    scores = np.zeros((experts.n_layers, n, experts.n_expert), np.float32)
    probs = np.zeros_like(scores)
    check(int(_lib().halo_experts_scores(ctx, n, scores.ctypes.data, probs.ctypes.data)))
    return scores, probs
