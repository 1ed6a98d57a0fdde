"""Names that mean the same in other words, by their vectors."""

from __future__ import annotations

import re
from collections.abc import Sequence

from agents.memory import text
from agents.memory.graph import GraphDB
from agents.memory.registry import Registry
from agents.memory.types import Embedder

MEANING = 0.12  # cosine distance up to which two names may mean the same
KEPT = 20_000  # vectors of names


class Meanings:
    """Vectors of the names met lately, and the entities of the graph that are near one."""

    def __init__(self, graph: GraphDB, registry: Registry, embedder: Embedder) -> None:
        self._graph, self._registry, self._embedder = graph, registry, embedder
        self._vectors: dict[str, list[float]] = {}

    def vector(self, name: str) -> list[float] | None:
        """That of a name that was learnt."""
        return self._vectors.get(name)

    def learn(self, names: Sequence[str]) -> None:
        """Embed those of some names that are new."""
        if len(self._vectors) > KEPT:
            self._vectors.clear()
        wanted = [name for name in names if name not in self._vectors]
        if not wanted:
            return
        for name, vector in zip(wanted, self._embedder.embed(wanted), strict=True):
            self._vectors[name] = [float(x) for x in vector]

    def same(self, name: str, kind: str) -> str | None:
        """An entity whose name is other words for the same: it shares a stem and its vector."""
        stems = set(text.terms(name))
        if not stems or not any(
            self._registry.by_id[id].kind == kind for id in self._registry.with_stems(stems)
        ):
            return None
        self.learn([name])
        rows = self._graph.read(
            "CALL db.idx.vector.queryNodes('Entity', 'embedding', 3, vecf32($v)) "
            "YIELD node, score RETURN node.id, score",
            v=self._vectors[name],
        )
        for id, distance in rows:
            entity = self._registry.by_id.get(id)
            if entity is None or distance > MEANING or entity.kind != kind:
                continue
            other = self._registry.stems(id)
            if _numbers(name) == _numbers(entity.name) and (stems <= other or other <= stems):
                return str(id)
        return None


def _numbers(name: str) -> list[str]:
    return re.findall(r"\d+", name)
