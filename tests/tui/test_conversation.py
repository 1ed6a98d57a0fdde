"""The conversation: streaming, scrolling, folding, selecting, copying."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.geometry import Offset
from textual.selection import Selection

from agents.events import TurnDelta
from engine.protocol import State
from tests.support.chat_app import chat, conversation, history, turn
from tests.support.waiting import until
from tui.widgets.chat.conversation import Conversation, JumpToEnd
from tui.widgets.chat.message import BODY, SPAN

pytestmark = pytest.mark.asyncio
SIZES = pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])


@SIZES
async def test_a_streamed_answer_appears_and_settles(tmp_path: Path, size: tuple[int, int]) -> None:
    async with chat(tmp_path, conversation, size) as room:
        session = await room.ask("What is a list?")
        assert "What is a list?" in room.screen()
        room.client.say(session, "A **list** is\n\n- one\n- tw")
        await room.drawn()
        assert "• tw▍" in room.screen()
        assert "A list is" in room.screen(), "Markdown is not shown as it was written"
        room.client.say(session, "o\n\n```python\nx = [1]\n```\n")
        room.client.finish(session)
        await room.drawn()
        screen = room.screen()
        assert "• two" in screen and "x = [1]" in screen and "▍" not in screen
        assert "tok/s" in screen


async def test_the_empty_conversation_suggests_what_to_try(tmp_path: Path) -> None:
    async with chat(tmp_path, conversation) as room:
        assert "ada is listening" in room.screen()
        rows = room.screen().splitlines()
        row = next(i for i, line in enumerate(rows) if "Where do I work?" in line)
        await room.pilot.click(offset=(rows[row].index("Where") + 2, row))
        await room.pilot.pause()
        assert [m.text for m in room.app.said(Conversation.Suggested)] == ["Where do I work?"]
        await room.ask("Hello")
        assert "is listening" not in room.screen()


async def test_what_it_waits_for_is_said(tmp_path: Path) -> None:
    async with chat(tmp_path, conversation) as room:
        session = await room.ask()
        room.client.emit(State(session, "queued", reason="no free cells"))
        await room.drawn()
        assert "waiting: no free cells" in room.screen()
        room.client.emit(State(session, "prefill", done=30, total=60))
        await room.drawn()
        assert "reading the prompt, 50 %" in room.screen()


@pytest.mark.parametrize(
    ("status", "detail", "words"),
    [
        ("cancelled", "", "Stopped. Answer again (r)"),
        ("error", "The engine is gone. Use /restart.", "The engine is gone. Use /restart. Try again"),
        ("length", "The answer was cut at 9 tokens.", "cut at 9 tokens. Answer again (r) or send"),
        ("loop", "It only repeated itself. Raise it.", "itself. Raise it. Answer again (r)"),
    ],
)  # fmt: skip
async def test_what_went_wrong_is_said_with_what_to_do(
    tmp_path: Path, status: str, detail: str, words: str
) -> None:
    turns = [turn("user", "Hi", 1), turn("assistant", "Some text", 2, status=status, detail=detail)]
    async with chat(tmp_path, conversation, (120, 40), turns) as room:
        assert words in room.screen()
        await room.pilot.press("tab")
        room.conversation.focus_messages()
        await room.pilot.press("r", "enter")
        await room.pilot.pause()
        assert [m.agent for m in room.app.said(Conversation.RegenerateRequested)] == ["ada"]


async def test_a_click_takes_nobody_away_from_where_they_read(tmp_path: Path) -> None:
    text = "\n\n".join(f"Paragraph {n} of a long answer." for n in range(100))
    turns = [turn("user", "hi", 1), turn("assistant", text, 2),
             turn("user", "more", 3), turn("assistant", "short", 4)]  # fmt: skip
    async with chat(tmp_path, conversation, (80, 24), turns) as room:
        view = room.transcript
        for at, selected in ((40, 1), (90, 1), (2, 1), (10**6, 2)):
            view.scroll_to(y=at, animate=False)
            await room.pilot.pause()
            before = view.scroll_y
            await room.pilot.click(view, offset=(30, 20))
            await room.pilot.pause()
            assert (view.scroll_y, view.selected) == (before, selected)
            room.app.screen.set_focus(None)
            await room.pilot.pause()
            room.conversation.focus_messages()
            await room.pilot.pause()
            assert view.scroll_y == before and view.selected is not None
            room.app.screen.set_focus(None)
            await room.pilot.pause()


async def test_only_the_last_answer_offers_to_be_given_again(tmp_path: Path) -> None:
    turns = [*history(2), turn("assistant", "x", 7, status="cancelled"), turn("user", "more", 8)]
    async with chat(tmp_path, conversation, (80, 24), turns) as room:
        assert "Stopped." in room.screen() and "Answer again" not in room.screen()


async def test_handovers_notes_and_times_are_told_apart(tmp_path: Path) -> None:
    turns = [
        turn("user", "Please check.", 1, author="grace"),
        turn("assistant", "Done.", 2),
        turn("note", "ada wanted to hand over to grace; stopped.", 3),
    ]
    async with chat(tmp_path, conversation, (80, 24), turns) as room:
        screen = room.screen()
        assert "grace → ada  handed over" in screen
        assert "· ada wanted to hand over" in screen
        assert "13:44" in screen


async def test_thoughts_are_folded_and_open_live(tmp_path: Path) -> None:
    async with chat(tmp_path, conversation) as room:
        session = await room.ask()
        room.client.say(session, "I should think first.", thinking=True)
        await room.drawn()
        assert "▸ Thinking" in room.screen() and "I should think" not in room.screen()
        room.conversation.focus_messages()
        await room.pilot.press("t")
        await room.pilot.pause()
        assert "I should think first." in room.screen()
        room.client.say(session, " And again.", thinking=True)
        await room.drawn()
        assert "I should think first. And again." in room.screen()
        room.client.say(session, "The answer.")
        await room.drawn()
        assert "▾ Thought" in room.screen() and "7 words" not in room.screen()
        await room.pilot.press("t")
        await room.pilot.pause()
        assert "I should think" not in room.screen() and "The answer." in room.screen()


async def test_a_long_prompt_is_folded(tmp_path: Path) -> None:
    text = "\n".join(f"line {n}" for n in range(60))
    async with chat(tmp_path, conversation, (80, 24), [turn("user", text, 1)]) as room:
        assert "more lines" in room.screen() and "line 59" not in room.screen()
        room.conversation.focus_messages()
        await room.pilot.press("t")
        await room.pilot.pause()
        room.conversation.scroll_end_now()
        await room.pilot.pause()
        assert "line 59" in room.screen()


# --- scrolling ------------------------------------------------------------------------------------


@SIZES
async def test_scrolling_never_pulls_a_reader_down(tmp_path: Path, size: tuple[int, int]) -> None:
    async with chat(tmp_path, conversation, size, history(60)) as room:
        session = await room.ask()
        room.client.say(session, "start ")
        await room.drawn()
        assert room.transcript.following
        room.transcript.scroll_lines(-30)
        await room.pilot.pause()
        before = room.screen().split("\n")[: size[1] - 1]
        for _ in range(20):
            room.client.say(session, "and more text of many words that wraps\n\n")
            await room.drawn()
        after = room.screen().split("\n")[: size[1] - 1]
        assert [line[:78].rstrip() for line in before] == [line[:78].rstrip() for line in after]
        jump = room.app.query_one(JumpToEnd)
        assert jump.display and "new text" in str(jump.render())
        room.client.finish(session)
        await room.ask("Another one?")
        assert "new message" in str(jump.render())
        await room.pilot.click(JumpToEnd)
        await room.pilot.pause()
        assert room.transcript.following and not jump.display
        assert "Another one?" in room.screen()


async def test_the_wheel_leaves_the_end_and_comes_back(tmp_path: Path) -> None:
    async with chat(tmp_path, conversation, (80, 24), history(30)) as room:
        transcript = room.transcript
        end = transcript.scroll_y
        await room.pilot._post_mouse_events([_wheel_up()], transcript, offset=(10, 10))
        await room.pilot.pause()
        assert transcript.scroll_y < end and not transcript.following
        room.conversation.scroll_end_now()
        await room.pilot.pause()
        assert transcript.scroll_y == transcript.max_scroll_y and transcript.following


def _wheel_up() -> type:
    from textual import events

    return events.MouseScrollUp


async def test_old_messages_come_back_where_they_were(tmp_path: Path) -> None:
    async with chat(tmp_path, conversation, (80, 24), history(400)) as room:
        transcript = room.transcript
        assert transcript.laid_out < 40, "all of the history was laid out"
        for _ in range(60):
            top = round(transcript.scroll_y)
            index = transcript._message_at(top)
            transcript.scroll_lines(-7)
            await room.pilot.pause()
            # What was at the top is now seven lines lower, however wrong the guesses were.
            drawn = {
                i: transcript._tops[i] - round(transcript.scroll_y)
                for i in range(max(0, index - 1), index + 1)
            }
            assert drawn[index] + transcript.views[index].height > 0
            assert transcript.views[index].lines
        assert sum(bool(view.lines) for view in transcript.views) <= transcript.window
        room.conversation.scroll_home_now()
        await room.pilot.pause()
        assert "Question 0?" in room.screen()
        room.conversation.scroll_end_now()
        await room.pilot.pause()
        assert "number 399" in room.screen()


async def test_line_by_line_nothing_jumps(tmp_path: Path) -> None:
    """Scrolling up one line shows the same lines one lower, all the way through wrong guesses."""
    async with chat(tmp_path, conversation, (60, 20), history(40)) as room:
        rows = room.screen().split("\n")
        for _ in range(150):
            room.transcript.scroll_lines(-1)
            await room.pilot.pause()
            now = room.screen().split("\n")
            assert [r[:56].rstrip() for r in now[1:-1]] == [r[:56].rstrip() for r in rows[:-2]]
            rows = now


async def test_resizing_keeps_the_reader_at_the_message(tmp_path: Path) -> None:
    async with chat(tmp_path, conversation, (120, 40), history(60)) as room:
        room.transcript.scroll_lines(-100)
        await room.pilot.pause()
        index = room.transcript._message_at(round(room.transcript.scroll_y))
        await room.pilot.resize_terminal(80, 24)
        await room.pilot.pause()
        assert abs(room.transcript._message_at(round(room.transcript.scroll_y)) - index) <= 1
        room.conversation.scroll_end_now()
        await room.pilot.resize_terminal(200, 60)
        await room.pilot.pause()
        assert "number 59" in room.screen(), "the end was lost"


# --- out of sight ---------------------------------------------------------------------------------


async def test_nothing_is_drawn_out_of_sight(tmp_path: Path) -> None:
    async with chat(tmp_path, conversation) as room:
        session = await room.ask()
        room.conversation.display = False
        await room.pilot.pause()
        before = room.transcript.laid_out
        for _ in range(50):
            room.client.say(session, "word ")
        await room.pilot.pause()
        assert room.transcript.laid_out == before
        room.conversation.display = True
        await room.drawn()
        assert "word word" in room.screen()


async def test_deltas_are_drawn_together(tmp_path: Path) -> None:
    async with chat(tmp_path, conversation) as room:
        session = await room.ask()
        before = room.transcript.laid_out
        heard: list[TurnDelta] = []
        room.workspace.subscribe(
            lambda event: heard.append(event) if isinstance(event, TurnDelta) else None
        )
        for _ in range(100):
            room.client.say(session, "word ")
        await room.drawn()
        assert len(heard) == 100
        assert room.transcript.laid_out - before <= 5
        assert "word word" in room.screen()


async def test_truncation_and_renaming(tmp_path: Path) -> None:
    async with chat(tmp_path, conversation, (80, 24), history(6)) as room:
        await room.workspace.rename("ada", "lovelace")
        await room.pilot.pause()
        assert room.conversation.agent_name == "lovelace"
        room.client.reply = lambda messages: "Fresh answer."
        await room.workspace.edit_and_resend("lovelace", "t4", "Changed question?")
        await until(lambda: not room.agent("lovelace").busy)
        await room.drawn()
        screen = room.screen()
        assert "Changed question?" in screen and "Fresh answer." in screen
        assert "Question 4?" not in screen and "number 5" not in screen


async def test_two_conversations_in_one_widget_keep_their_places(tmp_path: Path) -> None:
    async with chat(tmp_path, conversation, (80, 24), history(40)) as room:
        room.transcript.scroll_lines(-40)
        await room.pilot.pause()
        before = room.screen()
        room.conversation.show_agent("grace")
        await room.pilot.pause()
        assert "grace is listening" in room.screen()
        room.conversation.show_agent("ada")
        await room.pilot.pause()
        after = [line[:78] for line in room.screen().splitlines()[:20]]
        assert after == [line[:78] for line in before.splitlines()[:20]]


# --- messages, copying, selecting -----------------------------------------------------------------


async def test_keys_act_on_the_chosen_message(tmp_path: Path) -> None:
    turns = [*history(4), turn("user", "Code?", 4), turn("assistant", "```py\na\nb\n```", 5)]
    async with chat(tmp_path, conversation, (80, 24), turns) as room:
        room.conversation.focus_messages()
        await room.pilot.pause()
        assert "c copy" in room.screen() and "r again" in room.screen()
        await room.pilot.press("y", "c", "up", "c", "e", "enter", "up", "up", "e", "enter")
        await room.pilot.pause()
        copied = [(m.text, m.what) for m in room.app.said(Conversation.CopyRequested)]
        assert copied == [("a\nb", "Code"), ("```py\na\nb\n```", "Answer"), ("Code?", "Prompt")]
        edits = [(m.turn_id, m.text) for m in room.app.said(Conversation.EditRequested)]
        assert edits == [("t4", "Code?"), ("t2", "Question 2?")]
        await room.pilot.press("escape")
        assert room.app.said(Conversation.PromptRequested)


async def test_clicks_copy_code_and_messages(tmp_path: Path) -> None:
    turns = [turn("user", "Hi", 1), turn("assistant", "Look:\n\n```sh\nmake run\n```\n", 2)]
    async with chat(tmp_path, conversation, (80, 24), turns) as room:
        rows = room.screen().splitlines()
        row = next(i for i, line in enumerate(rows) if line.rstrip().endswith("copy"))
        await room.pilot.click(offset=(rows[row].index("copy") + 1, row))
        await room.pilot.hover(offset=(10, row + 1))
        await room.pilot.pause()
        rows = room.screen().splitlines()
        row = next(i for i, line in enumerate(rows) if "c copy" in line)
        await room.pilot.click(offset=(rows[row].index("c copy") + 3, row))
        await room.pilot.pause()
        said = [(m.what, m.text) for m in room.app.said(Conversation.CopyRequested)]
        assert said == [("Code", "make run"), ("Answer", "Look:\n\n```sh\nmake run\n```\n")]


async def test_copying_the_last_answer_and_code(tmp_path: Path) -> None:
    turns = [*history(2), turn("assistant", "```c\nint x;\n```", 3), turn("assistant", "End.", 4)]
    async with chat(tmp_path, conversation, (80, 24), turns) as room:
        assert room.conversation.copy_last() and room.conversation.copy_code()
        await room.pilot.pause()
        assert [m.text for m in room.app.said(Conversation.CopyRequested)] == ["End.", "int x;"]


async def test_selected_text_has_no_soft_line_breaks(tmp_path: Path) -> None:
    words = " ".join(f"word{n}" for n in range(60))
    turns = [turn("user", "Go", 1), turn("assistant", f"{words}\n\n- item **bold**", 2)]
    async with chat(tmp_path, conversation, (80, 24), turns) as room:
        rows = room.screen().splitlines()
        first = next(i for i, line in enumerate(rows) if "word0" in line)
        last = next(i for i, line in enumerate(rows) if "item" in line)
        await room.pilot.mouse_down(offset=(rows[first].index("word0"), first))
        await room.pilot.hover(offset=(rows[last].index("bold") + 3, last))
        await room.pilot.mouse_up(offset=(rows[last].index("bold") + 3, last))
        await room.pilot.pause()
        assert room.app.screen.get_selected_text() == f"{words}\n\n- item bold"
        assert not room.app.said(Conversation.CopyRequested)


async def test_a_selection_reaches_beyond_what_is_laid_out(tmp_path: Path) -> None:
    async with chat(tmp_path, conversation, (80, 24), history(300)) as room:
        transcript = room.transcript
        everything = Selection(Offset(0, 0), Offset(99, 299 * SPAN + BODY + 50))
        room.app.screen.selections = {transcript: everything}
        text = room.app.screen.get_selected_text() or ""
        assert text.startswith("you\nQuestion 0?") and "number 299" in text
        assert text.count("Question") == 150
        assert sum(bool(view.lines) for view in transcript.views) <= transcript.window


async def test_two_clicks_select_a_word(tmp_path: Path) -> None:
    async with chat(tmp_path, conversation, (80, 24), [turn("user", "some words here", 1)]) as room:
        rows = room.screen().splitlines()
        row = next(i for i, line in enumerate(rows) if "some words" in line)
        await room.pilot.click(offset=(rows[row].index("words") + 2, row), times=2)
        await room.pilot.pause()
        assert room.app.screen.get_selected_text() == "words"
        await room.pilot.click(offset=(rows[row].index("words") + 2, row), times=3)
        await room.pilot.pause()
        assert room.app.screen.get_selected_text() == "some words here"


async def test_links_ask_to_be_opened(tmp_path: Path) -> None:
    turns = [turn("assistant", "See [the page](https://example.org/a).", 1)]
    async with chat(tmp_path, conversation, (80, 24), turns) as room:
        rows = room.screen().splitlines()
        row = next(i for i, line in enumerate(rows) if "the page" in line)
        await room.pilot.click(offset=(rows[row].index("the page") + 2, row))
        await room.pilot.pause()
        assert [m.href for m in room.app.said(Conversation.LinkRequested)] == [
            "https://example.org/a"
        ]


@pytest.mark.parametrize("theme", ["halo-dark", "halo-light", "high-contrast", "ansi-dark"])
async def test_every_theme_draws(tmp_path: Path, theme: str) -> None:
    turns = [*history(4), turn("assistant", "```python\nx = 1\n```", 5)]
    async with chat(tmp_path, conversation, (80, 24), turns) as room:
        before = room.screen()
        room.app.theme = theme
        await room.pilot.pause()
        assert room.screen() == before


async def test_what_was_recalled_is_folded_until_it_is_asked_for(tmp_path: Path) -> None:
    told = "Facts:\n- Priya lives in Lisbon (you, 3 May)\n- Priya knows Marco (ada, 4 May)"
    answer = turn("assistant", "In Lisbon.", 1, recalled=told)
    turns = [turn("user", "Where does Priya live?", 0), answer]
    async with chat(tmp_path, conversation, turns=turns) as room:
        await room.drawn()
        assert "▸ Recalled from memory · 2 lines" in room.screen()
        assert "you, 3 May" not in room.screen()
        room.conversation.focus_messages()
        await room.pilot.press("t")
        await room.drawn()
        assert "▾ Recalled" in room.screen() and "┊ - Priya knows Marco" in room.screen()
        assert "In Lisbon." in room.screen()
        await room.pilot.press("t")
        await room.drawn()
        assert "you, 3 May" not in room.screen() and "▸ Recalled" in room.screen()
