"""However an answer is cut, its tool calls and its text are the same."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.core.calls import HERMES, KEYS, LLAMA, MISTRAL, XML, CallStream, Format
from engine.core.harmony import HarmonyStream
from engine.core.text import Piece, TextStream, ThinkingTags
from engine.protocol import ToolCall

FORMATS = (HERMES, XML, KEYS, LLAMA, MISTRAL)
TAGS = ThinkingTags("<think>", "</think>")
WORDS = (
    "<tool_call>", "</tool_call>", "<tool", "{", "}", "[", "]", '"', "\\", ":", ",", ";", "\n", " ",
    '"name"', '"recall"', '"arguments"', '"parameters"', '"type"', '"function"', "recall", "[ARGS]",
    "[CALL_ID]", "<|python_tag|>", "[TOOL_CALLS]", "<function=", "</function>", "<parameter=q>",
    "</parameter>", "<function=recall>", '{"name": "recall", "arguments": {', "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>", "a", "é😀", "1",
    '{"name": "recall", "arguments": {"q": "</tool_call>"}}', "<think>", "</think>",
)  # fmt: skip
answers = st.lists(st.sampled_from(WORDS), max_size=24).map("".join)
plain = st.text(alphabet=st.characters(exclude_characters='<[{"', codec="utf-8"), max_size=60)


def read(pieces: list[str], format: Format) -> tuple[str, list[ToolCall]]:
    stream = CallStream(format, ("recall",))
    text = "".join(stream.feed(piece) for piece in pieces)
    return text + stream.finish(), stream.calls


def cut(text: str, sizes: list[int]) -> list[str]:
    pieces = []
    for size in sizes:
        pieces.append(text[:size])
        text = text[size:]
    return [*pieces, text]


@settings(max_examples=1500, deadline=None)
@given(answers, st.sampled_from(FORMATS), st.lists(st.integers(1, 6), max_size=60))
@example('<tool_call>{"name":"recall"}}</tool_call> <tool_call>', HERMES, [3, 5, 6])
@example('{"name": "a", "parameters": {}} ; {"name": "b", "parameters": {}}', LLAMA, [1] * 50)
@example('<tool_call>{"a": "</tool_call><tool_call>{"name": "b"}</tool_call>', HERMES, [])
@example("[TOOL_CALLS]recall[CALL_ID]x[ARGS]{}", MISTRAL, [2] * 20)
def test_cuts_do_not_matter(text: str, format: Format, sizes: list[int]) -> None:
    whole = read([text], format)
    assert read(cut(text, sizes), format) == whole
    assert read(list(text), format) == whole


@settings(max_examples=800, deadline=None)
@given(answers, st.sampled_from(FORMATS))
def test_whatever_comes_is_read_without_fail(text: str, format: Format) -> None:
    said, calls = read([text], format)
    for call in calls:
        assert isinstance(json.loads(call.arguments), dict)
        assert call.name or call.fault
        call.arguments.encode(), call.fault.encode(), call.name.encode()
    if not calls:
        assert said == text


@settings(max_examples=400, deadline=None)
@given(st.text(max_size=80), st.sampled_from(FORMATS), st.lists(st.integers(1, 3), max_size=40))
def test_text_without_a_call_comes_through_as_it_is(
    text: str, format: Format, sizes: list[int]
) -> None:
    assert read(cut(text, sizes), format) == (text, [])


names = st.from_regex(r"[a-z_][a-z0-9_]{0,12}", fullmatch=True)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
arguments = st.dictionaries(st.text(max_size=8), values, max_size=4)


@settings(max_examples=400, deadline=None)
@given(
    plain,
    st.lists(st.tuples(names, arguments), min_size=1, max_size=3),
    st.sampled_from(("hermes", "llama", "mistral", "named")),
    st.lists(st.integers(1, 7), max_size=60),
)
def test_what_a_template_writes_is_read_back(
    before: str, made: list[tuple[str, dict[str, object]]], style: str, sizes: list[int]
) -> None:
    def dumped(name: str, given: dict[str, object], key: str) -> str:
        return json.dumps({"name": name, key: given}, ensure_ascii=False)

    match style:
        case "hermes":
            format = HERMES
            written = "\n".join(
                f"<tool_call>\n{dumped(n, a, 'arguments')}\n</tool_call>" for n, a in made
            )
        case "llama":
            format = LLAMA
            written = "<|python_tag|>" + "; ".join(dumped(n, a, "parameters") for n, a in made)
        case "mistral":
            format = MISTRAL
            written = f"[TOOL_CALLS] [{', '.join(dumped(n, a, 'arguments') for n, a in made)}]"
        case _:
            format = MISTRAL
            written = "".join(
                f"[TOOL_CALLS]{n}[ARGS]{json.dumps(a, ensure_ascii=False)}" for n, a in made
            )
    said, calls = read(cut(before + written, sizes), format)
    assert said == before
    assert [(call.name, json.loads(call.arguments), call.fault) for call in calls] == [
        (name, given, "") for name, given in made
    ]


simple = st.text(
    alphabet=st.characters(codec="utf-8", exclude_characters="<>{[\r\n"), min_size=1, max_size=12
).filter(lambda text: text.strip() == text and text not in ("true", "false", "null"))


@settings(max_examples=200, deadline=None)
@given(
    names, st.dictionaries(names, simple, max_size=3), st.booleans(), st.lists(st.integers(1, 9))
)
def test_formats_without_quotes_are_read_back(
    name: str, given: dict[str, str], keys: bool, sizes: list[int]
) -> None:
    if keys:
        pairs = "".join(
            f"<arg_key>{k}</arg_key>\n<arg_value>{v}</arg_value>\n" for k, v in given.items()
        )
        written = f"<tool_call>{name}\n{pairs}</tool_call>"
    else:
        pairs = "".join(f"<parameter={k}>\n{v}\n</parameter>\n" for k, v in given.items())
        written = f"<tool_call>\n<function={name}>\n{pairs}</function>\n</tool_call>"
    said, calls = read(cut(written, sizes), KEYS if keys else XML)
    assert (said, [(c.name, json.loads(c.arguments)) for c in calls]) == ("", [(name, given)])


@settings(max_examples=300, deadline=None)
@given(answers, st.sampled_from(FORMATS), st.lists(st.integers(1, 5), max_size=80), st.booleans())
def test_cut_into_tokens_after_thoughts_it_is_the_same(
    text: str, format: Format, sizes: list[int], inside: bool
) -> None:
    def run(pieces: list[bytes]) -> tuple[str, str, tuple[ToolCall, ...]]:
        stream = TextStream(("STOP",), TAGS, inside, CallStream(format))
        for piece in pieces:
            stream.feed(Piece.of(piece))
        stream.finish()
        return (*stream.take(), stream.calls)

    data = (f"<think>I call <tool_call>{{}}</think>\n{text}" if not inside else text).encode()
    pieces, at = [], 0
    for size in sizes:
        pieces.append(data[at : at + size])
        at += size
    assert run([*pieces, data[at:]]) == run([data])


@pytest.mark.parametrize(
    ("written", "format", "fault"),
    [
        ('<tool_call>{"name": "recall", "arguments": {"q": }}</tool_call>', HERMES, "valid JSON"),
        ('<tool_call>{"name": "recall", "arguments": "x"}</tool_call>', HERMES, "valid JSON"),
        ('<tool_call>{"name": "recall", "arguments": [1]}</tool_call>', HERMES, "no JSON object"),
        ('<tool_call>{"arguments": {}}</tool_call>', HERMES, '"name"'),
        ('<tool_call>{"name": "recall", "argum', HERMES, "valid JSON"),
        ('<tool_call>{"name": "recall", "q": "never ends</tool_call>', HERMES, "valid JSON"),
        ("[TOOL_CALLS]recall{'q': 1}", MISTRAL, "valid JSON"),
        ('<|python_tag|>{"name": "recall", "parameters": {x}}', LLAMA, "valid JSON"),
    ],
)
def test_a_call_that_cannot_be_read_says_why(written: str, format: Format, fault: str) -> None:
    said, calls = read([written], format)
    assert said == "" and len(calls) == 1
    assert fault in calls[0].fault


@pytest.mark.parametrize(
    "text",
    [
        "The tag <tool_call> opens a call, </tool_call> ends it.",
        'Send {"name": "Ada", "age": 36} as JSON.',
        '{"name": "Ada", "age": 36}',
        "[TOOL_CALLS] is Mistral's mark.",
        "a <tool_ca",
    ],
)
def test_talk_about_calls_is_text(text: str) -> None:
    for format in FORMATS:
        assert read(list(text), format) == (text, [])


@pytest.mark.parametrize(
    ("written", "format"),
    [
        ('{"name": "recall", "arguments": {"q": 1}}', HERMES),
        (' {"name": "recall", "arguments": {"q": 1}}\n</tool_call>', HERMES),
        ("<function=recall>\n<parameter=q>\n1\n</parameter>\n</function>\n</tool_call>", XML),
        ("<function=recall><parameter=q>1</parameter>", XML),
    ],
)
def test_tags_that_were_forgotten(written: str, format: Format) -> None:
    said, calls = read(list(written), format)
    assert said == "" and len(calls) == 1
    assert calls[0].name == "recall" and str(json.loads(calls[0].arguments)["q"]) == "1"


@pytest.mark.parametrize(
    "written", ['{"name": "Bob", "arguments": {"q": 1}}', "<function=other><parameter=q>1"]
)
def test_what_names_no_tool_is_text(written: str) -> None:
    assert read(list(written), HERMES) == (written, [])
    assert read(list(written), XML) == (written, [])


def test_one_bracket_too_many_is_let_pass() -> None:
    said, calls = read(['<tool_call>{"name": "now", "arguments": {}}}</tool_call>'], HERMES)
    assert said == "" and calls == [ToolCall("now", "{}")]


def test_a_long_call_is_read_in_linear_time() -> None:
    """A model that rambles inside a call must not slow the steps of all others."""

    class Counted(CallStream):
        seen = 0

        def _end(self) -> int:
            before = self._scan.at
            end = super()._end()
            Counted.seen += self._scan.at - before
            return end

    stream = Counted(HERMES)
    text = '<tool_call>{"name": "recall", "arguments": {"q": "' + "a{[<" * 5000
    for at in range(0, len(text), 3):
        stream.feed(text[at : at + 3])
    assert Counted.seen <= len(text)


# --- gpt-oss: messages with headers ---------------------------------------------------------------

HEADED = (
    "<|channel|>", "analysis", "final", "commentary", "<|message|>", "<|end|>", "<|start|>",
    "assistant", " to=functions.recall", " to=assistant", " <|constrain|>json", "<|call|>",
    "<|return|>", '{"q": 1}', "Hello", "<|", " ", "\n", "x" * 90, "é😀",
)  # fmt: skip
messages = st.lists(st.sampled_from(HEADED), max_size=20).map("".join)


def read_headed(pieces: list[str]) -> tuple[str, str, list[ToolCall]]:
    stream = HarmonyStream()
    text = thoughts = ""
    for piece in pieces:
        text += stream.feed(piece)
        thoughts += stream.take_thoughts()
    text += stream.finish()
    return text, thoughts + stream.take_thoughts(), stream.calls


@settings(max_examples=800, deadline=None)
@given(messages, st.lists(st.integers(1, 9), max_size=60))
@example("<<|message|>x", [1])
@example("<|channel|>" + "x" * 195 + "<|message|>a", [1] * 60)
def test_cuts_do_not_matter_to_headers(text: str, sizes: list[int]) -> None:
    whole = read_headed([text])
    assert read_headed(cut(text, sizes)) == whole
    assert read_headed(list(text)) == whole


@settings(max_examples=200, deadline=None)
@given(plain.filter(lambda text: not text.lstrip().startswith(("a", "t", "|"))))
def test_an_answer_without_headers_comes_through(text: str) -> None:
    assert read_headed(list(text)) == (text, "", [])


CALLED = [ToolCall("recall", '{"q": 1}')]


@pytest.mark.parametrize(
    ("written", "text", "thoughts", "found"),
    [
        ("<|channel|>final<|message|>Hello.", "Hello.", "", []),
        ("<|channel|>commentary<|message|>Hello.", "Hello.", "", []),
        (
            "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Hi.",
            "Hi.", "Hm.", [],
        ),
        (' to=functions.recall<|channel|>analysis<|message|>{"q": 1}', "", "", CALLED),
        ('<|channel|>analysis to=functions.recall<|message|>{"q": 1}', "", "", CALLED),
        (
            '<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary '
            'to=functions.recall <|constrain|>json<|message|>{"q": 1}<|call|>',
            "", "Hm.", CALLED,
        ),
        (
            "<|channel|>commentary<|message|>I look.<|end|><|start|>assistant to=functions.recall"
            '<|channel|>commentary <|constrain|>json<|message|>{"q": 1}',
            "I look.", "", CALLED,
        ),
        (
            "<|channel|>commentary to=assistant<|channel|>analysis<|message|>Hm.<|end|>"
            "<|start|>assistant<|channel|>analysis<|message|>Yes.<|end|>"
            "<|start|>assistant<|channel|>final<|message|>So.",
            "So.", "Hm.\n\nYes.", [],
        ),
        ("Just text", "Just text", "", []),
        ("<|channel|>fin", "", "", []),
    ],
)  # fmt: skip
def test_the_messages_of_gpt_oss(
    written: str, text: str, thoughts: str, found: list[ToolCall]
) -> None:
    assert read_headed(list(written)) == (text, thoughts, found)


def test_arguments_of_gpt_oss_that_cannot_be_read_say_why() -> None:
    _, _, (call,) = read_headed(["<|channel|>commentary to=functions.recall<|message|>{q}"])
    assert call.name == "recall" and "valid JSON" in call.fault
