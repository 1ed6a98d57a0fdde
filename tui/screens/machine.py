"""The machine: who holds the memory, what the GPU does, and the last minutes of both."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Static

from tui.machine_watch import MachineWatch
from tui.widgets.machine_canvas import MachineCanvas
from tui.widgets.machine_text import colours, machine_text
from tui.widgets.taken_down import stands


class MachineScreen(Screen[None]):
    """One scrolling text, drawn anew after each look."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,alt+m,q", "dismiss", "Back"),
        Binding("space", "pause", "Pause"),
    ]
    DEFAULT_CSS = """
    MachineScreen > VerticalScroll { padding: 0 1; background: $surface;
                                     scrollbar-size-vertical: 1; }
    MachineScreen.-tall > VerticalScroll { padding: 1 1 0 1; }
    """

    def __init__(self, watch: MachineWatch) -> None:
        super().__init__()
        self.state = watch
        self.paused = False

    def compose(self) -> ComposeResult:
        yield Static(classes="title", id="head")
        with VerticalScroll():
            yield MachineCanvas(id="machine")

    async def on_mount(self) -> None:
        self.query_one(VerticalScroll).focus()
        self.state.shown = self.draw
        self.state.begin()
        self._title()
        self.draw()
        await self._ask_engine()

    async def _ask_engine(self) -> None:
        """What llama.cpp holds may have been told before there was anybody to hear it."""
        from engine.errors import HaloError

        ask = getattr(self.state.workspace.client, "stats", None)
        if ask is not None and self.state.workspace.engine_state == "ready":
            try:
                await ask()
            except HaloError:
                return  # it has just died, and the banner says so

    def on_unmount(self) -> None:
        self.state.shown = None

    def on_resize(self) -> None:
        self.call_after_refresh(self.draw)

    def action_pause(self) -> None:
        """Hold what is shown still; looking goes on."""
        self.paused = not self.paused
        self._title()
        self.draw()

    def _title(self) -> None:
        state = "paused · space goes on" if self.paused else "space pauses"
        self.query_one("#head", Static).update(f"MACHINE · {state} · Esc goes back")

    def draw(self) -> None:
        """The newest look."""
        watch = self.state
        if self.paused or not stands(self):
            return
        if watch.sample is None:
            self.query_one(MachineCanvas).show(Text("Looking at the machine…"), 60)
            return
        scroll = self.query_one(VerticalScroll)
        width = max(40, scroll.size.width - 1)
        text = machine_text(
            watch.sample,
            watch.bars,
            watch.history,
            watch.warned,
            width,
            scroll.size.height,
            colours(self.app.current_theme.dark),
            watch.seconds,
            watch.workers,
            watch.workspace.ready,
        )
        self.query_one(MachineCanvas).show(text, width)

    @property
    def text(self) -> str:
        """What is shown, for tests."""
        return self.query_one(MachineCanvas).text
