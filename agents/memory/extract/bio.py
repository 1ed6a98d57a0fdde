"""Tags of words to mentions: BIO and its relatives, forgiving where a model is inconsistent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BEGIN = frozenset("BSU")
_INSIDE = frozenset("IELM")


@dataclass(frozen=True, slots=True)
class Span:
    """A mention over words `first` to `last` (exclusive)."""

    first: int
    last: int
    type: str
    confidence: float


class Labels:
    """A model's labels in order: "O", "B-person", "I-person" …; also BILOU, BIOES and plain types."""

    def __init__(self, labels: Sequence[str]) -> None:
        self.names = list(labels)
        split = [_split(label) for label in labels]
        self.types = sorted({type for _, type in split if type})
        column = {type: i for i, type in enumerate(self.types)}
        self._begins = [prefix in _BEGIN for prefix, _ in split]
        self._type = [type for _, type in split]
        # [labels, types]: adds up the probabilities of a type's labels
        self._member = np.zeros((len(split), len(self.types)), np.float32)
        for i, (_, type) in enumerate(split):
            if type:
                self._member[i, column[type]] = 1
        self._column = column

    def __len__(self) -> int:
        return len(self.names)

    def decode(self, logits: NDArray[np.float32]) -> list[Span]:
        """logits [words, labels] to mentions in order, none overlapping.

        An I- tag without its B- begins a mention; one of another type than the mention before it
        does so too. Confidence is the mean over the words of the type's probability.
        """
        if not len(logits):
            return []
        best = logits.argmax(1)
        spans: list[tuple[int, int, str]] = []
        for i, label in enumerate(best):
            type = self._type[label]
            if not type:
                continue
            if spans and not self._begins[label] and spans[-1][1] == i and spans[-1][2] == type:
                spans[-1] = (spans[-1][0], i + 1, type)
            else:
                spans.append((i, i + 1, type))
        if not spans:
            return []
        scaled = np.exp(logits - logits.max(1, keepdims=True))
        by_type = (scaled @ self._member) / scaled.sum(1, keepdims=True)
        return [
            Span(a, b, type, min(1.0, float(by_type[a:b, self._column[type]].mean())))
            for a, b, type in spans
        ]


def _split(label: str) -> tuple[str, str]:
    """("B", "person"); a label without prefix counts as inside, "O" has no type."""
    if label.upper() in ("O", "OUTSIDE", ""):
        return "O", ""
    if len(label) > 2 and label[1] in "-_" and label[0].upper() in _BEGIN | _INSIDE:
        return label[0].upper(), label[2:]
    return "I", label
