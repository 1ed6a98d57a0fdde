"""The memory as the app uses it: async, off the UI's thread, and never in the chat's way.

All methods may be awaited from the event loop; work runs on threads of the memory's own. While
the database is down, `remember` queues on disk and everything that reads raises HaloError with one
sentence. `agents.memory.memory.Memory` is the same thing without threads, for the command line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from agents.memory.events import MemoryEvent, State
from agents.memory.types import (
    Change,
    Fact,
    Neighbourhood,
    Node,
    Note,
    Recall,
    Stats,
    Table,
)
from engine.config import Config

Order = Literal["recency", "degree"]
Handler = Callable[[MemoryEvent], None]


class MemoryService:
    """One data folder's memory."""

    state: State
    queued: int  # messages waiting to be taken in

    def __init__(self, config: Config, data_dir: Path) -> None:
        raise NotImplementedError

    async def start(self) -> None:
        """Begin to start; returns at once. `StateChanged` tells how it went. Never raises."""

    async def stop(self) -> None:
        """Finish the message in work, keep the rest on disk, end the database."""

    def subscribe(self, handler: Handler) -> Callable[[], None]:
        """Call `handler` for every event from now on. Returns how to stop that."""
        raise NotImplementedError

    # --- taking in -------------------------------------------------------------------------------

    def remember(self, note: Note) -> None:
        """Queue a message on disk and take it in when it is its turn. Returns at once."""

    async def unremember(self, note_ids: Sequence[str]) -> None:
        """Messages were deleted: what only they supported goes with them."""

    async def settled(self) -> None:
        """Wait until the queue is empty or the database is down."""

    async def ingest(self, path: Path, space: str = "shared") -> int:
        """Take in a document (txt, md, html, pdf); `Ingested` tells progress. Returns chunks."""
        raise NotImplementedError

    # --- asking ----------------------------------------------------------------------------------

    async def recall(
        self, question: str, agent: str = "", k: int = 10, as_of: float | None = None
    ) -> Recall:
        """What is known about a question, for an agent (its id) or, with "", for the person."""
        raise NotImplementedError

    async def entities(
        self,
        order: Order = "recency",
        search: str = "",
        limit: int = 200,
        as_of: float | None = None,
    ) -> list[Node]:
        """Entities, latest seen or best connected first; `search` matches names and aliases."""
        raise NotImplementedError

    async def entity(self, entity: str) -> Node:
        """One entity by id or by any of its names. Raises HaloError if there is none."""
        raise NotImplementedError

    async def facts(
        self, entity: str, as_of: float | None = None, past: bool = False
    ) -> list[Fact]:
        """Facts about an entity with their sources, newest first; `past` adds those that ended."""
        raise NotImplementedError

    async def neighbourhood(
        self, entity: str, depth: int = 1, limit: int = 40, as_of: float | None = None
    ) -> Neighbourhood:
        """The entity's surroundings, for drawing."""
        raise NotImplementedError

    async def cypher(
        self,
        query: str,
        parameters: dict[str, object] | None = None,
        *,
        read_only: bool = True,
        timeout: float = 5.0,
        limit: int = 1000,
    ) -> Table:
        """Run Cypher. Raises HaloError for mistakes, writes while read-only, and the time limit."""
        raise NotImplementedError

    async def stats(self) -> Stats:
        """Sizes and state."""
        raise NotImplementedError

    async def span(self) -> tuple[float, float]:
        """Times of the oldest and the newest message, for the time slider; (0, 0) when empty."""
        raise NotImplementedError

    # --- correcting ------------------------------------------------------------------------------

    async def accept(self, fact: str) -> None:
        """Say that a fact (its id) is right: confidence 1, and nothing weaker closes it."""

    async def reject(self, fact: str) -> None:
        """Say that a fact is wrong: it is not recalled any more, nor learnt again."""

    async def edit(self, fact: str, *, type: str = "", tail: str = "", head: str = "") -> Fact:
        """Correct a fact: the old one is rejected, the new one is accepted, sources stay."""
        raise NotImplementedError

    async def rename(self, entity: str, name: str = "", type: str = "") -> Node:
        """Correct an entity's name or type; the old name stays an alias."""
        raise NotImplementedError

    async def merge(self, into: str, other: str) -> Change:
        """Make one entity of two; recorded, so that `undo` brings both back."""
        raise NotImplementedError

    async def split(self, entity: str, alias: str, type: str = "") -> Node:
        """Take the mentions under `alias` out of an entity and make a new one of them."""
        raise NotImplementedError

    async def changes(self, limit: int = 50) -> list[Change]:
        """Merges and edits, newest first, those made by the memory itself included."""
        raise NotImplementedError

    async def undo(self, change: str = "") -> Change:
        """Undo a change by its id; "" = the newest that can be."""
        raise NotImplementedError

    async def forget(self, entity: str) -> str:
        """Remove an entity, its facts, and its name from what recall shows. Says what went."""
        raise NotImplementedError
