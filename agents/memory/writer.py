"""The graph's writes: messages in their order, mentions, entities. Each can be repeated."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from agents.memory import dates, names, text
from agents.memory.graph import GraphDB
from agents.memory.meaning import Meanings
from agents.memory.reading import Read, kinds_of
from agents.memory.registry import Known


class Writer:
    """Writes one graph; knows the number and the conversations' order of its messages."""

    def __init__(self, graph: GraphDB, meanings: Meanings | None) -> None:
        """`meanings` has the vectors of entities' names."""
        self._graph, self._meanings = graph, meanings
        self._last: dict[str, str] = {}  # conversation -> its newest message
        rows = graph.read("MATCH (x:Meta) RETURN x.n")
        self._n = int(rows[0][0] or 0) if rows else 0

    # --- messages --------------------------------------------------------------------------------

    def messages(self, reads: Sequence[Read], extractor: str) -> None:
        """Write messages, without mentions yet, and not `done`; `extractor` read them."""
        rows = []
        for read in reads:
            note = read.note
            self._n += 1
            stems = text.terms(note.text)
            rows.append(
                {
                    "id": note.id,
                    "after": self._before(note.conversation, note.id),
                    "vector": read.vector,
                    "window": read.window,
                    "set": {
                        "text": note.text,
                        "speaker": note.speaker,
                        "listener": note.listener,
                        "agent": note.agent,
                        "conversation": note.conversation,
                        "space": note.space,
                        "kind": note.kind,
                        "time": float(note.time),
                        "n": self._n,
                        "terms": " ".join([*stems, *dates.tags_of_day(note.time)]),
                        "length": len(stems),
                        "relations": json.dumps(read.relations),
                        "reltypes": sorted({r[2] for r in read.relations}),
                        "extractor": extractor,
                        "kinds": kinds_of(read),
                        "voice": note.voice,
                        "done": False,
                    },
                }
            )
        self._graph.write(
            "UNWIND $rows AS r MERGE (m:Message {id: r.id}) SET m += r.set "
            "WITH m, r OPTIONAL MATCH (m)-[old:MENTIONS]->() DELETE old",
            rows=rows,
        )
        vectors = [{k: r[k] for k in ("id", "vector", "window")} for r in rows if r["vector"]]
        if vectors:
            self.vectors(vectors)
        self._link(rows)
        self._graph.write("MATCH (x:Meta) SET x.n = $n", n=self._n)

    def vectors(self, rows: list[dict[str, Any]]) -> None:
        """Those of messages: rows of `id`, `vector` (the message) and `window`."""
        self._graph.write(
            "UNWIND $rows AS r MATCH (m:Message {id: r.id}) "
            "SET m.embedding = vecf32(r.vector), m.window = vecf32(r.window)",
            rows=rows,
        )

    def done(self, ids: Sequence[str]) -> None:
        """All that messages brought is written."""
        self._graph.write("MATCH (m:Message) WHERE m.id IN $ids SET m.done = true", ids=list(ids))

    def remove_messages(self, ids: Sequence[str]) -> None:
        """Take messages out; neighbours of one that goes become neighbours."""
        for id in ids:
            self._graph.write(
                "MATCH (a:Message)-[:NEXT]->(:Message {id: $id})-[:NEXT]->(b:Message) "
                "MERGE (a)-[:NEXT]->(b)",
                id=id,
            )
        self._graph.write("MATCH (m:Message) WHERE m.id IN $ids DELETE m", ids=list(ids))
        self._last = {c: m for c, m in self._last.items() if m not in set(ids)}

    def _link(self, rows: list[dict[str, Any]]) -> None:
        follow = [{"id": r["id"], "after": r["after"]} for r in rows if r["after"]]
        if follow:
            self._graph.write(
                "UNWIND $rows AS r MATCH (a:Message {id: r.after}), (m:Message {id: r.id}) "
                "MERGE (a)-[:NEXT]->(m)",
                rows=follow,
            )

    def _before(self, conversation: str, id: str) -> str:
        """The message before one in its conversation."""
        if conversation not in self._last:
            rows = self._graph.read(
                "MATCH (m:Message {conversation: $c}) WHERE m.id <> $id "
                "RETURN m.id ORDER BY m.n DESC LIMIT 1",
                c=conversation,
                id=id,
            )
            self._last[conversation] = str(rows[0][0]) if rows else ""
        before, self._last[conversation] = self._last[conversation], id
        return before if before != id else ""

    def restore(self, messages: Sequence[dict[str, Any]], to: dict[str, str]) -> None:
        """Write messages of an export as they are; `to` maps its entities to those here."""
        for start in range(0, len(messages), 256):
            part = messages[start : start + 256]
            rows, mentions = [], []
            for item in part:
                self._n += 1
                keys = "text speaker listener agent conversation space time terms length".split()
                values = {
                    k: item[k]
                    for k in (*keys, "relations", "reltypes", "extractor", "kinds", "voice")
                }
                rows.append(
                    {
                        "id": item["id"],
                        "set": {**values, "kind": item["halo:kind"], "n": self._n, "done": True},
                        "after": self._before(item["conversation"], item["id"]),
                    }
                )
                names_ = ("e", "i", "surface", "start", "end", "type", "confidence", "how")
                for mention in item["mentions"]:
                    row = dict(zip(names_, mention, strict=True))
                    mentions.append({**row, "e": to[row["e"]], "m": item["id"]})
            self._graph.write(
                "UNWIND $rows AS r MERGE (m:Message {id: r.id}) SET m += r.set", rows=rows
            )
            self._link(rows)
            self.mentions(mentions)
        self._graph.write("MATCH (x:Meta) SET x.n = $n", n=self._n)

    # --- entities --------------------------------------------------------------------------------

    def entities(self, entities: Sequence[Known]) -> None:
        """Names, types and votes as the registry has them."""
        self._graph.write(
            "UNWIND $rows AS r MERGE (e:Entity {id: r.id}) SET e.name = r.name, e.key = r.key, "
            "e.type = r.type, e.aliases = r.aliases, e.votes = r.votes, "
            "e.mentions = coalesce(e.mentions, 0), e.first_seen = coalesce(e.first_seen, 0), "
            "e.last_seen = coalesce(e.last_seen, 0)",
            rows=[
                {
                    "id": e.id,
                    "name": e.name,
                    "key": names.key(e.name),
                    "type": e.type,
                    "aliases": e.aliases,
                    "votes": json.dumps(e.votes),
                }
                for e in entities
            ],
        )
        meanings = self._meanings
        vectors = [
            {"id": e.id, "vector": vector}
            for e in entities
            if meanings is not None and (vector := meanings.vector(e.name)) is not None
        ]
        if vectors:
            self.name_vectors(vectors)

    def name_vectors(self, rows: list[dict[str, Any]]) -> None:
        """Those of entities' names: rows of `id` and `vector`."""
        self._graph.write(
            "UNWIND $rows AS r MATCH (e:Entity {id: r.id}) SET e.embedding = vecf32(r.vector)",
            rows=rows,
        )

    def mentions(self, rows: list[dict[str, Any]]) -> None:
        """Link messages `m` with entities `e`, by mention `i` of the message."""
        if rows:
            self._graph.write(
                "UNWIND $rows AS r MATCH (m:Message {id: r.m}), (e:Entity {id: r.e}) "
                "CREATE (m)-[x:MENTIONS {i: r.i, surface: r.surface, start: r.start, end: r.end, "
                "type: r.type, confidence: r.confidence, how: r.how}]->(e)",
                rows=rows,
            )

    def count(self, entities: Sequence[str]) -> None:
        """How often and when some entities were mentioned; those never mentioned are removed."""
        ids = list(dict.fromkeys(entities))
        if not ids:
            return
        self._graph.write(
            "UNWIND $ids AS id MATCH (e:Entity {id: id}) "
            "OPTIONAL MATCH (e)<-[:MENTIONS]-(m:Message) "
            "WITH e, count(DISTINCT m) AS c, min(m.time) AS a, max(m.time) AS b "
            "SET e.mentions = c, e.first_seen = coalesce(a, e.first_seen), "
            "e.last_seen = coalesce(b, e.last_seen)",
            ids=ids,
        )
