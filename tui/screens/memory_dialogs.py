"""Dialogs of the memory: choose one of many by typing, correct a fact."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.suggester import SuggestFromList
from textual.widgets import Button, Input, Label, OptionList, Static
from textual.widgets.option_list import Option

from agents.memory.types import Fact
from engine.errors import HaloError
from tui.widgets.memory.words import plain, sentence

Choices = Sequence[tuple[str, Text]]  # value and how it is shown


class Pick(ModalScreen[str | None]):
    """One of many, found by typing. The result is its value, None = none."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Cancel"),
        Binding("up", "move(-1)", show=False, priority=True),
        Binding("down", "move(1)", show=False, priority=True),
    ]
    DEFAULT_CSS = """
    Pick OptionList { height: auto; max-height: 14; margin-top: 1; text-wrap: nowrap;
                      text-overflow: ellipsis; }
    Pick Input { margin-top: 1; }
    """

    def __init__(self, title: str, find: Callable[[str], Awaitable[Choices]]) -> None:
        """`find` gives the choices for what is typed."""
        super().__init__()
        self.heading, self.find = title, find
        self.values: list[str] = []

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(self.heading, classes="title", markup=False)
            yield Input(placeholder="a part of the name", compact=True)
            yield OptionList()

    def on_mount(self) -> None:
        self.query_one(Input).focus()
        self._look("")

    @work(exclusive=True, group="pick")
    async def _look(self, text: str) -> None:
        options = self.query_one(OptionList)
        try:
            choices = await self.find(text)
        except HaloError as error:
            self.notify(str(error), severity="error", markup=False)
            choices = []
        self.values = [value for value, _ in choices]
        options.clear_options()
        options.add_options([Option(shown) for _, shown in choices])
        options.highlighted = 0 if choices else None

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self._look(event.value.strip())

    def action_move(self, step: int) -> None:
        """Another choice."""
        options = self.query_one(OptionList)
        if self.values:
            options.highlighted = max(
                0, min(len(self.values) - 1, (options.highlighted or 0) + step)
            )

    @on(Input.Submitted)
    @on(OptionList.OptionSelected)
    def _chosen(self) -> None:
        at = self.query_one(OptionList).highlighted
        if at is not None and at < len(self.values):
            self.dismiss(self.values[at])


class EditFact(ModalScreen[tuple[str, str, str] | None]):
    """Head, relation and tail of a fact. None = cancelled."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Cancel"),
        Binding("ctrl+s", "save", "Save"),
    ]

    def __init__(self, fact: Fact, relations: Sequence[str]) -> None:
        super().__init__()
        self.fact, self.relations = fact, list(relations)

    def compose(self) -> ComposeResult:
        fact = self.fact
        with Vertical(classes="dialog"):
            yield Static("Correct a fact · Enter saves · Esc cancels", classes="title")
            yield Static(f"It says: {sentence(fact)}", markup=False)
            yield Label("Who or what")
            yield Input(plain(fact.head_name), id="head", compact=True)
            yield Label(f"Relation: {', '.join(self.relations[:8]).lower()}…")
            yield Input(
                fact.type,
                id="type",
                compact=True,
                suggester=SuggestFromList(self.relations, case_sensitive=False),
            )
            yield Label("Whom or what")
            yield Input(plain(fact.tail_name), id="tail", compact=True)
            yield Static("", id="what", markup=False)
            with Horizontal(classes="buttons"):
                yield Button("Cancel (Esc)", id="cancel")
                yield Button("Save (^S)", id="ok", variant="primary")

    def on_mount(self) -> None:
        self.query_one("#tail").focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "ok":
            self.action_save()
        else:
            self.dismiss(None)

    def on_input_submitted(self) -> None:
        self.action_save()

    def action_save(self) -> None:
        """Give back what the form says."""
        head, type, tail = (
            self.query_one(f"#{k}", Input).value.strip() for k in ("head", "type", "tail")
        )
        kind = "_".join(type.upper().split())
        if not head or not tail:
            self.query_one("#what", Static).update("✗ Both sides need a name.")
        elif kind not in self.relations:
            self.query_one("#what", Static).update(
                f"✗ '{type}' is no relation; [memory] relation_types lists them."
            )
        else:
            self.dismiss((head, kind, tail))
