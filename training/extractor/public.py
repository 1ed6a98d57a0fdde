"""Reads the labelled public data: CrossNER, WNUT-17 and Re-DocRED, as sentences with spans."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field, replace
from pathlib import Path

from training.extractor import schema

DOMAINS = ("ai", "literature", "music", "politics", "science")


@dataclass
class Example:
    """A text with mentions (start, end, type) in characters and relations (head, name, tail).

    Type None: nothing is learnt from those words. `source` says whose O words can be trusted
    ("" = all); `related` whether relations are known.
    """

    text: str
    spans: list[tuple[int, int, str | None]]
    relations: list[tuple[int, str, int]] = field(default_factory=list)
    source: str = ""
    related: bool = False
    ignored: set[tuple[int, int]] = field(default_factory=set)  # pairs not to learn from


def folder(path: str) -> Path:
    """The data folder; raises with the remedy where it is missing."""
    root = Path(path)
    if not (root / "ner").is_dir():
        raise SystemExit(
            f"No labelled data in {path}: pass --data FOLDER with ner/crossner, ner/wnut17 and "
            "re/redocred in it (docs/extractor.md says where they come from)."
        )
    return root


def exam() -> list[Example]:
    """The generated messages of the first card: templates and names kept out of `--hold-out`."""
    path = Path(__file__).with_name("exam.jsonl.gz")
    found = []
    for line in gzip.decompress(path.read_bytes()).decode().splitlines():
        text, spans, relations = json.loads(line)
        found.append(
            Example(text, [tuple(s) for s in spans], [tuple(r) for r in relations], "", True)
        )
    return found


def conll(path: Path, mapping: dict[str, str], source: str) -> list[Example]:
    """Token TAB tag, an empty line between sentences."""
    out: list[Example] = []
    words: list[tuple[str, str]] = []
    for line in [*path.read_text(encoding="utf-8").splitlines(), ""]:
        if line.strip():
            word, _, tag = line.rpartition("\t")
            words.append((word, tag.strip()))
        elif words:
            out.append(_joined(words, mapping, source))
            words = []
    return out


def _joined(words: list[tuple[str, str]], mapping: dict[str, str], source: str) -> Example:
    text, spans = "", []
    for word, tag in words:
        if text:
            text += " "
        start = len(text)
        text += word
        kind = mapping.get(tag[2:]) if tag != "O" else None
        if tag == "O":
            continue
        if tag[0] == "I" and spans and spans[-1][3] == tag[2:] and spans[-1][1] == start - 1:
            spans[-1] = (spans[-1][0], len(text), kind, tag[2:])
        else:
            spans.append((start, len(text), kind, tag[2:]))
    return Example(text, [(a, b, k) for a, b, k, _ in spans], source=source)


def crossner(root: Path, split: str) -> dict[str, list[Example]]:
    return {
        d: conll(root / "ner/crossner" / d / f"{split}.txt", schema.CROSSNER, f"crossner-{d}")
        for d in DOMAINS
    }


def _kinds(path: Path, mapping: dict[str, str], source: str) -> list[tuple[Example, list[str]]]:
    """Sentences with the data set's own names of the types of their spans beside them."""
    own = conll(path, {kind: kind for kind in mapping}, source)
    return [
        (
            replace(e, spans=[(a, b, mapping.get(k or "")) for a, b, k in e.spans]),
            [k or "" for _, _, k in e.spans],
        )
        for e in own
    ]


def crossner_kinds(root: Path, split: str) -> list[tuple[Example, list[str]]]:
    found = []
    for d in DOMAINS:
        path = root / "ner/crossner" / d / f"{split}.txt"
        found += _kinds(path, schema.CROSSNER, f"crossner-{d}")
    return found


def wnut_kinds(root: Path, split: str) -> list[tuple[Example, list[str]]]:
    return _kinds(root / "ner/wnut17" / f"{split}.conll", schema.WNUT, "wnut")


def wnut(root: Path, split: str) -> list[Example]:
    return conll(root / "ner/wnut17" / f"{split}.conll", schema.WNUT, "wnut")


def redocred(root: Path) -> list[Example]:
    """Sentences of the documents, with the relations whose two ends they mention."""
    out = []
    for doc in json.loads((root / "re/redocred/dev_revised.json").read_text(encoding="utf-8")):
        triples: dict[tuple[int, int], set[str]] = {}
        for label in doc["labels"]:
            triples.setdefault((label["h"], label["t"]), set()).add(label["r"])
        for number, words in enumerate(doc["sents"]):
            starts, at = [], 0
            for w in words:
                starts.append(at)
                at += len(w) + 1
            text = " ".join(words)
            spans, owner = [], []
            for e, mentions in enumerate(doc["vertexSet"]):
                for m in mentions:
                    if m["sent_id"] == number and m["pos"][1] <= len(words):
                        a, b = m["pos"]
                        spans.append(
                            (
                                starts[a],
                                starts[b - 1] + len(words[b - 1]),
                                schema.REDOCRED[m["type"]],
                            )
                        )
                        owner.append(e)
            relations, ignored = [], set()
            for i, hi in enumerate(owner):
                for j, tj in enumerate(owner):
                    for r in triples.get((hi, tj), ()):
                        known = schema.WIKIDATA.get(r)
                        if known is None:
                            ignored |= {(i, j), (j, i)}
                        elif known[1]:
                            relations.append((j, known[0], i))
                        else:
                            relations.append((i, known[0], j))
            out.append(Example(text, spans, relations, "redocred", True, ignored))
    return out
