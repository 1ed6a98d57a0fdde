"""The last line of a screen of its own: its keys, each a button for the mouse."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual import events
from textual.dom import DOMNode
from textual.widget import Widget

from tui.themes import rich_colour

Hint = tuple[str, str, str]  # key, what it does, action of the screen


class KeyBar(Widget):
    """Key hints; in the fewest words where the line is short."""

    DEFAULT_CSS = "KeyBar { height: 1; padding: 0 1; background: $panel; }"

    def __init__(self, target: DOMNode | None = None) -> None:
        """`target`: whose actions these are; by default the screen's."""
        super().__init__()
        self.target = target
        self.hints: Sequence[Hint] = ()
        self._spans: list[tuple[int, int, str]] = []

    def show(self, hints: Sequence[Hint]) -> None:
        """Show these from now on."""
        if hints != self.hints:
            self.hints = hints
            self.refresh()

    def render(self) -> Text:
        """ "s saves"; "s save" where there is no room for more."""
        wanted = sum(len(key) + len(word) + 3 for key, word, _ in self.hints) - 2
        gap = 2 if wanted <= self.size.width else 1
        accent = rich_colour(self.app, "accent", "yellow")
        line = Text(no_wrap=True)
        self._spans = []
        for key, word, action in self.hints:
            line.append(" " * gap if self._spans else "")
            start = line.cell_len
            line.append(key, f"bold {accent}")
            line.append(f" {word if gap == 2 else _short(word)}")
            self._spans.append((start, line.cell_len, action))
        return line

    async def on_click(self, event: events.Click) -> None:
        """Do what was clicked."""
        place = event.get_content_offset(self)
        for start, end, action in self._spans:
            if place is not None and start <= place.x < end:
                await self.app.run_action(action, self.target or self.screen)


def _short(word: str) -> str:
    """finds -> find, undoes -> undo."""
    return word.removesuffix("es") if word.endswith("oes") else word.removesuffix("s")
