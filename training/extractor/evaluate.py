"""Measures an extractor folder as the app reads: from text to facts (in the app's environment).

    python -m training.extractor.evaluate agents/assets/extractor --sentences 4

Messages are generated ones of the held-out side (`exam.jsonl.gz` and new ones), alone or `--sentences`
of them in a row, as in a longer message. A relation is right if both ends are found, with their first
and last character, and it is told between them. "He" and "she" stand for the person last named.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from agents.memory.extract.halo import OTHERS, HaloExtractor
from agents.memory.onnx_model import read_config
from agents.memory.types import Extraction
from training.extractor.generator import Generator
from training.extractor.public import Example, exam

PRONOUNS = ("speaker", "addressee", OTHERS)
Claim = tuple[tuple[int, int], str, tuple[int, int]]


def in_a_row(examples: list[Example], count: int) -> Iterable[Example]:
    """`count` messages after another as one."""
    for at in range(0, len(examples) - count + 1, count):
        text, spans, relations = "", [], []
        for e in examples[at : at + count]:
            if text and text[-1] not in ".!?":
                text += "."
            text += " " if text else ""
            base, first = len(text), len(spans)
            text += e.text[:1].upper() + e.text[1:]
            spans += [(a + base, b + base, kind) for a, b, kind in e.spans]
            relations += [(h + first, name, t + first) for h, name, t in e.relations]
        yield Example(text, spans, relations, "", True)


def claims(found: Extraction) -> set[Claim]:
    """Relations by characters, "he" and "she" as the person named before."""
    meant: dict[int, tuple[int, int]] = {}
    person: tuple[int, int] | None = None
    for i, e in sorted(enumerate(found.entities), key=lambda pair: pair[1].start):
        meant[i] = (e.start, e.end)
        if e.type == OTHERS and person:
            meant[i] = person
        elif e.type == "person":
            person = (e.start, e.end)
    told = {(meant[r.head], r.type, meant[r.tail]) for r in found.relations}
    return {c for c in told if c[0] != c[2]}


def scores(c: Counter[str]) -> dict[str, float]:
    p, r = c["right"] / max(1, c["told"]), c["right"] / max(1, c["wanted"])
    return {
        "precision": round(p, 4),
        "recall": round(r, 4),
        "f1": round(2 * p * r / max(1e-9, p + r), 4),
    }


def measure(own: HaloExtractor, examples: list[Example]) -> dict[str, Any]:
    mentions: Counter[str] = Counter()
    facts: Counter[str] = Counter()
    for at in range(0, len(examples), 32):
        some = examples[at : at + 32]
        for e, found in zip(some, own.raw([e.text for e in some]), strict=True):
            told = {(m.start, m.end, m.type) for m in found.entities if m.type not in PRONOUNS}
            want = {s for s in e.spans if s[2] not in PRONOUNS}
            mentions.update(right=len(told & want), told=len(told), wanted=len(want))
            said = claims(found)
            gold = {(e.spans[h][:2], name, e.spans[t][:2]) for h, name, t in e.relations}
            facts.update(right=len(said & gold), told=len(said), wanted=len(gold))
    return {"mentions": scores(mentions), "facts": scores(facts)}


def main() -> None:
    ap = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ap.add_argument("folder")
    ap.add_argument("--sentences", type=int, nargs="+", default=[1, 4], help="messages in a row")
    ap.add_argument("--set", nargs="*", default=[], metavar="KEY=JSON", help="in config.json")
    ap.add_argument("--count", type=int, default=1500, help="new messages")
    a = ap.parse_args()
    folder = Path(a.folder)
    config = read_config(folder)
    config |= {k: json.loads(v) for k, v in (pair.split("=", 1) for pair in a.set)}
    own = HaloExtractor(folder, config)
    g = Generator(7, "heldout", {})
    sets = {"exam": exam(), "new": [g.example() for _ in range(a.count)]}
    result: dict[str, Any] = {"set": a.set}
    for name, some in sets.items():
        random.Random(1).shuffle(some)
        for count in a.sentences:
            result[f"{name}_{count}"] = measure(own, list(in_a_row(some, count)))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
