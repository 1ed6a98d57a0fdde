"""Names: what makes two of them the same, without knowing anything of the graph."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from rapidfuzz import fuzz

FUZZY = 92.0  # rapidfuzz ratio from which two spellings are one name
SHORT = 6  # shorter names differ in meaning when they differ in a letter

FIRST_PERSON = frozenset("i me my mine myself i'm i've i'd i'll".split())
PLURAL = frozenset("we us our ours ourselves we're we've".split())
SECOND_PERSON = frozenset("you your yours yourself yourselves you're you've".split())
THIRD_PERSON = frozenset("he she him her his hers himself herself".split())
PRONOUNS = FIRST_PERSON | PLURAL | SECOND_PERSON | THIRD_PERSON

_ARTICLES = frozenset(("the", "a", "an", "this", "that", "these", "those"))
_POSSESSIVES = frozenset(("my", "our", "your", "his", "her", "their", "its"))
_COMPANY = frozenset(
    "inc incorporated corp corporation co company ltd limited llc gmbh ag plc sa".split()
)
_APART = re.compile(r"[\s_\-–—/]+")
_DROPPED = re.compile(r"[.,;:!?\"'’‘“”()\[\]{}*`]+")
_OWNED = re.compile(r"['’]s?$|s['’]$")

# Types whose names never mean the same thing, even when they are spelt alike.
_KINDS = {
    "person": "person",
    "date": "date",
    "quantity": "quantity",
}


def kind(type: str) -> str:
    """The coarse kind of an entity type: person, date, quantity, or thing (all others)."""
    return _KINDS.get(type, "thing")


@lru_cache(65536)
def key(name: str) -> str:
    """What spellings of one name share: case, punctuation, articles and possessives do not count.

    "C++", "C#" and "C" stay apart, and so do numbers.
    """
    text = unicodedata.normalize("NFKC", name).casefold().strip()
    text = re.sub(r"(?<=\w)['’]s?(?=\s|$)", "", text)
    text = _DROPPED.sub("", _APART.sub(" ", text))
    words = text.split()
    while len(words) > 1 and (words[0] in _ARTICLES or words[0] in _POSSESSIVES):
        words = words[1:]
    while len(words) > 1 and words[-1] in _COMPANY:
        words = words[:-1]
    return " ".join(words)


def display(name: str) -> str:
    """A mention as an entity's name: without article, possessive 's, and stray punctuation."""
    words = name.strip(' \t\n.,;:!?"“”()[]{}*`').split()
    while len(words) > 1 and words[0].lower() in _ARTICLES:
        words = words[1:]
    if words and re.search(r"['’]s$", words[-1]):
        words[-1] = words[-1][:-2]
    return " ".join(words) or name.strip()


def owned(name: str) -> str:
    """What a possessive pronoun owns: "my sister" -> "sister"; "" when there is none."""
    first, _, rest = name.strip().partition(" ")
    return rest.strip() if first.lower() in _POSSESSIVES else ""


def initials(name: str) -> str:
    """The first letters of a name of several words: "Massachusetts Institute of Technology" -> mit.

    Small words between them are left out.
    """
    words = [w for w in key(name).split() if w not in ("of", "and", "the", "for", "de", "in")]
    return "".join(word[0] for word in words) if len(words) > 1 else ""


def is_abbreviation(name: str) -> bool:
    """Whether a name is written as an abbreviation: IBM, U.S., CUDA."""
    letters = _DROPPED.sub("", name)
    return 2 <= len(letters) <= 6 and letters.isalpha() and letters.isupper()


def abbreviates(short: str, long: str) -> bool:
    """Whether `short` stands for `long`, either way round."""
    if is_abbreviation(long) and not is_abbreviation(short):
        short, long = long, short
    return is_abbreviation(short) and key(short) == initials(long)


def part_of_person(short: str, long: str) -> bool:
    """Whether one person's name is the first or the last word of the other's."""
    a, b = key(short).split(), key(long).split()
    if len(a) > len(b):
        a, b = b, a
    return len(a) == 1 and len(b) > 1 and len(a[0]) > 1 and a[0] in (b[0], b[-1])


def shortens(short: str, long: str) -> bool:
    """Whether a name of one capitalised word is the first word of a longer one: Acme Robotics."""
    a, b = key(short).split(), key(long).split()
    return len(a) == 1 < len(b) and len(a[0]) > 2 and a[0] == b[0] and short[:1].isupper()


def part_of_thing(short: str, long: str) -> bool:
    """Whether a word with a capital or a digit is the first or the last of a thing's name: Ducati or
    Monster of a Ducati Monster, iPhone of an iPhone 13."""
    a, b = key(short).split(), key(long).split()
    written = any(c.isupper() or c.isdigit() for c in short) and not short.isdigit()
    return len(a) == 1 < len(b) and len(a[0]) > 1 and a[0] in (b[0], b[-1]) and written


def similar(a: str, b: str) -> bool:
    """Whether two keys are spellings of one name: close letters, and the same numbers."""
    if min(len(a), len(b)) < SHORT or _numbers(a) != _numbers(b):
        return False
    return fuzz.ratio(a, b, score_cutoff=FUZZY) > 0


def _numbers(text: str) -> list[str]:
    return re.findall(r"\d+(?:\.\d+)?|[+#]+|(?<!\w)[a-z](?!\w)", text)
