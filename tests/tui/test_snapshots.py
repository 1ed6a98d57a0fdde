"""Pictures of the screen that somebody looked at; a change of looks must be meant.

`pytest tests/tui/test_snapshots.py --snapshot-update` draws them anew: look before committing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input

from agents.saved import Saved
from engine.config import Config
from engine.protocol import Away, CacheMap, CellRuns, Stats, Stretch
from tests.support.memory import ListMemory
from tests.support.scripted import ScriptedClient
from tests.support.waiting import settled, until
from tui.app import HaloApp
from tui.screens.experts import ExpertsScreen
from tui.screens.sessions import FilterInput, SessionsScreen
from tui.widgets.cache_pane import CachePane
from tui.widgets.chat.prompt import Prompt
from tui.widgets.memory.console import CypherArea
from tui.widgets.memory.entities import EntityList
from tui.widgets.memory.view import MemoryView

ANSWER = "You work at **Halo Labs**.\n\n```python\nprint('halo')\n```\n\n- one\n- two\n"


@pytest.fixture(autouse=True)
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that stands, in one time zone, and no animation."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.0)
    monkeypatch.setenv("TEXTUAL_ANIMATIONS", "none")


def app_of(folder: Path) -> HaloApp:
    config = Config()
    config.chat.default_agent = "alan"  # ada's chat is mounted when her turns are complete
    config.ui.notify = False  # toasts come and go by the clock
    return HaloApp(config, folder, ScriptedClient(lambda _: ANSWER))


def scene(app: HaloApp, *keys: str) -> Callable[[Any], Any]:
    """A short talk with two agents, some cells, then keys."""

    async def play(pilot: Any) -> None:
        space, client = app.workspace, app.workspace.client
        assert isinstance(client, ScriptedClient)
        await until(lambda: app.main.is_mounted and app.main.current)
        await space.send("Hi, I'm Ada and I work at Halo Labs.", "ada")
        await until(lambda: not space.get("ada").busy)
        await space.send("@grace where do I work?", "ada")
        await until(lambda: space.get("grace").turns)
        await until(lambda: not space.get("grace").busy)
        for agent in space.agents:
            for turn in agent.turns:
                turn.ttft, turn.tok_s, turn.seconds = 0.031, 120.0, 0.5
        ada, grace = space.get("ada").id, space.get("grace").id
        runs = CellRuns.of(("*", 64), (ada, 1800), (grace, 900), ("~", 300), ("", 5128))
        client.emit(CacheMap(8192, 3064, 3064, 64, 300, {ada: 1864, grace: 964}, runs))
        client.emit(Stats(812.0, 2400.0, 2, 0, 1, 4.0, 100, {}))
        pane = app.main.query_one(CachePane)
        pane.history.extend([3064 / 8192] * len(pane.history))
        await app.main.show_agent("ada")
        app.clear_notifications()
        app.main.query_one(Prompt).query("TextArea").first().cursor_blink = False  # type: ignore[attr-defined]
        for key in keys:
            await pilot.press(key)
        await settled(pilot)  # the timers of list, cells, history and grid come round
        await pilot.wait_for_scheduled_animations()

    return play


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)], ids=lambda s: f"{s[0]}x{s[1]}")
def test_chat(snap_compare: Any, tmp_path: Path, size: tuple[int, int]) -> None:
    app = app_of(tmp_path)
    assert snap_compare(app, terminal_size=size, run_before=scene(app))


def test_grid(snap_compare: Any, tmp_path: Path) -> None:
    app = app_of(tmp_path)
    assert snap_compare(app, terminal_size=(120, 40), run_before=scene(app, "f5"))


def test_grid_without_colour(
    snap_compare: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = app_of(tmp_path)
    keys = ("f5", *"@ada @alan hi")
    assert snap_compare(app, terminal_size=(80, 24), run_before=scene(app, *keys))


def test_help(snap_compare: Any, tmp_path: Path) -> None:
    app = app_of(tmp_path)
    assert snap_compare(app, terminal_size=(120, 40), run_before=scene(app, "f1"))


def test_without_colour(snap_compare: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = app_of(tmp_path)
    assert snap_compare(app, terminal_size=(120, 40), run_before=scene(app))


def test_cells_on_a_narrow_screen(snap_compare: Any, tmp_path: Path) -> None:
    app = app_of(tmp_path)
    assert snap_compare(app, terminal_size=(80, 24), run_before=scene(app, "f4"))


def test_editor_on_a_narrow_screen(snap_compare: Any, tmp_path: Path) -> None:
    app = app_of(tmp_path)
    assert snap_compare(app, terminal_size=(80, 24), run_before=scene(app, "f2"))


def test_light(snap_compare: Any, tmp_path: Path) -> None:
    app = app_of(tmp_path)
    app.config.ui.theme = "halo-light"
    assert snap_compare(app, terminal_size=(120, 40), run_before=scene(app))


def compacting(app: HaloApp, *keys: str) -> Callable[[Any], Any]:
    """Grace was compacted, alan badly; ada's span is being solved."""
    app.animation_level = "none"

    async def play(pilot: Any) -> None:
        space, client = app.workspace, app.workspace.client
        assert isinstance(client, ScriptedClient)
        await until(lambda: app.main.is_mounted and app.main.current)
        ada, grace, alan = (space.get(name).id for name in ("ada", "grace", "alan"))
        client.compaction(grace, "done", trigger="threshold")
        client.compaction(ada, "failed", what="Too few queries were seen.", remedy="Talk more.")
        client.compaction(
            alan, "done", trigger="session", cells_before=1200, cells_after=60, ratio=40.0,
            error=0.41, error_evict=0.8, by_layer=(0.2, 0.3, 0.35, 0.5, 0.6, 0.7, 0.4, 0.3),
            source="later+recap",
        )  # fmt: skip
        client.compaction(ada, "solve")
        runs = (("*", 64), (ada, 3500), (alan, 200), (grace, 900))
        used = sum(cells for _, cells in runs)
        client.emit(
            CacheMap(
                8192, used, used, 64, 0, {ada: 3564, alan: 264, grace: 964},
                CellRuns.of(*runs, ("", 8192 - used)), (Stretch(68, 3412),),
                (Stretch(3564, 60), Stretch(3764, 341)), {grace: (3412, 341), alan: (2400, 60)},
            )
        )  # fmt: skip
        pane = app.main.query_one(CachePane)
        await pilot.pause()
        pane.sample()
        for key in keys:
            await pilot.press(key)
        app.clear_notifications()
        app.main.query_one(Prompt).query("TextArea").first().cursor_blink = False  # type: ignore[attr-defined]
        await settled(pilot)
        app.main.drawing.sample_due = math.inf  # the history must not move on
        pane.history.extend([used / 8192] * len(pane.history))
        pane.marked.extend(index == 165 for index in range(len(pane.marked)))
        pane.sample()
        await pilot.pause()

    return play


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=lambda s: f"{s[0]}x{s[1]}")
def test_cells_while_compacting(snap_compare: Any, tmp_path: Path, size: tuple[int, int]) -> None:
    app = app_of(tmp_path)
    keys = ("f4",) if size[0] < 100 else ()
    assert snap_compare(app, terminal_size=size, run_before=compacting(app, *keys))


def test_cells_while_compacting_without_colour(
    snap_compare: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = app_of(tmp_path)
    assert snap_compare(app, terminal_size=(120, 40), run_before=compacting(app))


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=lambda s: f"{s[0]}x{s[1]}")
def test_compactions(snap_compare: Any, tmp_path: Path, size: tuple[int, int]) -> None:
    app = app_of(tmp_path)
    assert snap_compare(app, terminal_size=size, run_before=compacting(app, "ctrl+t"))


SAVED = [
    Saved(Path(f"/data/saved/{title}.halo"), agent, title, *rest)
    for title, agent, *rest in (
        ("Where do I work", "ada", 14, 5840, 584, "halo-mini", "You work at Halo Labs.",
         1_699_999_000.0, 1_240_000, ""),
        ("before the long prompt", "grace", 6, 1210, 1210, "halo-mini",
         "Your name is Ada, and you like the sea.", 1_699_900_000.0, 2_512_000, ""),
        ("copied from a broken disk", "", 0, 0, 0, "", "", 1_699_890_000.0, 812_000,
         "It is damaged in manifest.json: its digest is wrong."),
        ("Plans for the trip to Geneva and what came of them", "alan", 212, 148_200, 9_880,
         "Qwen3-30B-A3B-Q4_K_M", "So we take the early train, and the boat back.",
         1_690_000_000.0, 982_000_000, ""),
        ("text of last year", "zoe", 20, 0, 0, "", "Until then!", 1_660_000_000.0, 18_200, ""),
    )
]  # fmt: skip


def sessions(app: HaloApp, *keys: str, saved: list[Saved] | None = None) -> Callable[[Any], Any]:
    """The screen of saved sessions, then keys."""
    app.animation_level = "none"

    async def play(pilot: Any) -> None:
        space = app.workspace
        space.sessions.saved = lambda: SAVED if saved is None else saved  # type: ignore[method-assign]
        await until(lambda: app.main.is_mounted and app.main.current == "alan")
        await pilot.press("ctrl+s")
        await until(lambda: isinstance(app.screen, SessionsScreen) and app.screen.found is not None)
        for key in keys:
            await pilot.press(key)
        app.screen.query_one(FilterInput).cursor_blink = False
        await settled(pilot, 0.5)

    return play


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)], ids=lambda s: f"{s[0]}x{s[1]}")
def test_sessions(snap_compare: Any, tmp_path: Path, size: tuple[int, int]) -> None:
    app = app_of(tmp_path)
    keys = ("down", "down") if size[0] == 80 else ()
    assert snap_compare(app, terminal_size=size, run_before=sessions(app, *keys))


def test_no_sessions_yet(snap_compare: Any, tmp_path: Path) -> None:
    app = app_of(tmp_path)
    assert snap_compare(app, terminal_size=(80, 24), run_before=sessions(app, saved=[]))


def test_cells_aside(snap_compare: Any, tmp_path: Path) -> None:
    """Grace and alan are out of the cache, ada stays in it."""
    app = app_of(tmp_path)

    async def play(pilot: Any) -> None:
        space, client = app.workspace, app.workspace.client
        assert isinstance(client, ScriptedClient)
        await until(lambda: app.main.is_mounted and app.main.current)
        await space.sessions.pin("ada", True)
        ada, grace, alan = (space.get(name).id for name in ("ada", "grace", "alan"))
        away = {grace: Away(12_400, 50_790_400, "disk"), alan: Away(1240, 5_079_040, "memory")}
        client.cells({ada: 3500}, away=away, pinned=(ada,))
        app.main.query_one(Prompt).query("TextArea").first().cursor_blink = False  # type: ignore[attr-defined]
        await settled(pilot)
        app.main.drawing.sample_due = math.inf
        pane = app.main.query_one(CachePane)
        pane.history.extend([0.4] * len(pane.history))
        pane.sample()
        app.clear_notifications()
        await pilot.pause()

    assert snap_compare(app, terminal_size=(120, 40), run_before=play)


def test_dead_engine(snap_compare: Any, tmp_path: Path) -> None:
    from engine.errors import ModelError

    client = ScriptedClient()
    client.start_error = ModelError("The file /models/x.gguf is cut off.", "Download it again.")
    app = HaloApp(Config(), tmp_path, client)

    async def play(pilot: Any) -> None:
        await until(lambda: app.main.is_mounted and app.main.current)
        await until(lambda: app.workspace.engine_state == "dead")
        app.main.query_one(Prompt).query("TextArea").first().cursor_blink = False  # type: ignore[attr-defined]
        app.clear_notifications()
        await settled(pilot, 0.6)

    assert snap_compare(app, terminal_size=(80, 24), run_before=play)


# --- memory --------------------------------------------------------------------------------------


def remembering(folder: Path, theme: str = "halo-dark") -> HaloApp:
    """An app whose memory knows two people, and learnt three facts since the start."""
    app = app_of(folder)
    app.config.ui.theme = theme
    app.animation_level = "none"
    app.workspace.memory = ListMemory()
    return app


def with_memory(app: HaloApp, *keys: str) -> Callable[[Any], Any]:
    """A short talk, the panel with Priya chosen, then keys."""
    talk = scene(app)

    async def play(pilot: Any) -> None:
        await talk(pilot)
        memory = app.workspace.memory
        assert isinstance(memory, ListMemory)
        for fact in ("f2", "f3", "f6"):
            closed = (memory.known["f0"],) if fact == "f6" else ()
            memory.learn(memory.known[fact], closed)
        await pilot.press("ctrl+g")
        await until(lambda: app.screen.query(MemoryView))
        view = app.screen.query_one(MemoryView)
        await until(lambda: len(view.query_one(EntityList).nodes) == 8)
        view.query_one(CypherArea).cursor_blink = False
        for field in view.query(Input):
            field.cursor_blink = False
        view.look("priya")
        await until(lambda: view.node and view.node.id == "priya" and view.centre == "priya")
        for key in keys:
            await pilot.press(key)
            await pilot.pause(0.1)
        if any(screen.is_modal for screen in app.screen_stack):
            for field in app.screen.query(Input):
                field.cursor_blink = False
        await pilot.pause(1.0)
        app.clear_notifications()
        await pilot.wait_for_scheduled_animations()

    return play


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)], ids=lambda s: f"{s[0]}x{s[1]}")
def test_memory(snap_compare: Any, tmp_path: Path, size: tuple[int, int]) -> None:
    app = remembering(tmp_path)
    assert snap_compare(app, terminal_size=size, run_before=with_memory(app))


def test_memory_graph_on_a_narrow_screen(snap_compare: Any, tmp_path: Path) -> None:
    app = remembering(tmp_path)
    assert snap_compare(app, terminal_size=(80, 24), run_before=with_memory(app, "2"))


def test_memory_on_the_whole_screen(snap_compare: Any, tmp_path: Path) -> None:
    app = remembering(tmp_path)
    assert snap_compare(app, terminal_size=(120, 40), run_before=with_memory(app, "z", "3"))


def test_memory_further_around(snap_compare: Any, tmp_path: Path) -> None:
    app = remembering(tmp_path)
    assert snap_compare(
        app, terminal_size=(200, 60), run_before=with_memory(app, "z", "2", "plus", "right")
    )


def test_memory_cypher(snap_compare: Any, tmp_path: Path) -> None:
    app = remembering(tmp_path)
    assert snap_compare(app, terminal_size=(120, 40), run_before=with_memory(app, "5", "enter"))


def test_memory_answers_in_high_contrast(snap_compare: Any, tmp_path: Path) -> None:
    app = remembering(tmp_path, "high-contrast")
    keys = ("4", *"Priya", "enter")
    assert snap_compare(app, terminal_size=(120, 40), run_before=with_memory(app, *keys))


def test_memory_without_colour_in_the_past(
    snap_compare: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = remembering(tmp_path)
    keys = ("left_square_bracket",) * 20
    assert snap_compare(app, terminal_size=(120, 40), run_before=with_memory(app, *keys))


def test_memory_off(snap_compare: Any, tmp_path: Path) -> None:
    app = app_of(tmp_path)
    assert snap_compare(app, terminal_size=(80, 24), run_before=scene(app, "ctrl+g"))


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)], ids=lambda s: f"{s[0]}x{s[1]}")
def test_experts(snap_compare: Any, tmp_path: Path, size: tuple[int, int]) -> None:
    app = app_of(tmp_path)

    async def play(pilot: Any) -> None:
        await scene(app)(pilot)
        app.config.experts.policy = "cache"
        await pilot.press("alt+e")
        await until(lambda: isinstance(app.screen, ExpertsScreen))
        client = app.workspace.client
        assert isinstance(client, ScriptedClient)
        client.experts(guard="lowered", scale=0.7, ab="done", ab_factor=1.31)
        await settled(pilot)

    assert snap_compare(app, terminal_size=size, run_before=play)
