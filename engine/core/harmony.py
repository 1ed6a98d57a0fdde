"""Tool calls of gpt-oss: its answers are several messages, each with a header that says what it is.

    <|channel|>analysis<|message|>…<|end|>                              thoughts
    <|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json<|message|>{…}<|call|>
    <|start|>assistant<|channel|>final<|message|>…<|return|>            the answer

The recipient may also stand before the channel. Text before any header is the answer as it is.
"""

from __future__ import annotations

import re
from typing import Literal

from engine.core import calls
from engine.core.text import Watch
from engine.protocol import ToolCall

MESSAGE = "<|message|>"
ENDS = ("<|end|>", "<|return|>", "<|call|>", "<|start|>")
LONGEST = 200  # characters of a header
_BEGINS = ("<|start|>", "<|channel|>", "<|constrain|>", MESSAGE, "assistant", "to=")
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)")
_TO = re.compile(r"\bto=(?:functions\.)?([\w.-]+)")


class HarmonyStream:
    """Takes an answer of several messages apart; `engine.core.text.CallReader` of gpt-oss."""

    def __init__(self) -> None:
        self.calls: list[ToolCall] = []
        self._part: Literal["header", "thoughts", "text", "call"] = "header"
        self._header = ""
        self._name = ""
        self._body: list[str] = []  # of a call
        self._ends = Watch(ENDS)
        self._plain = False  # it has no headers: all is the answer
        self._thoughts: list[str] = []
        self._said = {"text": False, "thoughts": False}  # whether there was any
        self._fresh = False  # nothing was said in this message

    @property
    def calling(self) -> bool:
        """Whether a call is being written."""
        return self._part == "call"

    def take_thoughts(self) -> str:
        """Thoughts that were not taken yet."""
        thoughts = "".join(self._thoughts)
        self._thoughts.clear()
        return thoughts

    def feed(self, text: str) -> str:
        """Take more; returns what of it is the answer's text."""
        out: list[str] = []
        while text:
            text = self._head(text) if self._part == "header" else self._inner(text, out)
        return "".join(out)

    def finish(self) -> str:
        """Nothing more comes: a call without an end is read as far as it goes."""
        out: list[str] = []
        if self._part == "header":
            header, self._header = self._header, ""
            if not header.lstrip().startswith("<|"):  # else it is the beginning of a header
                out.append(header)
        else:
            self._say(self._ends.flush(), out)
            self._close()
        return "".join(out)

    def _head(self, text: str) -> str:
        self._header += text
        end = self._header.find(MESSAGE)
        begin = self._header.lstrip()
        known = not begin or any(begin.startswith(b) or b.startswith(begin) for b in _BEGINS)
        longest = LONGEST if end >= 0 else LONGEST + len(MESSAGE) - 1
        long = len(self._header if end < 0 else self._header[:end]) > longest
        if end < 0 and known and not long:
            return ""
        header, self._header = self._header, ""
        if long or not known:
            self._part, self._plain = "text", True
            return header
        header, rest = header[:end], header[end + len(MESSAGE) :]
        channels, to = _CHANNEL.findall(header), _TO.search(header)
        self._fresh = True
        if to is not None and to.group(1) not in ("assistant", "user"):
            self._part, self._name, self._body = "call", to.group(1), []
        elif channels[-1:] == ["analysis"]:  # gpt-oss may put a stray "commentary" before it
            self._part = "thoughts"
        else:
            self._part = "text"
        return rest

    def _inner(self, text: str, out: list[str]) -> str:
        if self._plain:
            out.append(text)
            return ""
        before, match, after = self._ends.feed(text)
        self._say(before, out)
        if match is None:
            return ""
        self._close()
        return after

    def _say(self, text: str, out: list[str]) -> None:
        if not text:
            return
        if self._part == "call":
            self._body.append(text)
            return
        if self._fresh and self._said[self._part]:
            text = f"\n\n{text}"  # a second message of the kind
        self._fresh, self._said[self._part] = False, True
        (out if self._part == "text" else self._thoughts).append(text)

    def _close(self) -> None:
        if self._part == "call":
            self.calls.append(calls.call_of(self._name, "".join(self._body)))
        if not self._plain:
            self._part = "header"
