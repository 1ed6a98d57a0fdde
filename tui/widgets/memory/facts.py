"""Lists of facts with their sources below them: about an entity, and of what was just learnt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from agents.memory.types import Fact, Node, Source, said_once
from tui.widgets.memory.messages import SourceRequested
from tui.widgets.memory.words import cut, held, mark, plain, said, sentence, summary
from tui.widgets.session_words import when

SOURCES = 3  # shown of each fact


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a list: a fact, and the source that Enter goes to."""

    fact: Fact | None
    source: Source | None


class RowList(OptionList):
    """Options with what they stand for; Enter goes to the source."""

    DEFAULT_CSS = """
    RowList { padding: 0 1; scrollbar-size-vertical: 1; text-wrap: nowrap;
              text-overflow: ellipsis; }
    """

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]
        self.rows: list[Row] = []

    @property
    def row(self) -> Row | None:
        """The line highlighted."""
        at = self.highlighted
        return self.rows[at] if at is not None and at < len(self.rows) else None

    @property
    def fact(self) -> Fact | None:
        """The fact highlighted, or the one whose source is."""
        return self.row.fact if self.row else None

    def fill(self, rows: Sequence[tuple[Row, Text]], keep: str = "") -> None:
        """Show these; the line of the fact `keep` stays highlighted."""
        self.rows = [row for row, _ in rows]
        before = self.highlighted
        self.clear_options()
        self.add_options([Option(text) for _, text in rows])
        places = [i for i, row in enumerate(self.rows) if keep and row.fact and row.fact.id == keep]
        if places:
            self.highlighted = places[0]
        elif self.rows:
            self.highlighted = min(before or 0, len(self.rows) - 1)

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        if self.row is not None and self.row.source is not None:
            self.post_message(SourceRequested(self.row.source))


def source_text(source: Source, width: int) -> Text:
    """ "  ┊ ada, 3 May: I work at Halo Labs." """
    line = Text("  ┊ ", style="dim", no_wrap=True, overflow="ellipsis")
    line.append(f"{cut(source.speaker or 'somebody', 14)}, {when(source.time)}: ", "dim")
    return line.append(cut(f"“{plain(source.text)}”", max(8, width - line.cell_len)), "italic dim")


def fact_text(fact: Fact, words: tuple[str, str], width: int) -> Text:
    """Mark, relation, the other side; then since when and how sure, as far as there is room."""
    what, whom = words
    gone = fact.valid_to is not None or fact.status == "rejected"
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(f"{mark(fact)} ", "bold" if fact.status == "accepted" else "dim")
    line.append(f"{what} ", "dim" if gone else "")
    room = width - line.cell_len
    line.append(cut(whom, max(6, room)), "dim" if gone else "bold")
    sure = "" if fact.status == "accepted" else f"{fact.confidence:.0%}"
    for right in (" · ".join(filter(None, (held(fact), sure))), held(fact), sure):
        if right and line.cell_len + len(right) + 2 <= width:
            line.append(" " * (width - line.cell_len - len(right)))
            line.append(right, "dim")
            break
    return line


class FactList(Vertical):
    """Who the entity is, and what is known about it, newest first."""

    DEFAULT_CSS = """
    FactList { height: 1fr; }
    FactList > #fact-head { height: auto; max-height: 3; padding: 0 1; color: $text-muted; }
    FactList > RowList { height: 1fr; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.node: Node | None = None
        self.facts: list[Fact] = []

    def compose(self) -> ComposeResult:
        yield Static("", id="fact-head", markup=False)
        yield RowList()

    @property
    def list(self) -> RowList:
        """The list itself."""
        return self.query_one(RowList)

    def show(self, node: Node | None, facts: Sequence[Fact], keep: str = "") -> None:
        """Show what is known about an entity."""
        self.node, self.facts = node, list(facts)
        head = self.query_one("#fact-head", Static)
        if node is None:
            head.update("")
            self.list.fill([])
            return
        title = Text(no_wrap=True, overflow="ellipsis")
        title.append(plain(node.name), "bold").append(f"  {summary(node)}")
        others = [plain(alias) for alias in node.aliases if alias != node.name]
        if others:
            title.append(f"\nalso {', '.join(others)}", "dim")
        head.update(title)
        width = max(20, self.size.width - 4)
        rows: list[tuple[Row, Text]] = []
        for fact in self.facts:
            newest = fact.sources[0] if fact.sources else None
            rows.append((Row(fact, newest), fact_text(fact, said(fact, node.id), width)))
            rows += [
                (Row(fact, source), source_text(source, width))
                for source in said_once(fact.sources)[:SOURCES]
            ]
        if not rows:
            rows = [(Row(None, None), Text("Nothing is known about it yet.", "dim"))]
        self.list.fill(rows, keep)

    def redraw(self) -> None:
        """The width changed."""
        fact = self.list.fact
        self.show(self.node, self.facts, fact.id if fact else "")


def feed_text(fact: Fact, speaker: str, moment: float, closed: bool, width: int) -> Text:
    """A line of the feed: when, who said it, and the fact."""
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(f"{when(moment):>5} ", "dim")
    line.append(f"{'◌' if closed else mark(fact)} ", "bold" if fact.status == "accepted" else "")
    gone = closed or fact.status == "rejected"
    room = width - line.cell_len - 5
    line.append(
        cut(sentence(fact), room),
        "dim strike" if fact.status == "rejected" else "dim" if gone else "",
    )
    tail = "ended" if closed else "" if fact.status != "learnt" else f"{fact.confidence:.0%}"
    who = cut(speaker, 10)
    for right in (f"{who} · {tail}" if tail else who, tail):
        if right and line.cell_len + len(right) + 2 <= width:
            line.append(" " * (width - line.cell_len - len(right))).append(right, "dim")
            break
    return line
