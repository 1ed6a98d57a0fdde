"""Cell map, legend, bars and history: the pieces of the cache pane."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.app import App, ComposeResult

from agents.events import LogEntry
from engine.protocol import CacheMap, CellRuns
from tests.support.waiting import until
from tui.widgets.cache_pane import fill_text, history, legend_text
from tui.widgets.cell_map import CellMap, owner_grid
from tui.widgets.event_log import EventLog
from tui.widgets.marks import bar, letters

RUNS = st.lists(
    st.tuples(st.sampled_from(["", "a", "b", "*", "~"]), st.integers(1, 400)), min_size=1
)


def cache_of(runs: list[tuple[str, int]]) -> CacheMap:
    total = sum(n for _, n in runs)
    used = sum(n for o, n in runs if o)
    return CacheMap(total, used, used, 0, 0, {}, CellRuns.of(*runs))


@given(RUNS, st.integers(1, 2000))
def test_no_owner_is_hidden_when_there_is_room_and_none_is_invented(
    runs: list[tuple[str, int]], points: int
) -> None:
    cache = cache_of(runs)
    grid, owners = owner_grid(cache, points)
    assert len(grid) == points
    shown = {owners[i] for i in np.unique(grid)}
    assert shown <= {o for o, _ in runs} | {""}
    if points >= cache.total:
        assert shown == {o for o, _ in runs}
    if any(o for o, _ in runs):
        assert shown - {""}, "used cells are never invisible"


@given(st.lists(st.floats(0, 1), max_size=300), st.integers(1, 80))
def test_history_has_two_rows_of_its_width(shares: list[float], width: int) -> None:
    rows = history(shares, width).plain.split("\n")
    assert [len(row) for row in rows] == [width, width]


def test_bar_is_as_wide_as_asked() -> None:
    assert [len(bar(x, 12)) for x in (-1.0, 0.0, 0.34, 1.0, 7.0)] == [12] * 5


def test_letters_are_one_for_each_and_all_different() -> None:
    assert letters(["ada", "alan", "grace"]) == {"ada": "A", "alan": "L", "grace": "G"}
    many = letters([f"agent{n}" for n in range(60)])
    assert len(set(many.values())) == 60


class MapApp(App[None]):
    """Nothing but a cell map."""

    def compose(self) -> ComposeResult:
        yield CellMap()


CACHE = CacheMap(
    1000, 300, 400, 50, 50, {"ada": 250},
    CellRuns.of(("*", 50), ("ada", 200), ("~", 50), ("", 100), ("", 600)),
)  # fmt: skip


@pytest.mark.parametrize("size", [(20, 5), (60, 40), (33, 7)])
@pytest.mark.parametrize("colour", [True, False])
async def test_the_map_fits_its_box_and_names_owners_without_colour(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], colour: bool
) -> None:
    if not colour:
        monkeypatch.setenv("NO_COLOR", "1")
    app = MapApp()
    async with app.run_test(size=size):
        shown = app.query_one(CellMap)
        shown.show(CACHE, {"ada": "#ff0000", "*": "#ffffff", "~": "#888888"}, {"ada": "A"})
        lines = [shown.render_line(y) for y in range(size[1])]
    assert [line.cell_length for line in lines] == [size[0]] * size[1]
    text = "".join(line.text for line in lines)
    assert "A" in text
    assert text.count("◂") == 1
    columns = size[0] * size[1]
    # The mark of the highest cell stands where 40 % of the cells are behind it.
    assert abs(text.index("◂") / columns - 0.4) <= 1 / columns
    if not colour:
        for letter, share in (("A", 0.2), ("=", 0.05), ("~", 0.05), ("·", 0.1)):
            assert abs(text.count(letter) / columns - share) <= 2 / columns, letter


async def test_an_empty_map_says_so_and_an_empty_cache_has_no_mark() -> None:
    app = MapApp()
    async with app.run_test(size=(30, 6)):
        shown = app.query_one(CellMap)
        assert "waiting for the engine" in shown.render_line(0).text
        shown.show(CacheMap(1000, 0, 0, 0, 0, {}, CellRuns.of(("", 1000))), {}, {})
        assert "◂" not in "".join(shown.render_line(y).text for y in range(6))


def test_the_legend_keeps_the_largest_when_there_is_no_room() -> None:
    colours = {f"agent{n}": "#123456" for n in range(20)}
    cache = CacheMap(1000, 500, 500, 0, 0, {f"agent{n}": n for n in range(20)}, CellRuns.of())
    text = legend_text(cache, colours, letters(colours), rows=5, width=40).plain
    assert "agent19" in text and "agent16" in text and "agent0" not in text
    assert "and 16 more" in text
    assert all(len(line) <= 40 for line in text.split("\n"))


def test_how_full_it_is_is_said_in_words_too() -> None:
    def words(used: int) -> str:
        return fill_text(CacheMap(1000, used, used, 0, 0, {}, ()), 30).plain

    assert "500/1,000 used · 50%" in words(500) and "full" not in words(500)
    assert "nearly full" in words(900)
    assert "nearly" not in words(980) and "full" in words(980)
    for used in (0, 900, 999):
        for width in (30, 40):
            lines = fill_text(CacheMap(131072, 131 * used, 1, 0, 0, {}, ()), width).plain.split(
                "\n"
            )
            assert len(lines) == 3 and all(len(line) <= width for line in lines), lines


@pytest.mark.asyncio
async def test_events_are_wrapped_anew_at_another_width() -> None:
    entries = [LogEntry(0.0, "info", "engine", "a line that is longer than thirty columns are")]

    class Events(App[None]):
        def compose(self) -> ComposeResult:
            yield EventLog(entries)

    app = Events()
    async with app.run_test(size=(30, 10)) as pilot:
        log = app.query_one(EventLog)
        log.add(LogEntry(0.0, "info", "engine", "another line that is as long as that"))
        await until(lambda: len(log.lines) == 5)
        await pilot.resize_terminal(80, 10)
        await until(lambda: len(log.lines) == 2, what="for lines as wide as the window")
        assert "longer than thirty columns are" in log.lines[0].text
        await pilot.resize_terminal(30, 10)
        await until(lambda: len(log.lines) == 5)
