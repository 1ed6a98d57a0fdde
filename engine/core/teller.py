"""What the core tells the app, and when: text as it comes, the rest at its own pace."""

from __future__ import annotations

import time
from collections.abc import Mapping

from engine.core import report
from engine.core.compactor import Compactor
from engine.core.generation import Generation
from engine.core.holdings import Accountant
from engine.core.kvcache import Happening
from engine.core.port import Port
from engine.core.runner import Context
from engine.core.scheduler import Scheduler
from engine.core.sequence import Phase, Sequence, internal
from engine.protocol import Deltas, Done, Event, Holdings, Note, State

# Steps shorter than this share a Deltas event: reading each costs a core, and nobody sees 50 a second.
FLUSH_SECONDS = 0.040
STATS_SECONDS = 0.5
HOLDINGS_SECONDS = 5.0


class Teller:
    """Collects what happens between two steps and sends what is due."""

    def __init__(
        self,
        port: Port,
        context: Context,
        scheduler: Scheduler,
        compactor: Compactor,
        sessions: Mapping[str, Sequence],
    ) -> None:
        self._port, self._context = port, context
        self._scheduler, self._compactor = scheduler, compactor
        self._sessions = sessions
        self._sent_states: dict[str, tuple[object, ...]] = {}
        self._news: list[Generation] = []  # with text that was not sent yet
        self._ended: list[Event] = []  # Done events, to follow that text
        self.speed = report.Speedometer()
        self.map_seconds = 0.25  # between two maps of the cells
        self._flushed_at = self._mapped_at = self._stats_at = self._held_at = 0.0
        self._map_key: object = None
        self._accountant = Accountant(context.llama, context.pointer)
        self._holdings: Holdings | None = None  # as they were sent last
        self.wants_report = False  # somebody asked for a map and figures
        self.wants_map = False  # what is drawn on the map changed, if not the cells

    # --- what happened --------------------------------------------------------------------------

    def news(self, generation: Generation) -> None:
        """A generation is about to say something more."""
        if not generation.has_news:
            self._news.append(generation)

    def hurry(self) -> None:
        """The first word of an answer is not held back."""
        self._flushed_at = 0.0

    def last_words(self, generation: Generation) -> None:
        """A generation ends: take what it has still to say."""
        if generation in self._news:
            self._news.remove(generation)
        deltas = generation.news()
        if deltas:
            self._ended.append(Deltas(tuple(deltas)))

    def ended(self, done: Done) -> None:
        """Follows the last words."""
        self._ended.append(done)

    def closed(self, session: str) -> None:
        """A session is gone; what another of its name does is news."""
        self._sent_states.pop(session, None)

    def note(self, level: str, kind: str, text: str, session: str = "") -> None:
        """A line for the event log, at once."""
        self._port.send(Note(level, kind, text, session))

    # --- telling --------------------------------------------------------------------------------

    def patience(self, now: float) -> float | None:
        """Seconds until something is due though nothing happens; None when nothing is."""
        if self._cells_changed():
            return max(0.0, self._mapped_at + self.map_seconds - now)
        if self.speed.unread:
            return max(0.0, self._stats_at + STATS_SECONDS - now)
        return None

    def tell(self, now: float) -> None:
        """Send what is due."""
        idle = not self._scheduler.busy
        if idle or self._ended or now - self._flushed_at >= FLUSH_SECONDS:
            self._flush(now, idle)
        if now - self._mapped_at >= self.map_seconds or self.wants_report:
            self._send_map(now)
        if now - self._stats_at >= STATS_SECONDS or self.wants_report:
            self._send_stats(now)
        if now - self._held_at >= HOLDINGS_SECONDS or self.wants_report:
            self._send_holdings(now)
        self.wants_report = False

    def _flush(self, now: float, idle: bool) -> None:
        port = self._port
        if port.congested and not self._ended and not idle:
            return  # the app is behind: deltas go on growing together
        self._flushed_at = now
        if self._news:
            deltas = [delta for generation in self._news for delta in generation.news()]
            self._news.clear()
            if deltas:
                port.send(Deltas(tuple(deltas)))
        for happening in self._scheduler.cache.happenings:
            if not internal(happening.session):
                port.send(_told(happening))
        self._scheduler.cache.happenings.clear()
        self._send_states()
        for event in self._ended:
            port.send(event)
        self._ended.clear()

    def _send_states(self) -> None:
        for name, sequence in self._sessions.items():
            phase = sequence.phase
            if phase is Phase.PREFILL:
                key: tuple[object, ...] = (
                    phase,
                    sequence.reason,
                    sequence.held,
                    len(sequence.tokens),
                )
            else:
                key = (phase, sequence.reason)
            if self._sent_states.get(name) == key:
                continue
            self._sent_states[name] = key
            reading = phase is Phase.PREFILL
            self._port.send(
                State(
                    name,
                    phase.value,
                    sequence.reason if phase is not Phase.IDLE else "",
                    done=sequence.held if reading else 0,
                    total=len(sequence.tokens) if reading else 0,
                    cached=sequence.cached if reading else 0,
                )
            )

    def _cells_changed(self) -> bool:
        return self.wants_map or self._scheduler.cells.version != self._map_key

    def _send_map(self, now: float) -> None:
        if not self._cells_changed() and not self.wants_report:
            return
        if self._port.congested and not self.wants_report:
            return
        self._map_key = self._scheduler.cells.version
        self.wants_map = False
        self._port.send(
            report.cache_map(
                self._scheduler,
                self._context.cell_map(),
                self._compactor,
                self._sessions.values(),
            )
        )
        # A scattered map of a large context takes long to describe: never more than 1/50 of
        # the time.
        spent = time.monotonic() - now
        self._mapped_at = now + max(0.0, 50 * spent - self.map_seconds)

    def _send_stats(self, now: float) -> None:
        if not self.speed.unread and not self.wants_report:
            return
        self._stats_at = now
        self._port.send(self.speed.read(self._scheduler))

    def _send_holdings(self, now: float) -> None:
        """Buffers grow when a larger graph is computed; else this says the same for hours."""
        self._held_at = now
        holdings = self._accountant.holdings()
        if holdings is not None and (holdings != self._holdings or self.wants_report):
            self._holdings = holdings
            self._port.send(holdings)


def _told(happening: Happening) -> Note:
    kind, session, cells = happening
    text = {
        "freed_kept": f"Freed {cells:,} cells kept of {session}, which is closed.",
        "freed_idle": f"Freed {cells:,} cells of {session}; its next turn reads them again.",
        "swapped": f"Put {cells:,} cells aside; the next turn brings them back.",
        "returned": f"Brought {cells:,} cells back.",
        "unfolded": f"The {cells:,} tokens that were compacted have changed: they are read again.",
        "unusable": f"The cells kept of {session} cannot be used; it is read again.",
        "preempted": f"Paused {session} and freed its {cells:,} cells so that others can finish.",
    }[kind]
    level = "warning" if kind in ("preempted", "unusable") else "info"
    return Note(level, "cache", text, session)
