"""Vectors made anew, after another embedder was chosen or an export read."""

from __future__ import annotations

from agents.memory.graph import GraphDB
from agents.memory.reading import spoken
from agents.memory.types import Embedder
from agents.memory.writer import Writer


def embed_again(graph: GraphDB, writer: Writer, embedder: Embedder) -> int:
    """Make the vectors that are missing, after the embedder was changed. Returns how many."""
    done = 0
    while rows := graph.read(
        "MATCH (m:Message) WHERE m.embedding IS NULL "
        "OPTIONAL MATCH (b:Message)-[:NEXT]->(m) OPTIONAL MATCH (a:Message)-[:NEXT]->(b) "
        "RETURN m.id, m.text, m.kind, a.speaker, a.text, b.speaker, b.text, m.speaker LIMIT 64"
    ):
        windows = []
        for _, said, kind, a_who, a, b_who, b, who in rows:
            before = [spoken(w, t) for w, t in ((a_who, a), (b_who, b)) if t]
            windows.append(said if kind == "document" else " ".join([*before, spoken(who, said)]))
        made = embedder.embed([str(row[1]) for row in rows] + windows)
        writer.vectors(
            [
                {
                    "id": row[0],
                    "vector": [float(x) for x in made[at]],
                    "window": [float(x) for x in made[len(rows) + at]],
                }
                for at, row in enumerate(rows)
            ]
        )
        done += len(rows)
    while rows := graph.read(
        "MATCH (e:Entity) WHERE e.embedding IS NULL RETURN e.id, e.name LIMIT 64"
    ):
        made = embedder.embed([str(row[1]) for row in rows])
        writer.name_vectors(
            [
                {"id": row[0], "vector": [float(x) for x in vector]}
                for row, vector in zip(rows, made, strict=True)
            ]
        )
        done += len(rows)
    return done
