"""The grid: many agents at once, each in a tile that fits."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from textual.widget import Widget

from agents.workspace import Workspace
from tests.support.chat_app import chat
from tests.support.waiting import until
from tui.widgets.chat.grid import ChatGrid, Tile, best_columns
from tui.widgets.chat.tile_text import Fences, markdown_tail, plain, tail

pytestmark = pytest.mark.asyncio


def grid(workspace: Workspace) -> Iterable[Widget]:
    return [ChatGrid(workspace)]


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
@pytest.mark.parametrize("count", [2, 3, 4, 6])
async def test_all_agents_are_seen_streaming(
    tmp_path: Path, size: tuple[int, int], count: int
) -> None:
    async with chat(tmp_path, grid, size) as room:
        await room.workspace.close_agent("alan")
        for number in range(count - 2):
            await room.workspace.create(f"extra{number}")
        await room.workspace.send("@all tell a story", "ada")
        await until(lambda: len(room.client.generations) == count)
        for number, agent in enumerate(room.workspace.agents):
            room.client.say(agent.id, f"Once upon a time number {number} " * 50)
            room.client.say(agent.id, f"\nend of {agent.name}")
        view = room.app.query_one(ChatGrid)
        await until(lambda: len(view.query(Tile)) == count)
        await until(
            lambda: all(f"end of {name}▍" in room.screen() for name in room.workspace.names)
        )
        for agent in room.workspace.agents:
            assert f"● {agent.name}" in room.screen(), "the state is not said in a mark"
        tiles = list(view.query(Tile))
        assert all(tile.size.width >= 24 and tile.size.height >= 4 for tile in tiles)
        regions = [tile.region for tile in tiles]
        assert all(view.region.contains_region(region) for region in regions)


async def test_a_tile_opens_its_agent(tmp_path: Path) -> None:
    async with chat(tmp_path, grid) as room:
        tiles = list(room.app.query(Tile))
        await room.pilot.click(tiles[1])
        tiles[0].focus()
        await room.pilot.press("enter", "right", "enter")
        await room.pilot.pause()
        said = room.app.said(ChatGrid.Selected)
        assert [m.agent for m in said if m.opens] == ["ada", "grace"]
        assert [m.agent for m in said if m.writes] == ["grace"], "a click: keys to the prompt"
        assert [m.agent for m in said if not m.opens][-1] == "grace", "and with the focus"


async def test_nothing_is_drawn_when_nothing_changes(tmp_path: Path) -> None:
    async with chat(tmp_path, grid) as room:
        view = room.app.query_one(ChatGrid)
        view.look()
        tiles = list(view.query(Tile))
        refreshed: list[Tile] = []
        for tile in tiles:
            tile.refresh = lambda *a, tile=tile, **k: refreshed.append(tile)  # type: ignore
        view.look()
        assert refreshed == []
        session = await room.ask("hi", "grace")
        refreshed.clear()
        room.client.say(session, "word")
        view.look()
        assert {tile.agent.name for tile in refreshed} == {"grace"}
        view.display = False
        await room.pilot.pause()
        refreshed.clear()
        room.client.say(session, "word")
        view.look()
        assert refreshed == []


async def test_agents_come_and_go(tmp_path: Path) -> None:
    async with chat(tmp_path, grid) as room:
        await room.workspace.create("mary")
        await room.workspace.move("mary", -5)
        await room.workspace.close_agent("alan")
        view = room.app.query_one(ChatGrid)
        await until(lambda: [t.agent.name for t in view.query(Tile)] == ["mary", "ada", "grace"])


async def test_one_that_was_closed_and_is_back_at_once_is_shown(tmp_path: Path) -> None:
    async with chat(tmp_path, grid) as room:
        view = room.app.query_one(ChatGrid)
        await room.workspace.close_agent("grace")
        await room.workspace.reopen("grace")
        view.look()  # before it saw that there was one less
        await until(
            lambda: [tile.agent for tile in view.query(Tile)] == room.workspace.agents,
            what="for the new grace's tile",
        )
        await until(lambda: not view._rebuilding, what="for the rebuilding to end")


async def test_states_are_words(tmp_path: Path) -> None:
    async with chat(tmp_path, grid, (120, 40)) as room:
        session = await room.ask("hi", "ada")
        room.client.say(session, "hello")
        room.client.finish(session, "length")
        await until(lambda: "✂ cut" in room.screen())
        assert "idle" in room.screen() and "100 cells" in room.screen()


async def test_the_tail_costs_no_more_for_a_long_text() -> None:
    lines = tail("word " * 100_000 + "\nlast", 20, 5)
    assert len(lines) == 5 and lines[-1] == "last" and max(map(len, lines)) <= 20


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("## A **bold** start", "A bold start"),
        ("- an *item* with `code` and [a link](http://x)", "• an item with code and a link"),
        (
            "2 * 3 * 4 = 24, a*b*c, snake_case_name, **kwargs",
            "2 * 3 * 4 = 24, a*b*c, snake_case_name, **kwargs",
        ),
        ("  - nested", "  • nested"),
        ("# not `closed and **open", "not `closed and **open"),
        ("", ""),
    ],
)
async def test_marks_of_markdown_are_left_out(line: str, shown: str) -> None:
    assert plain(line) == shown


async def test_code_stays_as_it_is_wherever_the_end_begins() -> None:
    text = "Look **here**:\n\n```python\n" + "# **a** comment\n" * 300 + "```\n\n**done**"
    fences = Fences()
    for end in range(0, len(text) + 1, 7):  # as it streams
        lines = markdown_tail(text[:end], 40, 6, fences)
        if 700 < end < len(text) - 60:
            assert lines[1] == "# **a** comment"
    assert markdown_tail(text, 40, 6, fences) == markdown_tail(text, 40, 6, Fences())
    assert markdown_tail(text, 40, 4, fences) == ["# **a** comment", "┄┄", "", "done"]
    assert markdown_tail("Look **here**:\n```python\nx = 1", 40, 6, Fences()) == [
        "Look here:", "┄┄ python", "x = 1",
    ]  # fmt: skip
    assert markdown_tail("word " * 100_000, 20, 3, Fences())[-1] == "word word word word"


async def test_columns_adapt() -> None:
    assert best_columns(2, 2, 24) == 1
    assert best_columns(4, 2, 24) == 2
    assert best_columns(6, 5, 60) in (1, 2, 3)
    assert best_columns(6, 1, 24) == 1
