"""Taking messages in: extraction, resolution, and the graph's writes, a batch at a time.

A message that is known with the same text changes nothing. One that was interrupted is not marked
`done` and is taken in again from its start; every write can be repeated.
"""

from __future__ import annotations

import json
import re
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from agents.memory import claims, dates, names, text
from agents.memory.events import Learnt
from agents.memory.facts import Group, Rules, groups_of, rebuild
from agents.memory.graph import GraphDB
from agents.memory.registry import Known, Registry
from agents.memory.resolve import Resolved, Resolver
from agents.memory.store import Store
from agents.memory.types import Embedder, Entity, Extractor, Fact, Note
from engine.config import MemoryConfig

BATCH = 16
HEARSAY = 0.8  # how much of a relation's confidence is left when an agent says it
WINDOW = 3  # messages in a window
MEANING = 0.12  # cosine distance up to which two names may mean the same


@dataclass(slots=True)
class Read:
    """What the models made of one message."""

    note: Note
    entities: list[Entity] = field(default_factory=list)
    relations: list[tuple[int, int, str, float, int]] = field(default_factory=list)
    vector: list[float] | None = None
    window: list[float] | None = None  # of the message with those before it


class Recorder:
    """The one writer of messages. Not safe to use from several threads."""

    def __init__(
        self,
        graph: GraphDB,
        config: MemoryConfig,
        registry: Registry,
        extractor: Extractor | None,
        embedder: Embedder | None,
    ) -> None:
        self.graph = graph
        self.config = config
        self.registry = registry
        self.extractor = extractor
        self.embedder = embedder
        self.store = Store(graph)
        self.rules = Rules(config)
        self.resolver = Resolver(registry, self._meaning if embedder else None)
        self._entity_types = frozenset(config.entity_types)
        self._relation_types = frozenset(config.relation_types)
        self._name_vectors: dict[str, list[float]] = {}
        self._last: dict[str, str] = {}  # conversation -> its newest message
        self._said: dict[str, deque[str]] = {}  # conversation -> its newest messages' words
        rows = graph.read("MATCH (x:Meta) RETURN x.n")
        self._n = int(rows[0][0] or 0) if rows else 0

    # --- the pipeline ----------------------------------------------------------------------------

    def take(self, notes: Sequence[Note]) -> list[Learnt]:
        """Take in some messages; those that are known are left out. Raises MemoryDown."""
        learnt: list[Learnt] = []
        for start in range(0, len(notes), BATCH):
            batch = self.unknown(notes[start : start + BATCH])
            if batch:
                learnt += self._batch(batch)
        return learnt

    def unknown(self, notes: Sequence[Note]) -> list[Note]:
        """Those of some messages that are not in the graph with that text, and may be."""
        by_id = {note.id: note for note in notes if note.text.strip()}
        extractor = self.extractor.name if self.extractor else ""
        changed: list[str] = []
        for id, known, done, by in self.graph.read(
            "MATCH (m:Message) WHERE m.id IN $ids RETURN m.id, m.text, m.done, m.extractor",
            ids=list(by_id),
        ):
            if known == by_id[id].text and done and (by or not extractor):
                del by_id[id]
            elif known != by_id[id].text:
                changed.append(id)
        for (id,) in self.graph.read(
            "MATCH (x:Forgotten) WHERE x.id IN $ids RETURN x.id", ids=list(by_id)
        ):
            del by_id[id]
        if changed:
            self.remove(changed)
        return list(by_id.values())

    def _batch(self, notes: list[Note]) -> list[Learnt]:
        began = time.monotonic()
        reads = self.read(notes)
        before = set(self.registry.by_id)
        mentions: dict[str, list[tuple[int, Entity, Resolved]]] = {}
        for read in reads:
            mentions[read.note.id] = self._resolve(read)
        self._write_messages(reads)
        self._embed_names()
        self._write_entities()
        self._write_mentions(reads, mentions)
        groups = {group for read in reads for group in self._groups(read, mentions[read.note.id])}
        begun, ended = rebuild(self.graph, groups)
        touched = [r.id for found in mentions.values() for _, _, r in found]
        self.count(touched)
        self.graph.write(
            "MATCH (m:Message) WHERE m.id IN $ids SET m.done = true",
            ids=[read.note.id for read in reads],
        )
        return self._learnt(reads, mentions, before, [*begun, *ended], time.monotonic() - began)

    def _learnt(
        self,
        reads: list[Read],
        mentions: dict[str, list[tuple[int, Entity, Resolved]]],
        before: set[str],
        changed: list[str],
        seconds: float,
    ) -> list[Learnt]:
        """What each message brought: entities nobody had spoken of, facts it began or ended."""
        ids = [read.note.id for read in reads]
        facts = self.store.facts(changed) if changed else []
        by_id = {fact.id: fact for fact in facts}
        new: dict[str, list[Fact]] = {id: [] for id in ids}
        closed: dict[str, list[Fact]] = {id: [] for id in ids}
        for fact in facts:
            here = [s.message for s in fact.sources if s.message in new]
            if here:
                new[min(here, key=ids.index)].append(fact)
            later = by_id.get(fact.superseded_by)
            enders = [s.message for s in later.sources] if later else [self.store.ender(fact.id)]
            ender = next((id for id in ids if id in enders), "")
            if fact.valid_to is not None and ender:
                closed[ender].append(fact)
        seen = set(before)
        learnt = []
        for read in reads:
            id = read.note.id
            fresh = [e for e in dict.fromkeys(r.id for _, _, r in mentions[id]) if e not in seen]
            seen.update(fresh)
            learnt.append(
                Learnt(
                    id,
                    read.note.speaker,
                    tuple(self.store.nodes(fresh)) if fresh else (),
                    tuple(new[id]),
                    tuple(closed[id]),
                    seconds / len(reads),
                )
            )
        return learnt

    def read(self, notes: Sequence[Note]) -> list[Read]:
        """What the models make of some messages: mentions with offsets in the whole message."""
        reads = [Read(note) for note in notes]
        if self.extractor is not None:
            pieces = [
                (read, offset, piece)
                for read in reads
                if read.note.learn
                for offset, piece in text.grouped(read.note.text)
            ]
            found = self.extractor.extract([piece for _, _, piece in pieces]) if pieces else []
            for (read, offset, piece), extraction in zip(pieces, found, strict=True):
                self._keep(read, offset, piece, extraction.entities, extraction.relations)
        if self.embedder is not None and reads:
            windows = [self._window(read.note) for read in reads]
            vectors = self.embedder.embed([read.note.text for read in reads] + windows)
            for i, read in enumerate(reads):
                read.vector = [float(x) for x in vectors[i]]
                read.window = [float(x) for x in vectors[len(reads) + i]]
        return reads

    def _keep(self, read: Read, offset: int, piece: str, entities: Any, relations: Any) -> None:
        index: dict[int, int] = {}
        least = self.config.min_confidence
        for i, e in enumerate(entities):
            says = any(map(str.isalpha, e.text)) or names.kind(e.type) in ("date", "quantity")
            if e.confidence >= least and e.type in self._entity_types and says:
                index[i] = len(read.entities)
                read.entities.append(
                    Entity(e.text, e.type, e.start + offset, e.end + offset, e.confidence)
                )
        for r in relations:
            if r.confidence < least or r.type not in self._relation_types:
                continue
            if r.head in index and r.tail in index:
                claim = claims.judge(piece, entities[r.head], entities[r.tail], r.type)
                if claim is None or claim.type not in self._relation_types:
                    continue
                read.relations.append(
                    (
                        index[r.head],
                        index[r.tail],
                        claim.type,
                        round(r.confidence, 4),
                        claim.ends,
                    )
                )

    def _resolve(self, read: Read) -> list[tuple[int, Entity, Resolved]]:
        note = read.note
        speaker, listener = self.resolver.begin(
            note, lambda conversation: self.store.mentioned_in(conversation, note.id)
        )
        found: list[tuple[int, Entity, Resolved]] = []
        births = {tail for _, tail, type, *_ in read.relations if type == "BORN_ON"}
        related = {i for head, tail, *_ in read.relations for i in (head, tail)}
        for i, mention in enumerate(read.entities):
            if i not in related and names.kind(mention.type) == "quantity":
                continue  # a number that nothing is said about is nothing to remember
            resolved = self.resolver.resolve(mention, note, speaker, listener, i in births)
            if resolved is not None:
                found.append((i, mention, resolved))
        # Who said it is a mention as well: whom a message is about is often who says it.
        if note.voice == "agent":
            talking = {speaker, listener} - {""}
            self._doubt(read, {i: resolved.id for i, _, resolved in found}, talking)
        if speaker:
            own = Entity(note.speaker, "person", 0, 0, 1.0)
            found.append((-1, own, Resolved(speaker, "speaker")))
        return found

    @staticmethod
    def _doubt(read: Read, entity: dict[int, str], talking: set[str]) -> None:
        """What an agent says of the person it talks to is an echo, right or wrong, and of itself
        is made up: neither is evidence. Of others it is less sure than what people say."""
        read.relations = [
            (head, tail, type, round(confidence * HEARSAY, 4), ends)
            for head, tail, type, confidence, ends in read.relations
            if not talking & {entity.get(head), entity.get(tail)}
        ]

    def _groups(self, read: Read, mentions: list[tuple[int, Entity, Resolved]]) -> set[Group]:
        entity = {i: resolved.id for i, _, resolved in mentions}
        groups: set[Group] = set()
        for head, tail, type, _, _ in read.relations:
            h, t = entity.get(head), entity.get(tail)
            if h and t and h != t:
                groups.add(self.rules.group(read.note.space, h, type, t))
        return groups

    # --- writes ----------------------------------------------------------------------------------

    def _write_messages(self, reads: list[Read]) -> None:
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
                        "extractor": self.extractor.name if self.extractor else "",
                        "kinds": kinds_of(read),
                        "voice": note.voice,
                        "done": False,
                    },
                }
            )
        self.graph.write(
            "UNWIND $rows AS r MERGE (m:Message {id: r.id}) SET m += r.set "
            "WITH m, r OPTIONAL MATCH (m)-[old:MENTIONS]->() DELETE old",
            rows=rows,
        )
        vectors = [{k: r[k] for k in ("id", "vector", "window")} for r in rows if r["vector"]]
        if vectors:
            self._write_vectors(vectors)
        self._link(rows)
        self.graph.write("MATCH (x:Meta) SET x.n = $n", n=self._n)

    def _write_vectors(self, rows: list[dict[str, Any]]) -> None:
        self.graph.write(
            "UNWIND $rows AS r MATCH (m:Message {id: r.id}) "
            "SET m.embedding = vecf32(r.vector), m.window = vecf32(r.window)",
            rows=rows,
        )

    def _window(self, note: Note) -> str:
        """A message with the two before it, as they were spoken; a document's chunk by itself."""
        if note.kind == "document":
            return note.text
        said = self._said.get(note.conversation)
        if said is None:
            rows = self.graph.read(
                "MATCH (m:Message {conversation: $c}) WHERE m.id <> $id AND m.done "
                "RETURN m.speaker, m.text ORDER BY m.n DESC LIMIT $limit",
                c=note.conversation,
                id=note.id,
                limit=WINDOW - 1,
            )
            lines = [spoken(row[0], row[1]) for row in reversed(rows)]
            said = self._said[note.conversation] = deque(lines, maxlen=WINDOW)
        said.append(spoken(note.speaker, note.text))
        return " ".join(said)

    def _link(self, rows: list[dict[str, Any]]) -> None:
        follow = [{"id": r["id"], "after": r["after"]} for r in rows if r["after"]]
        if follow:
            self.graph.write(
                "UNWIND $rows AS r MATCH (a:Message {id: r.after}), (m:Message {id: r.id}) "
                "MERGE (a)-[:NEXT]->(m)",
                rows=follow,
            )

    def _before(self, conversation: str, id: str) -> str:
        """The message before one in its conversation."""
        if conversation not in self._last:
            rows = self.graph.read(
                "MATCH (m:Message {conversation: $c}) WHERE m.id <> $id "
                "RETURN m.id ORDER BY m.n DESC LIMIT 1",
                c=conversation,
                id=id,
            )
            self._last[conversation] = str(rows[0][0]) if rows else ""
        before, self._last[conversation] = self._last[conversation], id
        return before if before != id else ""

    def _write_entities(self) -> None:
        changed, self.resolver.changed = self.resolver.changed, {}
        if changed:
            self.write_entities(list(changed.values()))

    def write_entities(self, entities: Sequence[Known]) -> None:
        """Names, types and votes as the registry has them."""
        self.graph.write(
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
        vectors = [
            {"id": e.id, "vector": self._name_vectors[e.name]}
            for e in entities
            if e.name in self._name_vectors
        ]
        if vectors:
            self.graph.write(
                "UNWIND $rows AS r MATCH (e:Entity {id: r.id}) SET e.embedding = vecf32(r.vector)",
                rows=vectors,
            )

    def _write_mentions(
        self, reads: list[Read], mentions: dict[str, list[tuple[int, Entity, Resolved]]]
    ) -> None:
        rows: list[dict[str, Any]] = [
            {
                "m": read.note.id,
                "e": resolved.id,
                "i": i,
                "surface": mention.text,
                "start": mention.start,
                "end": mention.end,
                "type": mention.type,
                "confidence": round(mention.confidence * resolved.confidence, 4),
                "how": resolved.how,
            }
            for read in reads
            for i, mention, resolved in mentions[read.note.id]
        ]
        self._create_mentions(rows)
        for found in mentions.values():
            for _, mention, resolved in found:
                if resolved.guessed:
                    name = self.registry.by_id[resolved.id].name
                    self.store.note_link(resolved.id, name, mention.text, resolved.how)

    def _create_mentions(self, rows: list[dict[str, Any]]) -> None:
        if rows:
            self.graph.write(
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
        self.graph.write(
            "UNWIND $ids AS id MATCH (e:Entity {id: id}) "
            "OPTIONAL MATCH (e)<-[:MENTIONS]-(m:Message) "
            "WITH e, count(DISTINCT m) AS c, min(m.time) AS a, max(m.time) AS b "
            "SET e.mentions = c, e.first_seen = coalesce(a, e.first_seen), "
            "e.last_seen = coalesce(b, e.last_seen)",
            ids=ids,
        )

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
            self.graph.write(
                "UNWIND $rows AS r MERGE (m:Message {id: r.id}) SET m += r.set", rows=rows
            )
            self._link(rows)
            self._create_mentions(mentions)
        self.graph.write("MATCH (x:Meta) SET x.n = $n", n=self._n)

    # --- names that mean the same ---------------------------------------------------------------

    def _embed_names(self) -> None:
        if self.embedder is None:
            return
        missing = [
            e.name
            for e in self.resolver.changed.values()
            if e.kind == "thing" and e.name not in self._name_vectors
        ]
        self._vectors_for(missing)

    def _vectors_for(self, wanted: Sequence[str]) -> None:
        if self.embedder is None or not wanted:
            return
        if len(self._name_vectors) > 20_000:
            self._name_vectors.clear()
        for name, vector in zip(wanted, self.embedder.embed(list(wanted)), strict=True):
            self._name_vectors[name] = [float(x) for x in vector]

    def _meaning(self, name: str, kind: str) -> str | None:
        """An entity whose name is other words for the same: it shares a stem and its vector."""
        stems = set(text.terms(name))
        if not stems or not any(
            self.registry.by_id[id].kind == kind for id in self.registry.with_stems(stems)
        ):
            return None
        if name not in self._name_vectors:
            self._vectors_for([name])
        rows = self.graph.read(
            "CALL db.idx.vector.queryNodes('Entity', 'embedding', 3, vecf32($v)) "
            "YIELD node, score RETURN node.id, score",
            v=self._name_vectors[name],
        )
        for id, distance in rows:
            entity = self.registry.by_id.get(id)
            if entity is None or distance > MEANING or entity.kind != kind:
                continue
            other = self.registry.stems(id)
            if _numbers(name) == _numbers(entity.name) and (stems <= other or other <= stems):
                return str(id)
        return None

    # --- taking out --------------------------------------------------------------------------------

    def remove(self, notes: Sequence[str]) -> list[str]:
        """Take messages out with all that only they supported. Returns the entities that went."""
        touched = self.store.entities_in(notes)
        groups = groups_of(self.graph, self.rules, touched) if touched else set()
        self._join_around(notes)
        self.graph.write("MATCH (m:Message) WHERE m.id IN $ids DELETE m", ids=list(notes))
        self._last = {c: m for c, m in self._last.items() if m not in set(notes)}
        self._said.clear()
        rebuild(self.graph, groups)
        self.count(touched)
        return self.remove_unmentioned(touched)

    def remove_unmentioned(self, entities: Sequence[str]) -> list[str]:
        """Remove those of some entities that no message mentions any more."""
        gone = [
            str(row[0])
            for row in self.graph.read(
                "MATCH (e:Entity) WHERE e.id IN $ids AND NOT (e)<-[:MENTIONS]-(:Message) RETURN e.id",
                ids=list(entities),
            )
        ]
        if gone:
            self.graph.write("MATCH (e:Entity) WHERE e.id IN $ids DELETE e", ids=gone)
            self.graph.write(
                "MATCH (x:Ruling) WHERE x.head IN $ids OR x.tail IN $ids DELETE x", ids=gone
            )
            for id in gone:
                self.registry.remove(id)
        return gone

    def _join_around(self, notes: Sequence[str]) -> None:
        """Neighbours of a message that goes become neighbours."""
        for id in notes:
            self.graph.write(
                "MATCH (a:Message)-[:NEXT]->(:Message {id: $id})-[:NEXT]->(b:Message) "
                "MERGE (a)-[:NEXT]->(b)",
                id=id,
            )

    # --- anew -------------------------------------------------------------------------------------

    def embed_again(self) -> int:
        """Make all vectors anew, after the embedder was changed. Returns how many."""
        if self.embedder is None:
            return 0
        done = 0
        while rows := self.graph.read(
            "MATCH (m:Message) WHERE m.embedding IS NULL "
            "OPTIONAL MATCH (b:Message)-[:NEXT]->(m) OPTIONAL MATCH (a:Message)-[:NEXT]->(b) "
            "RETURN m.id, m.text, m.kind, a.speaker, a.text, b.speaker, b.text, m.speaker LIMIT 64"
        ):
            windows = []
            for _, said, kind, a_who, a, b_who, b, who in rows:
                before = [spoken(w, t) for w, t in ((a_who, a), (b_who, b)) if t]
                windows.append(
                    said if kind == "document" else " ".join([*before, spoken(who, said)])
                )
            made = self.embedder.embed([str(row[1]) for row in rows] + windows)
            self._write_vectors(
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
        while rows := self.graph.read(
            "MATCH (e:Entity) WHERE e.embedding IS NULL RETURN e.id, e.name LIMIT 64"
        ):
            made = self.embedder.embed([str(row[1]) for row in rows])
            self.graph.write(
                "UNWIND $rows AS r MATCH (e:Entity {id: r.id}) SET e.embedding = vecf32(r.vector)",
                rows=[
                    {"id": row[0], "vector": [float(x) for x in vector]}
                    for row, vector in zip(rows, made, strict=True)
                ],
            )
            done += len(rows)
        return done


def kinds_of(read: Read) -> list[str]:
    """What a message speaks of: types of its mentions, and whether it says when or how many."""
    found = {mention.type for mention in read.entities}
    if dates.find(read.note.text, read.note.time):
        found.add("date")
    if re.search(r"\d", read.note.text):
        found.add("quantity")
    return sorted(found)


def spoken(speaker: str, said: str) -> str:
    """A message in a window."""
    return f"{speaker}: {said}" if speaker else said


def _numbers(name: str) -> list[str]:
    return re.findall(r"\d+", name)
