"""Snapshots, swapping and forks in a real core; tests/integration/test_exactness.py compares bits."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import msgspec
import pytest

from engine.config import CompactionConfig, SessionsConfig
from engine.errors import EngineError
from engine.protocol import Done, Generate, Sampling
from tests.support.engine import CHATML, Talk, chat, going_on, running
from tests.support.mkgguf import ARCHITECTURES, tiny
from tests.support.pace import Pace
from tests.support.waiting import until

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(240)]

LONG = "The quick brown fox jumps over the lazy dog again. " * 20
PROMPT = LONG[:600]
NEXT64 = Sampling(temperature=0.0, max_tokens=64, ignore_eos=True, logprobs=3)
COMPACT = CompactionConfig(
    method="am-attention", ratio=3.0, keep_recent=48, min_span=64, study="off", queries=128,
    threshold=1.0,
)  # fmt: skip
# Another placement of the cells sums attention in another order.
LOGPROB_TOLERANCE = 2e-3


def model(arch: str = "qwen3") -> Path:
    return tiny(arch, chat_template=CHATML)


async def said(talk: Talk, session: str, prompt: str, tokens: list[int], more: int) -> Done:
    """Have a session go on after the `tokens` of its answer to `prompt` with `more` of them.

    Texts of random models are not tokenised back to what was sampled, tokens are what they are.
    """
    before = len(talk.all(Done))
    sampling = msgspec.structs.replace(NEXT64, max_tokens=len(tokens) + more)
    await talk.client.open(session)
    await talk.client.request(Generate(0, session, chat(prompt), sampling, resume=tuple(tokens)))
    await talk.finish([session], after=before)
    done = talk.done(session)
    assert done is not None and done.tokens == len(tokens) + more, done
    return done


async def told(talk: Talk, session: str, rounds: int = 0) -> list[int]:
    """A session with something to lose: a long talk, compacted so many times. Its answer."""
    await said(talk, session, PROMPT, [], 60)
    for _ in range(rounds):
        event = await talk.compact(session, 3.0)
        assert event.phase == "done", event
        await said(talk, session, PROMPT, talk.tokens(session), 200)
    return talk.tokens(session)


async def go_on(talk: Talk, session: str, tokens: list[int]) -> list[tuple[int, float]]:
    """The next 64 greedy tokens and their log-probabilities; asserts that nothing was re-read."""
    news = await going_on(talk, session, said(talk, session, PROMPT, tokens, 64))
    return [(p[0].token, p[0].logprob) for d in news for p in d.logprobs]


def same(a: list[tuple[int, float]], b: list[tuple[int, float]]) -> None:
    assert [t for t, _ in a] == [t for t, _ in b]
    assert max(abs(x - y) for (_, x), (_, y) in zip(a, b, strict=True)) <= LOGPROB_TOLERANCE


@pytest.mark.parametrize("arch", ARCHITECTURES)
async def test_swapped_out_and_back(arch: str, tmp_path: Path) -> None:
    async with running(model(arch), tmp_path, n_ctx=4096, compaction=COMPACT) as talk:
        texts = await told(talk, "ada", 1)
        await talk.client.open("eve")
        await talk.client.fork("eve", "ada")
        cells = (await talk.cache()).cells["ada"]
        assert await talk.client.swap("ada", True) == cells
        cache = await talk.cache()
        assert "ada" not in cache.cells and cache.away["ada"].cells == cells
        same(await go_on(talk, "ada", texts), await go_on(talk, "eve", texts))


async def test_more_agents_than_cells(tmp_path: Path) -> None:
    """Eight sessions in a cache that holds two: each comes back without reading anything."""
    off = msgspec.structs.replace(COMPACT, auto=False)
    async with running(model(), tmp_path, n_ctx=2300, compaction=off) as talk:
        names = [f"agent{i}" for i in range(8)]
        for name in names:
            await said(talk, name, f"I am {name}. {PROMPT}", [], 60)
        assert len((await talk.cache()).away) >= 5
        for name in names:
            done = await said(talk, name, f"I am {name}. {PROMPT}", talk.tokens(name), 20)
            assert done.cached_tokens == done.prompt_tokens, (name, done)
        assert any("aside" in note for note in talk.notes())


async def test_pinned_sessions_stay(tmp_path: Path) -> None:
    off = msgspec.structs.replace(COMPACT, auto=False)
    async with running(model(), tmp_path, n_ctx=2300, compaction=off) as talk:
        await talk.answer("ada", LONG[:650])
        await talk.client.pin("ada", True)
        for index in range(4):
            await talk.answer(f"other{index}", f"{index} " + LONG[:650])
        cache = await talk.cache()
        assert "ada" in cache.cells and cache.pinned == ("ada",)


async def test_a_fork_shares_cells_until_it_changes(tmp_path: Path) -> None:
    async with running(model(), tmp_path, n_ctx=4096, compaction=COMPACT) as talk:
        texts = await told(talk, "ada", 2)
        await talk.client.open("eve")
        tokens = await talk.client.fork("eve", "ada")
        cache = await talk.cache()
        assert cache.used == cache.cells["ada"] == cache.cells["eve"] < tokens
        # One is restored while its twin still shares its cells.
        file = tmp_path / "eve.halo"
        await talk.client.save("eve", file, b"{}")
        expected = await go_on(talk, "eve", texts)
        same(await go_on(talk, "ada", texts), expected)
        await talk.client.close("ada")
        await talk.client.open("bob")
        await talk.client.restore("bob", file)
        same(await go_on(talk, "bob", texts), expected)


async def test_what_was_closed_while_it_was_restored_holds_no_cells(tmp_path: Path) -> None:
    async with running(model(), tmp_path, n_ctx=4096, compaction=COMPACT) as talk:
        await told(talk, "ada", 1)
        file = tmp_path / "ada.halo"
        await talk.client.save("ada", file, b"{}")
        before = await talk.cache()
        await talk.client.open("bob")
        restoring = asyncio.create_task(talk.client.restore("bob", file))
        await asyncio.sleep(0)  # it is asked for, and the file is being read
        await talk.client.close("bob")
        await asyncio.gather(restoring, return_exceptions=True)
        after = await talk.cache()
        assert after.used == before.used and "bob" not in {*after.cells, *after.away}


async def test_saving_while_others_and_oneself_talk(tmp_path: Path, slow_core: Pace) -> None:
    async with running(model(), tmp_path, n_ctx=4096, compaction=COMPACT) as talk:
        endless = msgspec.structs.replace(NEXT64, max_tokens=500)
        await talk.say("ada", LONG[:400], sampling=endless)
        await talk.say("bob", LONG[:300], sampling=endless)
        await until(lambda: len(talk.tokens("ada")) > 20, what="for ada")
        await talk.client.save("ada", tmp_path / "ada.halo", b"{}")
        assert not talk.all(Done), "both have to talk when it is saved"
        slow_core.free()
        await talk.finish(["ada", "bob"])
        assert talk.done("ada").tokens == talk.done("bob").tokens == 500  # type: ignore[union-attr]
        await talk.client.open("eve")
        assert await talk.client.restore("eve", tmp_path / "ada.halo") > 20


async def test_what_cannot_be_restored_says_why_and_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "ada.halo"
    async with running(model(), tmp_path, compaction=COMPACT) as talk:
        await told(talk, "ada")
        await talk.client.save("ada", file, b"{}")
    for changed, code in (
        ((model("llama"), {}), "other_model"),
        ((model(), {"type_k": "q8_0", "type_v": "q8_0"}), "other_cache"),
    ):
        async with running(changed[0], tmp_path, compaction=COMPACT, **changed[1]) as talk:
            await talk.client.open("ada")
            with pytest.raises(EngineError) as caught:
                await talk.client.restore("ada", file)
            assert caught.value.code == code
            assert (await talk.answer("ada", PROMPT)).cached_tokens == 0


async def test_a_core_that_dies_comes_back_with_its_cells(tmp_path: Path) -> None:
    async with running(model(), tmp_path, compaction=COMPACT) as talk:
        texts = await told(talk, "ada", 2)
        await talk.client.save("ada", tmp_path / "ada.halo", b"{}", checkpoint=True)
        pid = talk.client.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: talk.client.pid not in (None, pid), 30, "for another core")
        await go_on(talk, "ada", texts)
        assert "ada" in (await talk.cache()).folded


async def test_idle_cells_move_on_to_disk(tmp_path: Path) -> None:
    kept = SessionsConfig(swap_memory_mib=0, swap_disk_mib=64)
    off = msgspec.structs.replace(COMPACT, auto=False)
    async with running(model(), tmp_path, compaction=off, sessions=kept) as talk:
        texts = await told(talk, "ada")
        await talk.client.swap("ada", True)
        await until_async_place(talk, "ada", "disk")
        await go_on(talk, "ada", texts)


async def test_no_room_to_swap_is_said(tmp_path: Path) -> None:
    kept = SessionsConfig(swap_memory_mib=0, swap_disk_mib=0)
    async with running(model(), tmp_path, compaction=COMPACT, sessions=kept) as talk:
        await told(talk, "ada")
        with pytest.raises(EngineError, match="could not be kept"):
            await talk.client.swap("ada", True)
        assert (await talk.answer("ada", PROMPT)).cached_tokens == 0
        assert any("No room" in note for note in talk.notes())


async def until_async_place(talk: Talk, session: str, place: str) -> None:
    async with asyncio.timeout(60):
        while (await talk.cache()).away[session].place != place:
            pass
