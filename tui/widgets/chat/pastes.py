"""Long pasted texts: a short mark stands for them in the input, the text itself is sent."""

from __future__ import annotations

LONG_LINES = 40
LONG_CHARACTERS = 4_000


class Pastes:
    """Marks and what they stand for."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}  # by mark

    def is_long(self, text: str) -> bool:
        """Whether a text is too long to be shown in the input."""
        return len(text) > LONG_CHARACTERS or text.count("\n") >= LONG_LINES

    def mark(self, text: str) -> str:
        """The mark that stands for a text."""
        for mark, known in self._texts.items():
            if known == text:
                return mark
        lines = text.count("\n") + 1
        size = f"{lines:,} lines" if lines > 1 else f"{len(text):,} characters"
        mark = f"[pasted text {len(self._texts) + 1}: {size}]"
        self._texts[mark] = text
        return mark

    def expand(self, text: str) -> str:
        """The text with what the marks stand for."""
        for mark, pasted in self._texts.items():
            if mark in text:
                text = text.replace(mark, pasted)
        return text

    def fold(self, text: str) -> str:
        """The other way round: a text to show in the input."""
        if not self.is_long(text):
            return text
        for mark, pasted in self._texts.items():
            if pasted in text:
                text = text.replace(pasted, mark)
        return self.mark(text) if self.is_long(text) else text
