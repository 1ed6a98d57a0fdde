"""A question before a single letter changes something: a bar at the foot of what it is about."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.geometry import Region
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Static

from tui.widgets.key_bar import KeyBar

WRITING = "You are writing, but not to an agent: nothing was changed. Esc goes back."


class Sure(ModalScreen[bool]):
    """Enter says yes, Esc or a click elsewhere no; whoever was only writing goes on in the prompt.

    Where there is no prompt to write to, what is typed is swallowed, Enter behind it too.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "no", "No"),
        Binding("enter", "yes", "Yes"),
    ]
    AUTO_FOCUS = ""
    DEFAULT_CSS = """
    Sure > #sure { height: auto; max-height: 8; background: $panel; border-top: heavy $accent; }
    Sure #question { padding: 0 1; height: auto; }
    """

    def __init__(
        self,
        question: str,
        yes: str,
        owner: Widget,
        letters: str = "",
        write: Callable[[str], None] | None = None,
    ) -> None:
        """`yes`: what Enter does, in words. `letters` were typed so far; `write` takes them, and
        the keys, to the prompt."""
        super().__init__()
        self.question, self.yes, self.owner = question, yes, owner
        self.letters, self.write = letters, write
        self.writing = False
        self._at = Region(), 0  # where the owner was, of how high a window

    def compose(self) -> ComposeResult:
        with Vertical(id="sure"):
            yield Static(self.question, id="question", markup=False)
            yield KeyBar(self)

    def on_mount(self) -> None:
        self._place()
        self._hints()
        # Nobody tells when what it is about, on the screen below, has another place.
        self.set_interval(0.1, self._follow)

    def _follow(self) -> None:
        if self.is_current and (self.owner.region, self.app.size.height) != self._at:
            self._place()

    def _place(self) -> None:
        room, height = self._at = self.owner.region, self.app.size.height
        if not room:  # hidden meanwhile
            self.dismiss(False)
            return
        bar = self.query_one("#sure")
        bar.styles.width = room.width
        bar.styles.offset = (room.x, room.bottom - height)

    def _hints(self) -> None:
        hints = [("Esc", "no", "no")]
        if not self.writing:
            hints.insert(0, ("Enter", self.yes, "yes"))
            if self.write is not None:
                hints.append(("letters", "go to the prompt", "no"))
        self.query_one(KeyBar).show(hints)

    @property
    def gives_way(self) -> bool:
        """Whether text that is typed is for the prompt."""
        return self.write is not None

    def give_way(self) -> None:
        """Somebody was writing."""
        self.dismiss(False)
        if self.write is not None:
            self.write(self.letters)

    def on_key(self, event: events.Key) -> None:
        if event.is_printable:
            event.stop()
            self.writing = True
            self.query_one("#question", Static).update(WRITING)
            self._hints()

    def on_click(self, event: events.Click) -> None:
        if event.widget is self:
            self.dismiss(False)

    def action_yes(self) -> None:
        """Do it."""
        self.dismiss(not self.writing)

    def action_no(self) -> None:
        """Leave it."""
        self.dismiss(False)
