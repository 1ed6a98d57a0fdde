"""The time slider: the graph as it was at a moment, or now."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widget import Widget

from tui.widgets.memory.words import day
from tui.widgets.session_words import when

STEPS = 48
SHORT = 2 * 86_400.0  # seconds of a span in which hours matter
LEFT = 13  # columns before the line


class TimeSlider(Widget, can_focus=True):
    """A line from the oldest message to now. `moment` None = now."""

    DEFAULT_CSS = """
    TimeSlider { height: 1; padding: 0 1; background: $surface; color: $text-muted; }
    TimeSlider:focus { background: $primary 25%; color: $foreground; }
    TimeSlider.-past { color: $text-warning; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "step(-1)", show=False),
        Binding("right", "step(1)", show=False),
        Binding("pageup,shift+left", "step(-8)", show=False),
        Binding("pagedown,shift+right", "step(8)", show=False),
        Binding("home", "step(-999)", show=False),
        Binding("end", "step(999)", show=False),
    ]

    class Changed(Message):
        """Look at the graph as of another moment."""

        def __init__(self, moment: float | None) -> None:
            super().__init__()
            self.moment = moment

    def __init__(self) -> None:
        super().__init__()
        self.start = self.end = 0.0
        self.at = STEPS  # STEPS = now

    @property
    def moment(self) -> float | None:
        """Unix seconds; None = now."""
        if self.at >= STEPS or self.end <= self.start:
            return None
        return self.start + (self.end - self.start) * self.at / STEPS

    def span(self, start: float, end: float) -> None:
        """From the oldest to the newest message; the chosen moment stays."""
        before = self.moment
        self.start, self.end = start, end
        if before is not None and end > start:
            share = (before - start) / (end - start)
            self.at = max(0, min(STEPS - 1, round(share * STEPS)))
        self.refresh()

    def render(self) -> Text:
        width = self.content_size.width
        if self.end <= self.start:
            return Text("time    begins with the second message", "dim")
        words = when if self.end - self.start < SHORT else day
        left, right = words(self.start), "now"
        shown = f"as of {words(self.moment)}" if self.moment is not None else "now"
        room = self._room()
        knob = round(room * self.at / STEPS) if room > 0 else 0
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append(f"{left:<{LEFT - 1}.{LEFT - 1}} ", "dim")
        line.append("━" * knob, "bold").append("●", "bold").append("─" * max(0, room - knob), "dim")
        tail = shown if self.moment is not None else right
        line.append(f" {tail}", "bold" if self.moment is not None else "")
        return line[:width] if line.cell_len > width else line

    def _room(self) -> int:
        return max(4, self.content_size.width - LEFT - 20)

    def action_step(self, by: int) -> None:
        """Go back or forth."""
        self.move(self.at + by)

    def move(self, at: int) -> None:
        """To a step, 0 to STEPS."""
        at = max(0, min(STEPS, at))
        if at == self.at or self.end <= self.start:
            return
        self.at = at
        self.set_class(self.moment is not None, "-past")
        self.refresh()
        self.post_message(self.Changed(self.moment))

    def on_click(self, event: events.Click) -> None:
        """Go where one clicked; right of the line is now."""
        place = event.get_content_offset(self)
        if place is not None:
            self.move(round((place.x - LEFT) / max(1, self._room()) * STEPS))
