"""What the memory tells whoever watches it, on the event loop's thread, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agents.memory.types import Fact, Node

State = Literal["off", "starting", "ready", "down"]


class MemoryEvent:
    """Base of all events of the memory."""


@dataclass(frozen=True, slots=True)
class StateChanged(MemoryEvent):
    """The database came up or went down, or the number of waiting messages changed."""

    state: State
    queued: int = 0
    what: str = ""  # one sentence when down
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Learnt(MemoryEvent):
    """A message was taken in: what was new in it. The feed shows these."""

    message: str  # Note.id
    speaker: str
    entities: tuple[Node, ...]  # seen for the first time
    facts: tuple[Fact, ...]  # new, or confirmed again
    closed: tuple[Fact, ...] = ()  # older facts that this message ended
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class GraphChanged(MemoryEvent):
    """Something was edited, merged, split, undone, forgotten or imported: look again."""

    what: str  # one sentence


@dataclass(frozen=True, slots=True)
class Ingested(MemoryEvent):
    """Progress of a document: `done` of `total` chunks."""

    path: str
    done: int
    total: int
