"""A small memory without a database or models: the service's methods over lists, for the panel.

Two people, four places and things, told in a short talk. What a method would do in the graph is
done to the lists; `down` makes everything that reads fail as a database that is gone does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from agents.memory.errors import MemoryDown, QueryError
from agents.memory.events import GraphChanged, Learnt, MemoryEvent, State, StateChanged
from agents.memory.memory import Order
from agents.memory.service import Handler, MemoryService
from agents.memory.types import (
    Change,
    Fact,
    Hit,
    Neighbourhood,
    Node,
    Note,
    Recall,
    Source,
    Stats,
    Table,
)
from engine.errors import HaloError

START = 1_699_000_000.0
DAY = 86_400.0
PEOPLE = (
    ("priya", "Priya Nair", "person", ("Priya", "P. Nair")),
    ("halo", "Halo Labs", "organisation", ()),
    ("lisbon", "Lisbon", "location", ()),
    ("geneva", "Geneva", "location", ()),
    ("marco", "Marco", "person", ()),
    ("heron", "Project Heron", "product", ("Heron",)),
    ("coffee", "coffee", "topic", ()),
    ("march", "14 March", "date", ()),
)
TOLD = (
    ("priya", "LIVES_IN", "geneva", "My sister Priya lives in Geneva.", 0, 6),
    ("priya", "WORKS_AT", "halo", "She works at Halo Labs.", 1, None),
    ("priya", "LIKES", "coffee", "Priya likes coffee, and so do I.", 2, None),
    ("marco", "KNOWS", "priya", "Marco knows Priya from school.", 3, None),
    ("marco", "CREATED", "heron", "Project Heron was Marco's idea.", 4, None),
    ("heron", "HAPPENED_ON", "march", "Heron is due on 14 March.", 5, None),
    ("priya", "LIVES_IN", "lisbon", "Priya has moved to Lisbon.", 6, None),
    ("halo", "LOCATED_IN", "geneva", "Halo Labs is in Geneva.", 7, None),
)


class ListMemory(MemoryService):
    """The service's protocol over lists."""

    def __init__(self, *, empty: bool = False, agent: str = "") -> None:
        self.state: State = "ready"
        self.waiting = 0
        self.fault: HaloError | None = None
        self.calls: list[tuple[str, object]] = []
        self.nodes = {} if empty else {id: Node(id, *rest[:2], rest[2]) for id, *rest in PEOPLE}
        self.known: dict[str, Fact] = {}
        self.before: list[Fact] = []  # what was learnt before the start
        self.undoable: list[tuple[Change, Callable[[], None]]] = []
        self._handlers: list[Handler] = []
        for index, told in enumerate(() if empty else TOLD):
            self.tell(index, *told, agent=agent)

    def tell(
        self, index: int, head: str, type: str, tail: str, text: str, days: int, until: int | None,
        agent: str = "",
    ) -> Fact:  # fmt: skip
        """A message told a fact."""
        when = START + days * DAY
        source = Source(f"t{index}", text, "you", when, agent, agent)
        fact = Fact(
            f"f{index}", head, tail, self.nodes[head].name, self.nodes[tail].name, type, 0.93, when,
            None if until is None else START + until * DAY, sources=(source,),
        )  # fmt: skip
        self.known[fact.id] = fact
        for id in (head, tail):
            node = self.nodes[id]
            self.nodes[id] = replace(
                node, first_seen=node.first_seen or when, last_seen=max(node.last_seen, when),
                mentions=node.mentions + 1, degree=node.degree + 1,
            )  # fmt: skip
        return fact

    # --- the test's hand -------------------------------------------------------------------------

    def emit(self, event: MemoryEvent) -> None:
        for handler in tuple(self._handlers):
            handler(event)

    def go(self, state: State, queued: int = 0, what: str = "", remedy: str = "") -> None:
        self.state, self.waiting = state, queued
        self.emit(StateChanged(state, queued, what, remedy))

    def learn(self, fact: Fact, closed: tuple[Fact, ...] = ()) -> None:
        source = fact.sources[0]
        self.emit(Learnt(source.message, source.speaker, (), (fact,), closed))

    def _asked(self, name: str, value: object = None) -> None:
        self.calls.append((name, value))
        if self.state != "ready":
            raise MemoryDown("The graph database is down.", "Start halo-tui again.")

    def _changed(self, kind: str, text: str, undo: Callable[[], None]) -> Change:
        change = Change(f"c{len(self.undoable)}", kind, text, START + 8 * DAY)
        self.undoable.append((change, undo))
        self.emit(GraphChanged(text))
        return change

    # --- the service -----------------------------------------------------------------------------

    async def start(self) -> None:
        self.calls.append(("start", None))

    async def stop(self) -> None:
        self.calls.append(("stop", None))

    def subscribe(self, handler: Handler) -> Callable[[], None]:
        self._handlers.append(handler)
        return lambda: self._handlers.remove(handler)

    def remember(self, note: Note) -> None:
        self.calls.append(("remember", note))

    @property
    def queued(self) -> int:
        return self.waiting

    def unremember(self, note_ids: Iterable[str]) -> None:
        self.calls.append(("unremember", tuple(note_ids)))

    async def settled(self) -> None:
        return

    async def ingest(self, path: Path, space: str = "shared") -> int:
        raise HaloError("This memory takes no documents.")

    def _at(self, fact: Fact, as_of: float | None, past: bool = False) -> bool:
        if fact.status == "rejected":
            return False
        if as_of is None:
            return past or fact.valid_to is None
        return fact.valid_from <= as_of and (fact.valid_to is None or past or fact.valid_to > as_of)

    async def recall(
        self, question: str, agent: str = "", k: int = 10, as_of: float | None = None
    ) -> Recall:
        self._asked("recall", question)
        await asyncio.sleep(0)
        words = {word.strip("?.,").casefold() for word in question.split()}
        named = [n for n in self.nodes.values() if set(n.name.casefold().split()) & words]
        ids = {node.id for node in named}
        facts = [f for f in self.known.values() if {f.head, f.tail} & ids and self._at(f, as_of)]
        hits = tuple(
            Hit(fact.sources[0], 0.8 - 0.1 * n, {"bm25": n + 1, "graph": n + 2})
            for n, fact in enumerate(facts[:3])
        )
        scored = tuple((fact, 0.9 - 0.1 * n) for n, fact in enumerate(facts))
        return Recall(question, tuple(named), scored, hits, as_of, 0.004)

    async def entities(
        self, order: Order = "recency", search: str = "", limit: int = 200,
        as_of: float | None = None,
    ) -> list[Node]:  # fmt: skip
        self._asked("entities", (order, search, as_of))
        found = [
            n for n in self.nodes.values()
            if search.casefold() in " ".join((n.name, *n.aliases)).casefold()
            and (as_of is None or n.first_seen <= as_of)
        ]  # fmt: skip
        found.sort(key=lambda n: (-(n.last_seen if order == "recency" else n.degree), n.name))
        return found[:limit]

    async def entity(self, entity: str) -> Node:
        self._asked("entity", entity)
        for node in self.nodes.values():
            names = {node.id, node.name, *node.aliases}
            if entity.casefold() in {name.casefold() for name in names}:
                return node
        raise HaloError(f"The memory knows nobody and nothing called '{entity}'.")

    async def facts(
        self, entity: str, as_of: float | None = None, past: bool = False
    ) -> list[Fact]:
        self._asked("facts", (entity, as_of, past))
        found = [
            f for f in self.known.values()
            if entity in (f.head, f.tail) and self._at(f, as_of, past)
        ]  # fmt: skip
        return sorted(found, key=lambda f: -f.valid_from)

    async def latest(self, limit: int = 100) -> list[Fact]:
        return self.before[:limit]

    async def neighbourhood(
        self, entity: str, depth: int = 1, limit: int = 40, as_of: float | None = None
    ) -> Neighbourhood:
        self._asked("neighbourhood", (entity, depth))
        if entity not in self.nodes:
            raise HaloError(f"The memory knows nobody and nothing called '{entity}'.")
        distance, edge = {entity: 0}, {entity}
        for hop in range(1, depth + 1):
            near = {
                id for f in self.known.values() if self._at(f, as_of) and {f.head, f.tail} & edge
                for id in (f.head, f.tail) if id not in distance
            }  # fmt: skip
            distance |= dict.fromkeys(near, hop)
            edge = near
        facts = [
            f for f in self.known.values()
            if f.head in distance and f.tail in distance and self._at(f, as_of)
        ]  # fmt: skip
        return Neighbourhood(entity, tuple(self.nodes[i] for i in distance), tuple(facts), distance)

    async def cypher(
        self, query: str, parameters: dict[str, object] | None = None, *, read_only: bool = True,
        timeout: float = 0.0, limit: int = 1000,
    ) -> Table:  # fmt: skip
        self._asked("cypher", (query, read_only, timeout))
        if read_only and "DELETE" in query.upper():
            raise QueryError("The query would change the graph.", "Allow writes first.")
        if "RETURN" not in query.upper():
            raise QueryError("Invalid input 'X': expected a clause.")
        rows = tuple((f.head_name, f.type, f.tail_name) for f in self.known.values())
        return Table(("a.name", "type(r)", "b.name"), rows, 0.002, truncated=True)

    async def stats(self) -> Stats:
        self._asked("stats")
        past = sum(f.valid_to is not None for f in self.known.values())
        return Stats(
            len(self.nodes), len(self.known) - past, past, len(self.known), 2 * len(self.known),
            self.queued, 1, 0, "halo-extract", "minilm", "memory",
        )  # fmt: skip

    async def span(self) -> tuple[float, float]:
        self._asked("span")
        return (START, START + 7 * DAY) if self.known else (0.0, 0.0)

    async def _status(self, fact: str, status: str, word: str) -> None:
        self._asked(word, fact)
        before = self.known[fact]
        self.known[fact] = replace(before, status=status)  # type: ignore[arg-type]
        self._changed(word, f"{before.words}: {status}", lambda: self.known.update({fact: before}))

    async def accept(self, fact: str) -> None:
        await self._status(fact, "accepted", "accept")

    async def reject(self, fact: str) -> None:
        await self._status(fact, "rejected", "reject")

    async def edit(self, fact: str, *, type: str = "", tail: str = "", head: str = "") -> Fact:
        self._asked("edit", (fact, type, tail, head))
        before = self.known[fact]
        name = tail or before.tail_name
        id = next((n.id for n in self.nodes.values() if n.name == name), name.casefold())
        self.nodes.setdefault(id, Node(id, name, "misc"))
        new = replace(before, id=f"{fact}e", type=type or before.type, tail=id, tail_name=name,
                      status="accepted")  # fmt: skip
        self.known[fact] = replace(before, status="rejected")
        self.known[new.id] = new
        self._changed("edit", new.words, lambda: self.known.update({fact: before}))
        return new

    async def rename(self, entity: str, name: str = "", type: str = "") -> Node:
        self._asked("rename", (entity, name))
        before = self.nodes[entity]
        node = replace(before, name=name, aliases=(*before.aliases, before.name))
        self.nodes[entity] = node
        self._changed(
            "rename", f"{before.name} is {name}", lambda: self.nodes.update({entity: before})
        )
        return node

    async def merge(self, into: str, other: str) -> Change:
        self._asked("merge", (into, other))
        nodes, known = dict(self.nodes), dict(self.known)
        one, gone = self.nodes[into], self.nodes.pop(other)
        self.nodes[into] = replace(one, aliases=(*one.aliases, gone.name, *gone.aliases))
        for id, fact in known.items():
            head = into if fact.head == other else fact.head
            tail = into if fact.tail == other else fact.tail
            self.known[id] = replace(fact, head=head, tail=tail)

        def undo() -> None:
            self.nodes, self.known = nodes, known

        return self._changed("merge", f"{gone.name} is {one.name}.", undo)

    async def split(self, entity: str, alias: str, type: str = "") -> Node:
        self._asked("split", (entity, alias))
        before = self.nodes[entity]
        aliases = tuple(a for a in before.aliases if a != alias)
        self.nodes[entity] = replace(before, aliases=aliases)
        made = replace(before, id=alias.casefold(), name=alias, aliases=())
        self.nodes[made.id] = made
        self._changed("split", f"{alias} is somebody else.", lambda: None)
        return made

    async def changes(self, limit: int = 50) -> list[Change]:
        self._asked("changes")
        return [change for change, _ in reversed(self.undoable)][:limit]

    async def undo(self, change: str = "") -> Change:
        self._asked("undo", change)
        for at in range(len(self.undoable) - 1, -1, -1):
            done, undo = self.undoable[at]
            if not done.undone and change in ("", done.id):
                undo()
                undone = replace(done, undone=True)
                self.undoable[at] = (undone, undo)
                self.emit(GraphChanged(f"Undone: {done.text}"))
                return undone
        raise HaloError("There is nothing to undo.")

    async def forget(self, entity: str) -> str:
        self._asked("forget", entity)
        node = self.nodes.pop(entity)
        gone = [id for id, fact in self.known.items() if entity in (fact.head, fact.tail)]
        for id in gone:
            del self.known[id]
        self.emit(GraphChanged(f"{node.name} is forgotten."))
        return f"{node.name} is forgotten, with {len(gone)} facts."
