"""One step: which sequences decode in it, and which chunks of prompts are prefilled."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from engine.core.sequence import Sequence


class Chunk(NamedTuple):
    """Prompt tokens `sequence.tokens[start : start + size]` of one step."""

    sequence: Sequence
    start: int
    size: int


@dataclass(slots=True)
class Step:
    """What to compute now. `decode` sequences add one token each, their last."""

    decode: list[Sequence] = field(default_factory=list)
    prefill: list[Chunk] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        return len(self.decode) + sum(chunk.size for chunk in self.prefill)

    def __bool__(self) -> bool:
        return bool(self.decode or self.prefill)
