"""Measures what the memory knows after a conversation: facts, days and types against what was said.

    python -m training.extractor.talks training/extractor/talks/*.txt

A talk is a text file: "day 2026-11-27", then "agent words" for each message of the person, and lines
that say what should be known at the end:

    > head | RELATION | tail     holds                ? …   may be known (with "-" before it: ended)
    - head | RELATION | tail     held, and is over
    = date 2027-03-12            a date of the graph   = type organisation Tencent
    = name = name                are one entity        ! name = name    are two

"A|B" are relations that are both right. Names are compared as the memory does, aliases count.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from agents.memory import names
from agents.memory.embed import load as load_embedder
from agents.memory.extract import load as load_extractor
from agents.memory.memory import Memory
from agents.memory.types import Note
from engine.config import MemoryConfig, load

Claim = tuple[str, frozenset[str], str, bool]  # head, relations, tail, whether it is over


@dataclass(slots=True)
class Talk:
    """A conversation and what should be known after it."""

    notes: list[Note] = field(default_factory=list)
    wanted: list[Claim] = field(default_factory=list)
    allowed: list[Claim] = field(default_factory=list)
    checks: list[tuple[str, str]] = field(default_factory=list)  # ("=" or "!", text)


def read(path: Path) -> Talk:
    """A talk. Raises ValueError for a line that is none of the kinds."""
    talk = Talk()
    time = 0.0
    for line in path.read_text(encoding="utf-8").splitlines():
        sign, _, rest = line.partition(" ")
        if not line or sign == "#":
            continue
        if sign == "day":
            time = (datetime.fromisoformat(rest) + timedelta(hours=9)).timestamp()
        elif sign == ">":
            talk.wanted.append(_claim(rest, False))
        elif sign == "-":
            talk.wanted.append(_claim(rest, True))
        elif sign == "?":
            talk.allowed.append(_claim(rest.lstrip("-"), rest.startswith("-")))
        elif sign in "=!":
            talk.checks.append((sign, rest))
        elif sign.isalpha():
            time += 30
            id = f"{path.stem}-{len(talk.notes)}"
            talk.notes.append(Note(id, rest, "You", sign, time, sign, agent=sign))
        else:
            raise ValueError(f"{path}: {line}")
    return talk


def _claim(text: str, over: bool) -> Claim:
    head, relations, tail = (part.strip() for part in text.split(" | "))
    return head, frozenset(relations.split("|")), tail, over


@dataclass(slots=True)
class Score:
    """Counts of one or several talks."""

    right: int = 0
    wrong: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    found: int = 0  # of those that should be known
    failed: list[str] = field(default_factory=list)  # checks
    checks: int = 0

    @property
    def wanted(self) -> int:
        return self.found + len(self.missing)


def score(talk: Talk, config: MemoryConfig, folder: Path) -> Score:
    """Have the memory take a talk in, message by message, in a database of its own."""
    memory = Memory(config, folder, load_extractor(config), load_embedder(config))
    memory.open()
    try:
        for note in talk.notes:
            memory.recorder.take([note])
        return _compare(talk, memory)
    finally:
        memory.close()


def _compare(talk: Talk, memory: Memory) -> Score:
    known: dict[str, set[str]] = {}  # entity -> keys of its names
    types: dict[str, str] = {}
    for id, name, aliases, type in memory.graph.read(
        "MATCH (e:Entity) RETURN e.id, e.name, e.aliases, e.type"
    ):
        known[id] = {names.key(n) for n in (name, *aliases)}
        types[id] = type

    def means(id: str, name: str) -> bool:
        return names.key(name) in known[id]

    result = Score()
    facts = memory.graph.read(
        "MATCH (h:Entity)-[f]->(t:Entity) WHERE f.status <> 'rejected' "
        "RETURN h.id, type(f), t.id, f.valid_to, h.name, t.name ORDER BY h.name, t.name"
    )
    seen: set[int] = set()
    for head, type, tail, until, h, t in facts:
        fits = [
            i
            for i, claim in enumerate([*talk.wanted, *talk.allowed])
            if type in claim[1]
            and claim[3] == (until is not None)
            and (
                (means(head, claim[0]) and means(tail, claim[2]))
                or (
                    type in ("KNOWS", "RELATED_TO")
                    and means(head, claim[2])
                    and means(tail, claim[0])
                )
            )
        ]
        fresh = [i for i in fits if i not in seen]
        if fresh:
            seen.add(fresh[0])
            result.right += 1
        else:
            again = " (again)" if fits else ""
            result.wrong.append(f"{h} {type} {t}{' [ended]' if until else ''}{again}")
    for i, (head, relations, tail, over) in enumerate(talk.wanted):
        if i in seen:
            result.found += 1
        else:
            names_ = "|".join(sorted(relations))
            result.missing.append(f"{head} {names_} {tail}{' [ended]' if over else ''}")
    for sign, text in talk.checks:
        result.checks += 1
        if not _holds(sign, text, known, types, means):
            result.failed.append(f"{sign} {text}")
    return result


def _holds(sign, text, known, types, means) -> bool:  # type: ignore[no-untyped-def]
    kind, _, rest = text.partition(" ")
    if kind == "date":
        return any(types[id] == "date" and means(id, rest) for id in known)
    if kind == "type":
        wanted, _, name = rest.partition(" ")
        return any(types[id] == wanted and means(id, name) for id in known)
    one, two = text.split(" = ")
    together = any(means(id, one) and means(id, two) for id in known)
    apart = any(means(id, one) != means(id, two) for id in known)
    return (together and not apart) if sign == "=" else not together


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="training.extractor.talks", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--quiet", action="store_true", help="figures only, no lists")
    given = parser.parse_args(arguments)
    config = load(None, {}, []).memory
    for path in given.files:
        with tempfile.TemporaryDirectory() as folder:
            result = score(read(path), config, Path(folder))
        for line in () if given.quiet else _lines(result):
            print("  ", line)
        told = result.right + len(result.wrong)
        print(
            json.dumps(
                {
                    "talk": path.stem,
                    "told": told,
                    "right": result.right,
                    "precision": round(result.right / max(told, 1), 3),
                    "wanted": result.wanted,
                    "found": result.found,
                    "recall": round(result.found / max(result.wanted, 1), 3),
                    "checks": result.checks,
                    "checks_failed": len(result.failed),
                }
            )
        )


def _lines(result: Score) -> Iterator[str]:
    yield from (f"wrong: {line}" for line in result.wrong)
    yield from (f"missing: {line}" for line in result.missing)
    yield from (f"failed: {line}" for line in result.failed)


if __name__ == "__main__":
    main()
