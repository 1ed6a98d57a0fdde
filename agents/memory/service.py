"""The memory as the app uses it: async, off the UI's thread, and never in the chat's way.

All methods may be awaited from the event loop; work runs on threads of the memory's own. While
the database is down, `remember` queues on disk and everything that reads raises MemoryDown with one
sentence. `agents.memory.memory.Memory` is the same thing without threads, for the command line.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from agents.memory import spaces
from agents.memory.errors import MemoryDown, MemoryInUse
from agents.memory.events import GraphChanged, Ingested, Learnt, MemoryEvent, State, StateChanged
from agents.memory.memory import FOLDER, Memory, Order
from agents.memory.models import Models, load
from agents.memory.outbox import Entry, Outbox
from agents.memory.types import Change, Fact, Neighbourhood, Node, Note, Recall, Stats, Table
from engine.config import Config
from engine.errors import HaloError
from engine.listeners import Listeners

Handler = Callable[[MemoryEvent], None]
BATCH = 8  # messages taken in at once; small, so that the panel follows the chat
LOOK_SECONDS = 2.0  # how often a quiet database is asked whether it is there
AGAIN_SECONDS = (1.0, 2.0, 5.0, 15.0)  # between attempts to start
_log = logging.getLogger("halo.memory")
T = TypeVar("T")


class MemoryService:
    """One data folder's memory."""

    def __init__(
        self,
        config: Config,
        data_dir: Path,
        models: Callable[[], Models] | None = None,
    ) -> None:
        """`models` loads extractor and embedder; by default those of [memory]."""
        self.config = config.memory
        self.state: State = "off"
        self.fault: HaloError | None = None  # why it is down, or what it does without
        self.policy: Callable[[str], spaces.Policy] = lambda agent: "shared"
        self.names: Callable[[str], tuple[str, str]] = lambda agent: ("", "")
        self._data_dir = Path(data_dir)
        self._load = models or (lambda: load(self.config))
        self._models: Models | None = None
        self._memory: Memory | None = None
        self._outbox = Outbox(self._data_dir / FOLDER / "queue.jsonl")
        self._listeners = Listeners[MemoryEvent](_log)
        # One thread changes the graph, two read it: a question need not wait for a document.
        self._writer = ThreadPoolExecutor(1, "memory")
        self._reader = ThreadPoolExecutor(2, "recall")
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._changed = asyncio.Event()
        self._stopping = False

    # --- life ------------------------------------------------------------------------------------

    @property
    def queued(self) -> int:
        """Messages waiting to be taken in."""
        return len(self._outbox)

    async def start(self) -> None:
        """Begin to start; returns at once. `StateChanged` tells how it went. Never raises."""
        try:
            self._outbox.open()
        except OSError as error:
            _log.warning("the memory's queue cannot be used: %s", error)
        self._set("starting")
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Finish the message in work, keep the rest on disk, end the database."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._writer, self._close)
        self._outbox.close()
        self._writer.shutdown(wait=False)
        self._reader.shutdown(wait=False)
        self._set("off")

    def subscribe(self, handler: Handler) -> Callable[[], None]:
        """Call `handler` for every event from now on. Returns how to stop that."""
        return self._listeners.add(handler)

    async def ready(self) -> bool:
        """Wait until the memory has started, or has failed to. Whether it is there."""
        while self.state == "starting":
            self._changed.clear()
            await self._changed.wait()
        return self.state == "ready"

    # --- taking in -------------------------------------------------------------------------------

    def remember(self, note: Note) -> None:
        """Queue a message on disk and take it in when it is its turn. Returns at once."""
        if note.text.strip():
            self._put(Entry(note))

    def unremember(self, note_ids: Iterable[str]) -> None:
        """Messages were deleted: what only they supported goes with them, in turn."""
        ids = tuple(note_ids)
        if ids:
            self._put(Entry(remove=ids))

    async def catch_up(self, notes: Sequence[Note]) -> int:
        """Queue those of many messages that the graph does not have. Returns how many."""
        missing = await self._write(lambda memory: memory.recorder.unknown(notes))
        for note in missing:
            self._put(Entry(note))
        return len(missing)

    async def settled(self) -> None:
        """Wait until the queue is empty or the database is down."""
        while self.queued and self.state in ("starting", "ready") and self._task is not None:
            self._changed.clear()
            await self._changed.wait()

    async def ingest(self, path: Path, space: str = spaces.SHARED) -> int:
        """Take in a document (txt, md, html, pdf); `Ingested` tells progress. Returns chunks."""
        loop = asyncio.get_running_loop()

        def progress(done: int, total: int) -> None:
            loop.call_soon_threadsafe(self._listeners.tell, Ingested(str(path), done, total))

        chunks, learnt = await self._write(
            lambda memory: memory.ingest(path, space, progress, lambda: self._stopping)
        )
        for event in learnt:
            self._listeners.tell(event)
        self._listeners.tell(GraphChanged(f"{path.name} was taken in: {chunks} chunks."))
        return chunks

    # --- asking ----------------------------------------------------------------------------------

    async def recall(
        self, question: str, agent: str = "", k: int = 10, as_of: float | None = None
    ) -> Recall:
        """What is known about a question, for an agent (its id) or, with "", for the person."""
        where = spaces.read_from(agent, self.policy(agent) if agent else "shared")
        people = self.names(agent)
        return await self._read(lambda m: m.recall(question, k, where, as_of, people))

    async def entities(
        self,
        order: Order = "recency",
        search: str = "",
        limit: int = 200,
        as_of: float | None = None,
    ) -> list[Node]:
        """Entities, latest seen or best connected first; `search` matches names and aliases."""
        return await self._read(lambda m: m.entities(order, search, limit, None, as_of))

    async def entity(self, entity: str) -> Node:
        """One entity by id or by any of its names. Raises HaloError if there is none."""
        return await self._read(lambda m: m.entity(entity))

    async def facts(
        self, entity: str, as_of: float | None = None, past: bool = False
    ) -> list[Fact]:
        """Facts about an entity with their sources, newest first; `past` adds those that ended."""
        return await self._read(lambda m: m.facts(entity, None, as_of, past))

    async def latest(self, limit: int = 100) -> list[Fact]:
        """The facts that were learnt or ended last, also before this start, newest first."""
        return await self._read(lambda m: m.store.latest(limit))

    async def neighbourhood(
        self, entity: str, depth: int = 1, limit: int = 40, as_of: float | None = None
    ) -> Neighbourhood:
        """The entity's surroundings, for drawing."""
        return await self._read(lambda m: m.neighbourhood(entity, depth, limit, None, as_of))

    async def cypher(
        self,
        query: str,
        parameters: dict[str, object] | None = None,
        *,
        read_only: bool = True,
        timeout: float = 0.0,
        limit: int = 1000,
    ) -> Table:
        """Run Cypher; `timeout` 0 = memory.query_seconds.

        Raises QueryError for mistakes, for writes while read-only, and at the time limit.
        """

        def run(memory: Memory) -> Table:
            return memory.cypher(
                query, parameters, read_only=read_only, timeout=timeout, limit=limit
            )

        if read_only:
            return await self._read(run)
        table = await self._write(run)
        self._listeners.tell(GraphChanged("A Cypher query was allowed to change the graph."))
        return table

    async def stats(self) -> Stats:
        """Sizes and state."""
        found = await self._read(lambda m: m.stats())
        return Stats(
            **{name: getattr(found, name) for name in Stats.__slots__ if name != "queued"},
            queued=self.queued,
        )

    async def span(self) -> tuple[float, float]:
        """Times of the oldest and the newest message, for the time slider; (0, 0) when empty."""
        return await self._read(lambda m: m.store.span())

    # --- correcting ------------------------------------------------------------------------------

    async def accept(self, fact: str) -> None:
        """Say that a fact (its id) is right."""
        await self._edit(lambda m: m.editor.accept(fact), "A fact was accepted.")

    async def reject(self, fact: str) -> None:
        """Say that a fact is wrong: it is not recalled any more, nor learnt again."""
        await self._edit(lambda m: m.editor.reject(fact), "A fact was rejected.")

    async def edit(self, fact: str, *, type: str = "", tail: str = "", head: str = "") -> Fact:
        """Correct a fact: the old one is rejected, the new one is accepted, sources stay."""
        return await self._edit(
            lambda m: m.editor.edit(fact, type, tail, head), "A fact was corrected."
        )

    async def rename(self, entity: str, name: str = "", type: str = "") -> Node:
        """Correct an entity's name or type; the old name stays an alias."""
        return await self._edit(
            lambda m: m.editor.rename(entity, name, type), "An entity was renamed."
        )

    async def merge(self, into: str, other: str) -> Change:
        """Make one entity of two; recorded, so that `undo` brings both back."""
        return await self._edit(lambda m: m.editor.merge(into, other), "Two entities were merged.")

    async def split(self, entity: str, alias: str, type: str = "") -> Node:
        """Take the mentions under `alias` out of an entity and make a new one of them."""
        return await self._edit(
            lambda m: m.editor.split(entity, alias, type), "An entity was split."
        )

    async def changes(self, limit: int = 50) -> list[Change]:
        """Merges and edits, newest first, names the memory took for one another included."""
        return await self._read(lambda m: m.store.changes(limit))

    async def undo(self, change: str = "") -> Change:
        """Undo a change by its id; "" = the newest that a person made."""
        return await self._edit(lambda m: m.editor.undo(change), "A change was undone.")

    async def forget(self, entity: str) -> str:
        """Remove an entity, the messages that mention it, and their answers. Says what went."""
        return await self._edit(lambda m: m.editor.forget(entity), "Something was forgotten.")

    # --- threads ---------------------------------------------------------------------------------

    async def _read(self, work: Callable[[Memory], T]) -> T:
        return await self._do(self._reader, work)

    async def _write(self, work: Callable[[Memory], T]) -> T:
        return await self._do(self._writer, work)

    async def _edit(self, work: Callable[[Memory], T], what: str) -> T:
        def edit(memory: Memory) -> T:
            result = work(memory)
            memory.recaller.changed()
            return result

        result = await self._write(edit)
        self._listeners.tell(GraphChanged(what))
        return result

    async def _do(self, where: ThreadPoolExecutor, work: Callable[[Memory], T]) -> T:
        memory = self._memory
        if memory is None or self.state != "ready":
            raise self._why()
        try:
            return await asyncio.get_running_loop().run_in_executor(where, work, memory)
        except MemoryDown as error:
            self._lost(error)
            raise
        except HaloError:
            raise
        except Exception:
            # A question in work when the database ends fails in the middle of a socket.
            if self._stopping:
                raise MemoryDown("The memory is closing.") from None
            raise

    def _why(self) -> HaloError:
        if self.state == "down" and self.fault is not None:
            return self.fault
        what = {
            "off": "The memory is switched off.",
            "starting": "The memory is starting.",
        }.get(self.state, "The memory is not there.")
        return MemoryDown(what, "" if self.state == "starting" else "Set memory.enabled to true.")

    # --- the loop --------------------------------------------------------------------------------

    async def _run(self) -> None:
        attempt = 0
        while not self._stopping:
            if self._memory is None:
                if await self._open():
                    attempt = 0
                else:
                    wait = AGAIN_SECONDS[min(attempt, len(AGAIN_SECONDS) - 1)]
                    attempt += 1
                    await self._sleep(wait)
                continue
            if self.queued:
                await self._take()
            else:
                self._changed.set()
                await self._sleep(LOOK_SECONDS)
                if not self.queued and not self._stopping:
                    await self._look()

    async def _sleep(self, seconds: float) -> None:
        self._wake.clear()
        if self._stopping:
            return
        try:
            await asyncio.wait_for(self._wake.wait(), seconds)
        except TimeoutError:
            pass

    async def _open(self) -> bool:
        try:
            self._memory = await self._in_writer(self._opened)
        except (MemoryDown, MemoryInUse) as error:
            self._set("down", error)
            return False
        except Exception as error:  # a fault of ours must not end the chat
            _log.exception("the memory could not be opened")
            self._set("down", MemoryDown(f"The memory could not be opened: {error}."))
            return False
        faults = self._models.faults if self._models else []
        self._set("ready", faults[0] if faults else None)
        return True

    def _opened(self) -> Memory:
        if self._models is None:
            self._models = self._load()
        memory = Memory(self.config, self._data_dir, self._models.extractor, self._models.embedder)
        memory.open()
        return memory

    async def _take(self) -> None:
        entries = self._outbox.first(BATCH)
        began = time.monotonic()
        try:
            learnt = await self._in_writer(lambda: self._taken(entries))
        except MemoryDown as error:
            self._lost(error)
            return
        except Exception:
            if len(entries) > 1:
                entries = entries[:1]
                learnt = await self._alone(entries)
            else:
                _log.exception("a message could not be taken in")
                learnt = []
        self._outbox.taken(len(entries))
        for event in learnt:
            self._listeners.tell(event)
        self._listeners.tell(StateChanged(self.state, self.queued))
        _log.debug("%d entries in %.3f s", len(entries), time.monotonic() - began)
        self._changed.set()

    async def _alone(self, entries: list[Entry]) -> list[Learnt]:
        """A batch failed: the first by itself; if that fails as well, it is left out."""
        try:
            return await self._in_writer(lambda: self._taken(entries))
        except Exception:
            _log.exception("a message could not be taken in")
            return []

    def _taken(self, entries: list[Entry]) -> list[Learnt]:
        memory = self._memory
        if memory is None:
            raise MemoryDown("The memory is not open.")
        self._outbox.sync()
        if entries and entries[0].note is None:
            memory.unremember(entries[0].remove)
            return []
        return memory.remember([entry.note for entry in entries if entry.note is not None])

    async def _look(self) -> None:
        try:
            await self._in_writer(self._ping)
        except MemoryDown as error:
            self._lost(error)

    def _ping(self) -> None:
        if self._memory is not None:
            self._memory.graph.ping()

    def _lost(self, error: HaloError) -> None:
        """The database went away: close what is left of it, and start again."""
        if self._memory is None:
            return
        memory, self._memory = self._memory, None
        self._set("down", error)
        self._writer.submit(memory.close)
        self._wake.set()

    def _close(self) -> None:
        memory, self._memory = self._memory, None
        if memory is not None:
            memory.close()

    async def _in_writer(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writer, work)

    def _put(self, entry: Entry) -> None:
        try:
            self._outbox.put(entry)
        except OSError as error:
            _log.warning("the memory's queue cannot be written: %s", error)
        self._wake.set()
        self._listeners.tell(StateChanged(self.state, self.queued))

    def _set(self, state: State, fault: HaloError | None = None) -> None:
        self.state, self.fault = state, fault
        what, remedy = (fault.what, fault.remedy) if fault else ("", "")
        self._changed.set()
        self._listeners.tell(StateChanged(state, self.queued, what, remedy))
