"""The whole app through Pilot, on a scripted engine: every action does what its line says."""

from __future__ import annotations

import random
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.command import CommandList, CommandPalette
from textual.pilot import Pilot
from textual.widgets import Input, Static, TextArea
from textual.widgets._toast import Toast
from textual.worker import WorkerFailed

from engine import models
from engine.config import Config
from engine.errors import EngineError
from engine.protocol import CacheMap, CellRuns
from tests.support.scripted import ScriptedClient
from tests.support.waiting import until
from tui.app import HaloApp
from tui.controller import Controller
from tui.screens.dialogs import AgentEditor, AskText, Confirm
from tui.screens.fault import FaultScreen
from tui.screens.help import HelpScreen
from tui.screens.log import LogScreen
from tui.widgets.agent_list import AgentRow, AgentTabs
from tui.widgets.cache_pane import CachePane
from tui.widgets.chat.conversation import Conversation
from tui.widgets.chat.grid import ChatGrid, Tile
from tui.widgets.chat.prompt import Prompt
from tui.widgets.chat.queue import QueueChips
from tui.widgets.chat.transcript import Transcript
from tui.widgets.key_hints import KeyHints

SIZES = [(80, 24), (120, 40), (200, 60)]


@asynccontextmanager
async def running(
    folder: Path,
    size: tuple[int, int] = (120, 40),
    client: ScriptedClient | None = None,
    config: Config | None = None,
    toasts: bool = False,
) -> AsyncIterator[tuple[HaloApp, ScriptedClient, Pilot[int]]]:
    client = client or ScriptedClient()
    app = HaloApp(config or Config(), folder, client, make_client=lambda _: client)
    async with app.run_test(size=size, notifications=toasts) as pilot:
        await until(lambda: app.main.is_mounted and app.main.current, what="for the main screen")
        await pilot.pause()
        yield app, client, pilot
        await app.workspace.stop()


async def write(pilot: Pilot[int], app: HaloApp, text: str) -> None:
    app.main.query_one(Prompt).set_draft(text)
    app.main.query_one(Prompt).focus_input()
    await pilot.pause()
    await pilot.press("enter")
    await pilot.pause()


def toasts(app: HaloApp) -> str:
    return " ".join(str(n.message) for n in app._notifications)


def screen_text(app: HaloApp) -> str:
    return "\n".join(
        "".join(segment.text for segment in strip).rstrip()
        for strip in app.screen._compositor.render_strips()
    )


@pytest.mark.parametrize("size", SIZES)
async def test_a_prompt_is_answered_at_every_size(tmp_path: Path, size: tuple[int, int]) -> None:
    async with running(tmp_path, size, ScriptedClient(lambda _: "You work at Halo Labs.")) as (
        app,
        _,
        pilot,
    ):
        await write(pilot, app, "where do I work?")
        ada = app.workspace.get("ada")
        await until(lambda: len(ada.turns) == 2 and ada.turns[1].status == "done")
        assert ada.turns[1].text == "You work at Halo Labs."


async def test_several_agents_answer_one_prompt(tmp_path: Path) -> None:
    async with running(tmp_path, client=ScriptedClient(lambda _: "hello")) as (app, _, pilot):
        await write(pilot, app, "@ada @grace hi")
        await until(lambda: all(len(app.workspace.get(n).turns) == 2 for n in ("ada", "grace")))
        assert not app.workspace.get("alan").turns
        await until(lambda: app.workspace.get("grace").state.unread)
        await until(lambda: "hello" in toasts(app), what="for the toast of the hidden agent")
        for name in ("grace", "ada"):  # each chat says who else was asked
            await app.main.show_agent(name)
            await until(lambda: "you → ada, grace" in screen_text(app))
        await write(pilot, app, "only you")
        await until(lambda: app.workspace.get("ada").turns[-1].text == "hello")
        assert app.workspace.get("ada").turns[-2].to == []


async def test_slash_commands_create_rename_duplicate_close_and_undo(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, _, pilot):
        space = app.workspace
        await write(pilot, app, "/new zoe")
        await until(lambda: app.main.current == "zoe")
        await write(pilot, app, "/rename mia")
        await until(lambda: "mia" in space.names and app.main.current == "mia")
        await write(pilot, app, "/duplicate twin")
        await until(lambda: "twin" in space.names)
        await write(pilot, app, "/close")
        await until(lambda: "twin" not in space.names)
        await write(pilot, app, "/undo")
        await until(lambda: "twin" in space.names and app.main.current == "twin")
        await until(lambda: len(app.main.query(AgentRow)) == 5)
        await write(pilot, app, "/temp 0.1")
        await until(lambda: space.get("twin").spec.sampling.get("temperature") == 0.1)
        await write(pilot, app, "/temp warm")
        await until(lambda: "'warm' is not a number" in toasts(app))
        await write(pilot, app, "/agent 1")
        await until(lambda: app.main.current == "ada")


async def test_editor_creates_an_agent_and_refuses_a_taken_name(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, _, pilot):
        await pilot.press("ctrl+n")
        await until(lambda: isinstance(app.screen, AgentEditor))
        app.screen.query_one("#name", Input).value = "kim"
        app.screen.query_one("#system", TextArea).text = "You are Kim."
        app.screen.query_one("#temperature", Input).value = "0.2"
        await pilot.press("ctrl+s")
        await until(lambda: app.main.current == "kim")
        assert app.workspace.get("kim").spec.system == "You are Kim."
        assert app.workspace.get("kim").spec.sampling == {"temperature": 0.2}
        await pilot.press("f2")
        await until(lambda: isinstance(app.screen, AgentEditor))
        app.screen.query_one("#name", Input).value = "ada"
        await pilot.press("ctrl+s")
        fault = app.screen.query_one("#fault", Static)
        await until(lambda: "already an agent called 'ada'" in str(fault.render()))
        assert app.screen.query_one("#system", TextArea).text == "You are Kim.", "the form stays"
        app.screen.query_one("#name", Input).value = "kim2"
        await pilot.press("ctrl+s")
        await until(lambda: app.main.current == "kim2")
        assert "kim" not in app.workspace.names


async def test_escape_stops_the_answer_and_what_was_said_stays(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, client, pilot):
        await write(pilot, app, "count")
        ada = app.workspace.get("ada")
        await until(lambda: ada.id in client.generations)
        client.say(ada.id, "one two")
        await pilot.press("escape")
        await until(lambda: ada.turns[-1].status == "cancelled")
        assert ada.turns[-1].text == "one two"


async def test_prompts_queue_while_busy_and_can_be_taken_back(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, client, pilot):
        await write(pilot, app, "first")
        await write(pilot, app, "second")
        ada = app.workspace.get("ada")
        await until(lambda: [p.text for p in ada.queue] == ["second"])
        app.main.post_message(Prompt.Unqueue(0, True))
        await until(lambda: not ada.queue)
        await until(lambda: app.main.query_one(Prompt).get_draft() == "second")
        client.finish(ada.id)


@pytest.mark.parametrize("ready", [True, False])
async def test_a_prompt_that_is_too_long_is_in_the_input_again(tmp_path: Path, ready: bool) -> None:
    client = ScriptedClient(lambda _: "Fine.")
    client.hold_start = not ready
    text = " ".join(f"word{n}" for n in range(9000))
    async with running(tmp_path, client=client) as (app, _, pilot):
        await write(pilot, app, text)
        prompt = app.main.query_one(Prompt)
        if not ready:  # then the engine has the first word, when it is there
            client.refuse = EngineError("The prompt is too long.", "Shorten it.", "too_long")
            await pilot.press(*"and more")
            client.let_start()
        await until(lambda: prompt.get_draft().startswith("word0 word1"), what="for the text")
        assert prompt.get_draft() == (text if ready else f"{text}\nand more")
        assert ("9,000 tokens" if ready else "too long") in toasts(app)
        assert not app.workspace.get("ada").turns
        prompt.set_draft("")
        await write(pilot, app, "short")
        await until(lambda: app.workspace.get("ada").turns[-1].text == "Fine.")


async def test_drafts_belong_to_their_agents_and_survive_the_app(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, _, pilot):
        app.main.query_one(Prompt).set_draft("half a tho")
        await pilot.press("alt+2")
        await until(lambda: app.main.current == "grace")
        assert app.main.query_one(Prompt).get_draft() == ""
        await pilot.press("alt+1")
        await until(lambda: app.main.query_one(Prompt).get_draft() == "half a tho")
        await app.leave()
    async with running(tmp_path) as (app, _, _pilot):
        await until(lambda: app.main.query_one(Prompt).get_draft() == "half a tho")


async def test_grid_shows_all_agents_and_goes_back(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, _, pilot):
        await pilot.press("f5")
        await until(lambda: app.main.grid_shown and app.main.query(ChatGrid))
        await pilot.press("escape")
        await until(lambda: not app.main.grid_shown and not app.main.query(ChatGrid))


@pytest.mark.parametrize("size", SIZES)
async def test_the_grid_says_whom_one_writes_to(tmp_path: Path, size: tuple[int, int]) -> None:
    async with running(tmp_path, size) as (app, _, pilot):
        prompt = app.main.query_one(Prompt)

        def marked() -> list[str]:
            return [tile.agent.name for tile in app.main.query(Tile) if tile.here]

        await pilot.press("f5")
        await until(lambda: marked() == ["ada"] and "Alt+1…3 another" in screen_text(app))
        text = screen_text(app)
        assert "❯ ○ ada" in text and "┏" in text and "❯ ○ grace" not in text, "told without colour"
        assert "Message ada…" in text
        await pilot.press("alt+2")
        await until(lambda: marked() == ["grace"] and "to grace" in screen_text(app))
        assert app.main.grid_shown and app.main.current == "grace"
        await pilot.press(*"hello")
        await pilot.press("alt+3")
        await until(lambda: marked() == ["alan"] and prompt.get_draft() == "hello")
        assert app.workspace.get("grace").draft == "", "one text, another addressee"
        await pilot.press("home", *"@ada ")
        await until(lambda: marked() == ["ada"] and "to ada" in screen_text(app))
        prompt.set_draft("@all hi")
        await until(lambda: marked() == ["ada", "grace", "alan"])
        assert "to all 3 agents" in screen_text(app)
        await pilot.press("enter")
        await until(lambda: all(agent.turns for agent in app.workspace.agents))
        await until(lambda: marked() == ["alan"])


async def test_tiles_are_chosen_and_opened_by_mouse_and_keys(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, _, pilot):
        prompt = app.main.query_one(Prompt)
        await pilot.press("f5")
        await until(lambda: len(app.main.query(Tile)) == 3)
        tiles = list(app.main.query(Tile))
        await pilot.click(tiles[1])
        await until(lambda: app.main.current == "grace" and prompt.has_focus_within)
        assert app.main.grid_shown
        tiles[2].focus()
        await until(lambda: app.main.current == "alan" and "Enter opens it" in screen_text(app))
        await pilot.press(*"hi you")
        await until(lambda: prompt.get_draft() == "hi you" and prompt.has_focus_within)
        await pilot.press("enter")
        await until(lambda: app.workspace.get("alan").turns)
        await pilot.click(tiles[1], times=2)
        await until(lambda: not app.main.grid_shown and app.main.current == "grace")
        await pilot.press("f5", "f8", "f2")  # what acts on an agent acts on the one marked
        await until(lambda: "Edit grace" in screen_text(app))


async def test_agents_come_and_change_without_leaving_the_grid(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, _, pilot):
        await pilot.press("f5")
        await until(lambda: app.main.query(Tile))
        await write(pilot, app, "/rename nora")
        await until(lambda: app.main.current == "nora" and "to nora" in screen_text(app))
        await write(pilot, app, "/new zed")
        await until(lambda: app.main.current == "zed" and len(app.main.query(Tile)) == 4)
        await write(pilot, app, "/close")
        await until(lambda: app.main.current != "zed" and len(app.main.query(Tile)) == 3)
        assert app.main.grid_shown and app.main.query(ChatGrid)
        await until(lambda: sum(tile.here for tile in app.main.query(Tile)) == 1)


async def test_whoever_writes_on_the_conversation_writes_to_the_agent(tmp_path: Path) -> None:
    async with running(tmp_path, client=ScriptedClient(lambda _: "hello")) as (app, _, pilot):
        ada = app.workspace.get("ada")
        await write(pilot, app, "hi")
        await until(lambda: len(ada.turns) == 2 and not ada.busy)
        before = [turn.id for turn in ada.turns]
        prompt = app.main.query_one(Prompt)
        for text in ("regarding that", "free coffee", "every test", "copy it, yes"):
            await pilot.click(Transcript)
            await until(lambda: "Esc writes here" in screen_text(app))
            await pilot.press(*("space" if c == " " else "comma" if c == "," else c for c in text))
            await until(lambda t=text: prompt.get_draft() == t, what=f"for “{text}”")
            prompt.set_draft("")
        assert [turn.id for turn in ada.turns] == before and len(app.workspace.agents) == 3
        assert app.screen is app.main


async def test_esc_in_the_conversation_goes_back_to_the_prompt_before_it_stops(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as (app, client, pilot):
        ada = app.workspace.get("ada")
        await write(pilot, app, "hi")
        await until(lambda: ada.id in client.generations)
        await pilot.click(Transcript)
        await until(lambda: "Esc writes here" in screen_text(app))
        await until(lambda: "Esc Back" in screen_text(app))
        await pilot.press("escape")
        await until(lambda: app.main.query_one(Prompt).has_focus_within)
        assert ada.busy
        await until(lambda: "Esc Stop" in screen_text(app))
        await pilot.press("escape")
        await until(lambda: not ada.busy)


async def test_all_waiting_prompts_are_removed_at_once(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, _, pilot):
        ada = app.workspace.get("ada")
        for n in range(7):
            await app.workspace.send(f"prompt {n}", "ada")
        await until(lambda: len(ada.queue) == 6 and "and 3 more" in screen_text(app))
        chips = app.main.query_one(QueueChips)
        await until(lambda: chips.size.height == 4)
        await pilot.pause()  # it stands where it is drawn
        await pilot.click(chips, offset=(chips.size.width - 3, 3))
        await until(lambda: not ada.queue and "remove all" not in screen_text(app))
        assert ada.busy, "the answer goes on"


async def test_an_earlier_answer_is_given_anew(tmp_path: Path) -> None:
    async with running(tmp_path, client=ScriptedClient(lambda _: "hello")) as (app, _, pilot):
        ada = app.workspace.get("ada")
        for text in ("one", "two"):
            await write(pilot, app, text)
            await until(lambda t=text: ada.turns and ada.turns[-2].text == t and not ada.busy)
        await pilot.press("alt+up", "up", "up", "r")
        await until(lambda: "What came after it is replaced" in screen_text(app))
        await pilot.press("enter")
        await until(lambda: [t.text for t in ada.turns] == ["one", "hello"] and not ada.busy)
        # A click on what stands beside an earlier answer asks too.
        await write(pilot, app, "two")
        await until(lambda: len(ada.turns) == 4 and not ada.busy)
        transcript = app.main.conversation.transcript
        transcript.post_message(Transcript.Action("regenerate", ada.turns[1]))
        await until(lambda: "What came after it is replaced" in screen_text(app))
        await pilot.press("escape")
        await until(lambda: app.screen is app.main)
        assert len(ada.turns) == 4


async def test_side_pane_hides_on_wide_and_shows_on_narrow_screens(tmp_path: Path) -> None:
    for size, first in (((120, 40), True), ((80, 24), False)):
        async with running(tmp_path / str(size[0]), size) as (app, _, pilot):
            side = app.main.query_one("#side")
            assert bool(side.region.width) is first
            await pilot.press("f4")
            await until(lambda s=side, f=first: bool(s.region.width) is not f)


async def test_the_layout_comes_back_at_the_next_start(tmp_path: Path) -> None:
    def shows(app: HaloApp) -> tuple[bool, bool]:
        return bool(app.main.query(ChatGrid)), app.main.query_one("#side").display

    for before, keys, after in (
        ((False, True), ("f5", "f4"), (True, False)),
        ((True, False), ("f5",), (False, False)),
        ((False, False), ("f4",), (False, True)),
    ):
        async with running(tmp_path) as (app, _, pilot):
            await until(lambda app=app, before=before: shows(app) == before, what="for the layout")
            for key in keys:
                await pilot.press(key)
            await until(lambda app=app, after=after: shows(app) == after, what="for the layout")
    async with running(tmp_path, (80, 24)) as (app, _, pilot):  # what is asked for there is its own
        assert shows(app) == (False, False)
        await pilot.press("f4")
    async with running(tmp_path, (80, 24)) as (app, _, pilot):
        await until(lambda: shows(app) == (False, True), what="for the layout")


async def test_help_and_log_open_and_close(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, _, pilot):
        await pilot.press("f1")
        await until(lambda: isinstance(app.screen, HelpScreen))
        await pilot.press("escape")
        await until(lambda: app.screen is app.main)
        await pilot.press("f6")
        await until(lambda: isinstance(app.screen, LogScreen))
        await pilot.press("escape")
        await until(lambda: app.screen is app.main)


async def test_edit_last_prompt_replaces_what_followed(tmp_path: Path) -> None:
    async with running(tmp_path, client=ScriptedClient(lambda m: m[-1].content.upper())) as (
        app,
        _,
        pilot,
    ):
        ada = app.workspace.get("ada")
        await write(pilot, app, "one")
        await until(lambda: len(ada.turns) == 2 and not ada.busy)
        await pilot.press("f10")
        await until(lambda: isinstance(app.screen, AskText))
        app.screen.query_one(TextArea).text = "two"
        await pilot.press("ctrl+s")
        await until(lambda: len(ada.turns) == 2 and ada.turns[1].text == "TWO")


async def test_quit_asks_only_when_somebody_is_busy(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, client, pilot):
        await write(pilot, app, "go")
        ada = app.workspace.get("ada")
        await until(lambda: ada.id in client.generations)
        await pilot.press("ctrl+q")
        await until(lambda: isinstance(app.screen, Confirm))
        await pilot.press("escape")
        await until(lambda: app.screen is app.main)
        client.finish(ada.id)
        await until(lambda: not ada.busy)
        await pilot.press("ctrl+q")
        await until(lambda: client.stopped)


async def test_a_dead_engine_says_so_and_keeps_the_chats(tmp_path: Path) -> None:
    from engine.errors import EngineError

    client = ScriptedClient()
    client.start_error = EngineError("The model file is missing.", "Choose another with /models.")
    async with running(tmp_path, (200, 60), client) as (app, _, pilot):
        banner = app.main.query_one("#banner", Static)
        await until(lambda: banner.has_class("-error"))
        assert "The model file is missing." in str(banner.render())
        client.start_error = None
        column = str(banner.render()).index("[ /restart ]") + 3
        assert await pilot.click("#banner", offset=(column, 0))
        await until(lambda: not banner.has_class("-shown"))
        assert client.ready is not None


async def test_too_small_says_what_is_needed(tmp_path: Path) -> None:
    async with running(tmp_path, (120, 40)) as (app, _, pilot):
        await pilot.resize_terminal(40, 10)
        await until(lambda: app.main.has_class("-toosmall"))
        assert "too small" in str(app.main.query_one("#small", Static).render())
        await pilot.resize_terminal(120, 40)
        await until(lambda: not app.main.has_class("-toosmall"))


async def test_the_cell_map_shows_owners(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, client, _pilot):
        ada, grace = (app.workspace.get(n).id for n in ("ada", "grace"))
        runs = CellRuns.of((ada, 1000), ("*", 50), (grace, 500), ("", 6642))
        client.emit(CacheMap(8192, 1550, 1550, 50, 0, {ada: 1050, grace: 550}, runs))
        fill = app.main.query_one(CachePane).query_one("#fill", Static)
        await until(lambda: "1,550/8,192" in str(fill.render()))


async def test_user_keys_replace_those_of_the_table(tmp_path: Path) -> None:
    config = Config()
    config.ui.keys = {"grid": "f11", "undo_close": "ctrl+b", "log": ""}
    async with running(tmp_path, config=config) as (app, _, pilot):
        await pilot.press("f11")
        await until(lambda: app.main.grid_shown)
        await pilot.press("f6")  # taken away
        app.main.controller.start("close_agent")
        await until(lambda: len(app.workspace.names) == 2)
        await pilot.press("ctrl+b")  # an action without a key of its own
        await until(lambda: len(app.workspace.names) == 3)
        assert app.screen is app.main, app.screen_stack


async def test_switching_agents_keeps_their_conversations_mounted(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, _, pilot):
        for key in ("alt+2", "alt+3", "alt+1"):
            await pilot.press(key)
        await until(lambda: app.main.current == "ada")
        assert len(app.main.query(Conversation)) == 3


async def test_what_is_in_sight_makes_no_toast(tmp_path: Path) -> None:
    async with running(tmp_path, client=ScriptedClient(lambda _: "hello")) as (app, _, pilot):
        await write(pilot, app, "hi")
        ada = app.workspace.get("ada")
        await until(lambda: len(ada.turns) == 2 and not ada.busy)
        await pilot.pause()
        assert toasts(app) == ""
        await pilot.press("f5")
        await until(lambda: app.main.grid_shown)
        await app.workspace.send("hi", "grace")
        grace = app.workspace.get("grace")
        await until(lambda: len(grace.turns) == 2 and not grace.busy)
        await pilot.pause()
        assert toasts(app) == ""
        assert not grace.state.unread


async def test_many_answers_at_once_are_one_toast(tmp_path: Path) -> None:
    async with running(tmp_path, client=ScriptedClient(lambda _: "hello")) as (app, _, pilot):
        for n in range(4):
            await app.workspace.create(f"extra{n}")
        await write(pilot, app, "@all hi")
        await until(lambda: all(len(a.turns) == 2 and not a.busy for a in app.workspace.agents))
        await until(lambda: "grace, alan, extra0 and 3 more have answered." in toasts(app))
        assert len(app._notifications) == 1


async def test_escape_closes_toasts_before_it_stops_an_answer(tmp_path: Path) -> None:
    async with running(tmp_path, (80, 24), toasts=True) as (app, client, pilot):
        await write(pilot, app, "hello")
        ada = app.workspace.get("ada")
        await until(lambda: ada.id in client.generations)
        for n in range(6):
            app.notify(f"Sentence number {n} is about something.", title=f"agent{n}")
        await until(lambda: len(app.screen.query(Toast)) == 2, what="for two toasts")
        await until(lambda: all(t.region.area for t in app.screen.query(Toast)))
        covered = sum(t.region.area for t in app.screen.query(Toast))
        assert covered < app.size.width * app.size.height / 6
        hints = app.main.query_one(KeyHints)
        await until(lambda: "Esc Close" in hints.render().plain)
        await pilot.press("escape")
        await until(lambda: not app.screen.query(Toast), what="for the toasts to go")
        assert ada.busy
        await until(lambda: "Esc Stop" in hints.render().plain)
        await pilot.press("escape")
        await until(lambda: not ada.busy)


async def test_the_title_says_who_is_busy_and_what_is_new(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, client, _pilot):
        await app.workspace.send("go", "grace")
        grace = app.workspace.get("grace")
        await until(lambda: app.title == "● 1 busy · halo-tui")
        await until(lambda: grace.id in client.generations)
        client.finish(grace.id, text="done")
        await until(lambda: app.title == "✉ 1 new · halo-tui")


async def test_a_fault_becomes_a_dialog_and_the_app_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(self: Controller, _: str) -> None:
        raise KeyError("no such thing")

    monkeypatch.setenv("HALO_TUI_HOME", str(tmp_path))
    monkeypatch.setattr(Controller, "regenerate", broken)
    async with running(tmp_path / "data") as (app, _, pilot):
        await pilot.press("f7")
        await until(lambda: isinstance(app.screen, FaultScreen))
        what = app.screen.query_one("#what", Static)
        await until(lambda: "KeyError: 'no such thing'" in str(what.render()))
        assert "in broken" in (tmp_path / "state" / "faults.log").read_text()
        await pilot.press("escape")
        await until(lambda: app.screen is app.main)
        await pilot.press("alt+2")
        await until(lambda: app.main.current == "grace")


async def test_what_is_cut_off_by_leaving_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as (app, _, _pilot):
        monkeypatch.setattr(HaloApp, "is_headless", False)  # as in a terminal
        await app.stop_workspace()
        app._handle_exception(WorkerFailed(ValueError("no such widget any more")))
        monkeypatch.undo()
        assert app.farewell == "" and app.screen is app.main
        assert app.return_code is None


async def test_quit_works_from_a_dialog_too(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, client, pilot):
        await pilot.press("f1")
        await until(lambda: isinstance(app.screen, HelpScreen))
        await pilot.press("ctrl+q")
        await until(lambda: client.stopped)


async def test_the_palette_finds_agents_and_stays_away_from_dialogs(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, _, pilot):
        await pilot.press("ctrl+p")
        await until(lambda: isinstance(app.screen, CommandPalette))
        await pilot.press(*"go to gra")
        options = app.screen.query_one(CommandList)
        await until(lambda: options.option_count and options.highlighted is not None)
        await pilot.press("enter")
        await until(lambda: app.main.current == "grace" and app.screen is app.main)
        await pilot.press("f1")
        await until(lambda: isinstance(app.screen, HelpScreen))
        await pilot.press("ctrl+p")
        await pilot.pause()
        assert isinstance(app.screen, HelpScreen)


async def test_the_palette_finds_what_is_typed_while_models_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, looked = threading.Event(), models.list_models

    def slowly(config: Config) -> list[models.ModelFile]:
        found.wait(60)
        return looked(config)

    monkeypatch.setattr(models, "list_models", slowly)
    async with running(tmp_path) as (app, _, pilot):
        try:
            await pilot.press("ctrl+p")
            await until(lambda: isinstance(app.screen, CommandPalette))
            options = app.screen.query_one(CommandList)
            for letter in "halo-mini":  # each gives up the search for those before
                await pilot.press(letter)
            await pilot.press(*["backspace"] * 9, *"go to gra")
            await until(lambda: options.option_count and options.highlighted is not None)
            await pilot.press(*["backspace"] * 9, *"model: halo")
        finally:
            found.set()
        await until(lambda: any("halo-mini" in str(o.prompt) for o in options.options))


async def test_more_tabs_than_fit_show_the_one_in_use(tmp_path: Path) -> None:
    async with running(tmp_path, (80, 24)) as (app, _, pilot):
        for n in range(12):
            await app.workspace.create(f"helper-{n}")
        tabs = app.main.query_one(AgentTabs)
        for wanted in ("helper-6", "helper-11", "ada"):
            await app.main.show_agent(wanted)
            await pilot.pause()
            await until(lambda w=wanted: w in str(tabs.render()))
            assert tabs.render().cell_len <= 80
        start, _, name = tabs._spans[1]
        await pilot.click(AgentTabs, offset=(start + 2, 0))
        await until(lambda: app.main.current == name)


async def test_cells_that_changed_out_of_sight_are_right_when_shown(tmp_path: Path) -> None:
    async with running(tmp_path, (80, 24)) as (app, client, pilot):
        client.cells({app.workspace.get("ada").id: 777})
        await pilot.pause(0.6)  # the timer that draws comes round and finds nothing to draw on
        await pilot.press("f4")
        fill = app.main.query_one(CachePane).query_one("#fill", Static)
        await until(lambda: "777/8,192" in str(fill.render()))


async def test_moving_thinking_and_words_that_are_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HALO_TUI_HOME", str(tmp_path))
    async with running(tmp_path / "data") as (app, _, pilot):
        await write(pilot, app, "/movedown")
        await until(lambda: app.workspace.names == ["grace", "ada", "alan"])
        await until(
            lambda: [r.agent.name for r in app.main.query(AgentRow)][:2] == ["grace", "ada"]
        )
        await write(pilot, app, "/think off")
        file = tmp_path / "config.toml"
        await until(lambda: file.exists() and "thinking = false" in file.read_text())
        assert app.workspace.config.chat.thinking is False
        await write(pilot, app, "/think perhaps")
        await until(lambda: "neither on nor off" in toasts(app))
        await write(pilot, app, "/theme nosuch")
        await until(lambda: "There is no theme 'nosuch'" in toasts(app))


async def test_hurried_keys_break_nothing(tmp_path: Path) -> None:
    rng = random.Random(7)
    keys = ("f5", "f4", "alt+1", "alt+2", "alt+3", "alt+right", "escape", "f3", "f12")
    async with running(tmp_path, client=ScriptedClient(lambda _: "one two three")) as (
        app,
        _,
        pilot,
    ):
        for round in range(12):
            await app.workspace.send("go", rng.choice(app.workspace.names))
            for action in rng.sample(("close_agent", "undo_close", "duplicate", "move_up"), 2):
                if action != "close_agent" or len(app.workspace.names) > 2:
                    app.main.controller.start(action)
            await pilot.press(*rng.choices(keys, k=4))
            if round % 4 == 0:
                await pilot.resize_terminal(rng.randint(40, 200), rng.randint(10, 60))
        await pilot.press("escape", "escape")
        await pilot.pause()
        assert app.screen is app.main, app.screen
        await app.main.show_agent("ada" if "ada" in app.workspace.names else app.workspace.names[0])
        await until(lambda: [r.agent for r in app.main.query(AgentRow)] == app.workspace.agents)
        assert set(app.main.chats) <= {agent.id for agent in app.workspace.agents}
