"""Compaction in the app: commands, what is told, the map, the screen; on a scripted engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from textual.app import App, ComposeResult
from textual.widgets import OptionList, Static

from engine.errors import EngineError
from engine.protocol import CacheMap, CellRuns, State, Stretch
from tests.support.scripted import ScriptedClient
from tests.support.waiting import until
from tests.tui.test_app import SIZES, running, screen_text, toasts, write
from tui.app import HaloApp
from tui.screens.compactions import CompactionsScreen
from tui.widgets.agent_list import AgentList, AgentTabs
from tui.widgets.cache_pane import COMPACTED, CachePane, history, legend_text, solved_for
from tui.widgets.cell_map import CellMap
from tui.widgets.chat.popup import Popup, arguments
from tui.widgets.chat.prompt import Prompt
from tui.widgets.layer_plot import layer_plot

GOOD = "3,412 → 341 cells (10.0×), error 4% (eviction 22%)"


async def shown(app: HaloApp, text: str) -> None:
    """Wait for `text` on the screen; fails when it does not come."""
    await until(lambda: text in screen_text(app), what=f"for {text!r} on the screen")


def session(app: HaloApp, name: str = "ada") -> str:
    return app.workspace.get(name).id


def asked(client: ScriptedClient, what: str = "compact") -> list[Any]:
    return [value for kind, value in client.log if kind == what]


# --- commands ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "ratio"), [("/compact", 0.0), ("/compact 10", 10.0), ("/compact auto", -1.0)]
)
async def test_compact_asks_the_engine(tmp_path: Path, command: str, ratio: float) -> None:
    async with running(tmp_path) as (app, client, pilot):
        await write(pilot, app, command)
        await until(lambda: asked(client) == [(session(app), ratio, "")])
        assert app.workspace.get("ada").compaction is not None
        await until(lambda: "→←" in screen_text(app), what="for the list to say that it runs")
        assert not toasts(app), "the map lights up instead"


async def test_the_key_compacts_and_a_second_time_says_that_it_runs(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, client, pilot):
        await pilot.press("ctrl+o")
        await until(lambda: len(asked(client)) == 1)
        await pilot.press("ctrl+o")
        await until(lambda: "being compacted already" in toasts(app))
        assert len(asked(client)) == 1


async def test_stop_gives_it_up(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, client, pilot):
        await write(pilot, app, "/compact stop")
        await until(lambda: "ada is not being compacted" in toasts(app))
        await write(pilot, app, "/compact 10")
        await until(lambda: app.workspace.get("ada").compaction is not None)
        await write(pilot, app, "/compact stop")
        await until(lambda: "is given up; nothing changed" in toasts(app))
        assert asked(client, "cancel_compaction") == [session(app)]
        assert "begins again" not in toasts(app)
        client.compaction(session(app), "solve", trigger="pressure")
        await write(pilot, app, "/compact stop")
        await until(lambda: "begins again while an answer waits" in toasts(app))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("/compact lots", "neither a ratio nor auto nor stop"),
        ("/compact 1", "would free nothing"),
        ("/compact 5000", "up to 1000"),
        ("/auto maybe", "neither on nor off"),
        ("/auto on 130%", "not between 0 and 100%"),
    ],
)
async def test_what_cannot_be_meant_is_told_with_an_example(
    tmp_path: Path, command: str, words: str
) -> None:
    async with running(tmp_path) as (app, client, pilot):
        await write(pilot, app, command)
        await until(lambda: words in toasts(app))
        assert not asked(client) and not client.settings


async def test_a_refusal_of_the_engine_is_told(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, client, pilot):
        client.refuse_compaction = EngineError(
            "ada has too little to compact.", "Talk more.", "nothing"
        )
        await write(pilot, app, "/compact")
        await until(lambda: "too little to compact. Talk more." in toasts(app))
        assert app.workspace.get("ada").compaction is None


async def test_auto_is_switched_and_kept_as_a_setting(tmp_path: Path, own_home: Path) -> None:
    async with running(tmp_path) as (app, client, pilot):
        await write(pilot, app, "/auto off")
        await until(lambda: "only by /compact" in toasts(app))
        assert client.settings["compaction.auto"] is False
        await write(pilot, app, "/auto on 0.7")
        await until(lambda: "when 70% of them are in use" in toasts(app))
        assert client.settings == {"compaction.auto": True, "compaction.threshold": 0.7}
        saved = "".join(file.read_text() for file in own_home.rglob("*.toml"))
        assert "auto = true" in saved and "threshold = 0.7" in saved
        await write(pilot, app, "/auto")
        await until(lambda: client.settings["compaction.auto"] is False)


async def test_arguments_are_completed(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, client, pilot):
        popup = app.main.query_one(Popup)
        await pilot.press(*"/compac", "tab")
        await until(lambda: popup.display and popup.choices[0].label == "/compact")
        assert "/compact stop" in {choice.label for choice in popup.choices}
        await pilot.press("a")
        await until(lambda: [c.label for c in popup.choices] == ["/compact auto"])
        await pilot.press("enter")
        await until(lambda: asked(client) == [(session(app), -1.0, "")])
        assert app.main.query_one(Prompt).get_draft() == ""
        await pilot.press(*"/auto o", "down", "tab")
        await until(lambda: app.main.query_one(Prompt).get_draft() == "/auto on 70%")


def test_numbers_are_taken_as_they_are_typed() -> None:
    known = (("", "as set"), ("on", ""), ("on 70%", ""), ("10", ""), ("stop", ""))
    assert [c.value for c in arguments("", "x", known)] == ["", "on", "on 70%", "10", "stop"]
    assert [c.value for c in arguments("O", "x", known)] == ["on", "on 70%"]
    for typed in ("on", "on ", "1", "10", "on 7", "zebra"):
        assert not arguments(typed, "x", known), typed


# --- what is told --------------------------------------------------------------------------------


async def test_one_that_lands_out_of_sight_is_told(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, client, pilot):
        client.compaction(session(app), "done")
        await pilot.pause()
        assert not toasts(app), "the map and the log are in sight"
        await pilot.press("f4")
        await pilot.pause()
        client.compaction(session(app, "grace"), "done", trigger="threshold")
        await until(lambda: GOOD in toasts(app))
        app.clear_notifications()
        app.config.ui.notify = False
        client.compaction(session(app), "done")
        await pilot.pause()
        assert not toasts(app)


async def test_a_hidden_map_is_made_up_for_by_words(tmp_path: Path) -> None:
    async with running(tmp_path, (80, 24)) as (app, _, pilot):
        await write(pilot, app, "/compact 10")
        await until(lambda: "Compacting 3,412 cells of ada" in toasts(app))


async def test_a_high_error_is_a_warning_with_what_to_do(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, client, _):
        client.compaction(session(app), "done", error=0.42)
        await until(lambda: "/compact 5" in toasts(app))
        assert "error 42%" in toasts(app) and "engine.n_ctx" in toasts(app)
        assert {n.severity for n in app._notifications} == {"warning"}


@pytest.mark.parametrize(("trigger", "toasted"), [("manual", True), ("threshold", False)])
async def test_a_failure_is_told_once(tmp_path: Path, trigger: str, toasted: bool) -> None:
    async with running(tmp_path) as (app, client, _):
        client.compaction(
            session(app, "grace"), "failed", trigger=trigger, what="Too few queries.",
            remedy="Talk more.",
        )  # fmt: skip
        told = "Not compacted: Too few queries. "
        told += "Talk more." if toasted else "It is tried again when more was said."
        await until(lambda: told in [entry.text for entry in app.workspace.log])
        await until(lambda: (told in toasts(app)) is toasted)
        assert [n.severity for n in app._notifications] == ["error"] * toasted
        assert app.workspace.log[-1].level == ("error" if toasted else "warning")


async def test_who_waits_for_cells_says_so(tmp_path: Path) -> None:
    """Reading stands still while a compaction is awaited: no percentage, the reason."""
    async with running(tmp_path) as (app, client, pilot):
        await write(pilot, app, "hello")
        await until(lambda: app.workspace.get("ada").busy)
        why = "A compaction is about to free cells."
        client.emit(State(session(app), "prefill", why, done=90, total=100))
        await shown(app, "… waiting: A compaction is about")
        await shown(app, "waits for cells")
        client.compaction(session(app), "solve", trigger="pressure")
        await shown(app, "compacting 75%")
        client.emit(State(session(app), "prefill", done=95, total=100))
        await shown(app, "reading the prompt, 95 %")


async def test_the_pane_tells_what_holds_when_it_is_opened(tmp_path: Path) -> None:
    async with running(tmp_path, (80, 24)) as (app, client, _):
        client.emit(cells(402))
        await until(lambda: app.workspace.cache is not None)
        app.main.toggle_side()
        fill = app.main.query_one("#fill", Static)
        assert "702/1,000" in str(fill.render())


@pytest.mark.parametrize("size", SIZES)
async def test_lists_show_who_is_being_compacted(tmp_path: Path, size: tuple[int, int]) -> None:
    async with running(tmp_path, size) as (app, client, _):
        client.compaction(session(app), "solve")
        await shown(app, "ada →←")
        if app.main.query_one(AgentList).is_on_screen:
            await shown(app, "compacting 75%")
        client.compaction(session(app), "done")
        tabs = app.main.query_one(AgentTabs)
        await until(lambda: "→←" not in screen_text(app) and "→←" not in tabs.render().plain)


# --- the pane ------------------------------------------------------------------------------------


async def test_the_pane_says_what_was_kept_and_how_far_one_is(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, client, pilot):
        client.cells({session(app): 400}, folded={session(app): (3412, 341)})
        await shown(app, "kept 341 of 3,412 at 10.0×")
        client.compaction(session(app), "study")
        await shown(app, "compacting: studies 120/384")
        client.compaction(session(app), "solve")
        await shown(app, "compacting: layer 5/8, 10×")
        client.compaction(session(app), "done")
        pane = app.main.query_one(CachePane)
        pane.sample()
        await pilot.pause()
        assert f"{COMPACTED} compacted" in screen_text(app)


async def test_what_is_solved_ahead_is_told_while_its_cells_move(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, client, _):
        ada, grace = session(app), session(app, "grace")
        runs = CellRuns.of(("*", 64), (ada, 500), ("", 36), (grace, 400), ("", 3096))
        ahead = CacheMap(
            4096, 964, 1000, 64, 0, {ada: 564, grace: 464}, runs, solving=(Stretch(600, 300),)
        )
        client.emit(ahead)
        await shown(app, "prepares its compaction")
        assert solved_for(app.workspace.cache) == "grace"  # type: ignore[arg-type]
        client.compaction(grace, "solve")
        await shown(app, "compacting: layer 5/8")
        assert "prepares" not in screen_text(app)
        client.compaction(grace, "done")
        client.emit(msgspec.structs.replace(ahead, solving=()))
        await until(lambda: "prepares" not in screen_text(app))


def test_the_history_marks_compactions_in_its_upper_row() -> None:
    rows = history([0.3] * 10, 6, [False] * 8 + [True, False]).plain.split("\n")
    assert [len(row) for row in rows] == [6, 6]
    assert rows[0].index(COMPACTED) == 4


def test_details_give_way_to_agents_and_the_one_that_runs_stays() -> None:
    cache = CacheMap(1000, 300, 300, 0, 0, {"ada": 100, "grace": 100, "alan": 100}, ())
    colours = dict.fromkeys(("ada", "grace", "alan"), "#123456")
    details = {"grace": "compacting: layer 5/8", "ada": "kept", "alan": "kept"}
    signs = {"ada": "A", "grace": "G", "alan": "L"}
    text = legend_text(cache, colours, signs, 3, 32, details=details).plain
    assert text.count("kept\n") == 0 and "layer 5/8" in text
    assert all(name in text for name in colours)
    text = legend_text(cache, colours, signs, 6, 32, details=details).plain
    assert text.count("kept\n") == 2


# --- the map -------------------------------------------------------------------------------------

COLOURS = {"ada": "#4cc9f0", "grace": "#f472b6"}
SIGNS = {"ada": "A", "grace": "G"}


def cells(ada: int, solving: int = 0, fitted: int = 0) -> CacheMap:
    used = ada + 300
    return CacheMap(
        1000, used, used, 0, 0, {"ada": ada, "grace": 300},
        CellRuns.of(("ada", ada), ("grace", 300), ("", 1000 - used)),
        (Stretch(0, solving),) if solving else (), (Stretch(0, fitted),) if fitted else (),
    )  # fmt: skip


class MapApp(App[None]):
    """Nothing but a cell map."""

    def compose(self) -> ComposeResult:
        yield CellMap()


def drawn(shown: CellMap) -> str:
    return "".join(shown.render_line(y).text for y in range(shown.size.height))


async def test_a_span_that_is_solved_moves_and_fitted_cells_have_a_texture() -> None:
    app = MapApp()
    async with app.run_test(size=(40, 10)) as pilot:
        shown = app.query_one(CellMap)
        shown.show(cells(500), COLOURS, SIGNS)
        still = drawn(shown)
        assert "▓" not in still and "▒" not in still
        await pilot.pause(0.5)
        assert shown._phase == 0, "nothing moves when nothing happens"
        shown.show(cells(500, solving=400), COLOURS, SIGNS)
        first = drawn(shown)
        assert first.count("▓") == pytest.approx(0.4 * 400 / 2, abs=20), "crests over the span"
        await until(lambda: drawn(shown) != first, what="for the wave to move")
        shown.show(cells(140, fitted=40), COLOURS, SIGNS)
        assert "░" in drawn(shown), "what became free fades"
        await until(lambda: "░" not in drawn(shown))
        await pilot.pause(0.3)
        phase = shown._phase
        await pilot.pause(0.5)
        assert shown._phase == phase, "it is still again"
        assert drawn(shown).count("▒") + 1 == pytest.approx(0.04 * 400, abs=2)
        assert "a" in drawn(shown) and "A" in drawn(shown)


async def test_without_colour_letters_tell_it_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = MapApp()
    app.animation_level = "none"
    async with app.run_test(size=(40, 10)):
        shown = app.query_one(CellMap)
        shown.show(cells(500, solving=400), COLOURS, SIGNS)
        text = drawn(shown)
        assert text.count("▒") == pytest.approx(80, abs=6)
        assert text.count("A") == pytest.approx(120, abs=6), "whose span it is stays readable"
        shown.show(cells(140, fitted=40), COLOURS, SIGNS)
        text = drawn(shown)
        assert text.count("a") == pytest.approx(16, abs=1)
        assert text.count("A") == pytest.approx(40, abs=1)
        assert "░" not in text, "without animation nothing fades"


@pytest.mark.parametrize("colour", [True, False])
@pytest.mark.parametrize("size", [(20, 4), (60, 30)])
async def test_every_look_fits_the_box(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], colour: bool
) -> None:
    if not colour:
        monkeypatch.setenv("NO_COLOR", "1")
    app = MapApp()
    async with app.run_test(size=size):
        shown = app.query_one(CellMap)
        for cache in (cells(500, 999, 77), cells(100, 0, 5000), cells(0), cells(700, 1, 1)):
            shown.show(cache, COLOURS, SIGNS)
            widths = [shown.render_line(y).cell_length for y in range(size[1])]
            assert widths == [size[0]] * size[1]


# --- the screen ----------------------------------------------------------------------------------


def some(app: HaloApp, client: ScriptedClient) -> None:
    client.compaction(session(app), "done", trigger="threshold")
    client.compaction(session(app, "alan"), "failed", what="Too few queries.", remedy="Talk more.")
    client.compaction(
        session(app, "grace"), "done", trigger="session", cells_before=1200, cells_after=60,
        ratio=40.0, error=0.41, error_evict=0.8, source="later+recap",
    )  # fmt: skip


@pytest.mark.parametrize("size", SIZES)
async def test_the_screen_tells_everything_of_the_one_chosen(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    async with running(tmp_path, size) as (app, client, pilot):
        some(app, client)
        await pilot.press("ctrl+t")
        await until(lambda: isinstance(app.screen, CompactionsScreen))
        await pilot.pause()
        text = screen_text(app)
        for words in (
            "3,412 → 341", "tokens 4 to 3,416", "cells short", "Too few queries.", "41%",
            "plain eviction 22%", "-1.20 to 3.00", "1.30×", "512 for each head", "from recap",
            "others held up 6 ms", "error by layer", "mean", "evict",
        ):  # fmt: skip
            assert words in text, words
        await pilot.press("home")
        await pilot.pause()
        text = screen_text(app)
        assert "The error is high" in text and "40.0× over all rounds" in text
        assert "later and recap" in text
        await pilot.press("down")
        await pilot.pause()
        assert "Talk more." in screen_text(app)
        await pilot.press("escape")
        await until(lambda: app.screen is app.main)


async def test_the_screen_follows_what_runs_and_keeps_the_choice(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, client, pilot):
        some(app, client)
        await write(pilot, app, "/compactions")
        await until(lambda: isinstance(app.screen, CompactionsScreen))
        await pilot.pause()
        options = app.screen.query_one(OptionList)
        assert options.highlighted == 2, "the newest of the agent one looks at"
        client.compaction(session(app, "grace"), "study")
        await until(lambda: options.option_count == 4)
        await pilot.pause()
        assert options.highlighted == 3, "the same one"
        assert "compacting: studies 120/384" in screen_text(app)
        client.compaction(session(app, "grace"), "solve")
        await pilot.pause()
        assert "compacting: layer 5/8" in screen_text(app)
        client.compaction(session(app, "grace"), "done")
        await pilot.pause()
        assert options.option_count == 4 and "compacting" not in screen_text(app)


async def test_an_empty_screen_says_how_to_begin(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, _, pilot):
        await pilot.press("ctrl+t")
        await until(lambda: isinstance(app.screen, CompactionsScreen))
        await pilot.pause()
        assert "/compact 10" in str(app.screen.query_one("#facts", Static).render())


@pytest.mark.parametrize("layers", [1, 8, 64, 130])
@pytest.mark.parametrize(("width", "height"), [(30, 4), (60, 8), (96, 14)])
def test_the_plot_fits_and_hides_no_layer(layers: int, width: int, height: int) -> None:
    values = [0.001 + 0.002 * i for i in range(layers)]
    lines = layer_plot(values, 0.02, 0.9, width, height).plain.split("\n")
    assert height - 1 <= len(lines) <= height
    assert max(len(line) for line in lines) <= width
    assert "evict" in lines[-1] and "%" in lines[0]
    assert "1" in lines[-1]
    assert "e+" not in lines[0]


def test_a_plot_of_nothing_says_so() -> None:
    assert "no error" in layer_plot((), 0.0, 0.0, 60, 8).plain
    assert "evict" not in layer_plot((0.1, 0.2), 0.15, 0.0, 60, 8).plain
