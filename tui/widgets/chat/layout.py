"""Leaves to lines: what of a message stands on which line at a given width.

Every line knows its place in the message's *logical* text, which has no soft line breaks and no
decoration: that is what gets selected, copied, searched and highlighted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from rich.cells import cell_len
from textual._wrap import compute_wrap_offsets
from textual.content import Content
from textual.strip import Strip
from textual.style import Style

from tui.widgets.chat.markdown import HIGHLIGHT_OPEN_LINES, Leaf

MIN_WIDTH = 12
COPY_CODE = Style.from_meta({"chat": ("code",)})
HIGHLIGHT_AT_ONCE = 150  # lines; longer blocks are highlighted in a thread


@dataclass(slots=True, eq=False)
class Line:
    """One line on screen. `content` is all of it, its first `lead` characters are decoration."""

    content: Content
    y: int = 0  # which logical line of the message
    x: int = 0  # where in it this line starts
    lead: int = 0
    base: str = ""  # component class of the whole line, to the right edge
    strip: Strip | None = None  # as last drawn
    key: object = None  # what it was drawn for


@dataclass(slots=True)
class Block:
    """Lines with their logical text; `Line.y` counts from `y` on."""

    lines: list[Line] = field(default_factory=list)
    logical: list[str] = field(default_factory=list)
    codes: list[tuple[int, Leaf]] = field(default_factory=list)  # y of the title, the block

    def add(self, line: Line, text: str) -> None:
        """A line that is a logical line of its own."""
        line.y = len(self.logical)
        self.lines.append(line)
        self.logical.append(text)

    def extend(self, other: Block) -> None:
        """Append another block, which is used up."""
        shift = len(self.logical)
        for line in other.lines:
            line.y += shift
        self.lines += other.lines
        self.logical += other.logical
        self.codes += [(y + shift, leaf) for y, leaf in other.codes]


def wrap(content: Content, width: int) -> list[tuple[int, Content]]:
    """Pieces of at most `width` cells with their offsets."""
    text = content.plain
    if cell_len(text) <= width:
        return [(0, content)]
    offsets = compute_wrap_offsets(text, width, tab_size=4)
    return [
        (offset, piece.rstrip_end(width))
        for offset, piece in zip((0, *offsets), content.divide(offsets), strict=True)
    ]


def _wrap_leaf(leaf: Leaf, width: int) -> list[tuple[int, Content]]:
    """`wrap` of a text; of one that only grew since it was wrapped, all but the end is kept."""
    content = leaf.content
    kept: list[tuple[int, Content]] = []
    start = 0
    if leaf.wrapped is not None and leaf.wrapped[0] == width:
        _, before, pieces = leaf.wrapped
        # A break depends on the word after it: it stands while the whole line after it does.
        start = pieces[-2][0] if len(pieces) > 2 else 0
        if start and _same_until(pieces[-1][0], before, content):
            kept = pieces[:-2]
        else:
            start = 0
    rest = content.divide([start])[1] if start else content
    pieces = [*kept, *((start + offset, piece) for offset, piece in wrap(rest, width))]
    leaf.wrapped = (width, content, pieces)
    return pieces


def _same_until(end: int, one: Content, other: Content) -> bool:
    """Whether the first `end` characters are the same, with their styles."""
    start = one.plain[:end]
    return (
        other.plain.startswith(start)
        and "\t" not in start  # how wide that is depends on what is before it
        and [s for s in one.spans if s.start < end] == [s for s in other.spans if s.start < end]
    )


def lay_out(leaves: Iterable[Leaf], width: int, blank_before: bool = False) -> Block:
    """The lines of leaves. `blank_before`: something stands above the first one."""
    block = Block()
    for leaf in leaves:
        if leaf.gap and (block.lines or blank_before):
            block.add(Line(Content.empty()), "")
        match leaf.kind:
            case "text":
                _text(block, leaf, width)
            case "code":
                _code(block, leaf, width)
            case "table":
                _table(block, leaf, width)
            case "rule":
                room = max(MIN_WIDTH, width - cell_len(leaf.first.plain))
                rule = leaf.first + Content.styled("─" * room, ".chat--quote-bar")
                block.add(Line(rule), "---")
    return block


def _text(block: Block, leaf: Leaf, width: int) -> None:
    first, rest = leaf.first, leaf.rest
    pieces = _wrap_leaf(leaf, max(MIN_WIDTH, width - cell_len(first.plain)))
    y = len(block.logical)
    lead = len(first.plain)
    for index, (offset, piece) in enumerate(pieces):
        if index == 0:
            block.lines.append(Line(first + piece if first.plain else piece, y))
        else:
            line = rest + piece if rest.plain else piece
            block.lines.append(Line(line, y, lead + offset, len(rest.plain)))
    block.logical.append(_copied(first.plain) + leaf.content.plain)


def _copied(prefix: str) -> str:
    """How a prefix reads in copied text: as Markdown, with the same length."""
    return prefix.replace("•", "-").replace("▎", ">")


def _code(block: Block, leaf: Leaf, width: int) -> None:
    """A code block: a title line with the language, then its lines, long ones folded."""
    prefix = leaf.first
    room = max(MIN_WIDTH, width - cell_len(prefix.plain) - 1)
    block.codes.append((len(block.logical), leaf))
    title = f" {leaf.language or 'code'}"
    copy = Content.styled("copy ", ".chat--code-title").stylize(COPY_CODE)
    space = max(1, room + 1 - cell_len(title) - copy.cell_length)
    head = prefix + Content.styled(title + " " * space, ".chat--code-title") + copy
    block.add(Line(head, lead=len(head.plain), base="chat--code-head"), f"```{leaf.language}")
    y = len(block.logical)
    for number, lines in enumerate(_code_rows(leaf, room)):
        for line in lines:
            line.y = y + number
        block.lines += lines
        block.logical.append(leaf.code[number].expandtabs(4))
    if leaf.closed:
        block.logical.append("```")  # copied, not shown


def _code_rows(leaf: Leaf, room: int) -> list[list[Line]]:
    """For each line of code its lines on screen. An open block keeps those that cannot change."""
    rows: list[list[Line]] = []
    if not leaf.closed and leaf.laid_out and leaf.laid_out[0] == room:
        # The last line may have grown, and a short block is highlighted anew each time.
        known: list[list[Line]] = leaf.laid_out[1]
        rows = known[:-1] if len(known) > HIGHLIGHT_OPEN_LINES + 1 else []
    lead = len(leaf.rest.plain) + 1
    pad = leaf.rest + Content(" ")
    fold = leaf.rest + Content.styled("↪", ".chat--code-title")
    for content in code_lines(leaf, len(rows)):
        rows.append(
            [
                Line((fold if index else pad) + piece, 0, offset, lead, base="chat--code-block")
                for index, (offset, piece) in enumerate(_fold(content, room))
            ]
        )
    leaf.laid_out = None if leaf.closed else (room, rows)
    return rows


def _fold(content: Content, width: int) -> list[tuple[int, Content]]:
    """Pieces of exactly `width` cells (code is cut where it ends, not at words)."""
    text = content.plain
    if cell_len(text) <= width:
        return [(0, content)]
    cuts: list[int] = []
    used = 0
    for index, character in enumerate(text):
        size = cell_len(character)
        if used + size > width:
            cuts.append(index)
            used = 0
        used += size
    return list(zip((0, *cuts), content.divide(cuts), strict=True))


def code_lines(leaf: Leaf, start: int = 0) -> list[Content]:
    """The lines of a code block from `start` on, highlighted as far as that is quick.

    Closed blocks beyond HIGHLIGHT_AT_ONCE lines stay plain until someone sets `highlighted`.
    """
    done = leaf.highlighted
    if leaf.closed:
        if done is None and len(leaf.code) <= HIGHLIGHT_AT_ONCE:
            done = leaf.highlighted = highlight_lines(leaf.code, leaf.language)
        if done is not None:
            return done[start:]
        return [Content(line.expandtabs(4)) for line in leaf.code[start:]]
    if len(leaf.code) <= HIGHLIGHT_OPEN_LINES:
        return highlight_lines(leaf.code, leaf.language)[start:]
    top: list[Content] = []
    if start < HIGHLIGHT_OPEN_LINES:
        top = highlight_lines(leaf.code[:HIGHLIGHT_OPEN_LINES], leaf.language)[start:]
    return top + [Content(line.expandtabs(4)) for line in leaf.code[start + len(top) :]]


def is_plain(language: str) -> bool:
    """Whether code in that language is shown without colours."""
    return language.lower() in ("", "text", "plain", "txt", "output", "console")


def highlight_lines(code: list[str], language: str) -> list[Content]:
    """One Content per line; plain when the language is not known."""
    from textual.highlight import highlight

    lines = [line.expandtabs(4) for line in code]
    if is_plain(language):
        return [Content(line) for line in lines]
    # The lexer drops newlines at both ends; a mark on the first and last line keeps them.
    source = "\n".join(lines)
    blank = len(source) - len(source.lstrip("\n"))
    body = source.strip("\n")
    try:
        found = highlight(body, language=language, tab_size=4).split("\n", allow_blank=True)
    except Exception:  # a lexer's fault must not lose the code
        return [Content(line) for line in lines]
    result = [Content.empty()] * blank + list(found)[: len(lines) - blank]
    result += [Content.empty()] * (len(lines) - len(result))
    if any(a.plain != b for a, b in zip(result, lines, strict=True)):
        return [Content(line) for line in lines]
    return result


def _table(block: Block, leaf: Leaf, width: int) -> None:
    """Columns as wide as their cells where they fit, narrowed in proportion where not."""
    if not leaf.rows:
        return
    columns = len(leaf.rows[0])
    rows = [(row + [Content.empty()] * columns)[:columns] for row in leaf.rows]
    natural = [max(1, *(cell_len(row[i].plain) for row in rows)) for i in range(columns)]
    room = max(columns * 3, width - cell_len(leaf.first.plain) - 3 * (columns - 1))
    widths = natural
    if sum(natural) > room:
        smallest = [min(n, max(3, room // columns)) for n in natural]
        spare = max(0, room - sum(smallest))
        wish = [n - s for n, s in zip(natural, smallest, strict=True)]
        widths = [s + spare * w // max(1, sum(wish)) for s, w in zip(smallest, wish, strict=True)]
    prefix = leaf.first
    bar = Content.styled(" │ ", ".chat--quote-bar")
    for index, row in enumerate(rows):
        cells = [wrap(cell, size) for cell, size in zip(row, widths, strict=True)]
        for number in range(max(len(cell) for cell in cells)):
            parts: list[Content] = []
            for column, cell in enumerate(cells):
                piece = cell[number][1] if number < len(cell) else Content.empty()
                piece = piece.truncate(widths[column])
                if index == 0:
                    piece = piece.stylize_before(".chat--strong", 0, len(piece.plain))
                space = widths[column] - piece.cell_length
                left = {"right": space, "center": space // 2}.get(leaf.align[column], 0)
                parts.append(piece.pad(left, space - left))
            line = prefix + bar.join(parts)
            block.add(Line(line), line.plain.rstrip())
            prefix = leaf.rest
        if index == 0:
            ruler = "─┼─".join("─" * size for size in widths)
            block.add(Line(prefix + Content.styled(ruler, ".chat--quote-bar")), ruler)
