"""The app with a real embedded FalkorDB: what is said in the chat is seen, asked for and corrected."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import DataTable

from agents import remembering
from agents.memory.service import MemoryService
from engine.config import Config
from tests.support.memories import models
from tests.support.scripted import ScriptedClient
from tests.support.waiting import until
from tests.tui.test_app import toasts, write
from tests.tui.test_compaction import screen_text
from tui.app import HaloApp
from tui.screens.dialogs import Confirm
from tui.widgets.chat.transcript import Transcript
from tui.widgets.memory.entities import EntityList
from tui.widgets.memory.facts import FactList
from tui.widgets.memory.view import MemoryView

pytestmark = pytest.mark.usefixtures("lasting_toasts")


async def test_what_is_said_reaches_the_panel_and_is_corrected_there(tmp_path: Path) -> None:
    client = ScriptedClient(lambda _: "Noted.")
    app = HaloApp(Config(), tmp_path, client)
    service = MemoryService(app.config, tmp_path, models)
    remembering.attach(app.workspace, service)
    async with app.run_test(size=(200, 60)) as pilot:
        await until(lambda: app.main.is_mounted and app.main.current)
        await until(lambda: service.state == "ready", 60, "for FalkorDB")
        await write(pilot, app, "Grace Hopper lives in London. Grace Hopper knows Ada Lovelace.")
        await until(lambda: not app.workspace.get("ada").busy)
        await pilot.press("ctrl+g")
        await until(lambda: app.screen.query(MemoryView))
        view = app.screen.query_one(MemoryView)
        await until(lambda: {"Grace Hopper", "London"} <= {n.name for n in nodes(view)}, 60)
        await write(pilot, app, "Grace Hopper moved to Paris.")
        await until(lambda: not app.workspace.get("ada").busy)
        await service.settled()
        await until(lambda: "Paris" in {n.name for n in nodes(view)}, 60)
        # Facts with validity, and the feed, which says what ended.
        await write(pilot, app, "/memory Grace Hopper")
        await until(lambda: view.node and view.node.name == "Grace Hopper")
        await until(lambda: "lives in Paris" in screen_text(app))
        facts = view.query_one(FactList)
        assert "London" not in {fact.tail_name for fact in facts.facts}, "that ended"
        await until(lambda: any(lesson.closed for lesson in app.main.memory.news.lessons))
        # Enter goes to the message in ada's conversation.
        at = next(
            i for i, row in enumerate(facts.list.rows) if row.fact and row.fact.tail_name == "Paris"
        )
        facts.list.focus()
        facts.list.highlighted = at
        await pilot.press("enter")
        transcript = app.main.conversation.query_one(Transcript)
        await until(lambda: transcript.selected_turn() is not None)
        assert transcript.selected_turn().text == "Grace Hopper moved to Paris."  # type: ignore[union-attr]
        # Rejected, and taken back.
        facts.list.focus()
        facts.list.highlighted = at
        await pilot.press("r", "enter")
        await until(lambda: "✗ Wrong: Grace Hopper lives in Paris" in toasts(app))
        await until(lambda: "Paris" not in {f.tail_name for f in facts.facts})
        await pilot.press("u", "enter")
        await until(lambda: "Paris" in {f.tail_name for f in facts.facts}, what="for the undo")
        # Questions and Cypher.
        await write(pilot, app, "/recall Where does Grace Hopper live?")
        await until(lambda: "about ● Grace Hopper" in screen_text(app))
        await pilot.press("5", "enter")
        await until(lambda: view.query_one(DataTable).row_count >= 2)
        await pilot.press(*["backspace"] * 3)
        area = view.query_one("CypherArea")
        area.text = "MATCH (n) DETACH DELETE n"  # type: ignore[attr-defined]
        await pilot.press("enter")
        await until(lambda: "✗" in screen_text(app).split("MATCH (n) DETACH")[1])
        assert (await service.stats()).entities >= 4, "the console only reads"
        # Forgotten.
        await write(pilot, app, "/forget Grace Hopper")
        await until(lambda: isinstance(app.screen, Confirm))
        await pilot.press("enter")
        await until(lambda: "Grace Hopper" not in {n.name for n in nodes(view)}, 60)
        await app.workspace.stop()


async def test_the_app_starts_the_memory_and_takes_in_what_was_said_before(tmp_path: Path) -> None:
    """With the models that ship; nothing of it is there when the first prompt is written."""
    client = ScriptedClient(lambda _: "Noted.")
    client.hold_start = True  # the memory waits for the model
    app = HaloApp(Config(), tmp_path, client, remember=True)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: app.main.is_mounted and app.main.current)
        await app.workspace.send("My sister Priya lives in Lisbon.", "ada")
        assert app.workspace.memory is None
        client.let_start()
        await until(lambda: not app.workspace.get("ada").busy)
        await until(lambda: app.workspace.memory, 60, "for the memory")
        await pilot.press("ctrl+g")
        await until(lambda: app.screen.query(MemoryView))
        view = app.screen.query_one(MemoryView)
        await until(lambda: {"Priya", "Lisbon"} <= {n.name for n in nodes(view)}, 60)
        await write(pilot, app, "/memory Priya")
        await until(lambda: "lives in Lisbon" in screen_text(app).replace("\n", " "), 60)
        await until(lambda: any(f.words == "Priya lives in Lisbon" for f in facts(view)), 60)
        await app.workspace.stop()


def facts(view: MemoryView) -> list:  # type: ignore[type-arg]
    return view.query_one(FactList).facts


def nodes(view: MemoryView) -> list:  # type: ignore[type-arg]
    return view.query_one(EntityList).nodes
