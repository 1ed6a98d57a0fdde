"""An answer with tool calls as messages: its text and thoughts are cut where it called."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby

from agents.events import Call, Turn
from engine.protocol import Message, ToolCall

NO_RESULT = "There is no result: the call was stopped."
_ID = re.compile(r"[A-Za-z0-9]{9}")  # Mistral's templates take no other


def messages(turn: Turn) -> list[Message]:
    """What an assistant's turn is to the model; nothing for an answer that never came.

    The calls of a finished answer without a last word are left out: templates want one after
    results, and it would be ours.
    """
    live = turn.status in ("waiting", "streaming")
    # What a loop said over and over would be the example for all that follows.
    said = turn.text[: len(turn.text) - turn.repeated]
    last = said[_at(turn.calls, "at") :]
    last = last.lstrip() if turn.calls else last
    thought = turn.thinking[_at(turn.calls, "thought") :]
    if not (live or last):
        text = said.strip()
        return [Message("assistant", text, thinking=turn.thinking)] if text else []
    found = list(_rounds(turn)) if turn.calls else []
    if last:
        found.append(Message("assistant", last, thinking=thought.lstrip() if found else thought))
    return found


def _at(calls: list[Call], key: str) -> int:
    return getattr(calls[-1], key) if calls else 0


def _rounds(turn: Turn) -> Iterator[Message]:
    text = thought = 0
    for _, group in groupby(turn.calls, lambda call: call.round):
        calls = list(group)
        ids = [call.id if _ID.fullmatch(call.id) else f"call{n:05}" for n, call in enumerate(calls)]
        yield Message(
            "assistant",
            turn.text[text : calls[0].at].strip(),
            thinking=turn.thinking[thought : calls[0].thought].strip(),
            calls=tuple(
                ToolCall(call.name or "unknown", call.arguments, id=id)
                for call, id in zip(calls, ids, strict=True)
            ),
        )
        for call, id in zip(calls, ids, strict=True):
            yield Message("tool", call.result or NO_RESULT, name=call.name or "unknown", call_id=id)
        text, thought = calls[0].at, calls[0].thought
