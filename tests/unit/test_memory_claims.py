"""What texts claim of two mentions: plans, denials, wishes, where somebody comes from."""

from __future__ import annotations

import pytest

from agents.memory.claims import judge, parted
from agents.memory.types import Entity


def told(text: str, head: str, tail: str, type: str) -> tuple[str, int] | None:
    """The claim of "head … tail" in a text: the first head, the last tail."""
    a, b = text.index(head), text.rindex(tail)
    claim = judge(
        text,
        Entity(head, "person", a, a + len(head)),
        Entity(tail, "misc", b, b + len(tail)),
        type,
    )
    return (claim.type, claim.ends) if claim else None


def test_teaching_somewhere_is_work_and_what_relies_on_something_requires_it() -> None:
    text = "Mia teaches piano at Corvex."
    tail = Entity("Corvex", "organisation", 21, 27)
    claim = judge(text, Entity("Mia", "person", 0, 3), tail, "STUDIES")
    assert claim and claim.type == "WORKS_AT"
    text = "Redis relies on jemalloc."
    head, tail = Entity("Redis", "product", 0, 5), Entity("jemalloc", "product", 16, 24)
    claim = judge(text, head, tail, "USES")
    assert claim and claim.type == "REQUIRES"
    claim = judge(text, Entity("Redis", "person", 0, 5), tail, "USES")
    assert claim and claim.type == "USES"


def test_who_begins_after_and_did_not_do_what_stands_before() -> None:
    text = "Eva lives in Oslo and Tom lives in Rome."
    assert (
        judge(text, Entity("Tom", "person", 22, 25), Entity("Oslo", "location", 13, 17), "LIVES_IN")
        is None
    )


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("Leo sold the Ducati.", True),
        ("Leo has just sold his old Ducati.", True),
        ("Leo washed the Ducati.", False),
        ("Leo said that Tom sold the Ducati.", False),
        ("Leo sold me a Ducati.", False),
    ],
)
def test_what_was_sold_is_owned_no_more(text: str, gone: bool) -> None:
    at = text.index("Ducati")
    mentions = [Entity("Leo", "person", 0, 3), Entity("Ducati", "product", at, at + 6)]
    assert parted(text, mentions) == ([(0, 1)] if gone else [])


def test_who_comes_in_another_clause_did_not_do_it() -> None:
    text = "I'm from Maribor originally, but I've lived in Graz."
    head, tail = Entity("I", "person", 33, 34), Entity("Maribor", "location", 9, 16)
    assert judge(text, head, tail, "LIVES_IN") is None


@pytest.mark.parametrize(
    ("text", "head", "tail", "type", "claim"),
    [
        ("We'll fly to Osaka in May.", "We", "Osaka", "VISITED", ("PLANS", 0)),
        ("I went to Osaka in May.", "I", "Osaka", "VISITED", ("VISITED", 0)),
        ("I'm moving to Geneva in spring.", "I", "Geneva", "LIVES_IN", ("PLANS", 0)),
        ("Will lives in Ulm.", "Will", "Ulm", "LIVES_IN", ("LIVES_IN", 0)),
        ("She will start at Bosch in March.", "She", "Bosch", "WORKS_AT", None),
        ("Ravi is leaving Bosch in June.", "Ravi", "Bosch", "WORKS_AT", ("WORKS_AT", 0)),
        ("I would like to work at Google.", "I", "Google", "WORKS_AT", None),
        ("We might move to Madrid.", "We", "Madrid", "PLANS", None),
        ("I might buy a Fairphone.", "I", "Fairphone", "OWNS", None),
        ("If I lived in Rome I'd be fat.", "I", "Rome", "LIVES_IN", None),
        ("I hope Eva doesn't move to Paris.", "Eva", "Paris", "LIVES_IN", ("LIVES_IN", 2)),
        ("He is from Gdansk.", "He", "Gdansk", "LIVES_IN", ("COMES_FROM", 0)),
        ("Sofia grew up in Uppsala.", "Sofia", "Uppsala", "LIVES_IN", ("COMES_FROM", 0)),
        ("I was born in Bonn but live in Ulm.", "I", "Bonn", "LIVES_IN", ("COMES_FROM", 0)),
        ("I was born in Bonn but live in Ulm.", "I", "Ulm", "LIVES_IN", ("LIVES_IN", 0)),
        ("I'm from Maribor originally.", "I", "Maribor", "LIVES_IN", ("COMES_FROM", 0)),
        ("I've lived in Ulm since 2009.", "I", "Ulm", "LIVES_IN", ("LIVES_IN", 3)),
        ("Eva thinks that Tom lives in Ulm.", "Tom", "Ulm", "LIVES_IN", None),
        ("I think that Tom lives in Ulm.", "Tom", "Ulm", "LIVES_IN", ("LIVES_IN", 0)),
        ("Tom lives in Ulm, but that's wrong.", "Tom", "Ulm", "LIVES_IN", None),
        ("Tom sold his car and bought a boat.", "Tom", "boat", "OWNS", ("OWNS", 0)),
        ("Tom sold his car and bought a boat.", "Tom", "car", "OWNS", ("OWNS", 1)),
        ("I'm not from Leeds.", "I", "Leeds", "LIVES_IN", None),
        ("We moved away from Leeds.", "We", "Leeds", "LIVES_IN", ("LIVES_IN", 1)),
        ("I bought it from Ulm.", "I", "Ulm", "LIVES_IN", None),
        ("I don't work at Bosch.", "I", "Bosch", "WORKS_AT", ("WORKS_AT", 2)),
        ("I have never been to Japan.", "I", "Japan", "VISITED", ("VISITED", 2)),
        ("Believe it or not, I work at Bosch.", "I", "Bosch", "WORKS_AT", ("WORKS_AT", 0)),
        ("I don't like tea but own a cafe.", "I", "cafe", "OWNS", ("OWNS", 0)),
        ("I don't own a car and a bike.", "I", "bike", "OWNS", ("OWNS", 2)),
        ("Eva thinks golf is terrible.", "Eva", "golf", "DISLIKES", ("DISLIKES", 0)),
        ("I went to Kent.", "I", "Kent", "VISITED", ("VISITED", 0)),
        ("I don't like London, I live in Leeds.", "I", "Leeds", "LIVES_IN", ("LIVES_IN", 0)),
        ("Don't forget that I work at Bosch.", "I", "Bosch", "WORKS_AT", ("WORKS_AT", 0)),
        ("My brother Tunde isn't here.", "My", "Tunde", "RELATED_TO", ("RELATED_TO", 0)),
        ("I'm building a boat.", "I", "boat", "OWNS", ("CREATED", 0)),
        ("I'm building it with a Pi.", "I", "Pi", "OWNS", ("USES", 0)),
        ("I have a boat.", "I", "boat", "OWNS", ("OWNS", 0)),
        ("I teach maths and physics.", "I", "physics", "STUDIES", None),
        ("I taught myself Latin.", "I", "Latin", "STUDIES", ("STUDIES", 0)),
        ("Mia studies law in Bonn.", "Mia", "law", "STUDIES", ("STUDIES", 0)),
        ("Tom gave Mia a book on law.", "Mia", "law", "STUDIES", None),
        ("I watched a film about Rome.", "I", "Rome", "VISITED", None),
        ("I read a book about snakes.", "I", "snakes", "LIKES", None),
        ("I love films about snakes.", "I", "snakes", "LIKES", ("LIKES", 0)),
        ("Tom owns a vineyard near Lugano.", "Tom", "Lugano", "LIVES_IN", None),
        ("Tom owns a house and lives in Lugano.", "Tom", "Lugano", "LIVES_IN", ("LIVES_IN", 0)),
        ("I live in Oslo, my sister lives in Rome.", "I", "Rome", "LIVES_IN", None),
        ("Eva and my sister live in Rome.", "Eva", "Rome", "LIVES_IN", ("LIVES_IN", 0)),
        ("We rent a boat.", "We", "boat", "OWNS", None),
        ("Marek is allergic to peanuts.", "Marek", "peanuts", "DISLIKES", None),
        ("I can never get enough of jazz.", "I", "jazz", "DISLIKES", ("LIKES", 0)),
        ("I don't mind rain.", "I", "rain", "DISLIKES", None),
        ("I hate rain.", "I", "rain", "DISLIKES", ("DISLIKES", 0)),
        ("I like neither golf nor tennis.", "I", "tennis", "LIKES", ("DISLIKES", 0)),
        ("I like tea but not coffee.", "I", "coffee", "LIKES", None),
        ("I like tea but not coffee.", "I", "tea", "LIKES", ("LIKES", 0)),
    ],
)
def test_the_words_around_decide(
    text: str, head: str, tail: str, type: str, claim: tuple[str, int] | None
) -> None:
    assert told(text, head, tail, type) == claim
