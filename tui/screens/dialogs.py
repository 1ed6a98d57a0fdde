"""Small dialogs: a question, one line of text, an agent's settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label, Static, TextArea

from agents.agent import Agent


class Confirm(ModalScreen[bool]):
    """Yes or no. Enter says yes, Esc no."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "no", "No")]

    def __init__(self, question: str, yes: str = "Yes") -> None:
        super().__init__()
        self.question, self.yes = question, yes

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(self.question)
            with Horizontal(classes="buttons"):
                yield Button("Cancel", id="no")
                yield Button(self.yes, id="yes", variant="primary")

    def on_mount(self) -> None:
        self.query_one("#yes").focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")

    def action_no(self) -> None:
        self.dismiss(False)


class AskText(ModalScreen[str | None]):
    """One text, short or of several lines. None = cancelled."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel"),
        Binding("ctrl+s", "save", "Save"),
    ]

    def __init__(self, title: str, text: str = "", multiline: bool = False) -> None:
        super().__init__()
        self.heading, self.text, self.multiline = title, text, multiline

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(self.heading, markup=False)
            yield TextArea(self.text) if self.multiline else Input(self.text)
            with Horizontal(classes="buttons"):
                yield Button("Cancel (Esc)", id="cancel")
                yield Button("OK (^S)", id="ok", variant="primary")

    def on_mount(self) -> None:
        field = self.query_one(TextArea if self.multiline else Input)
        field.focus()
        if isinstance(field, TextArea):
            field.move_cursor(field.document.end)

    def _value(self) -> str:
        if self.multiline:
            return self.query_one(TextArea).text
        return self.query_one(Input).value

    def on_input_submitted(self) -> None:
        self.dismiss(self._value())

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.dismiss(self._value() if event.button.id == "ok" else None)

    def action_save(self) -> None:
        self.dismiss(self._value())

    def action_cancel(self) -> None:
        self.dismiss(None)


@dataclass(slots=True)
class AgentForm:
    """What the editor gives back."""

    name: str
    system: str
    colour: str
    sampling: dict[str, Any]


class AgentEditor(ModalScreen[AgentForm | None]):
    """Name, system prompt, colour and sampling of an agent."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel"),
        Binding("ctrl+s", "save", "Save"),
    ]
    NUMBERS: ClassVar[tuple[tuple[str, type], ...]] = (
        ("temperature", float), ("top_p", float), ("max_tokens", int), ("seed", int),
    )  # fmt: skip

    def __init__(self, agent: Agent | None, name: str = "") -> None:
        super().__init__()
        self.agent = agent
        self.given = agent.name if agent else name

    def compose(self) -> ComposeResult:
        spec = self.agent.spec if self.agent else None
        sampling = spec.sampling if spec else {}
        with VerticalScroll(classes="dialog"):
            yield Static(f"Edit {self.given}" if self.agent else "New agent", markup=False)
            yield Label("Name (you call it with @name)")
            yield Input(self.given, id="name")
            yield Label("System prompt")
            yield TextArea(spec.system if spec else "", id="system")
            yield Label("Colour (a name or #rrggbb; empty = by place)")
            yield Input(spec.colour if spec else "", id="colour")
            yield Label("temperature, top_p, max_tokens, seed (empty = as configured)")
            with Horizontal(classes="buttons"):
                for key, kind in self.NUMBERS:
                    field = Input(
                        str(sampling.get(key, "")),
                        id=key,
                        placeholder=key,
                        type="number" if kind is float else "integer",
                    )
                    field.styles.width = "1fr"
                    yield field
            yield Static("", id="fault")
            with Horizontal(classes="buttons"):
                yield Button("Cancel (Esc)", id="cancel")
                yield Button("Save (^S)", id="ok", variant="primary")

    def on_mount(self) -> None:
        self.query_one("#name").focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "ok":
            self.action_save()
        else:
            self.dismiss(None)

    def on_input_submitted(self) -> None:
        self.action_save()

    def action_cancel(self) -> None:
        self.dismiss(None)

    def action_save(self) -> None:
        sampling = dict(self.agent.spec.sampling) if self.agent else {}
        for key, kind in self.NUMBERS:
            text = self.query_one(f"#{key}", Input).value.strip()
            sampling.pop(key, None)
            if text:
                try:
                    sampling[key] = kind(text)
                except ValueError:
                    self.query_one("#fault", Static).update(f"{key} is not a number: {text}")
                    return
        self.dismiss(
            AgentForm(
                self.query_one("#name", Input).value.strip(),
                self.query_one("#system", TextArea).text.strip(),
                self.query_one("#colour", Input).value.strip(),
                sampling,
            )
        )
