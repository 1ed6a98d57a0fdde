"""A real embedded FalkorDB with the deterministic extractor and embedder of `patterns`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agents.memory.memory import Memory
from agents.memory.models import Models
from agents.memory.types import Note
from engine.config import MemoryConfig
from tests.support.patterns import HashEmbedder, PatternExtractor

MARCH = time.mktime((2024, 3, 1, 12, 0, 0, 0, 0, -1))
DAY = 86400.0


def models() -> Models:
    return Models(PatternExtractor(), HashEmbedder())


@contextmanager
def memory(folder: Path, config: MemoryConfig | None = None) -> Iterator[Memory]:
    made = Memory(config or MemoryConfig(), folder, PatternExtractor(), HashEmbedder())
    made.open()
    try:
        yield made
    finally:
        made.close()


def note(
    id: str,
    text: str,
    day: float = 0.0,
    speaker: str = "You",
    listener: str = "ada",
    conversation: str = "c1",
    space: str = "shared",
) -> Note:
    """A message said `day` days after 1 March 2024."""
    return Note(id, text, speaker, conversation, MARCH + day * DAY, listener, space, "a-1")
