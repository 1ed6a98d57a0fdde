"""An engine client without an engine, for tests of what is above it.

By default every generation waits for the test: `say` streams text, `finish` ends it. With
`reply` (a function from the messages to the answer) it answers by itself, word by word.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine import snapshot
from engine.errors import EngineError
from engine.protocol import (
    PROTOCOL_VERSION,
    Away,
    CacheMap,
    CellRuns,
    Compaction,
    Delta,
    Deltas,
    Done,
    Event,
    Experts,
    Message,
    Ready,
    Sampling,
    State,
    Stretch,
)

READY = Ready(
    protocol=PROTOCOL_VERSION, pid=4242, model="scripted", path="/models/scripted.gguf",
    architecture="qwen3moe", parameters=20_000_000, model_bytes=40_000_000, n_ctx=8192,
    n_ctx_train=8192, n_seq_max=64, n_vocab=4096, n_layer=8, kv_bytes_per_cell=4096,
    backend="CPU", devices=("CPU",), type_k="f16", type_v="f16", flash_attention=True, threads=4,
    build="test", hooks={"cells": True}, load_seconds=0.5, n_expert=64,
)  # fmt: skip


class ScriptedClient:
    """Same methods and events as engine.client.EngineClient."""

    def __init__(self, reply: Callable[[tuple[Message, ...]], str] | None = None) -> None:
        self.reply = reply
        self.generations: dict[str, tuple[Message, ...]] = {}  # running, by session
        self.samplings: dict[str, Sampling] = {}
        self.must_call: dict[str, bool] = {}
        self.sessions: set[str] = set()
        self.focused = ""
        self.refuse: EngineError | None = None  # raised by the next generate
        self.start_error: EngineError | None = None
        self.hold_start = False  # start() waits for `let_start`
        self.hold_open = False  # open() waits while this is set
        self.deaf = False  # cancel() has no effect
        self.ready: Ready | None = None
        self.state = "starting"
        self.pid = 4242
        self.stopped = False
        self.log: list[tuple[str, Any]] = []
        self.settings: dict[str, bool | float | str] = {}  # what was configured
        self.span = 3412  # cells that a compaction finds
        self.refuse_compaction: EngineError | None = None  # raised by the next compact
        self.refuse_session: EngineError | None = None  # raised by save and restore
        self.compacting: dict[str, int] = {}  # session -> number of its compaction
        self._compactions = 0
        self._text: dict[str, str] = {}
        self._handlers: list[Callable[[Event], None]] = []
        self._go = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    # --- the client's methods --------------------------------------------------------------------

    def subscribe(self, handler: Callable[[Event], None]) -> Callable[[], None]:
        self._handlers.append(handler)
        return lambda: self._handlers.remove(handler)

    async def start(self) -> Ready:
        if self.hold_start:
            await self._go.wait()
        if self.start_error:
            self.state = "dead"
            raise self.start_error
        self.state, self.ready = "ready", READY
        self.emit(READY)
        return READY

    async def stop(self) -> None:
        self.stopped = True
        self.state = "dead"
        for task in self._tasks:
            task.cancel()

    async def open(self, session: str) -> None:
        while self.hold_open:
            await asyncio.sleep(0)
        self.sessions.add(session)
        self.log.append(("open", session))

    async def close(self, session: str) -> None:
        self.sessions.discard(session)
        self.log.append(("close", session))

    async def focus(self, session: str) -> None:
        self.focused = session

    async def count(self, text: str) -> int:
        """Tokens of a vocabulary of words."""
        return len(text.split())

    async def cancel(self, session: str) -> None:
        self.log.append(("cancel", session))
        if session in self.generations and not self.deaf:
            self.finish(session, "cancelled")

    async def generate(
        self,
        session: str,
        messages: tuple[Message, ...],
        sampling: Sampling = Sampling(),  # noqa: B008 - frozen
        thinking: bool = True,
        must_call: bool = False,
    ) -> None:
        if self.refuse:
            error, self.refuse = self.refuse, None
            raise error
        assert session in self.sessions, "generate before open"
        assert session not in self.generations, "a second generation of one session"
        self.generations[session] = messages
        self.samplings[session] = sampling
        self.must_call[session] = must_call
        self._text[session] = ""
        self.log.append(("generate", messages))
        if self.reply:
            task = asyncio.get_running_loop().create_task(self._answer(session, messages))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def configure(self, key: str, value: bool | float | str) -> None:
        self.settings[key] = value
        self.log.append(("configure", (key, value)))

    async def compact(self, session: str, ratio: float = 0.0, method: str = "") -> int:
        self.log.append(("compact", (session, ratio, method)))
        if self.refuse_compaction:
            error, self.refuse_compaction = self.refuse_compaction, None
            raise error
        assert session in self.sessions, "compact before open"
        self.compaction(session, "started")
        return self.span

    async def cancel_compaction(self, session: str) -> bool:
        self.log.append(("cancel_compaction", session))
        if session not in self.compacting:
            return False
        self.compaction(session, "cancelled")
        return True

    async def save(
        self,
        session: str,
        path: Path,
        talk: bytes,
        about: dict[str, str | int | float | bool | None] | None = None,
        *,
        checkpoint: bool = False,
    ) -> int:
        self.log.append(("checkpoint" if checkpoint else "save", session))
        if self.refuse_session:
            raise self.refuse_session
        assert session in self.sessions, "save before open"
        numbers = {"tokens": 1200, "cells": 240, "model": "scripted"}
        snapshot.write(
            path,
            {"talk.json": talk, "tokens.json": b"{}", "state.bin": b"cells" * 100},
            fingerprint="scripted",
            kv={},
            about={**(about or {}), **numbers},
        )
        return path.stat().st_size

    async def restore(self, session: str, path: Path, *, checkpoint: bool = False) -> int:
        self.log.append(("restore", (session, path)))
        if self.refuse_session:
            raise self.refuse_session
        assert session in self.sessions, "restore before open"
        return 1200

    async def fork(self, session: str, source: str) -> int:
        self.log.append(("fork", (session, source)))
        assert {session, source} <= self.sessions, "fork before open"
        return 1200

    async def swap(self, session: str, out: bool) -> int:
        self.log.append(("swap", (session, out)))
        return 240

    async def pin(self, session: str, on: bool) -> None:
        self.log.append(("pin", (session, on)))

    def pace(self, seconds: float) -> None:
        """Events are handed over at once."""

    def forget_snapshot(self, session: str) -> None:
        self.log.append(("forget_snapshot", session))

    async def _answer(self, session: str, messages: tuple[Message, ...]) -> None:
        assert self.reply is not None
        self.emit(State(session, "prefill", done=0, total=10))
        self.emit(State(session, "decode", done=10, total=10))
        for word in self.reply(messages).split(" "):
            await asyncio.sleep(0)
            if session not in self.generations:
                return
            self.say(session, word if not self._text[session] else f" {word}")
        self.finish(session)

    # --- the test's hand -------------------------------------------------------------------------

    def let_start(self) -> None:
        self._go.set()

    def emit(self, event: Event) -> None:
        for handler in tuple(self._handlers):
            handler(event)

    def say(self, session: str, text: str, thinking: bool = False) -> None:
        if not thinking:
            self._text[session] += text
        self.emit(Deltas((Delta(session, text, tokens=(1,), thinking=thinking),)))

    def finish(self, session: str, reason: str = "stop", **fields: Any) -> None:
        messages = self.generations.pop(session)
        text = fields.pop("text", self._text.pop(session))
        known: dict[str, Any] = {
            "prompt_tokens": 10 * len(messages), "tokens": max(1, len(text.split())),
            "decode_seconds": 0.1, "cells": 100, "seed": 7,
        }  # fmt: skip
        self.emit(Done(session, reason, text, **(known | fields)))

    def compaction(self, session: str, phase: str, **fields: Any) -> None:
        """The next step of a compaction, tenfold and good unless `fields` say otherwise."""
        if session not in self.compacting:
            self._compactions += 1
            self.compacting[session] = self._compactions
        known: dict[str, Any] = {
            "method": "am-omp", "start": 4, "end": 4 + self.span, "cells_before": self.span,
        }  # fmt: skip
        if phase == "study":
            known |= {"done": 120, "total": 384, "progress": 0.1}
        if phase in ("solve", "done"):
            known |= {"done": 5, "total": 8, "progress": 0.75, "cells_after": self.span // 10}
        if phase == "done":
            known |= {
                "done": 8, "ratio": 10.0, "error": 0.042, "error_evict": 0.22,
                "by_layer": (0.011, 0.018, 0.024, 0.031, 0.047, 0.062, 0.078, 0.065),
                "beta_min": -1.2, "beta_max": 3.0, "norm_ratio": 1.3, "queries": 512,
                "source": "recap", "seconds": 0.84, "stall_ms": 6.0,
            }  # fmt: skip
        self.emit(Compaction(session, self.compacting[session], phase, **(known | fields)))
        if phase in ("done", "failed", "cancelled"):
            del self.compacting[session]

    def experts(self, **fields: Any) -> None:
        """Eight agents on 12 layers of 64 experts, 18 read instead of 35, unless `fields` differ."""
        layers, n = 12, 64
        heat = bytes(
            max(0, 255 - 23 * ((e * 7 + 5 * layer) % n))
            for layer in range(layers)
            for e in range(n)
        )
        known: dict[str, Any] = {
            "policy": "cache", "bonus": 0.2, "keep": 3, "active": True,
            "layers": tuple(range(layers)), "n_expert": n, "n_used": 8, "heat": heat, "guard": "ok",
            "scale": 1.0, "mass": 0.041, "kl": 0.0003, "samples": 12, "steps": 20.0, "agents": 8.0,
            "distinct": 18.2, "distinct_without": 35.4, "reuse": 0.81,
            "bytes_per_token": 56_492_456.0, "bytes_per_token_without": 110_286_229.0,
        }  # fmt: skip
        self.emit(Experts(**(known | fields)))

    def cells(
        self,
        counts: dict[str, int],
        solving: tuple[Stretch, ...] = (),
        compacted: tuple[Stretch, ...] = (),
        folded: dict[str, tuple[int, int]] | None = None,
        away: dict[str, Away] | None = None,
        pinned: tuple[str, ...] = (),
    ) -> None:
        """A cache map in which each session has so many cells of its own."""
        used = sum(counts.values())
        runs = CellRuns.of(*counts.items(), ("", 8192 - used))
        self.emit(
            CacheMap(
                8192, used, used, 0, 0, counts, runs, solving, compacted, folded or {},
                away or {}, pinned,
            )
        )  # fmt: skip
