"""The recall task: facts told inside the span, asked after it, names that no training had."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.bench.lab import Lab
from engine.core.study import RECAP
from engine.protocol import Message

ASSET = Path(__file__).parent.parent / "assets" / "recall.json.gz"


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A conversation, and what is asked about it."""

    messages: tuple[Message, ...]
    questions: tuple[tuple[str, tuple[str, ...]], ...]  # question, strings the answer holds


def load(context: int) -> list[Dialogue]:
    """The dialogues of the set whose length is nearest to `context` tokens."""
    sets = json.loads(gzip.decompress(ASSET.read_bytes()))
    name = min(sets, key=lambda size: abs(int(size) - context))
    return [
        Dialogue(
            tuple(Message(role, text) for role, text in d["messages"]),
            tuple((q, tuple(answers)) for q, answers in d["questions"]),
        )
        for d in sets[name]
    ]


def holds(reply: str, answers: Sequence[str]) -> bool:
    """Whether every answer stands in the reply as whole words."""
    return all(re.search(rf"(?<!\w){re.escape(a)}(?!\w)", reply) for a in answers)


def base_tokens(lab: Lab, messages: Sequence[Message]) -> list[int]:
    """Tokens of the messages without anything that depends on what follows."""
    one = lab.language.prompt((*messages, Message("user", "a")), False)[0]
    other = lab.language.prompt((*messages, Message("user", "5")), False)[0]
    same = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), len(one))
    return one[:same]


def suffix(lab: Lab, messages: Sequence[Message], base: Sequence[int], text: str) -> list[int]:
    """Tokens that ask `text` behind `base`."""
    tokens = lab.language.prompt((*messages, Message("user", text)), False)[0]
    return tokens[len(base) :]


def recap_suffix(lab: Lab, messages: Sequence[Message], base: Sequence[int]) -> list[int]:
    """Tokens that ask for a recap behind `base`."""
    return suffix(lab, messages, base, RECAP)


def correct(lab: Lab, slot: int, dialogue: Dialogue, base: Sequence[int], most: int = 48) -> int:
    """Questions answered rightly, greedily, from what `slot` holds."""
    prompts = [suffix(lab, dialogue.messages, base, q) for q, _ in dialogue.questions]
    replies = lab.greedy(prompts, slot, most)
    return sum(
        holds(lab.text(reply), answers)
        for reply, (_, answers) in zip(replies, dialogue.questions, strict=True)
    )
