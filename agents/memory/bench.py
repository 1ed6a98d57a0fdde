"""`bench recall`: how many of the turns that answer a question are among the first found.

The file holds one object: `sessions` [{`id`, `date`, `turns` [{`id`, `speaker`, `text`}]}] and
`questions` [{`question`, `evidence`: [turn ids]}]. Everything runs as in the app: each turn is
taken in as a message by the extractor and the embedder, into an embedded FalkorDB of its own, and
each retriever is asked alone and then all together.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

import msgspec

from agents.memory import dates
from agents.memory.memory import Memory
from agents.memory.models import Models, load
from agents.memory.recall import Retriever, Weights
from agents.memory.types import Note
from engine.config import MemoryConfig
from engine.errors import HaloError

NOON = 12 * 3600
DAY = 86400
START = 1_700_000_000.0  # when the first session has no date that can be read


class Turn(msgspec.Struct):
    """One turn of a dialogue."""

    id: str
    speaker: str
    text: str


class Session(msgspec.Struct):
    """A dialogue of one day."""

    id: str | int
    turns: list[Turn]
    date: str = ""


class Question(msgspec.Struct):
    """A question, and the turns that answer it."""

    question: str
    evidence: list[str] = []
    kind: str = ""  # single, multi, temporal...: rows tell recall@10 of each


class Conversation(msgspec.Struct):
    """A file of `bench recall`."""

    sessions: list[Session]
    questions: list[Question]


def read(path: Path) -> Conversation:
    """A file. Raises HaloError, which says what is wrong with it."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Conversation)
    except OSError as error:
        raise HaloError(f"{path} cannot be read: {error.strerror or error}.") from error
    except msgspec.DecodeError as error:
        raise HaloError(
            f"{path.name} is no conversation with questions: {error}.",
            "docs/memory.md describes the format.",
        ) from error
    ids = [turn.id for session in found.sessions for turn in session.turns]
    if len(set(ids)) != len(ids):
        raise HaloError(f"{path.name} has two turns with one id.", "Give each turn its own.")
    return found


def notes_of(conversation: Conversation) -> list[Note]:
    """The turns as messages, dated by their sessions."""
    speakers = list(
        dict.fromkeys(t.speaker for s in conversation.sessions for t in s.turns if t.speaker)
    )
    notes: list[Note] = []
    moment = START
    for session in conversation.sessions:
        moment = _moment(session.date, moment + DAY)
        for index, turn in enumerate(session.turns):
            others = [s for s in speakers if s != turn.speaker]
            notes.append(
                Note(
                    turn.id,
                    turn.text,
                    turn.speaker,
                    str(session.id),
                    moment + index,
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
    conversation = read(path)
    models = models or load(config)
    for fault in models.faults:
        progress(str(fault))
    config = msgspec.structs.replace(config, url="")
    with tempfile.TemporaryDirectory(prefix="halo-recall-") as folder:
        with Memory(config, Path(folder), models.extractor, models.embedder) as memory:
            return measure(memory, conversation, models, progress, weights)


def measure(
    memory: Memory,
    conversation: Conversation,
    models: Models,
    progress: Callable[[str], None],
    weights: Weights | None = None,
) -> dict[str, Any]:
    """Take the turns in, then ask each question of each retriever."""
    notes = notes_of(conversation)
    began = time.perf_counter()
    for start in range(0, len(notes), 64):
        memory.remember(notes[start : start + 64])
        progress(f"{min(start + 64, len(notes))} of {len(notes)} messages taken in")
    taken = time.perf_counter() - began
    if weights is not None:
        memory.recaller.weights = weights
    known = {note.id for note in notes}
    for question in conversation.questions:
        # Some data sets write several ids as one text.
        question.evidence = [
            id
            for text in question.evidence
            for id in ([text] if text in known else re.split(r"[;,\s]+", text))
        ]
    questions = [q for q in conversation.questions if known.intersection(q.evidence)]
    now = notes[-1].time if notes else START
    rows = []
    for retriever in get_args(Retriever):
        if retriever == "vector" and models.embedder is None:
            continue
        rows.append(_row(memory, retriever, questions, known, now))
    stats = memory.stats()
    return {
        "rows": rows,
        "ms_per_message": round(1000 * taken / max(1, len(notes)), 3),
        "messages": len(notes),
        "questions": len(questions),
        "entities": stats.entities,
        "facts": stats.facts + stats.past_facts,
        "extractor": stats.extractor,
        "embedder": stats.embedder,
    }


def _row(
    memory: Memory, retriever: Retriever, questions: list[Question], known: set[str], now: float
) -> dict[str, Any]:
    five = ten = seconds = 0.0
    kinds: dict[str, list[float]] = {}
    memory.recaller.walk.load()
    for question in questions:
        began = time.perf_counter()
        found = memory.recaller.rank(question.question, retriever, 10, now)
        seconds += time.perf_counter() - began
        evidence = known.intersection(question.evidence)
        five += len(evidence.intersection(found[:5])) / len(evidence)
        share = len(evidence.intersection(found)) / len(evidence)
        ten += share
        if question.kind:
            kinds.setdefault(question.kind, []).append(share)
    count = max(1, len(questions))
    return {
        "retriever": retriever,
        "recall_at_5": round(five / count, 4),
        "recall_at_10": round(ten / count, 4),
        "ms_per_query": round(1000 * seconds / count, 3),
        **({"by_kind": _means(kinds)} if kinds else {}),
    }


def _means(kinds: dict[str, list[float]]) -> dict[str, float]:
    return {kind: round(sum(found) / len(found), 4) for kind, found in sorted(kinds.items())}


def _moment(text: str, otherwise: float) -> float:
    try:
        return datetime.fromisoformat(text.strip()).timestamp() + (NOON if len(text) <= 10 else 0)
    except (ValueError, OverflowError, OSError):
        pass
    found = dates.find(text.replace(",", " ").replace("  ", " "), otherwise)
    if not found:
        return otherwise
    first = found[0][2].first
    return datetime(first.year, first.month, first.day).timestamp() + NOON
