"""Names cut in two, and firms taken for people or places."""

from __future__ import annotations

import re

import pytest

from agents.memory.extract import mending
from agents.memory.extract.bio import Span
from agents.memory.extract.words import Words

THINGS = frozenset({"product", "hardware", "topic"})


def words(text: str) -> Words:
    found = list(re.finditer(r"\w+|[^\w\s]", text))
    count = len(found)
    return Words(
        list(range(count)), list(range(count)), [m.start() for m in found], [m.end() for m in found]
    )


def spans(text: str, *mentions: tuple[str, str, float]) -> list[Span]:
    made = words(text)
    result = []
    for name, type, confidence in mentions:
        start = text.index(name)
        result.append(
            Span(made.starts.index(start), made.ends.index(start + len(name)) + 1, type, confidence)
        )
    return result


def names(text: str, found: list[Span]) -> list[tuple[str, str]]:
    made = words(text)
    return [(text[made.starts[s.first] : made.ends[s.last - 1]], s.type) for s in found]


@pytest.mark.parametrize(
    ("text", "mentions", "wanted"),
    [
        (
            "a Raspberry Pi here",
            [("Raspberry", "hardware", 0.9), ("Pi", "product", 0.5)],
            [("Raspberry Pi", "hardware")],
        ),
        ("Raspberry, Pi", [("Raspberry", "hardware", 0.9), ("Pi", "product", 0.5)], None),
        ("in Python code", [("Python", "product", 0.9), ("code", "topic", 0.5)], None),
        (
            "at Tasca do Rio again",
            [("Tasca do", "product", 0.9), ("Rio", "location", 0.5)],
            [("Tasca do Rio", "product")],
        ),
        ("in Lisbon Portugal", [("Lisbon", "location", 0.9), ("Portugal", "location", 0.5)], None),
        ("Ada Python", [("Ada", "person", 0.9), ("Python", "product", 0.5)], None),
    ],
)
def test_names_cut_in_two(
    text: str, mentions: list[tuple[str, str, float]], wanted: list[tuple[str, str]] | None
) -> None:
    found = mending.joined(text, words(text), spans(text, *mentions), THINGS)
    assert names(text, found) == (wanted or [(name, type) for name, type, _ in mentions])


@pytest.mark.parametrize(
    ("text", "name", "firm"),
    [
        ("Have you heard of Alibaba?", "Alibaba", True),
        ("Mr Siemens is nice.", "Siemens", False),
        ("I met Eva.", "Eva", False),
        ("I work at Quorvex.", "Quorvex", True),
        ("Quorvex laid off half of us.", "Quorvex", True),
        ("I work with Quorvex.", "Quorvex", False),
        ("the siemens is a unit", "siemens", False),
    ],
)
def test_firms_are_no_people(text: str, name: str, firm: bool) -> None:
    found = mending.firms(text, words(text), spans(text, (name, "person", 0.9)))
    assert found[0].type == ("organisation" if firm else "person")
