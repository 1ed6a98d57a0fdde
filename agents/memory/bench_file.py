"""Reads the files of `bench recall`: conversations, and questions with the turns that answer them.

The documented shape is one object: `sessions` [{`id`, `date`, `turns` [{`id`, `speaker`, `text`}]}]
and `questions` [{`question`, `evidence`: [turn ids], `kind`}]. What data sets make of it is taken as
well: ids as numbers, several ids in one text ("D1:3; D2:5"), `dia_id`, `category`, captions of
pictures, LoCoMo's own shape (`conversation` with `session_1`, `session_1_date_time` and so on, and
`qa`), and a list of conversations. What cannot be read is named with its place.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from agents.memory import dates
from engine.errors import HaloError

NOON = 12 * 3600
DAY = 86400
START = 1_700_000_000.0  # when the first session has no date that can be read
REMEDY = "docs/memory.md describes the format."
_SESSION = re.compile(r"session_(\d+)")
# LoCoMo numbers its categories.
_CATEGORIES = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop", 5: "adversarial"}
MILLISECONDS = 1e11  # a larger number is a time in those; seconds reach it in the year 5138
_SLASHES = re.compile(r"\b(\d{4})[/.](\d{1,2})[/.](\d{1,2})\b")
_PARTS = re.compile(r"[a-z]+|\d+")


@dataclass(slots=True)
class Turn:
    """One turn of a dialogue."""

    id: str
    speaker: str
    text: str


@dataclass(slots=True)
class Session:
    """A dialogue of one day; `time` in Unix seconds."""

    id: str
    turns: list[Turn]
    time: float


@dataclass(slots=True)
class Question:
    """A question, and the turns that answer it."""

    question: str
    evidence: list[str]
    kind: str = ""  # single, multi, temporal...: rows tell recall@10 of each


@dataclass(slots=True)
class Conversation:
    """A conversation and the questions about it that have evidence in it."""

    sessions: list[Session] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    unanswered: int = 0  # questions without evidence
    unknown: list[str] = field(default_factory=list)  # evidence that is no turn of it
    undated: list[str] = field(default_factory=list)  # dates that say no day


def read(path: Path) -> list[Conversation]:
    """The conversations of a file. Raises HaloError, which says what is wrong with it and where."""
    try:
        found = json.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise HaloError(
            f"{path} cannot be read: {error.strerror or error}.", "Name a file of conversations."
        ) from error
    except UnicodeDecodeError as error:
        raise HaloError(
            f"{path.name} is not UTF-8 text: byte {error.start}.", "Convert it."
        ) from error
    except json.JSONDecodeError as error:
        raise HaloError(
            f"{path.name} is no JSON: {error.msg}, line {error.lineno} column {error.colno}.",
            REMEDY,
        ) from error
    except RecursionError as error:
        raise HaloError(f"{path.name} is nested too deeply.", REMEDY) from error
    reader = _Reader(path.name)
    if isinstance(found, list):
        if not found:
            reader.wrong("", "is an empty list")
        return [reader.conversation(item, f"[{i}]") for i, item in enumerate(found)]
    return [reader.conversation(found, "")]


class _Reader:
    """Turns what JSON holds into conversations; knows the file's name for what is wrong."""

    def __init__(self, name: str) -> None:
        self.name = name

    def wrong(self, place: str, what: str) -> NoReturn:
        raise HaloError(
            f"{self.name} is no conversation with questions: {place.lstrip('.') or 'it'} {what}.",
            REMEDY,
        )

    def conversation(self, found: Any, place: str) -> Conversation:
        table = self._table(found, place)
        talk = Conversation()
        if isinstance(table.get("conversation"), dict):
            rows, where = _locomo(table["conversation"]), f"{place}.conversation"
        else:
            rows = self._list(table, place, "sessions")
            where = f"{place}.sessions"
        moment, places = START, dict[str, str]()
        for i, row in enumerate(rows):
            at = f"{where}[{i}]" if where.endswith("sessions") else f"{where}.{row['id']}"
            session = self._table(row, at)
            date = _first(session, "date", "date_time", "datetime")
            told = _moment(date, moment)
            if told is None and date not in (None, ""):
                talk.undated.append(str(date))
            moment = moment + DAY if told is None else told
            turns = [
                self._turn(turn, f"{at}.turns[{j}]", places)
                for j, turn in enumerate(self._list(session, at, "turns"))
            ]
            name = _first(session, "id", "session_id")
            talk.sessions.append(Session(str(i + 1 if name is None else name), turns, moment))
        known = _Known(places)
        asked = "questions" if "questions" in table or "qa" not in table else "qa"
        for i, row in enumerate(self._list(table, place, asked)):
            self._question(row, f"{place}.{asked}[{i}]", known, talk)
        return talk

    def _turn(self, found: Any, place: str, places: dict[str, str]) -> Turn:
        turn = self._table(found, place)
        id = self._id(_first(turn, "id", "dia_id"), place)
        if id in places:
            self.wrong(place, f"has the id {id}, as {places[id].lstrip('.')} has")
        places[id] = place
        text, caption = turn.get("text"), turn.get("blip_caption")
        if text is None and isinstance(caption, str):
            text = ""
        if not isinstance(text, str):
            self.wrong(f"{place}.text", "is missing" if text is None else "is no text")
        if isinstance(caption, str) and caption.strip():
            text = f"{text} [picture: {caption.strip()}]".strip()
        speaker = turn.get("speaker")
        if not isinstance(speaker, str | None):
            self.wrong(f"{place}.speaker", "is no text")
        return Turn(id, (speaker or "").strip(), text)

    def _question(self, found: Any, place: str, known: _Known, talk: Conversation) -> None:
        row = self._table(found, place)
        question = row.get("question")
        if not isinstance(question, str) or not question.strip():
            missing = question is None or question == ""
            self.wrong(f"{place}.question", "is missing" if missing else "is no text")
        evidence = row.get("evidence")
        if evidence is None:
            evidence = []
        elif not isinstance(evidence, list):
            evidence = [evidence]
        ids: dict[str, None] = {}
        for item in evidence:
            if item is None or item == "":
                continue
            for text, id in known.find(self._id(item, f"{place}.evidence")):
                if id is None:
                    talk.unknown.append(text)
                else:
                    ids[id] = None
        if ids:
            talk.questions.append(Question(question, list(ids), _kind(row)))
        else:
            talk.unanswered += 1

    def _id(self, found: Any, place: str) -> str:
        if isinstance(found, bool) or not isinstance(found, str | int) or found == "":
            self.wrong(place, "has no id" if found in (None, "") else "has an id that is no text")
        return str(found).strip()

    def _table(self, found: Any, place: str) -> dict[str, Any]:
        if not isinstance(found, dict):
            self.wrong(place, "is no JSON object")
        return found

    def _list(self, table: dict[str, Any], place: str, key: str) -> list[Any]:
        found = table.get(key)
        if found is None:
            self.wrong(f"{place}.{key}", "is missing")
        if not isinstance(found, list):
            self.wrong(f"{place}.{key}", "is no list")
        return found


class _Known:
    """The ids of a conversation's turns, and how else data sets write them: D30:05, D:11:26."""

    def __init__(self, ids: dict[str, str]) -> None:
        self._ids = ids
        self._plain: dict[tuple[str, ...], str] = {}
        for id in ids:
            plain = _plain(id)
            self._plain[plain] = "" if plain in self._plain else id  # "" = more than one

    def find(self, text: str) -> list[tuple[str, str | None]]:
        """The ids that a text names, each with its turn; None where there is no such turn."""
        if text in self._ids:
            return [(text, text)]
        parts = [part for part in re.split(r"[;,\s()\[\]\"']+", text) if part]
        return [(p, p if p in self._ids else self._plain.get(_plain(p)) or None) for p in parts]


def _plain(id: str) -> tuple[str, ...]:
    return tuple(p.lstrip("0") or "0" if p.isdigit() else p for p in _PARTS.findall(id.lower()))


def _locomo(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The sessions of LoCoMo's `conversation`, in their order."""
    numbers = sorted(int(match[1]) for key in found if (match := _SESSION.fullmatch(key)))
    return [
        {
            "id": f"session_{n}",
            "date": found.get(f"session_{n}_date_time"),
            "turns": found[f"session_{n}"],
        }
        for n in numbers
    ]


def _first(table: dict[str, Any], *keys: str) -> Any:
    return next((table[key] for key in keys if table.get(key) is not None), None)


def _kind(row: dict[str, Any]) -> str:
    kind = _first(row, "kind", "category", "type")
    if isinstance(kind, int) and "category" in row:
        return _CATEGORIES.get(kind, str(kind))
    return "" if kind is None else str(kind)


def _moment(found: Any, before: float) -> float | None:
    """A session's date as Unix seconds: such seconds, ISO, or as people write it; None = no day."""
    if isinstance(found, int | float) and not isinstance(found, bool):
        seconds = found / 1000 if abs(found) > MILLISECONDS else found
        return float(seconds) if abs(seconds) <= MILLISECONDS else None
    text = str(found or "").strip()
    if match := _SLASHES.search(text):
        text = "{}-{:0>2}-{:0>2}".format(*match.groups())
    try:
        return datetime.fromisoformat(text).timestamp() + (NOON if len(text) <= 10 else 0)
    except (ValueError, OverflowError, OSError):
        pass
    days = dates.find(text.replace(",", " ").replace("  ", " "), before)
    if not days:
        return None
    first = days[0][2].first
    return datetime(first.year, first.month, first.day).timestamp() + NOON
