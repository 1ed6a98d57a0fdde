"""Between conversations and memory: what is said goes in, what is known comes out for a prompt."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from agents.agent import YOU, Agent
from agents.counting import count
from agents.events import Turn, TurnAdded, TurnFinished, TurnsTruncated, WorkspaceEvent
from agents.memory import prompt, spaces
from agents.memory.events import MemoryEvent, StateChanged
from agents.memory.types import Note
from engine.config import Config
from engine.errors import HaloError

if TYPE_CHECKING:
    from agents.client import Client
    from agents.memory.service import MemoryService
    from agents.workspace import Workspace

RECALL_SECONDS = 1.0  # an answer does not wait longer for the memory
HITS = 6
READERS = 100_000_000  # parameters from which models make use of notes
_log = logging.getLogger("halo.memory")


def attach(workspace: Workspace, memory: MemoryService | None = None) -> None:
    """Give a workspace its memory, unless [memory] is off. Call it before `Workspace.start`."""
    if not workspace.config.memory.enabled:
        return
    if memory is None:
        from agents.memory.service import MemoryService

        memory = MemoryService(workspace.config, workspace.data_dir)
    workspace.memory = memory
    listener = _Listener(workspace, memory)
    memory.policy = listener.policy
    memory.names = listener.names
    workspace.subscribe(listener.heard)
    memory.subscribe(listener.memory_heard)


def person(config: Config) -> str:
    """What the person at the keyboard is called in the graph."""
    return config.memory.your_name.strip() or "You"


def note_of(agent: Agent, turn: Turn, config: Config, parameters: int = READERS) -> Note | None:
    """A turn as the memory takes it in; None for what is not to be remembered. `parameters`: of
    the model that speaks for the agents."""
    space = spaces.written_to(agent.id, cast(spaces.Policy, agent.spec.memory))
    if not space or not turn.text.strip() or turn.role not in ("user", "assistant"):
        return None
    if turn.role == "assistant" and turn.status not in ("done", "length"):
        return None
    you = person(config)
    if turn.role == "assistant":
        speaker, listener = agent.name, you
    else:
        speaker, listener = you if turn.author in ("", YOU) else turn.author, agent.name
    return Note(
        turn.id,
        turn.text,
        speaker,
        agent.id,
        turn.time,
        listener,
        space,
        agent.id,
        voice="person" if speaker == you else "agent",
        learn=speaker == you or trusted(config, parameters),
    )


def trusted(config: Config, parameters: int) -> bool:
    """Whether people, things and facts are learnt from what agents say, with such a model: tiny
    ones make names and facts up."""
    wanted = config.memory.learn_from_agents
    return wanted == "on" or (wanted == "auto" and parameters >= READERS)


def automatic(config: Config, parameters: int) -> bool:
    """Whether agents are given what is known, with a model of that many parameters."""
    wanted = config.memory.auto_recall
    return wanted == "on" or (wanted == "auto" and parameters >= READERS)


async def recalled(memory: MemoryService, agent: Agent, config: Config, client: Client) -> str:
    """The block for the agent's last prompt; "" when nothing is known or the memory is away."""
    if agent.spec.memory == "off" or memory.state != "ready":
        return ""
    last = next((turn for turn in reversed(agent.turns) if turn.role == "user"), None)
    if last is None:
        return ""
    try:
        async with asyncio.timeout(RECALL_SECONDS):
            found = await memory.recall(last.text, agent.id, HITS)
            return await prompt.block(
                found,
                config.memory.recall_tokens,
                lambda text: count(client, text),
                {turn.id for turn in agent.turns},
            )
    except (HaloError, TimeoutError):
        return ""  # the panel says that it is away; the answer does without
    except Exception:
        _log.exception("recall failed")
        return ""


class _Listener:
    """Feeds one memory from one workspace."""

    def __init__(self, workspace: Workspace, memory: MemoryService) -> None:
        self.workspace = workspace
        self.memory = memory
        self._caught_up = False

    def policy(self, agent_id: str) -> spaces.Policy:
        """What an agent's settings say of its memory."""
        agent = self.workspace.by_id(agent_id)
        return cast(spaces.Policy, agent.spec.memory) if agent else "shared"

    def names(self, agent_id: str) -> tuple[str, str]:
        """Who asks and who is asked."""
        agent = self.workspace.by_id(agent_id)
        return person(self.workspace.config), agent.name if agent else ""

    def heard(self, event: WorkspaceEvent) -> None:
        """Something was said, or taken back."""
        match event:
            case TurnAdded(agent=name, turn=turn) if turn.role == "user":
                self._remember(name, turn)
            case TurnFinished(agent=name, turn=turn):
                self._remember(name, turn)
            case TurnsTruncated(removed=removed):
                kept = {turn.id for agent in self.workspace.agents for turn in agent.turns}
                self.memory.unremember(id for id in removed if id not in kept)

    def memory_heard(self, event: MemoryEvent) -> None:
        """The memory is there: give it what was said without it."""
        if isinstance(event, StateChanged):
            if event.state == "down" and event.what:
                self.workspace.note("warning", "memory", f"{event.what} {event.remedy}".strip())
            if event.state == "ready" and not self._caught_up:
                self._caught_up = True
                self.workspace.keep_task(self._catch_up())

    @property
    def _parameters(self) -> int:
        ready = self.workspace.ready
        return ready.parameters if ready is not None else 0

    def _remember(self, name: str, turn: Turn) -> None:
        agent = self.workspace.get(name)
        note = note_of(agent, turn, self.workspace.config, self._parameters)
        if note is not None:
            self.memory.remember(note)

    async def _catch_up(self) -> None:
        try:
            await self.memory.catch_up(list(self._all()))
        except HaloError:
            self._caught_up = False  # at the next start

    def _all(self) -> Iterator[Note]:
        for agent in self.workspace.agents:
            for turn in agent.turns:
                note = note_of(agent, turn, self.workspace.config, self._parameters)
                if note is not None:
                    yield note
