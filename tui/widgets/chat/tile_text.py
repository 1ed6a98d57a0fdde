"""The end of an answer as plain lines: what Markdown marks is read, its marks are left out.

It costs no more for a long text: what stands before the end is looked at once, for code fences.
"""

from __future__ import annotations

import re
from itertools import pairwise

from rich.cells import cell_len
from textual._wrap import compute_wrap_offsets

from tui.widgets.chat.markdown import clean

FENCES = ("```", "~~~")
_HEADING = re.compile(r"^ {0,3}#{1,6} +")
_BULLET = re.compile(r"^( *)[-*+] (?=\S)")
_MARKS = re.compile(
    r"\*\*(?=\S)(.+?)(?<=\S)\*\*"  # bold
    r"|(?<![\w*])\*(?=[^\s*])([^*\n]+?)(?<=\S)\*(?![\w*])"  # italic
    r"|(?<!`)`([^`\n]+)`(?!`)"
    r"|!?\[([^\]\n]+)\]\([^)\s]*\)"
)


class Fences:
    """Whether a place in a text that grows is inside of a code block."""

    def __init__(self) -> None:
        self._text = ""  # what was looked at, for comparing its end
        self._upto = 0
        self.open = False

    def at(self, text: str, place: int) -> bool:
        """Whether the line that begins at `place` is code. Only what is new is looked at."""
        if place < self._upto or not text.startswith(self._text[-64:], max(0, self._upto - 64)):
            self._upto, self.open = 0, False
        for line in text[self._upto : place].splitlines():
            self.open ^= line.lstrip().startswith(FENCES)
        self._upto, self._text = place, text[max(0, place - 64) : place]
        return self.open


def tail(text: str, width: int, height: int) -> list[str]:
    """The last `height` lines of a text wrapped at `width`."""
    return _wrapped(clean(text[-(width * height + 200) :]), width, height)


def markdown_tail(text: str, width: int, height: int, fences: Fences) -> list[str]:
    """The same of Markdown: without the marks of bold, code, links and headings, but in code."""
    start = max(0, len(text) - (width * height + 200))
    start = text.find("\n", start) + 1 if start else 0  # 0 when there is none: one long line
    code = fences.at(text, start)
    lines: list[str] = []
    for line in clean(text[max(start, len(text) - 4 * width * height - 400) :]).split("\n"):
        if line.lstrip().startswith(FENCES):
            code = not code
            lines.append(f"┄┄ {line.strip().strip('`~')}".rstrip())
        else:
            lines.append(line if code else plain(line))
    return _wrapped("\n".join(lines), width, height)


def plain(line: str) -> str:
    """A line of Markdown without its marks."""
    line = _BULLET.sub(r"\1• ", _HEADING.sub("", line))
    return _MARKS.sub(lambda match: next(filter(None, match.groups()), ""), line)


def _wrapped(end: str, width: int, height: int) -> list[str]:
    lines: list[str] = []
    for line in reversed(end.rstrip("\n").expandtabs(4).split("\n")):
        if cell_len(line) <= width:
            lines.insert(0, line)
        else:
            cuts = [0, *compute_wrap_offsets(line, width, tab_size=4), len(line)]
            lines[:0] = [line[a:b].rstrip() for a, b in pairwise(cuts)]
        if len(lines) >= height:
            break
    return lines[-height:]
