"""What a terminal sends as a paste arrives as text, whatever is in it and however it is cut."""

from __future__ import annotations

from itertools import pairwise

import hypothesis.strategies as st
import pytest
from hypothesis import given
from textual import events

from tui.terminal_pastes import END, START, PasteParser, text_of


def heard(*pieces: str) -> list[tuple[str, str]]:
    parser = PasteParser()
    return [
        ("paste", event.text) if isinstance(event, events.Paste) else ("key", event.key)
        for piece in pieces
        for event in parser.feed(piece)
        if isinstance(event, events.Paste | events.Key)
    ]


@pytest.mark.parametrize(
    ("pasted", "text"),
    [
        ("one\rtwo\n", "one\rtwo\n"),
        ("\x1b[31mred\x1b[0m\r\x1b[1;38;5;3mtwo", "red\rtwo"),
        ("a\x1b]0;title\x07b \x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "ab link"),
        ("\x11quit \x07bell \x00 \x9b31mc1 \x7f", "quit bell  c1 "),
        ("N\x08NA\x08AM\x08M", "NAM"),
        ("日本 👩‍👩‍👧 שלום\tü", "日本 👩‍👩‍👧 שלום\tü"),
        ("broken \x1b[201", "broken 201"),
    ],
)
def test_nothing_in_a_paste_is_a_key(pasted: str, text: str) -> None:
    assert heard(f"a{START}{pasted}{END}b") == [("key", "a"), ("paste", text), ("key", "b")]


def test_keys_stay_keys() -> None:
    pasted = heard("a", "\x1b[2~", "\x1b[A", "\x1b[200", "~x", END)
    assert pasted == [("key", "a"), ("key", "insert"), ("key", "up"), ("paste", "x")]
    assert heard("\x1b[2", "~", "z") == [("key", "insert"), ("key", "z")]


@given(st.text(st.characters(exclude_characters="\x1b\x9b\x9d")), st.data())
def test_wherever_it_is_cut(text: str, data: st.DataObject) -> None:
    sent = f"x{START}{text}{END}{START}again{END}y"
    places = sorted(data.draw(st.sets(st.integers(1, len(sent) - 1), max_size=8)))
    # A terminal sends the first two characters of a sequence together.
    whole = [c for c in places if not sent[:c].endswith(("\x1b", "\x1b["))]
    pieces = [sent[a:b] for a, b in pairwise([0, *whole, len(sent)])]
    assert heard(*pieces) == [
        ("key", "x"), ("paste", text_of(text)), ("paste", "again"), ("key", "y"),
    ]  # fmt: skip
