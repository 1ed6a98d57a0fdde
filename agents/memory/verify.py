"""Checking a graph: dangling edges, counts that are off, facts that their evidence does not give."""

from __future__ import annotations

from agents.memory.facts import Rules, episodes, fact_id, gather, groups_of
from agents.memory.graph import GraphDB

BATCH = 500


def verify(graph: GraphDB, rules: Rules) -> list[str]:
    """One sentence for each kind of fault; empty when the graph is sound. Changes nothing."""
    faults: list[str] = []

    def count(query: str, what: str) -> None:
        rows = graph.read(query)
        if rows and rows[0][0]:
            faults.append(f"{rows[0][0]} {what}.")

    count("MATCH (m:Message) WHERE NOT m.done RETURN count(m)", "messages are not taken in fully")
    count(
        "MATCH (e:Entity) OPTIONAL MATCH (e)<-[:MENTIONS]-(m:Message) WITH e, count(DISTINCT m) AS c "
        "WHERE c <> e.mentions RETURN count(e)",
        "entities have a wrong number of mentions",
    )
    count(
        "MATCH (m:Message)-[r:MENTIONS]->(:Entity) WITH m, r.i AS i, count(r) AS c "
        "WHERE c > 1 AND i >= 0 RETURN count(m)",
        "mentions lead to several entities",
    )
    ids = [str(row[0]) for row in graph.read("MATCH (e:Entity) RETURN e.id")]
    wrong = 0
    seen = set()
    for start in range(0, len(ids), BATCH):
        for group in groups_of(graph, rules, ids[start : start + BATCH]):
            if group in seen:
                continue
            seen.add(group)
            evidence, ruled = gather(graph, group)
            rejected = frozenset(value for value, status in ruled.items() if status == "rejected")
            due = {fact_id(group, e) for e in episodes(evidence, group.exclusive, rejected)}
            rows = graph.read(
                "MATCH (:Entity {id: $head})-[f]->(t:Entity) WHERE f.space = $space "
                "AND type(f) IN $types AND ($tail = '' OR t.id = $tail) RETURN f.id",
                head=group.head,
                space=group.space,
                types=list(group.types),
                tail=group.tail,
            )
            wrong += len(due ^ {str(row[0]) for row in rows})
    if wrong:
        faults.append(f"{wrong} facts are not what was said.")
    return faults
