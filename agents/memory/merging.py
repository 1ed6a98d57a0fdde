"""Making one entity of two, and two again: mentions, rulings, names and facts move together."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from agents.memory.facts import Rules, groups_of, rebuild
from agents.memory.graph import GraphDB
from agents.memory.registry import Known, Registry
from agents.memory.store import Store
from agents.memory.types import Change
from agents.memory.writer import Writer

_COPY = (
    "CREATE (m)-[x:MENTIONS]->(e) SET x.i = r.i, x.surface = r.surface, x.start = r.start, "
    "x.end = r.end, x.type = r.type, x.confidence = r.confidence, x.how = r.how DELETE r"
)


class Merger:
    """Merges entities of one graph, and takes merges back."""

    def __init__(
        self, graph: GraphDB, registry: Registry, store: Store, writer: Writer, rules: Rules
    ) -> None:
        self.graph, self.registry, self.store = graph, registry, store
        self.writer, self.rules = writer, rules

    def merge(self, kept: Known, gone: Known) -> tuple[Change, list[str]]:
        """Make one of two; the change can be undone. Returns it, and the ids of facts that began."""
        groups = groups_of(self.graph, self.rules, [kept.id, gone.id])
        pairs = [
            [m, int(i)]
            for m, i in self.graph.read(
                "MATCH (m:Message)-[r:MENTIONS]->(:Entity {id: $id}) RETURN m.id, r.i", id=gone.id
            )
        ]
        rulings = self._move_rulings(gone.id, kept.id)
        self.repoint(pairs, gone.id, kept.id)
        added = [n for n in (gone.name, *gone.aliases) if n not in (kept.name, *kept.aliases)]
        undo = {
            "into": kept.id,
            "other": state_of(gone),
            "pairs": pairs,
            "rulings": rulings,
            "added": added,
        }
        kept.aliases = [*kept.aliases, *added]
        kept.votes += gone.votes
        self.registry.remove(gone.id)
        self.registry.add(kept)
        self.writer.entities([kept])
        # Edges first: deleting a node would take edges with it that are still to be compared.
        rebuild(self.graph, groups)
        self.graph.write("MATCH (e:Entity {id: $id}) DELETE e", id=gone.id)
        begun, _ = rebuild(self.graph, groups_of(self.graph, self.rules, [kept.id]))
        self.writer.count([kept.id])
        text = f"{gone.name} was merged into {kept.name}."
        return self.store.note_change("merge", text, json.dumps(undo)), begun

    def unmerge(self, kept: Known, undo: dict[str, Any]) -> None:
        """Take out of `kept` what `merge` noted."""
        state = undo["other"]
        other = Known(
            state["id"], state["name"], state["type"], state["aliases"], Counter(state["votes"])
        )
        groups = groups_of(self.graph, self.rules, [kept.id])
        kept.aliases = [a for a in kept.aliases if a not in undo["added"]]
        kept.votes -= other.votes
        self.registry.add(kept)
        self.registry.add(other)
        self.writer.entities([kept, other])
        self.repoint(undo["pairs"], kept.id, other.id)
        for id, end in undo["rulings"]:
            self.graph.write(f"MATCH (x:Ruling {{id: $id}}) SET x.{end} = $to", id=id, to=other.id)
        groups |= groups_of(self.graph, self.rules, [kept.id, other.id])
        rebuild(self.graph, groups)
        self.writer.count([kept.id, other.id])

    def repoint(self, pairs: Sequence[Sequence[Any]], old: str, new: str) -> None:
        """Have mentions, pairs of message and number, lead to another entity."""
        self.graph.write(
            "UNWIND $pairs AS p MATCH (m:Message {id: p[0]})-[r:MENTIONS]->(:Entity {id: $old}) "
            f"WHERE r.i = p[1] MATCH (e:Entity {{id: $new}}) {_COPY}",
            pairs=[list(pair) for pair in pairs],
            old=old,
            new=new,
        )

    def _move_rulings(self, old: str, new: str) -> list[list[str]]:
        moved = []
        for end in ("head", "tail"):
            for row in self.graph.read(f"MATCH (x:Ruling {{{end}: $old}}) RETURN x.id", old=old):
                moved.append([str(row[0]), end])
            self.graph.write(
                f"MATCH (x:Ruling {{{end}: $old}}) SET x.{end} = $new", old=old, new=new
            )
        return moved


def state_of(known: Known) -> dict[str, Any]:
    """All of an entity, to be brought back."""
    return {**asdict(known), "votes": dict(known.votes)}
