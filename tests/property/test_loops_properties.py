"""What is called a loop, and what must never be."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config import EngineConfig
from engine.core.loops import GRAM, ROUNDS, looping, tail
from engine.core.model import Model
from engine.models import MINI

LEAST = 256
TOKEN = st.integers(0, 4095)
phrases = st.lists(TOKEN, min_size=1, max_size=LEAST // ROUNDS)


@given(st.lists(TOKEN, max_size=300), phrases)
def test_a_phrase_said_on_and_on_is_a_loop(before: list[int], phrase: list[int]) -> None:
    said = before + phrase * (LEAST // len(phrase) + 1)
    assert looping(said, LEAST) >= LEAST
    assert looping(said, 0) == 0


@given(st.lists(TOKEN, max_size=64), st.lists(TOKEN, min_size=33, max_size=128, unique=True))
def test_a_longer_phrase_needs_more_tokens(before: list[int], phrase: list[int]) -> None:
    """A whole paragraph, too, but not before it was said eight times."""
    few = before + phrase * (ROUNDS - 2)
    assert not looping(few, LEAST)
    assert looping(before + phrase * (4 * LEAST // len(phrase) + 1), LEAST) > LEAST


@given(phrases, st.integers(0, LEAST - 1), TOKEN)
def test_a_stray_token_hides_no_loop(phrase: list[int], at: int, stray: int) -> None:
    said = phrase * (4 * LEAST // len(phrase) + 1)
    said[-at - 1] = stray
    if len(phrase) + GRAM <= LEAST // ROUNDS:
        assert looping(said, LEAST)


@given(st.lists(st.lists(TOKEN, min_size=1, max_size=12), max_size=40), phrases)
def test_lists_of_different_things_are_none(items: list[list[int]], bullet: list[int]) -> None:
    """The same words around things of which each comes seven times at most."""
    said: list[int] = []
    for number in range(1024 // (len(bullet) + 9)):
        said += bullet[:16] + (items[number % len(items)] if items else []) + [5000 + number] * 9
    assert not looping(said, LEAST)


@given(
    st.lists(TOKEN, min_size=40, max_size=200, unique=True),
    st.lists(TOKEN, min_size=1, max_size=40),
)
def test_a_poem_with_a_refrain_is_none(verses: list[int], refrain: list[int]) -> None:
    poem = [t for i in range(0, len(verses), 20) for t in verses[i : i + 20] + refrain]
    assert not looping(poem * 3, LEAST)


@given(st.lists(TOKEN, min_size=LEAST, max_size=1100), st.integers(1, 1100))
def test_only_the_newest_count(said: list[int], size: int) -> None:
    found = looping(said[:size], LEAST)
    assert found in (0, LEAST, 2 * LEAST, 4 * LEAST) and found <= len(said[:size])
    assert 0 <= tail(found) <= found


ORDINARY = {
    "table": "| name | price | in stock |\n|---|---|---|\n"
    + "".join(f"| part {n} | {n * 7 % 90}.50 | yes |\n" for n in range(60)),
    "wide table": "|" + " --- |" * 16 + "\n" + ("|" + "  |" * 16 + "\n") * 3,
    "enumeration": "".join(f"{n}. Wash the dishes.\n" for n in range(1, 70)),
    "json": "[" + ",".join(f'{{"id": {n}, "ok": true, "tags": []}}' for n in range(60)) + "]",
    "code": "".join(
        f"    if key == {n}:\n        return handlers[{n}](event)\n" for n in range(40)
    ),
    "html": "".join(f"<li><a href='/p/{n}'>{n}</a></li>\n" for n in range(60)),
    "identity": "\n".join(
        " ".join("1" if i == j else "0" for j in range(12)) for i in range(12)
    ),
    "poem": ("The rain is on the roof again,\nand I am in my bed,\n" * 2 + "la la la la\n") * 5,
    "a hundred": "hello " * 100,
    "rule": "-" * 200,
    "primes": ", ".join(str(n) for n in range(2, 900) if all(n % d for d in range(2, n))),
    "dna": "".join(random.Random(7).choices("ACGT", k=600)),
}  # fmt: skip


@pytest.fixture(scope="module")
def mini() -> Model:
    return Model(MINI, EngineConfig(threads=1))


@pytest.mark.parametrize("kind", ORDINARY)
def test_ordinary_texts_are_none_in_a_real_tokenizer(mini: Model, kind: str) -> None:
    tokens = mini.tokenize(ORDINARY[kind], False)
    assert not any(looping(tokens[:n], LEAST) for n in range(32, len(tokens) + 32, 32))


def test_the_project_s_own_texts_are_none(mini: Model) -> None:
    root = Path(__file__).parents[2]
    for path in [*sorted((root / "docs").glob("*.md")), *sorted((root / "engine").glob("*.py"))]:
        tokens = mini.tokenize(path.read_text(encoding="utf-8"), False)
        found = [n for n in range(32, len(tokens), 96) if looping(tokens[:n][-1100:], LEAST)]
        assert not found, path
