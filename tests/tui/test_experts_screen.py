"""The experts' screen and its slash commands, driven by keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from textual.widgets import Static

from engine.config import Config
from engine.errors import EngineError
from tests.support.scripted import READY, ScriptedClient
from tests.support.waiting import until
from tui import arguments
from tui.app import HaloApp
from tui.screens.experts import ExpertsScreen
from tui.widgets.expert_map import expert_map, grouped, slider


@asynccontextmanager
async def opened(folder: Path, size: tuple[int, int] = (120, 40)) -> AsyncIterator[Any]:
    app = HaloApp(Config(), folder, ScriptedClient())
    async with app.run_test(size=size) as pilot:
        await until(lambda: app.main.is_mounted and app.main.current)
        await until(lambda: app.workspace.engine_state == "ready")
        client = app.workspace.client
        assert isinstance(client, ScriptedClient)
        yield pilot, app, client


def shown(app: HaloApp) -> str:
    return "\n".join(str(w.content) for w in app.screen.query(Static))


async def test_keys_change_the_policy_and_the_bonus(tmp_path: Path) -> None:
    async with opened(tmp_path) as (pilot, app, client):
        await pilot.press("alt+e")
        await until(lambda: isinstance(app.screen, ExpertsScreen))
        await until(lambda: client.settings.get("experts.watch") is True)
        assert "Nobody decodes" in shown(app)
        await pilot.press("c")
        await until(lambda: client.settings.get("experts.policy") == "cache")
        client.experts()
        await until(lambda: "18.2" in shown(app))
        text = shown(app)
        assert "of 64 experts" in text and "35.4 without" in text
        assert "replaced 4.1%/15%" in text and "81% read in the step before" in text
        await pilot.press("right")
        await until(lambda: client.settings.get("experts.bonus") == 0.3)
        await pilot.press("left", "left")
        await until(lambda: client.settings.get("experts.bonus") == 0.15)
        await pilot.press("m")
        await until(lambda: client.settings.get("experts.bonus") == -1.0)
        await pilot.press("a")
        await until(lambda: client.settings.get("experts.ab") is True)
        client.experts(ab="done", ab_factor=1.31)
        await until(lambda: "1.31× tokens a second" in shown(app))
        client.experts(guard="lowered", scale=0.7)
        await until(lambda: "has lowered the bonus to 70%" in shown(app))
        assert app.config.experts.policy == "cache", "a new core starts with it"
        await pilot.press("escape")
        await until(lambda: client.settings.get("experts.watch") is False)
        assert any("Expert routing: cache" in entry.text for entry in app.workspace.log)


async def test_what_the_engine_refuses_is_said_and_not_kept(tmp_path: Path) -> None:
    async with opened(tmp_path) as (pilot, app, client):

        async def refuse(key: str, value: object) -> None:
            if key == "experts.policy":
                raise EngineError("This model has no experts to route.", "Load a mixture.")

        client.configure = refuse
        await pilot.press("alt+e")
        await until(lambda: isinstance(app.screen, ExpertsScreen))
        await pilot.press("c")
        await until(lambda: [n for n in app._notifications if "no experts" in n.message])
        assert app.config.experts.policy == "off"


async def test_dense_models_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import msgspec

    from tests.support import scripted

    monkeypatch.setattr(scripted, "READY", msgspec.structs.replace(READY, n_expert=0))
    async with opened(tmp_path) as (pilot, app, _):
        await pilot.press("alt+e")
        await until(lambda: isinstance(app.screen, ExpertsScreen))
        assert "has no experts" in shown(app)


async def test_slash_commands(tmp_path: Path) -> None:
    async with opened(tmp_path) as (_, app, client):
        app.main.controller.slash("experts", "cache 0.4")
        await until(lambda: client.settings.get("experts.policy") == "cache")
        assert client.settings["experts.bonus"] == 0.4
        app.main.controller.slash("expertsrecord", str(tmp_path / "x.experts"))
        await until(lambda: client.settings.get("experts.record") == str(tmp_path / "x.experts"))
        app.main.controller.slash("experts", "fast")
        await until(lambda: [n for n in app._notifications if "neither a policy" in n.message])


def test_what_may_be_written() -> None:
    assert arguments.experts("off") == ("off", None)
    assert arguments.experts("Cache 0,3") == ("cache", 0.3)
    assert arguments.experts("0.5") == ("", 0.5)


def test_the_map_fits_and_hides_nothing() -> None:
    client = ScriptedClient()
    seen: list[Any] = []
    client.subscribe(seen.append)
    client.experts()
    event = seen[0]
    colours = ("dim",) * 5
    for width, height in ((20, 5), (80, 12), (200, 40)):
        lines = expert_map(event, width, height, colours).plain.split("\n")
        assert len(lines) <= height
        assert all(len(line) <= width for line in lines[:-1])
    heat = np.zeros((5, 10), np.uint8)
    heat[4, 9] = 255
    high, wide, small = grouped(heat, 2, 3)
    assert (high, wide) == (3, 4) and small.shape == (2, 3) and small[1, 2] == 255
    assert slider(0, 5) == "├●────┤" and slider(9, 5) == "├────●┤"
