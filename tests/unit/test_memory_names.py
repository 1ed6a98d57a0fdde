"""Names that are one and names that are not; days; words; chunks."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.memory import dates, names, text
from agents.memory.documents import CHUNK, chunks

MAY_8 = time.mktime((2023, 5, 8, 12, 0, 0, 0, 0, -1))  # a Monday


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The Acme Corp.", "acme"),
        ("Bob's", "Bob"),
        ("O’Brien", "OBrien"),
        ("New  York", "new-york"),
        ("“Dune”", "Dune"),
        ("Müller GmbH", "müller"),
    ],
)
def test_one_name(one: str, other: str) -> None:
    assert names.key(one) == names.key(other)


@pytest.mark.parametrize(
    ("one", "other"), [("C++", "C"), ("C#", "C"), ("GPT-3", "GPT-4"), ("The", "A"), ("Bob", "Rob")]
)
def test_different_names(one: str, other: str) -> None:
    assert names.key(one) != names.key(other)
    assert not names.similar(names.key(one), names.key(other))


def test_spellings_abbreviations_and_first_names() -> None:
    assert names.similar(names.key("Zbigniew Kowalski"), names.key("Zbigniew Kowalsky"))
    assert not names.similar(names.key("Llama 3.1 base"), names.key("Llama 3.2 base"))
    assert names.abbreviates("MIT", "Massachusetts Institute of Technology")
    assert not names.abbreviates("mit", "Massachusetts Institute of Technology")
    assert names.part_of_person("Ada", "Ada Lovelace")
    assert names.part_of_person("Lovelace", "Ada Lovelace")
    assert not names.part_of_person("Ada", "Adam Smith")


@pytest.mark.parametrize(
    ("said", "day"),
    [
        ("yesterday", "2023-05-07"),
        ("last week", "2023-05-01 to 2023-05-07"),
        ("two weeks ago", "2023-04-24 to 2023-04-30"),
        ("7 May 2022", "2022-05-07"),
        ("May 7, 2021", "2021-05-07"),
        ("in June", "2022-06"),
        ("last Friday", "2023-05-05"),
        ("next month", "2023-06"),
        ("in 2019", "2019"),
        ("I may go", ""),
    ],
)
def test_days_that_people_speak_of(said: str, day: str) -> None:
    assert dates.resolve(said, MAY_8) == day


@pytest.mark.parametrize(
    ("said", "day"),
    [
        ("We want to finish Windmill by 12 March.", "2024-03-12"),
        ("We finished Windmill on 12 March.", "2023-03-12"),
        ("On Friday I'm meeting Dr Patel.", "2023-05-12"),
        ("I met Dr Patel on Friday.", "2023-05-05"),
        ("I'm planning a trip to Japan in April with Sofia.", "2024-04"),
        ("Ravi is leaving Bosch in June.", "2023-06"),
        ("She joined Bosch in June.", "2022-06"),
        ("Did I tell you that Luka is getting married in June?", "2023-06"),
        ("I have an appointment on 8 May.", "2023-05-08"),
        ("Will was here in June.", "2022-06"),
        ("I was ill in June and will rest.", "2022-06"),
        ("I've lived here since June and I'm going to stay.", "2022-06"),
    ],
)
def test_days_to_come_and_days_gone(said: str, day: str) -> None:
    assert [str(span) for _, _, span in dates.find(said, MAY_8)] == [day]


def test_a_birthday_comes_every_year() -> None:
    assert dates.yearless("on 4 May") == dates.yearless("May 4th") == "4 May"
    assert dates.yearless("4 May 1991") == dates.yearless("last week") == ""


def test_a_question_asks_about_days_as_messages_have_them() -> None:
    own = set(text.day_terms(MAY_8))
    assert own & set(text.question_terms("What happened on 8 May 2023?", MAY_8 + 9e6))
    assert own & set(text.question_terms("What did she do in May 2023?", MAY_8 + 9e6))
    assert not own & set(text.question_terms("What did she do in June 2023?", MAY_8 + 9e6))


def test_words_are_stemmed_without_stop_words() -> None:
    assert text.terms("She's painted the paintings, and C++ isn't C#.") == [
        "paint",
        "paint",
        "cplusplus",
        "csharp",
    ]


@given(st.text(max_size=1500))
def test_sentences_are_pieces_of_the_text(whole: str) -> None:
    for offset, piece in [*text.sentences(whole), *text.grouped(whole)]:
        assert whole[offset : offset + len(piece)] == piece
        assert piece.strip()
    assert all(len(piece) <= text.SENTENCE for _, piece in text.sentences(whole))
    joined = "".join("".join(piece.split()) for _, piece in text.sentences(whole))
    # What is left out between sentences are only closing marks and space.
    assert len("".join(whole.split())) - len(joined) <= whole.count('"') + sum(
        map(whole.count, "'”’)]")
    )


@given(st.lists(st.text("ab ", min_size=1, max_size=80).map(lambda s: s + "."), max_size=40))
def test_chunks_hold_every_sentence_and_overlap(parts: list[str]) -> None:
    made = chunks(" ".join(f"Zz {part}" for part in parts))
    assert all(len(chunk) <= CHUNK + text.SENTENCE for chunk in made)
    for part in parts:
        sentence = " ".join(f"Zz {part}".split())
        assert any(sentence in chunk for chunk in made)


def test_a_long_document_overlaps_by_whole_sentences() -> None:
    made = chunks(" ".join(f"This is sentence number {i} of many." for i in range(100)))
    assert len(made) > 3
    for before, after in pairwise(made):
        first = after.split(". ")[0]
        assert first in before


def test_a_part_of_a_things_name_has_a_capital_or_a_digit() -> None:
    assert names.part_of_thing("Ducati", "Ducati Monster")
    assert names.part_of_thing("iPhone", "iPhone 13")
    assert names.part_of_thing("V70", "Volvo V70")
    assert not names.part_of_thing("monster", "Ducati Monster")
    assert not names.part_of_thing("13", "iPhone 13")
    assert not names.part_of_thing("Ducati Monster", "Ducati Monster")
