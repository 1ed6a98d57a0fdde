"""The transcript: the messages of an agent, and what keys and the mouse do with them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Offset
from textual.message import Message
from textual.selection import Selection

from agents.events import Turn
from tui.widgets.chat.layout import Line
from tui.widgets.chat.message import SPAN, MessageView
from tui.widgets.chat.scroll import Match, MessageScroll
from tui.widgets.lettered import Lettered, Question


class Transcript(Lettered, MessageScroll, can_focus=True):
    """The messages of one conversation. Knows nothing of where they come from."""

    DEFAULT_CSS = """
    Transcript {
        height: 1fr;
        overflow-x: hidden;
        overflow-y: scroll;
        scrollbar-size-vertical: 1;
        scrollbar-color: $foreground 20%;
        scrollbar-color-hover: $foreground 40%;
        scrollbar-background: $background;
        scrollbar-background-hover: $background;
        scrollbar-background-active: $background;
        background: $background;
        color: $foreground;
        pointer: default;

        & > .chat--you { color: $text-primary; text-style: bold; }
        & > .chat--h1 { color: $text-primary; text-style: bold underline; }
        & > .chat--h2 { color: $text-primary; text-style: bold; }
        & > .chat--h3 { text-style: bold; }
        & > .chat--em { text-style: italic; }
        & > .chat--strong { text-style: bold; }
        & > .chat--strike { text-style: strike; }
        & > .chat--link { color: $text-accent; text-style: underline; }
        & > .chat--code { color: $text-warning; background: $foreground 8%; }
        & > .chat--code-head { background: $foreground 10%; }
        & > .chat--code-title { color: $foreground-muted; }
        & > .chat--code-block { background: $foreground 5%; }
        & > .chat--prompt { background: $primary 8%; }
        & > .chat--quote-bar { color: $foreground-muted; }
        & > .chat--bullet { color: $text-primary; }
        & > .chat--dim { color: $foreground-muted; }
        & > .chat--key { color: $text-accent; text-style: bold; }
        & > .chat--stats { color: $foreground-muted; }
        & > .chat--note { color: $foreground-muted; text-style: italic; }
        & > .chat--thinking-head { color: $foreground-muted; text-style: italic; }
        & > .chat--thinking { color: $foreground-muted; }
        & > .chat--cursor { color: $text-accent; }
        & > .chat--warning { color: $text-warning; }
        & > .chat--error { color: $text-error; }
        & > .chat--gutter { color: $primary 60%; }
        & > .chat--gutter-selected { color: $accent; text-style: bold; }
        & > .chat--match { background: $warning 35%; }
        & > .chat--match-current { background: $warning; color: $background; text-style: bold; }
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,alt+up", "previous", "Message above", show=False),
        Binding("down,alt+down", "next", "Message below", show=False),
        Binding("c", "do('copy')", "Copy message"),
        Binding("y", "do('last_code')", "Copy code"),
        Binding("e", "asks('edit')", "Edit"),
        Binding("r", "asks('regenerate')", "Answer again"),
        Binding("f", "asks('fork')", "Fork here"),
        Binding("t,enter,space", "do('fold')", "Fold", key_display="t"),
        Binding("escape", "leave", "Back to the prompt", show=False),
    ]

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "chat--you", "chat--h1", "chat--h2", "chat--h3", "chat--em", "chat--strong",
        "chat--strike", "chat--link", "chat--code", "chat--code-head", "chat--code-title",
        "chat--code-block", "chat--prompt", "chat--quote-bar", "chat--bullet", "chat--dim",
        "chat--key", "chat--stats", "chat--note", "chat--thinking-head", "chat--thinking",
        "chat--cursor", "chat--warning", "chat--error", "chat--gutter", "chat--gutter-selected",
        "chat--match", "chat--match-current",
    }  # fmt: skip

    class Action(Message):
        """Something in a message was clicked, or its key pressed."""

        def __init__(self, name: str, turn: Turn, args: tuple[object, ...] = ()) -> None:
            super().__init__()
            self.name = name
            self.turn = turn
            self.args = args

    class Left(Message):
        """The person is done with messages: back to the prompt."""

    def __init__(self, *, window: int = 40, **kwargs: object) -> None:
        super().__init__(window=window, **kwargs)
        self._pressed_at: Offset | None = None

    # --- selection and mouse ---------------------------------------------------------------------

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The selected text: whole paragraphs, without soft line breaks and decoration."""
        start, end = selection
        first_y = start.y if start else 0
        last_y = end.y if end else len(self.views) * SPAN
        out: list[str] = []
        for index in range(first_y // SPAN, min(len(self.views) - 1, last_y // SPAN) + 1):
            if out and out[-1]:
                out.append("")
            for y, text in self._logical(index):
                span = selection.get_span(index * SPAN + y)
                if span is not None:
                    begin, stop = span
                    out.append(text[begin : None if stop == -1 else stop])
        text = "\n".join(out).strip("\n")
        return (text, "\n") if text else None

    def _logical(self, index: int) -> Iterator[tuple[int, str]]:
        view = self.views[index]
        if not view.parts:
            spare = MessageView(view.turn)
            spare.lay_out(self._look(index))
            parts = spare.parts
        else:
            parts = view.parts
        for start, lines in parts:
            for offset, text in enumerate(lines):
                yield start + offset, text

    def selection_updated(self, selection: Selection | None) -> None:
        self.refresh()

    def _hit(self, event: events.MouseEvent) -> tuple[int, Line] | None:
        """The message and line under the mouse."""
        row = round(self.scroll_y) + event.y
        if not self.views or row >= self._tops[-1] or event.y < 0:
            return None
        index = self._message_at(row)
        inside = row - self._tops[index]
        lines = self.views[index].lines
        return (index, lines[inside]) if inside < len(lines) else None

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self._pressed_at = event.screen_offset

    async def _on_click(self, event: events.Click) -> None:
        """Actions of messages; two clicks select a word, three a paragraph."""
        event.prevent_default()
        hit = self._hit(event)
        if hit is None or event.screen_offset != self._pressed_at:
            return
        index, line = hit
        turn = self.views[index].turn
        todo = event.style.meta.get("chat") if event.style else None
        if todo:
            event.stop()
            name, *args = todo
            if name == "code":
                args = [self.views[index].code_at(line.y)]
            self.post_message(self.Action(name, turn, tuple(args)))
            return
        self.select(index, show=False)
        if event.chain >= 2:
            event.stop()
            _, offset = self.screen.get_widget_and_offset_at(event.screen_x, event.screen_y)
            if offset is not None:
                self._select_word(index, line, offset.x, paragraph=event.chain > 2)

    def _select_word(self, index: int, line: Line, x: int, paragraph: bool) -> None:
        text = dict(self._logical(index)).get(line.y, "")
        start, end = 0, len(text)
        if not paragraph:
            start = end = min(x, max(0, len(text) - 1))
            while start > 0 and _is_word(text[start - 1]):
                start -= 1
            while end < len(text) and _is_word(text[end]):
                end += 1
        y = index * SPAN + line.y
        self.screen.selections = {self: Selection(Offset(start, y), Offset(end, y))}

    def on_mouse_move(self, event: events.MouseMove) -> None:
        hit = self._hit(event)
        self._hover(hit[0] if hit else None)

    def on_leave(self) -> None:
        self._hover(None)

    def _hover(self, index: int | None) -> None:
        if index == self._hovered:
            return
        before, self._hovered = self._hovered, index
        self._redraw_headers(before, index)

    # --- message mode ----------------------------------------------------------------------------

    def select(self, index: int | None, show: bool = True) -> None:
        """Choose the message that keys act on; None = none. `show`: scroll to it."""
        before, self.selected = self.selected, index
        self._redraw_headers(before, index)
        self.refresh()
        if index is not None and show:
            self.show_message(index)

    def selected_turn(self) -> Turn | None:
        """The turn of the selected message."""
        return self.views[self.selected].turn if self.selected is not None else None

    def action_previous(self) -> None:
        """The message above, or more of this one if its beginning is out of view."""
        if not self.views:
            return
        if self.selected is None:
            # It is in sight, though perhaps not all of it: nobody is taken away from where they read.
            page_end = round(self.scroll_y) + self.size.height - 1
            self.select(self._message_at(page_end), show=False)
        elif self._tops[self.selected] < round(self.scroll_y):
            self.scroll_lines(-max(1, self.size.height // 2))
        elif self.selected > 0:
            self.select(self.selected - 1)

    def action_next(self) -> None:
        """The message below, or more of this one if its end is out of view."""
        if not self.views:
            return
        if self.selected is None:
            self.select(self._message_at(round(self.scroll_y)), show=False)
            return
        view_end = round(self.scroll_y) + self.size.height
        if self._tops[self.selected + 1] - 1 > view_end:
            self.scroll_lines(max(1, self.size.height // 2))
        elif self.selected + 1 < len(self.views):
            self.select(self.selected + 1)
        else:
            self.action_leave()

    def action_do(self, name: str) -> None:
        """Do something with the selected message, or the last one."""
        if (turn := self._meant) is not None:
            self.post_message(self.Action(name, turn))

    @property
    def _meant(self) -> Turn | None:
        """The message that keys are about: the one selected, or the last."""
        if not self.views:
            return None
        return self.views[-1 if self.selected is None else self.selected].turn

    def question(self, action: str) -> Question | None:
        """The question before a letter does something with a message."""
        turn = self._meant
        if turn is None:
            return None
        after = " What came after it is replaced." if turn is not self.views[-1].turn else ""
        words, yes = {
            "edit": (f"Edit this prompt and send it again?{after}", "edits"),
            "fork": ("A new agent that knows everything up to this message?", "forks"),
        }.get(action, (f"Answer this anew?{after or ' The answer is replaced.'}", "answers"))
        return Question(words, yes, lambda: self.post_message(self.Action(action, turn, ("sure",))))

    def ask_about(self, action: str, turn: Turn) -> None:
        """Ask before something is done with a message that was clicked."""
        self.select(self.index_of(turn.id))
        self.action_asks(action)

    def action_leave(self) -> None:
        self.select(None)
        self.post_message(self.Left())

    def on_focus(self) -> None:
        if self.selected is None and self.views:
            self.action_previous()

    def on_blur(self) -> None:
        if self.app.screen is self.screen:  # not when a question about the message opens
            self.select(None)

    def toggle_fold(self, turn_id: str) -> None:
        """Open or close the thoughts of an answer, or a long prompt."""
        self.opened ^= {turn_id}
        index = self.index_of(turn_id)
        if index is not None:
            if self.following and index < len(self.views) - 1:
                self.following = False
            self.changed(turn_id)

    # --- find ------------------------------------------------------------------------------------

    def set_matches(self, matches: dict[int, list[Match]], current: Match | None) -> None:
        """Highlight these places; `current` differently, and bring it into view."""
        self.matches, self.match = matches, current
        if current is not None:
            turn = self.views[current[0]].turn
            if turn.role == "user" and turn.id not in self.opened and self.views[current[0]].folded:
                self.opened.add(turn.id)
                self._forget(current[0])
                self._prepare()
            self.show_message(current[0], current[1])
        self.refresh()


def _is_word(character: str) -> bool:
    return character.isalnum() or character in "_-'’"
