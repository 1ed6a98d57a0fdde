"""Whom a text does not name: found by owner and role, read by a stand-in, joined with a name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.memory import naming, relatives, standins
from agents.memory.registry import Registry
from agents.memory.resolve import Resolver
from agents.memory.types import Entity, Extraction, Note


def phrases(said: str) -> list[str]:
    return [said[p.start : p.end] for whole in relatives.find(said, True) for p in whole.chain()]


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("My mum lives in Lisbon.", ["My mum"]),
        ("I met Till's girlfriend.", ["Till's girlfriend"]),
        ("My sister's dog is ill.", ["My sister", "My sister's dog"]),
        ("My mother-in-law and my ex-wife talk.", ["My mother-in-law", "my ex-wife"]),
        ("Mum called, and so did my Dad.", ["Mum", "my Dad"]),
        ("My mum and dad live in Ghent.", ["My mum", "dad"]),
        ("And James' mother came.", ["James' mother"]),
        ("My mother tongue is Basque; my dog food is gone.", []),
        ("Who's boss? The mum of somebody. Grandma Moses.", []),
        ("My house is old; one of my sisters left.", []),
    ],
)
def test_phrases(said: str, found: list[str]) -> None:
    assert phrases(said) == found


def test_a_role_has_one_name_however_it_is_called() -> None:
    (mum,) = relatives.find("my mum")
    assert "Ada's mother" in relatives.other_names(["Ada"], mum)
    assert relatives.name_of("You", "mum") == "Your mum"
    assert relatives.stands_for("Ada Brandt's mother-in-law") == ("Ada Brandt", "mother-in-law")
    assert relatives.stands_for("Rosa") is None
    assert relatives.means("Ada's mum", "my mother")
    assert not relatives.means("Ada's mum", "my father")
    assert not relatives.means("Ada's mum", "Rosa")


@given(st.text("amyMum'so sterd-BAi.,", max_size=60))
def test_any_text_is_put_back_as_it_was(said: str) -> None:
    reworded = standins.reword(said, own=True)
    whole = Entity(reworded.text, "misc", 0, len(reworded.text))
    text, at = "", 0
    for start, end, phrase in reworded.cuts:
        text += reworded.text[at:start] + said[phrase.start : phrase.end]
        at = end
    assert text + reworded.text[at:] == said
    if not reworded.cuts:
        assert reworded.back(whole).text == said


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("my boss is called Ines", "Ines"),
        ("My boss at Acme is Helen Grant.", "Helen Grant"),
        ("my mum Rosa lives here", "Rosa"),
        ("our landlord, Mr Bianchi, left", "Mr Bianchi"),
        ("My neighbour's name is Karl.", "Karl"),
        ("Ines is my boss.", "Ines"),
        ("I met Rosa, my mum, there.", "Rosa"),
        ("We have a small dog called Rex.", "Rex"),
        ("When I saw my mum, Ben left.", ""),
        ("My mum, Eva, and Tom came.", ""),
        ("my mum is Rosa's sister", ""),
        ("I called my mum and Rosa.", ""),
        ("My mum called Rosa.", ""),
        ("Is my boss Ines?", ""),
        ("I like Ben, my mum and my dog.", ""),
    ],
)
def test_who_is_given_a_name(said: str, name: str) -> None:
    found = [
        said[start:end]
        for phrase in (*relatives.find(said), *naming.having(said))
        for start, end in naming.candidates(said, phrase)
    ]
    assert found == ([name] if name else [])


def test_a_stand_in_is_read_and_its_phrase_is_meant() -> None:
    reworded = standins.reword("Yes. My mum lives in Oslo.", own=True)
    assert reworded.text == "Yes. Emma lives in Oslo."
    found = [Entity("Emma", "person", 5, 9), Entity("Oslo", "location", 19, 23)]
    said = standins.put_back(reworded, found, [(0, 1, "LIVES_IN", 0.9, 0)])
    assert [(e.text, e.start) for e in said.entities] == [("My", 5), ("My mum", 5), ("Oslo", 21)]
    assert said.relations == [(1, 2, "LIVES_IN", 0.9, 0), (0, 1, "RELATED_TO", 0.95, 0)]
    assert not said.idle
    # Taken for a place: nothing is said of her, and whom nothing is said of is nobody new.
    found[0] = Entity("Emma", "location", 5, 9)
    said = standins.put_back(reworded, found, [(0, 1, "LOCATED_IN", 0.9, 0)])
    assert [r[2] for r in said.relations] == ["RELATED_TO"]
    assert {said.entities[i].text for i in said.idle} == {"My mum"}


def test_a_name_stays_and_is_read_again_without_it_where_it_is_none() -> None:
    assert standins.reword("My boss is Italian.", own=True).text == "Robin is Italian."
    reworded = standins.reword("My boss is Catholic.", own=True)
    assert reworded.text == "My boss is Catholic."
    nameless = standins.unconfirmed(reworded, Extraction((Entity("Catholic", "misc", 11, 19),)))
    assert standins.reword(reworded.said, True, nameless).text == "Robin is Catholic."
    named = standins.reword("My sister's dog is Rex.", own=True)
    assert named.text == "Emma's dog is Rex."
    found = [Entity("Emma", "person", 0, 4), Entity("Rex", "person", 14, 17)]
    said = standins.put_back(named, found, [(0, 1, "KNOWS", 0.9, 0)])
    facts = [
        (said.entities[h].text, type, said.entities[t].text) for h, t, type, *_ in said.relations
    ]
    assert facts == [("My", "RELATED_TO", "My sister"), ("My sister", "OWNS", "Rex")]


def test_nobody_stands_for_one_of_many_nor_for_somebody_of_a_firm() -> None:
    for said in (
        "My colleague lives in Bonn.",
        "Google's boss lives in Bonn.",
        "My parents are called Rosa and Karl.",
    ):
        assert standins.reword(said, own=True).text == said


class Told:
    """A conversation, sentence by sentence; `who` gives the name of whom each phrase means."""

    def __init__(self) -> None:
        self.resolver = Resolver(Registry())
        self.count = 0

    def who(self, said: str, idle: bool = False) -> list[str]:
        self.count += 1
        note = Note(str(self.count), said, "You", "c", self.count, "Halo")
        people = self.resolver.begin(note, lambda conversation: [])
        for phrase in (*relatives.find(said), *naming.having(said)):
            for start, end in naming.candidates(said, phrase):
                mention = Entity(said[start:end], "person", start, end)
                self.resolver.give_name(phrase, mention, note, *people)
                self.resolver.resolve(mention, note, *people)
        names = []
        for phrase in relatives.find(said):
            mention = Entity(said[phrase.start : phrase.end], "person", phrase.start, phrase.end)
            found = self.resolver.resolve(mention, note, *people, phrase=phrase, idle=idle)
            names.append(self.resolver.registry.by_id[found.id].name if found else "")
        return names


def test_who_is_known_by_a_role_gets_the_name_told_later() -> None:
    told = Told()
    assert told.who("My mum lives here.") == ["Your mum"]
    assert told.who("My name is Ada Brandt and my mother sings.") == ["Ada Brandt's mum"]
    assert told.who("My mom's name is Rosa.") == ["Rosa"]
    assert told.who("My mum is well.") == ["Rosa"]
    assert [was for _, was in told.resolver.named] == ["Ada Brandt's mum"]
    assert told.who("My mum's dog bites.") == ["Rosa's dog"]


def test_two_who_were_known_apart_are_to_be_merged() -> None:
    told = Told()
    told.who("I have a dog called Rosa.")  # somebody of that name
    told.who("My aunt lives here.")
    assert told.who("My aunt is Rosa.") and len(told.resolver.joined) == 1


def test_a_new_boss_takes_over_and_of_two_sisters_one_is_meant() -> None:
    told = Told()
    assert told.who("My boss is Ines.") == ["Ines"]
    assert told.who("My boss is Tom.") == ["Tom"]
    assert told.who("My sister Eva came.") == ["Eva"]
    assert told.who("My sister Ann came.") == [""], "both are spoken of: it would be a guess"
    assert told.who("My friend Kim came. My friend is ill.") == ["", ""], "a friend is anybody"


def test_of_whom_nothing_is_said_nobody_is_made() -> None:
    told = Told()
    assert told.who("I called my uncle.", idle=True) == [""]
    assert told.who("My uncle lives here.") == ["Your uncle"]
    assert told.who("I called my uncle.", idle=True) == ["Your uncle"]
