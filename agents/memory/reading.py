"""What the models make of messages: mentions, relations and vectors, before anything is resolved."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from agents.memory import claims, dates, names, text
from agents.memory.graph import GraphDB
from agents.memory.types import Embedder, Entity, Extractor, Note
from engine.config import MemoryConfig

WINDOW = 3  # messages in a window


@dataclass(slots=True)
class Read:
    """What the models made of one message."""

    note: Note
    entities: list[Entity] = field(default_factory=list)
    relations: list[tuple[int, int, str, float, int]] = field(default_factory=list)
    vector: list[float] | None = None
    window: list[float] | None = None  # of the message with those before it


class Reading:
    """Has the extractor and the embedder read messages; without one of them, its part is missing."""

    def __init__(
        self,
        graph: GraphDB,
        config: MemoryConfig,
        extractor: Extractor | None,
        embedder: Embedder | None,
    ) -> None:
        self._graph = graph
        self._extractor = extractor
        self._embedder = embedder
        self._least = config.min_confidence
        self._entity_types = frozenset(config.entity_types)
        self._relation_types = frozenset(config.relation_types)
        self._said: dict[str, deque[str]] = {}  # conversation -> its newest messages' words

    def forget_windows(self) -> None:
        """Messages were taken out: what was said before others is looked up again."""
        self._said.clear()

    def read(self, notes: Sequence[Note]) -> list[Read]:
        """What the models make of some messages: mentions with offsets in the whole message."""
        reads = [Read(note) for note in notes]
        if self._extractor is not None:
            pieces = [
                (read, offset, piece)
                for read in reads
                if read.note.learn
                for offset, piece in text.grouped(read.note.text)
            ]
            found = self._extractor.extract([piece for _, _, piece in pieces]) if pieces else []
            for (read, offset, piece), extraction in zip(pieces, found, strict=True):
                self._keep(read, offset, piece, extraction.entities, extraction.relations)
        if self._embedder is not None and reads:
            windows = [self._window(read.note) for read in reads]
            vectors = self._embedder.embed([read.note.text for read in reads] + windows)
            for i, read in enumerate(reads):
                read.vector = [float(x) for x in vectors[i]]
                read.window = [float(x) for x in vectors[len(reads) + i]]
        return reads

    def _keep(self, read: Read, offset: int, piece: str, entities: Any, relations: Any) -> None:
        index: dict[int, int] = {}
        least = self._least
        for i, e in enumerate(entities):
            says = any(map(str.isalpha, e.text)) or names.kind(e.type) in ("date", "quantity")
            if e.confidence >= least and e.type in self._entity_types and says:
                index[i] = len(read.entities)
                read.entities.append(
                    Entity(e.text, e.type, e.start + offset, e.end + offset, e.confidence)
                )
        for r in relations:
            if r.confidence < least or r.type not in self._relation_types:
                continue
            if r.head in index and r.tail in index:
                claim = claims.judge(piece, entities[r.head], entities[r.tail], r.type)
                if claim is None or claim.type not in self._relation_types:
                    continue
                read.relations.append(
                    (
                        index[r.head],
                        index[r.tail],
                        claim.type,
                        round(r.confidence, 4),
                        claim.ends,
                    )
                )

    def _window(self, note: Note) -> str:
        """A message with the two before it, as they were spoken; a document's chunk by itself."""
        if note.kind == "document":
            return note.text
        said = self._said.get(note.conversation)
        if said is None:
            rows = self._graph.read(
                "MATCH (m:Message {conversation: $c}) WHERE m.id <> $id AND m.done "
                "RETURN m.speaker, m.text ORDER BY m.n DESC LIMIT $limit",
                c=note.conversation,
                id=note.id,
                limit=WINDOW - 1,
            )
            lines = [spoken(row[0], row[1]) for row in reversed(rows)]
            said = self._said[note.conversation] = deque(lines, maxlen=WINDOW)
        said.append(spoken(note.speaker, note.text))
        return " ".join(said)


def kinds_of(read: Read) -> list[str]:
    """What a message speaks of: types of its mentions, and whether it says when or how many."""
    found = {mention.type for mention in read.entities}
    if dates.find(read.note.text, read.note.time):
        found.add("date")
    if re.search(r"\d", read.note.text):
        found.add("quantity")
    return sorted(found)


def spoken(speaker: str, said: str) -> str:
    """A message in a window."""
    return f"{speaker}: {said}" if speaker else said
