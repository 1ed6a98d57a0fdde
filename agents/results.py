"""Results of tools, no longer than fits: what is cut says so, to the model and to the person."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from agents.events import Call, Turn
from agents.memory.prompt import CLOSE, OPEN
from engine.errors import HaloError

CUT = "[The result was too long; the rest of it was cut off.]"
NO_ROOM = "[The result does not fit into the context. Answer without it, and say so.]"
LEAST = 80  # characters that are worth showing
# What a person is told became of a result.
SHORTER, LEFT_OUT = "cut to fit", "left out for want of room"

Count = Callable[[str], Awaitable[int]]


def cut(text: str, keep: int) -> str:
    """The first `keep` characters of a result, and a word on it; a fence round data stays closed."""
    body = text.removesuffix(f"\n{CUT}")
    end = f"\n{CLOSE}" if body.startswith(OPEN) else ""
    body = body.removesuffix(CLOSE).rstrip().removesuffix("…")
    return f"{body[:keep].rstrip()}…{end}\n{CUT}"


async def within(text: str, budget: int, count: Count) -> str:
    """A result of at most `budget` tokens; longer ones are cut, and say so."""
    if len(text.encode()) <= budget:
        return text  # no token is less than a byte
    try:
        if await count(text) <= budget:
            return text
        low, high = 0, len(text)
        while low < high:
            middle = (low + high + 1) // 2
            if await count(cut(text, middle)) <= budget:
                low = middle
            else:
                high = middle - 1
        return cut(text, low)
    except HaloError:  # the engine is gone, and the answer with it: nothing reads the result
        return cut(text.encode()[:budget].decode("utf-8", "ignore"), budget)


def shorten(turn: Turn) -> Call | None:
    """Cut the longest result of an answer to half of it; None = there is nothing left to cut.

    What comes back has changed. Those that get short are left out altogether, and say so.
    """
    call = max(
        (call for call in turn.calls if len(call.result) > len(NO_ROOM)),
        key=lambda call: len(call.result.encode()),
        default=None,
    )
    if call is None:
        return None
    keep = len(call.result.removesuffix(f"\n{CUT}")) // 2
    call.result = cut(call.result, keep) if keep >= LEAST else NO_ROOM
    tell(call, LEFT_OUT if call.result == NO_ROOM else SHORTER)
    return call


def tell(call: Call, what: str) -> None:
    """Add to a call's summary what became of its result, once."""
    for told in (SHORTER, LEFT_OUT):
        call.summary = call.summary.removesuffix(told).removesuffix(", ")
    call.summary = f"{call.summary}, {what}" if call.summary else what
