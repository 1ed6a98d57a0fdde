"""Few toasts at once: what is said again, what has no room, how long each is there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.notifications import Notification, SeverityLevel

from tui.toasts import LINES, SECONDS, WIDTH, Several, gathered, seconds

NEWS = st.builds(
    Notification,
    st.text("ab ", max_size=60),
    st.sampled_from(["", "ada"]),
    st.sampled_from(["information", "warning", "error"]),
)


def note(text: str, severity: SeverityLevel = "information", title: str = "") -> Notification:
    return Notification(text, title, severity)


def show(*news: Notification, room: int = 2) -> list[Notification]:
    shown: list[Notification] = []
    for one in news:
        shown = gathered(shown, one, room)
    return shown


@given(st.lists(NEWS, min_size=1, max_size=12), st.integers(2, 5))
def test_never_more_than_there_is_room_for_and_the_newest_whole(
    news: list[Notification], room: int
) -> None:
    shown = show(*news, room=room)
    assert len(shown) <= room
    assert shown[-1] is news[-1]
    assert sum(isinstance(n, Several) for n in shown) <= 1
    said = {(p.title, p.message) for n in shown for p in getattr(n, "parts", (n,))}
    assert said == {(n.title, n.message) for n in news}, "nothing is left out"
    for one in shown:
        if isinstance(one, Several):
            lines = one.message.split("\n")
            assert len(lines) <= LINES + 1 and all(len(line) <= WIDTH for line in lines)


def test_what_is_said_again_is_there_once() -> None:
    assert [n.message for n in show(note("a"), note("b"), note("a"))] == ["b", "a"]


def test_errors_stay_whole_while_others_can_give_way() -> None:
    shown = show(note("broken", "error"), note("one"), note("two"), room=3)
    assert [n.message for n in shown] == ["broken", "one", "two"]
    shown = show(note("broken", "error"), *(note(f"n{i}") for i in range(5)), room=3)
    assert [n.message for n in shown[1:]] == ["broken", "n4"]
    assert shown[0].message == "1 more\nn1\nn2\nn3" and shown[0].severity == "information"


@pytest.mark.parametrize(("length", "wanted"), [(3, SECONDS[0]), (160, 10.0), (900, SECONDS[1])])
def test_long_ones_are_there_for_longer(length: int, wanted: float) -> None:
    assert seconds("x" * length) == wanted
