"""Where the entities around one of them stand in a picture, and the lines between them.

The one in the middle has its neighbours left and right of it, and theirs outside of those, as far
as there is room; in a narrow picture all stand to its right, in a very narrow one below it. An arrow shows which way a fact reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from rich.cells import cell_len

from agents.memory.types import Fact, Neighbourhood, Node
from tui.widgets.memory.canvas import Canvas
from tui.widgets.memory.words import cut, look, relation

TREE = 48  # columns up to which neighbours stand below the one in the middle, as a tree
BOTH_SIDES = 74  # columns from which on neighbours stand left and right
NAME, LABEL = 22, 18  # most cells of a name, of a relation
LEAST_NAME, LEAST_LABEL = 7, 6
TRUNK = 2  # cells between the one in the middle and the line along which its facts leave
ARROWS = 6  # cells of a line beside its label: arrows, blanks and some line


@dataclass(slots=True)
class Placed:
    """An entity in the picture; x, y and width of the space it takes, `rows` high."""

    node: Node
    x: int
    y: int
    width: int
    rows: int

    @property
    def middle(self) -> int:
        return self.y + self.rows // 2


@dataclass(slots=True)
class Branch:
    """A neighbour, what connects it, and its own neighbours further out."""

    node: Node
    facts: list[Fact]
    outer: list[Branch] = field(default_factory=list)

    def rows(self, each: int) -> int:
        return max(each, sum(branch.rows(each) for branch in self.outer))


@dataclass(slots=True)
class Picture:
    """What was drawn; `left_out` facts and entities had no room."""

    canvas: Canvas
    placed: list[Placed]
    left_out: int = 0

    def at(self, x: int, y: int) -> Placed | None:
        """The entity at a place."""
        for one in self.placed:
            if one.x <= x < one.x + one.width and one.y <= y < one.y + one.rows:
                return one
        return None

    def find(self, entity: str) -> Placed | None:
        """Where an entity stands."""
        return next((one for one in self.placed if one.node.id == entity), None)

    def towards(self, entity: str, dx: int, dy: int) -> str:
        """The entity next to another in a direction; itself when there is none."""
        here = self.find(entity)
        if here is None:
            return self.placed[0].node.id if self.placed else ""
        # Up and down stay in the column if they can; what no way leads to otherwise is below or above.
        for strict in (True, False):
            best, nearest = entity, 0.0
            for one in self.placed:
                across = (one.x + one.width / 2) - (here.x + here.width / 2)
                along = one.middle - here.middle
                if one is here or across * dx + along * dy <= 0:
                    continue
                gap = (
                    max(one.x - here.x - here.width, here.x - one.x - one.width) + 1
                )  # < 1: overlap
                if gap < 1 if dx else strict and gap > 0:
                    continue
                away = abs(across) + abs(along) * 4 if dx else max(0, gap) * 4 + abs(along)
                if best == entity or away < nearest:
                    best, nearest = one.node.id, away
            if best != entity:
                break
        return best


def branches(around: Neighbourhood, depth: int) -> tuple[Node | None, list[Branch], int]:
    """The one in the middle, its neighbours as a tree, and how many facts the tree leaves out."""
    nodes = {node.id: node for node in around.nodes}
    centre = nodes.get(around.centre)
    if centre is None:
        return None, [], 0
    ties: dict[tuple[str, str], list[Fact]] = {}
    for fact in around.facts:
        if fact.head in nodes and fact.tail in nodes and fact.head != fact.tail:
            ties.setdefault((min(fact.head, fact.tail), max(fact.head, fact.tail)), []).append(fact)
    first: dict[str, Branch] = {}
    for (a, b), facts in ties.items():
        if centre.id in (a, b):
            other = nodes[b if a == centre.id else a]
            first[other.id] = Branch(other, facts)
    outer: set[str] = set()
    drawn = sum(len(branch.facts) for branch in first.values())
    if depth > 1:
        for (a, b), facts in ties.items():
            for near, far in ((a, b), (b, a)):
                if near in first and far not in first and far != centre.id and far not in outer:
                    outer.add(far)
                    first[near].outer.append(Branch(nodes[far], facts))
                    drawn += len(facts)
    total = sum(len(facts) for facts in ties.values())
    ordered = sorted(first.values(), key=lambda b: (_leaves(b, centre.id), _kind(b), b.node.name))
    return centre, ordered, total - drawn


def draw(
    around: Neighbourhood, width: int, height: int, selected: str = "", depth: int = 1
) -> Picture:
    """Draw the surroundings of an entity into `width` x `height` cells."""
    centre, found, hidden = branches(around, depth)
    if centre is None or width < 12 or height < 1:
        return Picture(Canvas(width, height), [], len(around.nodes))
    for branch in found:
        branch.outer.sort(key=lambda b: (_kind(b), b.node.name))
    rank = {node.id: place for place, node in enumerate(around.nodes)}
    best: tuple[Canvas, list[Placed], int] | None = None
    # The most pleasant form that leaves nothing out, or the one that leaves out least.
    for form in _forms(width, len(found)):
        tried = _drawn(form, centre, _copied(found), width, height, rank)
        if best is None or tried[2] < best[2]:
            best = tried
        if not tried[2]:
            break
    assert best is not None
    canvas, placed, lost = best
    for one in placed:
        _entity(canvas, one, one.node is centre, one.node.id == selected)
    return Picture(canvas, placed, hidden + lost + around.more)


Form = Literal["both", "right", "tree"]
Rank = Mapping[str, int]  # entity -> its place, the most important first


def _forms(width: int, neighbours: int) -> list[Form]:
    if width < TREE:
        return ["tree"]
    return (
        ["both", "right", "tree"] if width >= BOTH_SIDES and neighbours > 1 else ["right", "tree"]
    )


def _copied(found: list[Branch]) -> list[Branch]:
    """Drawing takes off what has no room."""
    return [Branch(branch.node, branch.facts, _copied(branch.outer)) for branch in found]


def _drawn(
    form: Form, centre: Node, found: list[Branch], width: int, height: int, rank: Rank
) -> tuple[Canvas, list[Placed], int]:
    if form == "tree":
        canvas = Canvas(width, height)
        return canvas, *_tree(canvas, centre, found, rank)
    sides = _Sides(centre, found, width, height, form == "both", rank)
    canvas, placed, lost = sides.drawn(0)
    # What is drawn stands in the middle, also when one side is wider than the other.
    left = min(one.x for one in placed)
    right = max(one.x + one.width for one in placed)
    if (shift := (width - (right - left)) // 2 - left) == 0:
        return canvas, placed, lost
    canvas, placed, _ = sides.drawn(shift)
    return canvas, placed, lost


class _Sides:
    """The neighbours on one or both sides of the one in the middle."""

    def __init__(
        self,
        centre: Node,
        found: list[Branch],
        width: int,
        height: int,
        both: bool,
        rank: Rank,
    ) -> None:
        self.centre, self.width, self.height, self.both = centre, width, height, both
        sides = _split(found, centre.id) if self.both else ([], found)
        self.middle = cell_len(cut(centre.name, NAME)) + 6
        free = width - self.middle
        left, right = (_wish(side) for side in sides)
        # What one side does not need is the other's.
        self.rooms = (max(free // 2, free - right), max(free // 2, free - left))
        if not self.both:
            self.rooms = (0, free)
        self.each = 3 if all(_rows(side, 3) <= height for side in sides) else 1
        self.lost = 0
        self.kept: list[list[Branch]] = []
        for side in sides:
            fitting, lost = _trim(side, self.each, height, rank)
            self.kept.append(fitting)
            self.lost += lost

    def drawn(self, shift: int) -> tuple[Canvas, list[Placed], int]:
        """Lines and places, moved to the right by `shift`; and how many facts had no room."""
        canvas = Canvas(self.width, self.height)
        high = 3 if self.height >= 3 else 1
        x = ((self.width - self.middle) // 2 if self.both else 0) + shift
        here = Placed(self.centre, x, max(0, (self.height - high) // 2), self.middle, high)
        placed, lost = [here], self.lost
        for side, room, right in zip(self.kept, self.rooms, (False, True), strict=True):
            if side:
                grown, more = _grow(canvas, here, side, right, room, self.each, self.height)
                placed += grown
                lost += more
        return canvas, placed, lost


# --- sides ---------------------------------------------------------------------------------------


def _leaves(branch: Branch, centre: str) -> bool:
    """Whether the facts are told of the neighbour, not of the one in the middle."""
    return all(fact.tail == centre for fact in branch.facts)


def _kind(branch: Branch) -> str:
    return branch.facts[0].type


def _rows(side: Sequence[Branch], each: int) -> int:
    return sum(branch.rows(each) for branch in side)


def _split(found: Sequence[Branch], centre: str) -> tuple[list[Branch], list[Branch]]:
    """What is told of others left, of the one in the middle right; moved until both are alike."""
    left = [branch for branch in found if _leaves(branch, centre)]
    right = [branch for branch in found if not _leaves(branch, centre)]
    while abs(_rows(left, 1) - _rows(right, 1)) > 1:
        more, less = (left, right) if _rows(left, 1) > _rows(right, 1) else (right, left)
        if _rows(less, 1) + more[-1].rows(1) >= _rows(more, 1):
            break
        less.append(more.pop())
    return left, right


def _trim(side: Sequence[Branch], each: int, height: int, rank: Rank) -> tuple[list[Branch], int]:
    """As many branches as there are rows for, the most important ones, in their order; and how many
    facts that leaves out."""
    kept: set[str] = set()
    used = lost = 0
    for branch in sorted(side, key=lambda b: rank[b.node.id]):
        left = height - used
        while branch.outer and branch.rows(each) > left:
            lost += len(branch.outer.pop().facts)
        if branch.rows(each) > left:
            lost += len(branch.facts)
            continue
        used += branch.rows(each)
        kept.add(branch.node.id)
    return [branch for branch in side if branch.node.id in kept], lost


# --- below it ------------------------------------------------------------------------------------


def _tree(
    canvas: Canvas, centre: Node, found: list[Branch], rank: Rank
) -> tuple[list[Placed], int]:
    """A line for each neighbour, theirs indented. Returns them, and how many had no room."""
    rows = sum(branch.rows(1) + (len(branch.outer) > 0) for branch in found)
    high = 3 if canvas.height >= rows + 3 else 1
    width = min(canvas.width, cell_len(cut(centre.name, NAME)) + (6 if high == 3 else 4))
    placed = [Placed(centre, 0, 0, width, high)]
    found, lost = _trim(found, 1, canvas.height - high, rank)
    y = high
    label = max((cell_len(_words(branch.facts)) for branch in found), default=0)
    label = max(LEAST_LABEL, min(label, LABEL, canvas.width - 20))
    for branch in found:
        if y >= canvas.height:
            lost += len(branch.facts) + sum(len(far.facts) for far in branch.outer)
            continue
        canvas.vertical(2, high - 1, y, "edge")
        place = _twig(canvas, branch, centre.id, 2, y, label)
        placed.append(place)
        y += 1
        for far in branch.outer:
            if y >= canvas.height:
                lost += len(far.facts)
                continue
            canvas.vertical(5, place.y, y, "edge")  # begins under the label above
            placed.append(_twig(canvas, far, branch.node.id, 5, y, max(4, label - 3)))
            y += 1
    return placed, lost


def _twig(canvas: Canvas, branch: Branch, inner: str, x: int, y: int, label: int) -> Placed:
    past = all(fact.valid_to is not None for fact in branch.facts)
    style = "past" if past else "edge"
    end = x + label + ARROWS
    canvas.horizontal(x, end, y, style, past)
    words = cut(_words(branch.facts), label)
    canvas.text(x + 2, y, f" {words} ", "past-label" if past else "label")
    if any(fact.head == inner for fact in branch.facts):
        canvas.text(end, y, "▶", style)
    if any(fact.tail == inner for fact in branch.facts):
        canvas.text(x + 1, y, "◀", style)
    room = max(0, canvas.width - end - 1)
    return Placed(branch.node, end + 1, y, min(room, cell_len(cut(branch.node.name, NAME)) + 4), 1)


# --- one side ------------------------------------------------------------------------------------


def _words(facts: Iterable[Fact]) -> str:
    return ", ".join(dict.fromkeys(relation(fact.type) for fact in facts))


def _columns(room: int, parts: Sequence[Sequence[Branch]]) -> list[tuple[int, int]] | None:
    """(cells of a label, cells of a name) for each distance; None when there is no room."""
    wanted = [
        (
            min(LABEL, max(cell_len(_words(b.facts)) for b in part)),
            min(NAME, max(cell_len(b.node.name) for b in part)),
        )
        for part in parts
    ]
    fixed = len(parts) * (TRUNK + 1 + ARROWS + 6)  # trunk, arrows and blanks, frame and mark
    while sum(label + name for label, name in wanted) + fixed > room:
        widest = max(range(2 * len(wanted)), key=lambda i: wanted[i // 2][i % 2])
        label, name = wanted[widest // 2]
        if max(label, name) <= LEAST_LABEL:
            return None
        wanted[widest // 2] = (label, name - 1) if widest % 2 else (label - 1, name)
    if any(
        name < min(LEAST_NAME, _longest(part))
        for (_, name), part in zip(wanted, parts, strict=True)
    ):
        return None
    return wanted


def _wish(side: Sequence[Branch]) -> int:
    """Columns in which nothing of a side would have to be cut."""
    outer = [branch for inner in side for branch in inner.outer]
    return sum(
        min(LABEL, max(cell_len(_words(branch.facts)) for branch in part))
        + min(NAME, _longest(part))
        + (TRUNK + 1 + ARROWS + 6)
        for part in (side, outer)
        if part
    )


def _longest(part: Sequence[Branch]) -> int:
    return max(cell_len(branch.node.name) for branch in part)


def _grow(
    canvas: Canvas,
    here: Placed,
    side: list[Branch],
    right: bool,
    room: int,
    each: int,
    height: int,
) -> tuple[list[Placed], int]:
    """Draw the neighbours on one side. Returns them, and how many facts had no room."""
    outer = [branch for inner in side for branch in inner.outer]
    lost = 0
    columns = _columns(room, [side, outer]) if outer else None
    if columns is None:
        lost += sum(len(branch.facts) for branch in outer)
        for branch in side:
            branch.outer = []
        columns = _columns(room, [side])
        if columns is None:  # it would be drawn over the edge: another form is better
            lost += sum(len(branch.facts) for branch in side)
            columns = [(LEAST_LABEL, LEAST_NAME)]
    y = max(0, (height - _rows(side, each)) // 2)
    placed: list[Placed] = []
    inner: list[tuple[Branch, Placed]] = []
    bands: list[int] = []  # first row that a neighbour and its own may use
    for branch in side:
        rows = branch.rows(each)
        bands.append(y)
        inner.append(
            (branch, _beside(here, branch, right, columns[0], y + (rows - each) // 2, each))
        )
        y += rows
    _edges(canvas, here, inner, right, columns[0][0])
    for (branch, place), band in zip(inner, bands, strict=True):
        placed.append(place)
        y = band + (branch.rows(each) - _rows(branch.outer, each)) // 2
        further: list[tuple[Branch, Placed]] = []
        for far in branch.outer:
            further.append(
                (far, _beside(place, far, right, columns[1], y, each, _edge(here, columns, right)))
            )
            y += each
        _edges(canvas, place, further, right, columns[-1][0])
        placed += [one for _, one in further]
    return placed, lost


def _edge(here: Placed, columns: Sequence[tuple[int, int]], right: bool) -> int:
    """Where the column of the neighbours ends."""
    label, name = columns[0]
    reach = TRUNK + 1 + ARROWS + label + name + 6
    return here.x + here.width + reach if right else here.x - reach


def _beside(
    one: Placed,
    branch: Branch,
    right: bool,
    column: tuple[int, int],
    y: int,
    rows: int,
    edge: int | None = None,
) -> Placed:
    label, name = column
    width = min(name, cell_len(cut(branch.node.name, name))) + (6 if rows == 3 else 4)
    gap = TRUNK + 1 + ARROWS + label
    if right:
        start = one.x + one.width if edge is None else edge
        return Placed(branch.node, start + gap, y, width, rows)
    start = one.x if edge is None else edge
    return Placed(branch.node, start - gap - width, y, width, rows)


def _edges(
    canvas: Canvas, one: Placed, others: list[tuple[Branch, Placed]], right: bool, label: int
) -> None:
    """The lines from an entity to those on one side of it, joined at a trunk."""
    if not others:
        return
    step = 1 if right else -1
    begin = one.x + one.width if right else one.x - 1
    ends = [place.x - 1 if right else place.x + place.width for _, place in others]
    trunk = ends[0] - step * (label + ARROWS)
    canvas.horizontal(begin - step, trunk, one.middle, "edge")  # the frame lies over its beginning
    rows = [place.middle for _, place in others] + [one.middle]
    canvas.vertical(trunk, min(rows), max(rows), "edge")
    for (branch, place), end in zip(others, ends, strict=True):
        y = place.middle
        past = all(fact.valid_to is not None for fact in branch.facts)
        style = "past" if past else "edge"
        canvas.horizontal(trunk, end + step * (place.rows == 3), y, style, past)
        out = any(fact.head == one.node.id for fact in branch.facts)
        back = any(fact.tail == one.node.id for fact in branch.facts)
        words = cut(_words(branch.facts), label)
        inside = min(trunk, end) + 1 if right else min(trunk, end) + 2
        free = abs(end - trunk) - 2
        x = inside + max(0, (free - cell_len(words) - 2) // 2)
        canvas.text(x, y, f" {words} ", "past-label" if past else "label")
        if out:
            canvas.text(end, y, "▶" if right else "◀", style)
        if back:
            canvas.text(trunk + step, y, "◀" if right else "▶", style)


def _entity(canvas: Canvas, one: Placed, centre: bool, selected: bool) -> None:
    mark, _ = look(one.node.type)
    style = f"node:{one.node.type}"
    frame = "selected" if selected else "centre" if centre else "frame"
    name = f" {mark} {cut(one.node.name, one.width - (6 if one.rows == 3 else 4))} "
    if one.rows == 3:
        canvas.box(one.x, one.y, one.width, frame, heavy=selected)
        canvas.text(one.x + 1, one.y + 1, name, f"{style}:selected" if selected else style)
    else:
        canvas.text(one.x, one.y, name, f"{style}:selected" if selected else style)
