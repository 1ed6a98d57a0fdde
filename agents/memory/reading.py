"""What the models make of messages: mentions, relations and vectors, before anything is resolved."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from agents.memory import claims, dates, names, standins, tastes, text
from agents.memory.graph import GraphDB
from agents.memory.relatives import Phrase
from agents.memory.standins import Found, Reworded
from agents.memory.types import Embedder, Entity, Extraction, Extractor, Note
from engine.config import MemoryConfig

WINDOW = 3  # messages in a window
PARTED = 0.9  # how sure it is that what was sold is owned no more


@dataclass(slots=True)
class Read:
    """What the models made of one message."""

    note: Note
    entities: list[Entity] = field(default_factory=list)
    relations: list[Found] = field(default_factory=list)
    named: dict[int, Phrase] = field(default_factory=dict)  # mention -> whose name it is
    phrases: dict[int, Phrase] = field(default_factory=dict)  # mention -> "my mum"
    idle: set[int] = field(default_factory=set)  # those of whom nothing is said
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
                (read, offset, standins.reword(piece, own=read.note.voice == "person"))
                for read in reads
                if read.note.learn
                for offset, piece in text.grouped(read.note.text)
            ]
            found = self._extracted([reworded for *_, reworded in pieces])
            for (read, offset, _), (reworded, extraction) in zip(pieces, found, strict=True):
                self._keep(read, offset, reworded, extraction)
        if self._embedder is not None and reads:
            windows = [self._window(read.note) for read in reads]
            vectors = self._embedder.embed([read.note.text for read in reads] + windows)
            for i, read in enumerate(reads):
                read.vector = [float(x) for x in vectors[i]]
                read.window = [float(x) for x in vectors[len(reads) + i]]
        return reads

    def _extracted(self, texts: Sequence[Reworded]) -> list[tuple[Reworded, Extraction]]:
        """What a model finds in some texts; again, where it finds no name for whom seemed to have
        one ("my boss is Italian")."""
        assert self._extractor is not None
        found = list(zip(texts, self._read_all(texts), strict=True))
        again = {
            i: standins.reword(reworded.said, any(not p.owner for p in reworded.phrases), nameless)
            for i, (reworded, extraction) in enumerate(found)
            if (nameless := standins.unconfirmed(reworded, extraction))
        }
        for i, extraction in zip(again, self._read_all(list(again.values())), strict=True):
            found[i] = again[i], extraction
        return found

    def _read_all(self, texts: Sequence[Reworded]) -> list[Extraction]:
        assert self._extractor is not None
        return self._extractor.extract([each.text for each in texts]) if texts else []

    def _keep(self, read: Read, offset: int, reworded: Reworded, found: Extraction) -> None:
        index: dict[int, int] = {}
        entities: list[Entity] = []
        least = self._least
        for i, e in enumerate(found.entities):
            says = any(map(str.isalpha, e.text)) or names.kind(e.type) in ("date", "quantity")
            if e.confidence >= least and e.type in self._entity_types and says:
                index[i] = len(entities)
                later = [o.start for o in found.entities if o.start >= e.end]
                until = min(later, default=len(reworded.text))
                entities.append(tastes.typed(reworded.text, e, until))
        relations: list[Found] = []
        for r in found.relations:
            if r.confidence < least or r.type not in self._relation_types:
                continue
            if r.head in index and r.tail in index:
                head, tail = (reworded.back(found.entities[end]) for end in (r.head, r.tail))
                claim = claims.judge(reworded.said, head, tail, r.type)
                if claim is None or claim.type not in self._relation_types:
                    continue
                tail = found.entities[r.tail]
                if not tastes.possible(tail, entities[index[r.tail]], claim.type):
                    continue
                relations.append(
                    (index[r.head], index[r.tail], claim.type, round(r.confidence, 4), claim.ends)
                )
        owned = {(head, tail) for head, tail, type, *_ in relations if type == "OWNS"}
        there = [reworded.back(e) for e in entities]
        relations += [
            (head, tail, "OWNS", PARTED, 2)
            for head, tail in claims.parted(reworded.said, there)
            if (head, tail) not in owned
        ]
        said = standins.put_back(reworded, entities, relations)
        first = len(read.entities)
        read.entities += [
            Entity(e.text, e.type, e.start + offset, e.end + offset, e.confidence)
            for e in said.entities
        ]
        read.relations += [
            (head + first if head >= 0 else head, tail + first, type, sure, ends)
            for head, tail, type, sure, ends in said.relations
            if type in self._relation_types
        ]
        read.named.update({i + first: phrase for i, phrase in said.named.items()})
        read.phrases.update({i + first: phrase for i, phrase in said.phrases.items()})
        read.idle |= {i + first for i in said.idle}

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
