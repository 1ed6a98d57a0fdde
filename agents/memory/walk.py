"""Personalised PageRank over messages and entities: what is near the entities of a question."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.memory import names, text
from agents.memory.graph import GraphDB

DAMPING = 0.6  # chance to walk on instead of starting again
STEPS = 20
FOLLOW = 0.25  # weight of an edge to a neighbouring message
FACT = 0.5  # of an edge between two entities

Ints = NDArray[np.int32]
Floats = NDArray[np.float64]


class Said(NamedTuple):
    """How much a message says."""

    words: int  # stems but those of the names of who speaks and who listens
    asks: bool  # nothing but questions
    key: int  # the same for messages with the same speaker and text


class Walk:
    """The graph's edges as arrays. Read once, and again in part when messages were added."""

    def __init__(self, graph: GraphDB) -> None:
        self.graph = graph
        self._lock = threading.RLock()  # several threads ask
        self._stale = True
        self._newest = 0
        self.messages: dict[str, int] = {}
        self.entities: dict[str, int] = {}
        self.ids: list[str] = []  # of all nodes
        self.speaker: list[str] = []
        self.speakers: set[str] = set()  # people and agents who talk
        self.kinds: dict[str, frozenset[str]] = {}  # message -> what it speaks of
        self.said: dict[str, Said] = {}  # message -> how much it says
        self._space: list[str] = []
        self._time: list[float] = []
        self.before: dict[int, int] = {}
        self.after: dict[int, int] = {}
        self._mentions: list[tuple[int, int, float]] = []
        self._facts: list[tuple[int, int, float]] = []
        self._arrays: tuple[Ints, Ints, Floats] | None = None

    def changed(self, entirely: bool = True) -> None:
        """The graph was changed; not `entirely` when messages were only added."""
        self._stale = self._stale or entirely
        self._arrays = None

    def load(self) -> None:
        """Read what is new."""
        with self._lock:
            self._load()

    def _load(self) -> None:
        if self._arrays is not None and not self._stale:
            return
        if self._stale:
            self._clear()
        rows = self.graph.read(
            "MATCH (m:Message) WHERE m.n > $n AND m.done "
            "OPTIONAL MATCH (m)-[r:MENTIONS]->(e:Entity) "
            "RETURN m.id, m.n, m.space, m.time, m.speaker, m.kind, m.kinds, m.listener, m.text, "
            "collect([e.id, r.confidence, r.i])",
            n=self._newest,
        )
        for id, n, space, time, speaker, kind, kinds, listener, said, mentions in rows:
            self.kinds[id] = frozenset(kinds or ())
            self.said[id] = _said(speaker, listener, said)
            if kind == "message" and speaker and names.key(speaker) not in names.PRONOUNS:
                self.speakers.add(speaker)
            at = self._node(id, self.messages, space, float(time), speaker)
            self._newest = max(self._newest, int(n))
            for entity, confidence, i in mentions:
                if entity is not None:
                    to = self._node(entity, self.entities, "", 0.0, "")
                    weight = float(confidence) * (0.5 if i == -1 else 1.0)
                    self._mentions.append((at, to, weight))
        self._facts = [
            (self.entities[h], self.entities[t], float(c))
            for h, t, c in self.graph.read(
                "MATCH (h:Entity)-[f]->(t:Entity) WHERE f.status <> 'rejected' "
                "RETURN h.id, t.id, f.confidence"
            )
            if h in self.entities and t in self.entities
        ]
        for a, b in self.graph.read("MATCH (a:Message)-[:NEXT]->(b:Message) RETURN a.id, b.id"):
            if a in self.messages and b in self.messages:
                self.after[self.messages[a]] = self.messages[b]
                self.before[self.messages[b]] = self.messages[a]
        self._stale = False
        self._arrays = self._edges()

    def rank(
        self,
        seeds: Mapping[str, float],
        spaces: Sequence[str] | None = None,
        as_of: float | None = None,
    ) -> dict[str, float]:
        """Chance to be at each message on walks that begin at some nodes: id -> score.

        `seeds`: entity or message ids with their weights.
        """
        with self._lock:
            self._load()
            return self._rank(seeds, spaces, as_of)

    def _rank(
        self,
        seeds: Mapping[str, float],
        spaces: Sequence[str] | None,
        as_of: float | None,
    ) -> dict[str, float]:
        assert self._arrays is not None
        start = np.zeros(len(self.ids))
        for id, amount in seeds.items():
            at = self.entities.get(id, self.messages.get(id))
            if at is not None:
                start[at] += amount
        total = start.sum()
        if total <= 0:
            return {}
        start /= total
        a, b, weight = self._arrays
        hidden = self._hidden(spaces, as_of)
        if hidden is not None:
            weight = np.where(hidden[a] | hidden[b], 0.0, weight)
        out = np.bincount(a, weight, len(self.ids))
        share = weight / np.maximum(out[a], 1e-12)
        at_node = start.copy()
        for _ in range(STEPS):
            at_node = (1 - DAMPING) * start + DAMPING * np.bincount(
                b, share * at_node[a], len(self.ids)
            )
        return {
            id: float(at_node[at])
            for id, at in self.messages.items()
            if at_node[at] > 1e-9 and not (hidden is not None and hidden[at])
        }

    def degree(self, entity: str) -> int:
        """Messages that mention an entity, at least 1."""
        self.load()
        at = self.entities.get(entity)
        return 1 if at is None else max(1, int(self._degree[at]))

    def neighbours(self, message: str) -> tuple[str, str]:
        """The messages before and after one in its conversation ("" = none)."""
        at = self.messages.get(message)
        if at is None:
            return "", ""
        before, after = self.before.get(at), self.after.get(at)
        return (
            "" if before is None else self.ids[before],
            "" if after is None else self.ids[after],
        )

    def allowed(self, message: str, spaces: Sequence[str] | None, as_of: float | None) -> bool:
        """Whether a message stands in some spaces and was said until a time."""
        at = self.messages.get(message)
        if at is None:
            return False
        return (spaces is None or self._space[at] in spaces) and (
            as_of is None or self._time[at] <= as_of
        )

    def said_by(self, message: str) -> str:
        """Who said a message."""
        at = self.messages.get(message)
        return "" if at is None else self.speaker[at]

    # --- inside ------------------------------------------------------------------------------------

    def _clear(self) -> None:
        self._newest = 0
        self.speakers.clear()
        self.kinds.clear()
        self.said.clear()
        for part in (self.messages, self.entities, self.before, self.after):
            part.clear()
        for column in (self.ids, self.speaker, self._space, self._time, self._mentions):
            column.clear()

    def _node(self, id: str, kind: dict[str, int], space: str, time: float, speaker: str) -> int:
        at = kind.get(id)
        if at is None:
            at = kind[id] = len(self.ids)
            self.ids.append(id)
            self.speaker.append(speaker)
            self._space.append(space)
            self._time.append(time)
        return at

    def _hidden(
        self, spaces: Sequence[str] | None, as_of: float | None
    ) -> NDArray[np.bool_] | None:
        if spaces is None and as_of is None:
            return None
        hidden = np.zeros(len(self.ids), dtype=bool)
        if spaces is not None:
            allowed = {"", *spaces}  # entities have no space
            hidden |= np.array([space not in allowed for space in self._space], dtype=bool)
        if as_of is not None:
            hidden |= np.array(self._time, dtype=float) > as_of
        return hidden

    def _edges(self) -> tuple[Ints, Ints, Floats]:
        count = len(self.ids)
        degree = np.zeros(count)
        for _, entity, _ in self._mentions:
            degree[entity] += 1
        self._degree = degree
        # From a message rather to what is rarely spoken of than to who is in everything.
        rare = 1.0 / np.log2(1.0 + np.maximum(degree, 1.0))
        a: list[int] = []
        b: list[int] = []
        weight: list[float] = []
        for message, entity, w in self._mentions:
            a += (message, entity)
            b += (entity, message)
            weight += (w * float(rare[entity]), w)
        for head, tail, w in self._facts:
            a += (head, tail)
            b += (tail, head)
            weight += (FACT * w, FACT * w)
        for first, second in self.after.items():
            a += (first, second)
            b += (second, first)
            weight += (FOLLOW, FOLLOW)
        return (np.array(a, np.int32), np.array(b, np.int32), np.array(weight, np.float64))


def _said(speaker: str | None, listener: str | None, said: str | None) -> Said:
    called = set(text.terms(f"{speaker or ''} {listener or ''}"))
    told = said or ""
    words = sum(1 for term in text.terms(told) if term not in called)
    asks = bool(told.strip()) and all(
        told[start:end].rstrip().endswith("?") for start, end in text.bounds(told)
    )
    return Said(words, asks, hash((speaker, told.strip())))
