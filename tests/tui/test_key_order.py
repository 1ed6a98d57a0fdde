"""No key is lost or goes astray, however early or fast it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual import events
from textual.pilot import Pilot
from textual.widgets import Input

from engine.config import Config
from tests.support.scripted import ScriptedClient
from tests.support.waiting import until
from tests.tui.test_app import running
from tui import key_order
from tui.app import HaloApp
from tui.screens.dialogs import AgentEditor
from tui.screens.models import ModelsScreen
from tui.widgets.chat.prompt import Prompt

KEYS = {" ": "space", "/": "slash", "+": "plus"}


def type_at_once(app: HaloApp, *keys: str) -> None:
    """As a terminal hands it over: no widget has its turn in between."""
    for key in keys:
        if key in (
            "enter",
            "down",
            "up",
            "f3",
            "alt+1",
            "alt+2",
            "ctrl+n",
            "backspace",
            "left",
            "home",
        ):
            app.post_message(events.Key(key, None))
        else:
            for character in key:
                app.post_message(events.Key(KEYS.get(character, character), character))


def written(app: HaloApp) -> str:
    return app.main.query_one(Prompt).get_draft()


class Hasty(HaloApp):
    """Somebody types before there is anything to type into."""

    CSS_PATH = str(Path(key_order.__file__).parent / "app.tcss")
    text = "hello"

    def on_load(self) -> None:  # Textual calls that of HaloApp, too
        type_at_once(self, self.text[:2])

    async def on_mount(self) -> None:
        type_at_once(self, self.text[2:4])
        self.set_timer(0.001, lambda: self.post_message(events.Paste(self.text[4:])))


@asynccontextmanager
async def hasty(folder: Path, first: bool = False) -> AsyncIterator[tuple[HaloApp, Pilot[int]]]:
    app = Hasty(Config(), folder, ScriptedClient(), first_start=first)
    async with app.run_test(size=(100, 30)) as pilot:
        await until(lambda: app.main.is_mounted and app.main.current)
        yield app, pilot
        await app.stop_workspace()


@pytest.mark.parametrize("first", [False, True])
async def test_what_is_typed_while_the_app_opens_waits_for_the_prompt(
    tmp_path: Path, first: bool
) -> None:
    async with hasty(tmp_path, first) as (app, pilot):
        await until(lambda: written(app) == "hello" and app.screen is app.main)
        await pilot.press("enter")
        await until(lambda: app.workspace.get("ada").turns)
        assert app.workspace.get("ada").turns[0].text == "hello"


async def test_a_draft_of_last_time_is_not_what_early_keys_end_in(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, _, _pilot):
        app.main.query_one(Prompt).set_draft("I was ")
        app.main.keep_draft()
    async with hasty(tmp_path) as (app, _):
        await until(lambda: written(app) == "I was hello")


async def test_whoever_writes_does_not_want_the_greeting(tmp_path: Path) -> None:
    app = HaloApp(Config(), tmp_path, ScriptedClient(), first_start=True)
    async with app.run_test(size=(100, 30)) as pilot:
        await until(lambda: isinstance(app.screen, ModelsScreen))
        type_at_once(app, "down", "up", "Hi there")
        await until(lambda: written(app) == "Hi there")
        assert app.screen is app.main
        app.main.controller.start("models")  # asked for: it stays
        await until(lambda: isinstance(app.screen, ModelsScreen))
        await pilot.press("x")
        assert isinstance(app.screen, ModelsScreen)
        await app.stop_workspace()


async def test_keys_go_where_the_one_before_leads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A busy machine may open a dialog later than keys wait for it.
    monkeypatch.setattr(key_order.KeyOrder.hold, "__defaults__", (20.0,))
    async with running(tmp_path) as (app, _, pilot):
        type_at_once(app, "draft", "alt+2", "xyz", "alt+1", "+more")
        await until(lambda: written(app) == "draft+more")
        assert app.workspace.get("grace").draft == "xyz"

        type_at_once(app, "f3", "abc")
        await until(lambda: isinstance(app.focused, Input) and app.focused.value == "abc")
        await pilot.press("escape", "ctrl+u")

        type_at_once(app, "ctrl+n", "bob")
        await until(lambda: isinstance(app.screen, AgentEditor))
        await until(lambda: isinstance(app.focused, Input) and app.focused.value == "bob")
        await pilot.press("escape")
        await until(lambda: app.screen is app.main)

        type_at_once(app, "/rename zed", "enter", "hello")
        await until(lambda: "zed" in app.workspace.names and app.main.current == "zed")
        await until(lambda: written(app) == "hello")
        await pilot.pause(0.3)
        assert written(app) == "hello"


async def test_an_action_that_takes_long_holds_keys_only_for_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_order.KeyOrder.hold, "__defaults__", (0.05,))
    async with running(tmp_path) as (app, _, _pilot):
        never = asyncio.Event()
        app.main.controller.begin(never.wait())  # type: ignore[arg-type]
        await asyncio.sleep(0)
        type_at_once(app, "on we go")
        await until(lambda: written(app) == "on we go")
        never.set()


async def test_what_is_typed_behind_an_editing_key_does_not_overtake_it(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, _, pilot):
        type_at_once(
            app,
            "tezt",
            "backspace",
            "backspace",
            "st",
            "left",
            "left",
            "backspace",
            "E",
            "home",
            "a",
        )
        await until(lambda: written(app) == "atEst", what=f"for the text, not {written(app)!r}")
        await pilot.press("ctrl+n")
        await until(lambda: isinstance(app.screen, AgentEditor))
        field = app.screen.query_one("#name", Input)
        await until(lambda: app.focused is field)
        type_at_once(app, *["backspace"] * 8, "bob the builder")
        await until(lambda: field.value == "bob the builder")
