"""However the bytes are cut into tokens, the text is the same."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.core.text import Piece, TextStream, ThinkingTags, Watch

TAGS = ThinkingTags("<think>", "</think>")
# Letters that stops and tags are made of, and characters of two to four bytes.
letters = st.text(alphabet="ab<>/thinké☃😀 \n", max_size=40)
stops = st.lists(st.text(alphabet="ab<", min_size=1, max_size=4), max_size=3)
blocks = st.sampled_from(
    ["", "<think>", "<think>ab</think>", "  <think>\na</think>\n\n", "</think>"]
)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(data[at : at + size])
        at += size
    return [*pieces, data[at:]]


def run(
    pieces: list[bytes], stop: list[str], inside: bool = False, take_often: bool = False
) -> tuple[str, str, bool]:
    stream = TextStream(stop, TAGS, inside)
    text = thinking = ""
    for piece in pieces:
        stream.feed(Piece.of(piece))
        if take_often:
            more = stream.take()
            text, thinking = text + more[0], thinking + more[1]
    stream.finish()
    more = stream.take()
    return text + more[0], thinking + more[1], stream.stopped


@settings(max_examples=400, deadline=None)
@given(blocks, letters, stops, st.lists(st.integers(1, 5), max_size=60), st.booleans())
@example("", "ab", ["ab", "b"], [1, 1], False)
def test_cuts_do_not_matter(
    block: str, letters: str, stop: list[str], sizes: list[int], inside: bool
) -> None:
    data = (block + letters).encode()
    whole = run([data], stop, inside)
    assert run(cut(data, sizes), stop, inside, take_often=True) == whole
    assert run([bytes([b]) for b in data], stop, inside, take_often=True) == whole


@settings(max_examples=300, deadline=None)
@given(letters, stops)
def test_the_text_ends_where_the_first_stop_string_is_complete(text: str, stop: list[str]) -> None:
    stream = TextStream(stop)
    stream.feed(Piece.of(text.encode()))
    stream.finish()
    said = stream.take()[0]
    ends = [(text.find(s) + len(s), text.find(s)) for s in stop if s in text]
    if ends:
        assert stream.stopped
        assert said == text[: min(ends)[1]]
    else:
        assert said == text


@given(st.binary(max_size=40), st.lists(st.integers(1, 3), max_size=40))
def test_any_bytes_give_valid_text(data: bytes, sizes: list[int]) -> None:
    stream = TextStream()
    for piece in cut(data, sizes):
        stream.feed(Piece.of(piece))
    stream.finish()
    assert stream.take()[0] == data.decode("utf-8", "replace")


@given(letters, stops)
def test_only_what_may_become_a_match_is_held_back(text: str, strings: list[str]) -> None:
    watch = Watch(strings)
    before, match, _ = watch.feed(text)
    held = watch.flush()
    if match is None:
        assert before + held == text
        assert not held or any(s.startswith(held) and s != held for s in strings)
