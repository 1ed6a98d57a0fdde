"""Reading the graph: entities, facts with their sources, surroundings, changes, counts."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Sequence
from typing import Any

from agents.memory.errors import QueryError
from agents.memory.graph import GraphDB
from agents.memory.types import Change, Fact, Neighbourhood, Node, Source

SOURCES = 20  # of a fact, at most; the newest
AROUND = 5000  # facts looked at for surroundings, the newest

_NODE = "e.id, e.name, e.type, e.aliases, e.first_seen, e.last_seen, e.mentions"
_FACT = (
    "f.id, h.id, t.id, h.name, t.name, type(f), f.confidence, f.valid_from, f.valid_to, "
    "f.superseded_by, f.status, f.space, f.sources, f.ended_by"
)
_HELD = "f.valid_from <= $as_of AND (f.valid_to IS NULL OR f.valid_to > $as_of)"


class Store:
    """Queries of one graph; keeps nothing. `spaces` None = all of them."""

    def __init__(self, graph: GraphDB) -> None:
        self.graph = graph

    # --- entities ----------------------------------------------------------------------------------

    def nodes(self, ids: Iterable[str]) -> list[Node]:
        """Entities by id, in the order given; those that are gone are left out."""
        wanted = list(dict.fromkeys(ids))
        rows = self.graph.read(
            f"MATCH (e:Entity) WHERE e.id IN $ids {_DEGREE} RETURN {_NODE}, degree", ids=wanted
        )
        found = {row[0]: node_of(row) for row in rows}
        return [found[id] for id in wanted if id in found]

    def entities(
        self, order: str, limit: int, spaces: Sequence[str] | None, as_of: float | None
    ) -> list[Node]:
        """Entities by recency or degree that were mentioned in some spaces until a time."""
        order_by = "degree DESC, e.last_seen DESC" if order == "degree" else "e.last_seen DESC"
        rows = self.graph.read(
            f"MATCH (e:Entity) {_seen(spaces, as_of)} {_DEGREE} "
            "WHERE e.mentions > 0 OR degree > 0 "
            f"RETURN {_NODE}, degree ORDER BY {order_by}, e.name LIMIT $limit",
            limit=limit,
            spaces=list(spaces or ()),
            as_of=as_of,
        )
        return [node_of(row) for row in rows]

    def visible(
        self, ids: Iterable[str], spaces: Sequence[str] | None, as_of: float | None = None
    ) -> set[str]:
        """Those of some entities that were mentioned in some spaces."""
        rows = self.graph.read(
            f"MATCH (e:Entity) WHERE e.id IN $ids {_seen(spaces, as_of)} RETURN e.id",
            ids=list(ids),
            spaces=list(spaces or ()),
            as_of=as_of,
        )
        return {str(row[0]) for row in rows}

    def mentioned_in(
        self, conversation: str, before: str = "", limit: int = 32
    ) -> list[tuple[str, list[tuple[str, int, str]]]]:
        """The latest messages of a conversation, oldest first: their text, and the entities they
        mention with the character and the words by which they do. `before`: the message to leave
        out."""
        rows = self.graph.read(
            "MATCH (m:Message {conversation: $c}) WHERE m.id <> $before "
            "WITH m ORDER BY m.n DESC LIMIT $limit "
            "OPTIONAL MATCH (m)-[r:MENTIONS]->(e:Entity) WHERE r.i >= 0 "
            "RETURN m.n, m.text, collect([e.id, r.start, r.surface]) ORDER BY m.n",
            c=conversation,
            before=before,
            limit=limit,
        )
        return [
            (
                str(said),
                sorted(
                    ((str(id), int(at), str(words)) for id, at, words in found if id),
                    key=lambda mention: mention[1],
                ),
            )
            for _, said, found in rows
        ]

    def entities_in(self, notes: Sequence[str]) -> list[str]:
        """Entities that some messages mention."""
        rows = self.graph.read(
            "MATCH (m:Message)-[:MENTIONS]->(e:Entity) WHERE m.id IN $ids RETURN DISTINCT e.id",
            ids=list(notes),
        )
        return [str(row[0]) for row in rows]

    # --- facts -------------------------------------------------------------------------------------

    def facts(self, ids: Sequence[str]) -> list[Fact]:
        """Facts by id, in that order."""
        rows = self.graph.read(
            f"MATCH (h:Entity)-[f]->(t:Entity) WHERE f.id IN $ids RETURN {_FACT}", ids=list(ids)
        )
        found = {fact.id: fact for fact in self._facts(rows)}
        return [found[id] for id in dict.fromkeys(ids) if id in found]

    def fact(self, id: str) -> Fact:
        """One fact. Raises QueryError when it is gone."""
        found = self.facts([id])
        if not found:
            raise QueryError(f"There is no fact {id} any more.", "Look at the list again.")
        return found[0]

    def ender(self, fact: str) -> str:
        """The message that ended a fact, by saying so or by telling what holds now."""
        rows = self.graph.read(
            "MATCH (:Entity)-[f]->(:Entity) WHERE f.id = $id RETURN f.ended_by", id=fact
        )
        return str(rows[0][0] or "") if rows else ""

    def about(
        self,
        entities: Sequence[str],
        spaces: Sequence[str] | None = None,
        as_of: float | None = None,
        past: bool = False,
        limit: int = 500,
    ) -> list[Fact]:
        """Facts in which some entities take part, newest first; rejected ones only with `past`."""
        return self._facts(self.rows_about(entities, spaces, as_of, past, limit))

    def rows_about(
        self,
        entities: Sequence[str],
        spaces: Sequence[str] | None = None,
        as_of: float | None = None,
        past: bool = False,
        limit: int = 500,
    ) -> list[list[Any]]:
        """The same without reading the sources: rows of _FACT, with the ids of sources."""
        held = _held(as_of, past)
        return self.graph.read(
            "MATCH (x:Entity) WHERE x.id IN $ids MATCH (x)-[f]-(:Entity) "
            "WITH DISTINCT f, startNode(f) AS h, endNode(f) AS t "
            f"WHERE f.id IS NOT NULL {_in(spaces)} {held} "
            f"RETURN {_FACT} ORDER BY f.valid_from DESC LIMIT $limit",
            ids=list(entities),
            spaces=list(spaces or ()),
            as_of=as_of,
            limit=limit,
        )

    def latest(self, limit: int) -> list[Fact]:
        """The facts that were learnt or ended last, whatever was ruled of them, newest first."""
        return self._facts(
            self.graph.read(
                "MATCH (h:Entity)-[f]->(t:Entity) WHERE f.id IS NOT NULL "
                f"RETURN {_FACT} ORDER BY coalesce(f.valid_to, f.valid_from) DESC LIMIT $limit",
                limit=limit,
            )
        )

    def neighbourhood(
        self, centre: str, depth: int, limit: int, spaces: Sequence[str] | None, as_of: float | None
    ) -> Neighbourhood:
        """Entities up to `depth` facts away, and the facts between them: of many those with most
        facts of their own, then those spoken of last. The nearest first."""
        distance = {centre: 0}
        frontier = [centre]
        found: dict[str, list[Any]] = {}
        for hop in range(1, max(1, depth) + 1):
            rows = self.rows_about(frontier, spaces, as_of, limit=AROUND)
            found.update({str(row[0]): row for row in rows})
            reached = dict.fromkeys(id for row in rows for id in row[1:3] if id not in distance)
            room = max(0, limit - len(distance))
            if len(reached) > room:
                degree = {node.id: node.degree for node in self.nodes(reached)}
                reached = dict.fromkeys(sorted(reached, key=lambda id: -degree.get(id, 0))[:room])
            frontier = list(reached)
            distance.update(dict.fromkeys(frontier, hop))
            if not frontier:
                break
        inside = [row for row in found.values() if row[1] in distance and row[2] in distance]
        more = sum(1 for row in found.values() if centre in row[1:3]) - sum(
            1 for row in inside if centre in row[1:3]
        )
        nodes = tuple(self.nodes(distance))
        return Neighbourhood(centre, nodes, tuple(self._facts(inside)), distance, more)

    def _facts(self, rows: list[list[Any]]) -> list[Fact]:
        wanted = {id for row in rows for id in (*(row[12] or ())[-SOURCES:], row[13]) if id}
        sources = self.sources(wanted)
        facts = []
        for row in rows:
            found = [sources[id] for id in (row[12] or ())[-SOURCES:] if id in sources]
            facts.append(
                Fact(
                    row[0],
                    row[1],
                    row[2],
                    row[3],
                    row[4],
                    row[5],
                    float(row[6]),
                    float(row[7]),
                    None if row[8] is None else float(row[8]),
                    row[9] or "",
                    row[10] or "learnt",
                    row[11] or "shared",
                    tuple(sorted(found, key=lambda s: -s.time)),
                    sources.get(row[13] or ""),
                )
            )
        return facts

    # --- messages ------------------------------------------------------------------------------------

    def sources(self, ids: Iterable[str]) -> dict[str, Source]:
        """Messages by id."""
        rows = self.graph.read(
            "MATCH (m:Message) WHERE m.id IN $ids RETURN m.id, m.text, m.speaker, m.time, m.agent, "
            "m.conversation, m.kind",
            ids=list(ids),
        )
        return {row[0]: Source(*row) for row in rows}

    def span(self) -> tuple[float, float]:
        """Times of the oldest and the newest message; (0, 0) when there is none."""
        rows = self.graph.read("MATCH (m:Message) RETURN min(m.time), max(m.time)")
        if not rows or rows[0][0] is None:
            return (0.0, 0.0)
        return (float(rows[0][0]), float(rows[0][1]))

    # --- counts ----------------------------------------------------------------------------------------

    def counts(self) -> dict[str, Any]:
        """Numbers for Stats."""

        def number(query: str) -> int:
            rows = self.graph.read(query)
            return int(rows[0][0]) if rows else 0

        edge = "MATCH (:Entity)-[f]->(:Entity) WHERE f.status <> 'rejected' AND f.valid_to"
        return {
            "entities": number("MATCH (e:Entity) RETURN count(e)"),
            "facts": number(f"{edge} IS NULL RETURN count(f)"),
            "past_facts": number(f"{edge} IS NOT NULL RETURN count(f)"),
            "messages": number("MATCH (m:Message) RETURN count(m)"),
            "mentions": number("MATCH (:Message)-[r:MENTIONS]->() RETURN count(r)"),
            "version": number("MATCH (x:Meta) RETURN x.version"),
            "by_type": {
                str(k): int(v)
                for k, v in self.graph.read(
                    "MATCH (e:Entity) RETURN e.type, count(e) AS c ORDER BY c DESC"
                )
            },
            "by_relation": {
                str(k): int(v)
                for k, v in self.graph.read(
                    f"{edge} IS NULL RETURN type(f), count(f) AS c ORDER BY c DESC"
                )
            },
        }

    # --- changes -----------------------------------------------------------------------------------------

    def note_change(self, kind: str, text: str, undo: str = "") -> Change:
        """Write down a change; `undo` is what undoing needs, as JSON ("" = it cannot be undone)."""
        change = Change("c-" + secrets.token_hex(6), kind, text, time.time())
        self.graph.write(
            "CREATE (:Change {id: $id, kind: $kind, text: $text, time: $time, undone: false, "
            "undo: $undo})",
            id=change.id,
            kind=kind,
            text=text,
            time=change.time,
            undo=undo,
        )
        return change

    def note_link(self, entity: str, name: str, alias: str, how: str) -> None:
        """Write down, once, that the memory took one name for another."""
        self.graph.write(
            "MERGE (x:Change {kind: 'link', entity: $entity, alias: $alias}) "
            "ON CREATE SET x.id = $id, x.text = $text, x.time = $time, x.undone = false, "
            "x.undo = 'split'",
            id="c-" + secrets.token_hex(6),
            entity=entity,
            alias=alias,
            text=f"'{alias}' was taken for {name} ({how}).",
            time=time.time(),
        )

    def changes(self, limit: int) -> list[Change]:
        """Newest first."""
        rows = self.graph.read(
            "MATCH (x:Change) RETURN x.id, x.kind, x.text, x.time, x.undone "
            "ORDER BY x.time DESC LIMIT $limit",
            limit=limit,
        )
        return [Change(row[0], row[1], row[2], float(row[3]), bool(row[4])) for row in rows]


_DEGREE = (
    "OPTIONAL MATCH (e)-[f]-(:Entity) WHERE f.valid_to IS NULL AND f.status <> 'rejected' "
    "WITH e, count(f) AS degree"
)


def node_of(row: Sequence[Any]) -> Node:
    """A row of _NODE and degree."""
    return Node(
        row[0],
        row[1],
        row[2],
        tuple(row[3] or ()),
        float(row[4] or 0),
        float(row[5] or 0),
        int(row[6] or 0),
        int(row[7] or 0),
    )


def _held(as_of: float | None, past: bool) -> str:
    if past:
        return "AND f.valid_from <= $as_of" if as_of is not None else ""
    rejected = "AND f.status <> 'rejected'"
    return f"{rejected} AND {_HELD}" if as_of is not None else f"{rejected} AND f.valid_to IS NULL"


def _in(spaces: Sequence[str] | None) -> str:
    return "" if spaces is None else "AND f.space IN $spaces"


def _seen(spaces: Sequence[str] | None, as_of: float | None) -> str:
    if spaces is None and as_of is None:
        return ""
    where = [] if spaces is None else ["m.space IN $spaces"]
    if as_of is not None:
        where.append("m.time <= $as_of")
    return (
        "WITH e MATCH (e)<-[:MENTIONS]-(m:Message) WHERE "
        + " AND ".join(where)
        + " WITH DISTINCT e"
    )
