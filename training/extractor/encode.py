"""Examples to arrays: word pieces, what their words look like, labels, mentions, relations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from training.extractor import schema
from training.extractor.public import Example

INDEX = {name: i for i, name in enumerate(schema.LABELS)}
RELATION = {name: i for i, name in enumerate(schema.RELATION_TYPES)}
MAX_PIECES = 192


def tokenizer(path: str) -> Tokenizer:
    tok = Tokenizer.from_file(path)
    tok.no_truncation()
    tok.no_padding()
    return tok


def shape(word: str) -> int:
    """How a word is written, which an uncased encoder does not see: 0 lower case or no letters,
    1 capitalised, 2 capitals only, 3 mixed, 4 with digits."""
    if any(c.isdigit() for c in word):
        return 4
    if word.islower() or not any(c.isalpha() for c in word):
        return 0
    if len(word) > 1 and word.isupper():
        return 2
    return 1 if word[0].isupper() and (len(word) == 1 or word[1:].islower()) else 3


@dataclass
class Encoded:
    """One text as arrays. Labels: -100 where nothing is learnt."""

    ids: np.ndarray  # [t] int32
    shapes: np.ndarray  # [t] int8
    labels: np.ndarray  # [t] int16, at each word's first piece
    mentions: list[tuple[int, int]]  # first and last + 1 piece
    relations: list[tuple[int, int, int]]  # head, relation, tail
    ignored: list[tuple[int, int]]
    source: str
    related: bool
    firsts: np.ndarray  # [w] piece index of each word
    gold: list[tuple[int, int, str]]  # first word, last word + 1, type


def encode(tok: Tokenizer, e: Example) -> Encoded | None:
    """None where a text is longer than the model reads in training."""
    enc = tok.encode(e.text)
    words, offsets = enc.word_ids, enc.offsets
    if len(enc.ids) > MAX_PIECES:
        return None
    starts: dict[int, int] = {}
    spans: dict[int, list[int]] = {}
    firsts: list[int] = []
    for i, w in enumerate(words):
        if w is None:
            continue
        if w not in starts:
            starts[w] = i
            firsts.append(i)
            spans[w] = list(offsets[i])
        spans[w][1] = offsets[i][1]
    shapes = np.zeros(len(words), np.int8)
    for i, w in enumerate(words):
        if w is not None:
            shapes[i] = shape(e.text[spans[w][0] : spans[w][1]])
    labels = np.full(len(words), -100, np.int16)
    for i in firsts:
        labels[i] = 0
    order = sorted(starts, key=lambda w: starts[w])
    place: list[tuple[int, int] | None] = []
    gold: list[tuple[int, int, str]] = []
    for a, b, kind in e.spans:
        inside = [k for k, w in enumerate(order) if spans[w][0] < b and spans[w][1] > a]
        if not inside:
            place.append(None)
            continue
        first, last = inside[0], inside[-1]
        for k in inside:
            if kind is None:
                labels[firsts[k]] = -100
            else:
                labels[firsts[k]] = INDEX[f"{'B' if k == first else 'I'}-{kind}"]
        if kind is not None:
            gold.append((first, last + 1, kind))
        end = firsts[last + 1] if last + 1 < len(firsts) else len(words) - 1
        place.append((firsts[first], end))
    keep = [i for i, p in enumerate(place) if p is not None]
    new = {i: k for k, i in enumerate(keep)}
    return Encoded(
        np.array(enc.ids, np.int32),
        shapes,
        labels,
        [place[i] for i in keep],  # type: ignore[misc]
        [
            (new[h], RELATION[r], new[t])
            for h, r, t in e.relations
            if h in new and t in new and r in RELATION
        ],
        [(new[h], new[t]) for h, t in e.ignored if h in new and t in new],
        e.source,
        e.related,
        np.array(firsts, np.int32),
        gold,
    )
