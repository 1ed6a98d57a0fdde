"""Cypher queries that were run, kept over restarts: JSON strings, a line each."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from agents.history import write_atomically
from engine import paths

KEPT = 200
_writing = threading.Lock()


def _file() -> Path:
    return paths.state_dir() / "cypher-history.jsonl"


def read() -> list[str]:
    """Earlier queries, oldest first; none when there is no file or it cannot be read."""
    try:
        lines = _file().read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    found: list[str] = []
    for line in lines[-KEPT:]:
        try:
            query = json.loads(line)
        except ValueError:
            continue  # a torn line
        if isinstance(query, str) and query.strip():
            found.append(query)
    return found


def append(query: str) -> None:
    """Keep a query. A full disk costs the history, never the query."""
    with _writing:  # from several views at once, each in a thread of its own
        past = read()
        if past and past[-1] == query:
            return
        lines = "".join(json.dumps(one) + "\n" for one in [*past, query][-KEPT:])
        try:
            write_atomically(_file(), lines.encode())
        except OSError:
            return
