"""What was just learnt, newest first, to be accepted, rejected or corrected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from agents.memory.types import Fact
from tui.widgets.memory.facts import Row, RowList, feed_text, source_text

SHOWN = 100  # newest lessons


@dataclass(slots=True)
class Lesson:
    """A fact that a message taught, or ended (`closed`)."""

    fact: Fact
    speaker: str
    message: str  # id of the turn
    time: float
    closed: bool = False
    earlier: bool = False  # known from before this start


class Feed(Vertical):
    """The newest lessons."""

    DEFAULT_CSS = """
    Feed { height: 1fr; }
    Feed > #feed-head { height: 1; padding: 0 1; color: $text-muted; }
    Feed > RowList { height: 1fr; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.lessons: list[Lesson] = []

    def compose(self) -> ComposeResult:
        yield Static("", id="feed-head", markup=False)
        yield RowList()

    @property
    def list(self) -> RowList:
        """The list itself."""
        return self.query_one(RowList)

    def show(self, lessons: Sequence[Lesson]) -> None:
        """Show these, newest first; whoever reads further down keeps the place."""
        options = self.list
        keep = options.fact.id if options.fact and options.highlighted else ""
        self.lessons = list(lessons)
        width = max(20, self.size.width - 4)
        rows: list[tuple[Row, Text]] = []
        last = ""
        for lesson in self.lessons[:SHOWN]:
            fact = lesson.fact
            source = next((s for s in fact.sources if s.message == lesson.message), None)
            if lesson.closed:
                source = fact.ended or source  # what ended it, not what it came from
            elif source is None and fact.sources:
                source = fact.sources[0]
            text = feed_text(fact, lesson.speaker, lesson.time, lesson.closed, width)
            rows.append((Row(fact, source), text))
            if source is not None and source.message != last:
                rows.append((Row(fact, source), source_text(source, width)))
                last = source.message
        count = len(self.lessons)
        new = sum(not lesson.earlier for lesson in self.lessons)
        words = f"{new:,} {'fact' if new == 1 else 'facts'} learnt since the start"
        if not new:
            words = "Nothing was learnt since the start" + ("; before it:" if count else "")
        if not count:
            hint = "It fills while you talk: “Priya works at Halo Labs.”"
            rows = [(Row(None, None), Text(hint, "dim"))]
        self.query_one("#feed-head", Static).update(words)
        options.fill(rows, keep)

    def redraw(self) -> None:
        """The width changed."""
        self.show(self.lessons)
