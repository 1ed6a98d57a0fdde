"""Small dialogs: a question, one line of text, an agent's settings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label, Static, TextArea

from agents.agent import Agent
from agents.tools import TOOLS
from engine.errors import HaloError
from engine.protocol import Sampling
from tui.widgets.session_words import short_path


class Confirm(ModalScreen[bool]):
    """Yes or no. Enter says yes, Esc no."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "no", "No")]

    def __init__(self, question: str, yes: str = "Yes") -> None:
        super().__init__()
        self.question, self.yes = question, yes

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(self.question, markup=False)
            with Horizontal(classes="buttons"):
                yield Button("Cancel", id="no")
                yield Button(self.yes, id="yes", variant="primary")

    def on_mount(self) -> None:
        self.query_one("#yes").focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")

    def action_no(self) -> None:
        self.dismiss(False)


class Tell(ModalScreen[None]):
    """Some sentences that are too many for a toast. Enter or Esc closes them."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss", "Close")]

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self.heading, self.text = title, text

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog"):
            yield Static(self.heading, classes="title", markup=False)
            yield Static(self.text, markup=False)
            with Horizontal(classes="buttons"):
                yield Button("Close (Esc)", id="ok", variant="primary")

    def on_mount(self) -> None:
        self.query_one("#ok").focus()

    def on_button_pressed(self) -> None:
        self.dismiss(None)


async def may_write(app: App[Any], path: Path) -> bool:
    """Whether a file may be written; asks when there is one. For workers."""
    path = path.expanduser()
    if not path.is_file():
        return True
    question = f"{short_path(path.absolute())} exists. Replace it?"
    replace: bool = await app.push_screen_wait(Confirm(question, "Replace"))
    return replace


class AskText(ModalScreen[str | None]):
    """One text, short or of several lines. None = cancelled."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel"),
        Binding("ctrl+s", "save", "Save"),
    ]

    def __init__(
        self, title: str, text: str = "", multiline: bool = False, yes: str = "OK"
    ) -> None:
        super().__init__()
        self.heading, self.text, self.multiline, self.yes = title, text, multiline, yes

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(self.heading, classes="title", markup=False)
            yield TextArea(self.text) if self.multiline else Input(self.text)
            with Horizontal(classes="buttons"):
                yield Button("Cancel (Esc)", id="cancel")
                yield Button(f"{self.yes} (^S)", id="ok", variant="primary")

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
    memory: str
    tools: list[str]


class AgentEditor(ModalScreen[bool]):
    """Name, system prompt, colour, memory, tools and sampling of an agent.

    `save` does what the form says; what it refuses is told in the form, which stays as it is.
    The result says whether something was saved.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel"),
        Binding("ctrl+s", "save", "Save"),
    ]
    NUMBERS: ClassVar[tuple[tuple[str, type], ...]] = (
        ("temperature", float), ("top_p", float), ("top_k", int), ("min_p", float),
        ("repeat_penalty", float), ("max_tokens", int), ("seed", int),
    )  # fmt: skip
    DEFAULT_CSS = """
    AgentEditor #numbers { layout: grid; grid-size: 4; grid-gutter: 0 1; height: auto; }
    AgentEditor #numbers Vertical { height: auto; }
    AgentEditor #fault { color: $text-error; height: auto; }
    .-short AgentEditor TextArea { height: 3; }
    """

    def __init__(
        self,
        agent: Agent | None,
        save: Callable[[AgentForm], Awaitable[None]],
        name: str = "",
        defaults: Sampling | None = None,
    ) -> None:
        super().__init__()
        self.agent, self.save = agent, save
        self.given = agent.name if agent else name
        self.defaults = defaults or Sampling()

    def compose(self) -> ComposeResult:
        spec = self.agent.spec if self.agent else None
        sampling = spec.sampling if spec else {}
        with VerticalScroll(classes="dialog"):
            title = f"Edit {self.given}" if self.agent else "New agent"
            yield Static(f"{title} · ^S saves · Esc cancels", classes="title", markup=False)
            yield Label("Name: you call it with @name")
            yield Input(self.given, id="name", compact=True)
            yield Label("System prompt: what it is told before every conversation")
            yield TextArea(spec.system if spec else "", id="system", tab_behavior="focus")
            yield Label("Colour: a name or #rrggbb; empty = by its place in the list")
            yield Input(spec.colour if spec else "", id="colour", compact=True)
            yield Label("Memory: shared; own = what it hears stays with it; sealed; off")
            yield Input(spec.memory if spec else "shared", id="remembers", compact=True)
            yield Label(f"Tools it may call, of {', '.join(TOOLS)}; empty = none")
            yield Input(" ".join(spec.tools if spec else TOOLS), id="tools", compact=True)
            yield Label("Sampling: empty = as configured (shown in grey)")
            with Container(id="numbers"):
                for key, kind in self.NUMBERS:
                    with Vertical():
                        yield Static(key)
                        yield Input(
                            str(sampling.get(key, "")), id=key, compact=True,
                            placeholder=str(getattr(self.defaults, key)),
                            type="number" if kind is float else "integer",
                        )  # fmt: skip
            yield Static("", id="fault", markup=False)
            with Horizontal(classes="buttons"):
                yield Button("Cancel (Esc)", id="cancel")
                yield Button("Save (^S)", id="ok", variant="primary")

    def on_mount(self) -> None:
        self.query_one("#name").focus()

    async def on_button_pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "ok":
            await self.action_save()
        else:
            self.dismiss(False)

    async def on_input_submitted(self) -> None:
        await self.action_save()

    def action_cancel(self) -> None:
        self.dismiss(False)

    async def action_save(self) -> None:
        try:
            await self.save(self._form())
        except HaloError as error:
            fault = self.query_one("#fault", Static)
            fault.update(f"✗ {error}")
            fault.scroll_visible(animate=False)
        else:
            self.dismiss(True)

    def _form(self) -> AgentForm:
        sampling = dict(self.agent.spec.sampling) if self.agent else {}
        for key, kind in self.NUMBERS:
            text = self.query_one(f"#{key}", Input).value.strip()
            sampling.pop(key, None)
            if text:
                try:
                    sampling[key] = kind(text)
                except ValueError:
                    raise HaloError(f"{key}: '{text}' is not a number.") from None
        return AgentForm(
            self.query_one("#name", Input).value.strip(),
            self.query_one("#system", TextArea).text.strip(),
            self.query_one("#colour", Input).value.strip(),
            sampling,
            self.query_one("#remembers", Input).value.strip().lower() or "shared",
            list(dict.fromkeys(self.query_one("#tools", Input).value.replace(",", " ").split())),
        )
