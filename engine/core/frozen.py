"""A sequence out of the cells: everything llama.cpp's memory held of it, to be put back bit by bit.

llama.cpp's own sequence state carries the cells (keys and values in the cache's types, positions)
and recurrent states; biases are the seam's and travel beside it. The same object serves a snapshot
on disk, a session swapped out, and a copy of a session.
"""

from __future__ import annotations

import ctypes
from collections.abc import Buffer
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from engine import native, seam
from engine.core.sequence import Fold, Sequence
from engine.errors import EngineError
from engine.protocol import Message

if TYPE_CHECKING:
    from engine.core.runner import Context


@dataclass(slots=True, eq=False, weakref_slot=True)
class Frozen:
    """What a sequence held. `tokens` are those with cells, as in `Sequence.tokens[:held]`."""

    name: str
    tokens: list[int]
    fold: Fold | None
    messages: tuple[Message, ...]
    cells: int
    state: Buffer  # of llama_state_seq_get_data
    size: int  # bytes of `state`
    bias: npt.NDArray[np.float32] | None  # [layers, n_head_kv, cells by position]; None = all 0
    last_used: int = 0
    place: str = "memory"  # or "disk"

    @property
    def held(self) -> int:
        return len(self.tokens)

    @property
    def exact(self) -> int:
        """Tokens at the beginning that have a cell each."""
        return self.fold.start if self.fold is not None else self.held

    def usable(self, common: int, partial: bool) -> int:
        """How many tokens stay right when only the first `common` are wanted.

        A fold is whole or gone; memories without `partial` removal are whole or gone altogether.
        """
        if self.fold is not None and common < self.fold.end:
            common = min(common, self.fold.start)
        return common if partial or common == self.held else 0


def freeze(context: Context, sequence: Sequence) -> Frozen:
    """Copy what `sequence` holds out of llama.cpp's memory, which keeps it.

    Raises EngineError when llama.cpp refuses, MemoryError when there is no memory for the copy.
    """
    api = context.llama
    if not context.settle():
        raise EngineError(
            f"{sequence.name} is being moved to lower positions.", "Try again shortly.", "busy"
        )
    size = int(api.llama_state_seq_get_size(context.pointer, sequence.slot))
    data = np.empty(size, np.uint8)
    target = ctypes.cast(data.ctypes.data, ctypes.POINTER(ctypes.c_uint8))
    got = int(api.llama_state_seq_get_data(context.pointer, target, size, sequence.slot))
    if not got or got > size:
        raise EngineError(f"llama.cpp did not give {sequence.name}'s cells.", "", "engine")
    return Frozen(
        sequence.name,
        sequence.tokens[: sequence.held],
        sequence.fold,
        sequence.messages,
        sequence.cells_of(sequence.held),
        data[:got].data,
        got,
        _bias(context, sequence.slot),
    )


def thaw(context: Context, frozen: Frozen, slot: int) -> bool:
    """Put a copy into an empty slot. False, and nothing there, when llama.cpp finds no place or
    does not accept it."""
    api = context.llama
    data = np.frombuffer(frozen.state, np.uint8)
    source = ctypes.cast(data.ctypes.data, ctypes.POINTER(ctypes.c_uint8))
    read = int(api.llama_state_seq_set_data(context.pointer, source, frozen.size, slot))
    if (
        read == frozen.size
        and _is_as_said(context, frozen, slot)
        and _set_bias(context, frozen, slot)
    ):
        return True
    api.llama_memory_seq_rm(context.memory, slot, -1, -1)
    return False


def _is_as_said(context: Context, frozen: Frozen, slot: int) -> bool:
    """Whether the cells are those that the ledger will count on: a state of a file may hold others."""
    shift = frozen.fold.shift if frozen.fold is not None else 0
    if int(context.llama.llama_memory_seq_pos_max(context.memory, slot)) != frozen.held - shift - 1:
        return False
    if not context.layers():
        return True
    return len(seam.cells_of(context.pointer, slot)[0]) == frozen.cells


def _bias(context: Context, slot: int) -> npt.NDArray[np.float32] | None:
    layers = context.layers()
    if not layers or not seam.bias_count(context.pointer, 0):
        return None
    cells, _, _ = seam.cells_of(context.pointer, slot)
    rows = [seam.get_bias(context.pointer, i, info, cells) for i, info in enumerate(layers)]
    if not any(row.any() for row in rows):
        return None
    heads = max(len(row) for row in rows)
    bias = np.zeros((len(rows), heads, len(cells)), np.float32)
    for target, row in zip(bias, rows, strict=True):
        target[: len(row)] = row
    return bias


def _set_bias(context: Context, frozen: Frozen, slot: int) -> bool:
    layers, bias = context.layers(), frozen.bias
    if bias is None and (not layers or not seam.bias_count(context.pointer, 0)):
        return True
    if not layers:
        return False
    try:
        cells, _, _ = seam.cells_of(context.pointer, slot)
        heads = max(info.n_head_kv for info in layers)
        if bias is None:
            # The cells may be those of a compacted session that left since the last step: the seam
            # clears what a step overwrites, and llama.cpp has just filled them without one.
            bias = np.zeros((len(layers), heads, len(cells)), np.float32)
        if bias.shape[:1] + bias.shape[2:] != (len(layers), len(cells)) or bias.shape[1] < heads:
            return False
        for index, info in enumerate(layers):
            seam.set_bias(context.pointer, index, cells, bias[index, : info.n_head_kv])
    except (native.NativeError, IndexError):
        return False
    return True


def fold_to_json(fold: Fold | None) -> dict[str, int] | None:
    """A fold as a snapshot keeps it."""
    if fold is None:
        return None
    return {name: getattr(fold, name) for name in ("start", "end", "cells", "rounds", "shift")}


def fold_from_json(data: dict[str, Any] | None) -> Fold | None:
    """Raises ValueError when the numbers cannot be a fold's."""
    if data is None:
        return None
    fold = Fold(**{k: int(data[k]) for k in ("start", "end", "cells", "rounds", "shift")})
    freed = fold.end - fold.start - fold.cells
    if not (0 <= fold.start < fold.end and fold.cells > 0 and 0 <= fold.shift <= freed):
        raise ValueError("the numbers of its compaction contradict each other")
    return fold
