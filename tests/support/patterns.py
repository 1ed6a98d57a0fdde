"""A deterministic extractor for tests: names by a word list, relations by patterns.

Only for tests: it lets them say exactly what a message contains, so that what is tested is the
graph and not a model.
"""

from __future__ import annotations

import hashlib
import re

import numpy as np
from numpy.typing import NDArray

from agents.memory.text import terms
from agents.memory.types import Entity, Extraction, Relation

_PART = r"[A-Z](?:[\w'’+-]|\.(?=\w))*"
_NAME = rf"{_PART}(?:\s(?:of\s|the\s)?{_PART})*"
_WHO = rf"(?:\b(?:I|you|he|she|we)\b|\b[Mm]y \w+|{_NAME})"
_RELATIONS = [
    (
        "WORKS_AT",
        "organisation",
        rf"(?P<h>{_WHO})[^.!?]*?\bwork(?:s|ed)? (?:at|for) (?P<t>{_NAME})",
    ),
    ("LIVES_IN", "location", rf"(?P<h>{_WHO})[^.!?]*?\b(?:lives?|moved) (?:in|to) (?P<t>{_NAME})"),
    ("LIKES", "topic", rf"(?P<h>{_WHO}) (?:no longer )?(?:really )?likes? (?P<t>(?!it\b)\w+)"),
    ("DISLIKES", "topic", rf"(?P<h>{_WHO}) (?:hates?|dislikes?) (?P<t>\w+)"),
    ("KNOWS", "person", rf"(?P<h>{_WHO}) (?:met|knows?) (?P<t>{_NAME})"),
    ("BORN_ON", "date", rf"(?P<h>{_WHO}) (?:was|were) born on (?P<t>\d+ \w+ \d{{4}})"),
]
_NO_NAME = frozenset(
    "Nice Do I The A An My Your He She We You It Hi Hello What Who When Where Why How Yes No And But".split()
)
PLACES = frozenset("Paris London Berlin Rome Oslo Zurich York".split())
PEOPLE = frozenset(
    "Bob Robert Ada Alan Alice Caroline Melanie Lovelace Turing Smith Grace Hopper Eve".split()
)


class PatternExtractor:
    """Implements `agents.memory.types.Extractor`."""

    name = "patterns"

    def extract(self, texts: list[str]) -> list[Extraction]:
        return [self._one(text) for text in texts]

    def _one(self, text: str) -> Extraction:
        entities: list[Entity] = []
        index: dict[tuple[int, int], int] = {}

        def entity(start: int, end: int, type: str) -> int:
            while end > start and text[end - 1] in ".,'’":
                end -= 1
            if (start, end) not in index:
                index[start, end] = len(entities)
                entities.append(Entity(text[start:end], type, start, end, 0.9))
            return index[start, end]

        relations = []
        for type, tail_type, pattern in _RELATIONS:
            for match in re.finditer(pattern, text):
                head = entity(*match.span("h"), "person")
                tail = entity(*match.span("t"), tail_type)
                relations.append(Relation(head, tail, type, 0.9))
        for match in re.finditer(_NAME, text):
            start, end = match.span()
            first = match.group().split()[0].rstrip(".,")
            if first in _NO_NAME and " " not in match.group():
                continue
            if any(s < end and start < e for s, e in index):
                continue
            words = {word.strip(".,'’s") for word in match.group().split()}
            kind = "person" if words & PEOPLE else "location" if words & PLACES else "organisation"
            entity(start, end, kind)
        return Extraction(tuple(entities), tuple(relations))


class HashEmbedder:
    """Implements `Embedder` by hashing stems: texts with the same words are near."""

    name = "hash-64"
    dimension = 64

    def embed(self, texts: list[str]) -> NDArray[np.float32]:
        made = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in zip(made, texts, strict=True):
            for term in terms(text):
                digest = hashlib.blake2b(term.encode(), digest_size=4).digest()
                row[int.from_bytes(digest) % self.dimension] += 1.0
            norm = float(np.linalg.norm(row))
            row /= norm if norm else 1.0
        return made
