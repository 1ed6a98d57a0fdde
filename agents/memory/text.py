"""Words of a text as the full-text index counts them, and sentences as models read them."""

from __future__ import annotations

import re
from functools import lru_cache

import snowballstemmer

from agents.memory import dates

SENTENCE = 400  # characters at most in one text for the extractor
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*(?:\+\+|#)?")
_END = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+(?=[\"'“‘(\[]?[^\W_a-z]|[\"'“])|\n+")
_ABBREVIATED = re.compile(
    r"\b(?:mr|mrs|ms|dr|prof|st|vs|e\.g|i\.e|no|fig|approx)\.$", re.IGNORECASE
)
_stemmer = snowballstemmer.stemmer("english")

STOP = frozenset(
    """a about above after again all also am an and any are aren't as at be because been before
    being below between both but by can can't cannot could couldn't did didn't do does doesn't doing
    don't down during each few for from further get got had hadn't has hasn't have haven't having he
    he'd he'll he's her here here's hers herself him himself his how how's i i'd i'll i'm i've if in
    into is isn't it it's its itself just let's me more most my myself no nor not of off on once
    only or other ought our ours ourselves out over own really same she she'd she'll she's should
    shouldn't so some such than that that's the their theirs them themselves then there there's
    these they they'd they'll they're they've this those through to too under until up very was
    wasn't we we'd we'll we're we've were weren't what what's when when's where where's which while
    who who's whom why why's will with won't would wouldn't you you'd you'll you're you've your
    yours yourself yourselves yeah oh wow hey hi hello thanks thank ok okay""".split()
)


@lru_cache(200_000)
def stem(word: str) -> str:
    """The stem of a lower-case word (Snowball English)."""
    return str(_stemmer.stemWord(word))


def terms(text: str) -> list[str]:
    """The stems of a text in order, without stop words: what is indexed and searched."""
    found = []
    for word in _WORD.findall(text.lower().replace("’", "'")):
        if word.endswith("'s"):
            word = word[:-2]
        if word and word not in STOP:
            found.append(index_word(stem(word)))
    return found


def index_word(word: str) -> str:
    """A word as the full-text index's own parser leaves it alone."""
    return word.replace("++", "plusplus").replace("#", "sharp").replace("'", "")


def day_terms(time: float) -> list[str]:
    """When something was said, as terms: its year, month and day."""
    return dates.tags_of_day(time)


def question_terms(question: str, now: float) -> list[str]:
    """The stems of a question, and the days it asks about as `day_terms` writes them."""
    return [*dict.fromkeys([*terms(question), *dates.tags_in(question, now)])]


def sentences(text: str) -> list[tuple[int, str]]:
    """A text in pieces of at most SENTENCE characters, with their offsets."""
    return [piece for start, end in bounds(text) for piece in _cut(text, start, end)]


def bounds(text: str) -> list[tuple[int, int]]:
    """Where the sentences of a text begin and end, however long they are."""
    found: list[tuple[int, int]] = []
    start = 0
    for match in [*_END.finditer(text), None]:
        end = match.start() if match else len(text)
        if match and _ABBREVIATED.search(text, start, end):
            continue
        found.append((start, end))
        start = match.end() if match else len(text)
    return found


def grouped(text: str, most: int = SENTENCE) -> list[tuple[int, str]]:
    """Neighbouring sentences together up to `most` characters, with their offsets."""
    groups: list[tuple[int, int]] = []
    for offset, sentence in sentences(text):
        end = offset + len(sentence)
        if groups and end - groups[-1][0] <= most:
            groups[-1] = (groups[-1][0], end)
        else:
            groups.append((offset, end))
    return [(start, text[start:end]) for start, end in groups]


def _cut(text: str, start: int, end: int) -> list[tuple[int, str]]:
    pieces = []
    while start < end:
        if end - start > SENTENCE:
            space = text.rfind(" ", start, start + SENTENCE)
            stop = space if space > start else start + SENTENCE
        else:
            stop = end
        piece = text[start:stop]
        lead = len(piece) - len(piece.lstrip())
        if piece.strip():
            pieces.append((start + lead, piece.strip()))
        start = stop
    return pieces
