"""Taking messages in and out: read, resolved, written and counted, a batch at a time.

A message that is known with the same text changes nothing. One that was interrupted is not marked
`done` and is taken in again from its start; every write can be repeated.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from agents.memory import names
from agents.memory.events import Learnt
from agents.memory.facts import Group, Rules, groups_of, rebuild
from agents.memory.graph import GraphDB
from agents.memory.learnt import Mentions, learnt
from agents.memory.meaning import Meanings
from agents.memory.merging import Merger
from agents.memory.reading import Read, Reading
from agents.memory.registry import Registry
from agents.memory.resolve import Resolved, Resolver
from agents.memory.store import Store
from agents.memory.types import Embedder, Entity, Extractor, Note
from agents.memory.writer import Writer
from engine.config import MemoryConfig

BATCH = 16
HEARSAY = 0.8  # how much of a relation's confidence is left when an agent says it


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
        self.store = Store(graph)
        self.rules = Rules(config)
        self._extractor = extractor.name if extractor else ""
        self._reading = Reading(graph, config, extractor, embedder)
        self._meanings = Meanings(graph, registry, embedder) if embedder else None
        self.resolver = Resolver(registry, self._meanings.same if self._meanings else None)
        self.writer = Writer(graph, self._meanings)
        self.merger = Merger(graph, registry, self.store, self.writer, self.rules)

    # --- taking in -------------------------------------------------------------------------------

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
        changed: list[str] = []
        for id, known, done, by in self.graph.read(
            "MATCH (m:Message) WHERE m.id IN $ids RETURN m.id, m.text, m.done, m.extractor",
            ids=list(by_id),
        ):
            if known == by_id[id].text and done and (by or not self._extractor):
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
        reads = self._reading.read(notes)
        before = set(self.registry.by_id)
        mentions: Mentions = {read.note.id: self._resolve(read) for read in reads}
        self.writer.messages(reads, self._extractor)
        self._write_entities()
        self._write_mentions(reads, mentions)
        joined = self._join(mentions)
        groups = {group for read in reads for group in self._groups(read, mentions[read.note.id])}
        begun, ended = rebuild(self.graph, groups)
        self.writer.count([r.id for found in mentions.values() for _, _, r in found])
        self.writer.done([read.note.id for read in reads])
        seconds = time.monotonic() - began
        return learnt(self.store, reads, mentions, before, [*joined, *begun, *ended], seconds)

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
            if i in read.named:
                self.resolver.give_name(read.named[i], mention, note, speaker, listener)
            resolved = self.resolver.resolve(
                mention,
                note,
                speaker,
                listener,
                i in births,
                read.phrases.get(i),
                i in read.idle,
            )
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

    def _write_entities(self) -> None:
        changed, self.resolver.changed = list(self.resolver.changed.values()), {}
        if self._meanings is not None:
            self._meanings.learn([e.name for e in changed if e.kind == "thing"])
        if changed:
            self.writer.entities(changed)

    def _write_mentions(self, reads: list[Read], mentions: Mentions) -> None:
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
        self.writer.mentions(rows)
        for found in mentions.values():
            for _, mention, resolved in found:
                if resolved.guessed:
                    name = self.registry.by_id[resolved.id].name
                    self.store.note_link(resolved.id, name, mention.text, resolved.how)

    def _join(self, mentions: Mentions) -> list[str]:
        """Make one of entities that a message says are one: "my boss is Ines", where both were
        spoken of before. Returns the ids of facts that began."""
        resolver = self.resolver
        for id, was in resolver.named:
            self.store.note_link(id, self.registry.by_id[id].name, was, "the name was told")
        resolver.named = []
        begun: list[str] = []
        joined, resolver.joined = dict.fromkeys(resolver.joined), []
        for kept, gone in joined:
            if gone not in self.registry.by_id or kept not in self.registry.by_id:
                continue
            begun += self.merger.merge(self.registry.by_id[kept], self.registry.by_id[gone])[1]
            for found in mentions.values():
                found[:] = [
                    (i, mention, replace(each, id=kept) if each.id == gone else each)
                    for i, mention, each in found
                ]
        return begun

    # --- taking out ------------------------------------------------------------------------------

    def remove(self, notes: Sequence[str]) -> list[str]:
        """Take messages out with all that only they supported. Returns the entities that went."""
        touched = self.store.entities_in(notes)
        groups = groups_of(self.graph, self.rules, touched) if touched else set()
        self.writer.remove_messages(notes)
        self._reading.forget_windows()
        rebuild(self.graph, groups)
        self.writer.count(touched)
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
