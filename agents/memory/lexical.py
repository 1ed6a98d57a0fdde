"""BM25 over the full-text index: FalkorDB finds the messages, the exact score is computed here.

FalkorDB's own score leaves a message's length and the terms' saturation to chance; with the terms
stored beside the text, and a count for each term from the index, BM25 costs one more query.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from agents.memory.graph import GraphDB

K1 = 1.2
B = 0.6
CANDIDATES = 1000


class Lexical:
    """Ranks messages by the words they share with a question."""

    def __init__(self, graph: GraphDB) -> None:
        self.graph = graph
        self._size: tuple[int, float] | None = None

    def changed(self) -> None:
        """Messages came or went."""
        self._size = None

    def rank(
        self, terms: Sequence[str], spaces: Sequence[str] | None, as_of: float | None
    ) -> dict[str, float]:
        """BM25 scores of the messages that have any of some terms: message id -> score."""
        wanted = list(dict.fromkeys(terms))
        if not wanted:
            return {}
        if self._size is None:
            rows = self.graph.read("MATCH (m:Message) RETURN count(m), avg(m.length)")
            self._size = (int(rows[0][0]), float(rows[0][1] or 1)) if rows else (0, 1.0)
        total, average = self._size
        rarity = {
            str(term): math.log(1 + (max(total, count) - count + 0.5) / (count + 0.5))
            for term, count in self.graph.read(
                "UNWIND $terms AS t CALL db.idx.fulltext.queryNodes('Message', t) YIELD node "
                "RETURN t, count(node)",
                terms=wanted,
            )
        }
        if not rarity:
            return {}
        where = [] if spaces is None else ["node.space IN $spaces"]
        if as_of is not None:
            where.append("node.time <= $as_of")
        condition = f"WHERE {' AND '.join(where)} " if where else ""
        found = self.graph.read(
            "CALL db.idx.fulltext.queryNodes('Message', $query) YIELD node, score "
            f"WITH node, score {condition}"
            "RETURN node.id, node.terms, node.length ORDER BY score DESC LIMIT $limit",
            query="|".join(rarity),
            spaces=list(spaces or ()),
            as_of=as_of,
            limit=CANDIDATES,
        )
        scores = {}
        for id, words, length in found:
            counts = Counter(words.split())
            norm = K1 * (1 - B + B * length / average)
            scores[str(id)] = sum(
                weight * counts[term] * (K1 + 1) / (counts[term] + norm)
                for term, weight in rarity.items()
                if counts[term]
            )
        return scores
