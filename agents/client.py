"""What agents need of an engine client, and how a real one is made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from engine.config import Config
from engine.protocol import Event, Message, Ready, Sampling


class Client(Protocol):
    """What the workspace needs of an engine client; `engine.client.EngineClient` is one."""

    ready: Ready | None  # of the core that runs

    async def start(self) -> Ready: ...
    async def stop(self) -> None: ...
    async def configure(self, key: str, value: bool | float | str) -> Any: ...
    async def compact(self, session: str, ratio: float = ..., method: str = ...) -> int: ...
    async def cancel_compaction(self, session: str) -> bool: ...
    async def save(
        self,
        session: str,
        path: Path,
        talk: bytes,
        about: dict[str, str | int | float | bool | None] | None = ...,
        *,
        checkpoint: bool = ...,
    ) -> int: ...
    async def restore(self, session: str, path: Path, *, checkpoint: bool = ...) -> int: ...
    async def fork(self, session: str, source: str) -> int: ...
    async def swap(self, session: str, out: bool) -> int: ...
    async def pin(self, session: str, on: bool) -> None: ...
    def forget_snapshot(self, session: str) -> None: ...
    def pace(self, seconds: float) -> None: ...
    def subscribe(self, handler: Callable[[Event], None]) -> Callable[[], None]: ...
    async def open(self, session: str) -> Any: ...
    async def close(self, session: str) -> Any: ...
    async def cancel(self, session: str) -> Any: ...
    async def focus(self, session: str) -> Any: ...
    async def count(self, text: str) -> int: ...
    async def generate(
        self,
        session: str,
        messages: tuple[Message, ...],
        sampling: Sampling = ...,
        thinking: bool = ...,
        must_call: bool = ...,
    ) -> Any: ...


def new_client(config: Config) -> Client:
    """An engine client; its core writes to core.log in the logs folder, and puts cells of idle
    sessions into the cache folder."""
    from engine import paths
    from engine.client import EngineClient

    return EngineClient(
        config,
        log_path=paths.state_dir() / "core.log",
        swap_folder=paths.cache_dir() / "swap",
    )
