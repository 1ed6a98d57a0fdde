"""The sentence embedder: texts become vectors whose dot product is their similarity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.memory.onnx_model import (
    OnnxModel,
    batches,
    chosen_folder,
    find_model,
    padded,
    read_config,
    read_tokenizer,
)
from engine.config import MemoryConfig
from engine.errors import HaloError

SHIPPED = Path(__file__).parents[1] / "assets" / "embedder"
BATCH = 1024  # padded word pieces in one run
MAX_LENGTH = 512  # word pieces where a folder does not say

# Outputs of exports: a finished vector, or token states that are averaged here.
_SENTENCE = ("embedding", "sentence_embedding")
_TOKENS = ("last_hidden_state", "token_embeddings")


class OnnxEmbedder:
    """all-MiniLM-L6-v2 as shipped, or a sentence-transformers export with mean pooling.

    Not thread-safe in its tokenizer settings, but those are set once: `embed` may be called from
    several threads.
    """

    def __init__(self, folder: Path, threads: int = 2) -> None:
        """Raises HaloError where the folder holds no usable embedder."""
        config = read_config(folder)
        self._tokenizer = read_tokenizer(folder)
        self._tokenizer.enable_truncation(_max_length(folder, config))
        path = find_model(folder)
        self._model = OnnxModel(path, threads)
        inputs = {"input_ids", "attention_mask"} | ({"token_type_ids"} & set(self._model.inputs))
        named = [name for name in (*_SENTENCE, *_TOKENS) if name in self._model.outputs]
        self._model.need(inputs, named[:1] or _SENTENCE[:1], "a sentence embedder")
        self._output, self._pooled = named[0], named[0] in _SENTENCE
        probe = self._run([[0]])
        if probe.ndim != 2 or probe.shape[0] != 1:
            raise HaloError(
                f"{path} gives {self._output} of shape {list(probe.shape)}, a sentence embedder "
                "one vector for each text.",
                "Export it with mean pooling, or with the token states as last_hidden_state.",
            )
        self._dimension = int(probe.shape[1])
        self._name = str(config.get("name") or folder.resolve().name)

    @property
    def name(self) -> str:
        return self._name

    @property
    def dimension(self) -> int:
        return self._dimension

    def embed(self, texts: list[str]) -> NDArray[np.float32]:
        """[n, dimension] float32, rows of length 1; texts past the model's window are cut."""
        ids = [encoding.ids or [0] for encoding in self._tokenizer.encode_batch_fast(texts)]
        out = np.zeros((len(texts), self._dimension), np.float32)
        parts = list(batches([len(row) for row in ids], BATCH, self._model.threads))
        found = self._model.each(lambda batch: self._run([ids[i] for i in batch]), parts)
        for batch, vectors in zip(parts, found, strict=True):
            out[batch] = vectors
        return out

    def _run(self, ids: list[list[int]]) -> NDArray[np.float32]:
        mask = padded([[1] * len(row) for row in ids])
        feeds: dict[str, NDArray[Any]] = {"input_ids": padded(ids), "attention_mask": mask}
        if "token_type_ids" in self._model.inputs:
            feeds["token_type_ids"] = np.zeros_like(mask)
        vectors = np.asarray(self._model.run([self._output], feeds)[0], np.float32)
        if not self._pooled and vectors.ndim == 3:
            weight = mask[:, :, None].astype(np.float32)
            vectors = (vectors * weight).sum(1) / weight.sum(1)
        norm = np.linalg.norm(vectors, axis=-1, keepdims=True)
        result: NDArray[np.float32] = vectors / np.maximum(norm, 1e-12)
        return result


def load(config: MemoryConfig) -> OnnxEmbedder:
    """The embedder of `[memory] embedder`, else the one that ships. Raises HaloError."""
    folder = chosen_folder(config.embedder, SHIPPED, "the sentence embedder", "embedder")
    return OnnxEmbedder(folder, config.threads)


def _max_length(folder: Path, config: dict[str, Any]) -> int:
    length = config.get("max_length")
    if length is None and (folder / "sentence_bert_config.json").is_file():
        length = read_config(folder, "sentence_bert_config.json").get("max_seq_length")
    if length is None:
        length = config.get("max_position_embeddings", MAX_LENGTH)
    return max(8, min(int(length), 8192))
