"""What the memory tells the app: its state, and what was learnt lately."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from agents.memory.events import Learnt, MemoryEvent, StateChanged

if TYPE_CHECKING:
    from agents.memory.service import MemoryService
    from agents.memory.types import Fact, Stats
    from tui.widgets.memory.feed import Lesson

KEPT = 300  # lessons
OFF = "The memory is off: set enabled = true under [memory] in the configuration and start again."


class MemoryNews:
    """Listens to the service from its start on; panels come and go and look here."""

    def __init__(self) -> None:
        self.service: MemoryService | None = None
        self.lessons: deque[Lesson] = deque(maxlen=KEPT)  # newest first
        self.state = StateChanged("off")
        self._watchers: list[Callable[[MemoryEvent], None]] = []

    def attend(self, service: MemoryService) -> None:
        """Listen to the memory from now on."""
        self.service = service
        service.subscribe(self.apply)
        self.apply(StateChanged(service.state, service.queued))

    def watch(self, handler: Callable[[MemoryEvent], None]) -> Callable[[], None]:
        """Tell `handler` every event, after it was noted here. Returns how to stop that."""
        self._watchers.append(handler)
        return lambda: self._watchers.remove(handler) if handler in self._watchers else None

    def apply(self, event: MemoryEvent) -> None:
        """Note an event."""
        if isinstance(event, StateChanged):
            self.state = event
        elif isinstance(event, Learnt):
            self._learnt(event)
        for watcher in tuple(self._watchers):
            watcher(event)

    def _learnt(self, event: Learnt) -> None:
        from tui.widgets.memory.feed import Lesson

        sources = (s for f in event.facts for s in f.sources if s.message == event.message)
        said = next(sources, None)
        moment = said.time if said is not None else time.time()
        for closed, facts in ((True, event.closed), (False, event.facts)):
            for fact in facts:
                self.lessons.appendleft(Lesson(fact, event.speaker, event.message, moment, closed))

    def earlier(self, facts: Sequence[Fact]) -> None:
        """Facts the graph holds from before the start: they stand below what was learnt since."""
        from tui.widgets.memory.feed import Lesson

        known = {lesson.fact.id for lesson in self.lessons}
        found: list[Lesson] = []
        for fact in facts:
            if fact.id in known:
                continue
            said = fact.sources[0] if fact.sources else None
            who, message = (said.speaker, said.message) if said else ("", "")
            moment = said.time if said else fact.valid_from
            if fact.valid_to == fact.valid_from:  # "I no longer like tea" told of both
                found.append(Lesson(fact, who, message, moment, closed=True, earlier=True))
                continue
            found.append(Lesson(fact, who, message, moment, earlier=True))
            if fact.valid_to is not None:
                by = fact.ended
                who, message = (by.speaker, by.message) if by else ("", "")
                found.append(Lesson(fact, who, message, fact.valid_to, closed=True, earlier=True))
        found.sort(key=lambda lesson: -lesson.time)
        room = KEPT - len(self.lessons)
        self.lessons.extend(found[:room])

    def ruled(self, fact: Fact) -> None:
        """A fact was accepted, rejected or corrected: the feed shows it."""
        for lesson in self.lessons:
            if lesson.fact.id == fact.id:
                lesson.fact = replace(lesson.fact, status=fact.status)

    # --- words -----------------------------------------------------------------------------------

    def words(self, stats: Stats | None = None) -> str:
        """State and sizes in one line."""
        state, queued = self.state, self.state.queued
        wait = f"{queued:,} {'message' if queued == 1 else 'messages'}"
        match state.state:
            case "off":
                return f"○ {OFF}"
            case "starting":
                return "◔ The memory is starting" + (f"; {wait} wait." if queued else "…")
            case "down":
                why = f"{state.what or 'The graph database is down.'} {state.remedy}".strip()
                return f"✗ {why}" + (f" {wait} queued on disk." if queued else "")
        if stats is None:
            return "● The memory is ready." + (f" {wait} being read." if queued else "")
        past = f" (+{stats.past_facts:,} past)" if stats.past_facts else ""
        sizes = f"● {_count(stats.entities, 'entity', 'entities')} · "
        sizes += f"{_count(stats.facts, 'fact', 'facts')}{past}"
        sizes += f" · {_count(stats.messages, 'message', 'messages')}"
        sizes += f" · {wait} being read" if queued else ""
        without = self.service.fault if self.service is not None else None
        return f"{sizes}\n◑ {without}" if without is not None else sizes


def _count(number: int, one: str, many: str) -> str:
    """1 fact, 1,200 facts."""
    return f"{number:,} {one if number == 1 else many}"
