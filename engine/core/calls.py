"""Tool calls in what a model writes: found as it streams, in the format of its template.

Formats, and who writes them:

    hermes   <tool_call>{"name": …, "arguments": …}</tool_call>    Qwen 2.5/3, Hermes, SmolLM3, …
    xml      <tool_call><function=…><parameter=…>…</tool_call>     Qwen3-Coder, Qwen 3.5, Step
    keys     <tool_call>name<arg_key>…<arg_value>…</tool_call>     GLM 4.5 and later
    llama    {"name": …, "parameters": …}, after <|python_tag|>    Llama 3.x
             or as the whole answer
    harmony  messages with headers, see `harmony`                  gpt-oss
    mistral  [TOOL_CALLS][{"name": …, "arguments": …}], or         Mistral, Devstral, Ministral
             [TOOL_CALLS]name[ARGS]{…}

Nothing of a call is given out as text, and of anything else nothing is lost: a tag that no call
follows comes out as it was written. However the text is cut, the result is the same. Tags that models
like to forget may be missing: an answer that is nothing but a hermes call of a known tool is one, and
so is `<function=…>` of a known tool in the xml format.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from engine.core.text import Watch
from engine.protocol import ToolCall

Kind = Literal["json", "xml", "keys", "named"]
Shape = tuple[str, ...]  # what follows one another, white space between; NAME and STRING are any
NAME, STRING = "name", "string"
QUOTE = 80  # characters of a faulty call that its fault repeats


@dataclass(frozen=True, slots=True)
class Format:
    """How calls stand in an answer."""

    name: str
    opening: str
    closing: str = ""  # "" = the call ends with its JSON
    bodies: tuple[tuple[Kind, Shape], ...] = (("json", ("{",)),)  # what may follow the opening
    bare: tuple[Shape, ...] = ()  # how an answer begins that is a call without a tag
    inner: tuple[str, ...] = ()  # further control tokens of a call
    arguments: str = "arguments"  # key of a call's arguments


def _bare(*before: str, name: str = STRING) -> tuple[Shape, ...]:
    keys = ('"parameters"', '"arguments"')
    return tuple(("{", *before, '"name"', ":", name, ",", key, ":", "{") for key in keys)


HERMES = Format(
    "hermes", "<tool_call>", "</tool_call>", (("json", ("{",)), ("xml", ("<function=",)))
)
XML = Format("xml", HERMES.opening, HERMES.closing, HERMES.bodies)
KEYS = Format(
    "keys", HERMES.opening, HERMES.closing,
    (*HERMES.bodies, ("keys", (NAME, "<arg_key>")), ("keys", (NAME, HERMES.closing))),
    inner=("<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"),
)  # fmt: skip
LLAMA = Format(
    "llama", "<|python_tag|>", bodies=(("json", ("{",)), ("json", ("[", "{"))),
    bare=_bare() + _bare('"type"', ":", '"function"', ","), arguments="parameters",
)  # fmt: skip
MISTRAL = Format(
    "mistral", "[TOOL_CALLS]",
    bodies=(
        ("json", ("{",)), ("json", ("[", "{")), ("named", (NAME, "{")),
        ("named", (NAME, "[ARGS]", "{")), ("named", (NAME, "[CALL_ID]", NAME, "[ARGS]", "{")),
    ),
    inner=("[ARGS]", "[CALL_ID]"),
)  # fmt: skip


HARMONY = Format(
    "harmony", "<|channel|>", inner=("<|start|>", "<|message|>", "<|constrain|>", "<|end|>")
)


def format_of(template: str) -> Format | None:
    """The format that a chat template writes calls in; None when it is none of ours."""
    if HERMES.opening in template:
        if "<arg_key>" in template:
            return KEYS
        return XML if "<function=" in template else HERMES
    if MISTRAL.opening in template:
        return MISTRAL
    if HARMONY.opening in template and "<|call|>" in template:
        return HARMONY
    if LLAMA.opening in template or (
        "<|start_header_id|>" in template and '"parameters"' in template
    ):
        return LLAMA
    return None


NO, MAYBE = -1, -2


def _fits(text: str, shape: Shape) -> int:
    """Where the last part of `shape` stands in `text`; NO, or MAYBE if more text may bring it."""
    at = begin = 0
    for part in shape:
        found = _SPACE.match(text, at)
        begin = at = found.end() if found else at
        if at == len(text):
            return MAYBE
        if part in (NAME, STRING):
            found = (_NAME if part == NAME else _STRING).match(text, at)
            if found is None:
                return MAYBE if part == STRING and _OPEN_STRING.match(text, at) else NO
            at = found.end()
        elif text.startswith(part, at):
            at += len(part)
        else:
            return MAYBE if part.startswith(text[at:]) else NO
    return begin


def _fits_any(text: str, shapes: tuple[Shape, ...]) -> Literal["yes", "maybe", "no"]:
    found = [_fits(text, shape) for shape in shapes]
    return "yes" if max(found, default=NO) >= 0 else "maybe" if MAYBE in found else "no"


_SPACE = re.compile(r"\s*")
_NAME = re.compile(r"[\w.-]+")
_STRING = re.compile(r'"[^"\\]*"')
_OPEN_STRING = re.compile(r'"[^"\\]*\Z')
_FUNCTION = re.compile(r"\s*<function=([^>\n]*)>(.*?)(?:</function>|\Z)", re.DOTALL)
_PARAMETER = re.compile(
    r"<parameter=([^>\n]*)>\n?(.*?)\n?(?:</parameter>|(?=<parameter=)|\Z)", re.DOTALL
)
_ARG = re.compile(
    r"<arg_key>\s*(.*?)\s*</arg_key>\s*<arg_value>(.*?)(?:</arg_value>|\Z)", re.DOTALL
)
_FOUND_NAME = re.compile(r'"name"\s*:\s*"([^"\\]{1,64})"')
_MARKS = re.compile(r'[{}\[\]"<]')
_IN_STRING = re.compile(r'["\\]')


class CallStream:
    """Takes an answer's text apart into text and calls. `feed` returns text that is certain."""

    def __init__(self, format: Format, names: Iterable[str] = ()) -> None:
        """`names`: of the tools. Models forget the tags; where a tool is named it is a call then."""
        self.format = format
        self.calls: list[ToolCall] = []
        names = tuple(names)
        untagged = [f"<function={name}>" for name in names] if format is XML else []
        self._watch = Watch((format.opening, *untagged))
        self._bare = format.bare
        if format is HERMES:
            self._bare = tuple(s for name in names for s in _bare(name=json.dumps(name)))
        self._undecided = bool(self._bare)  # the answer has not begun, and may be a bare call
        self._closing = format.closing  # of the call that is read
        self._inside = False
        self._kind: Kind | None = None
        self._buffer = ""  # a call so far, or what may become one
        self._opened = ""  # what stood before the buffer, to be given back if it is no call
        self._scan = _Scan()
        self._after = False  # right behind a call: white space belongs to nobody

    @property
    def calling(self) -> bool:
        """Whether a call is being written."""
        return self._inside and self._kind is not None

    def take_thoughts(self) -> str:
        """None: thoughts stand before what this reads."""
        return ""

    def feed(self, text: str) -> str:
        """Take more of the answer."""
        out: list[str] = []
        while text:
            text = self._inner(text, out) if self._inside else self._outer(text, out)
        return "".join(out)

    def finish(self) -> str:
        """Nothing more comes: a call without an end is read as far as it goes."""
        out: list[str] = []
        while self._inside:
            rest = self._end_early(out)
            out.append(self.feed(rest))
        if self._undecided or (self._after and self._buffer):
            out.append(self._buffer)
            self._buffer = ""
        out.append(self._watch.flush())
        return "".join(out)

    # --- outside a call --------------------------------------------------------------------------

    def _outer(self, text: str, out: list[str]) -> str:
        if self._after:
            return self._behind(text)
        if self._undecided:
            self._buffer += text
            return self._decide()
        before, match, after = self._watch.feed(text)
        out.append(before)
        if match == self.format.opening:
            self._open(match, self.format.closing)
        elif match is not None:
            self._open("", "</function>")
            return match + after
        return after

    def _decide(self) -> str:
        """Whether the answer as a whole is a call."""
        text, self._buffer = self._buffer, ""
        if self._waits(text, _fits_any(text, self._bare)):
            return ""
        self._undecided = False
        return text

    def _behind(self, text: str) -> str:
        """Between calls; in llama's format another may follow without a tag of its own."""
        text = self._buffer + text
        self._buffer = ""
        rest = text.lstrip(" \t\r\n;," if self.format.bare else None)
        if (closing := self.format.closing) and rest:  # one too many
            if rest.startswith(closing):
                return rest[len(closing) :]
            if closing.startswith(rest):
                self._buffer = rest
                return ""
        if self._waits(rest, _fits_any(rest, self.format.bare) if rest else "maybe"):
            return ""
        self._after = False
        return rest

    def _waits(self, text: str, fits: Literal["yes", "maybe", "no"]) -> bool:
        """Whether it takes more to know if this is a call without a tag; one that is begins here."""
        if fits == "maybe":
            self._buffer = text
        elif fits == "yes":
            self._open("", "")
        return fits == "maybe"

    def _open(self, match: str, closing: str) -> None:
        self._inside, self._kind, self._opened = True, None, match
        self._closing = closing
        self._buffer, self._scan = "", _Scan()

    # --- inside a call ---------------------------------------------------------------------------

    def _inner(self, text: str, out: list[str]) -> str:
        self._buffer += text
        if self._kind is None and not self._begins():
            return "" if self._inside else self._not_a_call(out)
        end = self._end()
        if end < 0:
            return ""
        body, rest = self._buffer[:end], self._buffer[end:]
        self._close(body.removesuffix(self._closing))
        return rest

    def _begins(self) -> bool:
        """Whether a call follows the tag; not even inside any more when none does."""
        found = [(kind, _fits(self._buffer, shape)) for kind, shape in self.format.bodies]
        for kind, at in found:
            if at >= 0:
                self._kind = kind
                self._scan.at = at if kind == "named" else 0
                return True
        self._inside = any(at == MAYBE for _, at in found)
        return False

    def _end(self) -> int:
        """Index behind the call, -1 while it goes on."""
        closing = self._closing
        if not closing:
            return self._scan.value(self._buffer)
        if self._kind == "json":
            at = self._scan.tag(self._buffer, closing)
        else:
            at = self._buffer.find(closing, max(0, self._scan.at - len(closing)))
            self._scan.at = len(self._buffer)
        return at + len(closing) if at >= 0 else -1

    def _close(self, body: str) -> None:
        assert self._kind is not None
        self.calls.extend(read(body, self._kind))
        self._inside, self._after, self._buffer = False, True, ""

    def _not_a_call(self, out: list[str]) -> str:
        out.append(self._opened)
        rest, self._buffer, self._inside = self._buffer, "", False
        return rest

    def _end_early(self, out: list[str]) -> str:
        """The answer ended inside; returns what has to be read again as text."""
        if self._kind is None:
            return self._not_a_call(out)
        body, closing = self._buffer, self._closing
        at = body.find(closing) if closing else -1  # inside a string that never ended
        rest = body[at + len(closing) :] if at >= 0 else ""
        self._close(body[:at] if at >= 0 else body)
        return rest


class _Scan:
    """Follows JSON through a text that grows, each character once."""

    __slots__ = ("at", "depth", "quoted")

    def __init__(self) -> None:
        self.at = 0
        self.depth = 0
        self.quoted = False

    def value(self, text: str) -> int:
        """Index behind the first value in brackets, -1 while it is not complete."""
        return self._run(text, "")

    def tag(self, text: str, tag: str) -> int:
        """Index of the first `tag` outside a string, -1 while there is none."""
        return self._run(text, tag)

    def _run(self, text: str, tag: str) -> int:
        while True:
            found = (_IN_STRING if self.quoted else _MARKS).search(text, self.at)
            if found is None:
                self.at = len(text)
                return -1
            start, mark = found.start(), found.group()
            if self.quoted:
                if mark == "\\" and start + 1 == len(text):
                    self.at = start  # what it escapes is still to come
                    return -1
                self.at = start + (2 if mark == "\\" else 1)
                self.quoted = mark == "\\"
            elif mark == "<":
                if tag and text.startswith(tag, start):
                    return start
                if tag and tag.startswith(text[start:]):
                    self.at = start
                    return -1
                self.at = start + 1
            else:
                self.at = start + 1
                if mark == '"':
                    self.quoted = True
                elif mark in "{[":
                    self.depth += 1
                else:
                    self.depth -= 1
                    if not tag and self.depth <= 0:
                        return self.at


# --- what a call says -----------------------------------------------------------------------------


def read(body: str, kind: Kind) -> list[ToolCall]:
    """The calls of a complete body. What cannot be read becomes a call with a `fault`."""
    if kind == "xml":
        found = _FUNCTION.match(body)
        name = found.group(1).strip() if found else ""
        pairs = _PARAMETER.findall(found.group(2)) if found else []
        return [_call(name, {key.strip(): _plain(value) for key, value in pairs}, body)]
    if kind == "keys":
        name = body.partition("<arg_key>")[0].strip()
        return [_call(name, {key: _plain(value) for key, value in _ARG.findall(body)}, body)]
    if kind == "named":
        found = _NAME.search(body)
        return [call_of(found.group() if found else "", body[body.find("{") :])]
    values, fault = _values(body)
    calls = [call for value in values for call in _calls(value, body)]
    if fault:
        name_found = _FOUND_NAME.search(body)
        calls.append(_faulty(name_found.group(1) if name_found else "", fault, body))
    return calls


def call_of(name: str, body: str) -> ToolCall:
    """A call whose arguments are the whole body."""
    values, fault = _values(body)
    if fault or len(values) != 1:
        return _faulty(name, fault or "it has more than one value", body)
    return _call(name, values[0], body)


def _values(body: str) -> tuple[list[Any], str]:
    """All JSON values of a text, and what is wrong with the rest.

    Brackets too many at the end are let pass, as models often write one more than they need.
    """
    decoder = json.JSONDecoder(strict=False)
    values: list[Any] = []
    at = len(body) - len(body.lstrip())
    while at < len(body):
        try:
            value, at = decoder.raw_decode(body, at)
        except (ValueError, RecursionError) as error:
            if values and not body[at:].strip(" \t\r\n}]"):
                break
            why = (
                error.msg if isinstance(error, json.JSONDecodeError) else "it is nested too deeply"
            )
            return values, f"it is not valid JSON: {why}"
        values.append(value)
        while at < len(body) and body[at] in " \t\r\n;,":
            at += 1
    return values, "" if values else "it is empty"


def _calls(value: Any, body: str) -> list[ToolCall]:
    if isinstance(value, list):
        return [call for one in value for call in _calls(one, body)]
    if not isinstance(value, dict):
        return [_faulty("", "it is no JSON object", body)]
    if isinstance(value.get("function"), dict):
        value = value["function"]
    name = value.get("name")
    if not isinstance(name, str) or not name:
        return [_faulty("", 'it has no "name"', body)]
    given = value.get("arguments", value.get("parameters", {}))
    return [_call(name, given, body)]


def _call(name: str, arguments: Any, body: str) -> ToolCall:
    if isinstance(arguments, str):  # as on OpenAI's wire: JSON within JSON
        try:
            arguments = json.loads(arguments or "{}", strict=False)
        except (ValueError, RecursionError):
            return _faulty(name, "its arguments are not valid JSON", body)
    if arguments is None:
        arguments = {}
    if not name:
        return _faulty("", "it names no function", body)
    if not isinstance(arguments, dict):
        return _faulty(name, "its arguments are no JSON object", body)
    try:
        text = json.dumps(arguments, ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError):
        return _faulty(name, "its arguments cannot be written as JSON", body)
    return ToolCall(_sound(name), _sound(text))


def _faulty(name: str, fault: str, body: str) -> ToolCall:
    line = " ".join(body.split())
    quote = line if len(line) <= QUOTE else f"{line[:QUOTE]}…"
    return ToolCall(_sound(name), "{}", fault=_sound(f"The call cannot be read, {fault}: {quote}"))


def _sound(text: str) -> str:
    r"""Without halves of surrogate pairs, which JSON's \\u can name and UTF-8 cannot hold."""
    return text.encode("utf-8", "replace").decode()


def _plain(text: str) -> Any:
    """A value of the formats that do not quote strings; validation makes of it what is wanted."""
    stripped = text.strip()
    if stripped[:1] in ("{", "[") or stripped in ("true", "false", "null"):
        try:
            return json.loads(stripped)
        except (ValueError, RecursionError):
            return text
    return text
