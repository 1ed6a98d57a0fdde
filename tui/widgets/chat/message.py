"""One message of a conversation as lines: header, thinking, text, what went wrong, figures."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from textual.content import Content
from textual.style import Style

from agents import calling
from agents.events import AgentState, Call, Turn
from tui.widgets.chat.layout import Block, Line, is_plain, lay_out, wrap
from tui.widgets.chat.markdown import Document, Leaf, Mode, clean, parse

# Logical lines of a message are numbered by part, so that a growing thought does not move the
# numbers of the text below it, which a selection may refer to.
HEADER, RECALLED, THINKING, CALLS, BODY, FOOTER, SPAN = (
    0, 1, 100_000, 300_000, 400_000, 900_000, 1_000_000
)  # fmt: skip
FOLD_ABOVE, FOLD_TO = 30, 12  # lines of a prompt
GUTTER = 2


def action(name: str, *args: object) -> Style:
    """Marks text that does something when it is clicked."""
    return Style.from_meta({"chat": (name, *args)})


@dataclass(slots=True)
class Look:
    """What a message needs to know of its surroundings."""

    width: int  # cells for text
    colour_of: Callable[[str], str]  # style of an author's name
    state: AgentState
    agent: str
    last: bool = False  # the newest message
    selected: bool = False
    hovered: bool = False
    opened: bool = False  # thoughts, or a long prompt
    thinking_seconds: float = 0.0


class MessageView:
    """A turn laid out. `lines` is empty while it is not needed; `height` stays."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.lines: list[Line] = []
        self.height = 0
        self.width = 0  # what it was laid out for; 0 = never, the height is a guess
        self.parts: list[tuple[int, list[str]]] = []
        self.codes: list[tuple[int, Leaf]] = []
        self.folded = 0  # lines hidden
        self._body: Document | None = None
        self._fixed: Block | None = None
        self._fixed_leaves = 0
        self._thinking: Document | None = None
        self._cuts: dict[int, int] = {}  # characters before a call -> logical lines

    # --- size ------------------------------------------------------------------------------------

    def guess(self, width: int) -> int:
        """Height without laying out, good enough for a scrollbar."""
        turn = self.turn
        rows = turn.text.count("\n") + len(turn.text) // max(1, width) + 1 + len(turn.calls)
        if turn.role == "user":
            rows = min(rows, FOLD_ABOVE)
        return rows + (1 if turn.role == "note" else 4 if turn.role == "assistant" else 3)

    def release(self) -> None:
        """Forget the lines, keep the height."""
        self.lines = []
        self.parts = []
        self.codes = []
        self._body = self._fixed = self._thinking = None
        self._cuts = {}

    # --- lines -----------------------------------------------------------------------------------

    def lay_out(self, look: Look) -> None:
        """Make the lines for this width and state."""
        if look.width != self.width:
            self._fixed, self._cuts = None, {}
        self.width = look.width
        turn = self.turn
        lines: list[Line] = []
        self.parts = []
        self.folded = 0
        if turn.role == "note":
            self._note(lines, look)
        else:
            lines.append(self._header(look))
            self.parts.append((HEADER, [self.title(look.agent)]))
            if turn.recalled:
                self._recalled(lines, look)
            if turn.thinking:
                self._thoughts(lines, look)
            called = self._calls(look) if turn.calls else {}
            lines += called.pop(0, [])
            self._text(lines, look, called)
            self._footer(lines, look)
        lines.append(Line(Content.empty(), SPAN - 1))
        self.lines = lines
        self.height = len(lines)

    def keep_lines(self, before: list[Line]) -> int:
        """Put lines that are the same as `before` back in place, drawn as they are.

        Returns the index of the first line that is another one.
        """
        first = -1
        for index, (old, new) in enumerate(zip(before, self.lines, strict=False)):
            if old is new:
                continue
            same = (old.y, old.x, old.lead, old.base) == (new.y, new.x, new.lead, new.base)
            if same and old.content.is_same(new.content):
                self.lines[index] = old
            elif first < 0:
                first = index
        return min(len(before), len(self.lines)) if first < 0 else first

    def title(self, agent: str) -> str:
        """Who speaks, in words."""
        turn = self.turn
        if turn.role == "user":
            return "you" if turn.author in ("", "you") else f"{turn.author} → {agent}"
        return turn.author or ("system" if turn.role == "system" else agent)

    def _recipients(self, width: int) -> str:
        """ada, grace, alan; where there is no room for that, 3 agents."""
        names = ", ".join(self.turn.to)
        return names if len(names) <= width else f"{len(self.turn.to)} agents"

    def redraw_header(self, look: Look) -> None:
        """The header only: the mouse or the selection came or went."""
        if self.lines and self.turn.role != "note":
            self.lines[0] = self._header(look)

    def _header(self, look: Look) -> Line:
        turn = self.turn
        handed = turn.role == "user" and turn.author not in ("", "you")
        if handed:
            left = (
                Content.styled(turn.author, look.colour_of(turn.author))
                + Content.styled(" → ", ".chat--dim")
                + Content.styled(look.agent, look.colour_of(look.agent))
                + Content.styled("  handed over", ".chat--dim")
            )
        else:
            name = self.title(look.agent)
            author = "you" if turn.role == "user" else turn.author or look.agent
            left = Content.styled(name, look.colour_of(author))
            if turn.to:
                left += Content.styled(f" → {self._recipients(look.width - 24)}", ".chat--dim")
        when = Content.styled(clock(turn.time), ".chat--dim")
        if look.selected or look.hovered:
            right = self._tools(look)
            if left.cell_length + right.cell_length + when.cell_length + 4 <= look.width:
                right = right + Content("  ") + when
        else:
            right = when
        space = max(1, look.width - left.cell_length - right.cell_length)
        return Line(left + Content(" " * space) + right, HEADER)

    def _tools(self, look: Look) -> Content:
        """What can be done with the message, with keys; clickable."""
        turn = self.turn
        tools = [("c", "copy", "copy")]
        if self.codes:
            tools.append(("y", "code", "last_code"))
        if turn.role == "user" and turn.author in ("", "you"):
            tools.append(("e", "edit", "edit"))
        if turn.role == "assistant" and turn.status not in ("waiting", "streaming"):
            tools.append(("r", "again", "regenerate"))
        if turn.status not in ("waiting", "streaming"):
            tools.append(("f", "fork here", "fork"))
        parts = []
        for key, label, name in tools:
            text = Content.styled(key, ".chat--key") + Content.styled(f" {label}", ".chat--dim")
            parts.append(text.stylize(action(name)))
        return Content("  ").join(parts)

    def _note(self, lines: list[Line], look: Look) -> None:
        text = Content.styled(" ".join(clean(self.turn.text).split()), ".chat--note")
        for index, (offset, piece) in enumerate(wrap(text, look.width - 2)):
            mark = Content.styled("· ", ".chat--note") if index == 0 else Content("  ")
            lines.append(Line(mark + piece, BODY, offset, 2))
        self.parts.append((BODY, [text.plain]))

    def _recalled(self, lines: list[Line], look: Look) -> None:
        """What the memory put before the model, folded away."""
        text = clean(self.turn.recalled).strip("\n")
        entries = sum(line.lstrip().startswith("- ") for line in text.split("\n"))
        what = "1 line" if entries == 1 else f"{entries:,} lines" if entries else "a note"
        label = f"{'▾' if look.opened else '▸'} Recalled from memory · {what}"
        head = Content.styled(label, ".chat--thinking-head").stylize(action("fold"))
        lines.append(Line(head, RECALLED, lead=len(label)))
        logical = text.split("\n") if look.opened else []
        bar = Content.styled("┊ ", ".chat--quote-bar")
        for number, line in enumerate(logical):
            for offset, piece in wrap(Content.styled(line, ".chat--thinking"), look.width - 2):
                lines.append(Line(bar + piece, RECALLED + 1 + number, offset, 2))
        self.parts.append((RECALLED, ["", *logical]))

    def _thoughts(self, lines: list[Line], look: Look) -> None:
        turn = self.turn
        words = len(turn.thinking.split())
        live = turn.status == "streaming" and not turn.text
        arrow = "▾" if look.opened else "▸"
        took = f" for {look.thinking_seconds:.1f} s" if look.thinking_seconds >= 0.1 else ""
        label = f"{arrow} {'Thinking' if live else 'Thought'}{took} · {count(words, 'word')}"
        head = Content.styled(label, ".chat--thinking-head").stylize(action("fold"))
        lines.append(Line(head, THINKING, lead=len(label)))
        logical: list[str] = []
        if look.opened:
            if self._thinking is None:
                self._thinking = Document(mode="raw")
            self._thinking.set(turn.thinking.strip("\n"))
            block = lay_out(self._thinking.leaves, look.width - 2)
            bar = Content.styled("┊ ", ".chat--quote-bar")
            for line in block.lines:
                text = line.content.stylize_before(".chat--thinking", 0, len(line.content.plain))
                lines.append(Line(bar + text, THINKING + 1 + line.y, line.x, 2))
            logical = block.logical
        self.parts.append((THINKING, ["", *logical]))

    def _calls(self, look: Look) -> dict[int, list[Line]]:
        """The tools that were called, a line each; opened with what was asked and found.

        By the characters of text before them.
        """
        turn = self.turn
        bar = Content.styled("┊ ", ".chat--quote-bar")
        logical: list[str] = []
        called: dict[int, list[Line]] = {}
        for call in turn.calls:
            lines = called.setdefault(call.at if turn.text[: call.at].strip() else 0, [])
            head = Content.styled(call_line(call, look), call_style(call)).stylize(action("fold"))
            lines.append(Line(head, CALLS + len(logical), lead=len(head.plain)))
            logical.append("")
            for text in call_details(call) if look.opened else ():
                for offset, piece in wrap(text, look.width - 2):
                    lines.append(Line(bar + piece, CALLS + len(logical), offset, 2))
                logical.append(text.plain)
        self.parts.append((CALLS, logical))
        return called

    def _with_calls(self, body: list[Line], called: dict[int, list[Line]]) -> list[Line]:
        """Calls between the paragraphs that were said before and after them."""
        for at in sorted(called, reverse=True):
            if at not in self._cuts:
                self._cuts[at] = len(lay_out(parse(self.turn.text[:at]), self.width).logical)
            first = BODY + self._cuts[at]
            row = next((i for i, line in enumerate(body) if line.y >= first), len(body))
            body = [*body[:row], Line(Content.empty(), CALLS - 1), *called[at], *body[row:]]
        return body

    def _text(self, lines: list[Line], look: Look, called: dict[int, list[Line]]) -> None:
        turn = self.turn
        mode: Mode = "plain" if turn.role == "user" and turn.author in ("", "you") else "markdown"
        if self._body is None:
            self._body = Document(mode=mode)
            self._fixed = None
        text = turn.text.strip("\n") if turn.role == "user" else turn.text
        self._body.set(text)
        if self._fixed is None or self._fixed_leaves > len(self._body.fixed):
            self._fixed, self._fixed_leaves = Block(), 0
        fresh = self._body.fixed[self._fixed_leaves :]
        if fresh:
            start = len(self._fixed.lines)
            self._fixed.extend(lay_out(fresh, look.width, bool(self._fixed.lines)))
            for line in self._fixed.lines[start:]:
                line.y += BODY
            self._fixed_leaves = len(self._body.fixed)
        tail = lay_out(self._body.tail, look.width, bool(self._fixed.lines))
        shift = len(self._fixed.logical)
        for line in tail.lines:
            line.y += BODY + shift
        body = self._fixed.lines + tail.lines
        logical = self._fixed.logical + tail.logical
        self.codes = self._fixed.codes + [(y + shift, leaf) for y, leaf in tail.codes]
        if len(lines) > 1 and body and look.opened:  # something is unfolded above
            lines.append(Line(Content.empty(), BODY - 1))
        if mode == "plain" and len(body) > FOLD_ABOVE:
            arrow = "▾ fold" if look.opened else f"▸ {len(body) - FOLD_TO} more lines"
            self.folded = 0 if look.opened else len(body) - FOLD_TO
            fold = Content.styled(arrow, ".chat--thinking-head").stylize(action("fold"))
            body = (body if look.opened else body[:FOLD_TO]) + [
                Line(fold, FOOTER - 2, lead=len(arrow))
            ]
        thinks = turn.thinking and not turn.text
        calls = busy(turn) or (called and len(turn.text) <= max(called))
        if turn.status == "streaming" and not thinks and not calls:
            body = self._with_cursor(body, look.width)
        self.parts.append((BODY, logical))
        lines.extend(self._with_calls(body, called))

    def _with_cursor(self, body: list[Line], width: int) -> list[Line]:
        """A mark where the next word will appear."""
        mark = Content.styled("▍", ".chat--cursor")
        if not body:
            return [Line(mark, BODY)]
        last = body[-1]
        if last.content.cell_length + 1 >= width:
            return [*body, Line(mark, last.y, last.x + len(last.content.plain) - last.lead)]
        return [*body[:-1], Line(last.content + mark, last.y, last.x, last.lead, last.base)]

    def _footer(self, lines: list[Line], look: Look) -> None:
        turn = self.turn
        if turn.role != "assistant":
            return
        texts: list[Content] = []
        if turn.status == "waiting":
            texts.append(Content.styled(waiting(look.state), ".chat--dim"))
        elif turn.status not in ("streaming", "done"):
            texts.append(self._fault(look))
        elif turn.status == "streaming" and turn.calls and look.state.kind in ("prefill", "queued"):
            if not busy(turn):
                texts.append(Content.styled(waiting(look.state), ".chat--dim"))
        elif turn.status == "done" and not turn.text.strip():
            texts.append(Content.styled("(the answer is empty)", ".chat--dim"))
        if turn.status != "waiting" and (figures := stats(turn, look.width)):
            texts.append(Content.styled(figures, ".chat--stats"))
        fault = turn.status in ("cancelled", "error", "length", "loop")
        if texts and turn.text and (fault or lines[-1].base):
            lines.append(Line(Content.empty(), FOOTER - 1))
        for number, text in enumerate(texts):
            for offset, piece in wrap(text, look.width):
                lines.append(Line(piece, FOOTER + number, offset))
        self.parts.append((FOOTER, ["" for _ in texts]))

    def _fault(self, look: Look) -> Content:
        turn = self.turn
        mark, style, words = {
            "cancelled": ("■", ".chat--warning", "Stopped."),
            "length": ("✂", ".chat--warning", "The answer was cut."),
            "loop": ("✂", ".chat--warning", "The answer only repeated itself."),
        }.get(turn.status, ("✗", ".chat--error", "The answer failed."))
        detail = " ".join(clean(turn.detail).split()) or words
        if turn.status == "cancelled" and turn.detail:
            detail = f"{words} {detail}"
        text = Content.styled(f"{mark} {detail}", style)
        if look.last:
            label = "Try again" if turn.status == "error" else "Answer again"
            again = Content.styled(label, ".chat--link").stylize(action("regenerate"))
            text = text + Content(" ") + again + Content.styled(" (r)", ".chat--dim")
            if turn.status == "length":
                text = text + Content.styled(" or send “go on”.", ".chat--dim")
        return text

    # --- logical text ----------------------------------------------------------------------------

    def code_at(self, y: int) -> str | None:
        """Source of the code block whose title stands on line `y`."""
        return next(("\n".join(leaf.code) for start, leaf in self.codes if BODY + start == y), None)

    def last_code(self) -> str | None:
        """Source of the last code block."""
        return "\n".join(self.codes[-1][1].code) if self.codes else None

    def plain_code(self) -> list[Leaf]:
        """Long closed code blocks that still wait for their colours."""
        return [
            leaf
            for _, leaf in self.codes
            if leaf.closed and leaf.highlighted is None and not is_plain(leaf.language)
        ]

    def recolour(self) -> None:
        """Lay the text out anew at the next chance (code got its colours)."""
        self._fixed = None


# --- calls ----------------------------------------------------------------------------------------


def busy(turn: Turn) -> bool:
    """Whether a tool is at work for this answer."""
    return any(call.status == "running" for call in turn.calls)


def call_line(call: Call, look: Look) -> str:
    """▸ ⚙ recall “where does Ada work?” → 3 facts, 12 ms, as long as fits on a line."""
    arrow = "▾" if look.opened else "▸"
    whole = clean(f"{arrow} ⚙ {calling.words(call)}")
    over = cell_len(whole) - look.width
    if over > 0:
        room = max(8, len(calling.subject(call)) - over)
        whole = clean(f"{arrow} ⚙ {calling.words(call, room)}")
    return set_cell_size(whole, look.width).rstrip() if cell_len(whole) > look.width else whole


def call_style(call: Call) -> str:
    return ".chat--warning" if call.status == "error" else ".chat--thinking-head"


def call_details(call: Call) -> list[Content]:
    """What was asked, and what came of it: findings with scores, or the result as it is."""
    lines = [
        Content.styled(f"{clean(key)}: ", ".chat--dim")
        + Content.styled(clean(value), ".chat--thinking")
        for key, value in calling.given(call)
    ]
    for index, found in enumerate(call.found):
        text = " ".join(clean(found.text).split())
        line = Content.styled(f"{found.score:.2f} ", ".chat--dim") + Content.styled(
            text, ".chat--thinking"
        )
        if found.message:
            jump = Content.styled("show", ".chat--link").stylize(action("found", call.id, index))
            line = line + Content(" ") + jump
        lines.append(line)
    if not call.found:
        lines += [
            Content.styled(line, ".chat--thinking")
            for line in clean(call.result).strip("\n").split("\n")
            if line
        ]
    return lines


# --- words ----------------------------------------------------------------------------------------


def clock(when: float) -> str:
    """Time of a message: 13:44 today, with the date before."""
    if not when:
        return ""
    then, now = time.localtime(when), time.localtime()
    if then[:3] == now[:3]:
        return time.strftime("%H:%M", then)
    return time.strftime("%d %b %H:%M" if then[0] == now[0] else "%d %b %Y", then)


def count(number: int, noun: str) -> str:
    """ "1 word", "1,234 words"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def waiting(state: AgentState) -> str:
    """Why there is no text yet."""
    if state.kind == "prefill" and not state.reason:
        if state.total:
            return f"… reading the prompt, {100 * state.done // state.total} %"
        return "… reading the prompt"
    if state.reason:
        return f"… waiting: {state.reason}"
    return "… waiting for its turn"


def stats(turn: Turn, width: int) -> str:
    """The figures of an answer on one line; fewer where it is narrow."""
    if not turn.tokens:
        return ""
    parts = [count(turn.tokens, "token")]
    if turn.tok_s:
        parts.append(f"{turn.tok_s:,.1f} tok/s" if turn.tok_s < 100 else f"{turn.tok_s:,.0f} tok/s")
    if turn.ttft:
        parts.append(f"first after {seconds(turn.ttft)}")
    if turn.prompt_tokens and turn.cached_tokens:
        parts.append(f"{turn.cached_tokens:,} of {turn.prompt_tokens:,} prompt tokens reused")
    elif turn.prompt_tokens:
        parts.append(f"{turn.prompt_tokens:,} prompt tokens")
    while len(parts) > 1 and cell_len(" · ".join(parts)) > width:
        parts.pop()
    return " · ".join(parts)


def seconds(value: float) -> str:
    """A duration for people."""
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"
