"""The files of `bench recall`: the documented shape, what data sets make of it, what is wrong."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.memory.bench_file import Conversation, read
from engine.errors import HaloError

TURN = {"id": "D1:1", "speaker": "Ruth", "text": "I moved to Oslo."}


def talk(turns: list[Any], evidence: Any = "D1:1", **session: Any) -> dict[str, Any]:
    return {
        "sessions": [{"id": 1, "turns": turns, **session}],
        "questions": [{"question": "Where?", "evidence": evidence}],
    }


@pytest.fixture
def parse(tmp_path: Path) -> Any:
    def parse(found: Any) -> list[Conversation]:
        file = tmp_path / "x.json"
        file.write_text(found if isinstance(found, str) else json.dumps(found))
        return read(file)

    return parse


@pytest.mark.parametrize(
    "evidence",
    [
        ["D1:1", "D1:2"],
        "D1:1; D1:2",
        ["D1:1,D1:2"],
        ["D1:1 D1:2"],
        "D1:01 D:1:2",
        ["(D1:1)", "d1:2"],
    ],
)
def test_evidence_is_taken_as_data_sets_write_it(parse: Any, evidence: Any) -> None:
    (found,) = parse(talk([TURN, {**TURN, "id": "D1:2"}], evidence))
    assert found.questions[0].evidence == ["D1:1", "D1:2"] and not found.unknown


def test_numbers_are_ids_too(parse: Any) -> None:
    (found,) = parse(talk([{**TURN, "id": 7}, {**TURN, "id": 8}], [7, "8"]))
    assert found.questions[0].evidence == ["7", "8"]


@pytest.mark.parametrize("evidence", [[], None, "", [""], ["D9:9"]])
def test_questions_without_evidence_are_counted(parse: Any, evidence: Any) -> None:
    (found,) = parse(talk([TURN], evidence))
    assert found.unanswered == 1 and not found.questions
    assert found.unknown == (["D9:9"] if evidence == ["D9:9"] else [])


NOON = int(datetime(2023, 5, 8, 12).timestamp())  # where the test runs


@pytest.mark.parametrize(
    ("date", "day"),
    [
        ("1:56 pm on 8 May, 2023", (2023, 5, 8)),
        ("2023-05-08", (2023, 5, 8)),
        ("2023-05-08T13:56:00", (2023, 5, 8)),
        ("May 8, 2023", (2023, 5, 8)),
        ("2023/05/08 (Mon) 13:56", (2023, 5, 8)),
        (NOON, (2023, 5, 8)),
        (NOON * 1000, (2023, 5, 8)),
    ],
)
def test_dates(parse: Any, date: Any, day: tuple[int, int, int]) -> None:
    (found,) = parse(talk([TURN], date=date))
    moment = datetime.fromtimestamp(found.sessions[0].time)
    assert (moment.year, moment.month, moment.day) == day and not found.undated


def test_a_date_that_is_none_is_told_and_the_order_stays(parse: Any) -> None:
    two = talk([TURN], date="some day")
    two["sessions"].append({"date": 1e300, "turns": [{**TURN, "id": "2"}]})
    (found,) = parse(two)
    assert found.undated == ["some day", "1e+300"]
    assert found.sessions[0].time < found.sessions[1].time and found.sessions[1].id == "2"


def test_locomo_as_it_is_published(parse: Any) -> None:
    sample = {
        "sample_id": "conv-1",
        "conversation": {
            "speaker_a": "Ruth",
            "speaker_b": "Emil",
            "session_10_date_time": "9:00 am on 1 June, 2023",
            "session_10": [{"speaker": "Emil", "dia_id": "D10:1", "text": "Look!",
                            "img_url": ["x"], "blip_caption": "a photo of a red bicycle"}],
            "session_2_date_time": "1:56 pm on 8 May, 2023",
            "session_2": [{"speaker": "Ruth", "dia_id": "D2:1", "text": "Hi Emil!"}],
        },
        "qa": [
            {"question": "What colour?", "answer": "red", "evidence": ["D10:1"], "category": 4},
            {"question": "Who?", "evidence": [], "category": 5, "adversarial_answer": "Emil"},
        ],
    }  # fmt: skip
    found = parse([sample, sample])
    assert len(found) == 2 and [s.id for s in found[0].sessions] == ["session_2", "session_10"]
    assert found[0].sessions[1].turns[0].text == "Look! [picture: a photo of a red bicycle]"
    assert found[0].questions[0].kind == "single-hop" and found[0].unanswered == 1


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ('{"sessions": [}', "line 1 column 15"),
        ("[]", "empty list"),
        ("3", "it is no JSON object"),
        ({}, "sessions is missing"),
        ({"sessions": {}}, "sessions is no list"),
        ({"sessions": []}, "questions is missing"),
        (talk([TURN, TURN]), "sessions[0].turns[1] has the id D1:1, as sessions[0].turns[0] has"),
        (talk([{"speaker": "a", "text": "b"}]), "sessions[0].turns[0] has no id"),
        (talk([{"id": True, "text": "b"}]), "sessions[0].turns[0] has an id that is no text"),
        (talk([{"id": "a", "speaker": "b"}]), "sessions[0].turns[0].text is missing"),
        (talk([{**TURN, "text": 3}]), "sessions[0].turns[0].text is no text"),
        (talk([{**TURN, "speaker": ["a"]}]), "sessions[0].turns[0].speaker is no text"),
        (talk([None]), "sessions[0].turns[0] is no JSON object"),
        (talk([TURN], {"a": 1}), "questions[0].evidence has an id that is no text"),
        ({"sessions": [], "questions": [{}]}, "questions[0].question is missing"),
        ([talk([TURN]), {}], "[1].sessions is missing"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(parse: Any, file: Any, words: str) -> None:
    with pytest.raises(HaloError) as told:
        parse(file)
    assert words in str(told.value) and "x.json" in str(told.value)


def test_what_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "latin.json").write_bytes(b'{"a": "\xe9"}')
    (tmp_path / "deep.json").write_text("[" * 100_000)
    for name in ("", "none.json", "latin.json", "deep.json"):
        with pytest.raises(HaloError):
            read(tmp_path / name)


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps(talk([TURN])).encode())
    assert read(file)[0].questions


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "sessions questions turns id text speaker date question evidence".split()
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(JSON)
def test_anything_is_read_or_refused(tmp_path_factory: Any, found: Any) -> None:
    file = tmp_path_factory.mktemp("f") / "x.json"
    file.write_text(json.dumps(found))
    try:
        read(file)
    except HaloError:
        pass
