"""Lines that were drawn go without the garbage collector."""

from __future__ import annotations

import gc

import pytest
from rich.segment import Segment
from textual.strip import Strip

from tui.compositor import _pieces


@pytest.mark.parametrize("cuts", [[5], [5, 9], [2, 5], [2, 5, 9]])
def test_a_line_in_pieces_is_freed_with_its_last_use(cuts: list[int]) -> None:
    line = Strip([Segment("hello")], 5)
    assert [piece.text for piece in _pieces(line, cuts)] == [
        piece.text for piece in Strip([Segment("hello")], 5).divide(cuts)
    ]
    gc.collect()
    gc.disable()
    try:
        for _ in range(50):
            _pieces(Strip([Segment("hello")], 5), cuts)
        assert gc.collect() == 0
    finally:
        gc.enable()
