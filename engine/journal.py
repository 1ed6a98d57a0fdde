"""What a new core has to be told when the old one died: sessions, settings, answers on their way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from engine.protocol import (
    Close,
    Configure,
    Deltas,
    Done,
    Focus,
    Generate,
    Open,
    Pin,
    Request,
    Restore,
)

ONCE = ("experts.ab", "experts.record")  # asked once; a new core is not asked again


@dataclass(slots=True)
class Answer:
    """An accepted generation and all that was said so far."""

    request: Generate
    tokens: list[int] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    thinking: list[str] = field(default_factory=list)

    def ended(self, reason: str, what: str = "", remedy: str = "") -> Done:
        """Its end, when no core will end it any more."""
        return Done(
            self.request.session,
            reason,
            "".join(self.text),
            "".join(self.thinking),
            tokens=len(self.tokens),
            what=what,
            remedy=remedy,
        )


class Journal:
    """Follows what is asked and answered."""

    def __init__(self) -> None:
        self._sessions: dict[str, None] = {}  # a set that keeps its order
        self._answers: dict[str, Answer] = {}
        self._settings: dict[str, bool | float | str] = {}
        self._snapshots: dict[str, str] = {}  # session -> the newest file with its cells
        self._pinned: set[str] = set()
        self._focused = ""

    def asked(self, request: Request) -> None:
        """A request that is about to be sent."""
        if isinstance(request, Open):
            self._sessions[request.session] = None
        elif isinstance(request, Close):
            self._sessions.pop(request.session, None)
            self._snapshots.pop(request.session, None)
            self._pinned.discard(request.session)
            if self._focused == request.session:
                self._focused = ""
        elif isinstance(request, Pin):
            (self._pinned.add if request.on else self._pinned.discard)(request.session)
        elif isinstance(request, Focus):
            self._focused = request.session
        elif isinstance(request, Configure):
            if request.key not in ONCE:
                self._settings[request.key] = request.value
        elif isinstance(request, Generate) and request.session not in self._answers:
            self._answers[request.session] = Answer(request)

    def refused(self, request: Generate) -> None:
        """No answer will come to this."""
        answer = self._answers.get(request.session)
        if answer is not None and answer.request is request:
            del self._answers[request.session]

    def said(self, deltas: Deltas) -> None:
        """More of the answers."""
        for delta in deltas.items:
            answer = self._answers.get(delta.session)
            if answer is not None:
                answer.tokens += delta.tokens
                (answer.thinking if delta.thinking else answer.text).append(delta.text)

    def done(self, session: str) -> None:
        """A session's answer has ended."""
        self._answers.pop(session, None)

    def saved(self, session: str, path: Path) -> None:
        """`path` is what an open session should come back from."""
        if session in self._sessions:
            self._snapshots[session] = str(path)

    def forget_snapshot(self, session: str) -> None:
        """A session's snapshot is not what it should come back to any more."""
        self._snapshots.pop(session, None)

    def is_open(self, session: str) -> bool:
        """Whether a session was opened and not closed."""
        return session in self._sessions

    def answering(self, session: str) -> bool:
        """Whether a session's answer is on its way."""
        return session in self._answers

    @property
    def answers(self) -> list[Answer]:
        """Those on their way."""
        return list(self._answers.values())

    @property
    def awaits_first(self) -> bool:
        """Whether one of them has not begun."""
        return any(not answer.tokens for answer in self._answers.values())

    def again(self) -> Iterator[Request]:
        """What brings a new core to where the old one was; answers go on after it."""
        for session in self._sessions:
            yield Open(0, session)
            if session in self._snapshots:
                yield Restore(0, session, self._snapshots[session])
            if session in self._pinned:
                yield Pin(0, session, True)
        for key, value in self._settings.items():
            yield Configure(0, key, value)
        if self._focused:
            yield Focus(0, self._focused)
