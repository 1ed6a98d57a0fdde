"""Whom a text is for: the @names in it.

A prompt that begins with @names goes to them, and the names are taken off. Otherwise @names
anywhere in it count, and the text stays whole. `@all` is everyone. Unknown names, e-mail
addresses, package scopes (@name/x), escaped \\@names and code (spans and fences) are just text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engine.config import AgentName
from engine.config_check import expected
from engine.errors import HaloError

EVERYONE = "all"
RESERVED = (EVERYONE, "you")  # words that cannot name an agent

# Not after a word, another @, a path or a backslash; not before a domain or a package path.
_MENTION = re.compile(r"(?<![\w@./+\\-])@([\w-]+)(?![\w-]|@|/\w|\.[a-z0-9])")
_LEADING = re.compile(r"\s*@([\w-]+)(?![\w-]|@|/\w|\.[a-z0-9])(?:\s*[,:;]|\s*(?:and|&)(?=\s+@))?")
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})[^\n]*$", re.MULTILINE)
_NAME = re.compile(r"\w[\w-]{0,31}")
_SPAN = re.compile(r"(?<!`)(`+)(?!`)((?:(?!\n\s*\n).)+?)(?<!`)\1(?!`)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Mention:
    """An @name of an agent in a text: text[start:end], `@` included."""

    name: str  # as the agent is called, or "all"
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Addressed:
    """Who gets what."""

    names: list[str]  # in the order of mention, each once; empty if nobody was addressed
    text: str  # without the leading names


def code_ranges(text: str) -> list[tuple[int, int]]:
    """Where code stands in Markdown: fences (an open one runs to the end) and backtick spans."""
    ranges: list[tuple[int, int]] = []
    start, mark = -1, ""
    for match in _FENCE.finditer(text):
        if start < 0:
            # A backtick fence cannot have backticks in its info string: that is a span.
            if match[1][0] == "`" and "`" in match[0].strip()[len(match[1]) :]:
                continue
            start, mark = match.start(), match[1]
        elif match[1].startswith(mark) and match[0].strip() == match[1]:
            ranges.append((start, match.end()))
            start = -1
    if start >= 0:
        ranges.append((start, len(text)))
    outside = 0
    spans: list[tuple[int, int]] = []
    for begin, end in [*ranges, (len(text), len(text))]:
        spans.extend(m.span() for m in _SPAN.finditer(text, outside, begin))
        outside = end
    return sorted(ranges + spans)


def mentions(text: str, names: Iterable[str]) -> list[Mention]:
    """All @names of agents in a text, `@all` among them, outside code and addresses."""
    known = _known(names)
    code = code_ranges(text)
    return [
        Mention(name, match.start(), match.end())
        for match in _MENTION.finditer(text)
        if (name := known.get(match[1].casefold()))
        and not any(start <= match.start() < end for start, end in code)
    ]


def parse(text: str, names: Sequence[str]) -> Addressed:
    """Read the addresses of a prompt. Names compare without case."""
    known = _known(names)
    found: list[str] = []
    end = 0
    while (match := _LEADING.match(text, end)) and (name := known.get(match[1].casefold())):
        found.append(name)
        end = match.end()
    if found:
        return Addressed(_everyone(found, names), text[end:].strip())
    inline = [mention.name for mention in mentions(text, names)]
    return Addressed(_everyone(inline, names), text.strip())


def stranger(text: str, names: Iterable[str]) -> str:
    """The name that a prompt begins with an @ of, if nobody has it: mistyped, or not an address."""
    match = _LEADING.match(text)
    return match[1] if match and match[1].casefold() not in _known(names) else ""


def _known(names: Iterable[str]) -> dict[str, str]:
    return {EVERYONE: EVERYONE} | {name.casefold(): name for name in names}


def _everyone(found: Sequence[str], names: Sequence[str]) -> list[str]:
    return list(names) if EVERYONE in found else list(dict.fromkeys(found))


def checked_name(name: str) -> str:
    """A name an agent may have, without its @. Raises HaloError."""
    name = name.strip().removeprefix("@")
    if not _NAME.fullmatch(name):
        raise HaloError(f"'{name}' cannot be a name.", f"Give {expected(AgentName)}.")
    if name.casefold() in RESERVED:
        raise HaloError(
            f"'{name}' cannot be a name, it has a meaning of its own.", "Choose another name."
        )
    return name
