"""The last line: the keys that matter now, as many as fit, each a button for the mouse."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rich.text import Text
from textual import events
from textual.message import Message
from textual.widget import Widget

from tui.actions import ACTIONS, Action
from tui.keymap import brief
from tui.themes import rich_colour

ROOMY = 100  # columns from which on hints stand further apart


def chosen(
    keys: Mapping[str, str], width: int, words: Mapping[str, str], gap: int = 2
) -> list[tuple[Action, str, str]]:
    """(action, key, word) in the table's order: the most important ones that fit `width`."""
    hints = [
        (action, brief(keys[action.id]), words.get(action.id, action.label))
        for action in ACTIONS
        if action.footer and keys.get(action.id)
    ]
    taken: list[Action] = []
    used = 1
    for action, key, word in sorted(hints, key=lambda hint: hint[0].footer):
        used += len(key) + 1 + len(word) + gap
        if used - gap > width:
            break
        taken.append(action)
    return [hint for hint in hints if hint[0] in taken]


class KeyHints(Widget):
    """Key hints from the action table. `words` gives other words to actions, by what goes on."""

    DEFAULT_CSS = "KeyHints { height: 1; background: $panel; }"

    class Pressed(Message):
        """A hint was clicked."""

        def __init__(self, action: str) -> None:
            super().__init__()
            self.action = action

    def __init__(self, keys: Mapping[str, str], words: Callable[[], Mapping[str, str]]) -> None:
        super().__init__()
        self.keys, self.words = dict(keys), words
        self._spans: list[tuple[int, int, str]] = []
        self._drawn: dict[str, str] = {}

    def look(self) -> None:
        """Draw again if the words are others."""
        if dict(self.words()) != self._drawn:
            self.refresh()

    def render(self) -> Text:
        width = self.size.width
        words = self._drawn = dict(self.words())
        gap = 2 if width >= ROOMY else 1
        hints = chosen(self.keys, width, words, gap)
        accent = rich_colour(self.app, "accent", "yellow")
        line = Text(no_wrap=True)
        self._spans = []
        for action, key, word in hints:
            line.append(" " * (gap if self._spans else 1))
            start = line.cell_len
            line.append(key, f"bold {accent}")
            line.append(f" {word}", "bold" if action.id in words else "")
            self._spans.append((start, line.cell_len, action.id))
        return line

    def on_click(self, event: events.Click) -> None:
        for start, end, action in self._spans:
            if start <= event.x < end:
                self.post_message(self.Pressed(action))
