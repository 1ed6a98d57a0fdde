"""Facts from evidence: when a relation held, what ended it, and the edges that say so.

Evidence is what messages say (and people, by rulings). The edges between two entities are made from
it group by group: a group is what excludes one another (where somebody lives; whether they like
something). The result depends on the evidence only, not on the order in which it came.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from agents.memory.graph import GraphDB, name_of
from agents.memory.types import AT_ONCE
from engine.config import MemoryConfig


@dataclass(frozen=True, slots=True)
class Evidence:
    """One message says that a relation holds, or (`ends`) that it holds no more.

    `denied`: it says that it does not hold, which ends it where it did and tells of no past.
    """

    source: str
    time: float
    type: str
    tail: str
    confidence: float
    ends: bool = False
    weak: bool = False  # an agent says so
    denied: bool = False
    beside: bool = False  # holds beside others of its group: "I've lived in Austria since 2009"
    words: str = ""  # who says it and the whole message, by which one that went to several is known


@dataclass(slots=True)
class Episode:
    """A time during which a relation held."""

    type: str
    tail: str
    start: float
    end: float | None = None
    sources: list[str] = field(default_factory=list)
    doubt: float = 1.0  # product of 1 - confidence
    closed_by: Episode | None = None
    ended_by: str = ""  # the message that said so
    heard: list[tuple[str, float]] = field(default_factory=list)  # words and times that counted

    @property
    def confidence(self) -> float:
        return round(1.0 - self.doubt, 4)


@dataclass(frozen=True, slots=True)
class Group:
    """What excludes one another: a head with some types, and all tails or only one."""

    space: str
    head: str
    types: tuple[str, ...]
    tail: str = ""  # "" = any
    exclusive: bool = False


class Rules:
    """Which relations exclude one another, from [memory]."""

    def __init__(self, config: MemoryConfig) -> None:
        self.functional = frozenset(config.functional)
        self.opposites: dict[str, tuple[str, ...]] = {}
        for pair in config.opposites:
            types = tuple(part.strip() for part in pair.split("/") if part.strip())
            for type in types:
                self.opposites[type] = types

    def group(self, space: str, head: str, type: str, tail: str) -> Group:
        """The group that evidence for this relation belongs to."""
        if type in self.functional:
            return Group(space, head, (type,), exclusive=True)
        if type in self.opposites:
            return Group(space, head, self.opposites[type], tail, exclusive=True)
        return Group(space, head, (type,), tail)


def episodes(
    evidence: Iterable[Evidence],
    exclusive: bool,
    rejected: frozenset[tuple[str, str]] = frozenset(),
) -> list[Episode]:
    """When each relation of a group held. `rejected`: (type, tail) that a person called wrong.

    Of an exclusive group a later relation ends the earlier ones; two of the same moment both stay.
    Rejected ones end nothing, and what agents say does not contradict what people said.
    """
    evidence = list(evidence)
    if exclusive:
        strong = {(e.type, e.tail) for e in evidence if not e.weak}
        evidence = [e for e in evidence if not strong or (e.type, e.tail) in strong]
    made: list[Episode] = []
    opened: dict[tuple[str, str], Episode] = {}
    closed: dict[tuple[str, str], Episode] = {}
    for item in sorted(evidence, key=lambda e: (e.time, e.source, e.ends, e.type, e.tail)):
        value = (item.type, item.tail)
        current = opened.get(value)
        if item.ends:
            before = closed.get(value)
            if current is None and (item.denied or (before and before.end == item.time)):
                continue  # it never held, or the same moment's successor has ended it
            if current is None and before and _heard(before, item):
                continue
            if current is None:
                made.append(Episode(item.type, item.tail, item.time, item.time, [item.source]))
                made[-1].doubt = 1 - item.confidence
                made[-1].ended_by = item.source
                made[-1].heard = [(item.words, item.time)]
                closed[value] = made[-1]
            elif item.source not in current.sources:
                current.end, current.ended_by = item.time, item.source
                current.heard.append((item.words, item.time))
                closed[value] = opened.pop(value)
            continue
        if current is None:
            current = opened[value] = Episode(item.type, item.tail, item.time)
            made.append(current)
            if exclusive and value not in rejected and not item.beside:
                for other, episode in list(opened.items()):
                    if other != value and episode.start < item.time and other not in rejected:
                        episode.end, episode.closed_by = item.time, current
                        episode.ended_by = item.source
                        closed[other] = opened.pop(other)
        if item.source not in current.sources:
            current.sources.append(item.source)
            if not _heard(current, item):
                current.doubt *= 1 - min(item.confidence, 0.99)
                current.heard.append((item.words, item.time))
    return made


def _heard(episode: Episode, item: Evidence) -> bool:
    """Whether one message to several agents is told again: said once, it counts once."""
    return bool(item.words) and any(
        words == item.words and abs(time - item.time) <= AT_ONCE for words, time in episode.heard
    )


def fact_id(group: Group, episode: Episode) -> str:
    """The same evidence gives the same id."""
    text = "|".join((group.space, group.head, episode.type, episode.tail, episode.sources[0]))
    return "f-" + hashlib.sha1(text.encode()).hexdigest()[:14]


def rebuild(graph: GraphDB, groups: Iterable[Group]) -> tuple[list[str], list[str]]:
    """Make the edges of some groups anew. Returns ids of facts that began, and that ended."""
    begun: list[str] = []
    ended: list[str] = []
    for group in dict.fromkeys(groups):
        evidence, ruled = gather(graph, group)
        rejected = frozenset(value for value, status in ruled.items() if status == "rejected")
        before = _edges(graph, group)
        after = {
            fact_id(group, episode): (episode, ruled.get((episode.type, episode.tail), "learnt"))
            for episode in episodes(evidence, group.exclusive, rejected)
        }
        b, e = _replace(graph, group, before, after)
        begun += b
        ended += e
    return begun, ended


def gather(graph: GraphDB, group: Group) -> tuple[list[Evidence], dict[tuple[str, str], str]]:
    """All evidence of a group, and what people ruled: (type, tail) -> status."""
    rows = graph.read(
        "MATCH (h:Entity {id: $head})<-[:MENTIONS]-(m:Message) "
        "WHERE m.space = $space AND any(t IN m.reltypes WHERE t IN $types) "
        "WITH DISTINCT m MATCH (m)-[r:MENTIONS]->(e:Entity) "
        "RETURN m.id, m.time, m.relations, m.voice, collect([r.i, e.id]), m.speaker, m.text",
        head=group.head,
        space=group.space,
        types=list(group.types),
    )
    found: list[Evidence] = []
    for source, time, relations, voice, pairs, speaker, text in rows:
        entity = {int(i): str(e) for i, e in pairs}
        for head, tail, type, confidence, ends in json.loads(relations):
            h, t = entity.get(head), entity.get(tail)
            if h != group.head or t is None or t == h or type not in group.types:
                continue
            if group.tail and t != group.tail:
                continue
            weak = voice == "agent"
            found.append(
                Evidence(
                    source,
                    time,
                    type,
                    t,
                    confidence,
                    ends in (True, 2),
                    weak,
                    denied=ends == 2,
                    beside=ends == 3,
                    words=f"{speaker}: {text}",
                )
            )
    ruled: dict[tuple[str, str], str] = {}
    for type, tail, status, sources, time in graph.read(
        "MATCH (x:Ruling) WHERE x.space = $space AND x.head = $head AND x.type IN $types "
        "AND ($tail = '' OR x.tail = $tail) RETURN x.type, x.tail, x.status, x.sources, x.time",
        space=group.space,
        head=group.head,
        types=list(group.types),
        tail=group.tail,
    ):
        ruled[(type, tail)] = status
        if status == "accepted":
            found += [Evidence(s, time, type, tail, 0.99) for s in sources or ()]
    return found, ruled


def _edges(graph: GraphDB, group: Group) -> dict[str, tuple[Any, ...]]:
    pattern = "|".join(name_of(type) for type in group.types)
    rows = graph.read(
        f"MATCH (h:Entity {{id: $head}})-[f:{pattern}]->(t:Entity) "
        "WHERE f.space = $space AND ($tail = '' OR t.id = $tail) "
        "RETURN f.id, f.valid_to, type(f), t.id",
        head=group.head,
        space=group.space,
        tail=group.tail,
    )
    return {str(row[0]): tuple(row[1:]) for row in rows}


def _replace(
    graph: GraphDB,
    group: Group,
    before: dict[str, tuple[Any, ...]],
    after: dict[str, tuple[Episode, str]],
) -> tuple[list[str], list[str]]:
    gone = [fact for fact in before if fact not in after]
    if gone:
        pattern = "|".join(name_of(type) for type in group.types)
        graph.write(
            f"MATCH (h:Entity {{id: $head}})-[f:{pattern}]->(:Entity) WHERE f.id IN $gone DELETE f",
            head=group.head,
            gone=gone,
        )
    ids = {id(episode): fact for fact, (episode, _) in after.items()}
    by_type: dict[str, list[dict[str, Any]]] = {}
    for fact, (episode, status) in after.items():
        by_type.setdefault(episode.type, []).append(
            {
                "id": fact,
                "tail": episode.tail,
                "from": episode.start,
                "to": episode.end,
                "by": ids.get(id(episode.closed_by), "") if episode.closed_by else "",
                "ended_by": episode.ended_by,
                "confidence": 1.0 if status == "accepted" else episode.confidence,
                "status": status,
                "sources": episode.sources,
            }
        )
    for type, rows in by_type.items():
        graph.write(
            "MATCH (h:Entity {id: $head}) UNWIND $rows AS r MATCH (t:Entity {id: r.tail}) "
            f"MERGE (h)-[f:{name_of(type)} {{id: r.id}}]->(t) "
            "SET f.space = $space, f.confidence = r.confidence, f.valid_from = r.from, "
            "f.valid_to = r.to, f.superseded_by = r.by, f.ended_by = r.ended_by, "
            "f.status = r.status, f.sources = r.sources",
            head=group.head,
            space=group.space,
            rows=rows,
        )
    begun = [fact for fact in after if fact not in before]
    ended = [
        fact
        for fact, (episode, _) in after.items()
        if episode.end is not None and fact in before and before[fact][0] is None
    ]
    return begun, ended


def groups_of(graph: GraphDB, rules: Rules, entities: Sequence[str]) -> set[Group]:
    """All groups that some entities take part in, by evidence, rulings, or edges that are there."""
    groups: set[Group] = set()
    wanted = set(entities)
    rows = graph.read(
        "MATCH (e:Entity)<-[:MENTIONS]-(m:Message) WHERE e.id IN $ids AND size(m.reltypes) > 0 "
        "WITH DISTINCT m MATCH (m)-[r:MENTIONS]->(x:Entity) "
        "RETURN m.space, m.relations, collect([r.i, x.id])",
        ids=list(wanted),
    )
    for space, relations, pairs in rows:
        entity = {int(i): str(e) for i, e in pairs}
        for head, tail, type, _, _ in json.loads(relations):
            h, t = entity.get(head), entity.get(tail)
            if h and t and (h in wanted or t in wanted):
                groups.add(rules.group(space, h, type, t))
    for query in (
        "MATCH (h:Entity)-[f]->(t:Entity) WHERE h.id IN $ids OR t.id IN $ids "
        "RETURN f.space, h.id, type(f), t.id",
        "MATCH (x:Ruling) WHERE x.head IN $ids OR x.tail IN $ids "
        "RETURN x.space, x.head, x.type, x.tail",
    ):
        for space, head, type, tail in graph.read(query, ids=list(wanted)):
            groups.add(rules.group(space, head, type, tail))
    return groups
