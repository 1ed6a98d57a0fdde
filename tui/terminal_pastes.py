"""Pasted text is text: nothing in it is a key.

Textual takes an escape sequence inside of a bracketed paste for keys, and what follows it too: a
coloured log that is pasted would send itself line by line, and Ctrl+Q in it would leave the app.
Here a paste is cut out of what the terminal sends before it is read as keys, and what is no text
(colours, cursor movements, control characters) is left out of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from textual import events
from textual._xterm_parser import XTermParser
from textual.message import Message

START, END = "\x1b[200~", "\x1b[201~"
CERTAIN = 3  # characters from which on what may be the beginning of START is waited for
_NO_TEXT = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours, the cursor
    r"|(?:\x1b\]|\x9d)[^\x07\x1b\x9c\r\n]*(?:\x07|\x1b\\|\x9c)?"  # titles, links, the clipboard
    r"|\x1b[ -/]*[0-~]"
    r"|[^\r\n]\x08"  # struck over, as in manual pages
    r"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"
)


def text_of(pasted: str) -> str:
    """What is text of what was pasted: tabs, line ends and all that can be seen."""
    return _NO_TEXT.sub("", pasted)


class PasteParser(XTermParser):
    """Textual's parser of what a terminal sends, with pastes taken out first."""

    def __init__(self, debug: bool = False) -> None:
        super().__init__(debug)
        self._held = ""  # may be the beginning of START or END
        self._parts: list[str] | None = None  # of the paste that is arriving

    def feed(self, data: str) -> Iterable[Message]:
        """Keys, pastes and the rest in `data`; "" ends it."""
        if not data:
            yield from super().feed(data)
            return
        data, self._held = self._held + data, ""
        while data:
            if self._parts is None:
                keys, start, data = self._until(data, START, CERTAIN)
                if keys:
                    yield from super().feed(keys)
                if start:
                    self._parts = []
            else:
                part, end, data = self._until(data, END)
                self._parts.append(part)
                if end:
                    pasted, self._parts = "".join(self._parts), None
                    yield events.Paste(text_of(pasted))

    def _until(self, data: str, mark: str, least: int = 1) -> tuple[str, str, str]:
        """What stands before a mark, the mark, and what stands behind it; when it has not come yet,
        all but what may be its beginning, which is kept."""
        before, found, after = data.partition(mark)
        if not found:
            for size in range(len(mark) - 1, least - 1, -1):
                if data.endswith(mark[:size]):
                    self._held = data[-size:]
                    return data[:-size], "", ""
        return before, found, after


def read_pastes_as_text() -> None:
    """From now on, for drivers that are started."""
    from textual.drivers import linux_driver

    linux_driver.XTermParser = PasteParser  # type: ignore[attr-defined]
