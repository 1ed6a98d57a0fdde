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
from textual.widgets import Button, Input, Label, OptionList, Static
from textual.widgets.option_list import Option

from agents.memory.types import Fact
from engine.errors import HaloError
from tui.widgets.memory.words import plain, sentence
from tui.widgets.taken_down import while_it_stands

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
    @while_it_stands
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
    """Head, relation and tail of a fact. None = cancelled.

    The relations are listed below their line, those that fit to what is typed; the arrows choose.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Cancel"),
        Binding("ctrl+s", "save", "Save"),
        Binding("up", "move(-1)", show=False, priority=True),
        Binding("down", "move(1)", show=False, priority=True),
    ]
    DEFAULT_CSS = """
    EditFact OptionList, EditFact OptionList:focus { height: 8; border: none; padding: 0 1;
        scrollbar-size-vertical: 1; }
    .-short EditFact OptionList { height: 5; }
    """

    def __init__(self, fact: Fact, relations: Sequence[str]) -> None:
        super().__init__()
        self.fact, self.relations = fact, sorted(relations)
        self.found: list[str] = []

    def compose(self) -> ComposeResult:
        fact = self.fact
        with Vertical(classes="dialog"):
            yield Static("Correct a fact · Enter saves · Esc cancels", classes="title")
            yield Static(f"It says: {sentence(fact)}", markup=False)
            yield Label("Who or what")
            yield Input(plain(fact.head_name), id="head", compact=True)
            yield Label(f"Relation: type a part of it, ↑↓ choose among {len(self.relations)}")
            yield Input(_words(fact.type), id="type", compact=True, select_on_focus=True)
            yield OptionList()
            yield Label("Whom or what")
            yield Input(plain(fact.tail_name), id="tail", compact=True)
            yield Static("", id="what", markup=False)
            with Horizontal(classes="buttons"):
                yield Button("Cancel (Esc)", id="cancel")
                yield Button("Save (^S)", id="ok", variant="primary")

    def on_mount(self) -> None:
        self.query_one(OptionList).can_focus = False  # the arrows move in it from its line
        self._list("")
        self.query_one("#tail").focus()

    @property
    def _kind(self) -> str:
        """What is typed, as relations are written."""
        return "_".join(self.query_one("#type", Input).value.strip().upper().split())

    def _list(self, text: str) -> None:
        """Those that have the text in them; all while it is a whole one."""
        wanted = text.replace("_", " ").casefold().strip()
        whole = self._kind in self.relations
        self.found = [r for r in self.relations if whole or wanted in _words(r)]
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options([Option(Text(_words(r))) for r in self.found])
        if whole:
            options.highlighted = self.found.index(self._kind)
        else:
            options.highlighted = 0 if self.found else None

    @on(Input.Changed, "#type")
    def _typed(self, event: Input.Changed) -> None:
        self._list(event.value)

    def action_move(self, step: int) -> None:
        """Another relation; from another line to the next."""
        line = self.query_one("#type", Input)
        if not line.has_focus:
            (self.focus_next if step > 0 else self.focus_previous)()
            return
        options = self.query_one(OptionList)
        if not self.found:
            return
        at = options.highlighted if options.highlighted is not None else -step
        at = max(0, min(len(self.found) - 1, at + step))
        with self.prevent(Input.Changed):  # the list stays as it is while one goes through it
            line.value = _words(self.found[at])
        options.highlighted = at

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        line = self.query_one("#type", Input)
        line.value = _words(self.found[event.option_index])
        line.focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "ok":
            self.action_save()
        else:
            self.dismiss(None)

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        """A part of a relation is completed; the next Enter saves."""
        at = self.query_one(OptionList).highlighted
        if event.input.id == "type" and self._kind not in self.relations and at is not None:
            event.input.value = _words(self.found[at])
            event.input.cursor_position = len(event.input.value)
        else:
            self.action_save()

    def action_save(self) -> None:
        """Give back what the form says."""
        head, kind, tail = (
            self.query_one(f"#{k}", Input).value.strip() for k in ("head", "type", "tail")
        )
        if not head or not tail:
            self.query_one("#what", Static).update("✗ Both sides need a name.")
        elif self._kind not in self.relations:
            self.query_one("#what", Static).update(
                f"✗ '{kind}' is no relation; [memory] relation_types in the settings adds some."
            )
        else:
            self.dismiss((head, self._kind, tail))


def _words(relation: str) -> str:
    """WORKS_AT -> works at"""
    return relation.replace("_", " ").lower()
