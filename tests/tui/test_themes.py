"""Every theme can be drawn, on every screen; those of the terminal's own 16 colours have other names
for them."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.theme import BUILTIN_THEMES

from engine.protocol import CacheMap, CellRuns
from tests.support.waiting import until
from tests.tui.test_app import screen_text
from tests.tui.test_memory_panel import opened, running
from tui.themes import THEMES, rich_colour, solid
from tui.widgets.agent_list import AgentRow
from tui.widgets.cell_map import CellMap
from tui.widgets.memory.view import MemoryView

ANSI = [name for name, theme in BUILTIN_THEMES.items() if theme.ansi]
SCREENS = (  # key, and what stands on the screen then
    ("f1", "WRITING"), ("f6", "EVENT LOG"), ("ctrl+s", "SAVED SESSIONS"), ("ctrl+t", "COMPACTIONS"),
    ("alt+e", "EXPERTS"), ("alt+m", "MACHINE"), ("f2", "Edit ada"), ("f5", "you write here"),
)  # fmt: skip


@pytest.mark.parametrize("name", [*ANSI, *(theme.name for theme in THEMES)])
async def test_every_screen_in_a_theme(tmp_path: Path, name: str) -> None:
    async with running(tmp_path, (200, 60)) as (app, _, pilot):
        app.theme = name
        space, client = app.workspace, app.workspace.client
        ada = space.get("ada").id
        runs = CellRuns.of(("*", 64), (ada, 1800), ("~", 300), ("", 6028))
        client.emit(CacheMap(8192, 2164, 2164, 64, 300, {ada: 1864}, runs))  # type: ignore[attr-defined]
        for level in ("info", "warning", "error"):
            space.note(level, "engine", f"a line of {level}")
        await space.send("hi", "ada")
        await until(lambda: len(space.get("ada").turns) == 2 and not space.get("ada").busy)
        await until(lambda: "2,164/8,192 used" in screen_text(app))
        for key, words in SCREENS:
            await pilot.press(key)
            await until(lambda w=words: w in screen_text(app), what=f"for {words}")
            await pilot.press("escape")
            await until(
                lambda: (app.screen is app.main and not app.toasts_shown) or app.close_toasts()
            )
        await until(lambda: not app.main.grid_shown or app.main.close_something())
        view = await opened(app, pilot)
        for key in "12345":
            view.focus()
            await pilot.press(key)
            await pilot.pause()
        assert app.screen.query_one(MemoryView).tab == "cypher"


async def test_all_themes_one_after_the_other(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, _, pilot):
        await opened(app, pilot)
        for name in app.available_themes:
            app.theme = name
            await pilot.pause()
            assert "Priya Nair" in screen_text(app), name


async def test_another_theme_is_everywhere_at_once(tmp_path: Path) -> None:
    """Nothing changes but the theme: what is drawn rarely must not wait for news."""
    async with running(tmp_path) as (app, _, _pilot):
        client, ada = app.workspace.client, app.workspace.get("ada").id
        runs = CellRuns.of((ada, 100), ("", 8092))
        client.emit(CacheMap(8192, 100, 100, 0, 0, {ada: 100}, runs))  # type: ignore[attr-defined]
        await until(lambda: "100/8,192 used" in screen_text(app))
        dark = app.main.query_one(CellMap).render_line(0)
        row = app.main.query_one(AgentRow)
        drawn = row._line
        app.theme = "halo-light"
        await until(lambda: row._line != drawn, what="for the name in another colour")
        await until(lambda: app.main.query_one(CellMap).render_line(0) != dark)


async def test_colours_of_the_terminal(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, _, pilot):
        for name, ground in (("ansi-dark", "#000000"), ("ansi-light", "#ffffff")):
            app.theme = name
            await pilot.pause()
            assert rich_colour(app, "success", "") == "green"
            assert solid(app, "background", "") == ground != solid(app, "foreground", "")
