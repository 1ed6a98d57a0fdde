"""A real engine core that takes its turns one by one, when a test says so."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.core.loop import EngineCore
from engine.core.sequence import Sequence
from engine.protocol import AnyEvent, AnyRequest, Done, Event, Generate, Open, Reply, Sampling
from engine.wire import FrameReader, FrameWriter
from tests.support.engine import GREEDY, chat, settings


class SteppedCore:
    """The core's own parts and turns, in the test's thread; requests go over the socket."""

    def __init__(self, model: Path, folder: Path | None = None, **engine: Any) -> None:
        self._socket, theirs = socket.socketpair()
        config = settings(model, **engine)
        self.core = EngineCore(
            theirs, model, config.engine, config.compaction, config.sessions, folder
        )
        self.core._load()
        self.events: list[Event] = []
        self._socket.setblocking(False)
        self._writer = FrameWriter()
        self._reader: FrameReader[AnyEvent] = FrameReader(AnyEvent)  # type: ignore[arg-type]
        self._ids = itertools.count(1)
        self.read()

    def __enter__(self) -> SteppedCore:
        return self

    def __exit__(self, *_: object) -> None:
        self.core._free()
        self._socket.close()

    @property
    def scheduler(self) -> Any:
        return self.core._scheduler

    @property
    def compactor(self) -> Any:
        return self.core._compactor

    def session(self, name: str) -> Sequence:
        return self.core._sessions[name]

    def read(self) -> None:
        """Take what the core has sent."""
        while True:
            try:
                data = self._socket.recv(1 << 18)
            except BlockingIOError:
                return
            self.events += self._reader.feed(data)

    def send(self, kind: type[AnyRequest], **fields: Any) -> int:
        """Put a request where the next turn finds it; its number."""
        number = next(self._ids)
        self._socket.send(self._writer.encode(kind(number, **fields)))
        return number

    def turn(self, count: int = 1) -> None:
        for _ in range(count):
            self.core._turn(0.0)
            self.read()

    def until(self, done: Callable[[], Any], what: str, seconds: float = 20.0) -> None:
        """Turn until something is so."""
        deadline = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < deadline, f"waited {seconds} s {what}"
            self.turn()
            if not self.scheduler.busy:
                time.sleep(0.001)

    def ask(self, kind: type[AnyRequest], **fields: Any) -> Reply:
        """A request and its reply."""
        number = self.send(kind, **fields)
        self.until(lambda: self.reply(number), f"for the reply to {kind.__name__} {fields}")
        reply = self.reply(number)
        assert reply is not None
        return reply

    def reply(self, number: int) -> Reply | None:
        return next((e for e in self.events if isinstance(e, Reply) and e.id == number), None)

    def say(self, name: str, *texts: str, sampling: Sampling = GREEDY) -> Reply:
        self.ask(Open, session=name)
        reply = self.ask(Generate, session=name, messages=chat(*texts), sampling=sampling)
        assert reply.ok, reply
        return reply

    def all[E: Event](self, kind: type[E]) -> list[E]:
        return [e for e in self.events if isinstance(e, kind)]

    def answer(self, name: str, *texts: str, sampling: Sampling = GREEDY) -> Done:
        """Ask and turn until it is answered."""
        before = len([d for d in self.all(Done) if d.session == name])
        self.say(name, *texts, sampling=sampling)
        self.until(
            lambda: len([d for d in self.all(Done) if d.session == name]) > before, f"for {name}"
        )
        return [d for d in self.all(Done) if d.session == name][-1]
