"""What can go wrong with the memory, as sentences."""

from __future__ import annotations

from engine.errors import HaloError


class MemoryDown(HaloError):
    """The graph database cannot be reached; what is said waits on disk."""


class MemoryInUse(HaloError):
    """Another app has this memory open."""


class QueryError(HaloError):
    """A Cypher query was refused."""


class Overrun(QueryError):
    """A query went on past its time limit, and the server with it."""
