"""The list that opens over the conversation while one types: names, commands, past prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widgets import Static

ROWS = 8


@dataclass(frozen=True, slots=True)
class Choice:
    """One row: what is put in when it is chosen, how it reads, and what it is."""

    value: str
    label: str
    help: str = ""


class Popup(Static):
    """Choices above the input. The input keeps the focus and moves the highlight."""

    DEFAULT_CSS = """
    Popup {
        overlay: screen;
        constrain: inside inside;
        display: none;
        width: auto;
        height: auto;
        background: $panel;
        color: $foreground;
        padding: 0;
    }
    """

    class Chosen(Message):
        """A row was clicked."""

        def __init__(self, choice: Choice) -> None:
            super().__init__()
            self.choice = choice

    index: reactive[int] = reactive(0, init=False)

    def __init__(self) -> None:
        super().__init__("", markup=False)
        self.choices: list[Choice] = []
        self.title = ""

    @property
    def chosen(self) -> Choice | None:
        """The highlighted choice."""
        return self.choices[self.index] if self.display and self.choices else None

    def show(self, choices: list[Choice], title: str = "") -> None:
        """Open with these choices; none closes."""
        if choices != self.choices:
            self.choices = choices
            self.set_reactive(Popup.index, 0)
        self.title = title
        self.display = bool(choices)
        self._draw()

    def hide(self) -> None:
        """Close."""
        self.display = False
        self.choices = []

    def move(self, step: int) -> None:
        """Move the highlight, round the ends."""
        if self.choices:
            self.index = (self.index + step) % len(self.choices)

    def watch_index(self) -> None:
        self._draw()

    def _draw(self) -> None:
        if not self.choices:
            return
        first = max(0, min(self.index - ROWS // 2, len(self.choices) - ROWS))
        rows = self.choices[first : first + ROWS]
        room = max(20, self.app.size.width - 8)
        label_width = min(max(cell_len(row.label) for row in self.choices), room)
        lines: list[Content] = []
        for offset, row in enumerate(rows):
            marked = first + offset == self.index
            label = Content(row.label).truncate(label_width, ellipsis=True)
            line = Content(" ▸ " if marked else "   ") + label.pad_right(
                label_width - label.cell_length
            )
            if row.help:
                left = room - label_width - 5
                if left > 8:
                    note = Content(row.help).truncate(left, ellipsis=True)
                    line = line + Content("  ") + note.stylize("$foreground-muted")
            lines.append(line.stylize("bold") if marked else line)
        width = max(line.cell_length for line in lines) + 1
        lines = [line.pad_right(width - line.cell_length) for line in lines]
        lines = [
            line.stylize("on $primary 30%") if first + i == self.index else line
            for i, line in enumerate(lines)
        ]
        more = len(self.choices) - len(rows)
        foot = self.title + (f"  {more} more" if more > 0 else "")
        if foot.strip():
            note = Content(f"   {foot.strip()}").truncate(width, ellipsis=True)
            lines.append(note.pad_right(width - note.cell_length).stylize("$foreground-muted"))
        self.update(Content("\n").join(lines))
        self.styles.offset = (0, -len(lines))

    def on_click(self, event: events.Click) -> None:
        first = max(0, min(self.index - ROWS // 2, len(self.choices) - ROWS))
        row = first + event.y
        if event.y < ROWS and row < len(self.choices):
            self.post_message(self.Chosen(self.choices[row]))


def arguments(typed: str, command: str, known: Sequence[tuple[str, str]]) -> list[Choice]:
    """What may follow a command: what begins like `typed`. Numbers are taken as they are."""
    typed = typed.casefold().strip()
    words = typed.split()
    if words and (words[-1][:1].isdigit() or any(value == typed for value, _ in known)):
        return []
    return [
        Choice(value, f"/{command} {value}".rstrip(), help)
        for value, help in known
        if value.startswith(typed)
    ]


def rank(query: str, choices: list[Choice]) -> list[Choice]:
    """Choices that have the letters of `query` in order; the best matches first."""
    if not query:
        return choices
    scored = [
        (score, position, choice)
        for position, choice in enumerate(choices)
        if (score := fuzzy(query, choice.label)) is not None
    ]
    return [choice for _, _, choice in sorted(scored, key=lambda entry: (-entry[0], entry[1]))]


def fuzzy(query: str, text: str) -> float | None:
    """How well the letters of `query` are found in order in `text`; None = not at all."""
    query, text = query.casefold(), text.casefold()
    if not query:
        return 0.0
    at = text.find(query)
    if at >= 0:
        return 100.0 - min(at, 50) + (25 if at == 0 or not text[at - 1].isalnum() else 0)
    score, position, run = 0.0, -1, 0
    for letter in query:
        if letter == " ":
            continue
        found = text.find(letter, position + 1)
        if found < 0:
            return None
        run = run + 1 if found == position + 1 else 0
        start = found == 0 or not text[found - 1].isalnum()
        score += 1 + run + (3 if start else 0) - min(found - position, 20) * 0.05
        position = found
    return score
