"""halo-tui's own extractor: one encoder that tags words and scores relations of mentions.

`config.json`: {"format": "halo-extractor", "version": 1, "name", "max_length", "id2label": labels in
order, "relations": names in order, "relation_bias": one number each, "relation_threshold": from
which probability a relation is told (a number, or one for each), "entity_threshold"}; and, see
`signatures`, "type_groups" and "relation_types".

`model.onnx` takes `input_ids`, `attention_mask` and, if it wants it, `shapes`, all int64 [b, t], and
gives `tags` [b, t, labels], `head` [b, t, relations, h], `tail` [b, t, h]. Tags are read at the
first piece of a word. The score of relation r from mention i to mention j is
mean(head over i)[r] · mean(tail over j) + bias[r], so all pairs of a text are one product.
"""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.memory import text as sentence_text
from agents.memory.extract import mending
from agents.memory.extract.bio import Labels, Span
from agents.memory.extract.reading import Piece, Reader, in_batches, owned
from agents.memory.extract.signatures import Signatures
from agents.memory.onnx_model import OnnxModel, padded, read_tokenizer
from agents.memory.types import Entity, Extraction, Relation
from engine.errors import HaloError

FORMAT = "halo-extractor"
VERSION = 1
OUTPUTS = ("tags", "head", "tail")
_Part = tuple[Piece, list[Span], NDArray[np.float32]]  # a window, its mentions, their scores
OTHERS = "third_person"  # the type of "he" and "she", which are told by the word
# Types of "I", "you" and "she": people, to those who resolve them.
PRONOUNS = ("speaker", "addressee", OTHERS)


class HaloExtractor:
    """Mentions and relations of texts; may be called from several threads."""

    def __init__(self, folder: Path, config: dict[str, Any], threads: int = 2) -> None:
        """`config` is the folder's config.json. Raises HaloError where something does not fit."""
        if config.get("version") != VERSION:
            raise HaloError(
                f"The extractor in {folder} has version {config.get('version')} of its format; "
                f"this halo-tui reads version {VERSION}.",
                "Update halo-tui, or export the model again.",
            )
        labels = config.get("id2label", [])
        if isinstance(labels, dict):
            labels = [labels[key] for key in sorted(labels, key=int)]
        self.labels = Labels([str(label) for label in labels])
        self.relations = [str(name) for name in config.get("relations", [])]
        self._bias = _numbers(folder, config, "relation_bias", 0.0, len(self.relations))
        self._threshold = _numbers(folder, config, "relation_threshold", 0.5, len(self.relations))
        self._signatures = Signatures(folder, config, [*self.labels.types, OTHERS], self.relations)
        self._others = frozenset(str(word).lower() for word in config.get("third_person", []))
        self._mend = bool(config.get("mend", False))
        self._things = frozenset(config.get("type_groups", {}).get("thing", ()))
        self._across = bool(config.get("across_sentences", True))
        self._least = float(config.get("entity_threshold", 0.0))
        self._name = str(config.get("name") or folder.resolve().name)
        self._reader = Reader(
            read_tokenizer(folder),
            int(config.get("max_length", 192)),
            folder,
            threads,
            aim=int(config.get("window", 0)),
        )
        self._model = OnnxModel(folder / "model.onnx", threads)
        self._shapes = "shapes" in self._model.inputs
        self._model.need(
            ["input_ids", "attention_mask", *(["shapes"] if self._shapes else [])],
            OUTPUTS,
            "a halo-extractor",
        )
        self._probe(folder)

    @property
    def name(self) -> str:
        return self._name

    def extract(self, texts: list[str]) -> list[Extraction]:
        """One Extraction for each text, of any length. Pronouns of the speakers are people."""
        return [
            Extraction(
                tuple(
                    Entity(e.text, "person", e.start, e.end, e.confidence)
                    if e.type in PRONOUNS
                    else e
                    for e in found.entities
                ),
                found.relations,
            )
            for found in self.raw(texts)
        ]

    def raw(self, texts: list[str]) -> list[Extraction]:
        """The same with the model's own types: "I" is a speaker, "you" an addressee."""
        found: list[list[_Part]] = [[] for _ in texts]
        parts_of = in_batches(self._reader.read(texts), self._model.threads)
        for part in self._model.each(lambda batch: self._run(texts, batch), parts_of):
            for piece, spans, scores in part:
                found[piece.text].append((piece, spans, scores))
        for parts in found:
            parts.sort(key=lambda part: part[0].window.first)
        return [self._joined(text, parts) for text, parts in zip(texts, found, strict=True)]

    def _run(self, texts: list[str], batch: list[Piece]) -> list[_Part]:
        """For each window its mentions (in words of the text) and scores [i, j, relation]."""
        feeds = {
            "input_ids": padded([piece.ids for piece in batch]),
            "attention_mask": padded([[1] * len(piece.ids) for piece in batch]),
        }
        if self._shapes:
            feeds["shapes"] = padded([_shapes(texts[piece.text], piece) for piece in batch])
        tags, heads, tails = self._model.run(OUTPUTS, feeds)
        parts = []
        for k, piece in enumerate(batch):
            last = tags.shape[1] - 1
            firsts = [min(first, last) for first in piece.firsts]
            spans = [
                Span(
                    s.first + piece.window.first, s.last + piece.window.first, s.type, s.confidence
                )
                for s in self.labels.decode(tags[k, firsts])
                if s.confidence >= self._least
            ]
            if self._mend:
                spans = mending.joined(texts[piece.text], piece.words, spans, self._things)
                spans = mending.firms(texts[piece.text], piece.words, spans)
            spans = self._with_others(texts[piece.text], piece, spans)
            parts.append((piece, spans, self._scores(piece, spans, heads[k], tails[k])))
        return parts

    def _with_others(self, text: str, piece: Piece, spans: list[Span]) -> list[Span]:
        """With the words for others, "he" and "she", as mentions."""
        if not self._others:
            return spans
        words = piece.words
        taken = {word for s in spans for word in range(s.first, s.last)}
        added = [
            Span(word, word + 1, OTHERS, 1.0)
            for word in range(piece.window.first, piece.window.last)
            if word not in taken
            and text[words.starts[word] : words.ends[word]].lower() in self._others
        ]
        return sorted([*spans, *added], key=lambda s: s.first)

    def _scores(
        self,
        piece: Piece,
        spans: list[Span],
        head: NDArray[np.float32],
        tail: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Probabilities [mentions, mentions, relations] of all ordered pairs; 0 where the types
        of the two rule a relation out."""
        if len(spans) < 2:
            return np.zeros((len(spans), len(spans), len(self.relations)), np.float32)
        ends = len(piece.ids)
        bounds = [
            (
                min(piece.place(s.first), ends - 1),
                max(piece.place(s.first) + 1, min(piece.place(s.last), ends)),
            )
            for s in spans
        ]
        heads = np.stack([head[a:b].mean(0) for a, b in bounds])
        tails = np.stack([tail[a:b].mean(0) for a, b in bounds])
        # One small product for each head: larger ones would wake the threads of BLAS.
        logits = np.matmul(tails, heads.transpose(0, 2, 1)) + self._bias
        scores: NDArray[np.float32] = 1 / (1 + np.exp(-np.clip(logits, -60, 60)))
        scores[np.arange(len(spans)), np.arange(len(spans))] = 0
        scores[~self._signatures.between([s.type for s in spans])] = 0
        return scores

    def _joined(self, text: str, parts: list[_Part]) -> Extraction:
        """Windows put together: a mention counts in the window whose own words it begins in."""
        mentions = owned(text, ((p.words, p.window, spans) for p, spans, _ in parts))
        index = {words: i for i, words in enumerate(mentions)}
        best: dict[tuple[int, int, int], float] = {}
        sentence = [0] * len(mentions)
        if not self._across:
            starts = [start for start, _ in sentence_text.bounds(text)]
            sentence = [bisect_right(starts, e.start) for e in mentions.values()]
        for _, spans, scores in parts:
            for i, j, r in zip(*np.nonzero(scores >= self._threshold), strict=True):
                head = index.get((spans[i].first, spans[i].last), -1)
                tail = index.get((spans[j].first, spans[j].last), -1)
                if head >= 0 <= tail != head and sentence[head] == sentence[tail]:
                    key = (head, tail, int(r))
                    best[key] = max(best.get(key, 0.0), float(scores[i, j, r]))
        return Extraction(
            tuple(mentions.values()),
            tuple(Relation(h, t, self.relations[r], score) for (h, t, r), score in best.items()),
        )

    def _probe(self, folder: Path) -> None:
        """Run once, so that wrong shapes are told when the model is loaded."""
        ids = np.array([[0, 0, 0]], np.int64)
        feeds = {
            name: np.ones_like(ids) if name == "attention_mask" else ids
            for name in self._model.inputs
        }
        tags, head, tail = self._model.run(OUTPUTS, feeds)
        count, kinds = len(self.labels), len(self.relations)
        rank = tail.shape[-1]
        wanted = {
            "tags": (tags.shape, (1, 3, count)),
            "head": (head.shape, (1, 3, kinds, rank)),
            "tail": (tail.shape, (1, 3, rank)),
        }
        for name, (shape, right) in wanted.items():
            if shape != right:
                raise HaloError(
                    f"{folder / 'model.onnx'} gives {name} of shape {list(shape)}, but with the "
                    f"labels and relations of its config.json it must be {list(right)}.",
                    "Export the model again, with the config.json it was trained with.",
                )


def _numbers(
    folder: Path, config: dict[str, Any], key: str, default: float, count: int
) -> NDArray[np.float32]:
    """A setting that is one number, or one for each relation. [count] float32."""
    value = config.get(key, default)
    if isinstance(value, int | float):
        value = [value] * count
    try:
        array = np.asarray(value, np.float32)
    except (TypeError, ValueError):
        array = np.zeros(0, np.float32)
    if array.shape != (count,):
        raise HaloError(
            f"{folder / 'config.json'} must have one number of {key} for each of its {count} "
            "relations.",
            "Export the model again.",
        )
    return array


def word_shape(word: str) -> int:
    """How a word is written, which an uncased encoder does not see: 0 lower case or no letters,
    1 capitalised, 2 capitals only, 3 mixed, 4 with digits."""
    if any(c.isdigit() for c in word):
        return 4
    if word.islower() or not any(c.isalpha() for c in word):
        return 0
    if len(word) > 1 and word.isupper():
        return 2
    return 1 if word[0].isupper() and (len(word) == 1 or word[1:].islower()) else 3


def _shapes(text: str, piece: Piece) -> list[int]:
    """The shape of each piece's word; special tokens have 0."""
    shapes = [0] * len(piece.ids)
    end = len(piece.ids)
    for word in range(piece.window.first, piece.window.last):
        kind = word_shape(text[piece.words.starts[word] : piece.words.ends[word]])
        if kind:
            for at in range(min(piece.place(word), end), min(piece.place(word + 1), end)):
                shapes[at] = kind
    return shapes
