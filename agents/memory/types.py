"""What models make of a text, and the shapes the memory hands out.

`Extractor` and `Embedder` are the only things the graph needs of models; `agents.memory.extract`
and `agents.memory.embed` implement them with ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

# --- what extraction gives -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entity:
    """A mention in a text: `text == source[start:end]`, offsets in characters, end exclusive.

    Pronouns of the two people who talk ("I", "my", "we", "you") are mentions too when a relation
    needs them, with type `person`; the memory resolves them to the speakers.
    """

    text: str
    type: str  # one of [memory] entity_types
    start: int
    end: int
    confidence: float = 1.0  # 0 to 1


@dataclass(frozen=True, slots=True)
class Relation:
    """A fact between two mentions; `head` and `tail` are indices into `Extraction.entities`."""

    head: int
    tail: int
    type: str  # one of [memory] relation_types, e.g. WORKS_AT
    confidence: float = 1.0


@dataclass(frozen=True, slots=True)
class Extraction:
    """All mentions and relations of one text."""

    entities: tuple[Entity, ...] = ()
    relations: tuple[Relation, ...] = ()


class Extractor(Protocol):
    """Finds mentions and relations. Called from the memory's own thread, never the UI's."""

    @property
    def name(self) -> str:
        """What doctor and the panel call it."""

    def extract(self, texts: list[str]) -> list[Extraction]:
        """One Extraction for each text: a sentence or a short message, 1 to some 400 characters.

        Texts are batched by the caller. Raises HaloError when the model cannot be used.
        """


class Embedder(Protocol):
    """Turns texts into vectors whose dot product is their similarity."""

    @property
    def name(self) -> str:
        """Stored with the graph: vectors of another embedder are made anew."""

    @property
    def dimension(self) -> int:
        """Numbers in a vector."""

    def embed(self, texts: list[str]) -> NDArray[np.float32]:
        """[n, dimension] float32, rows of length 1; texts past the model's window are cut."""


# --- what goes in --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Note:
    """One message, or one chunk of a document, to be remembered.

    `id` is the key of idempotence: a Note whose id and text are known changes nothing.
    """

    id: str  # a turn's id, unique over all conversations
    text: str
    speaker: str  # a person's or an agent's name; a document's title
    conversation: str  # agent id, bench session or document: neighbours are those in one
    time: float  # Unix seconds when it was said
    listener: str = ""  # whom "you" means; "" = nobody in particular
    space: str = "shared"  # "shared", or "agent:<id>" for an agent's own
    agent: str = ""  # id of the agent whose conversation it stands in
    kind: Literal["message", "document"] = "message"
    voice: Literal["person", "agent"] = "person"  # who speaks: what agents say weighs less
    learn: bool = True  # False: kept and found by recall, but nothing is taken for known by it


# --- what comes out ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Source:
    """Where something was said."""

    message: str  # Note.id: the turn to jump to
    text: str
    speaker: str
    time: float
    agent: str = ""
    conversation: str = ""
    kind: str = "message"


AT_ONCE = 5.0  # seconds: the same words of one speaker within them are one saying


def said_once(sources: Iterable[Source]) -> list[Source]:
    """In their order, but of what one speaker said to several agents at once only the first."""
    times: dict[tuple[str, str], list[float]] = {}
    kept = []
    for source in sources:
        before = times.setdefault((source.speaker, source.text), [])
        if all(abs(source.time - moment) > AT_ONCE for moment in before):
            kept.append(source)
        before.append(source.time)
    return kept


@dataclass(frozen=True, slots=True)
class Node:
    """An entity of the graph."""

    id: str
    name: str
    type: str
    aliases: tuple[str, ...] = ()
    first_seen: float = 0.0
    last_seen: float = 0.0
    mentions: int = 0
    degree: int = 0  # facts it takes part in


@dataclass(frozen=True, slots=True)
class Fact:
    """A relation between two entities, with where it comes from and when it held."""

    id: str
    head: str  # entity ids
    tail: str
    head_name: str
    tail_name: str
    type: str
    confidence: float
    valid_from: float
    valid_to: float | None = None  # None = still holds
    superseded_by: str = ""  # id of the fact that closed it
    status: Literal["learnt", "accepted", "rejected"] = "learnt"
    space: str = "shared"
    sources: tuple[Source, ...] = ()
    ended: Source | None = None  # the message that ended it

    @property
    def words(self) -> str:
        """The fact as a short sentence: "Ada works at Acme"."""
        return f"{self.head_name} {self.type.replace('_', ' ').lower()} {self.tail_name}"


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """The surroundings of an entity: nodes by distance, and the facts between them."""

    centre: str
    nodes: tuple[Node, ...]
    facts: tuple[Fact, ...]
    distance: dict[str, int] = field(default_factory=dict)  # entity id -> hops from the centre
    more: int = 0  # facts of the centre with entities that were left out


@dataclass(frozen=True, slots=True)
class Hit:
    """A message that recall found; `parts` says what each retriever made of it (rank from 1)."""

    source: Source
    score: float
    parts: dict[str, int] = field(default_factory=dict)  # bm25, vector, graph -> rank
    near: float = 1.0  # cosine of its vector and the question's; 1 without an embedder


@dataclass(frozen=True, slots=True)
class Recall:
    """The answer to a question: facts and messages, best first."""

    question: str
    entities: tuple[Node, ...] = ()  # recognised in the question
    facts: tuple[tuple[Fact, float], ...] = ()
    hits: tuple[Hit, ...] = ()
    as_of: float | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Table:
    """The result of a Cypher query; cells are plain values or short texts for nodes and edges."""

    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    seconds: float
    truncated: bool = False  # more rows than were asked for


@dataclass(frozen=True, slots=True)
class Change:
    """An edit that can be undone: merge, split, accept, reject, edit, forget (not undoable)."""

    id: str
    kind: str
    text: str  # one sentence for people
    time: float
    undone: bool = False


@dataclass(frozen=True, slots=True)
class Stats:
    """Sizes and state, for the panel and `halo-tui memory stats`."""

    entities: int = 0
    facts: int = 0
    past_facts: int = 0
    messages: int = 0
    mentions: int = 0
    queued: int = 0
    version: int = 0  # of the graph's schema
    bytes: int = 0  # on disk; 0 for a server
    extractor: str = ""
    embedder: str = ""
    where: str = ""  # folder, or the server's address without its password
    by_type: dict[str, int] = field(default_factory=dict)
    by_relation: dict[str, int] = field(default_factory=dict)
