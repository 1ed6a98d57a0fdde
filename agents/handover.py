"""Whom an answer is handed to: the @names at the start of its lines and sentences.

`@grace what do you think?` or `I am done. @grace: please check.` hand over; a name in passing
("as @grace said") does not, nor does `@all`, which would answer itself without end.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from agents.addressing import EVERYONE, mentions

# What may stand between the start of a sentence and the name: nothing, or list and quote marks.
_START = re.compile(r"(?:\A|\n|[.!?…:;)\"'*_]\s)[\s>*_\-–—]*\Z")


def recipients(text: str, names: Sequence[str], author: str) -> list[str]:
    """Names of the agents an answer of `author` passes the word to, each once, in order."""
    found: list[str] = []
    for mention in mentions(text, names):
        if mention.name in (author, EVERYONE) or mention.name in found:
            continue
        called = text[mention.end : mention.end + 1] == ":"
        if called or _START.search(text, max(0, mention.start - 40), mention.start):
            found.append(mention.name)
    return found


def limit_note(author: str, to: str, limit: int) -> str:
    """The sentence shown when the turn limit stops a handover."""
    if limit == 0:
        return f"{author} wanted to hand over to {to}; handovers are off (chat.handover_limit = 0)."
    turns = "1 handover" if limit == 1 else f"{limit} handovers"
    return (
        f"{author} wanted to hand over to {to}; stopped after {turns} for one prompt "
        "(chat.handover_limit). Send a message to go on."
    )
