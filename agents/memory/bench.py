"""`bench recall`: how many of the turns that answer a question are among the first found.

The file is read by `bench_file.py`. Everything runs as in the app: each turn is taken in as a message
by the extractor and the embedder, into an embedded FalkorDB of its own, and each retriever is asked
alone and then all together. Of several conversations each has a database of its own, and what is told
is the mean over all questions.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import msgspec

from agents.memory.bench_file import Conversation, Question, read
from agents.memory.memory import Memory
from agents.memory.models import Models, load
from agents.memory.recall import Retriever, Weights
from agents.memory.types import Note
from engine.config import MemoryConfig
from engine.errors import HaloError

SHOWN = 5  # things that were left out, by name


@dataclass(slots=True)
class Found:
    """What one retriever found: sums over the questions asked of it."""

    questions: int = 0
    five: float = 0.0
    ten: float = 0.0
    seconds: float = 0.0
    kinds: dict[str, list[float]] = field(default_factory=dict)


@dataclass(slots=True)
class Total:
    """Sums over the conversations of a file."""

    found: dict[str, Found] = field(default_factory=dict)
    messages: int = 0
    entities: int = 0
    facts: int = 0
    seconds: float = 0.0  # to take the messages in


def notes_of(conversation: Conversation) -> list[Note]:
    """The turns as messages, dated by their sessions."""
    speakers = list(
        dict.fromkeys(t.speaker for s in conversation.sessions for t in s.turns if t.speaker)
    )
    notes: list[Note] = []
    for session in conversation.sessions:
        for index, turn in enumerate(session.turns):
            others = [s for s in speakers if s != turn.speaker]
            notes.append(
                Note(
                    turn.id,
                    turn.text,
                    turn.speaker,
                    session.id,
                    session.time + index,
                    others[0] if len(others) == 1 else "",
                )
            )
    return notes


def run(
    path: Path,
    config: MemoryConfig,
    models: Models | None = None,
    progress: Callable[[str], None] = lambda text: None,
    weights: Weights | None = None,
) -> dict[str, Any]:
    """Measure one file. Raises HaloError."""
    conversations = read(path)
    _left_out(conversations, path, progress)
    models = models or load(config)
    for fault in models.faults:
        progress(str(fault))
    config = msgspec.structs.replace(config, url="")
    total = Total()
    for number, conversation in enumerate(conversations, 1):
        if len(conversations) > 1:
            progress(f"conversation {number} of {len(conversations)}")
        with tempfile.TemporaryDirectory(prefix="halo-recall-") as folder:
            with Memory(config, Path(folder), models.extractor, models.embedder) as memory:
                measure(memory, conversation, models, total, progress, weights)
    return {
        "rows": [_row(name, found) for name, found in total.found.items()],
        "ms_per_message": round(1000 * total.seconds / max(1, total.messages), 3),
        "messages": total.messages,
        "questions": sum(len(c.questions) for c in conversations),
        "without_evidence": sum(c.unanswered for c in conversations),
        "conversations": len(conversations),
        "entities": total.entities,
        "facts": total.facts,
        "extractor": models.extractor.name if models.extractor else "",
        "embedder": models.embedder.name if models.embedder else "",
    }


def _left_out(
    conversations: list[Conversation], path: Path, progress: Callable[[str], None]
) -> None:
    """Tell what of a file cannot be used. Raises HaloError when no question is left."""
    unknown = [id for c in conversations for id in c.unknown]
    undated = [date for c in conversations for date in c.undated]
    without = sum(c.unanswered for c in conversations)
    if not any(c.questions for c in conversations):
        named = f" No turn is called {', '.join(unknown[:SHOWN])}." if unknown else ""
        raise HaloError(
            f"{path.name} has no question with evidence among its turns.{named}",
            "docs/memory.md describes the format.",
        )
    if unknown:
        progress(f"no turn is called {_some(unknown)}; that evidence is left out")
    if without:
        progress(f"{without} question{'s have' if without > 1 else ' has'} no evidence: left out")
    if undated:
        progress(f"no day is told by {_some(undated)}; taken as the day after the session before")


def _some(names: list[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def measure(
    memory: Memory,
    conversation: Conversation,
    models: Models,
    total: Total,
    progress: Callable[[str], None],
    weights: Weights | None = None,
) -> None:
    """Take the turns in, then ask each question of each retriever; adds to `total`."""
    notes = notes_of(conversation)
    began = time.perf_counter()
    for start in range(0, len(notes), 64):
        memory.remember(notes[start : start + 64])
        progress(f"{min(start + 64, len(notes))} of {len(notes)} messages taken in")
    total.seconds += time.perf_counter() - began
    total.messages += len(notes)
    if weights is not None:
        memory.recaller.weights = weights
    now = notes[-1].time if notes else 0.0
    for retriever in get_args(Retriever):
        if retriever == "vector" and models.embedder is None:
            continue
        found = total.found.setdefault(retriever, Found())
        _ask(memory, retriever, conversation.questions, found, now)
    stats = memory.stats()
    total.entities += stats.entities
    total.facts += stats.facts + stats.past_facts


def _ask(
    memory: Memory, retriever: Retriever, questions: list[Question], to: Found, now: float
) -> None:
    memory.recaller.walk.load()
    for question in questions:
        began = time.perf_counter()
        found = memory.recaller.rank(question.question, retriever, 10, now)
        to.seconds += time.perf_counter() - began
        evidence = set(question.evidence)
        share = len(evidence.intersection(found)) / len(evidence)
        to.five += len(evidence.intersection(found[:5])) / len(evidence)
        to.ten += share
        to.questions += 1
        if question.kind:
            to.kinds.setdefault(question.kind, []).append(share)


def _row(retriever: str, found: Found) -> dict[str, Any]:
    count = max(1, found.questions)
    return {
        "retriever": retriever,
        "recall_at_5": round(found.five / count, 4),
        "recall_at_10": round(found.ten / count, 4),
        "ms_per_query": round(1000 * found.seconds / count, 3),
        **({"by_kind": _means(found.kinds)} if found.kinds else {}),
    }


def _means(kinds: dict[str, list[float]]) -> dict[str, float]:
    return {kind: round(sum(found) / len(found), 4) for kind, found in sorted(kinds.items())}
