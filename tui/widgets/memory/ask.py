"""The question box: what the graph knows about a question, with scores and sources."""

from __future__ import annotations

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Input, Static

from agents.memory.types import Recall
from tui.widgets.memory.facts import Row, RowList
from tui.widgets.memory.words import cut, day, held, look, mark, plain, sentence
from tui.widgets.session_words import when

PARTS = {"bm25": "words", "vector": "meaning", "graph": "graph"}


class AskPane(Vertical):
    """A question above, facts and messages below."""

    DEFAULT_CSS = """
    AskPane { height: 1fr; }
    AskPane > #ask-line { height: 1; background: $surface; padding: 0 1; }
    AskPane #ask-mark { width: 2; color: $text-primary; }
    AskPane Input, AskPane Input:focus { width: 1fr; height: 1; border: none; padding: 0;
        background: $surface; background-tint: transparent 0%; }
    AskPane > #ask-head { height: 1; padding: 0 1; color: $text-muted; }
    AskPane > RowList { height: 1fr; }
    """

    class Asked(Message):
        """A question."""

        def __init__(self, question: str) -> None:
            super().__init__()
            self.question = question

    def __init__(self) -> None:
        super().__init__()
        self.recall: Recall | None = None

    def compose(self) -> ComposeResult:
        with Horizontal(id="ask-line"):
            yield Static("? ", id="ask-mark")
            yield Input(placeholder="What do you know about …?  Enter asks the graph")
        yield Static("No model is needed for this: the graph answers.", id="ask-head", markup=False)
        yield RowList()

    @property
    def input(self) -> Input:
        """Where the question is typed."""
        return self.query_one(Input)

    @property
    def list(self) -> RowList:
        """The answer."""
        return self.query_one(RowList)

    def ask(self, question: str) -> None:
        """Ask as if it had been typed."""
        self.input.value = question
        self.post_message(self.Asked(question))

    def wait(self) -> None:
        """The graph is looking."""
        self.query_one("#ask-head", Static).update("◔ Looking…")

    def fail(self, words: str) -> None:
        """It cannot be answered."""
        self.recall = None
        self.query_one("#ask-head", Static).update(words)
        self.list.fill([])

    def show(self, recall: Recall) -> None:
        """Show an answer."""
        self.recall = recall
        width = max(20, self.size.width - 4)
        rows: list[tuple[Row, Text]] = []
        for fact, score in recall.facts:
            source = fact.sources[0] if fact.sources else None
            right = f"{held(fact)} · {score:.2f}" if held(fact) else f"{score:.2f}"
            text = Text(f"{mark(fact)} ", no_wrap=True, overflow="ellipsis")
            gone = fact.valid_to is not None
            text.append(cut(sentence(fact), width - 2), "dim" if gone else "bold")
            rows.append((Row(fact, source), _with_right(text, right, width)))
        if recall.facts and recall.hits:
            rows.append((Row(None, None), Text("said", "dim")))
        for hit in recall.hits:
            source = hit.source
            ranks = " ".join(
                f"{word} {hit.parts[k]}" for k, word in PARTS.items() if k in hit.parts
            )
            head = Text(f"{cut(source.speaker or 'somebody', 14)}, {when(source.time)}", "dim")
            head = _with_right(
                head, f"{ranks} · {hit.score:.2f}" if ranks else f"{hit.score:.2f}", width
            )
            head.append("\n  ").append(cut(f"“{plain(source.text)}”", width - 2))
            rows.append((Row(None, source), head))
        if not rows:
            rows = [(Row(None, None), Text("The memory knows nothing about that.", "dim"))]
        about = ", ".join(
            f"{look(node.type)[0]} {plain(node.name)}" for node in recall.entities[:4]
        )
        parts = [f"about {about}" if about else "nobody it knows is named"]
        if recall.as_of is not None:
            parts.append(f"as of {day(recall.as_of)}")
        parts.append(f"{recall.seconds * 1000:.0f} ms")
        self.query_one("#ask-head", Static).update(" · ".join(parts))
        self.list.fill(rows)

    def redraw(self) -> None:
        """The width changed."""
        if self.recall is not None:
            self.show(self.recall)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if event.value.strip():
            self.post_message(self.Asked(event.value.strip()))


def _with_right(text: Text, right: str, width: int) -> Text:
    if text.cell_len + len(right) + 2 > width:
        text.truncate(max(8, width - len(right) - 2), overflow="ellipsis")
    text.append(" " * max(1, width - text.cell_len - len(right)))
    return text.append(right, "dim")
