"""All entities' names in memory, so that a mention is resolved without asking the database."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from rapidfuzz import fuzz, process

from agents.memory import names, text
from agents.memory.graph import GraphDB


@dataclass(slots=True, eq=False)
class Known:
    """An entity as the resolver sees it."""

    id: str
    name: str
    type: str
    aliases: list[str] = field(default_factory=list)
    votes: Counter[str] = field(default_factory=Counter)  # type -> mentions that said so

    @property
    def kind(self) -> str:
        return names.kind(self.type)

    @property
    def keys(self) -> set[str]:
        return {names.key(name) for name in (self.name, *self.aliases)} - {""}


class Registry:
    """Entities by id, by the keys of their names, and by the stems in them."""

    def __init__(self) -> None:
        self.by_id: dict[str, Known] = {}
        self._by_key: dict[str, dict[str, Known]] = {}
        self._by_stem: dict[str, set[str]] = {}
        self._stems: dict[str, set[str]] = {}
        self._keys: dict[str, set[str]] = {}  # as they were added; names change in between

    @classmethod
    def load(cls, graph: GraphDB) -> Registry:
        """All entities of the graph."""
        registry = cls()
        for id, name, type, aliases, votes in graph.read(
            "MATCH (e:Entity) RETURN e.id, e.name, e.type, e.aliases, e.votes"
        ):
            registry.add(Known(id, name, type, list(aliases or ()), Counter(json.loads(votes))))
        return registry

    def replace(self, other: Registry) -> None:
        """Take over what another registry knows."""
        self.by_id, self._by_key = other.by_id, other._by_key
        self._by_stem, self._stems, self._keys = other._by_stem, other._stems, other._keys

    def __len__(self) -> int:
        return len(self.by_id)

    def add(self, entity: Known) -> None:
        """A new entity, or one whose names have changed."""
        if entity.id in self.by_id:
            self.remove(entity.id)
        self.by_id[entity.id] = entity
        stems = {stem for name in (entity.name, *entity.aliases) for stem in text.terms(name)}
        self._stems[entity.id] = stems
        for stem in stems:
            self._by_stem.setdefault(stem, set()).add(entity.id)
        self._keys[entity.id] = entity.keys
        for key in self._keys[entity.id]:
            self._by_key.setdefault(key, {})[entity.id] = entity

    def remove(self, id: str) -> None:
        """An entity that is gone."""
        entity = self.by_id.pop(id, None)
        if entity is None:
            return
        for stem in self._stems.pop(id, ()):
            self._by_stem[stem].discard(id)
        for key in self._keys.pop(id, set()):
            self._by_key[key].pop(id, None)
            if not self._by_key[key]:
                del self._by_key[key]

    def named(self, name: str) -> list[Known]:
        """Entities with exactly that name or alias, as `names.key` compares."""
        return list(self._by_key.get(names.key(name), {}).values())

    def fuzzy(self, name: str, kind: str) -> Known | None:
        """The entity of that kind whose spelling is closest, if it is close enough."""
        key = names.key(name)
        if len(key) < names.SHORT:
            return None
        for found, _, _ in process.extract(
            key, self._by_key.keys(), scorer=fuzz.ratio, score_cutoff=names.FUZZY, limit=8
        ):
            if names.similar(key, found):
                for entity in self._by_key[found].values():
                    if entity.kind == kind:
                        return entity
        return None

    def abbreviated(self, name: str) -> list[Known]:
        """Entities that a name abbreviates, or whose abbreviation it spells out."""
        if names.is_abbreviation(name):
            letters = names.key(name)
            return [
                e
                for e in self.by_id.values()
                if any(names.initials(n) == letters for n in (e.name, *e.aliases))
            ]
        letters = names.initials(name)
        return [
            e
            for e in self._by_key.get(letters, {}).values()
            if any(names.abbreviates(n, name) for n in (e.name, *e.aliases))
        ]

    def with_stems(self, stems: Iterable[str]) -> dict[str, set[str]]:
        """Entities whose names have some of these stems: id -> the stems they share."""
        found: dict[str, set[str]] = {}
        for stem in stems:
            for id in tuple(self._by_stem.get(stem, ())):  # the writer may add to it
                found.setdefault(id, set()).add(stem)
        return found

    def stems(self, id: str) -> set[str]:
        """The stems of an entity's names."""
        return self._stems.get(id, set())

    def rarity(self, stem: str) -> int:
        """How many entities have that stem in a name."""
        return len(self._by_stem.get(stem, ()))

    def search(self, words: str, limit: int) -> list[str]:
        """Ids of entities whose names fit what a person types, best first."""
        key = names.key(words)
        if not key:
            return list(self.by_id)[:limit]
        begins = [id for k, found in list(self._by_key.items()) if key in k for id in found]
        near = process.extract(
            key, list(self._by_key), scorer=fuzz.WRatio, score_cutoff=80, limit=limit
        )
        also = [id for found, _, _ in near for id in self._by_key[found]]
        return list(dict.fromkeys(sorted(begins, key=lambda i: len(self.by_id[i].name)) + also))[
            :limit
        ]
