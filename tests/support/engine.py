"""A real engine core on a tiny model, and what it said, for tests."""

from __future__ import annotations

import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from engine.client import EngineClient
from engine.config import Config, EngineConfig
from engine.core.loop import EngineCore
from engine.protocol import (
    AnyEvent,
    CacheMap,
    Compaction,
    Delta,
    Deltas,
    Done,
    Event,
    Message,
    Note,
    Sampling,
    State,
)
from engine.wire import FrameReader, FrameWriter
from tests.support.waiting import until

CHATML = (
    "{% for m in messages %}<s>{{ m.role }}\n{{ m.content }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant\n{% endif %}"
)
GREEDY = Sampling(temperature=0.0, max_tokens=24)


class Talk:
    """A client with a record of its events."""

    def __init__(self, client: EngineClient) -> None:
        self.client = client
        self.events: list[Event] = []
        client.subscribe(self.events.append)

    def all[E: Event](self, kind: type[E]) -> list[E]:
        return [e for e in self.events if isinstance(e, kind)]

    def done(self, session: str) -> Done | None:
        """The newest Done of a session."""
        return next((d for d in reversed(self.all(Done)) if d.session == session), None)

    def deltas(self, session: str) -> list[Delta]:
        return [d for e in self.all(Deltas) for d in e.items if d.session == session]

    def streamed(self, session: str) -> str:
        return "".join(d.text for d in self.deltas(session) if not d.thinking)

    def tokens(self, session: str) -> list[int]:
        return [token for d in self.deltas(session) for token in d.tokens]

    def states(self, session: str) -> list[State]:
        return [s for s in self.all(State) if s.session == session]

    def notes(self) -> list[str]:
        return [n.text for n in self.all(Note)]

    async def say(self, session: str, *texts: str, sampling: Sampling = GREEDY) -> None:
        """Ask; `texts` alternate between user and assistant."""
        await self.client.open(session)
        await self.client.generate(session, chat(*texts), sampling)

    async def answer(
        self, session: str, *texts: str, sampling: Sampling = GREEDY, seconds: float = 60
    ) -> Done:
        """Ask and wait for the end."""
        before = len(self.all(Done))
        await self.say(session, *texts, sampling=sampling)
        await self.finish([session], after=before, seconds=seconds)
        done = self.done(session)
        assert done is not None
        return done

    async def finish(self, sessions: Sequence[str], after: int = 0, seconds: float = 60) -> None:
        wanted = set(sessions)

        def ended() -> bool:
            return wanted <= {d.session for d in self.all(Done)[after:]}

        await until(ended, seconds, f"for {wanted}")

    async def compact(
        self, session: str, ratio: float = 0.0, method: str = "", seconds: float = 60
    ) -> Compaction:
        """Compact and wait for how it ended."""
        before = len(self.compactions())
        await self.client.compact(session, ratio, method)
        await until(lambda: len(self.compactions()) > before, seconds, "for a compaction")
        return self.compactions()[-1]

    def compactions(self) -> list[Compaction]:
        """Those that came to an end, well or not."""
        return [c for c in self.all(Compaction) if c.phase in ("done", "failed", "cancelled")]

    async def cache(self) -> CacheMap:
        """A fresh map of the cells."""
        before = len(self.all(CacheMap))
        await self.client.stats()
        await until(lambda: len(self.all(CacheMap)) > before, what="for a cache map")
        return self.all(CacheMap)[-1]


def chat(*texts: str) -> tuple[Message, ...]:
    """Messages that alternate between user and assistant; a leading "!" marks a system message."""
    messages: list[Message] = []
    for text in texts:
        if text.startswith("!"):
            messages.append(Message("system", text[1:]))
        else:
            user = not messages or messages[-1].role != "user"
            messages.append(Message("user" if user else "assistant", text))
    return tuple(messages)


def settings(model: Path, **engine: Any) -> Config:
    """Settings for a tiny model: one thread, few cells."""
    config = Config()
    config.model.path = str(model)
    config.compaction = engine.pop("compaction", None) or config.compaction
    config.sessions = engine.pop("sessions", None) or config.sessions
    config.experts = engine.pop("experts", None) or config.experts
    config.engine = EngineConfig(**{"threads": 1, "n_ctx": 2048, "max_sessions": 16, **engine})
    return config


@asynccontextmanager
async def running(model: Path, folder: Path, **engine: Any) -> AsyncIterator[Talk]:
    """A started core; stopped at the end."""
    client = EngineClient(
        settings(model, **engine), log_path=folder / "core.log", swap_folder=folder / "swap"
    )
    talk = Talk(client)
    await client.start()
    try:
        yield talk
    finally:
        await client.stop()


class InProcessCore:
    """The same loop over the same socketpair in a thread, so that a test can reach inside."""

    def __init__(self, model: Path, **engine: Any) -> None:
        self.socket, theirs = socket.socketpair()
        config = settings(model, **engine)
        self.core = EngineCore(theirs, model, config.engine, config.compaction)
        self._thread = threading.Thread(target=self.core.run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.socket.close()
        self._thread.join(60)
        assert not self._thread.is_alive()


class Wire:
    """The raw socket of an in-process core."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.socket.settimeout(60)
        self.events: list[Event] = []
        self._writer = FrameWriter()
        self._reader: FrameReader[AnyEvent] = FrameReader(AnyEvent)  # type: ignore[arg-type]

    def send(self, message: msgspec.Struct) -> None:
        self.socket.sendall(self._writer.encode(message))

    def until(self, kind: type[Event]) -> Event:
        while True:
            for event in self.events:
                if isinstance(event, kind):
                    return event
            self.events += self._reader.feed(self.socket.recv(1 << 16))


async def going_on(talk: Talk, session: str, answer: Awaitable[Done]) -> list[Delta]:
    """What a session says when it goes on; asserts that nothing was read again but the token it
    follows, whose logits are wanted."""
    before, old = len(talk.deltas(session)), len(talk.states(session))
    done = await answer
    assert done.cached_tokens >= done.prompt_tokens, done
    states = [s for s in talk.states(session)[old:] if s.state == "prefill"]
    assert not states or states[-1].cached >= states[-1].total - 1, states
    return talk.deltas(session)[before:]
