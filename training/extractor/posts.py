"""Posts as people write them on the net, names marked, and labelled sentences with other names put in."""

from __future__ import annotations

import random

from training.extractor.gazetteer import EMOTICONS, HANDLES, NAMES, PLAIN_POSTS, POSTS, TAGS, TITLES
from training.extractor.public import Example
from training.extractor.terms import FIRST, LAST

KINDS = {
    "p": "person",
    "l": "location",
    "c": "corporation",
    "g": "group",
    "r": "product",
    "w": "creative_work",
}
TYPES = {"corporation": "organisation", "group": "organisation"}


class Posts:
    """Endless posts of one split; `word(n)` makes an invented word, `mine(text)` tells the split."""

    def __init__(self, r: random.Random, word, mine) -> None:  # type: ignore[no-untyped-def]
        self.r, self.word = r, word
        self.lines = [t for t in (POSTS + PLAIN_POSTS).strip().splitlines() if mine(t)]
        self.names = {k: [n for n in v if mine(n)] for k, v in NAMES.items()}
        self.first = [n for n in FIRST if mine(n)]
        self.last = [n for n in LAST if mine(n)]

    def name(self, kind: str) -> str:
        """A name, real or invented, and how carelessly people write it."""
        r = self.r
        roll = r.random()
        made = self.word(r.choice((1, 2, 2))).capitalize()
        if kind == "person" and roll < 0.6:
            first = r.choice(self.first) if r.random() < 0.8 else made
            text = r.choice((first, first, first, f"{first} {r.choice(self.last)}", f"{r.choice(TITLES)} {first}",
                             f"{first} {r.choice(self.last)[0]} ."))  # fmt: skip
        elif kind == "location" and roll < 0.25:
            text = r.choice((made, f"{made} Park", f"{made} Street", f"Lake {made}", f"{made}ville", f"{made} Beach", f"the {made}",
                             f"{made} Bar", f"Club {made}", f"{made} Arena", f"{made} , {r.choice(('TX', 'CA', 'NY', 'UK', 'FL'))}"))  # fmt: skip
        elif kind == "group" and roll < 0.3:
            text = r.choice((f"The {made}s", made, f"{made} FC", f"{made} United", f"{made} Tigers", f"{made} University", f"the {made} Band",
                             f"{made} Party", f"{made} High School", f"{made} Crew"))  # fmt: skip
        elif kind == "corporation" and roll < 0.3:
            text = r.choice(
                (
                    made,
                    f"{made} Inc",
                    f"{made}.com",
                    f"{made} Bank",
                    f"{made} Media",
                    f"{made} TV",
                    f"{made} & {self.word(2).capitalize()}",
                )
            )
        elif kind == "product" and roll < 0.35:
            text = r.choice((f"{made} {r.randint(1, 9)}", made, f"{made} Pro", f"{made} Phone", f"{r.choice(self.names['corporation'])} {made}",
                             f"{made} HD", f"{made} {r.choice('XSZV')}{r.randint(1, 900)}", f"{made} Cola"))  # fmt: skip
        elif kind == "creative_work" and roll < 0.3:
            b = r.choice(
                "Night Love Blood Summer City King Girl Boys Road World Heart Dead Star House Fire Game".split()
            )
            text = r.choice(
                (
                    f"The {made}",
                    f"{made} {r.randint(2, 5)}",
                    f"{b} of {made}",
                    f"{made} {b}",
                    f"The {b} {made}",
                    f"My {b}",
                    f"Last {b}",
                    f"The {b}",
                )
            )
        else:
            text = r.choice(self.names[kind])
        return self.careless(text)

    def careless(self, text: str) -> str:
        r = self.r
        roll = r.random()
        if roll < 0.28:
            return text.lower()
        if roll < 0.34:
            return text.upper()
        if roll < 0.42:
            tag = "".join(c for c in text if c.isalnum())
            return "#" + (tag.lower() if r.random() < 0.5 else tag)
        if roll < 0.47 and len(text) > 4:
            at = r.randrange(1, len(text) - 1)
            return r.choice(
                (
                    text[:at] + text[at + 1 :],
                    text[:at] + text[at] + text[at:],
                    text[: at - 1] + text[at] + text[at - 1] + text[at + 1 :],
                )
            )
        return text

    def filler(self, mark: str) -> str:
        r = self.r
        if mark == "at":
            return (
                "@"
                + r.choice(HANDLES)
                + r.choice(("", "_"))
                + self.word(2)
                + r.choice(("", str(r.randint(1, 99))))
            )
        if mark == "tag":
            return "#" + (r.choice(TAGS) if r.random() < 0.7 else self.word(2).capitalize())
        if mark == "url":
            return "http://t.co/" + "".join(
                r.choice("abcdefghijkLMNOPQRSTuvwxyz0123456789") for _ in range(10)
            )
        return r.choice(EMOTICONS) if r.random() < 0.7 else ""

    def example(self) -> Example:
        r = self.r
        text, spans = "", []
        for n in range(r.choice((1, 1, 1, 2))):
            line = r.choice(self.lines)
            if line.startswith("RT") and n:
                continue
            for piece in line.split(" "):
                mark = piece.strip("{}").rstrip("23") if piece.startswith("{") else ""
                word = piece
                if mark in KINDS:
                    word = self.name(KINDS[mark])
                elif mark:
                    word = self.filler(mark)
                if not word:
                    continue
                if text:
                    text += " "
                if mark in KINDS:
                    kind = KINDS[mark]
                    spans.append((len(text), len(text) + len(word), TYPES.get(kind, kind)))
                text += word
        roll = r.random()
        if roll < 0.15:
            text = text.lower()
        elif roll < 0.19:
            text = text.upper()
        return Example(text, spans, [], "wnut", False)


def swapped(
    e: Example, kinds: list[str], pools: dict[str, list[str]], r: random.Random, share: float = 0.6
) -> Example:
    """The sentence with other names of the same kinds in it. `kinds` are the data set's own, by span."""
    order = sorted(range(len(e.spans)), key=lambda i: e.spans[i][0])
    text, at, new = "", 0, list(e.spans)
    for i in order:
        a, b, kind = e.spans[i]
        if a < at:  # spans that overlap: as it was
            return e
        word = e.text[a:b]
        if kind is not None and pools.get(kinds[i]) and r.random() < share:
            word = r.choice(pools[kinds[i]])
        text += e.text[at:a]
        new[i] = (len(text), len(text) + len(word), kind)
        text += word
        at = b
    return Example(text + e.text[at:], new, e.relations, e.source, e.related, e.ignored)
