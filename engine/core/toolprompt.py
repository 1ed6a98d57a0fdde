"""Tools in the prompt: as a chat template takes them, told in words to one that knows none, and
as a grammar where a call is wanted.

They are told with the tags of Hermes and Qwen, before an agent's own system prompt,
so that all agents with the same tools share their cells.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from engine.core import calls
from engine.errors import EngineError
from engine.protocol import Message, Tool

# The tags are those that Hermes and Qwen models were trained on; the words are ours.
WORDS = """Tools are at hand for this conversation. Each line says what one is called, what it does and \
which arguments it takes:
<tools>
{tools}
</tools>
To use one, write its name and arguments as JSON between these tags, once for each call, and wait for \
what it finds:
<tool_call>
{{"name": "NAME OF THE TOOL", "arguments": {{"ARGUMENT": "VALUE"}}}}
</tool_call>
Answer without a tool whenever none is needed."""

# Tags that a result must not be able to end or begin, whatever the template uses.
_TAGS = re.compile(
    r"<(?=/?\|?(?:tool|function|parameter|arg_)[\w:▁]*)|\[(?=/?(?:TOOL|AVAIL|ARGS|INST))"
)
_HIDDEN = {"<": "‹", "[": "("}


def offered(messages: Sequence[Message]) -> tuple[Tool, ...]:
    """The tools of a conversation."""
    return messages[0].tools if messages else ()


def functions(tools: Sequence[Tool]) -> list[dict[str, Any]]:
    """Tools as templates take them: OpenAI's list of functions."""
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.parameters,
            },
        }
        for tool in tools
    ]


def arguments(text: str) -> Any:
    """A call's arguments as templates take them: an object."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def harmless(text: str) -> str:
    """A tool's result without what could be taken for the end of a result, or for a call."""
    return _TAGS.sub(lambda found: _HIDDEN[found.group()], text)


def in_words(messages: Sequence[dict[str, Any]], tools: Sequence[Tool]) -> list[dict[str, Any]]:
    """Rendered messages for a template without tools: all of them become plain text."""
    told: list[dict[str, Any]] = []
    if tools:
        lines = "\n".join(json.dumps(one, ensure_ascii=False) for one in functions(tools))
        told.append({"role": "system", "content": WORDS.format(tools=lines)})
    results: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            results.append(f"<tool_response>\n{message['content']}\n</tool_response>")
            continue
        if results:
            told.append({"role": "user", "content": "\n".join(results)})
            results = []
        if message["role"] == "system" and told and told[-1]["role"] == "system":
            told[-1]["content"] += f"\n\n{message['content']}"
        elif made := message.get("tool_calls"):
            parts = [message["content"]] if message["content"] else []
            parts += [_written(call["function"]) for call in made]
            told.append({**message, "content": "\n".join(parts)})
            del told[-1]["tool_calls"]
        else:
            told.append(message)
    if results:
        told.append({"role": "user", "content": "\n".join(results)})
    return told


def _written(function: dict[str, Any]) -> str:
    return f"<tool_call>\n{json.dumps(function, ensure_ascii=False)}\n</tool_call>"


def one_by_one(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Calls that were made together, one after the other: some templates take only one at once."""
    single: list[dict[str, Any]] = []
    results = {m["tool_call_id"]: m for m in messages if m["role"] == "tool"}
    for message in messages:
        made = message.get("tool_calls", ())
        if len(made) > 1:
            for number, call in enumerate(made):
                content = "" if number else message["content"]
                one = {**message, "content": content, "tool_calls": [call]}
                for key in ("thinking", "reasoning_content") if number else ():
                    one.pop(key, None)
                single.append(one)
                if result := results.get(call["id"]):
                    single.append(result)
        elif message["role"] != "tool" or message not in single:
            single.append(message)
    return single


# --- a call by grammar ----------------------------------------------------------------------------


def grammar(tools: Sequence[Tool], format: calls.Format, inside: bool, closing: str) -> str:
    """GBNF of exactly one call of one of the tools, in a format.

    `inside`: the prompt ends in a thinking block, which ends with `closing` first. Raises
    EngineError (bad_request) when a schema cannot be turned into a grammar.
    """
    from engine.core.sampling import grammar_of_schema

    if format in (calls.XML, calls.KEYS):
        rules, body = _unquoted(tools, format)
    elif format is calls.HARMONY:
        rules, body = _headed(tools, grammar_of_schema)
    else:
        schema = {
            "anyOf": [
                {
                    "type": "object",
                    "properties": {
                        "name": {"const": tool.name},
                        format.arguments: _small_numbers(tool.parameters),
                    },
                    "required": ["name", format.arguments],
                    "additionalProperties": False,
                }
                for tool in tools
            ]
        }
        rules, body = grammar_of_schema(json.dumps(schema)), "call"
    rules = re.sub(r"^root ::=", "call ::=", rules, flags=re.MULTILINE)
    match format:
        case calls.LLAMA | calls.HARMONY:
            root = body
        case calls.MISTRAL:
            root = f'"[TOOL_CALLS]" "[" {body} "]"'
        case calls.KEYS:
            root = f'"<tool_call>" {body} "</tool_call>"'
        case _:
            root = f'"<tool_call>\\n" {body} "\\n</tool_call>"'
    if inside:
        root = f"thoughts {root}"
        rules += f"\n{_until(closing)}"
    return f"root ::= {root}\n{rules}"


def _small_numbers(schema: dict[str, Any]) -> dict[str, Any]:
    """Bounds of whole numbers, which the converter does not keep, as a list of the numbers."""
    kept = dict(schema)
    if kept.get("type") == "integer" and {"minimum", "maximum"} <= kept.keys():
        low, high = kept["minimum"], kept["maximum"]
        if high - low < 64:
            return {"enum": list(range(low, high + 1))}
    if isinstance(kept.get("properties"), dict):
        kept["properties"] = {k: _small_numbers(v) for k, v in kept["properties"].items()}
    return kept


def _headed(tools: Sequence[Tool], convert: Callable[[str], str]) -> tuple[str, str]:
    """gpt-oss' format: the tool's name in a header, its arguments below it."""
    # As properties of one object they get rules of their own, named like them.
    named = {f"tool{i}": _small_numbers(tool.parameters) for i, tool in enumerate(tools)}
    rules = convert(json.dumps({"type": "object", "properties": named, "required": list(named)}))
    bodies = [
        f'"<|channel|>commentary to=functions.{tool.name} <|constrain|>json<|message|>" tool{i}'
        for i, tool in enumerate(tools)
    ]
    return rules, f"( {' | '.join(bodies)} )"


def _unquoted(tools: Sequence[Tool], format: calls.Format) -> tuple[str, str]:
    """The formats that write values without quotes: required arguments, in order."""
    rules = ["value ::= [^<\\n]{1,200}"]
    bodies = []
    for tool in tools:
        names = list(tool.parameters.get("required", ()))
        if format is calls.KEYS:
            given = [
                f'"<arg_key>{name}</arg_key>\\n<arg_value>" value "</arg_value>\\n"'
                for name in names
            ]
            bodies.append(f'"{tool.name}\\n" {" ".join(given)}')
        else:
            given = [f'"<parameter={name}>\\n" value "\\n</parameter>\\n"' for name in names]
            bodies.append(f'"<function={tool.name}>\\n" {" ".join(given)} "</function>"')
    return "\n".join(rules), f"( {' | '.join(bodies)} )"


def _until(closing: str) -> str:
    """A rule `thoughts`: anything up to and with `closing`."""
    if not closing:
        raise EngineError("This model's thoughts have no end tag.", "", "bad_request")
    first, rest = closing[0], closing[1:2] or closing[0]
    quoted = json.dumps(closing)
    return f"thoughts ::= ( [^{_class(first)}] | {json.dumps(first)} [^{_class(rest)}] )* {quoted} [ \\n]*"


def _class(character: str) -> str:
    return "\\" + character if character in "]\\^-" else character
