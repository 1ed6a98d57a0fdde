"""Generated conversation turns with their mentions and relations, in two disjoint splits.

A share of the templates, and of the names in every list, is kept for "heldout": what the relations
are measured on was never seen, neither how it is put nor whom it is about.
"""

from __future__ import annotations

import random
import re
import zlib

from training.extractor import compose, templates, terms
from training.extractor.gazetteer import NAMES
from training.extractor.posts import Posts
from training.extractor.public import Example
from training.extractor.vocabulary import WORDS
from training.mini import names

PRONOUNS = {
    "I": "speaker", "my": "speaker", "me": "speaker", "we": "speaker", "our": "speaker",
    "you": "addressee", "your": "addressee",
}  # fmt: skip
SLOT = re.compile(r"\{(\w+?)(\d?)\}")
SPOKEN = re.compile(r"\b(?:I|[Mm]y|[Mm]e|[Ww]e|[Oo]ur|[Yy]ou|[Yy]our)\b")
WHEN = re.compile(
    r"\b(?:(?:today|tomorrow|yesterday|tonight|last night|this morning)"
    r"|(?:last|next|this) (?:week|month|year|weekend|summer|winter|spring|autumn))\b",
    re.IGNORECASE,
)
COMPOSED = ("date", "quantity", "hardware", "model_architecture", "research_paper")
TECHNICAL = {  # what follows an invented word of each type
    "gpu_feature": (" cores", " instructions", " registers", " support", " units", " cache", ""),
    "optimization_technique": (" fusion", " tiling", " caching", " quantization", " pruning", " batching", " decoding", ""),
    "algorithm": (" search", "sort", " sampling", "'s algorithm", " decoding", " routing", " matching", ""),
    "software_framework": (".js", ".cpp", "DB", " SDK", "ML", "lib", "", "", ""),
    "performance_metric": (" score", " rate", " latency", " throughput", " per second", " time"),
    "memory_pattern": (" misses", " copies", " loads", " reads", " writes", " access", " faults"),
    "kernel_operation": (" kernel", " op", " kernels", "_mat", " matmul", ""),
    "constraint": (" limit", " budget", " bound", " overhead", " pressure"),
    "data_structure": (" tree", " table", " buffer", " list", " queue", " cache", " map", " index"),
    "hardware": (" GPU", " NPU", " chip", " board", " X1", " 9000", ""),
}  # fmt: skip
HELD_SHARE = 5  # one in five


def held(text: str) -> bool:
    """Whether a name or template is kept for the held-out split."""
    return zlib.crc32(text.lower().encode()) % HELD_SHARE == 0


def pools(extra: dict[str, set[str]] | None = None) -> dict[str, list[str]]:
    """All values by type; `extra` are names found in public training sentences."""
    out = {k: list(v) for k, v in WORDS.items()}
    for kind, words in terms.MORE.items():
        out.setdefault(kind, []).extend(words)
    for kind, words in NAMES.items():
        kind = {"corporation": "organisation", "group": "organisation"}.get(kind, kind)
        if kind != "person":
            out.setdefault(kind, []).extend(words)
    out["person"] = [*names.PEOPLE, *names.HELD_PEOPLE, *terms.FIRST]
    out["location"] = [*out["location"], *names.CITIES, *names.HELD_CITIES]
    out["organisation"] = [*out["organisation"], *names.BRANDS]
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
        every = self.every = split == "all"
        self.words = {
            k: [w for w in v if every or held(w) == self.held] for k, v in pools(extra).items()
        }
        self.pool = names.Pool(self.r, self.held)

        def mine(block: str) -> list[tuple[str, list[tuple[str, str, str]]]]:
            return [t for t in templates.parse(block) if every or held(t[0]) == self.held]

        self.facts, self.technical = mine(templates.FACTS), mine(templates.TECHNICAL)
        self.open, self.talk = mine(templates.OPEN), mine(templates.TALK)
        self.more, self.more_open = mine(templates.MORE), mine(templates.MORE_OPEN)

        def own(text: str) -> bool:
            return every or held(text) == self.held

        apart = not (every or self.held)  # the held-out templates must not come in by another way
        barred = compose.barred(held) if apart else []
        unseen = compose.unseen(held) if apart else set()
        self.composer = compose.Composer(self.r, own, barred, unseen)
        wordings = [compose.canonical(text) for text in barred]
        self.more, self.more_open = (
            [
                (text, claims)
                for text, claims in some
                if not any(w in compose.canonical(text) for w in wordings)
                and not any((name, compose.wording(text)) in unseen for _, name, _ in claims)
            ]
            for some in (self.more, self.more_open)
        )
        self.posts = Posts(self.r, self.pool.word, own)
        self.surnames = [
            s
            for s in names.SURNAMES + names.HELD_SURNAMES + terms.LAST
            if every or held(s) == self.held
        ]
        self.orgs = [o for o in names.ORGS + names.HELD_ORGS if every or held(o) == self.held]

    def value(self, kind: str) -> str:
        r = self.r
        roll = r.random()
        if kind == "person":
            if roll < 0.25:
                return self.pool.word(r.choice((1, 2, 2))).capitalize()
            name = r.choice(self.words["person"])
            if roll < 0.5 and " " not in name:
                return f"{name} {r.choice(self.surnames)}"
            return name
        if kind == "organisation" and roll < 0.55:
            word = self.pool.word(2).capitalize() if roll < 0.3 else r.choice(self.orgs)
            return f"{word} {r.choice(names.ORG_TAIL)}" if roll < 0.5 else word
        if kind == "location" and roll < 0.12:
            return self.pool.word(2).capitalize()
        if kind == "product" and roll < 0.15:
            return f"{self.pool.word(2).capitalize()} {r.choice(('2', 'X', 'Pro', '3000', 'Mini', 'One'))}"
        if kind == "creative_work" and roll < 0.3:
            return self.pool.title()
        if kind == "date" and roll < 0.3:
            return self.pool.date()
        if kind in COMPOSED and roll < 0.7:
            for _ in range(20):
                word = self._composed(kind)
                if self.every or held(word) == self.held:
                    return word
        if kind in TECHNICAL and roll > 0.93:  # a term nobody has heard of
            return self._invented(kind)
        if kind == "quantity" and roll < 0.8:
            n = self.pool.number()
            return r.choice(
                ("{n}", "{n} euros", "{n} dollars", "{n} km", "{n} GB", "{n} years")
            ).format(n=n)
        return r.choice(self.words[kind])

    def _composed(self, kind: str) -> str:
        if kind == "date":
            return terms.date(self.r)
        if kind == "quantity":
            return terms.quantity(self.r)
        if kind == "hardware":
            return terms.chip(self.r)
        word = self.pool.word(2).capitalize()
        return (
            terms.model(self.r, word) if kind == "model_architecture" else terms.paper(self.r, word)
        )

    def _invented(self, kind: str) -> str:
        word = self.pool.word(self.r.choice((1, 2)))
        word = self.r.choice((word, word.capitalize(), word.upper()))
        return f"{word}{self.r.choice(TECHNICAL[kind])}"

    def sentence(self) -> tuple[str, list[tuple[int, int, str]], list[tuple[int, str, int]]]:
        r = self.r
        roll = r.random()
        claim = True
        if roll < 0.17:
            text, triples = r.choice(self.facts)
        elif roll < 0.25:
            text, triples = r.choice(self.technical)
        elif roll < 0.31:
            text, triples = r.choice(self.more)
        elif roll < 0.59:
            (text, triples), claim = self.composer.sentence(False), False
        elif roll < 0.79:
            (text, triples), claim = self.composer.sentence(True), False
        elif roll < 0.84:
            (text, triples), claim = r.choice(self.open), False
        elif roll < 0.91:
            (text, triples), claim = r.choice(self.more_open), False
        elif roll < 0.95:
            text, triples, claim = templates.plain(r), [], False
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
        for m in WHEN.finditer(text):  # and so is every day that is told of
            if not any(a < m.end() and b > m.start() for a, b, _ in spans):
                spans.append((m.start(), m.end(), "date"))
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
