"""An engine client that answers at once without an engine, for the memory part of `bench ui`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from engine.errors import EngineError
from engine.protocol import (
    PROTOCOL_VERSION,
    Delta,
    Deltas,
    Done,
    Event,
    Message,
    Ready,
    Sampling,
    State,
)

ANSWER = (
    "That is easy to say. **First** comes the one thing, *then* the other, and `last` of all:\n\n"
    "- what was said before\n- what will be said\n\n```python\nfor n in range(10):\n    print(n)\n"
    "```\n\nSo it goes on, and nobody knows for how long; but it is written down here all the same."
)
READY = Ready(
    protocol=PROTOCOL_VERSION, pid=0, model="echo", path="", architecture="", parameters=0,
    model_bytes=0, n_ctx=8192, n_ctx_train=8192, n_seq_max=64, n_vocab=1, n_layer=1,
    kv_bytes_per_cell=1, backend="none", devices=(), type_k="f16", type_v="f16",
    flash_attention=False, threads=1, build="", hooks={}, load_seconds=0.0,
)  # fmt: skip


class EchoClient:
    """Same methods as engine.client.EngineClient; every answer is the same text."""

    def __init__(self) -> None:
        self.ready: Ready | None = READY
        self._handlers: list[Callable[[Event], None]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def subscribe(self, handler: Callable[[Event], None]) -> Callable[[], None]:
        self._handlers.append(handler)
        return lambda: self._handlers.remove(handler)

    def _emit(self, event: Event) -> None:
        for handler in tuple(self._handlers):
            handler(event)

    async def start(self) -> Ready:
        self._emit(READY)
        return READY

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def open(self, session: str) -> None: ...
    async def close(self, session: str) -> None: ...
    async def count(self, text: str) -> int:
        """Tokens of a vocabulary of words."""
        return len(text.split())

    async def cancel(self, session: str) -> None: ...
    async def focus(self, session: str) -> None: ...
    async def configure(self, key: str, value: bool | float | str) -> None: ...

    async def compact(self, session: str, ratio: float = 0.0, method: str = "") -> int:
        return 0

    async def cancel_compaction(self, session: str) -> bool:
        return False

    async def save(
        self,
        session: str,
        path: Path,
        talk: bytes,
        about: dict[str, str | int | float | bool | None] | None = None,
        *,
        checkpoint: bool = False,
    ) -> int:
        raise EngineError("There are no cells.", "", "nothing")

    async def restore(self, session: str, path: Path, *, checkpoint: bool = False) -> int:
        return 0

    async def fork(self, session: str, source: str) -> int:
        return 0

    async def swap(self, session: str, out: bool) -> int:
        return 0

    async def pin(self, session: str, on: bool) -> None: ...
    def forget_snapshot(self, session: str) -> None: ...
    def pace(self, seconds: float) -> None: ...

    async def generate(
        self,
        session: str,
        messages: tuple[Message, ...],
        sampling: Sampling | None = None,
        thinking: bool = True,
        must_call: bool = False,
    ) -> None:
        task = asyncio.get_running_loop().create_task(self._answer(session))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, session: str) -> None:
        self._emit(State(session, "decode", done=10, total=10))
        for start in range(0, len(ANSWER), 60):
            self._emit(Deltas((Delta(session, ANSWER[start : start + 60], tokens=(1,)),)))
            await asyncio.sleep(0)
        self._emit(Done(session, "stop", ANSWER, prompt_tokens=10, tokens=60, decode_seconds=0.1,
                        cells=100, seed=1))  # fmt: skip
