"""A GLiNER ONNX export of a span model: mentions of the types it is asked for, no relations.

Protocol of gliner's `UniEncoderSpan` models: the prompt `<<ENT>> type … <<SEP>>`, then the words;
inputs `input_ids`, `attention_mask` [b, t], `words_mask` [b, t] (number from 1 of the word whose
first piece stands there, else 0), `text_lengths` [b, 1], `span_idx` [b, words·width, 2] (first and
last word), `span_mask` [b, words·width]; output `logits` [b, words, width, types].
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.memory.extract.bio import Span
from agents.memory.extract.reading import owned
from agents.memory.extract.types import schema_type
from agents.memory.extract.words import Window, Words, windows
from agents.memory.onnx_model import (
    OnnxModel,
    batches,
    find_model,
    padded,
    read_config,
    read_tokenizer,
)
from agents.memory.types import Extraction
from engine.errors import HaloError

INPUTS = ("input_ids", "attention_mask", "words_mask", "text_lengths", "span_idx", "span_mask")
BATCH = 384  # words in one run: spans take memory
_WORD = re.compile(r"\w+(?:[-_]\w+)*|\S")  # gliner's own


class GlinerExtractor:
    """Mentions by a GLiNER span model; windows as long as it was trained on."""

    def __init__(
        self,
        folder: Path,
        threads: int,
        types: Sequence[str],
        threshold: float = 0.5,
        spin: bool = False,
    ) -> None:
        """`types` are asked for, written as words. Raises HaloError where something does not fit."""
        config = read_config(folder, "gliner_config.json")
        mode = str(config.get("span_mode", "markerV0"))
        if not mode.startswith("marker"):
            raise HaloError(
                f"The GLiNER model in {folder} has span_mode {mode}, which halo-tui does not read.",
                "Use a span model (markerV0), such as gliner_small.",
            )
        self._width = int(config.get("max_width", 12))
        self._length = int(config.get("max_len", 384))
        self._threshold = threshold
        self._types = list(dict.fromkeys(types))
        self._name = str(config.get("name") or folder.resolve().name)
        self._tokenizer = read_tokenizer(folder)
        self._prompt = self._build_prompt(folder, config)
        self._model = OnnxModel(find_model(folder), threads, wide=True, spin=spin)
        self._model.need(INPUTS, ["logits"], "a GLiNER span model")
        logits = self._logits([["a", "b"]])
        wanted = (1, 2, self._width, len(self._types))
        if logits.shape != wanted:
            raise HaloError(
                f"{self._model.path} gives logits of shape {list(logits.shape)}, but for two words "
                f"and {len(self._types)} types they must be {list(wanted)}.",
                "Export the model again with the gliner_config.json it was trained with.",
            )

    @property
    def name(self) -> str:
        return self._name

    def extract(self, texts: list[str]) -> list[Extraction]:
        """One Extraction for each text, of any length."""
        split = [_words(text) for text in texts]
        parts = [
            (i, window)
            for i, (text, words) in enumerate(zip(texts, split, strict=True))
            for window in windows(text, words, self._length)
        ]
        found: list[list[tuple[Window, list[Span]]]] = [[] for _ in texts]
        for batch in batches([w.last - w.first for _, w in parts], BATCH):
            chosen = [parts[i] for i in batch]
            words = [
                [texts[i][split[i].starts[k] : split[i].ends[k]] for k in range(w.first, w.last)]
                for i, w in chosen
            ]
            for (i, window), logits, row in zip(chosen, self._logits(words), words, strict=True):
                found[i].append((window, self._spans(logits, len(row), window.first)))
        results = []
        for text, words_of, spans in zip(texts, split, found, strict=True):
            spans.sort(key=lambda part: part[0].first)
            mentions = owned(text, ((words_of, window, s) for window, s in spans))
            results.append(Extraction(tuple(mentions.values())))
        return results

    raw = extract

    def _spans(self, logits: NDArray[np.float32], count: int, shift: int) -> list[Span]:
        """Likeliest first, none overlapping; then in order."""
        chances = 1 / (1 + np.exp(-np.clip(logits, -60, 60)))
        order = sorted(
            zip(*np.nonzero(chances > self._threshold), strict=True), key=lambda at: -chances[at]
        )
        taken = np.zeros(count, bool)
        spans = []
        for first, width, kind in order:
            last = int(first + width + 1)
            if last <= count and not taken[first:last].any():
                taken[first:last] = True
                confidence = float(chances[first, width, kind])
                type = schema_type(self._types[kind])
                spans.append(Span(int(first) + shift, last + shift, type, confidence))
        return sorted(spans, key=lambda span: span.first)

    def _logits(self, rows: list[list[str]]) -> NDArray[np.float32]:
        """rows of words -> [b, words, width, types]."""
        skip = len(self._prompt)
        encodings = self._tokenizer.encode_batch(
            [[*self._prompt, *row] for row in rows], is_pretokenized=True
        )
        masks: list[list[int]] = []
        for encoding in encodings:
            before: int | None = None
            mask = []
            for word in encoding.word_ids:
                new = word is not None and word != before and word >= skip
                mask.append(word - skip + 1 if new and word is not None else 0)
                before = word
            masks.append(mask)
        count = max(map(len, rows))
        first = np.repeat(np.arange(count), self._width)
        last = first + np.tile(np.arange(self._width), count)
        inside = last[None, :] < np.array([[len(row)] for row in rows])
        spans = np.stack([first, last], -1)[None].repeat(len(rows), 0) * inside[:, :, None]
        feeds: dict[str, NDArray[Any]] = {
            "input_ids": padded([encoding.ids for encoding in encodings]),
            "attention_mask": padded([[1] * len(encoding.ids) for encoding in encodings]),
            "words_mask": padded(masks),
            "text_lengths": np.array([[len(row)] for row in rows], np.int64),
            "span_idx": spans.astype(np.int64),
            "span_mask": inside,
        }
        return np.asarray(self._model.run(["logits"], feeds)[0], np.float32)

    def _build_prompt(self, folder: Path, config: dict[str, Any]) -> list[str]:
        mark = str(config.get("ent_token", "<<ENT>>"))
        end = str(config.get("sep_token", "<<SEP>>"))
        for token in (mark, end):
            if self._tokenizer.token_to_id(token) is None:
                raise HaloError(
                    f"The tokenizer.json in {folder} does not know {token}.",
                    "Save the tokenizer that GLiNER extended: model.save_pretrained(folder).",
                )
        prompt: list[str] = []
        for type in self._types:
            prompt += [mark, type.replace("_", " ")]
        return [*prompt, end]


def _words(text: str) -> Words:
    found = list(_WORD.finditer(text))
    starts = [match.start() for match in found]
    return Words([0] * len(found), list(range(len(found))), starts, [m.end() for m in found])
