"""The keys that do something where one is in the memory's view."""

from __future__ import annotations

from textual.widget import Widget
from textual.widgets import Input, TextArea

from tui.widgets.key_bar import Hint
from tui.widgets.memory.ask import AskPane
from tui.widgets.memory.facts import RowList
from tui.widgets.memory.picture import GraphPicture
from tui.widgets.memory.slider import TimeSlider
from tui.widgets.memory.tabs import Tab

SPARE = ("past", "changes", "order", "depth", "split", "rename", "zoom", "undo")  # left out so


def hints(
    focused: Widget | None,
    *,
    tab: Tab,
    off: bool,
    depth: int,
    whole: bool,
    beside: bool,
    width: int,
) -> list[Hint]:
    """As many as fit into `width`; `beside`: there is room for the view beside the chat."""
    found: list[Hint] = []
    if not off:
        found = _here(focused, tab, depth)
    if not isinstance(focused, Input | TextArea):
        if not whole:
            found.append(("z", "whole screen", "zoom"))
        elif beside and not off:
            found.append(("z", "beside the chat", "zoom"))
        found.append(("Esc", "back" if whole else "chat", "leave"))
    for spare in SPARE:
        if sum(len(key) + len(word) + 1 for key, word, _ in found) <= width - 2:
            break
        found = [hint for hint in found if hint[2] != spare]
    return found


def _here(focused: Widget | None, tab: Tab, depth: int) -> list[Hint]:
    """What the keys do to the part that has them."""
    match focused:
        case Input() | TextArea():
            word = {"ask": "asks", "cypher": "runs"}.get(tab, "goes to the facts")
            return [("Enter", word, "enter"), ("Esc", "leaves the text", "leave")]
        case GraphPicture():
            return [
                ("←↑↓→", "walk", "tab('graph')"),
                ("Enter", "centres", "centre"),
                ("+", "nearer" if depth > 1 else "further", "depth"),
            ]
        case TimeSlider():
            return [("←→", "time", "time(-1)"), ("0", "now", "now")]
        case RowList():
            found: list[Hint] = [("Enter", "jumps", "source")]
            if focused.fact is not None:
                found += [
                    ("a", "accepts", "accept"),
                    ("r", "rejects", "reject"),
                    ("e", "edits", "edit"),
                ]
            if isinstance(focused.parent, AskPane):
                found.append(("w", "words", "word"))
            return [*found, ("u", "undoes", "undo")]
    if tab == "cypher":
        return [("x", "writes", "writes")]
    return [
        ("/", "finds", "search"),
        ("o", "orders", "order"),
        ("m", "merges", "merge"),
        ("s", "splits", "split"),
        ("n", "renames", "rename"),
        ("d", "forgets", "forget"),
        ("u", "undoes", "undo"),
        ("h", "history", "changes"),
        ("p", "past", "past"),
    ]
