"""Generated conversation turns with their mentions and relations, in two disjoint splits.

A share of the templates, and of the names in every list, is kept for "heldout": what the relations
are measured on was never seen, neither how it is put nor whom it is about.
"""

from __future__ import annotations

import random
import re
import zlib

from training.extractor import templates
from training.extractor.public import Example
from training.extractor.vocabulary import WORDS
from training.mini import names

PRONOUNS = {
    "I": "speaker", "my": "speaker", "me": "speaker", "we": "speaker", "our": "speaker",
    "you": "addressee", "your": "addressee",
}  # fmt: skip
SLOT = re.compile(r"\{(\w+?)(\d?)\}")
SPOKEN = re.compile(r"\b(?:I|[Mm]y|[Mm]e|[Ww]e|[Oo]ur|[Yy]ou|[Yy]our)\b")
HELD_SHARE = 5  # one in five


def held(text: str) -> bool:
    """Whether a name or template is kept for the held-out split."""
    return zlib.crc32(text.lower().encode()) % HELD_SHARE == 0


def pools(extra: dict[str, set[str]] | None = None) -> dict[str, list[str]]:
    """All values by type; `extra` are names found in public training sentences."""
    out = {k: list(v) for k, v in WORDS.items()}
    out["person"] = [*names.PEOPLE, *names.HELD_PEOPLE]
    out["location"] = [*out["location"], *names.CITIES, *names.HELD_CITIES]
    out["organisation"] = list(names.BRANDS)
    for kind, found in (extra or {}).items():
        if kind in ("person", "organisation", "location", "creative_work", "event", "product"):
            out.setdefault(kind, []).extend(sorted(found))
    return out


class Generator:
    """Endless examples of one split."""

    def __init__(
        self,
        seed: int,
        split: str,
        extra: dict[str, set[str]] | None = None,
        names_held: bool = True,
    ) -> None:
        self.r = random.Random(f"{split}-{seed}")
        self.held = split == "heldout"
        every = split == "all"
        self.words = {
            k: [w for w in v if every or held(w) == self.held] for k, v in pools(extra).items()
        }
        self.pool = names.Pool(self.r, self.held)

        def mine(block: str) -> list[tuple[str, list[tuple[str, str, str]]]]:
            return [t for t in templates.parse(block) if every or held(t[0]) == self.held]

        self.facts, self.technical = mine(templates.FACTS), mine(templates.TECHNICAL)
        self.open, self.talk = mine(templates.OPEN), mine(templates.TALK)

    def value(self, kind: str) -> str:
        r = self.r
        roll = r.random()
        if kind == "person":
            if roll < 0.25:
                return self.pool.word(r.choice((1, 2, 2))).capitalize()
            name = r.choice(self.words["person"])
            if roll < 0.5 and " " not in name:
                surname = [s for s in names.SURNAMES + names.HELD_SURNAMES if held(s) == self.held]
                return f"{name} {r.choice(surname)}"
            return name
        if kind == "organisation" and roll < 0.55:
            word = (
                self.pool.word(2).capitalize()
                if roll < 0.3
                else r.choice([o for o in names.ORGS + names.HELD_ORGS if held(o) == self.held])
            )
            return f"{word} {r.choice(names.ORG_TAIL)}" if roll < 0.5 else word
        if kind == "location" and roll < 0.12:
            return self.pool.word(2).capitalize()
        if kind == "product" and roll < 0.15:
            return f"{self.pool.word(2).capitalize()} {r.choice(('2', 'X', 'Pro', '3000', 'Mini', 'One'))}"
        if kind == "creative_work" and roll < 0.3:
            return self.pool.title()
        if kind == "date" and roll < 0.4:
            return self.pool.date()
        if kind == "quantity" and roll < 0.4:
            n = self.pool.number()
            return r.choice(
                ("{n}", "{n} euros", "{n} dollars", "{n} km", "{n} GB", "{n} years")
            ).format(n=n)
        return r.choice(self.words[kind])

    def sentence(self) -> tuple[str, list[tuple[int, int, str]], list[tuple[int, str, int]]]:
        r = self.r
        roll = r.random()
        claim = True
        if roll < 0.55:
            text, triples = r.choice(self.facts)
        elif roll < 0.78:
            text, triples = r.choice(self.technical)
        elif roll < 0.9:
            (text, triples), claim = r.choice(self.open), False
        else:
            (text, triples), claim = r.choice(self.talk), False
        out, spans, place = "", [], {}
        at = 0
        if claim and r.random() < 0.3:
            out = r.choice(templates.BEFORE)
        used: set[str] = set()
        for m in SLOT.finditer(text):
            out += text[at : m.start()]
            at = m.end()
            key = m[1]
            if key in PRONOUNS:
                word, kind = key, PRONOUNS[key]
                if not out and word != "I":
                    word = word.capitalize()
            else:
                kind = templates.SLOTS[key]
                for _ in range(10):
                    word = self.value(kind)
                    if word.lower() not in used:
                        break
                used.add(word.lower())
            place[m[1] + m[2]] = len(spans)
            spans.append((len(out), len(out) + len(word), kind))
            out += word
        out += text[at:]
        if claim and r.random() < 0.2:
            out += r.choice(templates.AFTER)
        relations = [(place[h], rel, place[t]) for h, rel, t in triples]
        return out, spans, relations

    def example(self) -> Example:
        """A message of one to three sentences, now and then two of them joined."""
        r = self.r
        text, spans, relations = "", [], []
        for n in range(r.choice((1, 1, 1, 2, 2, 3))):
            s, sp, rel = self.sentence()
            if n:
                joint = r.choice((". ", ". ", "! ", "\n", " and ", ", "))
                if text.endswith(("?", "!", ".")):
                    joint = " "
                text += joint
            if (not n or text.rstrip().endswith((".", "!", "?"))) and r.random() < 0.75:
                s = s[:1].upper() + s[1:]
            base, first = len(text), len(spans)
            text += s
            spans += [(a + base, b + base, k) for a, b, k in sp]
            relations += [(h + first, name, t + first) for h, name, t in rel]
        if not text.endswith(("?", "!", ".")) and r.random() < 0.7:
            text += r.choice((".", ".", "!"))
        for m in SPOKEN.finditer(text):  # every pronoun of the two is a mention
            if not any(a < m.end() and b > m.start() for a, b, _ in spans):
                spans.append((m.start(), m.end(), PRONOUNS[m[0] if m[0] == "I" else m[0].lower()]))
        if r.random() < 0.15:
            text = text.lower()
        return Example(text, spans, relations, "", True)


def main() -> None:
    import argparse

    ap = argparse.ArgumentParser(description="Prints generated messages.")
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--count", type=int, default=10)
    ap.add_argument("--split", choices=("train", "heldout", "all"), default="train")
    a = ap.parse_args()
    g = Generator(a.seed, a.split)
    for _ in range(a.count):
        e = g.example()
        print(e.text)
        for h, name, t in e.relations:
            (a1, b1, _), (a2, b2, _) = e.spans[h], e.spans[t]
            print(f"    {e.text[a1:b1]} {name} {e.text[a2:b2]}")


if __name__ == "__main__":
    main()
