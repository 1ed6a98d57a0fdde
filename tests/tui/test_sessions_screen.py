"""Saved sessions in the app: the screen, commands, fork here, cells put aside; scripted engine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from agents.saved import Saved
from engine.errors import EngineError
from engine.protocol import Away
from tests.support.scripted import ScriptedClient
from tests.support.waiting import settled, until
from tests.tui.test_app import SIZES, running, screen_text, toasts, write
from tests.tui.test_compaction import asked, session
from tests.unit.test_saved_sessions import damage
from tui.app import HaloApp
from tui.screens.dialogs import AskText, Confirm
from tui.screens.sessions import FilterInput, SessionsScreen, columns, fit, heading, matches
from tui.widgets.agent_list import AgentList, AgentTabs
from tui.widgets.chat.popup import Popup
from tui.widgets.chat.prompt import Prompt
from tui.widgets.chat.transcript import Transcript
from tui.widgets.key_bar import KeyBar
from tui.widgets.session_words import aside, size, when


def answering() -> ScriptedClient:
    return ScriptedClient(lambda _: "You work at Halo Labs.")


async def say(app: HaloApp, text: str = "Where do I work?", name: str = "ada") -> None:
    await app.workspace.tell(name, text)
    await until(lambda: not app.workspace.get(name).busy)


async def save(app: HaloApp, title: str, name: str = "ada", age: float = 0) -> Saved:
    saved = await app.workspace.sessions.save_as(name, title)
    os.utime(saved.path, (saved.path.stat().st_mtime - age,) * 2)
    return saved


async def three(app: HaloApp) -> list[Saved]:
    """Saved sessions, oldest first."""
    await say(app)
    await say(app, "Hi, I'm Mira.", "grace")
    made = [("first steps", "ada", 50), ("trip to Geneva", "grace", 20), ("newest", "ada", 0)]
    return [await save(app, *what) for what in made]


async def opened(app: HaloApp, pilot: Pilot[int]) -> SessionsScreen:
    await pilot.press("ctrl+s")
    await until(lambda: isinstance(app.screen, SessionsScreen))
    screen = app.screen
    assert isinstance(screen, SessionsScreen)
    await until(lambda: screen.found is not None and app.focused is not None)
    await pilot.pause()
    return screen


async def answer(app: HaloApp, pilot: Pilot[int], text: str) -> str:
    """Put text into the dialog that asks for it. Returns what was there."""
    await until(lambda: isinstance(app.screen, AskText), what="for the question")
    field = app.screen.query_one(Input)
    given, field.value = field.value, text
    await pilot.press("enter")
    await pilot.pause()
    return given


def titles(screen: SessionsScreen) -> list[str]:
    return [saved.title for saved in screen.shown]


def choice(screen: SessionsScreen) -> str:
    chosen = screen._chosen()
    return chosen.title if chosen else ""


# --- the screen ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
async def test_the_list_tells_everything_at_every_size(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    async with running(tmp_path, size, answering()) as (app, _, pilot):
        await three(app)
        screen = await opened(app, pilot)
        assert sorted(titles(screen)) == ["first steps", "newest", "trip to Geneva"]
        text = screen_text(app)
        for words in (
            "first steps", "trip to Geneva", "1,200 → 240", "5.0×", "2 messages", "scripted",
            "You work at Halo Labs.", "restore", "delete", "newest first",
        ):  # fmt: skip
            assert words in text, words
        await pilot.press("escape")
        await until(lambda: app.screen is app.main)


async def test_an_empty_list_says_how_to_begin(tmp_path: Path) -> None:
    async with running(tmp_path, (80, 24), answering()) as (app, _, pilot):
        screen = await opened(app, pilot)
        assert "Nothing is saved yet" in screen_text(app) and "saves ada" in screen_text(app)
        await pilot.press("enter", "d", "r", "e")
        await pilot.press("s")
        await until(lambda: "said nothing yet" in toasts(app))
        await pilot.press("u")
        await until(lambda: "Nothing was deleted" in toasts(app))
        assert app.screen is screen


async def test_typing_filters_and_enter_restores(tmp_path: Path) -> None:
    async with running(tmp_path, client=answering()) as (app, client, pilot):
        await three(app)
        screen = await opened(app, pilot)
        await pilot.press("slash", *"mira", "backspace")
        await pilot.pause()
        await until(lambda: not titles(screen), what="for nothing to be found")
        assert "Nothing has “mir”" in screen_text(app)
        await pilot.press("escape")
        await until(lambda: len(titles(screen)) == 3)
        await pilot.press("slash", *"GRACE trip")
        await until(lambda: titles(screen) == ["trip to Geneva"])
        await pilot.press("enter")
        await until(lambda: app.main.current == "grace-2")
        assert app.screen is app.main
        await until(lambda: "1,200 tokens are back" in toasts(app))
        assert asked(client, "restore")[-1][0] == session(app, "grace-2")
        assert app.workspace.get("grace-2").turns[0].text == "Hi, I'm Mira."


async def test_the_arrows_move_while_one_types(tmp_path: Path) -> None:
    async with running(tmp_path, client=answering()) as (app, _, pilot):
        await three(app)
        screen = await opened(app, pilot)
        await pilot.press("slash", "e", "down", "down", "down", "up")
        await pilot.pause()
        assert screen.query_one(OptionList).highlighted == 1
        await pilot.press("tab")
        assert app.focused is screen.query_one(OptionList)
        await pilot.press("tab")
        assert app.focused is screen.query_one(FilterInput)


async def test_saving_asks_for_a_name_and_offers_one(tmp_path: Path) -> None:
    async with running(tmp_path, client=answering()) as (app, client, pilot):
        await three(app)
        screen = await opened(app, pilot)
        await pilot.press("s")
        assert await answer(app, pilot, "../sneaky") == "Where do I work"
        await until(lambda: "sneaky" in titles(screen))
        assert asked(client, "save")[-1] == session(app)
        await until(lambda: "Saved “sneaky”: 1,200 tokens in 240 cells" in screen_text(app))
        await until(lambda: choice(screen) == "sneaky")
        chosen = screen._chosen()
        assert chosen and chosen.path.parent == app.workspace.data_dir / "saved"
        await pilot.press("s")
        await until(lambda: isinstance(app.screen, AskText))
        await pilot.press("escape")
        await pilot.pause()
        assert len(screen.shown) == 4


async def test_renaming_keeps_the_choice(tmp_path: Path) -> None:
    async with running(tmp_path, client=answering()) as (app, _, pilot):
        await three(app)
        screen = await opened(app, pilot)
        at = titles(screen).index("first steps")
        screen.query_one(OptionList).highlighted = at
        await pilot.press("r")
        assert await answer(app, pilot, "last steps") == "first steps"
        await until(lambda: "last steps" in titles(screen))
        await until(lambda: choice(screen) == "last steps")
        assert "first steps" not in titles(screen)


async def test_deleting_is_undone(tmp_path: Path) -> None:
    async with running(tmp_path, client=answering()) as (app, _, pilot):
        await three(app)
        screen = await opened(app, pilot)
        first, second = titles(screen)[:2]
        await pilot.press("d")
        await until(lambda: first not in titles(screen))
        await until(lambda: f"Deleted “{first}”. u brings it back" in screen_text(app))
        assert choice(screen) == second, "its neighbour is chosen"
        await pilot.press("delete")
        await until(lambda: len(screen.shown) == 1)
        await pilot.press("d")
        await until(lambda: not screen.shown)
        await until(lambda: "Nothing is saved yet" in screen_text(app))
        await until(lambda: "undo" in screen_text(app))
        await pilot.press("u", "u", "u")
        await until(lambda: len(screen.shown) == 3 and choice(screen) == first)
        await until(lambda: f"“{first}” is back" in screen_text(app))


async def test_exporting_asks_where_and_before_it_replaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with running(tmp_path / "data", client=answering()) as (app, _, pilot):
        await say(app)
        await save(app, "one")
        screen = await opened(app, pilot)
        await pilot.press("e")
        given = await answer(app, pilot, str(tmp_path / "one.md"))
        assert Path(given).expanduser() == tmp_path / "one.md"
        await until(lambda: "Exported to" in screen_text(app))
        (tmp_path / "one.md").write_text("mine")
        await pilot.press("e")
        await answer(app, pilot, "one.md")
        await until(lambda: isinstance(app.screen, Confirm))
        await pilot.press("escape")
        await until(lambda: app.screen is screen)
        assert (tmp_path / "one.md").read_text() == "mine"
        await pilot.press("e")
        await answer(app, pilot, "one.halo")
        await until(lambda: (tmp_path / "one.halo").is_file())
        await pilot.press("e")
        await answer(app, pilot, "one.txt")
        await until(lambda: "does not say what to write" in toasts(app))


async def test_importing_a_file(tmp_path: Path) -> None:
    async with running(tmp_path / "data", client=answering()) as (app, _, pilot):
        await say(app)
        file = await app.workspace.sessions.export("ada", tmp_path / "talk.json")
        screen = await opened(app, pilot)
        await pilot.press("i")
        await answer(app, pilot, str(tmp_path / "no.json"))
        await until(lambda: "There is no file" in toasts(app))
        assert app.screen is screen
        await pilot.press("i")
        await answer(app, pilot, str(file))
        await until(lambda: app.main.current == "ada-2" and app.screen is app.main)
        await until(lambda: "2 messages are read with the next prompt" in toasts(app))


async def test_damaged_ones_are_listed_and_salvaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agents import talk as talks

    async with running(tmp_path, (80, 24), answering()) as (app, _, pilot):
        await say(app)
        await save(app, "bad")
        damage(monkeypatch, talks.encode(talks.talk_of(app.workspace.get("ada"))))
        await opened(app, pilot)
        text = screen_text(app)
        assert "✗ bad" in text and "bad.halo is damaged in state.bin" in text
        assert "restores what can be saved" in text
        await pilot.press("enter")
        await until(lambda: app.main.current == "ada-2")
        await until(lambda: "could be saved" in toasts(app))
        assert {n.severity for n in app._notifications} == {"warning"}


async def test_the_mouse_chooses_first_and_then_restores(tmp_path: Path) -> None:
    async with running(tmp_path, client=answering()) as (app, _, pilot):
        await three(app)
        screen = await opened(app, pilot)
        await pilot.click(OptionList, offset=(10, 1))
        await pilot.pause()
        assert app.screen is screen and screen.query_one(OptionList).highlighted == 1
        await pilot.click(KeyBar, offset=(screen_text(app).split("\n")[-1].index("delete"), 0))
        await until(lambda: len(screen.shown) == 2)
        await pilot.pause()
        await pilot.click(OptionList, offset=(10, 1))
        await until(lambda: app.screen is app.main and len(app.workspace.agents) == 4)


def test_columns_fit_every_width() -> None:
    for width in range(60, 220):
        rooms = columns(width)
        assert rooms["title"] >= 16
        assert heading(width).cell_len <= max(width, 76) + 20
    assert fit("日本語の題", 6) == "日本… " and fit("a\x1b[31m\nb", 9).isprintable()


def test_filter_words_are_anywhere() -> None:
    saved = Saved(Path("x"), "ada", "Trip to Geneva", 2, 9, 9, "mini", "see the lake", 0.0, 1)
    assert matches("geneva ADA", saved) and matches("lake", saved) and not matches("paris", saved)
    assert size(999) == "999 B" and size(1234) == "1.2 kB" and size(5_200_000) == "5.2 MB"
    assert size(70_000_000_000) == "70.0 GB" and when(1e300) == "–" and when(0) == "–"


# --- commands ------------------------------------------------------------------------------------


async def test_save_and_restore_by_command(tmp_path: Path) -> None:
    async with running(tmp_path, client=answering()) as (app, _, pilot):
        await write(pilot, app, "/save")
        await until(lambda: "ada has said nothing yet. Talk first" in toasts(app))
        await say(app)
        await write(pilot, app, "/save Trip to Geneva")
        await until(lambda: "Saved as “Trip to Geneva”: 1,200 tokens in 240 cells" in toasts(app))
        await write(pilot, app, "/restore Trip to Genf")
        await until(lambda: "Did you mean Trip to Geneva?" in toasts(app))
        await write(pilot, app, "/restore trip")
        await until(lambda: app.main.current == "ada-2")
        await write(pilot, app, "/restore")
        await until(lambda: isinstance(app.screen, SessionsScreen))


async def test_titles_are_completed(tmp_path: Path) -> None:
    async with running(tmp_path, client=answering()) as (app, _, pilot):
        await three(app)
        await until(lambda: len(app.main.names.sessions) == 3)
        popup = app.main.query_one(Popup)
        app.main.query_one(Prompt).focus_input()
        await pilot.press(*"/restore gen")
        await until(lambda: [c.value for c in popup.choices] == ["trip to Geneva"])
        await pilot.press("tab")
        await pilot.pause()
        assert app.main.query_one(Prompt).get_draft() == "/restore trip to Geneva"
        await pilot.press("enter")
        await until(lambda: app.main.current == "grace-2")
        await pilot.press(*"/restore nothing", "enter")  # ahead of the list of completions
        await until(lambda: "no saved session called 'nothing'" in toasts(app))
        assert len(app.workspace.agents) == 4


async def test_why_cells_are_read_again_is_a_warning(tmp_path: Path) -> None:
    async with running(tmp_path, client=answering()) as (app, client, pilot):
        await say(app)
        await save(app, "one")
        client.refuse_session = EngineError("It was saved with Qwen.", "Load that.", "other_model")
        await write(pilot, app, "/restore one")
        await until(lambda: "It was saved with Qwen. Load that." in toasts(app))
        assert app.main.current == "ada-2"
        assert {n.severity for n in app._notifications} == {"warning"}


async def test_export_by_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with running(tmp_path / "data", client=answering()) as (app, _, pilot):
        await say(app)
        await write(pilot, app, "/export talk")
        await until(lambda: (tmp_path / "talk.md").is_file())
        await write(pilot, app, "/export")
        assert Path(await answer(app, pilot, "talk.json")).name == "ada.md"
        await until(lambda: (tmp_path / "talk.json").is_file())
        await write(pilot, app, "/export talk.json")
        await until(lambda: isinstance(app.screen, Confirm))
        await pilot.press("escape")


async def test_fork_by_command(tmp_path: Path) -> None:
    async with running(tmp_path, client=answering()) as (app, client, pilot):
        await write(pilot, app, "/fork")
        await until(lambda: "Talk first, then fork" in toasts(app))
        await say(app)
        await write(pilot, app, "/fork what-if")
        await until(lambda: app.main.current == "what-if")
        assert asked(client, "fork") == [(session(app, "what-if"), session(app))]
        assert "what-if goes on from here; ada stays as it is." in toasts(app)


async def test_swap_and_pin_by_command(tmp_path: Path) -> None:
    async with running(tmp_path, client=answering()) as (app, client, pilot):
        await say(app)
        await write(pilot, app, "/swap")
        await until(lambda: "240 cells of ada are aside" in toasts(app))
        client.cells({}, away={session(app): Away(240, 4096, "memory")})
        await write(pilot, app, "/swap")
        await until(lambda: "240 cells of ada are back" in toasts(app))
        assert asked(client, "swap") == [(session(app), True), (session(app), False)]
        await write(pilot, app, "/swap sideways")
        await until(lambda: "neither out nor in" in toasts(app))
        await write(pilot, app, "/pin")
        await until(lambda: "stay in the cache" in toasts(app))
        assert asked(client, "pin") == [(session(app), True)]
        assert asked(client, "swap")[-1] == (session(app), False), "pinned ones are brought back"
        await until(lambda: "ada ◆" in screen_text(app))
        await write(pilot, app, "/pin off")
        await until(lambda: asked(client, "pin")[-1] == (session(app), False))
        await until(lambda: "ada ◆" not in screen_text(app))


# --- fork here -----------------------------------------------------------------------------------


async def test_fork_here_on_a_message(tmp_path: Path) -> None:
    async with running(tmp_path, client=answering()) as (app, client, pilot):
        await say(app)
        await say(app, "And who am I?")
        await pilot.pause()
        await pilot.press("alt+up")
        await until(lambda: app.focused is app.main.conversation.query_one(Transcript))
        assert "f fork here" in screen_text(app)
        await pilot.press("alt+up", "up")
        await pilot.press("f", "enter")
        await until(lambda: app.main.current == "ada-2")
        turns = app.workspace.get("ada").turns
        assert [t.text for t in app.workspace.get("ada-2").turns] == [t.text for t in turns[:2]]
        assert asked(client, "fork") == [(session(app, "ada-2"), session(app))]
        assert "goes on from that message" in toasts(app)
        await pilot.press("alt+up", "up", "f", "enter")
        await until(lambda: app.main.current == "ada-2-2")
        await until(lambda: "/regenerate answers its last prompt" in toasts(app))


async def test_no_fork_of_what_is_being_written(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, client, pilot):
        await app.workspace.send("Hi", "ada")
        await until(lambda: client.generations)
        client.say(session(app), "Hel")
        await pilot.press("alt+up", "f", "enter")
        await until(lambda: "It is being written" in toasts(app))
        assert "ada-2" not in app.workspace.names


# --- cells put aside -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
async def test_who_is_aside_and_pinned_is_shown(tmp_path: Path, size: tuple[int, int]) -> None:
    async with running(tmp_path, size) as (app, client, pilot):
        ada, grace, alan = (session(app, name) for name in ("ada", "grace", "alan"))
        away: dict[str, Any] = {
            grace: Away(1240, 5_000_000, "memory"), alan: Away(12_400, 50_000_000, "disk")
        }  # fmt: skip
        await app.workspace.sessions.pin("ada", True)
        client.cells({ada: 400}, away=away, pinned=(ada,))
        if size[0] < 100:
            await pilot.press("f4")
        await settled(pilot, 0.6)
        text = screen_text(app)
        assert "ada ◆" in text
        if app.main.query_one(AgentList).is_on_screen:
            assert "aside: 1,240" in text and "aside: 12,400" in text
        else:
            assert "◌ grace" in app.main.query_one(AgentTabs).render().plain
        assert "aside" in text and "55 MB" in text, "in all, below the legend"
        if size[1] > 30:
            assert "aside: 1,240 in memory" in text or "aside: 1,240 cells in memory" in text
            assert "aside: 12,400 on disk" in text or "aside: 12,400 cells on disk" in text
        client.cells({ada: 400, grace: 1240, alan: 12})
        await until(lambda: "aside" not in screen_text(app) and "◌" not in screen_text(app))


def test_words_for_cells_aside_fit() -> None:
    away = Away(1240, 1, "disk")
    assert aside(away) == "aside: 1,240 cells on disk"
    assert aside(away, 22) == "aside: 1,240 on disk"
    assert aside(away, 19) == "aside: 1,240 cells" and aside(away, 14) == "aside 1,240"
