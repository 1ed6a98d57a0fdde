"""Precision, recall and micro-F1 of mentions on a file of labelled sentences.

A line is a token, TAB, its BIO tag; a blank line ends a sentence. Tokens joined by spaces are what
the model reads; what it finds is brought back to whole tokens. A mention counts if its first token,
last token and type are right. The map takes the file's types to the schema's:

- gold mentions whose type maps to null are left out, and so are found ones that overlap them;
- found mentions of a type that nothing in the file maps to are left out: the file marks none.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from agents.memory.types import Extraction
from engine.errors import HaloError

BATCH = 256  # sentences handed over at once
Span = tuple[int, int, str]  # first token, last + 1, type


class Tags(Protocol):
    """An extractor with the model's own types."""

    def raw(self, texts: list[str]) -> list[Extraction]: ...


@dataclass(frozen=True, slots=True)
class Sentence:
    """Tokens and the mentions marked among them."""

    tokens: tuple[str, ...]
    gold: tuple[Span, ...]


def read(path: Path) -> list[Sentence]:
    """The sentences of a labelled file. Raises HaloError with the line where it is not one."""
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error, "Give a labelled text file.") from error
    sentences: list[Sentence] = []
    tokens: list[str] = []
    tags: list[str] = []
    for number, line in enumerate([*lines, ""], 1):
        if line.strip():
            parts = line.rstrip("\r\n").split("\t")
            tag = parts[-1].strip()
            if (
                len(parts) < 2
                or not parts[0].strip()
                or not (tag == "O" or tag[:2] in ("B-", "I-"))
            ):
                raise HaloError(
                    f"Line {number} of {path} is no token, TAB, BIO tag: {line[:40]!r}.",
                    "Write one token a line and a blank line between sentences.",
                )
            tokens.append(parts[0].strip())
            tags.append(tag)
        elif tokens:
            sentences.append(Sentence(tuple(tokens), tuple(spans(tags))))
            tokens, tags = [], []
    if not sentences:
        raise HaloError(f"{path} has no sentences.", "Give a labelled text file.")
    return sentences


def _unreadable(path: Path, error: Exception, remedy: str) -> HaloError:
    why = error.strerror if isinstance(error, OSError) else str(error)
    if isinstance(error, UnicodeDecodeError):
        why = f"it is not UTF-8 text (byte {error.start})"
    return HaloError(f"{path} cannot be read: {why}.", remedy)


def spans(tags: Sequence[str]) -> list[Span]:
    """BIO tags as mentions; an I- that continues nothing begins one."""
    found: list[Span] = []
    for i, tag in enumerate(tags):
        if tag == "O":
            continue
        if tag[0] == "I" and found and found[-1][1] == i and found[-1][2] == tag[2:]:
            found[-1] = (found[-1][0], i + 1, tag[2:])
        else:
            found.append((i, i + 1, tag[2:]))
    return found


def read_map(path: Path | None, sentences: Sequence[Sentence]) -> dict[str, str | None]:
    """The map of a file's types; without one, types mean what the schema means by their names."""
    used = {kind for sentence in sentences for _, _, kind in sentence.gold}
    if path is None:
        return {kind: kind for kind in used}
    try:
        content = json.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError) as error:
        raise _unreadable(path, error, "Give a JSON object.") from error
    if not isinstance(content, dict) or not all(
        value is None or isinstance(value, str) for value in content.values()
    ):
        raise HaloError(
            f"{path} is no map of types.",
            'Write {"type of the file": "type of the schema" or null}.',
        )
    missing = sorted(used - set(content))
    if missing:
        raise HaloError(
            f"{path} says nothing about {', '.join(missing)}.",
            "Map each of them, to null if need be.",
        )
    return content


def of_schema(
    types: Mapping[str, str | None], schema: Iterable[str]
) -> tuple[dict[str, str | None], list[str]]:
    """A map with the schema's own spelling of its types, and sentences about types that it has not."""
    spelt = {_spelling(kind): kind for kind in schema}
    found = {
        kind: None if to is None else spelt.get(_spelling(to), to) for kind, to in types.items()
    }
    known = {*spelt.values(), None}
    return found, [
        f"{kind} is mapped to '{to}', which memory.entity_types has not: all of it counts as missed"
        for kind, to in found.items()
        if to not in known
    ]


def _spelling(kind: str) -> str:
    """One spelling: "Creative work", "organization", "date/time", "preference/topic"."""
    plain = re.sub(r"[^a-z/]+", "_", kind.strip().lower()).replace("ization", "isation")
    return {"date/time": "date", "preference/topic": "topic"}.get(plain, plain)


def measure(
    model: Tags, sentences: Sequence[Sentence], types: Mapping[str, str | None]
) -> dict[str, Any]:
    """`precision`, `recall`, `micro_f1` and `by_type`, over all sentences; `left_out` counts found
    mentions that the rules leave out."""
    counts: dict[str, Counter[str]] = {}
    marked = {types[kind] for sentence in sentences for _, _, kind in sentence.gold}
    left_out = 0
    for at in range(0, len(sentences), BATCH):
        some = sentences[at : at + BATCH]
        found = model.raw([" ".join(sentence.tokens) for sentence in some])
        for sentence, extraction in zip(some, found, strict=True):
            gold = {(a, b, types[kind]) for a, b, kind in sentence.gold}
            ignored = {i for a, b, kind in gold if kind is None for i in range(a, b)}
            wanted = {(a, b, kind) for a, b, kind in gold if kind is not None}
            found_spans = set(aligned(sentence.tokens, extraction))
            told = {
                span
                for span in found_spans
                if span[2] in marked and not ignored.intersection(range(span[0], span[1]))
            }
            left_out += len(found_spans - told)
            for span in wanted | told:
                outcome = "right" if span in wanted and span in told else ""
                outcome = outcome or ("missed" if span in wanted else "wrong")
                counts.setdefault(span[2], Counter())[outcome] += 1
    total: Counter[str] = sum(counts.values(), Counter())
    precision, recall, f1 = _scores(total)
    by_type = {}
    for kind in sorted(counts):
        p, r, f = _scores(counts[kind])
        by_type[kind] = {
            "precision": p,
            "recall": r,
            "f1": f,
            "gold": counts[kind]["right"] + counts[kind]["missed"],
        }
    return {
        "sentences": len(sentences),
        "precision": precision,
        "recall": recall,
        "micro_f1": f1,
        "left_out": left_out,
        "by_type": by_type,
    }


def aligned(tokens: Sequence[str], extraction: Extraction) -> list[Span]:
    """Found mentions as tokens of the sentence that was joined by spaces."""
    starts, at = [], 0
    for token in tokens:
        starts.append(at)
        at += len(token) + 1
    found = []
    for entity in extraction.entities:
        inside = [
            i
            for i, (start, token) in enumerate(zip(starts, tokens, strict=True))
            if start < entity.end and start + len(token) > entity.start
        ]
        if inside:
            found.append((inside[0], inside[-1] + 1, entity.type))
    return found


def _scores(counts: Mapping[str, int]) -> tuple[float, float, float]:
    right, wrong, missed = (counts.get(key, 0) for key in ("right", "wrong", "missed"))
    precision = right / (right + wrong) if right + wrong else 0.0
    recall = right / (right + missed) if right + missed else 0.0
    f1 = 2 * right / (2 * right + wrong + missed) if right else 0.0
    return round(precision, 4), round(recall, 4), round(f1, 4)
