"""What llama.cpp says it holds against its own parts and against the process's memory."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from engine.core.holdings import Accountant
from engine.protocol import Holdings
from tests.support.engine import CHATML, Talk, running
from tests.support.mkgguf import tiny
from tests.support.waiting import until

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(240)]


async def held(talk: Talk) -> Holdings:
    before = len(talk.all(Holdings))
    await talk.client.stats()
    await until(lambda: len(talk.all(Holdings)) > before)
    return talk.all(Holdings)[-1]


async def test_it_is_told_without_being_asked(tmp_path: Path) -> None:
    async with running(tiny("llama", chat_template=CHATML), tmp_path) as talk:
        await talk.client.open("a")
        await until(lambda: talk.all(Holdings))


async def test_weights_cells_and_buffers(tmp_path: Path) -> None:
    model = tiny("llama", chat_template=CHATML)
    async with running(model, tmp_path, n_ctx=4096, mmap=True) as talk:
        ready = talk.client.ready
        assert ready is not None
        found = await held(talk)
        assert {h.kind for h in found.held} == {"cpu"}  # a CPU build
        assert sum(h.model for h in found.held) == pytest.approx(ready.model_bytes, rel=0.02)
        cells = sum(h.cells for h in found.held)
        # Beside the cells there is a row of logits for each sequence that may be computed.
        least = ready.n_ctx * ready.kv_bytes_per_cell
        assert least <= cells <= least + ready.n_seq_max * ready.n_vocab * 8
        assert sum(h.compute for h in found.held) > 0
        assert any(h.mapped and h.model for h in found.held)


async def test_difference_of_cells_is_difference_of_memory(tmp_path: Path) -> None:
    """llama.cpp clears its cells, so that they are resident from the start."""
    seen = []
    for n_ctx in (1024, 131072):
        async with running(tiny("llama", chat_template=CHATML), tmp_path, n_ctx=n_ctx) as talk:
            found = await held(talk)
            assert talk.client.ready is not None
            resident = psutil.Process(talk.client.ready.pid).memory_info().rss
            seen.append((sum(h.cells for h in found.held), resident))
    grown, by_system = (seen[1][i] - seen[0][i] for i in (0, 1))
    assert grown > 30e6
    assert by_system == pytest.approx(grown, rel=0.25)


async def test_asking_often_loses_nothing(tmp_path: Path) -> None:
    async with running(tiny("llama", chat_template=CHATML), tmp_path) as talk:
        assert talk.client.ready is not None
        first = await held(talk)
        before = psutil.Process(talk.client.ready.pid).memory_info().rss
        for _ in range(300):
            await talk.client.stats()
        assert await held(talk) == first
        await talk.answer("a", "Hello")
        grown = psutil.Process(talk.client.ready.pid).memory_info().rss - before
        assert grown < 20e6


async def test_another_library_is_not_read(tmp_path: Path) -> None:
    api = SimpleNamespace(_lib=SimpleNamespace())
    api._lib = type("Bare", (), {"__getitem__": _missing})()
    assert Accountant(api, None).holdings() is None


def _missing(self: object, name: str) -> object:
    raise AttributeError(name)
