"""One step along the facts that a question names: who "Ivy's aunt" is, and where that was said.

A question often names a person and a relation ("Where does Ivy work?", "How is Bob's brother?") and
nothing that stands in the message which answers it. The facts of that person are in the graph: of
those, the ones whose relation the question asks for lead to their messages, and those in whose
messages the question's own words stand lead to their other ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.memory import text
from agents.memory.graph import GraphDB
from agents.memory.registry import Registry
from agents.memory.types import Embedder
from agents.memory.walk import Walk

FACTS = 1000  # looked at, the newest
SOURCES = 3  # of a fact, the newest
NEAR = 0.2  # least likeness of question and relation, cosine
NAMED = 0.5  # added to it where the question has one of the relation's words
END = 0.5  # weight of a fact's other end as a start of the walk
LIFT = 0.3  # of the likeness is added to the scores of the fact's messages

# Other words for a relation than those in its name.
_WORDS = {
    "WORKS_AT": "job profession employer company office career colleague",
    "LIVES_IN": "home reside address moved city country",
    "COMES_FROM": "from origin born grew hometown country",
    "RELATED_TO": "family wife husband partner sister brother mother father parent son daughter "
    "child cousin aunt uncle niece nephew grandmother grandfather",
    "KNOWS": "friend met acquaintance",
    "LIKES": "love enjoy favourite favorite hobby fond fan prefer",
    "DISLIKES": "hate dislike avoid",
    "OWNS": "have pet car possess bought",
    "BORN_ON": "birthday born age old",
    "HAPPENED_ON": "when date day",
    "VISITED": "trip travel holiday vacation visit",
    "STUDIES": "study school university course learn degree",
    "PLANS": "plan intend going want future",
    "MEMBER_OF": "team club band group member",
    "LOCATED_IN": "where place",
    "CREATED": "made wrote built author invented",
}


def wording(type: str) -> str:
    """A relation as people speak of it."""
    return f"{type.replace('_', ' ').lower()} {_WORDS.get(type, '')}".strip()


@lru_cache(256)
def cues(type: str) -> frozenset[str]:
    """Stems by which people ask for a relation."""
    return frozenset(text.terms(wording(type)))


class Hops:
    """Follows facts of one graph."""

    def __init__(
        self, graph: GraphDB, registry: Registry, walk: Walk, embedder: Embedder | None
    ) -> None:
        self.graph = graph
        self.registry = registry
        self.walk = walk
        self.embedder = embedder
        self._meanings: dict[str, NDArray[np.float32]] = {}  # relation -> vector of its wording

    def follow(
        self,
        question: str,
        seeds: Mapping[str, float],
        spaces: Sequence[str] | None,
        as_of: float | None,
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Further entities to begin at, and messages to lift: id -> weight.

        `question`: without the names of those who talk. Only facts that were said in `spaces` until
        `as_of` are followed.
        """
        stems = set(text.terms(question))
        rows = self.graph.read(
            "MATCH (h:Entity)-[f]->(t:Entity) WHERE f.status <> 'rejected' "
            "AND (h.id IN $ids OR t.id IN $ids) "
            "WITH h, f, t ORDER BY f.valid_from DESC LIMIT $limit "
            f"UNWIND f.sources[-{SOURCES}..] AS source MATCH (m:Message {{id: source}}) "
            "RETURN h.id, t.id, type(f), m.id, m.terms",
            ids=list(seeds),
            limit=FACTS,
        )
        rows = [row for row in rows if self.walk.allowed(row[3], spaces, as_of)]
        if not rows:
            return {}, {}
        asked = self._asked(question, stems, {row[2] for row in rows})
        own = {stem for id in seeds for stem in self.registry.stems(id)}
        ends: dict[str, float] = {}
        lifts: dict[str, float] = {}
        for head, tail, type, message, terms in rows:
            other = tail if head in seeds else head
            shared = (stems - own) & set((terms or "").split())
            if shared and other not in seeds:
                sure = END if cues(type) & stems else END / 2
                ends[other] = max(ends.get(other, 0.0), sure)
            if type in asked:
                lifts[message] = lifts.get(message, 0.0) + LIFT * asked[type]
        return ends, lifts

    def _asked(self, question: str, stems: set[str], types: set[str]) -> dict[str, float]:
        """The relation that a question asks for most likely, of some, with its likeness."""
        like = {type: NAMED if cues(type) & stems else 0.0 for type in types}
        if self.embedder is not None:
            new = [type for type in types if type not in self._meanings]
            made: Any = self.embedder.embed([question, *map(wording, new)])
            self._meanings.update(zip(new, made[1:], strict=True))
            for type in types:
                like[type] += float(made[0] @ self._meanings[type])
        best = max(sorted(like), key=lambda type: like[type])
        return {best: like[best]} if like[best] > NEAR else {}
