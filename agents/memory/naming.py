"""Whether a text says what somebody's somebody is called: "my boss is called Ines", "my mum Rosa"."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agents.memory import text
from agents.memory.relatives import NAME, ROLE, Phrase, of_words
from agents.memory.tastes import is_people

_END = r"\s*(?:[,.;:!?)…]|$)"
_LIST = re.compile(rf",?\s+(?:and|or)\b|,\s+{NAME},?\s+(?:and|or)\b")
_IS = r"(?:\s+is|['’]s|\s+was)"
_CALLED = r"(?:called|named)"
_FORWARD = re.compile(
    rf"\s+|['’]s\s+(?:\w+\s+)?name{_IS}\s+|{_IS}\s+(?:{_CALLED}\s+)?"
    rf"|[^.!?;,:\n]{{0,40}}?{_IS}\s+{_CALLED}\s+|\s+(?:at|from|in)\s+(?:[\w’'&-]+\s+){{1,3}}is\s+"
)
_BACKWARD = re.compile(rf"{_IS}\s+|,\s+|\s+\(")
# "We have a parrot named Kiko".
_HAVE = re.compile(
    rf"(?<![\w'’])(?P<owner>[Ii]|[Ww]e|[Hh]e|[Ss]he|{NAME})(?:['’]ve|['’]s)?\s+(?:also\s+)?(?:have|has|had|got|have\s+got|has\s+got)"
    rf"\s+(?:a|an|one)\s+(?:[\w-]+\s+){{0,3}}?(?P<role>{ROLE})(?=,?\s+(?:{_CALLED}|whose\s+name\s+is)\s)"
)
_HAS = re.compile(rf",?\s+(?:{_CALLED}|whose\s+name\s+is)\s+")
_NAME = re.compile(rf"(?<![\w'’-])(?!I\b){NAME}")
_ASKS = re.compile(r"(?:is|are|was|isn['’]t|who|what)\b[^.!?\n]*\?", re.IGNORECASE)


def having(said: str) -> list[Phrase]:
    """Those whom somebody is said to have, where a name follows: "I have a dog called Rex"."""
    return [
        of_words(match["owner"], match["role"], *match.span("role"), match.end("owner"))
        for match in _HAVE.finditer(said)
        if match["owner"].lower() not in text.STOP - {"i", "we", "he", "she"}
    ]


def names_it(said: str, phrase: Phrase, start: int, end: int) -> bool:
    """Whether the name at [start, end) is said to be that of whom the phrase means."""
    if is_people(said[start:end]):
        return False  # "my boss is Italian"
    if any(s <= start < e and _ASKS.match(said[s:e]) for s, e in text.bounds(said)):
        return False
    after = said[end:]
    if re.match(r"['’]s?\b", after) or re.match(r"['’](?!\w)", after):
        return False
    if phrase.end <= start:
        between = said[phrase.end : start]
        if phrase.has:
            return _HAS.fullmatch(between) is not None
        if between == ", ":
            return bool(re.match(_END, after)) and not _LIST.match(after)
        return _FORWARD.fullmatch(between) is not None
    if end <= phrase.start:
        between = said[end : phrase.start]
        if not _BACKWARD.fullmatch(between):
            return False
        after = said[phrase.end :]
        if between[0] in ",( " and not re.match(r"\s+(?:is|was)", between):
            return re.match(_END, after) is not None
        return not re.match(r"['’]s\b|\s+(?:and|or)\b", after)
    return False


def several(said: str, phrase: Phrase) -> bool:
    """Whether names of several follow: "my parents are called Rosa and Karl"."""
    return (
        re.match(rf"\s+(?:are|were)\s+{_CALLED}\b|['’]s?\s+names\b", said[phrase.end :]) is not None
    )


def candidates(said: str, phrase: Phrase) -> Iterator[tuple[int, int]]:
    """Words with a capital that may be the name of whom the phrase means."""
    for match in _NAME.finditer(said):
        if names_it(said, phrase, *match.span()):
            yield match.span()
