"""The weights with their vocabulary: loading, tokenising, pieces of text for tokens."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from engine.config import EngineConfig
from engine.core import llama, preflight, remote
from engine.errors import ModelError


class Model:
    """A loaded model. `close` frees it; the context has to be freed before."""

    def __init__(
        self,
        path: Path,
        config: EngineConfig,
        progress: Callable[[float], None] = lambda fraction: None,
        header: preflight.Header | None = None,
    ) -> None:
        """Load a GGUF file. Raises ModelError in one sentence whatever is wrong with it.

        `header`: its metadata, if they were read already.
        """
        self.path = path
        self.header = header or preflight.read_header(path)
        if not self.header.architecture or not self.header.tensors:
            raise ModelError(f"{path.name} holds no model.", "Choose another GGUF file.")
        n_ctx = config.n_ctx or self.header.number("context_length", 4096)
        self.kv_bytes_per_cell = self.header.kv_bytes_per_cell(config.type_k, config.type_v)
        self._llama: Any = llama.load()
        found = remote.connect(self._llama, config.rpc) if config.gpu_layers else []
        gpus = remote.local_gpus(self._llama) if config.gpu_layers else 0
        layers = config.gpu_layers
        if not gpus:
            beside = sum(sum(one.free) for one in found)
            available = preflight.available_bytes() + beside
            preflight.check_memory(self.header, n_ctx, self.kv_bytes_per_cell, available)
            if found and layers < 0:
                needed = self.header.bytes_on_disk + n_ctx * self.kv_bytes_per_cell
                layers = remote.layers_that_fit(self.header.number("block_count"), needed, found)
        self.pointer = self._load(config, layers, progress)
        self.vocab = self._llama.llama_model_get_vocab(self.pointer)
        self.n_vocab: int = self._llama.llama_vocab_n_tokens(self.vocab)
        if self.n_vocab <= 0 or not self._llama.llama_model_has_decoder(self.pointer):
            self.close()
            raise ModelError(f"{path.name} cannot generate text.", "Choose a chat model.")
        self._buffer = ctypes.create_string_buffer(256)
        self._pieces: dict[int, bytes] = {}
        self._eog: dict[int, bool] = {}

    def _load(self, config: EngineConfig, layers: int, progress: Callable[[float], None]) -> Any:
        api = self._llama
        params = api.llama_model_default_params()
        params.n_gpu_layers = layers
        params.load_mode = api.LLAMA_LOAD_MODE_AUTO if config.mmap else api.LLAMA_LOAD_MODE_NONE

        def report(fraction: float, _data: object) -> bool:
            progress(fraction)
            return True

        callback = api.llama_progress_callback(report)
        params.progress_callback = callback
        llama.complaints.clear()
        pointer = api.llama_model_load_from_file(os.fsencode(self.path), params)
        if not pointer:
            why = llama.why("the reason is in the log")
            remedy = "Download it again, or choose another file."
            if any("alloc" in line for line in llama.complaints):
                fewer = f", or engine.gpu_layers below {layers}" if layers > 0 else ""
                remedy = f"Set a smaller engine.n_ctx{fewer}; `halo-tui doctor` says what is free."
            raise ModelError(f"llama.cpp cannot load {self.path.name}: {why}.", remedy)
        return pointer

    def close(self) -> None:
        if self.pointer:
            self._llama.llama_model_free(self.pointer)
            self.pointer = None

    # --- facts ----------------------------------------------------------------------------------

    def meta(self, key: str) -> str:
        """A metadata value as text, "" when there is none."""
        size = self._llama.llama_model_meta_val_str(self.pointer, key.encode(), self._buffer, 256)
        if size < 0:
            return ""
        if size >= len(self._buffer):
            buffer = ctypes.create_string_buffer(size + 1)
            self._llama.llama_model_meta_val_str(self.pointer, key.encode(), buffer, size + 1)
            return buffer.value.decode("utf-8", "replace")
        return self._buffer.value.decode("utf-8", "replace")

    @property
    def name(self) -> str:
        return self.meta("general.name") or self.path.stem

    @property
    def n_ctx_train(self) -> int:
        return int(self._llama.llama_model_n_ctx_train(self.pointer))

    @property
    def template(self) -> str:
        """The chat template, "" when the file has none."""
        text = self._llama.llama_model_chat_template(self.pointer, None)
        return text.decode("utf-8", "replace") if text else ""

    @property
    def has_partial_memory(self) -> bool:
        """Whether tails can be cut off; recurrent layers keep one state and cannot go back."""
        return not (
            self._llama.llama_model_is_recurrent(self.pointer)
            or self._llama.llama_model_is_hybrid(self.pointer)
        )

    @property
    def n_expert(self) -> int:
        """Experts of a layer, 0 for dense models."""
        return int(self.header.number("expert_count"))

    @property
    def n_swa(self) -> int:
        """Width of sliding-window attention, 0 without."""
        return int(self._llama.llama_model_n_swa(self.pointer))

    # --- vocabulary -----------------------------------------------------------------------------

    def tokenize(self, text: str, special: bool) -> list[int]:
        """Tokens of `text`, none added. With `special`, names of control tokens become them."""
        data = text.encode("utf-8", "replace")
        size = len(data) + 16
        while True:
            tokens = (ctypes.c_int32 * size)()
            count = self._llama.llama_tokenize(
                self.vocab, data, len(data), tokens, size, False, special
            )
            if count >= 0:
                return tokens[:count]
            size = -count

    def piece(self, token: int) -> bytes:
        """The bytes of a token, control tokens by their names."""
        piece = self._pieces.get(token)
        if piece is None:
            api, buffer = self._llama, self._buffer
            size = api.llama_token_to_piece(self.vocab, token, buffer, len(buffer), 0, True)
            if size < 0:
                buffer = ctypes.create_string_buffer(-size)
                size = api.llama_token_to_piece(self.vocab, token, buffer, -size, 0, True)
            piece = self._pieces[token] = buffer.raw[: max(size, 0)]
        return piece

    def is_eog(self, token: int) -> bool:
        """Whether a token ends an answer."""
        end = self._eog.get(token)
        if end is None:
            end = self._eog[token] = bool(self._llama.llama_vocab_is_eog(self.vocab, token))
        return end

    def is_control(self, token: int) -> bool:
        return bool(self._llama.llama_vocab_is_control(self.vocab, token))

    def control_texts(self) -> list[str]:
        """Names of all control tokens: text that must not become them when people write it."""
        is_control, get_text = self._llama.llama_vocab_is_control, self._llama.llama_vocab_get_text
        return [
            get_text(self.vocab, token).decode("utf-8", "replace")
            for token in range(self.n_vocab)
            if is_control(self.vocab, token)
        ]

    def _special(self, name: str) -> tuple[int, str]:
        token = int(getattr(self._llama, f"llama_vocab_{name}")(self.vocab))
        return token, self.piece(token).decode("utf-8", "replace") if token >= 0 else ""

    @property
    def bos(self) -> tuple[int, str]:
        """The token that begins a text, and its name; -1 when there is none."""
        return self._special("bos")

    @property
    def eos(self) -> tuple[int, str]:
        return self._special("eos")

    @property
    def adds_bos(self) -> bool:
        return bool(self._llama.llama_vocab_get_add_bos(self.vocab))


def thread_count(wanted: int) -> int:
    """Threads for computing: `wanted`, or one for each physical core this process may use."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = _cpu_quota()
    physical = psutil.cpu_count(logical=False) or allowed or 1
    if wanted:
        return max(1, min(wanted, 512))
    return max(1, min(physical, allowed or physical, quota or physical))


def _cpu_quota() -> int:
    """Whole CPUs a container is limited to, 0 without a limit."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return 0 if quota == "max" else max(1, round(int(quota) / int(period)))
    except (OSError, ValueError):
        return 0
