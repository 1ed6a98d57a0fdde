"""From tokens to text: UTF-8 across token borders, stop strings, thinking blocks, tool calls.

Whatever way the bytes are cut into tokens, the concatenated output is the same.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from engine.protocol import ToolCall


class CallReader(Protocol):
    """Takes tool calls out of an answer's text, in the model's format."""

    calls: list[ToolCall]

    @property
    def calling(self) -> bool: ...
    def feed(self, text: str) -> str: ...
    def finish(self) -> str: ...
    def take_thoughts(self) -> str: ...


@dataclass(frozen=True, slots=True)
class ThinkingTags:
    """What encloses thoughts; `skip` may stand before an answer that has none."""

    opening: str
    closing: str
    skip: str = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """The bytes of a token; `text` is set when they are whole characters."""

    data: bytes
    text: str | None

    @classmethod
    def of(cls, data: bytes) -> Piece:
        try:
            return cls(data, data.decode())
        except UnicodeDecodeError:
            return cls(data, None)


class Watch:
    """Finds the first of some strings in a text that comes in pieces.

    Text that may be the beginning of one of them is held back until that is clear.
    """

    __slots__ = ("_firsts", "_held", "_longest", "strings")

    def __init__(self, strings: Iterable[str]) -> None:
        self.strings = tuple(s for s in strings if s)
        self._firsts = frozenset(s[0] for s in self.strings)
        self._longest = max((len(s) for s in self.strings), default=0)
        self._held = ""

    def feed(self, text: str) -> tuple[str, str | None, str]:
        """(text before any match, the match or None, text after the match).

        The match that ends first wins; of those that end together, the longest.
        """
        if not self.strings:
            return text, None, ""
        if self._held:
            text = self._held + text
            self._held = ""
        best_end, best_start = -1, -1
        for string in self.strings:
            start = text.find(string)
            if start >= 0:
                end = start + len(string)
                if best_end < 0 or (end, start) < (best_end, best_start):
                    best_end, best_start = end, start
        if best_end >= 0:
            return text[:best_start], text[best_start:best_end], text[best_end:]
        size = len(text)
        for start in range(max(0, size - self._longest + 1), size):
            if text[start] in self._firsts:
                tail = text[start:]
                if any(s.startswith(tail) for s in self.strings):
                    self._held = tail
                    return text[:start], None, ""
        return text, None, ""

    def flush(self) -> str:
        """What was held back, when nothing more comes."""
        held, self._held = self._held, ""
        return held


class _Mode(Enum):
    START = 0  # only white space so far: thoughts may begin
    THINKING = 1
    ANSWER = 2


class TextStream:
    """The text of one answer. Feed bytes; take `text` and `thinking` away as often as you like."""

    def __init__(
        self,
        stops: Iterable[str] = (),
        tags: ThinkingTags | None = None,
        inside: bool = False,
        calls: CallReader | None = None,
    ) -> None:
        """`inside`: the prompt ended with the opening tag, so the answer begins with thoughts.

        `calls` takes tool calls out of the answer; None when no tools were offered.
        """
        self.stopped = False  # a stop string was found
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._between = True  # no character is incomplete
        self._tags = tags
        self._stops = Watch(stops)
        self._calls = calls
        self._closing = Watch((tags.closing,)) if tags else Watch(())
        self._strip = False  # white space after a thinking block belongs to nobody
        self._start = ""
        if tags and inside:
            self._mode, self._strip = _Mode.THINKING, True
        else:
            self._mode = _Mode.START if tags else _Mode.ANSWER
        self._free = False
        self._relax()

    def feed(self, piece: Piece) -> None:
        """Take one token; ignored after a stop string."""
        text = piece.text
        if text is None or not self._between:
            text = self._decoder.decode(piece.data)
            self._between = not self._decoder.getstate()[0]
        if self._free:  # nothing to look for: by far the most frequent case
            self._text.append(text)
        elif text and not self.stopped:
            self._route(text)

    def finish(self) -> None:
        """Nothing more comes: give out what was held back."""
        if self.stopped:
            return
        rest = self._decoder.decode(b"", True)
        if rest:
            self._route(rest)
        if self.stopped:
            return
        if self._mode is _Mode.START:
            self._say(self._start)
            self._start = ""
        elif self._mode is _Mode.THINKING:
            self._thinking.append(self._closing.flush())
        else:
            self._say(self._stops.flush())
        self._end_calls()

    @property
    def reads_calls(self) -> bool:
        """Whether tool calls are looked for."""
        return self._calls is not None

    @property
    def calling(self) -> bool:
        """Whether a tool call is being written."""
        return self._calls is not None and self._calls.calling

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The tool calls that are complete."""
        return tuple(self._calls.calls) if self._calls is not None else ()

    def take(self) -> tuple[str, str]:
        """(answer, thoughts) that are certain and were not taken yet."""
        text, thinking = "".join(self._text), "".join(self._thinking)
        self._text.clear()
        self._thinking.clear()
        return text, thinking

    def _route(self, text: str) -> None:
        if self._mode is _Mode.START:
            text = self._begin(text)
        if text and self._mode is _Mode.THINKING:
            text = self._think(text)
        if text and self._mode is _Mode.ANSWER:
            self._answer(text)

    def _begin(self, text: str) -> str:
        """Decide whether the answer begins with thoughts; returns what is left to route."""
        assert self._tags is not None
        self._start += text
        seen = self._start.lstrip()
        for tag, mode in ((self._tags.opening, _Mode.THINKING), (self._tags.skip, _Mode.ANSWER)):
            if tag and seen.startswith(tag):
                self._mode, self._strip, self._start = mode, True, ""
                return seen[len(tag) :]
            if tag and tag.startswith(seen):
                return ""  # not clear yet
        text, self._start = self._start, ""
        self._mode = _Mode.ANSWER
        return text

    def _think(self, text: str) -> str:
        before, match, after = self._closing.feed(self._stripped(text))
        if before:
            self._thinking.append(before)
        if match is None:
            return ""
        self._mode, self._strip = _Mode.ANSWER, True
        return after

    def _answer(self, text: str) -> None:
        before, match, _ = self._stops.feed(self._stripped(text))
        self._say(before)
        if match is not None:
            self.stopped = True
            self._end_calls()
        self._relax()

    def _say(self, text: str) -> None:
        if text and self._calls is not None:
            text = self._calls.feed(text)
            self._think_aside()
        if text:
            self._text.append(text)

    def _end_calls(self) -> None:
        if self._calls is not None:
            if rest := self._calls.finish():
                self._text.append(rest)
            self._think_aside()

    def _think_aside(self) -> None:
        if self._calls is not None and (thoughts := self._calls.take_thoughts()):
            self._thinking.append(thoughts)

    def _relax(self) -> None:
        """Take the short way from here on if there is nothing left to look for."""
        looks = self._strip or self._stops.strings or self._calls is not None
        self._free = self._mode is _Mode.ANSWER and not looks

    def _stripped(self, text: str) -> str:
        if self._strip:
            text = text.lstrip()
            self._strip = not text
        return text
