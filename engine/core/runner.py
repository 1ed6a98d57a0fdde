"""The context: fills the batch, computes a step, and is the memory that `Cells` accounts for."""

from __future__ import annotations

import ctypes
import logging
from typing import Any

import numpy as np
import numpy.typing as npt

from engine import native, seam
from engine.config import EngineConfig
from engine.core import llama
from engine.core.frozen import Frozen, thaw
from engine.core.model import Model, thread_count
from engine.core.preflight import CACHE_TYPE_BYTES
from engine.core.step import Step
from engine.errors import ModelError

log = logging.getLogger(__name__)

NO_SLOT = 1  # llama_decode: no place for the batch; nothing was changed

_CACHE_TYPES = {
    "f32": 0, "f16": 1, "bf16": 30, "q8_0": 8, "q5_1": 7, "q5_0": 6, "q4_1": 3, "q4_0": 2,
    "iq4_nl": 20,
}  # fmt: skip
assert _CACHE_TYPES.keys() == CACHE_TYPE_BYTES.keys()


class Context:
    """One llama.cpp context with a unified cache. All calls from one thread."""

    def __init__(self, model: Model, config: EngineConfig) -> None:
        """Raises ModelError when llama.cpp refuses the settings or has no memory for them."""
        self.model = model
        self.llama: Any = llama.load()
        self.partial = model.has_partial_memory
        self._n_swa = model.n_swa
        self.threads = thread_count(config.threads)
        self.threads_batch = thread_count(config.threads_batch or config.threads)  # for prompts
        self._threads_in_use = self.threads
        self.pointer = self._create(config)
        self.memory = self.llama.llama_get_memory(self.pointer)
        self.n_ctx = int(self.llama.llama_n_ctx(self.pointer))
        self.n_seq_max = int(self.llama.llama_n_seq_max(self.pointer))
        self.n_batch = int(self.llama.llama_n_batch(self.pointer))
        self.attached = self._attach()
        self.tracked: set[int] = set()  # slots whose queries are kept
        self._unsettled = False  # positions were lowered; the next decode rotates the keys
        self._fill_batch()
        self._logits_base = 0
        self._logits: npt.NDArray[np.float32] = np.zeros((0, 0), np.float32)
        self._decode = self.llama.llama_decode

    def _create(self, config: EngineConfig) -> Any:
        api = self.llama
        params = api.llama_context_default_params()
        params.n_ctx = config.n_ctx or self.model.n_ctx_train
        params.n_batch = config.n_batch
        params.n_ubatch = min(config.n_ubatch, config.n_batch)
        params.n_seq_max = min(
            config.max_sessions, config.n_batch, int(api.llama_max_parallel_sequences())
        )
        params.n_outputs_max = min(params.n_seq_max, config.n_batch)  # one row each at most
        params.n_threads = params.n_threads_batch = self.threads
        params.type_k = _CACHE_TYPES[config.type_k]
        params.type_v = _CACHE_TYPES[config.type_v]
        params.flash_attn_type = {"auto": -1, "off": 0, "on": 1}[config.flash_attention]
        params.kv_unified = True
        params.swa_full = False
        params.no_perf = True
        llama.complaints.clear()
        pointer = api.llama_init_from_model(self.model.pointer, params)
        if not pointer:
            raise ModelError(
                f"llama.cpp cannot make a context: {llama.why('the reason is in the log')}.",
                "Set a smaller engine.n_ctx, or other cache types.",
            )
        return pointer

    def _attach(self) -> bool:
        try:
            native.attach(self.pointer)
        except native.NativeError as error:
            log.info("no cell map: %s", error)
            return False
        return True

    def _fill_batch(self) -> None:
        """One batch for ever; its arrays are NumPy's, so that a step is a few slice copies."""
        n = self.n_batch
        self._tokens = np.zeros(n, np.int32)
        self._positions = np.zeros(n, np.int32)
        self._slots = np.zeros(n, np.int32)
        self._outputs = np.zeros(n, np.int8)
        self._counts = np.ones(n, np.int32)
        self._slot_pointers = self._slots.ctypes.data + 4 * np.arange(n, dtype=np.uintp)
        batch = self.llama.llama_batch()
        kinds = dict(batch._fields_)

        def pointer(array: npt.NDArray[Any], name: str) -> Any:
            return ctypes.cast(array.ctypes.data, kinds[name])

        batch.n_tokens = 0
        batch.token = pointer(self._tokens, "token")
        batch.pos = pointer(self._positions, "pos")
        batch.n_seq_id = pointer(self._counts, "n_seq_id")
        batch.seq_id = pointer(self._slot_pointers, "seq_id")
        batch.logits = pointer(self._outputs, "logits")
        self._batch = batch

    def close(self) -> None:
        if self.pointer:
            if self.attached:
                native.detach(self.pointer)
                self.attached = False
            self.llama.llama_free(self.pointer)
            self.pointer = None

    # --- computing ------------------------------------------------------------------------------

    def compute(self, step: Step) -> int:
        """Compute a step; the code of llama_decode. Rows of logits follow the step's order.

        Decoding sequences have the rows 0, 1, ...; the chunks that end their prompt follow.
        """
        decode = step.decode
        n = len(decode)
        if n:
            self._tokens[:n] = [s.tokens[s.held] for s in decode]
            self._positions[:n] = [s.position(s.held) for s in decode]
            self._slots[:n] = [s.slot for s in decode]
            self._outputs[:n] = 1
        for sequence, start, count in step.prefill:
            end = n + count
            self._tokens[n:end] = sequence.tokens[start : start + count]
            first = sequence.position(start)
            self._positions[n:end] = np.arange(first, first + count, dtype=np.int32)
            self._slots[n:end] = sequence.slot
            self._outputs[n:end] = 0
            if start + count == len(sequence.tokens):
                self._outputs[end - 1] = 1
            n = end
        self._batch.n_tokens = n
        self._unsettled = False
        return int(self._decode(self.pointer, self._batch))

    @property
    def can_redo(self) -> bool:
        """Whether a step of decoding sequences can be taken back and computed again."""
        return self.partial and not self._n_swa

    def redo(self, step: Step) -> int:
        """Compute the last step, of decoding sequences only, once more; the code of llama_decode."""
        for sequence in step.decode:
            self.remove(sequence.slot, sequence.position(sequence.held))
        return int(self._decode(self.pointer, self._batch))

    def use_threads(self, count: int) -> None:
        """Compute the next step with so many threads."""
        if count != self._threads_in_use:
            self.llama.llama_set_n_threads(self.pointer, count, count)
            self._threads_in_use = count

    def logits(self, row: int) -> npt.NDArray[np.float32]:
        """Raw logits [n_vocab] of the row-th output of the last step; valid until the next."""
        address = ctypes.cast(self.llama.llama_get_logits(self.pointer), ctypes.c_void_p).value or 0
        if address != self._logits_base:
            rows = self.n_batch
            memory = (ctypes.c_float * (rows * self.model.n_vocab)).from_address(address)
            self._logits = np.frombuffer(memory, np.float32).reshape(rows, self.model.n_vocab)
            self._logits_base = address
        logits: npt.NDArray[np.float32] = self._logits[row]
        return logits

    # --- memory (see cells.Memory) --------------------------------------------------------------

    def track(self, slot: int, capacity: int) -> None:
        """Keep the queries of the newest `capacity` tokens of a slot; 0 stops and forgets."""
        seam.track_queries(self.pointer, slot, capacity)
        if capacity:
            self.tracked.add(slot)
        else:
            self.tracked.discard(slot)

    def remove(self, slot: int, start: int) -> bool:
        if slot in self.tracked:  # those tokens were never asked
            seam.forget_queries(self.pointer, slot, start)
        if not start:
            self.llama.llama_memory_seq_rm(self.memory, slot, -1, -1)
            return True
        return bool(
            self.llama.llama_memory_seq_rm(self.memory, slot, start, -1)
        ) and self._has_window(slot, start)

    def copy(self, source: int, target: int, count: int) -> bool:
        self.llama.llama_memory_seq_cp(self.memory, source, target, 0, count)
        if self._has_window(target, count):
            return True
        self.llama.llama_memory_seq_rm(self.memory, target, -1, -1)
        return False

    def load(self, slot: int, frozen: Frozen) -> bool:
        """Put a frozen sequence's cells into an empty slot."""
        return thaw(self, frozen, slot)

    def cell_map(self) -> native.CellMap | None:
        """The real cells; None for memories that have no attention cells."""
        return native.cell_map(self.pointer) if self.attached else None

    def cannot_compact(self) -> str:
        """Why this model's cells cannot be compacted, "" if they can."""
        if not self.attached:
            return "This model's memory has no attention cells."
        try:
            seam.set_bias(self.pointer, 0, [], np.zeros((1, 0), np.float32))
        except native.NativeError as error:
            return error.what
        return ""

    def layers(self) -> list[seam.LayerInfo]:
        """The attention layers whose cells grow with the conversation (those without a window)."""
        if not self.attached:
            return []
        return seam.layers(self.pointer, native.caches(self.pointer)[0].n_layers)

    @property
    def can_shift(self) -> bool:
        """Whether positions can be lowered afterwards (K-shift)."""
        return bool(self.llama.llama_memory_can_shift(self.memory))

    def shift(self, slot: int, start: int, delta: int) -> bool:
        """Lower the positions of a sequence's cells from `start` on; False if the model cannot."""
        if not self.can_shift:
            return False
        self.llama.llama_memory_seq_add(self.memory, slot, start, -1, -delta)
        self._unsettled = True
        return True

    def settle(self) -> bool:
        """Have keys rotated whose positions were lowered, so that cells can be copied out.

        llama.cpp does that at the next decode; with nothing to decode, one token is computed in a
        slot nobody has. False when there is no such slot.
        """
        if not self._unsettled:
            return True
        busy = [int(self.llama.llama_memory_seq_pos_max(self.memory, s)) >= 0
                for s in range(self.n_seq_max)]  # fmt: skip
        if all(busy):
            return False
        spare = busy.index(False)
        self._tokens[0], self._positions[0], self._slots[0], self._outputs[0] = 0, 0, spare, 0
        self._batch.n_tokens = 1
        code = int(self._decode(self.pointer, self._batch))
        self.llama.llama_memory_seq_rm(self.memory, spare, -1, -1)
        self._unsettled = code != 0
        return code == 0

    def clear(self) -> None:
        """Forget every cell."""
        self.llama.llama_memory_clear(self.memory, True)

    def _has_window(self, slot: int, length: int) -> bool:
        """Whether the next position still sees all that it should: sliding windows forget."""
        last = self.llama.llama_memory_seq_pos_max(self.memory, slot)
        if last != length - 1:
            return False
        if not self._n_swa:
            return True
        first = self.llama.llama_memory_seq_pos_min(self.memory, slot)
        return bool(0 <= first <= max(0, length - self._n_swa))
