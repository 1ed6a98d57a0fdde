"""Tools on the screen: the folded line of a call, the mark of the agent, switching tools."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from agents.events import Call, Found
from agents.tools import TOOLS, Context, Result, Tool
from engine.config import Config
from engine.protocol import Delta, Deltas, ToolCall
from tests.support.chat_app import chat, conversation, turn
from tests.support.memory import ListMemory
from tests.support.scripted import ScriptedClient
from tests.support.waiting import until
from tests.tui.test_app import screen_text, toasts, write
from tui.app import HaloApp
from tui.screens.dialogs import AgentEditor
from tui.screens.tools import ToolsScreen
from tui.widgets.chat.conversation import Conversation
from tui.widgets.chat.grid import ChatGrid

pytestmark = pytest.mark.asyncio
SIZES = pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
ASKED = Call(
    "abcdefgh1", "recall", '{"question": "Where does Ada work?", "k": 6}', status="done",
    result="<memory>…</memory>", summary="2 facts", seconds=0.012,
    found=[
        Found("Ada works at Halo Labs (said 2026-01-02 by you)", 0.93, "you", 1.0, "t0", "a"),
        Found("Ada lives in Geneva (said 2026-01-02 by grace)", 0.61, "grace", 1.0, "t1", "a"),
    ],
)  # fmt: skip
FAILED = Call(
    "abcdefgh2", "now", '{"zone": "x"}', round=1, status="error", seconds=1.5,
    result="Error: The arguments of now are wrong.", summary="The arguments of now are wrong",
)  # fmt: skip


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """Takes nothing."""


@asynccontextmanager
async def running(
    folder: Path, size: tuple[int, int] = (80, 24)
) -> AsyncIterator[tuple[HaloApp, ScriptedClient, Pilot[int]]]:
    config = Config()
    config.tools.offer = "on"
    client = ScriptedClient()
    app = HaloApp(config, folder, client, make_client=lambda _: client)
    app.animation_level = "none"
    app.workspace.memory = ListMemory()
    async with app.run_test(size=size) as pilot:
        await until(lambda: app.main.is_mounted and app.main.current, what="for the main screen")
        await pilot.pause()
        yield app, client, pilot
        await app.workspace.stop()


@SIZES
async def test_a_call_is_one_line_until_it_is_opened(tmp_path: Path, size: tuple[int, int]) -> None:
    turns = [
        turn("user", "Where does Ada work?", 0),
        turn("assistant", "At Halo Labs.", 1, calls=[ASKED, FAILED]),
    ]
    async with chat(tmp_path, conversation, size, turns) as room:
        await room.drawn()
        shown = room.screen()
        assert "▸ ⚙ recall “Where does Ada work?” → 2 facts, 12 ms" in shown
        assert "▸ ⚙ now “x” → The arguments of now are wrong, 1.5 s" in shown
        assert "Halo Labs (said" not in shown and "At Halo Labs." in shown
        room.conversation.focus_messages()
        await room.pilot.press("t")
        await room.drawn()
        opened = room.screen()
        for part in (
            "▾ ⚙ recall", "question: Where does Ada work?", "k: 6", "0.93 Ada works at Halo Labs",
            "0.61 Ada lives in Geneva", "Error: The arguments of now are wrong.",
        ):  # fmt: skip
            assert part in opened
        assert opened.index("0.93") < opened.index("At Halo Labs.")
        await room.pilot.press("t")
        await room.drawn()
        assert "0.93" not in room.screen()


@SIZES
async def test_a_call_stands_where_it_was_made(tmp_path: Path, size: tuple[int, int]) -> None:
    text = (
        "I look at **two** things:\n\n- work\n- home\n\nShe works at Halo Labs. "
        + "And so on. " * 9
    )
    before = text.index("\n\nShe")
    call = msgspec.json.decode(msgspec.json.encode(ASKED), type=Call)
    call.at = before
    second = Call("abcdefgh3", "now", round=2, at=len(text), status="done", summary="Friday")
    whole = f"{text}\n\nIt is Friday."
    turns = [turn("user", "?", 0), turn("assistant", whole, 1, calls=[call, second])]
    async with chat(tmp_path, conversation, size, turns) as room:
        await room.drawn()
        order = ["two", "• home", "▸ ⚙ recall", "She works", "▸ ⚙ now", "It is Friday."]
        shown = room.screen()
        places = [shown.index(part) for part in order]
        assert places == sorted(places)
        room.conversation.focus_messages()
        await room.pilot.press("t")
        await room.drawn()
        shown = room.screen()
        places = [shown.index(part) for part in ("▾ ⚙ recall", "0.93", "She works", "▾ ⚙ now")]
        assert places == sorted(places)
        await room.pilot.press("t", "escape")
        room.conversation.open_find("Friday.")
        await until(lambda: "1 of 1" in room.screen() or "1/1" in room.screen())


async def test_a_click_opens_it_and_a_source_is_asked_for(tmp_path: Path) -> None:
    asked: list[Found] = []
    turns = [turn("user", "Where?", 0), turn("assistant", "There.", 1, calls=[ASKED])]
    async with chat(tmp_path, conversation, turns=turns) as room:
        await room.drawn()
        rows = room.screen().splitlines()
        row = next(i for i, line in enumerate(rows) if "⚙ recall" in line)
        await room.pilot.click(offset=(rows[row].index("recall"), row))
        await room.drawn()
        rows = room.screen().splitlines()
        row = next(i for i, line in enumerate(rows) if "by grace)" in line)
        column = rows[row].rindex("show")
        room.conversation.post_message = (  # type: ignore[method-assign]
            lambda message, post=room.conversation.post_message: (
                asked.append(message.found)
                if isinstance(message, Conversation.FoundRequested)
                else None,
                post(message),
            )[1]
        )
        await room.pilot.click(offset=(column + 1, row))
        await room.pilot.pause()
        assert asked == [ASKED.found[1]]


async def test_a_long_question_is_cut_to_the_line(tmp_path: Path) -> None:
    call = Call(
        "abcdefgh1", "recall", f'{{"question": "{"wide 日本 " * 30}"}}', status="done",
        summary="nothing found", seconds=0.2,
    )  # fmt: skip
    turns = [turn("user", "?", 0), turn("assistant", "No.", 1, calls=[call])]
    async with chat(tmp_path, conversation, (60, 20), turns) as room:
        await room.drawn()
        line = next(line for line in room.screen().splitlines() if "⚙" in line)
        assert line.endswith("→ nothing found, 200 ms") and "…”" in line


async def test_while_a_tool_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = asyncio.Event()

    async def run(context: Context, arguments: Nothing) -> Result:
        await go.wait()
        return Result("Friday", "Friday")

    monkeypatch.setitem(TOOLS, "now", Tool("now", "Time.", Nothing, run, "the time"))
    async with running(tmp_path) as (app, client, pilot):
        await write(pilot, app, "What day is it?")
        agent = app.workspace.get(app.main.current)
        await until(lambda: agent.id in client.generations)
        client.emit(Deltas((Delta(agent.id, "", (1,), calling=True),)))
        await until(lambda: "⚙ ada" in screen_text(app), what="for the mark of the agent")
        client.finish(agent.id, calls=(ToolCall("now", "{}"),))
        await until(lambda: "▸ ⚙ now …" in screen_text(app), what="for the line of the call")
        await pilot.press("f5")
        await until(lambda: app.screen.query(ChatGrid) and "⚙ now …" in screen_text(app))
        await pilot.press("f5")
        go.set()
        await until(lambda: agent.id in client.generations, what="for the second round")
        client.say(agent.id, "It is Friday.")
        client.finish(agent.id)
        await until(lambda: "⚙ now → Friday" in screen_text(app))
        await until(lambda: "It is Friday." in screen_text(app))


async def test_esc_stops_a_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run(context: Context, arguments: Nothing) -> Result:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setitem(TOOLS, "now", Tool("now", "Time.", Nothing, run, "the time"))
    async with running(tmp_path) as (app, client, pilot):
        await write(pilot, app, "What day is it?")
        agent = app.workspace.get(app.main.current)
        await until(lambda: agent.id in client.generations)
        client.finish(agent.id, calls=(ToolCall("now", "{}"),))
        await until(lambda: agent.state.kind == "tool")
        await pilot.press("escape")
        await until(lambda: not agent.busy)
        await until(lambda: "⚙ now → stopped" in screen_text(app))
        assert agent.turns[-1].status == "cancelled"


async def test_a_recalled_source_is_shown(tmp_path: Path) -> None:
    async with running(tmp_path, (120, 40)) as (app, client, pilot):
        await write(pilot, app, "Priya has moved to Lisbon.")
        agent = app.workspace.get(app.main.current)
        await until(lambda: agent.id in client.generations)
        client.finish(agent.id, text="I will remember that.")
        found = Found("Priya lives in Lisbon", 0.9, "you", 1.0, agent.turns[0].id, agent.id)
        app.main.post_message(Conversation.FoundRequested(found))
        await pilot.pause()
        gone = Found("Priya lives in Geneva", 0.9, "you", 1.0, "t-gone", agent.id)
        app.main.post_message(Conversation.FoundRequested(gone))
        await until(lambda: "not in ada's conversation any more" in toasts(app))


async def test_tools_are_listed_and_switched(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, _, pilot):
        spec = lambda: app.workspace.get("ada").spec.tools  # noqa: E731
        assert spec() == ["recall", "now"]
        await write(pilot, app, "/tools")
        await until(lambda: isinstance(app.screen, ToolsScreen) and app.focused)
        text = screen_text(app)
        assert "Tools of ada" in text and "asks the memory" in text and "4 calls" in text
        assert "Not offered" not in text
        await pilot.press("space")
        await until(lambda: spec() == ["now"])
        await until(
            lambda: "○ off  recall" in screen_text(app) and "● on   now" in screen_text(app)
        )
        await pilot.press("escape")
        await write(pilot, app, "/tools recall on")
        await until(lambda: spec() == ["recall", "now"])
        await write(pilot, app, "/tools now")
        await until(lambda: spec() == ["recall"])
        await until(lambda: "may no longer call now" in toasts(app))
        await write(pilot, app, "/tools web on")
        await until(lambda: "no tool called 'web'" in toasts(app))


async def test_why_they_are_not_offered_is_said(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, _, pilot):
        app.workspace.config.tools.offer = "auto"
        await write(pilot, app, "/tools")
        await until(lambda: isinstance(app.screen, ToolsScreen))
        await until(lambda: "scripted was not made for tools" in " ".join(screen_text(app).split()))


async def test_the_editor_has_the_tools(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, _, pilot):
        await pilot.press("f2")
        await until(lambda: isinstance(app.screen, AgentEditor))
        field = app.screen.query_one("#tools", Input)
        assert field.value == "recall now"
        field.value = "now, web"
        await pilot.press("ctrl+s")
        await until(lambda: "no tool called 'web'" in screen_text(app))
        field.value = "now"
        await pilot.press("ctrl+s")
        await until(lambda: app.workspace.get("ada").spec.tools == ["now"])
