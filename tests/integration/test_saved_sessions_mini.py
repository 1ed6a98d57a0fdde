"""What a person does with sessions, on halo-mini: what comes back has nothing to read again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agents.events import Turn
from agents.workspace import Workspace
from engine.client import EngineClient
from engine.config import Config, load
from tests.support.waiting import until

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(120)]


@asynccontextmanager
async def started(folder: Path) -> AsyncIterator[Workspace]:
    def make(config: Config) -> EngineClient:
        return EngineClient(config, log_path=folder / "core.log", swap_folder=folder / "swap")

    config = load(None, {}, ["sampling.temperature=0", "engine.n_ctx=2048"])
    space = Workspace(config, make(config), folder / "data", make)
    await space.start()
    await space.wait_ready()
    try:
        yield space
    finally:
        await space.stop()


async def say(space: Workspace, name: str, text: str) -> Turn:
    await space.tell(name, text)
    await until(lambda: not space.get(name).busy, 60)
    return space.get(name).turns[-1]


def nothing_read_again(turn: Turn, question: str) -> bool:
    """Only the new prompt was computed, which has a token for each character at most."""
    return turn.prompt_tokens - turn.cached_tokens <= len(question) + 12


async def test_saved_forked_put_aside_and_restarted_they_all_know(tmp_path: Path) -> None:
    question = "Where do I work?"
    async with started(tmp_path) as space:
        await say(space, "ada", "Hi, I'm Mira and I work at Halo Labs.")
        for text in ("My sister Priya lives in Lisbon.", "I like to swim."):
            await say(space, "ada", text)
        before = space.get("ada").turns[-1].id
        saved = await space.sessions.save_as("ada", "known")
        assert saved.cells == saved.tokens > 50 and saved.model == "halo-mini"
        said: list[str] = []
        await space.sessions.restore(saved.path, "bea", said.append)
        assert said == [f"{saved.tokens:,} tokens are back; none has to be read again."]
        await space.sessions.fork("ada", before, "carl")
        assert await space.sessions.swap("carl", True) == saved.cells
        await until(lambda: space.cache is not None and "carl" in space.cache.away)
        answers = [await say(space, name, question) for name in ("ada", "bea", "carl")]
        assert {turn.text for turn in answers} == {answers[0].text}
        assert all(nothing_read_again(turn, question) for turn in answers), answers
        await space.sessions.pin("bea", True)
    async with started(tmp_path) as space:
        await until(lambda: space.cache is not None and "bea" in space.cache.pinned)
        question = "And where does Priya live?"
        for name in ("carl", "bea", "ada"):
            assert nothing_read_again(await say(space, name, question), question), name
        space.sessions.delete(saved.path)
        assert not space.sessions.saved()
        assert space.sessions.undo_delete().title == "known"
        copy = await space.sessions.restore(space.sessions.saved()[0].path)
        assert nothing_read_again(await say(space, copy.name, question), question)
