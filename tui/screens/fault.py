"""The dialog for a fault of ours or of a library: what happened, where it is written down."""

from __future__ import annotations

import traceback
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from tui import faults
from tui.clipboard import copy


class FaultScreen(ModalScreen[None]):
    """Something went wrong; the app goes on."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Close"),
        Binding("c", "copy", "Copy"),
    ]

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error
        self.file = faults.record(error)

    def compose(self) -> ComposeResult:
        where = (
            f"The details are in {self.file}." if self.file else "The logs folder is not writable."
        )
        with Vertical(classes="dialog"):
            yield Static("This should not have happened", classes="title")
            yield Static(faults.sentence(self.error), id="what", markup=False)
            yield Static(
                "Your conversations are safe and you can go on. If it comes again, restart "
                f"halo-tui and report it with the details.\n\n{where}", markup=False,
            )  # fmt: skip
            with Horizontal(classes="buttons"):
                yield Button("Copy details (c)", id="copy")
                yield Button("Go on (Esc)", id="ok", variant="primary")

    def on_mount(self) -> None:
        self.query_one("#ok").focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "copy":
            self.action_copy()
        else:
            self.dismiss()

    def action_copy(self) -> None:
        text = "".join(traceback.format_exception(self.error))
        self.notify(copy(self.app, text, "Details"), markup=False)
