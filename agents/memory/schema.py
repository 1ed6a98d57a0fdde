"""The graph's schema: what nodes and edges hold, its indexes, and migrations by version.

    (:Message {id, text, speaker, listener, agent, conversation, space, kind, time, n, terms, length,
               relations, reltypes, kinds, voice, extractor, embedding, window,
               done})
    (:Entity  {id, name, key, type, aliases, votes, mentions, first_seen, last_seen, embedding,
               apart})
    (:Message)-[:MENTIONS {i, surface, start, end, type, confidence, how}]->(:Entity)
    (:Message)-[:NEXT]->(:Message)                     the next message of the same conversation
    (:Entity)-[:WORKS_AT {id, space, confidence, valid_from, valid_to, superseded_by, status,
                          sources, ended_by}]->(:Entity)      one edge for each time it held
    (:Ruling  {id, space, head, type, tail, status, sources})  what a person said of a fact
    (:Forgotten {id})                                 a message that must not come back
    (:Change  {id, kind, text, time, undone, undo})            merges and edits
    (:Meta    {id, version, embedder, dimension, n})

Messages, mentions and rulings are what was said; the edges between entities are made from them and
can be made anew (`agents.memory.facts`). `n` numbers messages in the order they came in. A message
has two vectors: `embedding` of its text, and `window` of it with the two messages before it.
"""

from __future__ import annotations

from collections.abc import Callable

from agents.memory.errors import MemoryDown
from agents.memory.graph import GraphDB

VERSION = 1


def _one(graph: GraphDB) -> None:
    for label, name in (
        ("Message", "id"),
        ("Message", "conversation"),
        ("Message", "n"),
        ("Entity", "id"),
        ("Ruling", "id"),
        ("Change", "id"),
        ("Forgotten", "id"),
    ):
        graph.ensure(f"CREATE INDEX FOR (x:{label}) ON (x.{name})")
    graph.ensure(
        "CALL db.idx.fulltext.createNodeIndex({label: 'Message', stopwords: []}, "
        "{field: 'terms', nostem: true})"
    )


MIGRATIONS: dict[int, Callable[[GraphDB], None]] = {1: _one}


def migrate(graph: GraphDB) -> int:
    """Bring the graph to this version. Returns the version it had, 0 for a new one.

    Raises MemoryDown for a graph that a newer halo-tui has written.
    """
    rows = graph.read("MATCH (x:Meta) RETURN x.version")
    found = int(rows[0][0]) if rows else 0
    if found > VERSION:
        raise MemoryDown(
            f"The memory was written by a newer halo-tui (version {found} of the graph).",
            "Update halo-tui.",
        )
    for version in range(found + 1, VERSION + 1):
        MIGRATIONS[version](graph)
        graph.write(
            "MERGE (x:Meta {id: 'memory'}) SET x.version = $version, x.n = coalesce(x.n, 0)",
            version=version,
        )
    return found


def vectors(graph: GraphDB, embedder: str, dimension: int) -> bool:
    """Make the vector indexes fit an embedder. Returns whether vectors have to be made anew."""
    rows = graph.read("MATCH (x:Meta) RETURN x.embedder, x.dimension")
    had = (rows[0][0] or "", int(rows[0][1] or 0)) if rows else ("", 0)
    if had == (embedder, dimension):
        return False
    for label, name in (("Message", "embedding"), ("Message", "window"), ("Entity", "embedding")):
        if had[1]:
            graph.ensure(f"DROP VECTOR INDEX FOR (x:{label}) ON (x.{name})")
            graph.write(f"MATCH (x:{label}) SET x.{name} = NULL")
        graph.ensure(
            f"CREATE VECTOR INDEX FOR (x:{label}) ON (x.{name}) "
            f"OPTIONS {{dimension: {dimension}, similarityFunction: 'cosine'}}"
        )
    graph.write(
        "MATCH (x:Meta) SET x.embedder = $embedder, x.dimension = $dimension",
        embedder=embedder,
        dimension=dimension,
    )
    return True
