"""Drawn neighbourhoods, whatever the graph and the window: nothing overlaps, nothing is lost."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from agents.memory.types import Fact, Neighbourhood, Node
from tui.widgets.memory.layout import branches, draw
from tui.widgets.memory.words import plain

NAMES = (
    "Priya Nair",
    "Lisbon",
    "Halo Labs",
    "日本語の本",
    "x",
    "a very long name of a thing",
    "Ω",
    "",
)
KINDS = ("person", "location", "misc", "gpu_feature")
RELATIONS = ("LIVES_IN", "KNOWS", "IS_FEATURE_OF", "COULD_IMPROVE")


@st.composite
def graphs(draw_from: st.DrawFn) -> Neighbourhood:
    """A centre, some others, and facts between any of them, past ones included."""
    count = draw_from(st.integers(1, 14))
    nodes = tuple(
        Node(f"n{i}", draw_from(st.sampled_from(NAMES)), draw_from(st.sampled_from(KINDS)))
        for i in range(count)
    )
    ids = st.sampled_from([node.id for node in nodes])
    told = draw_from(
        st.lists(st.tuples(ids, st.sampled_from(RELATIONS), ids, st.booleans()), max_size=24)
    )
    facts = tuple(
        Fact(f"f{i}", head, tail, head, tail, type, 0.9, 0.0, 1.0 if past else None)
        for i, (head, type, tail, past) in enumerate(told)
    )
    return Neighbourhood("n0", nodes, facts)


@settings(max_examples=150, deadline=None)
@given(graphs(), st.integers(0, 160), st.integers(0, 50), st.sampled_from([1, 2]))
def test_every_row_is_as_wide_as_the_window_and_entities_do_not_overlap(
    around: Neighbourhood, width: int, height: int, depth: int
) -> None:
    picture = draw(around, width, height, "n0", depth)
    for y in range(picture.canvas.height):
        assert cell_len("".join(text for text, _ in picture.canvas.row(y))) == width
    taken: set[tuple[int, int]] = set()
    for one in picture.placed:
        cells = {
            (x, y) for x in range(one.x, one.x + one.width) for y in range(one.y, one.y + one.rows)
        }
        assert not cells & taken, f"{one.node.id} stands on another"
        assert width < 40 or (one.x >= 0 and one.x + one.width <= width), "it is cut off"
        taken |= cells
    assert len({one.node.id for one in picture.placed}) == len(picture.placed)


@settings(max_examples=100, deadline=None)
@given(graphs(), st.sampled_from([1, 2]))
def test_with_room_all_that_is_near_is_drawn_and_the_rest_is_counted(
    around: Neighbourhood, depth: int
) -> None:
    picture = draw(around, 200, 120, "", depth)
    drawn = {one.node.id for one in picture.placed}
    centre, found, hidden = branches(around, depth)
    assert centre is not None and picture.left_out == hidden
    near = {centre.id} | {b.node.id for b in found} | {o.node.id for b in found for o in b.outer}
    assert drawn == near
    plain_text = picture.canvas.plain()
    for one in picture.placed:
        assert plain(one.node.name)[:20] in plain_text


SIDE_BY_SIDE = Neighbourhood(
    "n0",
    (Node("n0", "Priya Nair", "person"), Node("n1", "Priya Nair", "person")),
    (Fact("f0", "n0", "n1", "n0", "n1", "KNOWS", 0.9, 0.0, None),),
)


@settings(max_examples=100, deadline=None)
@example(SIDE_BY_SIDE, (40, 20))  # neither beside nor in the column
@given(graphs(), st.sampled_from([(40, 20), (60, 24), (120, 40)]))
def test_arrows_reach_every_entity(around: Neighbourhood, size: tuple[int, int]) -> None:
    picture = draw(around, *size, depth=2)
    reached, edge = set(), ["n0"]
    while edge:
        here = edge.pop()
        if here in reached:
            continue
        reached.add(here)
        edge += [picture.towards(here, *way) for way in ((-1, 0), (1, 0), (0, -1), (0, 1))]
    assert {one.node.id for one in picture.placed} <= reached


def test_of_many_the_first_are_drawn_in_every_form_and_the_others_counted() -> None:
    nodes = tuple(Node(f"n{i}", f"Name{i}", "person") for i in range(61))
    facts = tuple(
        Fact(f"f{i}", "n0", f"n{i}", "", "", RELATIONS[i % len(RELATIONS)], 0.9, 0.0)
        for i in range(1, 61)
    )
    around = Neighbourhood("n0", nodes, facts, more=540)
    for width in (40, 60, 120):
        picture = draw(around, width, 20)
        drawn = {one.node.id for one in picture.placed}
        assert {f"n{i}" for i in range(12)} <= drawn
        assert picture.left_out == 60 - (len(drawn) - 1) + 540
