"""Cell map, history and keymap: pure pieces of the screen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConfigError
from engine.protocol import CacheMap, CellRun
from tui.keymap import effective_keys
from tui.widgets.cache_pane import bar, history
from tui.widgets.cell_map import owner_grid

RUNS = st.lists(
    st.tuples(st.sampled_from(["", "a", "b", "*", "~"]), st.integers(1, 400)), min_size=1
)


def cache_of(runs: list[tuple[str, int]]) -> CacheMap:
    total = sum(n for _, n in runs)
    used = sum(n for o, n in runs if o)
    return CacheMap(total, used, used, 0, 0, {}, tuple(CellRun(o, n) for o, n in runs))


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


def test_keymap_names_unknown_actions_and_double_keys() -> None:
    table = {"grid": "f5", "cache": "f4"}
    assert effective_keys(table, {"grid": "f9"}) == {"grid": "f9", "cache": "f4"}
    with pytest.raises(ConfigError, match="Did you mean grid"):
        effective_keys(table, {"gird": "f9"})
    with pytest.raises(ConfigError, match="both"):
        effective_keys(table, {"grid": "f4"})
