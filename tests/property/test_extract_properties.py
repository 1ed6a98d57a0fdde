"""Any tags, any text: mentions are in order, within bounds, apart, and where they say they are."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from agents.memory.embed import SHIPPED
from agents.memory.extract.bio import Labels
from agents.memory.extract.words import split, windows

NAMES = ["O", "B-x", "I-x", "B-y", "I-y"]


@lru_cache
def tokenizer() -> Tokenizer:
    found = Tokenizer.from_file(str(SHIPPED / "tokenizer.json"))
    found.no_truncation()
    return found


def logits(tags: list[int]) -> np.ndarray:
    return np.eye(len(NAMES), dtype=np.float32)[tags] * 9


@given(st.lists(st.integers(0, 4), max_size=30))
def test_any_tags_decode(tags: list[int]) -> None:
    spans = Labels(NAMES).decode(logits(tags).reshape(len(tags), len(NAMES)))
    covered = [i for span in spans for i in range(span.first, span.last)]
    assert covered == [i for i, tag in enumerate(tags) if tag]  # each tagged word once, in order
    for span in spans:
        kinds = {NAMES[tag][2:] for tag in tags[span.first : span.last]}
        assert kinds == {span.type}
        assert all(NAMES[tag][0] == "I" for tag in tags[span.first + 1 : span.last])
        assert 0.9 < span.confidence <= 1


@given(st.lists(st.tuples(st.sampled_from("xy"), st.integers(1, 4), st.integers(0, 2)), max_size=8))
def test_well_formed_tags_come_back(mentions: list[tuple[str, int, int]]) -> None:
    tags: list[int] = []
    wanted = []
    for kind, length, gap in mentions:
        begin = NAMES.index(f"B-{kind}")
        wanted.append((len(tags), len(tags) + length, kind))
        tags += [begin, *[begin + 1] * (length - 1), *[0] * gap]
    spans = Labels(NAMES).decode(logits(tags).reshape(len(tags), len(NAMES)))
    assert [(s.first, s.last, s.type) for s in spans] == wanted


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_other_schemes_say_the_same(tags: list[int], random) -> None:
    """BIOES of the same mentions."""
    spans = Labels(NAMES).decode(logits(tags))
    scheme = ["O", *[f"{p}-{t}" for t in "xy" for p in "BIES"]]
    other = [0] * len(tags)
    for span in spans:
        for i in range(span.first, span.last):
            last = i == span.last - 1
            prefix = ("S" if last else "B") if i == span.first else ("E" if last else "I")
            other[i] = scheme.index(f"{prefix}-{span.type}")
    found = Labels(scheme).decode(np.eye(len(scheme), dtype=np.float32)[other] * 9)
    assert [(s.first, s.last, s.type) for s in found] == [(s.first, s.last, s.type) for s in spans]


@settings(deadline=None)
@given(
    st.text(max_size=300) | st.text(alphabet="aB1 .!?’é漢\u0301\n-", max_size=400), st.booleans()
)
def test_offsets_are_of_the_text(text: str, finer: bool) -> None:
    (words,) = split(tokenizer(), [text], finer)
    assert len(words.first) == len(words.starts) == len(words.ends)
    assert words.first == sorted(set(words.first))
    end = 0
    for a, b in zip(words.starts, words.ends, strict=True):
        assert 0 <= a <= b <= len(text)
        assert a >= end or a == b
        assert a == b or not text[a:b].isspace()
        end = max(end, b)


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["word", "unbelievably", "Ada", ".", "!\n", "x" * 40]), max_size=120),
    st.integers(8, 60),
    st.integers(1, 4),
    st.integers(0, 60),
)
def test_windows_own_every_word_once(parts: list[str], limit: int, threads: int, aim: int) -> None:
    text = " ".join(parts)
    (words,) = split(tokenizer(), [text])
    found = windows(text, words, limit, threads, min(aim, limit))
    owned = [word for w in found for word in range(w.own, w.own_end)]
    assert owned == list(range(len(words)))
    for window in found:
        assert window.first <= window.own < window.own_end <= window.last
        size = words.piece(window.last) - words.first[window.first]
        assert size <= limit or window.last - window.first == 1
