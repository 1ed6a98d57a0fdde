"""An `optimum` export of a token-classification model: mentions, no relations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.memory.extract.bio import Labels, Span
from agents.memory.extract.reading import Piece, Reader, in_batches, owned
from agents.memory.extract.types import schema_type
from agents.memory.onnx_model import OnnxModel, find_model, padded, read_tokenizer
from agents.memory.types import Extraction
from engine.errors import HaloError

LONGEST = 512  # pieces in a window, whatever the model would take


class TagExtractor:
    """Mentions by a Hugging Face token classifier; a word has the label of its first piece."""

    def __init__(self, folder: Path, config: dict[str, Any], threads: int = 2) -> None:
        """`config` is the folder's config.json. Raises HaloError where something does not fit."""
        names = config.get("id2label")
        if not isinstance(names, dict) or not names:
            raise HaloError(
                f"{folder / 'config.json'} has no id2label.", "Export the model with its labels."
            )
        labels = [str(names[key]) for key in sorted(names, key=int)]
        self.labels = Labels(labels)
        self._name = str(config.get("_name_or_path") or folder.resolve().name)
        offset = 2 if config.get("model_type") in ("roberta", "xlm-roberta", "camembert") else 0
        length = int(config.get("max_position_embeddings") or LONGEST) - offset
        tokenizer = read_tokenizer(folder)
        self._reader = Reader(tokenizer, min(length, LONGEST), folder, threads, finer=True)
        self._model = OnnxModel(find_model(folder), threads)
        self._types = {"token_type_ids"} & set(self._model.inputs)
        self._model.need(
            ["input_ids", "attention_mask", *self._types],
            ["logits"],
            "a token-classification model",
        )
        shape = self._logits([[0, 0, 0]]).shape
        if shape != (1, 3, len(labels)):
            raise HaloError(
                f"{self._model.path} gives logits of shape {list(shape)}, but with the labels of "
                f"its config.json they must be {[1, 3, len(labels)]}.",
                "Export the model again, with the config.json it was trained with.",
            )

    @property
    def name(self) -> str:
        return self._name

    def extract(self, texts: list[str]) -> list[Extraction]:
        """One Extraction for each text, of any length; types as halo-tui spells them."""
        found: list[list[tuple[Piece, list[Span]]]] = [[] for _ in texts]
        parts_of = in_batches(self._reader.read(texts), self._model.threads)
        all_logits = self._model.each(lambda part: self._logits([p.ids for p in part]), parts_of)
        for batch, logits in zip(parts_of, all_logits, strict=True):
            last = logits.shape[1] - 1
            for k, piece in enumerate(batch):
                start = piece.window.first
                spans = [
                    Span(s.first + start, s.last + start, schema_type(s.type), s.confidence)
                    for s in self.labels.decode(logits[k, [min(f, last) for f in piece.firsts]])
                ]
                found[piece.text].append((piece, spans))
        results = []
        for text, parts in zip(texts, found, strict=True):
            parts.sort(key=lambda part: part[0].window.first)
            mentions = owned(text, ((p.words, p.window, spans) for p, spans in parts))
            results.append(Extraction(tuple(mentions.values())))
        return results

    raw = extract

    def _logits(self, ids: list[list[int]]) -> NDArray[np.float32]:
        feeds = {"input_ids": padded(ids), "attention_mask": padded([[1] * len(r) for r in ids])}
        if self._types:
            feeds["token_type_ids"] = np.zeros_like(feeds["input_ids"])
        return np.asarray(self._model.run(["logits"], feeds)[0], np.float32)
