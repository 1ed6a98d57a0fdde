"""Choosing a model: the first start, loading another one, downloads, and what goes wrong."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import OptionList, ProgressBar, Static

from engine import hub, models, recommend
from engine.config import Config
from engine.errors import ModelError
from engine.models import MINI, ModelFile
from tests.support.scripted import ScriptedClient
from tests.support.waiting import until
from tui.app import HaloApp
from tui.screens.models import ModelsScreen
from tui.widgets.chat.popup import Popup
from tui.widgets.chat.prompt import Prompt

OTHER = "/models/other.gguf"


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two models on disk, one of them broken, and one worth downloading."""
    files = [
        ModelFile("halo-mini", MINI, 9_000_000, "ships with halo-tui"),
        ModelFile("other", Path(OTHER), 3_000_000_000, "folder"),
        ModelFile("broken", Path("/models/broken.gguf"), 10, "folder", "It is cut off."),
    ]
    monkeypatch.setenv("HALO_TUI_HOME", str(tmp_path))
    monkeypatch.setattr(models, "list_models", lambda _: files)
    monkeypatch.setattr(recommend, "recommend", lambda _: [recommend.TABLE[0]])


@asynccontextmanager
async def app_with(
    folder: Path, first: bool = False, config: Config | None = None
) -> AsyncIterator[tuple[HaloApp, list[ScriptedClient], Pilot[int]]]:
    """The app; `clients` gets every client that a restart makes. "bad" models do not load."""
    clients: list[ScriptedClient] = []

    def make(config: Config) -> ScriptedClient:
        client = ScriptedClient()
        if "other" in config.model.path and fails:
            client.start_error = ModelError("other.gguf cannot be loaded.", "Choose another.")
        clients.append(client)
        return client

    fails = bool(config)
    config = config or Config()
    app = HaloApp(config, folder / "data", make(Config()), make_client=make, first_start=first)
    async with app.run_test(size=(100, 40)) as pilot:
        await until(lambda: app.main.is_mounted and app.main.current)
        yield app, clients, pilot
        await app.stop_workspace()


def said(app: HaloApp) -> str:
    return " ".join(str(shown.render()) for shown in app.screen.query("#said").results(Static))


def toasts(app: HaloApp) -> str:
    return " ".join(str(n.message) for n in app._notifications)


async def opened(app: HaloApp) -> OptionList:
    await until(lambda: isinstance(app.screen, ModelsScreen))
    await until(lambda: "Looked into" in said(app))
    return app.screen.query_one(OptionList)


async def choose(app: HaloApp, pilot: Pilot[int], option: str) -> None:
    options = await opened(app)
    options.highlighted = options.get_option_index(option)
    await pilot.press("enter")


async def test_at_the_first_start_enter_is_enough(tmp_path: Path) -> None:
    async with app_with(tmp_path, first=True) as (app, clients, pilot):
        await until(lambda: isinstance(app.screen, ModelsScreen))
        await pilot.press("enter")  # at once, before the disk was looked at
        await until(lambda: app.screen is app.main)
        await pilot.press("h", "i", "enter")
        await until(lambda: app.workspace.get("ada").turns)
        assert len(clients) == 1, "the engine was not started again"
        assert not (tmp_path / "config.toml").exists()


async def test_another_model_is_loaded_and_only_that_key_written(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('# mine\n[ui]\ntheme = "halo-light"  # bright\n')
    async with app_with(tmp_path) as (app, clients, pilot):
        app.main.controller.start("models")
        options = await opened(app)
        assert options.get_option("file-2").disabled, "a broken file cannot be chosen"
        await choose(app, pilot, "file-1")
        await until(lambda: "is loaded and will be next time" in toasts(app))
        assert len(clients) == 2 and clients[0].stopped
        assert app.config.model.path == OTHER
        text = (tmp_path / "config.toml").read_text()
        assert '# mine\n[ui]\ntheme = "halo-light"  # bright\n' in text
        assert f'[model]\npath = "{OTHER}"\n' in text


async def test_a_name_that_is_none_opens_the_picker_at_the_nearest(tmp_path: Path) -> None:
    async with app_with(tmp_path) as (app, clients, pilot):
        prompt = app.main.query_one(Prompt)
        prompt.set_draft("/model othr")
        await pilot.press("enter")
        await until(lambda: "no model 'othr' here. Perhaps other?" in said(app))
        options = app.screen.query_one(OptionList)
        assert options.highlighted == options.get_option_index("file-1")
        assert "halo-tui models" not in said(app)
        await pilot.press("enter")
        await until(lambda: app.config.model.path == OTHER and len(clients) == 2)
        await until(lambda: "will be next time" in toasts(app))
        app.main.controller.start("model", "zzz")
        await until(lambda: "no model 'zzz' here. Enter takes" in said(app))
        await pilot.press("escape")
        await until(lambda: app.screen is app.main)
        assert app.config.model.path == OTHER


async def test_any_repository_of_the_hub_can_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str | None]] = []

    def pull(repo: str, file: str | None, progress: object) -> Path:
        asked.append((repo, file))
        if file is None:
            raise ModelError("maker/tiny has 2 GGUF files: a.gguf, b.gguf.", "Name one of them.")
        return Path(OTHER)

    monkeypatch.setattr(hub, "pull", pull)
    async with app_with(tmp_path) as (app, clients, pilot):
        app.main.controller.start("model", "maker/tiny")
        await until(lambda: "maker/tiny is not here. Enter downloads it" in said(app))
        await pilot.press("enter")
        await until(lambda: "Name one of them" in said(app))
        await pilot.press("escape")
        app.main.controller.start("model", "maker/tiny b.gguf")
        await until(lambda: "maker/tiny b.gguf is not here" in said(app))
        await pilot.press("enter")
        await until(lambda: app.config.model.path == OTHER and len(clients) == 2)
        assert asked == [("maker/tiny", None), ("maker/tiny", "b.gguf")]


async def test_models_are_completed(tmp_path: Path) -> None:
    async with app_with(tmp_path) as (app, _, pilot):
        app.main.query_one(Prompt).focus_input()
        await pilot.press(*"/model ")
        popup = app.main.query_one(Popup)
        await until(lambda: popup.display and popup.chosen is not None)
        await pilot.press(*"oth", "tab")
        assert app.main.query_one(Prompt).get_draft() == "/model other"


async def test_a_model_that_does_not_load_is_given_up_for_the_one_before(tmp_path: Path) -> None:
    async with app_with(tmp_path, config=Config()) as (app, clients, pilot):
        app.main.controller.start("models")
        await choose(app, pilot, "file-1")
        await until(lambda: "Going back to halo-mini" in toasts(app))
        await until(lambda: app.workspace.engine_state == "ready" and len(clients) == 3)
        assert app.config.model.path == ""
        assert not (tmp_path / "config.toml").exists()


async def test_a_download_shows_progress_and_esc_stops_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, stopped = threading.Event(), threading.Event()

    def pull(repo: str, file: str, progress: Callable[[int, int], Any]) -> Path:
        try:
            progress(250_000_000, 1_000_000_000)
            go.wait(60)
            progress(1_000_000_000, 1_000_000_000)
        except BaseException:
            stopped.set()
            raise
        return Path(OTHER)

    monkeypatch.setattr(hub, "pull", pull)
    async with app_with(tmp_path) as (app, clients, pilot):
        app.main.controller.start("models")
        await choose(app, pilot, "offer-0")
        await until(lambda: "0.25 of 1.00 GB" in said(app))
        assert app.screen.query_one(ProgressBar).percentage == 0.25
        await pilot.press("escape")
        await until(lambda: "Stopped." in said(app))
        go.set()
        await until(stopped.is_set)
        assert isinstance(app.screen, ModelsScreen) and len(clients) == 1

        stopped.clear()
        await pilot.press("enter")  # the same again, to its end
        await until(lambda: len(clients) == 2)
        await until(lambda: app.config.model.path == OTHER)
        assert not stopped.is_set()


async def test_a_download_that_fails_says_why_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pull(*_: Any) -> Path:
        raise ModelError("The disk is full.", "Free some space.")

    monkeypatch.setattr(hub, "pull", pull)
    async with app_with(tmp_path) as (app, _, pilot):
        app.main.controller.start("models")
        await choose(app, pilot, "offer-0")
        await until(lambda: "The disk is full. Free some space." in said(app))

        def surprise(*_: Any) -> Path:
            raise RuntimeError("what a library may do")

        monkeypatch.setattr(hub, "pull", surprise)
        await pilot.press("enter")
        await until(lambda: "what a library may do" in said(app))
        assert isinstance(app.screen, ModelsScreen)


async def test_a_model_that_is_loaded_is_not_loaded_again(tmp_path: Path) -> None:
    async with app_with(tmp_path) as (app, clients, _pilot):
        app.main.controller.start("model", "halo-mini")
        await until(lambda: "is loaded already" in toasts(app))
        assert len(clients) == 1
