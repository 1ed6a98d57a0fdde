"""Widgets whose keys are letters, beside a prompt that people believe they are writing to.

A letter that shows something acts at once. One that changes something asks first (`Sure`), and so
does one that opens a dialog: who was writing goes on in the prompt, with all that was typed, and
nothing has happened. Letters that mean nothing here go to the prompt too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from textual import events
from textual.widget import Widget
from textual.widgets import Input, TextArea

WORD = 1.0  # seconds between two letters of one word


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, what Enter does in words, and what is done then: with what is chosen now, for
    lists move while one thinks."""

    text: str
    yes: str
    do: Callable[[], object]


class Lettered(Widget):
    """Bind letters that ask to `asks('action')`, and give their questions in `question`."""

    _letters = ""  # typed one after the other, up to now
    _typed_at = 0.0

    def question(self, action: str) -> Question | None:
        """The question before an action; None = there is nothing to do it with."""
        raise NotImplementedError

    @property
    def _write(self) -> Callable[[str], None] | None:
        """Takes text to the prompt of this screen, if it has one."""
        return getattr(self.screen, "write", None)

    def on_key(self, event: events.Key) -> None:
        """Remember letters; those that are no keys here are for the prompt."""
        focused = self.screen.focused
        if not event.is_printable or not event.character or isinstance(focused, Input | TextArea):
            self._letters = ""
            return
        now = time.monotonic()
        if now - self._typed_at > WORD:
            self._letters = ""
        self._typed_at = now
        if event.character == " " and not self._letters:
            return
        key = self._is_key(event, focused)
        if key and not event.character.isalpha():
            self._letters = ""  # a digit or a sign that is a key does not begin a word
            return
        self._letters += event.character
        if self._write is not None and not key:
            event.stop()
            letters, self._letters = self._letters, ""
            self._write(letters)

    def _is_key(self, event: events.Key, focused: Widget | None) -> bool:
        for node in focused.ancestors_with_self if focused is not None else (self,):
            if any(key in node._bindings.key_to_bindings for key in event.aliases):
                return True
            if node is self:
                return False
        return False

    def action_asks(self, action: str) -> None:
        """Do it after a question."""
        from tui.screens.sure import Sure

        question = self.question(action)
        if question is None:
            return

        def answered(yes: bool | None) -> None:
            self._letters = ""
            if yes:
                question.do()

        self.app.push_screen(
            Sure(question.text, question.yes, self, self._letters, self._write), answered
        )
