"""The help screen: keys and slash commands, made from the action table."""

from __future__ import annotations

from typing import ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from engine.config import Config
from tui.actions import BY_ID, key_table
from tui.keymap import nice

PROMPT_HELP = (
    ("Enter", "send"),
    ("Ctrl+J, Shift+Enter", "new line"),
    ("Up / Down", "earlier prompts, at the first and last line"),
    ("Ctrl+R", "search earlier prompts"),
    ("@name text", "send to that agent; several names work, @all is everyone"),
    ("/command", "slash commands, completed as you type"),
    ("Alt+1 … Alt+9", "go to the first … ninth agent (Ctrl+1 … where the terminal sends it)"),
    ("Alt+↑ / Alt+↓", "choose a message: c copies, e edits, r answers anew, f forks here"),
    ("Ctrl+Z", "undo; when there is nothing to undo, to the shell (fg comes back)"),
    ("PgUp / PgDn", "scroll; drag with the mouse to select, Ctrl+C copies"),
)


def tables(config: Config) -> list[tuple[str, Table]]:
    """(title, table) of each group."""
    groups: dict[str, Table] = {}
    prompt = Table.grid(padding=(0, 2))
    prompt.add_column(min_width=20, no_wrap=True)
    for key, text in PROMPT_HELP:
        prompt.add_row(Text(key, "bold"), text)
    groups["Writing"] = prompt
    for action_id, keys, text in key_table(config):
        action = BY_ID[action_id]
        table = groups.setdefault(action.group, _table())
        slash = f"/{action.slash} {action.args}".strip() if action.slash else ""
        table.add_row(Text(nice(keys), "bold"), Text(slash), text)
    return list(groups.items())


def _table() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(min_width=20, no_wrap=True)
    table.add_column(min_width=16, no_wrap=True)
    table.add_column()
    return table


class HelpScreen(ModalScreen[None]):
    """Everything that can be done, with its key and slash command."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f1,q,enter", "dismiss", "Close"),
    ]

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog help") as box:
            box.styles.width = 100
            yield Static("Help · Esc closes · ^P finds any command by typing", classes="title")
            for title, table in tables(self.config):
                yield Static(Text(f"\n{title.upper()}", "dim"))
                yield Static(table)

    def on_mount(self) -> None:
        self.query_one(VerticalScroll).focus()
