"""@names in prompts and answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.addressing import Addressed, code_ranges, mentions, parse, stranger
from agents.handover import limit_note, recipients

NAMES = ["ada", "grace", "alan", "ada-2", "Zoë"]


@pytest.mark.parametrize(
    ("text", "names", "rest"),
    [
        ("hello", [], "hello"),
        ("@ada hello", ["ada"], "hello"),
        ("@ADA hello", ["ada"], "hello"),
        ("  @ada, @grace: hello", ["ada", "grace"], "hello"),
        ("@ada and @grace hello", ["ada", "grace"], "hello"),
        ("@ada @ada hi", ["ada"], "hi"),
        ("@ada-2 hi", ["ada-2"], "hi"),
        ("@zoë hi", ["Zoë"], "hi"),
        ("@all hi", NAMES, "hi"),
        ("@grace @all hi", NAMES, "hi"),
        ("@nobody hi", [], "@nobody hi"),
        ("@ada @nobody hi", ["ada"], "@nobody hi"),
        ("@ada ask @grace", ["ada"], "ask @grace"),
        ("what do @grace and @alan say?", ["grace", "alan"], "what do @grace and @alan say?"),
        ("I said (@ada) so.", ["ada"], "I said (@ada) so."),
        ("@ada", ["ada"], ""),
        ("@ada's idea", ["ada"], "'s idea"),
        ("mail me: bob@ada.com, x@ada", [], "mail me: bob@ada.com, x@ada"),
        ("npm i @ada/core", [], "npm i @ada/core"),
        ("see @ada.example", [], "see @ada.example"),
        ("thanks @ada. Bye", ["ada"], "thanks @ada. Bye"),
        (r"\@ada is a name", [], r"\@ada is a name"),
        ("`@ada` is code", [], "`@ada` is code"),
        ("``a ` @ada`` then @grace", ["grace"], "``a ` @ada`` then @grace"),
        ("a ` alone, @ada", ["ada"], "a ` alone, @ada"),
        ("x\n```py\n@ada\n```\ny", [], "x\n```py\n@ada\n```\ny"),
        ("x\n~~~\n@ada\n```\n", [], "x\n~~~\n@ada\n```"),
        ("```\ncode\n```\n@ada look", ["ada"], "```\ncode\n```\n@ada look"),
        ("@adalovelace hi", [], "@adalovelace hi"),
        ("@@ada hi", [], "@@ada hi"),
    ],
)
def test_prompts(text: str, names: list[str], rest: str) -> None:
    assert parse(text, NAMES) == Addressed(names, rest)


@pytest.mark.parametrize(
    ("text", "to"),
    [
        ("@grace what do you think?", ["grace"]),
        ("I am done.\n@grace: your turn.", ["grace"]),
        ("I am done. @Grace, please check.", ["grace"]),
        ("- @grace the first\n- @alan the second", ["grace", "alan"]),
        ("**@grace** look", ["grace"]),
        ("Over to @grace: check this.", ["grace"]),
        ("As @grace said, it is so.", []),
        ("@ada I talk to myself", []),
        ("@all hello", []),
        ("`@grace` would be the way", []),
        ("Write to grace@alan.org. Bye.", []),
        ("", []),
    ],
)
def test_answers_hand_over_at_the_start_of_a_sentence(text: str, to: list[str]) -> None:
    assert recipients(text, NAMES, "ada") == to


def test_the_note_names_the_limit() -> None:
    assert "4 handovers" in limit_note("ada", "grace", 4)
    assert "1 handover " in limit_note("ada", "grace", 1)
    assert "off" in limit_note("ada", "grace", 0)


words = st.text(alphabet="ab@ `~\n\\./,:é-_", max_size=60)


@given(words)
def test_any_text_is_read_without_loss(text: str) -> None:
    """What is addressed is an agent, and what is sent is the text or its end."""
    found = parse(text, ["a", "b", "ab"])
    assert set(found.names) <= {"a", "b", "ab"}
    assert len(found.names) == len(set(found.names))
    assert text.strip().endswith(found.text)


@given(words)
def test_mentions_stand_where_they_say_and_never_in_code(text: str) -> None:
    code = code_ranges(text)
    for mention in mentions(text, ["a", "b", "ab"]):
        assert text[mention.start : mention.end].casefold() == f"@{mention.name}"
        assert not any(start < mention.end and mention.start < end for start, end in code)


@given(
    st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, max_size=4), st.text("xyz ", max_size=9)
)
def test_leading_names_always_address(names: list[str], text: str) -> None:
    prompt = " ".join(f"@{name}" for name in names) + f" {text}"
    assert parse(prompt, ["a", "b", "ab"]) == Addressed(list(dict.fromkeys(names)), text.strip())


@given(words)
def test_a_fenced_text_addresses_nobody(text: str) -> None:
    fence = "`" * 61
    assert parse(f"look:\n{fence}\n{text}\n{fence}\n", ["a", "b", "ab"]).names == []


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("@grcae hi", "grcae"), ("  @nobody: hi", "nobody"), ("@nobody", "nobody"),
        ("@ADA hi", ""), ("@all hi", ""), ("hi @nobody", ""), ("@types/node is old", ""),
        ("@ada @nobody hi", ""), ("", ""), ("@", ""), ("`@nobody` hi", ""), ("\\@nobody hi", ""),
    ],
)  # fmt: skip
def test_a_prompt_to_nobody_is_known(text: str, name: str) -> None:
    assert stranger(text, NAMES) == name
