"""Chat templates: the model's own jinja template, rendered in a sandbox.

What people write cannot become a control token: names of control tokens inside messages are
replaced by private characters before rendering, and the text is cut there afterwards, so that
these pieces are tokenised as plain text.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from engine.core import calls, toolprompt
from engine.core.text import ThinkingTags
from engine.errors import EngineError
from engine.protocol import Message, Tool

CHATML = """{% for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

_HARMONY_FINAL = "<|channel|>final<|message|>"
KNOWN_TAGS = (
    ThinkingTags("<think>", "</think>"),
    ThinkingTags("<seed:think>", "</seed:think>"),
    ThinkingTags("[THINK]", "[/THINK]"),
    ThinkingTags("<|START_THINKING|>", "<|END_THINKING|>"),
    ThinkingTags("<thinking>", "</thinking>"),
    ThinkingTags("<reasoning>", "</reasoning>"),
    ThinkingTags(
        "<|channel|>analysis<|message|>",
        "<|end|><|start|>assistant" + _HARMONY_FINAL,
        skip=_HARMONY_FINAL,
    ),
)

# Stand-ins for control names come from the last private-use plane, which nobody types.
_PRIVATE = 0x100000
_PRIVATE_COUNT = 0xFFFE
_PRIVATE_CHARACTERS = re.compile("([\U00100000-\U0010ffff])")
# What a template can raise on messages that it does not take.
_FAILURES = (
    jinja2.TemplateError, TypeError, ValueError, KeyError, AttributeError, IndexError,
    OverflowError, RecursionError,
)  # fmt: skip


class _Generation(jinja2.ext.Extension):
    """`{% generation %}` marks the assistant's part for training; here it changes nothing."""

    tags = {"generation"}  # noqa: RUF012  (jinja's own declaration)

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)


def _to_json(
    value: Any, ensure_ascii: bool = False, indent: int | None = None, **options: Any
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)


def _now(form: str) -> str:
    return datetime.datetime.now().strftime(form)


class ChatTemplate:
    """Renders messages to (text, whether control tokens in it are meant) pieces."""

    def __init__(self, source: str, bos: str, eos: str, control: Iterable[str] = ()) -> None:
        """`source` "" means ChatML. Raises EngineError when the template is not valid jinja."""
        self.source = source or CHATML
        self._specials = {"bos_token": bos, "eos_token": eos}
        names = sorted({name for name in control if len(name) > 1}, key=len, reverse=True)
        self._names = names[:_PRIVATE_COUNT]
        self._stand_in = {name: chr(_PRIVATE + i) for i, name in enumerate(self._names)}
        self._control = re.compile("|".join(map(re.escape, self._names))) if names else None
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[jinja2.ext.loopcontrols, _Generation],
        )
        environment.filters["tojson"] = _to_json
        environment.globals.update(raise_exception=_raise, strftime_now=_now)
        try:
            self._template = environment.from_string(self.source)
        except jinja2.TemplateError as error:
            raise EngineError(
                f"The model's chat template cannot be read: {error}.",
                "Choose another file of this model.",
                "template",
            ) from None
        self.tags = next((t for t in KNOWN_TAGS if t.closing in self.source), KNOWN_TAGS[0])
        if _HARMONY_FINAL.split("final")[0] in self.source and "<|message|>" in self.source:
            self.tags = KNOWN_TAGS[-1]
        written = calls.format_of(self.source)
        # A template whose calls nobody here reads is told of tools in words, as one without any.
        self.knows_tools = written is not None and self._shows_tools()
        self.calls = written if written is not None and self.knows_tools else calls.HERMES

    def _shows_tools(self) -> bool:
        """Whether the template tells of tools that it is given."""
        probe = [{"role": "system", "content": "-"}, {"role": "user", "content": "-"}]
        tool = Tool("probe_function", "-", {"type": "object", "properties": {}})
        try:
            return tool.name in self._filled(probe, True, toolprompt.functions([tool]))
        except _FAILURES:
            return False

    def _filled(
        self, messages: list[dict[str, Any]], thinking: bool, tools: list[dict[str, Any]] | None
    ) -> str:
        return self._template.render(
            messages=messages,
            add_generation_prompt=True,
            enable_thinking=thinking,
            tools=tools,
            **self._specials,
        )

    def render(self, messages: Sequence[Message], thinking: bool = True) -> list[tuple[str, bool]]:
        """Pieces of the prompt, up to where the answer begins.

        Templates that refuse a system message, or turns that do not alternate, get the messages
        merged. Raises EngineError (`template`) when that does not help either.
        """
        tools = toolprompt.offered(messages)
        plain = [self._neutral(m) for m in messages if m.content or not m.tools]
        given = toolprompt.functions(tools) if tools and self.knows_tools else None
        if not self.knows_tools:
            plain = toolprompt.in_words(plain, tools)
        error: Exception | None = None
        # gpt-oss' template takes one call at once and loses the others without a word.
        first = toolprompt.one_by_one if self.calls is calls.HARMONY else _as_given
        for attempt in (first, toolprompt.one_by_one, _alternating, _without_system):
            try:
                return self._pieces(self._filled(list(attempt(plain)), thinking, given))
            except _FAILURES as failed:
                error = error or failed
        raise EngineError(
            f"The model's chat template refuses this conversation: {error}.",
            "Edit the messages, or choose another model.",
            "template",
        )

    def opens_thinking(self, pieces: Sequence[tuple[str, bool]]) -> bool:
        """Whether the prompt ends inside a thinking block."""
        return bool(pieces) and pieces[-1][0].rstrip().endswith(self.tags.opening)

    def _neutral(self, message: Message) -> dict[str, Any]:
        """A message for the template, with control names replaced by their stand-ins."""
        result = message.role == "tool"
        content = toolprompt.harmless(message.content) if result else message.content
        plain: dict[str, Any] = {"role": message.role, "content": self._clean(content)}
        if message.name:
            plain["name"] = self._clean(message.name)
        if message.thinking:
            plain["reasoning_content"] = self._clean(message.thinking)
        if result:
            plain["tool_call_id"] = message.call_id
        if message.calls and self.calls is calls.HARMONY:  # one of the two, by this name
            plain["thinking"] = plain.pop("reasoning_content", "") or plain["content"]
            plain["content"] = ""
        if message.calls:
            plain["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {
                        "name": self._clean(call.name),
                        "arguments": toolprompt.arguments(self._clean(call.arguments)),
                    },
                }
                for call in message.calls
            ]
        return plain

    def _clean(self, text: str) -> str:
        if text and ord(max(text)) >= _PRIVATE:
            text = _PRIVATE_CHARACTERS.sub("\ufffd", text)
        if self._control is None:
            return text
        return self._control.sub(lambda match: self._stand_in[match.group()], text)

    def _pieces(self, text: str) -> list[tuple[str, bool]]:
        """Cut the rendered text at the stand-ins and put the names back, as plain text."""
        pieces: list[tuple[str, bool]] = []
        for number, piece in enumerate(_PRIVATE_CHARACTERS.split(text)):
            if number % 2:
                pieces.append((self._names[ord(piece) - _PRIVATE], False))
            elif piece:
                pieces.append((piece, True))
        return pieces


def _as_given(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return messages


def _alternating(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Neighbours of the same role become one message; calls and results stay what they are."""
    merged: list[dict[str, Any]] = []
    for message in messages:
        last = merged[-1] if merged else None
        if last is None or last["role"] != message["role"] or _is_call(last) or _is_call(message):
            merged.append(message)
        else:
            merged[-1] = {**last, "content": f"{last['content']}\n\n{message['content']}"}
    return merged


def _is_call(message: dict[str, Any]) -> bool:
    return message["role"] == "tool" or "tool_calls" in message


def _without_system(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The system message becomes the beginning of the first user message."""
    turned = [{**m, "role": "user"} if m["role"] == "system" else m for m in messages]
    return _alternating(turned)
