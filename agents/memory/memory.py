"""The memory of one data folder, without threads or events: what the command line uses."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from agents.memory import documents, schema
from agents.memory.edits import Editor
from agents.memory.errors import MemoryDown, MemoryInUse, Overrun
from agents.memory.events import Learnt
from agents.memory.graph import GraphDB, without_password
from agents.memory.recall import Recaller
from agents.memory.recorder import Recorder
from agents.memory.reembed import embed_again
from agents.memory.registry import Registry
from agents.memory.server import Embedded
from agents.memory.spaces import SHARED
from agents.memory.store import Store
from agents.memory.types import (
    Embedder,
    Extractor,
    Fact,
    Neighbourhood,
    Node,
    Note,
    Recall,
    Stats,
    Table,
)
from agents.memory.verify import verify
from engine.config import MemoryConfig

FOLDER = "memory"  # inside the data folder
GUEST_SECONDS = 10.0  # to wait for a memory that somebody has only for a moment
Order = Literal["recency", "degree"]


class Memory:
    """An open graph with everything that reads and writes it.

    `guest` opens a memory that another halo-tui has open, to read from it only; without one it
    opens it as usual.
    """

    def __init__(
        self,
        config: MemoryConfig,
        data_dir: Path,
        extractor: Extractor | None = None,
        embedder: Embedder | None = None,
    ) -> None:
        self.config = config
        self.folder = Path(data_dir) / FOLDER
        self.extractor = extractor
        self.embedder = embedder
        self.server = None if config.url else Embedded(self.folder)
        self.guest = False
        self._graph: GraphDB | None = None

    # --- life ------------------------------------------------------------------------------------

    def open(self, guest: bool = False) -> None:
        """Start or reach the database and bring its schema up to date.

        Raises MemoryDown, or MemoryInUse when another halo-tui has it open and `guest` is not set.
        """
        graph = self._connect(guest)
        try:
            if not self.guest:
                schema.migrate(graph)
            anew = False
            if self.embedder is not None and not self.guest:
                anew = schema.vectors(graph, self.embedder.name, self.embedder.dimension)
            graph.wait_indexes()
            self.registry = Registry.load(graph)
            self.store = Store(graph)
            self.recorder = Recorder(
                graph, self.config, self.registry, self.extractor, self.embedder
            )
            for id, apart in graph.read(
                "MATCH (e:Entity) WHERE e.apart IS NOT NULL RETURN e.id, e.apart"
            ):
                self.recorder.resolver.kept_apart.update((id, key) for key in apart)
            for (name,) in graph.read(
                "MATCH (m:Message) WHERE m.kind = 'message' UNWIND [m.speaker, m.listener] AS name "
                "RETURN DISTINCT name"
            ):
                known = self.registry.named(name) if name else []
                self.recorder.resolver.talkers.update(e.id for e in known if e.kind == "person")
            self.recaller = Recaller(graph, self.registry, self._embedder_of(graph))
            self.editor = Editor(graph, self.recorder)
            if anew and self.embedder is not None:
                embed_again(graph, self.recorder.writer, self.embedder)
        except BaseException:
            graph.close()
            if self.server is not None:
                self.server.stop()
            raise
        self._graph = graph

    def _embedder_of(self, graph: GraphDB) -> Embedder | None:
        """The embedder, if the stored vectors are its own."""
        if self.embedder is None:
            return None
        rows = graph.read("MATCH (x:Meta) RETURN x.embedder")
        return self.embedder if rows and rows[0][0] == self.embedder.name else None

    def _connect(self, guest: bool) -> GraphDB:
        if self.server is None:
            graph = GraphDB.at_url(self.config.url, self.config.tls_ca)
            graph.ping()
            return graph
        self.server.brief = guest
        deadline = time.monotonic() + GUEST_SECONDS
        while True:
            try:
                return GraphDB.on_socket(self.server.start())
            except MemoryInUse:
                late = time.monotonic() > deadline
                if guest and (socket := self.server.running(lasting=not late)):
                    self.guest = True
                    return GraphDB.on_socket(socket)
                # Who has it asks a single question, or is just starting its database or ending it.
                if not guest or late:
                    raise
            time.sleep(0.05)

    @property
    def graph(self) -> GraphDB:
        """The connection. Raises MemoryDown when the memory is not open."""
        if self._graph is None:
            raise MemoryDown("The memory is not open.", "Wait until it has started.")
        return self._graph

    def close(self) -> None:
        """End the database if it is ours."""
        if self._graph is not None:
            self._graph.close()
            self._graph = None
        if self.server is not None and not self.guest:
            self.server.stop()

    def __enter__(self) -> Memory:
        if self._graph is None:
            self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- taking in ---------------------------------------------------------------------------------

    def remember(self, notes: Sequence[Note]) -> list[Learnt]:
        """Take messages in; those that are known change nothing."""
        learnt = self.recorder.take(notes)
        if learnt:
            self.recaller.changed(entirely=False)
        return learnt

    def unremember(self, notes: Sequence[str]) -> None:
        """Take messages out, and what only they supported."""
        self.recorder.remove(notes)
        self.recaller.changed()

    def ingest(
        self,
        path: Path,
        space: str = SHARED,
        progress: Callable[[int, int], None] = lambda done, total: None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> tuple[int, list[Learnt]]:
        """Take a document in; what of it is known already is passed over, so that this resumes.

        Chunks that the file has no longer are taken out. Returns its chunks and what was learnt.
        """
        notes = documents.notes(documents.read(path), space)
        learnt: list[Learnt] = []
        batch = 8
        for start in range(0, len(notes), batch):
            if stopped():
                return len(notes), learnt
            progress(start, len(notes))
            learnt += self.remember(notes[start : start + batch])
        current = {note.id for note in notes}
        old = [
            str(row[0])
            for row in self.graph.read(
                "MATCH (m:Message {conversation: $c}) WHERE m.space = $space RETURN m.id",
                c=notes[0].conversation,
                space=space,
            )
            if row[0] not in current
        ]
        if old:
            self.unremember(old)
        progress(len(notes), len(notes))
        return len(notes), learnt

    # --- asking --------------------------------------------------------------------------------------

    def recall(
        self,
        question: str,
        k: int = 10,
        spaces: Sequence[str] | None = None,
        as_of: float | None = None,
        people: tuple[str, str] = ("", ""),
    ) -> Recall:
        """Facts and messages that bear on a question. `people`: who asks, who is asked."""
        return self.recaller.recall(question, k, spaces, as_of, people)

    def entities(
        self,
        order: Order = "recency",
        search: str = "",
        limit: int = 200,
        spaces: Sequence[str] | None = None,
        as_of: float | None = None,
    ) -> list[Node]:
        """Entities, latest seen or best connected first; a search orders by how well names fit."""
        if search.strip():
            found = self.registry.search(search, limit)
            visible = self.store.visible(found, spaces, as_of)
            return self.store.nodes(id for id in found if id in visible)
        return self.store.entities(order, limit, spaces, as_of)

    def entity(self, entity: str) -> Node:
        """An entity by id or name."""
        return self.store.nodes([self.editor.known(entity).id])[0]

    def facts(
        self,
        entity: str,
        spaces: Sequence[str] | None = None,
        as_of: float | None = None,
        past: bool = False,
    ) -> list[Fact]:
        """Facts about an entity, newest first."""
        return self.store.about([self.editor.known(entity).id], spaces, as_of, past)

    def neighbourhood(
        self,
        entity: str,
        depth: int = 1,
        limit: int = 40,
        spaces: Sequence[str] | None = None,
        as_of: float | None = None,
    ) -> Neighbourhood:
        """An entity's surroundings."""
        id = self.editor.known(entity).id
        return self.store.neighbourhood(id, depth, limit, spaces, as_of)

    def cypher(
        self,
        query: str,
        parameters: dict[str, object] | None = None,
        *,
        read_only: bool = True,
        timeout: float = 0.0,
        limit: int = 1000,
    ) -> Table:
        """Run a person's query; `timeout` 0 = memory.query_seconds."""
        try:
            found = self.graph.table(
                query,
                parameters,
                read_only=read_only,
                timeout=timeout or self.config.query_seconds,
                limit=limit,
            )
        except Overrun:
            if self.server is not None and not self.guest:
                # It would hold its lock, and everybody else, for as long as it likes.
                self.graph.move(self.server.restart())
            raise
        if not read_only:
            self.reload()
        return found

    def reload(self) -> None:
        """The graph was changed past us: read names again."""
        fresh = Registry.load(self.graph)
        self.registry.replace(fresh)
        self.recaller.changed()

    def stats(self) -> Stats:
        """Sizes and state."""
        size = 0
        if self.server is not None and self.folder.exists():
            size = sum(f.stat().st_size for f in self.folder.rglob("*") if f.is_file())
        return Stats(
            **self.store.counts(),
            bytes=size,
            extractor=self.extractor.name if self.extractor else "",
            embedder=self.embedder.name if self.embedder else "",
            where=without_password(self.config.url) or str(self.folder),
        )

    def verify(self) -> list[str]:
        """Check the graph: what is wrong, one sentence each; rebuilding facts changes nothing."""
        return verify(self.graph, self.recorder.rules)

    def forget(self, entity: str) -> str:
        """Remove an entity and its traces. Says what went."""
        said = self.editor.forget(entity)
        self.recaller.changed()
        return said
