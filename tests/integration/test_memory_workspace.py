"""Conversations and the memory together: what one agent hears, another recalls, unless barred."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from agents import remembering
from agents.agent import Agent
from agents.memory import prompt
from agents.memory.service import MemoryService
from agents.workspace import Workspace
from engine.config import Config, load
from engine.protocol import Message
from tests.support.memories import models
from tests.support.scripted import ScriptedClient
from tests.support.waiting import until

Ask = Callable[[str, str], Awaitable[Agent]]
QUESTION = "Where does Alice work?"


@asynccontextmanager
async def room(folder: Path, config: Config) -> AsyncIterator[tuple[Workspace, Ask, list[str]]]:
    """A workspace with a real memory whose engine repeats what it is asked; its prompts."""
    prompts: list[str] = []

    def reply(messages: tuple[Message, ...]) -> str:
        prompts.append(messages[-1].content)
        return "All right."

    space = Workspace(config, ScriptedClient(reply), folder)
    service = MemoryService(config, folder, models)
    remembering.attach(space, service)
    await space.start()
    await space.wait_ready()
    assert await service.ready()

    async def ask(name: str, text: str) -> Agent:
        await space.send(text, name)
        agent = space.get(name)
        await until(lambda: not agent.busy and not agent.queue)
        await service.settled()
        return agent

    try:
        yield space, ask, prompts
    finally:
        await space.stop()


def settings(*more: str) -> Config:
    return load(env={}, overrides=["memory.auto_recall=on", *more])


async def test_what_ada_heard_grace_knows_as_data(tmp_path: Path) -> None:
    async with room(tmp_path, settings()) as (space, ask, prompts):
        ada = await ask("ada", "Alice works at Initech.")
        assert prompts == ["Alice works at Initech."], "nothing was known"
        grace = await ask("grace", QUESTION)
        assert prompts[-1].startswith(prompt.OPEN) and prompts[-1].endswith(QUESTION)
        assert "- Alice works at Initech (said" in prompts[-1]
        assert grace.turns[-1].recalled == prompts[-1].removesuffix(f"\n\n{QUESTION}")
        assert grace.turns[-2].text == QUESTION, "the person's words stay as they are"
        await ask("grace", "Thanks")
        assert grace.messages()[1].content.startswith(prompt.OPEN), "so that cells stay valid"
        await ask("ada", QUESTION)
        assert prompts[-1] == QUESTION, "what an agent has before it is not told again"
        facts = await space.memory.facts("Alice")  # type: ignore[union-attr]
        assert [s.agent for s in facts[0].sources] == [ada.id]


async def test_own_sealed_and_off(tmp_path: Path) -> None:
    async with room(tmp_path, settings()) as (space, ask, prompts):
        await space.change("ada", memory="own")
        await space.change("alan", memory="sealed")
        await ask("ada", "Alice works at Initech.")
        await ask("grace", "Eve works at Umbrella.")
        await ask("grace", QUESTION)
        assert "Initech" not in prompts[-1]
        await ask("ada", "Where does Eve work?")
        assert "Eve works at Umbrella" in prompts[-1]
        await ask("alan", "Where does Eve work?")
        assert prompts[-1] == "Where does Eve work?"
        await space.change("grace", memory="off")
        await ask("grace", "Eve works at Hooli.")
        assert "Hooli" not in str(await space.memory.facts("Eve", past=True))  # type: ignore[union-attr]


async def test_a_prompt_taken_back_is_forgotten_and_old_chats_are_caught_up(tmp_path: Path) -> None:
    async with room(tmp_path, settings()) as (space, ask, _):
        memory = space.memory
        assert memory is not None
        ada = await ask("ada", "Alice works at Initech.")
        await space.edit_and_resend("ada", ada.turns[0].id, "Alice works at Hooli.")
        await until(lambda: not ada.busy)
        await memory.settled()
        assert [f.words for f in await memory.facts("Alice", past=True)] == ["Alice works at Hooli"]
        await memory.cypher("MATCH (n) DETACH DELETE n", read_only=False)
    async with room(tmp_path, settings()) as (space, _, _):
        memory = space.memory
        assert memory is not None
        async with asyncio.timeout(60):
            while (await memory.stats()).messages < 2:
                await memory.settled()
                await asyncio.sleep(0.01)


async def test_small_models_are_left_alone_unless_asked(tmp_path: Path) -> None:
    config = settings("memory.auto_recall=auto")
    assert not remembering.automatic(config, 7_000_000)
    assert remembering.automatic(config, 500_000_000)
    assert not remembering.automatic(settings("memory.auto_recall=off"), 500_000_000)
    async with room(tmp_path, config) as (_, ask, prompts):
        await ask("ada", "Alice works at Initech.")
        await ask("grace", QUESTION)
        assert prompts[-1] == QUESTION
