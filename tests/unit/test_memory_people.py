"""Whom "he" and "she" mean: one person of the last sentence that names any, or nobody."""

from __future__ import annotations

import re

import pytest

from agents.memory.registry import Registry
from agents.memory.resolve import Resolver
from agents.memory.types import Entity, Note

PEOPLE = "Tom|Eva|Ada|Bob|he|she|him|her|his|I|you"


def told(*messages: str, speaker: str = "Ada", kind: str = "message") -> list[tuple[str, str]]:
    """Every pronoun of others with the name of whom it means, "" for nobody."""
    registry = Registry()
    resolver = Resolver(registry)
    found = []
    for number, text in enumerate(messages):
        note = Note(str(number), text, speaker, "c", number, "Halo", kind=kind)  # type: ignore[arg-type]
        who = resolver.begin(note, lambda conversation: [])
        for match in re.finditer(rf"\b(?:{PEOPLE})\b", text, re.IGNORECASE):
            mention = Entity(match[0], "person", match.start(), match.end(), 1.0)
            resolved = resolver.resolve(mention, note, *who)
            if match[0].lower() in ("he", "she", "him", "her", "his"):
                name = registry.by_id[resolved.id].name if resolved else ""
                found.append((match[0], name))
    return found


def test_the_one_of_the_last_sentence_that_names_any() -> None:
    assert told("Eva lives in Oslo. She likes jazz.") == [("She", "Eva")]
    assert told("Tom called. Eva lives in Oslo. It rains. She likes jazz and her cat.") == [
        ("She", "Eva"),
        ("her", "Eva"),
    ]
    assert told("Eva lives in Oslo.", "Nice.", "She likes jazz.") == [("She", "Eva")]
    assert told("Eva is here. She is tall.", kind="document") == [("She", "Eva")]


@pytest.mark.parametrize(
    "messages",
    [
        ["She likes jazz."],
        ["I like jazz. She likes it too."],  # neither who speaks nor who listens
        ["Tom and Eva live in Oslo. She likes jazz."],
        ["Tom told Eva that he likes jazz."],
        ["Eva lives in Oslo.", "Yes.", "No.", "Hm.", "She likes jazz."],  # long ago
    ],
)
def test_nobody_rather_than_a_guess(messages: list[str]) -> None:
    assert [name for _, name in told(*messages)] == [""]


def test_what_somebody_is_called_tells_two_apart() -> None:
    assert told("My sister Eva and Tom live in Oslo. She likes jazz, he does not.") == [
        ("She", "Eva"),
        ("he", "Tom"),
    ]
    assert told("Eva called. She is well. Tom is here. Does he like her?")[-2:] == [
        ("he", "Tom"),
        ("her", "Eva"),
    ]
    assert told("Eva is here. She met Tom. He likes jazz.")[-1] == ("He", "Tom")
