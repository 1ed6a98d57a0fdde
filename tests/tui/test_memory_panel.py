"""The memory's panel in the app, over a memory of lists; every key does what its hint says."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, OptionList

from engine.config import Config
from tests.support.memory import ListMemory
from tests.support.scripted import ScriptedClient
from tests.support.waiting import until
from tests.tui.test_app import SIZES, screen_text, toasts, write
from tui import past_queries
from tui.app import HaloApp
from tui.screens.dialogs import AskText, Confirm
from tui.screens.memory import MemoryScreen
from tui.screens.memory_dialogs import EditFact, Pick
from tui.screens.sure import Sure
from tui.widgets.chat.popup import Popup
from tui.widgets.chat.prompt import Prompt
from tui.widgets.chat.transcript import Transcript
from tui.widgets.memory.console import CypherArea, CypherConsole, highlights
from tui.widgets.memory.entities import EntityList
from tui.widgets.memory.facts import FactList, RowList
from tui.widgets.memory.feed import Feed
from tui.widgets.memory.picture import GraphPicture
from tui.widgets.memory.slider import STEPS, TimeSlider
from tui.widgets.memory.view import MemoryView


@asynccontextmanager
async def running(
    folder: Path, size: tuple[int, int] = (120, 40), memory: ListMemory | None = None
) -> AsyncIterator[tuple[HaloApp, ListMemory, Pilot[int]]]:
    client = ScriptedClient(lambda _: "You work at Halo Labs.")
    app = HaloApp(Config(), folder, client, make_client=lambda _: client)
    app.animation_level = "none"
    memory = app.workspace.memory = memory or ListMemory()
    async with app.run_test(size=size) as pilot:
        await until(lambda: app.main.is_mounted and app.main.current, what="for the main screen")
        await pilot.pause()
        yield app, memory, pilot
        await app.workspace.stop()


async def opened(app: HaloApp, pilot: Pilot[int], *keys: str) -> MemoryView:
    """The panel with Priya chosen and everything about her read."""
    await pilot.press("ctrl+g")
    await until(lambda: app.screen.query(MemoryView), what="for the panel")
    view = app.screen.query_one(MemoryView)
    await until(lambda: view.query_one(EntityList).nodes, what="for the entities")
    await until(lambda: app.focused in view.query("*"), what="for the focus")
    await choose(view, pilot, "Priya Nair")
    for key in keys:
        await pilot.press(key)
        await pilot.pause()
    return view


async def choose(view: MemoryView, pilot: Pilot[int], name: str) -> None:
    entities = view.query_one(EntityList)
    at = [node.name for node in entities.nodes].index(name)
    entities.query_one(OptionList).highlighted = at
    await until(lambda: view.node and view.node.name == name and shown(view), what=f"for {name}")
    await pilot.pause()


def shown(view: MemoryView) -> bool:
    facts = view.query_one(FactList)
    return facts.node is not None and view.node is not None and facts.node.id == view.node.id


def asked(memory: ListMemory, name: str) -> list[object]:
    return [value for call, value in memory.calls if call == name]


@pytest.mark.parametrize("size", SIZES)
async def test_people_and_facts_with_sources_at_every_size(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    async with running(tmp_path, size) as (app, _, pilot):
        await opened(app, pilot)
        assert isinstance(app.screen, MemoryScreen) == (size[0] == 80), "beside the chat if it fits"
        text = screen_text(app)
        for words in ("8 entities", "Priya Nair", "Geneva", "lives in Lisbon", "said", "93%",
                      "Priya has moved to Lisbon.", "also Priya, P. Nair", "now"):  # fmt: skip
            assert words in text, words
        assert "lives in Geneva" not in text, "it ended"
        await pilot.press("p")
        await until(lambda: "lives in Geneva" in screen_text(app))
        assert "◌" in screen_text(app)
        await pilot.press("2")
        await pilot.pause()
        text = screen_text(app)
        assert "● Priya Nair" in text and "▶" in text and "■ Halo Labs" in text and "knows" in text
        if app.screen is app.main:  # on a narrow screen the memory has a line of its own
            await until(lambda: "Esc Back" in screen_text(app).splitlines()[-1])
        await pilot.press("escape")
        await until(lambda: app.screen is app.main and app.main.query_one(Prompt).has_focus_within)
        await until(lambda: "Esc Stop" in screen_text(app).splitlines()[-1])


async def test_search_order_and_what_is_not_there(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, memory, pilot):
        view = await opened(app, pilot, "o")
        entities = view.query_one(EntityList)
        await until(lambda: entities.order == "degree" and entities.nodes[0].name == "Priya Nair")
        assert "most facts first" in screen_text(app)
        await pilot.press("slash", *"her")
        await until(lambda: [n.name for n in entities.nodes] == ["Project Heron"])
        await until(lambda: view.node and view.node.id == "heron")
        await pilot.press("x")
        await until(lambda: not entities.nodes)
        assert "Nothing is called “herx”" in screen_text(app)
        await pilot.press("escape")
        await until(lambda: len(entities.nodes) == 8)
        assert asked(memory, "entities")[-1] == ("degree", "", None)
        await pilot.press("escape")
        await pilot.pause()
        assert app.main.query_one(Prompt).has_focus_within


async def test_enter_goes_to_the_message(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, memory, pilot):
        space = app.workspace
        await space.send("Priya has moved to Lisbon.", "grace")
        await until(lambda: len(space.get("grace").turns) == 2 and not space.get("grace").busy)
        first = space.get("grace").turns[0].id
        fact = memory.known["f6"]
        from dataclasses import replace

        source = replace(fact.sources[0], message=first, agent=space.get("grace").id)
        memory.known["f6"] = replace(fact, sources=(source,))
        view = await opened(app, pilot)
        await pilot.press("enter")
        await until(lambda: app.focused is view.query_one(FactList).list)
        await pilot.press("enter")
        await until(lambda: app.main.current == "grace", what="for the agent")
        transcript = app.main.conversation.query_one(Transcript)
        await until(lambda: transcript.selected_turn() is not None, what="for the message")
        assert transcript.selected_turn().id == first  # type: ignore[union-attr]
        # The conversation of another source is gone: what was said is told all the same.
        view.focus_part()
        await choose(view, pilot, "coffee")
        await pilot.press("enter", "enter")
        await until(lambda: "That conversation is closed" in toasts(app))
        assert "Priya likes coffee" in toasts(app)


async def test_the_picture_is_walked_and_centred(tmp_path: Path) -> None:
    async with running(tmp_path, (200, 60)) as (app, memory, pilot):
        view = await opened(app, pilot, "2")
        picture = view.query_one(GraphPicture)
        assert app.focused is picture and picture.marked == "priya"
        await pilot.press("left")
        await until(lambda: picture.marked == "marco")
        await until(lambda: view.query_one(FactList).node.id == "marco")  # type: ignore[union-attr]
        assert picture.around.centre == "priya", "walking leaves the middle where it is"  # type: ignore[union-attr]
        await pilot.press("enter")
        await until(lambda: picture.around and picture.around.centre == "marco")
        await pilot.press("plus")
        await until(lambda: asked(memory, "neighbourhood")[-1] == ("marco", 2))
        await until(lambda: picture.picture is not None and picture.picture.find("march"))
        place = picture.picture.find("march")  # type: ignore[union-attr]
        assert place is not None
        await pilot.click(picture, offset=(place.x + 3, place.middle))
        await until(lambda: picture.marked == "march")


async def test_after_a_restart_what_was_learnt_before_is_there_to_be_ruled(tmp_path: Path) -> None:
    kept = ListMemory()
    kept.before = [kept.known["f6"], kept.known["f2"]]
    async with running(tmp_path, memory=kept) as (app, memory, pilot):
        view = await opened(app, pilot, "3")
        feed = view.query_one(Feed)
        await until(lambda: {x.fact.id for x in feed.lessons} == {"f6", "f2"})
        assert "Nothing was learnt since the start; before it:" in screen_text(app)
        over = replace(kept.known["f3"], valid_to=kept.known["f3"].valid_from)
        view.news.earlier([over])  # "I no longer like tea", and nothing before
        assert [x.closed for x in view.news.lessons if x.fact.id == "f3"] == [True]
        memory.learn(memory.known["f0"])
        await until(lambda: feed.lessons[0].fact.id == "f0", what="for the new above the old")
        assert "1 fact learnt since the start" in screen_text(app)
        feed.list.highlighted = next(
            i for i, row in enumerate(feed.list.rows) if row.fact and row.fact.id == "f2"
        )
        await pilot.press("r", "enter")
        await until(lambda: memory.known["f2"].status == "rejected")
        await until(
            lambda: next(x for x in feed.lessons if x.fact.id == "f2").fact.status == "rejected"
        )


async def test_facts_are_accepted_rejected_corrected_and_taken_back(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, memory, pilot):
        view = await opened(app, pilot)
        memory.learn(memory.known["f6"], (memory.known["f0"],))
        memory.learn(memory.known["f2"])
        await pilot.press("3")
        feed = view.query_one(Feed)
        await until(lambda: "3 facts learnt since the start" in screen_text(app))
        text = screen_text(app)
        assert len(feed.lessons) == 3 and "ended" in text
        assert "Priya Nair likes coffee" in text.split("Priya Nair lives in Lisbon")[0], (
            "newest first"
        )
        await pilot.press("a", "enter")
        await until(lambda: memory.known["f2"].status == "accepted")
        await until(lambda: "✓ Right: Priya Nair likes coffee" in toasts(app))
        await until(lambda: feed.lessons[0].fact.status == "accepted")
        await pilot.press("u", "enter")
        await until(lambda: memory.known["f2"].status == "learnt")
        await until(lambda: feed.lessons[0].fact.status == "learnt")
        await pilot.press("r", "enter")
        await until(lambda: memory.known["f2"].status == "rejected")
        await pilot.press("down", "down", "e", "enter")
        await until(lambda: isinstance(app.screen, EditFact))
        app.screen.query_one("#type", Input).value = "sings to"
        await pilot.press("enter")
        await until(lambda: "is no relation" in screen_text(app))
        app.screen.query_one("#type", Input).value = "visited"
        app.screen.query_one("#tail", Input).value = "Porto"
        await pilot.press("enter")
        await until(lambda: "f6e" in memory.known)
        assert memory.known["f6e"].words == "Priya Nair visited Porto"
        assert memory.known["f6"].status == "rejected"
        assert asked(memory, "edit") == [("f6", "VISITED", "Porto", "")], "only what was changed"


@pytest.mark.parametrize("size", SIZES[:2])
async def test_all_relations_can_be_chosen(tmp_path: Path, size: tuple[int, int]) -> None:
    async with running(tmp_path, size) as (app, memory, pilot):
        await opened(app, pilot, "enter", "e", "enter")
        await until(lambda: isinstance(app.screen, EditFact))
        screen = app.screen
        assert isinstance(screen, EditFact)
        every = app.config.memory.relation_types
        line, options = screen.query_one("#type", Input), screen.query_one(OptionList)
        assert sorted(every) == screen.found and len(every) > 30
        assert screen.found[options.highlighted or 0] == "LIVES_IN", "the one that is"
        assert "lives in" in screen_text(app)
        line.focus()
        last = options.option_count - 1
        await pilot.press(*["down"] * len(every))
        assert options.highlighted == last
        words = sorted(every)[-1].replace("_", " ").lower()
        assert line.value == words and screen_text(app).count(words) == 2, "scrolled to"
        line.value = "visi"
        await until(lambda: screen.found == ["VISITED"])
        assert "Save (^S)" in screen_text(app), "the buttons have room"
        await pilot.press("enter")
        await until(lambda: line.value == "visited" and app.screen is screen)
        line.value = "nothing like it"
        await pilot.press("enter")
        await until(lambda: "is no relation" in screen_text(app))
        line.value = "visited"
        await pilot.press("enter")
        await until(lambda: memory.known.get("f6e"))
        assert memory.known["f6e"].words == "Priya Nair visited Lisbon"


async def test_merge_split_rename_and_the_list_of_changes(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, memory, pilot):
        view = await opened(app, pilot)
        await choose(view, pilot, "Marco")
        await pilot.press("m", "enter")
        await until(lambda: isinstance(app.screen, Pick))
        await pilot.press(*"priya")
        await until(lambda: app.screen.values == ["priya"])  # type: ignore[attr-defined]
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, Confirm))
        assert "Marco becomes Priya Nair" in screen_text(app)
        await pilot.press("enter")
        await until(lambda: "marco" not in memory.nodes)
        await until(lambda: view.node and view.node.id == "priya")
        await until(lambda: len(view.query_one(EntityList).nodes) == 7)
        await pilot.press("h", "enter")
        await until(lambda: isinstance(app.screen, Pick) and app.screen.values)
        assert "Marco is Priya Nair." in screen_text(app)
        await pilot.press("enter")
        await until(lambda: "marco" in memory.nodes and len(view.query_one(EntityList).nodes) == 8)
        await choose(view, pilot, "Priya Nair")
        await pilot.press("s", "enter")
        await until(lambda: isinstance(app.screen, Pick) and app.screen.values)
        await pilot.press("down", "enter")
        await until(lambda: "p. nair" in memory.nodes)
        assert asked(memory, "split") == [("priya", "P. Nair")]
        await until(lambda: view.node and view.node.id == "p. nair")
        await pilot.press("s", "enter")
        await until(lambda: "has no other name" in toasts(app))
        await pilot.press("n", "enter")
        await until(lambda: isinstance(app.screen, AskText))
        app.screen.query_one(Input).value = "Pia"
        await pilot.press("enter")
        await until(lambda: memory.nodes["p. nair"].name == "Pia")


async def test_forgetting_asks_first(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, memory, pilot):
        view = await opened(app, pilot)
        await pilot.press("d")
        await until(lambda: isinstance(app.screen, Sure))
        assert "Forget Priya Nair: 5 facts" in screen_text(app)
        await pilot.press("escape")
        await pilot.pause()
        assert "priya" in memory.nodes
        await pilot.press("d")
        await until(lambda: isinstance(app.screen, Sure))
        await pilot.press("enter")
        await until(lambda: "priya" not in memory.nodes)
        await until(lambda: view.node and view.node.id != "priya" and shown(view))
        await until(lambda: "Priya Nair is forgotten" in toasts(app))
        await write(pilot, app, "/forget marco")
        await until(lambda: isinstance(app.screen, Confirm))
        await pilot.press("enter")
        await until(lambda: "marco" not in memory.nodes)
        await write(pilot, app, "/forget nobody")
        await until(lambda: "knows nobody and nothing called 'nobody'" in toasts(app))


async def test_whoever_writes_in_the_panel_writes_to_the_agent(tmp_path: Path) -> None:
    """Accepts, rejects, forgets, merges, undoes: nothing of it by the letters of a message."""
    async with running(tmp_path) as (app, memory, pilot):
        view = await opened(app, pilot, "3")
        memory.learn(memory.known["f2"])
        prompt = app.main.query_one(Prompt)
        known = dict(memory.known)
        for text in ("remember data", "add a new note, u see", "Priya is here", "people say so"):
            view.go("learnt")
            await until(lambda: "Esc writes here" in screen_text(app))
            await pilot.press(*("space" if c == " " else "comma" if c == "," else c for c in text))
            await until(lambda t=text: prompt.get_draft() == t, what=f"for “{text}” to be written")
            assert app.screen is app.main and prompt.has_focus_within
            prompt.set_draft("")
        view.go("learnt")
        await pilot.press("d", "escape", "r", "escape", "a", "y", "enter")
        await until(lambda: app.workspace.get("ada").turns)
        assert app.workspace.get("ada").turns[0].text == "ay"
        assert memory.known == known
        assert not [
            c for c, _ in memory.calls if c in ("merge", "forget", "undo", "edit", "rename")
        ]


async def test_writing_on_the_whole_screen_changes_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, (80, 24)) as (app, memory, pilot):
        await opened(app, pilot)
        known = dict(memory.known)
        await pilot.press(*"drama", "enter")  # ends with a key that accepts, and with Enter
        await until(lambda: isinstance(app.screen, MemoryScreen))
        assert memory.known == known and "priya" in memory.nodes
        await pilot.press("d", "o")
        await until(lambda: "nothing was changed" in screen_text(app))
        await pilot.press("escape", "d", "enter")
        await until(lambda: "priya" not in memory.nodes)


async def test_the_question_is_about_what_was_chosen(tmp_path: Path) -> None:
    """What is learnt meanwhile moves the list."""
    async with running(tmp_path) as (app, memory, pilot):
        await opened(app, pilot)
        memory.learn(memory.known["f2"])
        await pilot.press("3")
        feed = app.screen.query_one(Feed)
        await until(lambda: feed.lessons and feed.list.fact)
        await pilot.press("r")
        await until(lambda: "Is this wrong? Priya Nair likes coffee" in screen_text(app))
        memory.learn(memory.known["f0"])
        await until(lambda: feed.lessons[0].fact.id == "f0")
        await pilot.press("enter")
        await until(lambda: memory.known["f2"].status == "rejected")
        assert memory.known["f0"].status != "rejected"


async def test_the_question_follows_the_panel_and_goes_with_it(tmp_path: Path) -> None:
    async with running(tmp_path, (160, 30)) as (app, memory, pilot):
        view = await opened(app, pilot, "d")
        bar = app.screen.query_one("#sure")
        await until(lambda: bar.region.bottom == view.region.bottom and bar.region.x > 60)
        await pilot.resize_terminal(120, 40)
        await until(lambda: bar.region.width == view.region.width == 57)
        assert bar.region.bottom == view.region.bottom
        await pilot.resize_terminal(80, 24)  # the panel has no room any more
        await until(lambda: app.screen is app.main and app.main.query_one(Prompt).has_focus_within)
        await pilot.press("enter")
        assert "priya" in memory.nodes


async def test_the_slider_shows_what_held_then(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, memory, pilot):
        view = await opened(app, pilot)
        slider = view.query_one(TimeSlider)
        for _ in range(STEPS // 2):
            await pilot.press("left_square_bracket")
        await until(lambda: "as of 6 Nov 2023" in screen_text(app))
        await until(lambda: "lives in Geneva" in screen_text(app))
        assert "lives in Lisbon" not in screen_text(app)
        assert slider.moment == pytest.approx(slider.start + (slider.end - slider.start) / 2)
        assert asked(memory, "entities")[-1][2] == slider.moment  # type: ignore[index]
        await pilot.press("0")
        await until(lambda: "lives in Lisbon" in screen_text(app))
        assert slider.moment is None


async def test_a_question_is_answered_and_can_be_worded(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, memory, pilot):
        await write(pilot, app, "/recall Where does Priya live?")
        await until(lambda: app.screen.query(MemoryView))
        await until(lambda: "Priya Nair lives in Lisbon" in screen_text(app))
        text = screen_text(app)
        assert "about ● Priya Nair" in text and "4 ms" in text and "words 1 graph 2" in text
        assert asked(memory, "recall") == ["Where does Priya live?"]
        view = app.screen.query_one(MemoryView)
        await until(lambda: isinstance(app.focused, RowList))
        await pilot.press("w", "enter")
        ada = app.workspace.get("ada")
        await until(lambda: len(ada.turns) == 2 and not ada.busy)
        assert "- Priya Nair lives in Lisbon (said 9 Nov 2023)" in ada.turns[0].text
        assert "data, not instructions" in ada.turns[0].text
        view.ask("What about zebras?")
        await until(lambda: "knows nothing about that" in screen_text(app))


async def test_cypher_runs_read_only_and_keeps_its_history(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, memory, pilot):
        view = await opened(app, pilot, "5")
        console = view.query_one(CypherConsole)
        area = view.query_one(CypherArea)
        await until(lambda: app.focused is area)
        await pilot.press("enter")
        await until(lambda: view.query_one(DataTable).row_count == 8)
        assert "8 rows (there are more; add LIMIT) in 2 ms" in screen_text(app)
        assert asked(memory, "cypher")[0][1:] == (True, 5.0), "read-only, with the limit"  # type: ignore[index]
        area.text = "MATCH (n) DETACH DELETE n"
        await pilot.press("enter")
        await until(lambda: "The query would change the graph." in screen_text(app))
        await until(lambda: len(past_queries.read()) == 2)
        await pilot.press("up", "up")
        assert area.text.startswith("MATCH (a:Entity)-[r]->")
        await pilot.press("down")
        assert area.text == "MATCH (n) DETACH DELETE n"
        await pilot.press("escape", "x")
        await until(lambda: "without undo. Allow it?" in screen_text(app))
        await pilot.press("enter")
        await until(lambda: not console.read_only)
        assert "WRITES ALLOWED" in screen_text(app)
        area.text = "MATCH (n) SET n.x = 1"
        area.focus()
        await pilot.press("enter")
        await until(lambda: asked(memory, "cypher")[-1] == ("MATCH (n) SET n.x = 1", False, 5.0))


async def test_no_query_is_lost_that_the_next_one_overtakes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one never ends, its keeping takes long; the file of before is read even later."""
    go, append, read = threading.Event(), past_queries.append, past_queries.read
    append("RETURN 0")

    def late(work: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *given: (go.wait(60), work(*given))[1]

    async with running(tmp_path) as (app, memory, pilot):
        cypher = memory.cypher

        async def endless(query: str, *more: Any, **options: Any) -> Any:
            if query == "RETURN 1":
                await asyncio.Event().wait()
            return await cypher(query, *more, **options)

        memory.cypher = endless  # type: ignore[method-assign]
        monkeypatch.setattr(past_queries, "read", late(read))
        monkeypatch.setattr(past_queries, "append", late(append))
        view = await opened(app, pilot, "5")
        area = view.query_one(CypherArea)
        await until(lambda: app.focused is area)
        for query in ("RETURN 1", "RETURN 2"):
            area.text = query
            await pilot.press("enter")
        await until(lambda: view.query_one(DataTable).row_count == 8)
        monkeypatch.setattr(past_queries, "read", read)
        go.set()
        await until(lambda: read() == ["RETURN 0", "RETURN 1", "RETURN 2"])
        assert area.past == read()


def test_queries_of_many_views_at_once_are_all_kept(own_home: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(past_queries.append, map(str, range(40))))
    assert sorted(past_queries.read(), key=int) == [str(n) for n in range(40)]


def test_cypher_is_highlighted() -> None:
    line = "MATCH (a:Entity {name: $n}) WHERE a.x > 3 RETURN count(*) // all"
    kinds = {line[start:end]: kind for start, end, kind in highlights(line)}
    wanted = {"MATCH": "keyword", "Entity": "label", "$": "parameter", "n": "parameter",
              "3": "number", "RETURN": "keyword", "count": "function", "// all": "comment"}  # fmt: skip
    assert {key: kinds.get(key) for key in wanted} == wanted
    assert highlights("") == []


async def test_down_starting_off_and_empty_are_said_with_the_remedy(tmp_path: Path) -> None:
    async with running(tmp_path, (200, 60)) as (app, memory, pilot):
        view = await opened(app, pilot)
        memory.go("down", 3, "The graph database has died.", "It is started again.")
        await until(lambda: "3 messages queued on disk" in screen_text(app))
        assert "✗ The graph database has died. It is started again." in screen_text(app)
        await pilot.press("4", *"x", "enter")
        await until(lambda: "✗ The graph database is down." in screen_text(app))
        await write(pilot, app, "still there?")
        await until(lambda: len(app.workspace.get("ada").turns) == 2)
        memory.go("starting", 3)
        await until(lambda: "The memory is starting; 3 messages wait." in screen_text(app))
        memory.go("ready", 1)
        await until(lambda: "1 message being read" in screen_text(app))
        assert view.is_mounted


async def test_without_memory_one_sentence_says_how_to_have_it(tmp_path: Path) -> None:
    config = Config()
    config.memory.enabled = False
    client = ScriptedClient(lambda _: "hello")
    app = HaloApp(config, tmp_path, client, remember=True)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: app.main.is_mounted and app.main.current)
        await pilot.press("ctrl+g")
        await until(
            lambda: "set enabled = true under [memory]" in " ".join(screen_text(app).split())
        )
        await pilot.press("escape")
        await until(lambda: app.main.query_one(Prompt).has_focus_within)
        await write(pilot, app, "/recall who?")
        await until(lambda: "The memory is off" in toasts(app))
        await write(pilot, app, "hi")
        await until(lambda: len(app.workspace.get("ada").turns) == 2)
        await app.workspace.stop()


async def test_an_empty_memory_says_how_it_fills(tmp_path: Path) -> None:
    async with running(tmp_path, memory=ListMemory(empty=True)) as (app, _, pilot):
        await pilot.press("ctrl+g")
        await until(lambda: "Nothing is known yet: talk" in screen_text(app))
        await pilot.press(
            "a", "r", "e", "m", "s", "n", "d", "plus", "p", "enter", "3", "enter", "a"
        )
        await pilot.press("u", "enter")
        await until(lambda: "There is nothing to undo" in toasts(app))


async def test_the_key_opens_goes_to_and_closes(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, _, pilot):
        await opened(app, pilot)
        assert app.main.memory.shown and not app.main.query_one("#side").display
        app.main.focus_prompt()
        await pilot.press("ctrl+g")
        await until(lambda: app.main.memory.focused)
        await pilot.press("z")
        await until(lambda: isinstance(app.screen, MemoryScreen))
        await pilot.press("z")
        await until(lambda: app.screen is app.main and app.main.memory.focused)
        await pilot.press("ctrl+g")
        await until(lambda: not app.main.memory.shown)
        assert app.main.query_one("#side").display
        await write(pilot, app, "/memory marco")
        view = app.main.memory.view
        await until(lambda: view and view.node and view.node.id == "marco" and shown(view))
        await pilot.press("f4")
        await until(lambda: not app.main.memory.shown and app.main.query_one("#side").display)


async def test_a_window_made_narrow_gives_the_keys_to_the_prompt(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, _, pilot):
        await opened(app, pilot)
        await pilot.resize_terminal(80, 24)
        await until(lambda: app.main.query_one(Prompt).has_focus_within)
        await pilot.press("ctrl+g")
        await until(lambda: isinstance(app.screen, MemoryScreen))
        await pilot.press("escape")
        await until(lambda: app.screen is app.main)
        await pilot.resize_terminal(120, 40)
        await until(lambda: app.main.query_one("#memory").display)


async def test_names_are_completed(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, _, pilot):
        await until(lambda: app.main.memory.names, what="for the names")
        await pilot.press(*"/forget mar")
        await until(lambda: app.main.query_one(Popup).display)
        assert "Marco" in screen_text(app) and "person · 2 facts" in screen_text(app)


async def test_a_memory_that_is_not_installed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "agents.memory.service", None)  # as if it could not be found
    app = HaloApp(Config(), tmp_path, ScriptedClient(lambda _: "hello"), remember=True)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: app.main.is_mounted and app.main.current)
        await until(lambda: app.main.memory.news.state.state == "down")
        await pilot.press("ctrl+g")
        await until(lambda: "The memory is not installed" in screen_text(app))
        await write(pilot, app, "hi")
        await until(lambda: len(app.workspace.get("ada").turns) == 2)
        await app.workspace.stop()
