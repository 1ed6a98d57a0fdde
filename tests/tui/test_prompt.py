"""The prompt: keys, history, completion, commands, pastes, drafts, the queue."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from textual import events
from textual.widget import Widget

from agents.workspace import Workspace
from tests.support.chat_app import Chat, chat, conversation, turn
from tests.support.waiting import until
from tui.widgets.chat.pastes import Pastes
from tui.widgets.chat.popup import Choice, Popup, fuzzy, rank
from tui.widgets.chat.prompt import Prompt
from tui.widgets.chat.queue import QueueChips

pytestmark = pytest.mark.asyncio
COMMANDS = [
    ("help", "", "Show keys and slash commands."),
    ("find", "[text]", "Search in this conversation."),
    ("agent", "name", "Go to an agent."),
    ("new", "[name]", "Create an agent."),
]
SIZES = pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])


def both(workspace: Workspace) -> Iterable[Widget]:
    return [*conversation(workspace), Prompt(COMMANDS, lambda: workspace.names)]


async def ready(room: Chat, name: str = "ada") -> Prompt:
    room.prompt.set_agent(room.agent(name))
    room.prompt.focus_input()
    await room.pilot.pause()
    return room.prompt


def sent(room: Chat) -> list[str]:
    return [message.text for message in room.app.said(Prompt.Submitted)]


@SIZES
async def test_enter_sends_and_ctrl_j_makes_a_line(tmp_path: Path, size: tuple[int, int]) -> None:
    async with chat(tmp_path, both, size) as room:
        prompt = await ready(room)
        assert "Message ada…" in room.screen() and "to ada" in room.screen()
        await room.pilot.press(*"one", "ctrl+j", *"two", "shift+enter", *"three", "\\", "enter")
        await room.pilot.press(*"four", "enter", "enter")
        await room.pilot.pause()
        assert sent(room) == ["one\ntwo\nthree\nfour"]
        assert prompt.get_draft() == ""


async def test_it_grows_to_eight_lines(tmp_path: Path) -> None:
    async with chat(tmp_path, both) as room:
        prompt = await ready(room)
        assert prompt.area.size.height == 1
        for lines in (3, 8, 12):
            prompt.set_draft("\n".join(["line"] * lines))
            await room.pilot.pause()
            assert prompt.area.size.height == min(lines, 8)


async def test_history_at_the_edges(tmp_path: Path) -> None:
    turns = [turn("user", "first", 1), turn("user", "handed", 2, author="grace"),
             turn("user", "second\nwith a line", 3)]  # fmt: skip
    async with chat(tmp_path, both, turns=turns) as room:
        prompt = await ready(room)
        await room.pilot.press(*"draft", "up")
        assert prompt.area.text == "second\nwith a line"
        assert prompt.get_draft() == "draft"
        await room.pilot.press("up")
        assert prompt.area.text == "second\nwith a line", "up inside of a text moves the cursor"
        await room.pilot.press("up", "up")
        assert prompt.area.text == "first"
        await room.pilot.press("down", "down", "down")
        assert prompt.area.text == "draft"


async def test_searching_the_history(tmp_path: Path) -> None:
    turns = [turn("user", text, n) for n, text in enumerate(["apple pie", "banana", "grape"])]
    async with chat(tmp_path, both, turns=turns) as room:
        prompt = await ready(room)
        await room.pilot.press(*"my draft", "ctrl+r", *"apl")
        await room.pilot.pause()
        assert "apple pie" in room.screen() and "search your prompts" in room.screen()
        await room.pilot.press("escape")
        assert prompt.area.text == "my draft"
        await room.pilot.press("ctrl+r", *"apl", "enter")
        assert prompt.area.text == "apple pie" and sent(room) == []


async def test_names_are_completed(tmp_path: Path) -> None:
    async with chat(tmp_path, both) as room:
        prompt = await ready(room)
        await room.pilot.press(*"hey @g")
        await room.pilot.pause()
        assert "▸ @grace" in room.screen()
        await room.pilot.press("tab", *"hi")
        assert prompt.area.text == "hey @grace hi"
        await room.pilot.press(*" mail me@a")
        await room.pilot.pause()
        assert not room.app.query_one(Popup).display, "an address is no name"
        prompt.set_draft("")
        await room.pilot.press("@")
        await room.pilot.pause()
        assert "@all" in room.screen() and "every agent" in room.screen()
        assert prompt.close_popup() and not prompt.close_popup()
        await room.pilot.press("a", "down", "enter", *"x", "enter")
        await room.pilot.pause()
        assert len(sent(room)) == 1 and sent(room)[0].startswith("@a")


@SIZES
async def test_commands_are_completed_and_run(tmp_path: Path, size: tuple[int, int]) -> None:
    async with chat(tmp_path, both, size) as room:
        prompt = await ready(room)
        await room.pilot.press("/")
        await room.pilot.pause()
        screen = room.screen()
        assert "▸ /help" in screen and "Create an agent." in screen
        assert "to ada" in screen and "❯ /" in screen, "the list hides the prompt"
        await room.pilot.press(*"age", "enter")
        assert prompt.area.text == "/agent ", "a command that needs a name waits for it"
        await room.pilot.press(*"grace", "enter")
        await room.pilot.press(*"/h", "enter")
        await room.pilot.press(*"/find some text", "enter")
        await room.pilot.pause()
        said = [(m.name, m.args) for m in room.app.said(Prompt.Command)]
        assert said == [("agent", "grace"), ("help", ""), ("find", "some text")]
        assert sent(room) == []


async def test_what_is_no_command_is_not_lost(tmp_path: Path) -> None:
    async with chat(tmp_path, both) as room:
        prompt = await ready(room)
        await room.pilot.press(*"/hlep", "escape", "enter")
        await room.pilot.pause()
        assert prompt.area.text == "/hlep" and not room.app.said(Prompt.Command)
        prompt.set_draft("/etc/passwd is a file")
        await room.pilot.press("enter")
        prompt.set_draft("//help")
        await room.pilot.press("enter")
        await room.pilot.pause()
        assert sent(room) == ["/etc/passwd is a file", "/help"]


async def test_a_big_paste_is_a_mark_and_is_sent_whole(tmp_path: Path) -> None:
    async with chat(tmp_path, both) as room:
        prompt = await ready(room)
        big = "\n".join(f"line {n}" for n in range(5000))
        await room.pilot.press(*"see ")
        prompt.area.post_message(events.Paste(big.replace("\n", "\r\n")))
        await until(lambda: "pasted" in prompt.area.text)
        assert prompt.area.text == "see [pasted text 1: 5,000 lines]"
        assert prompt.get_draft() == f"see {big}"
        draft = prompt.get_draft()
        prompt.set_draft("")
        prompt.set_draft(draft)
        assert prompt.area.text == "see [pasted text 1: 5,000 lines]"
        await room.pilot.press("enter")
        await room.pilot.pause()
        assert sent(room) == [f"see {big}"]


async def test_pastes() -> None:
    pastes = Pastes()
    long = "x" * 5000
    assert pastes.fold("short") == "short" and not pastes.is_long("a\nb")
    assert pastes.fold(long) == "[pasted text 1: 5,000 characters]" == pastes.mark(long)
    assert pastes.expand(f"a {pastes.mark(long)} b") == f"a {long} b"


async def test_waiting_prompts_are_shown_and_taken_back(tmp_path: Path) -> None:
    async with chat(tmp_path, both) as room:
        prompt = await ready(room)
        await room.ask("now")
        for text in ("second question", "third question"):
            await room.workspace.send(text, "ada")
        prompt.set_agent(room.agent())
        await room.pilot.pause()
        screen = room.screen()
        assert "next  second question" in screen and "then  third question" in screen
        assert "who is answering" in screen and "Enter queues" in screen
        rows = screen.splitlines()
        row = next(i for i, line in enumerate(rows) if "second question" in line)
        await room.pilot.click(offset=(rows[row].index("remove") + 1, row))
        await room.pilot.press("up")
        await room.pilot.pause()
        said = [(m.index, m.edit) for m in room.app.said(Prompt.Unqueue)]
        assert said == [(0, False), (1, True)]
        room.agent().queue.clear()
        prompt.set_agent(room.agent())
        await room.pilot.pause()
        assert not room.app.query_one(QueueChips).display


async def test_page_keys_scroll_the_conversation(tmp_path: Path) -> None:
    async with chat(tmp_path, both) as room:
        await ready(room)
        await room.pilot.press("pageup", "pagedown")
        await room.pilot.pause()
        assert [m.pages for m in room.app.said(Prompt.ScrollRequested)] == [-1, 1]


async def test_ranking() -> None:
    names = [Choice(n, n) for n in ("regenerate", "rename", "agent", "new")]
    assert [c.value for c in rank("ren", names)] == ["rename", "regenerate"]
    assert [c.value for c in rank("", names)] == [c.value for c in names]
    assert fuzzy("xyz", "agent") is None
    assert (fuzzy("age", "agent") or 0) > (fuzzy("agt", "agent") or 0)
