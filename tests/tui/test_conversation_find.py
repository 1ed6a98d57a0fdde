"""Find in a conversation: counts, steps, highlights, old messages."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.chat_app import Chat, chat, conversation, history, turn
from tests.support.waiting import until
from tui.widgets.chat.find import FindBar, may_contain, places, search
from tui.widgets.chat.message import BODY
from tui.widgets.chat.scroll import Match

pytestmark = pytest.mark.asyncio


async def searched(room: Chat) -> None:
    await until(lambda: not room.conversation.finding.runs)
    await room.pilot.pause()


def count(room: Chat) -> str:
    return str(room.app.query_one("#find-count").render())


async def test_it_counts_steps_and_highlights(tmp_path: Path) -> None:
    turns = [
        turn("user", "where is the Needle?", 1),
        turn("assistant", "A **nee**dle, and another needle.", 2),
        *(turn("assistant", f"filler {n}", 10 + n) for n in range(30)),
    ]
    async with chat(tmp_path, conversation, (80, 24), turns) as room:
        room.conversation.open_find()
        await room.pilot.press(*"needle")
        await searched(room)
        assert count(room) == "3 of 3"
        assert "another needle" in room.screen(), "the place was not brought into view"
        assert set(room.transcript.matches) == {0, 1}
        await room.pilot.press("enter")
        assert count(room) == "1 of 3"
        await room.pilot.press("down", "up", "up")
        assert count(room) == "3 of 3"
        await room.pilot.press("x")
        await searched(room)
        assert count(room) == "not found" and not room.transcript.matches
        await room.pilot.press("escape")
        assert not room.app.query_one(FindBar).display and room.transcript.match is None


async def test_it_goes_to_messages_that_were_never_laid_out(tmp_path: Path) -> None:
    turns = history(1000)
    turns[3].text += "\n\nThe xylophone is here."
    async with chat(tmp_path, conversation, (80, 24), turns) as room:
        room.conversation.find("xylophone")
        await searched(room)
        await until(lambda: "xylophone is here" in room.screen())
        assert count(room) == "1 of 1"
        assert room.transcript.laid_out < 60


async def test_it_opens_a_folded_prompt(tmp_path: Path) -> None:
    text = "\n".join(f"line {n}" for n in range(60)) + "\nthe quokka"
    turns = [turn("user", text, 1), *history(20)[2:]]
    async with chat(tmp_path, conversation, (80, 24), turns) as room:
        room.conversation.find("quokka")
        await searched(room)
        assert "the quokka" in room.screen()


async def test_a_step_needs_no_search(tmp_path: Path) -> None:
    async with chat(tmp_path, conversation, (80, 24), history(20)) as room:
        room.conversation.find("Question")
        await searched(room)
        assert count(room) == "10 of 10"
        room.conversation.find_previous()
        assert count(room) == "9 of 10"
        assert room.conversation.close_find() and not room.conversation.close_find()


async def test_what_is_searched_is_what_is_read() -> None:
    answer = turn("assistant", "A **bold** `code` [link](https://hidden.example)", 1)
    assert places(answer, 0, "bold code link", 80) == [(0, BODY, 2, 16)]
    assert places(answer, 0, "hidden", 80) == []
    assert may_contain(answer, "BOLD code") and not may_contain(answer, "absent")


async def test_a_search_reports_newest_first() -> None:
    found: list[Match] = []
    await search(history(6), "question", 80, found.extend)
    assert [match[0] for match in found] == [4, 2, 0]
