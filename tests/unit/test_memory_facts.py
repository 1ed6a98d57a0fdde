"""Facts from evidence: when they held, and that the order of hearing does not matter."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.memory.claims import ended
from agents.memory.facts import Evidence, Rules, episodes
from agents.memory.types import Entity
from engine.config import MemoryConfig


def says(
    source: str, time: float, tail: str, type: str = "LIVES_IN", ends: bool = False
) -> Evidence:
    return Evidence(source, time, type, tail, 0.8, ends)


def test_a_newer_fact_of_an_exclusive_group_ends_the_older_one() -> None:
    paris, london, again = episodes(
        [says("b", 20, "london"), says("a", 10, "paris"), says("c", 30, "paris")], exclusive=True
    )
    assert (paris.tail, paris.start, paris.end, paris.closed_by) == ("paris", 10, 20, london)
    assert (london.start, london.end) == (20, 30)
    assert (again.tail, again.end) == ("paris", None)


def test_what_does_not_exclude_one_another_stays() -> None:
    found = episodes([says("a", 1, "tea", "LIKES"), says("b", 2, "chess", "LIKES")], False)
    assert [e.end for e in found] == [None, None]


def test_a_fact_that_is_said_twice_becomes_surer() -> None:
    (fact,) = episodes([says("a", 1, "paris"), says("b", 2, "paris")], True)
    assert fact.sources == ["a", "b"]
    assert fact.confidence == 0.96


def test_what_is_said_to_several_agents_at_once_is_said_once() -> None:
    def heard(source: str, time: float, words: str, ends: bool = False) -> Evidence:
        return replace(says(source, time, "paris", ends=ends), words=f"You: {words}")

    (fact,) = episodes([heard("a", 1, "Paris!"), heard("b", 1.2, "Paris!")], True)
    assert (fact.sources, fact.confidence) == (["a", "b"], 0.8)
    (fact,) = episodes([heard("a", 1, "Paris!"), heard("b", 1, "I live in Paris.")], True)
    assert fact.confidence == 0.96, "two sayings"
    (fact,) = episodes([heard("a", 1, "Paris!"), heard("b", 90_000, "Paris!")], True)
    assert fact.confidence == 0.96, "said again the day after"
    ends = [heard("c", 9, "No more.", True), heard("d", 9.3, "No more.", True)]
    (fact,) = episodes([heard("a", 1, "Paris!"), *ends], True)
    assert (fact.end, fact.ended_by) == (9, "c"), "ended once"
    assert len(episodes(ends, True)) == 1


def test_no_longer_ends_a_fact_and_may_come_without_its_beginning() -> None:
    (fact,) = episodes([says("a", 1, "tea", "LIKES"), says("b", 5, "tea", "LIKES", True)], False)
    assert (fact.start, fact.end, fact.ended_by) == (1, 5, "b")
    (past,) = episodes([says("b", 5, "tea", "LIKES", True)], False)
    assert past.end == 5


@pytest.mark.parametrize(
    ("text", "over", "goes_on"),
    [
        ("I no longer work at Siemens.", ["Siemens"], []),
        ("I no longer work at Siemens, I started at Bosch in Ulm.", ["Siemens"], ["Bosch"]),
        ("I like tea. I don't like coffee any more, but I love jazz.", ["coffee"], ["tea", "jazz"]),
        ("I used to live in Oslo and now live in Bergen.", ["Oslo"], ["Bergen"]),
        ("I work at Bosch and she quit her job at Siemens.", ["Siemens"], ["Bosch"]),
        ("I no longer like coffee, tea and milk.", ["coffee", "tea", "milk"], []),
        ("I moved to Ulm; my brother no longer lives in Bonn.", ["Bonn"], ["Ulm"]),
    ],
)
def test_only_the_clause_that_says_so_ends_a_fact(
    text: str, over: list[str], goes_on: list[str]
) -> None:
    def mention(word: str) -> Entity:
        at = text.index(word)
        return Entity(word, "topic", at, at + len(word), 1.0)

    type = "WORKS_AT" if "job" in text else ""
    assert {w: ended(text, mention("I"), mention(w), type) for w in over + goes_on} == {
        **dict.fromkeys(over, True),
        **dict.fromkeys(goes_on, False),
    }


@pytest.mark.parametrize(
    ("text", "over"),
    [
        ("I don't like olives, but I love ramen.", False),
        ("I never liked olives.", False),
        ("I used to love olives.", False),
        ("I no longer dislike olives.", True),
        ("I don't hate olives any more.", True),
    ],
)
def test_saying_that_one_does_not_like_ends_no_dislike(text: str, over: bool) -> None:
    at = text.index("olives")
    olives, me = Entity("olives", "topic", at, at + 6, 1.0), Entity("I", "person", 0, 1, 1.0)
    assert ended(text, me, olives, "DISLIKES") is over
    assert ended("I no longer like olives.", me, replace(olives, start=17, end=23), "LIKES")


def test_what_a_person_rejected_ends_nothing() -> None:
    rejected = frozenset([("LIVES_IN", "london")])
    paris, london = episodes([says("a", 1, "paris"), says("b", 2, "london")], True, rejected)
    assert paris.end is None
    assert london.tail == "london"


def test_rules_group_what_excludes_one_another() -> None:
    rules = Rules(MemoryConfig())
    assert rules.group("s", "h", "LIVES_IN", "a") == rules.group("s", "h", "LIVES_IN", "b")
    assert rules.group("s", "h", "LIKES", "a") == rules.group("s", "h", "DISLIKES", "a")
    assert rules.group("s", "h", "LIKES", "a") != rules.group("s", "h", "LIKES", "b")
    assert rules.group("s", "h", "KNOWS", "a") != rules.group("t", "h", "KNOWS", "a")


evidence = st.builds(
    Evidence,
    source=st.sampled_from([f"m{i}" for i in range(6)]),
    time=st.integers(0, 5).map(float),
    type=st.sampled_from(["LIKES", "DISLIKES"]),
    tail=st.sampled_from("xy"),
    confidence=st.floats(0.1, 1.0),
    ends=st.booleans(),
)


@given(st.lists(evidence, max_size=12), st.booleans(), st.randoms())
def test_the_order_of_hearing_does_not_matter(items, exclusive, random) -> None:  # type: ignore[no-untyped-def]
    def shape(found):  # type: ignore[no-untyped-def]
        return [(e.type, e.tail, e.start, e.end, e.sources) for e in found]

    before = shape(episodes(items, exclusive))
    random.shuffle(items)
    # Equal moments and sources are ordered by content, so confidence alone may differ.
    assert shape(episodes(items, exclusive)) == before
    for _, _, start, end, sources in before:
        assert sources
        assert end is None or end >= start
    if exclusive:
        now = [shape for shape in before if shape[3] is None]
        assert len({start for _, _, start, _, _ in now}) <= 1, "of different moments one holds"


def test_a_denial_ends_what_held_and_tells_of_no_past() -> None:
    denial = Evidence("b", 5, "WORKS_AT", "bosch", 0.8, ends=True, denied=True)
    assert episodes([denial], True) == []
    (fact,) = episodes([says("a", 1, "bosch", "WORKS_AT"), denial], True)
    assert (fact.start, fact.end, fact.ended_by) == (1, 5, "b")


def test_what_holds_beside_others_ends_none() -> None:
    found = episodes(
        [says("a", 1, "graz"), Evidence("b", 5, "LIVES_IN", "austria", 0.8, beside=True)], True
    )
    assert [(e.tail, e.end) for e in found] == [("graz", None), ("austria", None)]


def test_no_longer_here_but_now_there_ends_the_older_fact_once() -> None:
    found = episodes(
        [
            says("a", 1, "alibaba", "WORKS_AT"),
            says("b", 5, "alibaba", "WORKS_AT", True),
            says("b", 5, "siemens", "WORKS_AT"),
        ],
        True,
    )
    assert [(e.tail, e.start, e.end) for e in found] == [("alibaba", 1, 5), ("siemens", 5, None)]
