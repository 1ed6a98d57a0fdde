"""Corrections by people: merge, split, accept, reject, edit, rename, forget, and undo."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from agents.memory import names, relatives
from agents.memory.errors import QueryError
from agents.memory.facts import groups_of, rebuild
from agents.memory.graph import GraphDB, name_of
from agents.memory.merging import state_of
from agents.memory.recorder import Recorder
from agents.memory.registry import Known
from agents.memory.types import Change, Fact, Node


class Editor:
    """Changes a graph at a person's word. Uses the recorder's thread."""

    def __init__(self, graph: GraphDB, recorder: Recorder) -> None:
        self.graph = graph
        self.recorder = recorder
        self.registry = recorder.registry
        self.store = recorder.store
        self.merger = recorder.merger

    # --- entities --------------------------------------------------------------------------------

    def known(self, entity: str) -> Known:
        """An entity by id or by name. Raises QueryError if there is none, or several."""
        found = self.registry.by_id.get(entity)
        if found is not None:
            return found
        named = self.registry.named(entity)
        if len(named) == 1:
            return named[0]
        if named:
            ids = ", ".join(f"{e.id} ({e.type})" for e in named)
            raise QueryError(f"Several are called '{entity}': {ids}.", "Give one of these ids.")
        near = self.registry.search(entity, 3)
        hint = ", ".join(self.registry.by_id[id].name for id in near)
        raise QueryError(
            f"Nothing called '{entity}' is known.", f"Near it: {hint}." if hint else ""
        )

    def rename(self, entity: str, name: str = "", type: str = "") -> Node:
        """Correct an entity's name or type; the old name stays an alias."""
        known = self.known(entity)
        before = state_of(known)
        if name.strip() and name.strip() != known.name:
            known.aliases = [
                a for a in dict.fromkeys([known.name, *known.aliases]) if a != name.strip()
            ]
            known.name = name.strip()
        if type:
            if type not in self.recorder.config.entity_types:
                raise QueryError(
                    f"'{type}' is no type of entity.", "memory.entity_types lists them."
                )
            known.type = type
            known.votes[type] = max(known.votes.values(), default=0) + 1000
        self.registry.add(known)
        self.recorder.writer.entities([known])
        self.store.note_change(
            "rename", f"{before['name']} is now {known.name} ({known.type}).", json.dumps(before)
        )
        return self.store.nodes([known.id])[0]

    def merge(self, into: str, other: str) -> Change:
        """Make one entity of two; `undo` brings both back."""
        kept, gone = self.known(into), self.known(other)
        if kept is gone:
            raise QueryError(f"{kept.name} cannot be merged with itself.", "Choose two entities.")
        return self.merger.merge(kept, gone)[0]

    def split(self, entity: str, alias: str, type: str = "") -> Node:
        """Make a new entity of the mentions that were written as `alias`."""
        known = self.known(entity)
        key = names.key(alias)
        rows = self.graph.read(
            "MATCH (m:Message)-[r:MENTIONS]->(:Entity {id: $id}) RETURN m.id, r.i, r.surface",
            id=known.id,
        )
        pairs = [
            [m, int(i)]
            for m, i, surface in rows
            if names.key(surface) == key or relatives.means(alias, surface)
        ]
        if not pairs or len(pairs) == len(rows):
            how = "No mention" if not pairs else "Every mention"
            raise QueryError(
                f"{how} of {known.name} is written '{alias}'.", "Give one of its other names."
            )
        groups = groups_of(self.graph, self.recorder.rules, [known.id])
        fresh = Known("e-" + secrets.token_hex(6), names.display(alias), type or known.type)
        known.aliases = [a for a in known.aliases if names.key(a) != key]
        if names.key(known.name) == key and known.aliases:
            known.name = known.aliases.pop(0)
        for each in (known, fresh):
            self.registry.add(each)
        self.recorder.writer.entities([known, fresh])
        self.merger.repoint(pairs, known.id, fresh.id)
        self.recorder.resolver.kept_apart.add((known.id, key))
        self.graph.write(
            "MATCH (e:Entity {id: $id}) SET e.apart = coalesce(e.apart, []) + $key",
            id=known.id,
            key=key,
        )
        groups |= groups_of(self.graph, self.recorder.rules, [known.id, fresh.id])
        rebuild(self.graph, groups)
        self.recorder.writer.count([known.id, fresh.id])
        self.store.note_change(
            "split",
            f"'{alias}' is somebody or something else than {known.name}.",
            json.dumps({"into": known.id, "other": fresh.id, "key": key}),
        )
        return self.store.nodes([fresh.id])[0]

    def forget(self, entity: str) -> str:
        """Remove an entity, the messages that mention it with what agents answered to them, and
        what only they supported.

        The messages' ids are kept, so that they are not taken in again; their text is not.
        """
        known = self.known(entity)
        rows = self.graph.read(
            "MATCH (m:Message)-[:MENTIONS]->(:Entity {id: $id}) RETURN DISTINCT m.id", id=known.id
        )
        messages = self._with_echoes([str(row[0]) for row in rows], known)
        facts = len(self.store.about([known.id], past=True, limit=100_000))
        self.graph.write(
            "UNWIND $ids AS id MERGE (:Forgotten {id: id})",
            ids=messages,
        )
        self.recorder.remove(messages)
        if known.id in self.registry.by_id:
            self.graph.write("MATCH (e:Entity {id: $id}) DELETE e", id=known.id)
            self.registry.remove(known.id)
        # What was written down about it holds its name.
        for name in (known.name, *known.aliases):
            self.graph.write(
                "MATCH (x:Change) WHERE x.text CONTAINS $name OR x.undo CONTAINS $id DELETE x",
                name=name,
                id=known.id,
            )
        self.graph.rewrite()
        return f"Forgot {known.name}: {_count(len(messages), 'message')}, {_count(facts, 'fact')}."

    def _with_echoes(self, messages: list[str], known: Known) -> list[str]:
        """Some messages, the agents' answers to them, and whatever else agents said with a name of
        the entity in it: they repeat what they hear, and not all they say is read."""
        answers = self.graph.read(
            "MATCH (m:Message)-[:NEXT]->(a:Message {voice: 'agent'}) WHERE m.id IN $ids RETURN a.id",
            ids=messages,
        )
        found = dict.fromkeys([*messages, *(str(row[0]) for row in answers)])
        said = {n.lower() for n in (known.name, *known.aliases)} - names.PRONOUNS - {"you"}
        for name in sorted(n for n in said if len(n) > 1):
            whole = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")
            rows = self.graph.read(
                "MATCH (m:Message {voice: 'agent'}) WHERE toLower(m.text) CONTAINS $name "
                "RETURN m.id, m.text",
                name=name,
            )
            found.update((str(id), None) for id, text in rows if whole.search(str(text).lower()))
        return list(found)

    # --- facts -------------------------------------------------------------------------------------

    def accept(self, fact: str) -> None:
        """A person says that a fact is right."""
        self._rule(self.store.fact(fact), "accepted", "accept")

    def reject(self, fact: str) -> None:
        """A person says that a fact is wrong: it is not recalled, ends nothing, stays rejected."""
        self._rule(self.store.fact(fact), "rejected", "reject")

    def edit(self, fact: str, type: str = "", tail: str = "", head: str = "") -> Fact:
        """Correct a fact; `head` and `tail` are ids or names, a new name makes a new entity."""
        old = self.store.fact(fact)
        new_type = type or old.type
        if new_type not in self.recorder.config.relation_types:
            raise QueryError(
                f"'{new_type}' is no type of relation.", "memory.relation_types lists them."
            )
        new_head = self._entity(head, old.head)
        new_tail = self._entity(tail, old.tail)
        if (new_head, new_type, new_tail) == (old.head, old.type, old.tail):
            raise QueryError("Nothing was changed.", "Give another head, type or tail.")
        if new_head == new_tail:
            raise QueryError("A fact needs two different entities.")
        before = [
            self._put(old.space, old.head, old.type, old.tail, "rejected", []),
            self._put(
                old.space,
                new_head,
                new_type,
                new_tail,
                "accepted",
                [s.message for s in old.sources],
                old.valid_from,
            ),
        ]
        self._rebuild_of(before)
        rows = self.graph.read(
            f"MATCH (:Entity {{id: $h}})-[f:{name_of(new_type)}]->(:Entity {{id: $t}}) "
            "WHERE f.space = $space RETURN f.id ORDER BY f.valid_from DESC LIMIT 1",
            h=new_head,
            t=new_tail,
            space=old.space,
        )
        new = self.store.fact(str(rows[0][0]))
        self.store.note_change("edit", f"“{old.words}” is “{new.words}”.", json.dumps(before))
        return new

    # --- undo --------------------------------------------------------------------------------------

    def undo(self, change: str = "") -> Change:
        """Undo a change by its id; "" = the newest that can be. Raises QueryError if none can."""
        rows = self.graph.read(
            "MATCH (x:Change) WHERE NOT x.undone AND x.undo <> '' AND ($id = '' OR x.id = $id) "
            "AND ($id <> '' OR x.kind <> 'link') "
            "RETURN x.id, x.kind, x.text, x.time, x.undo, x.entity, x.alias "
            "ORDER BY x.time DESC LIMIT 1",
            id=change,
        )
        if not rows:
            what = f"The change {change}" if change else "Nothing"
            raise QueryError(f"{what} can be undone.".replace("The change", "No change"))
        id, kind, text, when, undo, entity, alias = rows[0]
        match kind:
            case "merge":
                noted = json.loads(undo)
                self.merger.unmerge(self.known(noted["into"]), noted)
            case "split":
                self._unsplit(json.loads(undo))
            case "link":
                self.split(entity, alias)
            case "rename":
                self._unrename(json.loads(undo))
            case _:
                rulings = json.loads(undo)
                for ruling in rulings:
                    self._restore(ruling)
                self._rebuild_of(rulings)
        self.graph.write("MATCH (x:Change {id: $id}) SET x.undone = true", id=id)
        return Change(id, kind, text, float(when), True)

    def _unsplit(self, undo: dict[str, Any]) -> None:
        kept, other = self.known(undo["into"]), self.known(undo["other"])
        self.recorder.resolver.kept_apart.discard((kept.id, undo["key"]))
        self.graph.write(
            "MATCH (e:Entity {id: $id}) SET e.apart = [k IN e.apart WHERE k <> $key]",
            id=kept.id,
            key=undo["key"],
        )
        merged = self.merge(kept.id, other.id)
        self.graph.write("MATCH (x:Change {id: $id}) DELETE x", id=merged.id)

    def _unrename(self, before: dict[str, Any]) -> None:
        known = self.known(before["id"])
        known.name, known.type = before["name"], before["type"]
        known.aliases, known.votes = before["aliases"], Counter(before["votes"])
        self.registry.add(known)
        self.recorder.writer.entities([known])

    # --- inside ------------------------------------------------------------------------------------

    def _entity(self, wanted: str, otherwise: str) -> str:
        if not wanted.strip():
            return otherwise
        try:
            return self.known(wanted).id
        except QueryError:
            if self.registry.named(wanted) or wanted.startswith("e-"):
                raise
        fresh = Known("e-" + secrets.token_hex(6), wanted.strip(), "misc")
        self.registry.add(fresh)
        self.recorder.writer.entities([fresh])
        return fresh.id

    def _rule(self, fact: Fact, status: str, kind: str) -> None:
        before = [self._put(fact.space, fact.head, fact.type, fact.tail, status, [])]
        self._rebuild_of(before)
        self.store.note_change(kind, f"“{fact.words}” was {status}.", json.dumps(before))

    def _put(
        self,
        space: str,
        head: str,
        type: str,
        tail: str,
        status: str,
        sources: Sequence[str],
        since: float = 0.0,
    ) -> dict[str, Any]:
        """Write a ruling. Returns what was there before, for undo."""
        id = "r-" + hashlib.sha1("|".join((space, head, type, tail)).encode()).hexdigest()[:14]
        rows = self.graph.read(
            "MATCH (x:Ruling {id: $id}) RETURN x.status, x.sources, x.time", id=id
        )
        before: dict[str, Any] = {
            "id": id,
            "space": space,
            "head": head,
            "type": type,
            "tail": tail,
        }
        before["was"] = rows[0] if rows else None
        self.graph.write(
            "MERGE (x:Ruling {id: $id}) SET x.space = $space, x.head = $head, x.type = $type, "
            "x.tail = $tail, x.status = $status, x.sources = $sources, x.time = $time",
            id=id,
            space=space,
            head=head,
            type=type,
            tail=tail,
            status=status,
            sources=list(sources),
            time=since or time.time(),
        )
        return before

    def _restore(self, ruling: dict[str, Any]) -> None:
        if ruling["was"] is None:
            self.graph.write("MATCH (x:Ruling {id: $id}) DELETE x", id=ruling["id"])
            return
        status, sources, since = ruling["was"]
        self.graph.write(
            "MATCH (x:Ruling {id: $id}) SET x.status = $status, x.sources = $sources, "
            "x.time = $time",
            id=ruling["id"],
            status=status,
            sources=sources or [],
            time=since,
        )

    def _rebuild_of(self, rulings: Sequence[dict[str, Any]]) -> None:
        rules = self.recorder.rules
        rebuild(
            self.graph,
            [rules.group(r["space"], r["head"], r["type"], r["tail"]) for r in rulings],
        )


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
