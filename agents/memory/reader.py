"""A memory that is only asked, opened at the first question: for one answer of the command line.

Another halo-tui may have it open meanwhile. A folder without a memory is an empty one, and stays
without.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from agents.memory import spaces
from agents.memory.errors import MemoryDown, MemoryInUse
from agents.memory.memory import FOLDER, Memory
from agents.memory.types import Recall
from engine.config import MemoryConfig
from engine.errors import HaloError


class MemoryReader:
    """Recall with the rights of one agent. Use it from one event loop; `stop` ends it."""

    def __init__(
        self,
        config: MemoryConfig,
        data_dir: Path,
        agent: str,
        policy: spaces.Policy,
        people: tuple[str, str] = ("", ""),
    ) -> None:
        """`agent`: the id whose rights hold. `people`: names of who asks and who is asked."""
        self.fault: HaloError | None = None
        self._config = config
        self._data_dir = Path(data_dir)
        self._where = spaces.read_from(agent, policy)
        self._people = people
        self._memory: Memory | None = None
        self._thread = ThreadPoolExecutor(1, "recall")

    async def ready(self) -> bool:
        """Open the memory, unless it is; False, and `fault`, when that fails."""
        if self._memory is None and self._exists:
            try:
                self._memory = await self._in_thread(self._open)
            except (MemoryDown, MemoryInUse) as error:
                self.fault = error
                return False
        return True

    async def recall(
        self, question: str, agent: str = "", k: int = 10, as_of: float | None = None
    ) -> Recall:
        """As `MemoryService.recall`; `agent` is who was given at the start. Raises MemoryDown."""
        memory = self._memory
        if memory is None:
            return Recall(question)
        return await self._in_thread(
            lambda: memory.recall(question, k, self._where, as_of, self._people)
        )

    async def stop(self) -> None:
        """Close what was opened."""
        memory, self._memory = self._memory, None
        if memory is not None:
            await self._in_thread(memory.close)
        self._thread.shutdown(wait=False)

    @property
    def _exists(self) -> bool:
        return bool(self._config.url) or (self._data_dir / FOLDER).is_dir()

    def _open(self) -> Memory:
        embedder = None
        try:
            from agents.memory.embed import load

            embedder = load(self._config)
        except (HaloError, ImportError):
            pass  # words and the graph decide
        memory = Memory(self._config, self._data_dir, None, embedder)
        memory.open(guest=True)
        return memory

    async def _in_thread[T](self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
