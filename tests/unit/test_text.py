"""Thinking blocks and stop strings, case by case."""

from __future__ import annotations

import pytest

from engine.core.templates import KNOWN_TAGS
from engine.core.text import Piece, TextStream, ThinkingTags

THINK = ThinkingTags("<think>", "</think>")


def said(*pieces: str, inside: bool = False, stops: tuple[str, ...] = ()) -> tuple[str, str]:
    stream = TextStream(stops, THINK, inside)
    for piece in pieces:
        stream.feed(Piece.of(piece.encode()))
    stream.finish()
    return stream.take()


@pytest.mark.parametrize(
    ("pieces", "inside", "text", "thinking"),
    [
        (("Hello.",), False, "Hello.", ""),
        (("<th", "ink>\nHm", "m</thi", "nk>\n\nHello."), False, "Hello.", "Hmm"),
        (("\n<think>Hm</think>", "  ", "\nHello."), False, "Hello.", "Hm"),
        (("Hm</think>Hello.",), True, "Hello.", "Hm"),
        (("Hm and no end",), True, "", "Hm and no end"),
        (("I write <think> in a sentence.",), False, "I write <think> in a sentence.", ""),
        (("<thin ice",), False, "<thin ice", ""),
        (("  indented",), False, "  indented", ""),
        (("<think></think>Yes.",), False, "Yes.", ""),
    ],
)
def test_thinking(pieces: tuple[str, ...], inside: bool, text: str, thinking: str) -> None:
    assert said(*pieces, inside=inside) == (text, thinking)


def test_stop_strings_do_not_end_thoughts() -> None:
    assert said("<think>a STOP b</think>c STOP d", stops=("STOP",)) == ("c ", "a STOP b")


def test_a_stop_string_over_three_tokens_is_never_shown() -> None:
    stream = TextStream(("END",))
    shown = []
    for piece in ("one E", "N", "D two"):
        stream.feed(Piece.of(piece.encode()))
        shown.append(stream.take()[0])
    assert shown == ["one ", "", ""]
    assert stream.stopped


def test_what_was_held_back_in_vain_is_shown() -> None:
    stream = TextStream(("END",))
    stream.feed(Piece.of(b"one EN"))
    assert stream.take()[0] == "one "
    stream.feed(Piece.of(b"ough"))
    assert stream.take()[0] == "ENough"


def test_a_character_over_two_tokens() -> None:
    data = "☃!".encode()
    stream = TextStream()
    stream.feed(Piece.of(data[:2]))
    assert stream.take()[0] == ""
    stream.feed(Piece.of(data[2:]))
    assert stream.take()[0] == "☃!"


def test_an_answer_cut_inside_a_character_ends_with_a_replacement() -> None:
    stream = TextStream()
    stream.feed(Piece.of(b"ab\xe2\x98"))
    stream.finish()
    assert stream.take()[0] == "ab\ufffd"


def test_harmony_channels() -> None:
    tags = KNOWN_TAGS[-1]
    stream = TextStream((), tags)
    for piece in (tags.opening, "Let me see.", tags.closing, "42."):
        stream.feed(Piece.of(piece.encode()))
    assert stream.take() == ("42.", "Let me see.")
    plain = TextStream((), tags)
    plain.feed(Piece.of((tags.skip + "42.").encode()))
    assert plain.take() == ("42.", "")
