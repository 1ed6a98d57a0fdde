"""Languages, peoples and food are no places."""

from __future__ import annotations

import pytest

from agents.memory import tastes
from agents.memory.types import Entity


@pytest.mark.parametrize(
    ("text", "name", "type", "found"),
    [
        ("She speaks Portuguese.", "Portuguese", "location", ("Portuguese", "topic")),
        ("Fluent in French.", "French", "location", ("French", "topic")),
        ("I love Thai food.", "Thai food", "organisation", ("Thai food", "topic")),
        ("I hate Brussels sprouts.", "Brussels", "location", ("Brussels sprouts", "topic")),
        ("I like Gouda.", "Gouda", "location", ("Gouda", "topic")),
        ("I live in Gouda.", "Gouda", "location", ("Gouda", "location")),
        ("I live in Lisbon.", "Lisbon", "location", ("Lisbon", "location")),
        ("I like Lisbon wine.", "Lisbon", "location", ("Lisbon wine", "topic")),
        ("Use a finnish sauna.", "finnish", "location", ("finnish", "location")),
        ("Eva loves food.", "Eva", "person", ("Eva", "person")),
    ],
)
def test_types(text: str, name: str, type: str, found: tuple[str, str]) -> None:
    start = text.index(name)
    mention = tastes.typed(text, Entity(name, type, start, start + len(name)), len(text))
    assert (mention.text, mention.type) == found
    assert text[mention.start : mention.end] == mention.text


def test_a_mention_reaches_into_no_other_and_nobody_lives_in_a_language() -> None:
    brussels = Entity("Brussels", "location", 7, 15)
    assert tastes.typed("I hate Brussels sprouts.", brussels, 16) is brussels
    after = Entity("Brussels sprouts", "topic", 7, 23)
    assert not tastes.possible(brussels, after, "LIVES_IN")
    assert tastes.possible(brussels, after, "DISLIKES")
    assert tastes.possible(brussels, brussels, "LIVES_IN")
