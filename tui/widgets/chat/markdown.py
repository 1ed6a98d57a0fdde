"""Markdown to leaves: the flat list of paragraphs, code blocks and tables that a message shows.

A `Document` grows with a streamed answer. Blocks that can no longer change are parsed once; only
the last one is parsed again when text arrives, and an open code block is not even that: its new
lines are appended. The result is the same as parsing the whole text at once (tests compare).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from markdown_it import MarkdownIt
from markdown_it.token import Token
from textual.content import Content, Span
from textual.style import Style

Mode = Literal["markdown", "plain", "raw"]
LeafKind = Literal["text", "code", "table", "rule"]

HIGHLIGHT_OPEN_LINES = 60  # an open code block is highlighted up to here, the rest once it closed

# Nothing a model writes may reach the terminal as a control sequence or reorder what is read.
_CONTROLS = dict.fromkeys(
    [*range(0x09), *range(0x0B, 0x20), *range(0x7F, 0xA0), 0x200E, 0x200F,
     *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xFEFF]
) | {0x2028: "\n", 0x2029: "\n"}  # fmt: skip
_FENCE_OPEN = re.compile(r"^ {0,3}(`{3,}|~{3,})[ \t]*([^\n]*)$")
_SPACE = re.compile(r"\s+")


def clean(text: str) -> str:
    """The text without control characters (newline and tab stay)."""
    return text.translate(_CONTROLS)


@dataclass(slots=True)
class Leaf:
    """A block without blocks inside. Prefixes carry list bullets, quote bars and indentation."""

    kind: LeafKind
    content: Content = field(default_factory=Content.empty)
    first: Content = field(default_factory=Content.empty)  # before the first line
    rest: Content = field(default_factory=Content.empty)  # before the others
    gap: bool = True  # a blank line above
    code: list[str] = field(default_factory=list)  # code: its lines, as written
    language: str = ""
    closed: bool = True  # code: the closing fence was seen
    rows: list[list[Content]] = field(default_factory=list)  # table: header first
    align: list[str] = field(default_factory=list)
    highlighted: list[Content] | None = None
    laid_out: tuple[int, list[Any]] | None = None  # code: width, and the lines made for it
    # text: width, what was wrapped for it, and the pieces with their offsets
    wrapped: tuple[int, Content, list[tuple[int, Content]]] | None = None


@cache
def _parser() -> MarkdownIt:
    return MarkdownIt("gfm-like", {"linkify": True})


def parse(source: str, mode: Mode = "markdown") -> list[Leaf]:
    """All leaves of a text."""
    return [leaf for _, leaves in _parse_blocks(clean(source), mode) for leaf in leaves]


def plain_text(leaves: list[Leaf]) -> str:
    """What a reader sees of these leaves, without layout. For search."""
    out: list[str] = []
    for leaf in leaves:
        match leaf.kind:
            case "code":
                out.extend(leaf.code)
            case "table":
                out.extend(" ".join(cell.plain for cell in row) for row in leaf.rows)
            case "text":
                out.append(leaf.content.plain)
            case "rule":
                pass
    return "\n".join(out)


class Document:
    """The leaves of a text that may still grow."""

    def __init__(self, source: str = "", mode: Mode = "markdown") -> None:
        self.mode: Mode = mode
        self.source = ""
        self.fixed: list[Leaf] = []  # never change again
        self.tail: list[Leaf] = []  # of the last block
        self._cut = 0  # the last block starts at source[cut:]
        self._open: str = ""  # the fence that would close the code block we are in
        self.set(source)

    @property
    def leaves(self) -> list[Leaf]:
        """All of them; do not change the list."""
        return [*self.fixed, *self.tail]

    def set(self, source: str) -> bool:
        """Make this the text. Returns whether anything changed."""
        source = clean(source)
        if source == self.source:
            return False
        if self.source and source.startswith(self.source):
            self._append(source)
        else:
            self.fixed, self.tail, self._cut, self._open = [], [], 0, ""
            self.source = source
            self._parse_tail()
        return True

    def _append(self, source: str) -> None:
        before, self.source = self.source, source
        if not (self._open and self._extend_code(before, source[len(before) :])):
            self._parse_tail()

    def _extend_code(self, before: str, added: str) -> bool:
        """Append to the open code block, unless this may be its end."""
        leaf = self.tail[-1]
        # A last line of nothing but spaces is none yet, as the parser sees it.
        partial = before[before.rfind("\n") + 1 :]
        lines = (partial + added).split("\n")
        if any(line.lstrip(" ").startswith(self._open) for line in lines):
            return False  # the block is parsed again
        if partial.strip():
            leaf.code.pop()
        if not lines[-1].strip():
            lines.pop()
        leaf.code.extend(lines)
        return True

    def _parse_tail(self) -> None:
        source = self.source[self._cut :]
        blocks = _parse_blocks(source, self.mode)
        # A block that begins on a line that is not complete may turn out to be none: "#" is a
        # heading, "#1" goes on with the paragraph above. Then the one before stays open, too.
        unsure = bool(blocks) and blocks[-1][0] >= source.count("\n")
        keep = max(0, len(blocks) - (2 if unsure else 1))
        for _, leaves in blocks[:keep]:
            self.fixed.extend(leaves)
        before, self.tail = self.tail, [leaf for _, leaves in blocks[keep:] for leaf in leaves]
        if before and self.tail:  # mostly the same paragraph, some words longer
            self.tail[0].wrapped = before[0].wrapped
        self._open = ""
        if not blocks:
            return
        position = self._cut
        for _ in range(blocks[keep][0]):
            position = self.source.index("\n", position) + 1
        self._cut = position
        last = self.tail[0] if len(self.tail) == 1 else None
        if last is not None and last.kind == "code" and not last.closed:
            match = _FENCE_OPEN.match(self.source[self._cut :].split("\n", 1)[0])
            if match and match.start(1) == 0 and "\n" in self.source[self._cut :]:
                self._open = match[1]


# --- blocks ---------------------------------------------------------------------------------------


def _parse_blocks(source: str, mode: Mode) -> list[tuple[int, list[Leaf]]]:
    """Top-level blocks: (line the block starts at, its leaves)."""
    if mode != "markdown":
        return _plain_blocks(source, fences=mode == "plain")
    blocks: list[tuple[int, list[Leaf]]] = []
    walker = _Walker(source)
    level: list[Token] = []
    for token in _parser().parse(source):
        level.append(token)
        if token.level == 0 and token.nesting <= 0:
            first = level[0]
            leaves = walker.walk(level)
            if leaves:
                blocks.append((first.map[0] if first.map else 0, leaves))
            level = []
    return blocks


def _plain_blocks(source: str, fences: bool) -> list[tuple[int, list[Leaf]]]:
    """Lines as they were typed; code blocks are recognised if `fences`."""
    blocks: list[tuple[int, list[Leaf]]] = []
    code: Leaf | None = None
    fence = ""
    for number, line in enumerate(source.split("\n")):
        if code is not None:
            stripped = line.strip()
            if stripped.startswith(fence) and not stripped.strip(fence[0]):
                code.closed, code = True, None
            else:
                code.code.append(line)
            continue
        match = _FENCE_OPEN.match(line) if fences else None
        if match and not (match[1][0] == "`" and "`" in match[2]):
            fence = match[1]
            code = Leaf("code", language=_language(match[2]), closed=False)
            blocks.append((number, [code]))
        else:
            after_code = bool(blocks) and blocks[-1][1][0].kind == "code"
            gap = after_code and bool(line.strip())
            blocks.append((number, [Leaf("text", Content(line.expandtabs(4)), gap=gap)]))
    if code is not None and code.code and not code.code[-1]:
        code.code.pop()
    return blocks


def _language(info: str) -> str:
    words = info.split()
    return words[0].strip("{}.").split(",")[0][:24] if words else ""


class _Walker:
    """Turns the tokens of one top-level block into leaves."""

    def __init__(self, source: str) -> None:
        self.lines = source.split("\n")
        self.out: list[Leaf] = []
        self.first = Content.empty()
        self.rest = Content.empty()

    def walk(self, tokens: list[Token]) -> list[Leaf]:
        self.out = []
        self.first = self.rest = Content.empty()
        self._nested(tokens, 0, len(tokens), gap=True)
        return self.out

    def _add(self, leaf: Leaf) -> None:
        leaf.first, leaf.rest = self.first, self.rest
        self.first = self.rest  # a bullet stands before the first line only
        self.out.append(leaf)

    def _block(self, tokens: list[Token], index: int, stop: int, gap: bool) -> None:
        token = tokens[index]
        match token.type:
            case "paragraph_open":
                for line in inline(tokens[index + 1]).split("\n", allow_blank=True):
                    self._add(Leaf("text", line, gap=gap))
                    gap = False
            case "heading_open":
                level = int(token.tag[1])
                content = inline(tokens[index + 1])
                style = f".chat--h{min(level, 3)}"
                content = content.stylize_before(style, 0, len(content.plain))
                self._add(Leaf("text", content, gap=gap))
            case "fence" | "code_block":
                code = token.content.split("\n")
                if code and not code[-1]:
                    code.pop()
                self._add(
                    Leaf(
                        "code",
                        code=code,
                        language=_language(token.info),
                        gap=gap,
                        closed=self._closed(token),
                    )
                )
            case "bullet_list_open" | "ordered_list_open":
                self._list(tokens, index, stop, gap)
            case "blockquote_open":
                before = self.first, self.rest
                bar = Content.styled("▎ ", ".chat--quote-bar")
                self.first, self.rest = before[0] + bar, before[1] + bar
                self._nested(tokens, index + 1, stop, gap)
                self.first = self.rest = before[1]
            case "table_open":
                self._add(_table(tokens[index : stop + 1], gap))
            case "hr":
                self._add(Leaf("rule", gap=gap))
            case "html_block":
                for text in token.content.rstrip("\n").split("\n"):
                    self._add(Leaf("text", Content(text), gap=gap))
                    gap = False
            case _:
                if token.content:
                    self._add(Leaf("text", Content(token.content), gap=gap))

    def _nested(self, tokens: list[Token], start: int, end: int, gap: bool) -> None:
        """The blocks in tokens[start:end]; the first one has the outer's `gap`."""
        index = start
        while index < end:
            stop = _closing(tokens, index) if tokens[index].nesting == 1 else index
            self._block(tokens, index, stop, gap)
            gap = True
            index = stop + 1

    def _list(self, tokens: list[Token], index: int, stop: int, gap: bool) -> None:
        ordered = tokens[index].type == "ordered_list_open"
        number = int(tokens[index].attrs.get("start", 1)) if ordered else 0
        items = _children(tokens, index + 1, stop)
        tight = all(
            token.hidden
            for begin, end in items
            for token in tokens[begin:end]
            if token.type == "paragraph_open" and token.level == tokens[index].level + 2
        )
        width = len(str(number + len(items) - 1)) + 2 if ordered else 2
        first, rest = self.first, self.rest
        for begin, end in items:
            mark = f"{number}.".rjust(width - 1) + " " if ordered else "• "
            self.first = first + Content.styled(mark, ".chat--bullet")
            self.rest = rest + Content(" " * width)
            inner = begin + 1
            item_gap = gap
            if inner >= end:
                self._add(Leaf("text", gap=item_gap))
            while inner < end:
                last = _closing(tokens, inner) if tokens[inner].nesting == 1 else inner
                self._block(tokens, inner, last, item_gap)
                item_gap = not tight
                inner = last + 1
            first = rest
            gap = not tight
            number += 1
        self.first = self.rest = rest

    def _closed(self, token: Token) -> bool:
        if token.type != "fence" or token.map is None:
            return True
        last = min(token.map[1], len(self.lines)) - 1
        text = self.lines[last].lstrip(" >").rstrip()
        return (
            last > token.map[0]
            and text.startswith(token.markup)
            and not text.strip(token.markup[0])
        )


def _closing(tokens: list[Token], index: int) -> int:
    """Index of the token that closes tokens[index]."""
    level = tokens[index].level
    for position in range(index + 1, len(tokens)):
        if tokens[position].level == level and tokens[position].nesting == -1:
            return position
    return len(tokens) - 1


def _children(tokens: list[Token], start: int, end: int) -> list[tuple[int, int]]:
    """(open, close) of the blocks directly in tokens[start:end]."""
    found = []
    index = start
    while index < end:
        stop = _closing(tokens, index) if tokens[index].nesting == 1 else index
        found.append((index, stop))
        index = stop + 1
    return found


def _table(tokens: list[Token], gap: bool) -> Leaf:
    leaf = Leaf("table", gap=gap)
    for position, token in enumerate(tokens):
        if token.type == "tr_open":
            leaf.rows.append([])
        elif token.type in ("th_open", "td_open"):
            leaf.rows[-1].append(inline(tokens[position + 1]))
            if token.type == "th_open":
                style = str(token.attrs.get("style", ""))
                leaf.align.append(style.rpartition(":")[2] or "left")
    return leaf


# --- inline ---------------------------------------------------------------------------------------

_INLINE = {"em_open": ".chat--em", "strong_open": ".chat--strong", "s_open": ".chat--strike"}


def inline(token: Token) -> Content:
    """The text of a paragraph, heading or table cell with its styles; hard breaks are newlines."""
    texts: list[str] = []
    spans: list[Span] = []
    stack: list[tuple[int, list[Style | str]]] = []
    position = 0

    def add(text: str) -> None:
        nonlocal position
        texts.append(text)
        position += len(text)

    for child in token.children or ():
        match child.type:
            case "text":
                add(_SPACE.sub(" ", child.content))
            case "softbreak":
                add(" ")
            case "hardbreak":
                add("\n")
            case "code_inline":
                spans.append(Span(position, position + len(child.content), ".chat--code"))
                add(child.content)
            case "image":
                label = child.content or "image"
                start = position
                add(f"[{label}]")
                href = str(child.attrs.get("src", ""))
                spans.append(Span(start, position, Style.from_meta({"chat": ("link", href)})))
                spans.append(Span(start, position, ".chat--link"))
            case "link_open":
                href = str(child.attrs.get("href", ""))
                stack.append((position, [".chat--link", Style.from_meta({"chat": ("link", href)})]))
            case "em_open" | "strong_open" | "s_open":
                stack.append((position, [_INLINE[child.type]]))
            case "html_inline":
                add("\n" if child.content.startswith("<br") else child.content)
            case _:
                if child.nesting == -1 and stack:
                    start, styles = stack.pop()
                    spans.extend(Span(start, position, style) for style in styles)
                elif child.content:
                    add(child.content)
    spans.sort(key=lambda span: (span.start, -span.end))
    return Content("".join(texts), spans=spans)
