"""The workspace: all agents of one data folder on one engine. The app and the chat talk to this.

Methods take agents' names (without case) and raise HaloError for what cannot be done. Changes are
told through `subscribe`, on the event loop's thread, in order, after they have happened.
"""

from __future__ import annotations

import asyncio
import difflib
import logging
import re
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents import addressing, compaction, spec_check
from agents.agent import YOU, Agent, AgentSpec, Chain, QueuedPrompt, new_id
from agents.answers import Answers
from agents.client import Client as Client
from agents.client import new_client as new_client
from agents.engine_life import EngineLife, EngineState
from agents.events import (
    AgentChanged,
    CacheChanged,
    LogEntry,
    Logged,
    PastCompaction,
    RosterChanged,
    Turn,
    TurnAdded,
    TurnsTruncated,
    WorkspaceEvent,
)
from agents.keeper import Keeper
from agents.router import named
from agents.sessions import Sessions
from agents.tools import Asked
from engine.config import Config
from engine.errors import HaloError
from engine.listeners import Listeners
from engine.protocol import CacheMap, Experts, Holdings, Ready, Stats

if TYPE_CHECKING:
    from agents.memory.service import MemoryService

Handler = Callable[[WorkspaceEvent], None]
LOG_LINES = 1000
_log = logging.getLogger("halo.agents")


class Workspace:
    """Agents, their conversations, and what the engine is doing for them."""

    def __init__(
        self,
        config: Config,
        client: Client,
        data_dir: Path | str,
        make_client: Callable[[Config], Client] | None = None,
    ) -> None:
        """`make_client` makes the clients of restarts; by default real ones."""
        self.config = config
        self.data_dir = Path(data_dir)
        self.agents: list[Agent] = []
        self.focused = ""  # name of the agent the person looks at
        self.layout: dict[str, bool] = {}  # of the screen, as it is kept; see `arrange`
        self.cache: CacheMap | None = None  # owners are names
        self.core_cache: CacheMap | None = None  # owners are ids, as the core sent it
        self.stats: Stats | None = None
        self.experts: Experts | None = None  # None: nothing was told, or a dense model
        self.holdings: Holdings | None = None  # what llama.cpp holds on each device
        self.log: deque[LogEntry] = deque(maxlen=LOG_LINES)
        self.memory: MemoryService | None = None  # None: [memory] is off
        self.reader: Asked | None = None  # what tools ask instead of it: see MemoryReader
        self.engine = EngineLife(self, client, make_client or new_client)
        self.answers = Answers(self)
        self._keeper = Keeper(self, self.data_dir)
        self.sessions = Sessions(self)
        self._listeners = Listeners[WorkspaceEvent](_log)
        self.auto_changed = False  # [compaction] was changed and the core does not know yet
        self._tasks: set[asyncio.Task[None]] = set()

    # --- life ------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Take the data folder, load the conversations, and begin to start the engine.

        Returns while the model is still loading (prompts wait); `wait_ready` waits for it. Raises
        HaloError when the folder is in use or cannot be used.
        """
        self._keeper.open()
        self.emit(RosterChanged())
        self.engine.begin()
        if self.memory is not None:
            await self.memory.start()

    async def stop(self) -> None:
        """Finish: stop answers, write everything, end the core, give the folder back."""
        await asyncio.gather(*(self.answers.stop(a, then_next=False) for a in self.agents))
        await self.sessions.stop()
        await self.sessions.empty_trash()
        if self.memory is not None:
            await self.memory.stop()
        await self.engine.stop()
        await self._keeper.close()

    @property
    def unkept(self) -> OSError | None:
        """Why conversations are not on the disk; None when they are."""
        return self._keeper.error

    async def restart_engine(self, client: Client | None = None) -> None:
        """Start a new core with the settings as they are now, by `client` if one is given."""
        await self.engine.restart(client)

    async def wait_ready(self) -> Ready:
        """Wait for the model. Raises ModelError or EngineError if the engine cannot start."""
        return await self.engine.wait_ready()

    @property
    def client(self) -> Client:
        """The way to the core that runs now."""
        return self.engine.client

    @property
    def engine_state(self) -> EngineState:
        """What the engine is doing."""
        return self.engine.state

    @property
    def engine_error(self) -> HaloError:
        """What happened to a dead engine, and the remedy."""
        return self.engine.error

    @property
    def ready(self) -> Ready | None:
        """What the core told of itself when it was ready last; None before."""
        return self.engine.ready

    def subscribe(self, handler: Handler) -> Callable[[], None]:
        """Call `handler` for every change from now on. Returns how to stop that."""
        return self._listeners.add(handler)

    # --- agents ----------------------------------------------------------------------------------

    @property
    def names(self) -> list[str]:
        """Names in the order of the list."""
        return [agent.name for agent in self.agents]

    @property
    def closed(self) -> list[str]:
        """Names of closed agents that `reopen` can bring back, newest last."""
        return [entry.name for entry in self._keeper.closed]

    def get(self, name: str) -> Agent:
        """The agent of that name. Raises HaloError if there is none."""
        for agent in self.agents:
            if agent.name.casefold() == name.casefold():
                return agent
        near = difflib.get_close_matches(name, self.names, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(self.names)}."
        raise HaloError(f"There is no agent called '{name}'.", hint)

    def by_id(self, agent_id: str) -> Agent | None:
        """The agent with that session id."""
        return next((agent for agent in self.agents if agent.id == agent_id), None)

    async def create(
        self,
        name: str,
        system: str = "",
        colour: str = "",
        sampling: dict[str, Any] | None = None,
        tools: Sequence[str] = (),
        memory: str = "shared",
    ) -> Agent:
        """A new agent at the end of the list."""
        spec = AgentSpec(system, colour, dict(sampling or {}), list(tools), memory)
        spec_check.check(self.config, spec)
        agent = Agent(new_id("a"), self.free_name(name), spec)
        self.add(agent, len(self.agents))
        return agent

    async def change(self, name: str, **spec: Any) -> Agent:
        """Change system, colour, sampling, tools or memory of an agent, from its next answer on."""
        agent = self.get(name)
        changed = AgentSpec(
            **{
                key: spec.get(key, getattr(agent.spec, key))
                for key in ("system", "colour", "sampling", "tools", "memory")
            }
        )
        spec_check.check(self.config, changed)
        agent.spec = changed
        self._keeper.header(agent)
        self.changed(agent)
        return agent

    async def rename(self, old: str, new: str) -> Agent:
        """Call an agent something else; its conversation stays."""
        agent = self.get(old)
        before = agent.name
        agent.name = self.free_name(new, agent)
        if self.focused == before:
            self.focused = agent.name
        self._keeper.header(agent)
        self._roster_changed()
        return agent

    async def duplicate(self, name: str, new: str | None = None) -> Agent:
        """A copy with the same conversation, right after the original; both go on on their own."""
        return await self.sessions.fork(name, new=new or "")

    async def close_agent(self, name: str) -> None:
        """Take an agent off the list. Its conversation is kept, `reopen` brings it back."""
        agent = self.get(name)
        if len(self.agents) == 1:
            raise HaloError(f"{agent.name} is the last agent.", "Create another one first.")
        await self.answers.stop(agent, then_next=False)
        await self.sessions.close(agent)
        await self.answers.close(agent)
        index = self.agents.index(agent)
        self.agents.remove(agent)
        self._keeper.close_agent(agent)
        if self.focused == agent.name:
            await self.focus(self.agents[min(index, len(self.agents) - 1)].name)
        self._roster_changed()

    async def reopen(self, name: str | None = None) -> Agent:
        """Bring a closed agent back: the one closed last, or the last one of that name."""
        agent = self._keeper.reopen(name)
        self.agents.append(agent)
        self.sessions.reopen(agent)
        self._roster_changed()
        return agent

    async def move(self, name: str, delta: int) -> None:
        """Move an agent up (negative) or down the list."""
        agent = self.get(name)
        index = self.agents.index(agent)
        self.agents.insert(max(0, min(len(self.agents) - 1, index + delta)), self.agents.pop(index))
        self._roster_changed()

    def arrange(self, part: str, shown: bool) -> None:
        """The person has a part of the screen shown or hidden; the next start does the same."""
        if self.layout.get(part) != shown:
            self.layout[part] = shown
            self.list_changed()

    async def focus(self, name: str) -> None:
        """The person looks at this agent ("" = none): it is served first and has no news."""
        agent = self.get(name) if name else None
        self.focused = agent.name if agent else ""
        if agent:
            self.mark_read(agent.name)
        self.list_changed()
        if self.engine_state == "ready":
            try:
                if agent:
                    await self.answers.open(agent)
                await self.client.focus(agent.id if agent else "")
            except HaloError as error:
                self.note("warning", "engine", str(error))

    def mark_read(self, name: str) -> None:
        """The person has seen the agent's last answer."""
        agent = self.get(name)
        if agent.state.unread:
            agent.state.unread = False
            self.changed(agent)

    def set_draft(self, name: str, text: str) -> None:
        """Keep what was typed and not sent."""
        agent = self.get(name)
        if agent.draft != text:
            agent.draft = text
            self.list_changed()

    # --- talking ---------------------------------------------------------------------------------

    async def send(self, text: str, to: str) -> list[str]:
        """Send a prompt to the agents it addresses, or to `to`. Returns their names.

        Agents that are busy get it when they have finished. A text without content sends nothing.
        """
        addressed = addressing.parse(text, self.names)
        if not addressed.text:
            return []
        names = addressed.names or [self.get(to).name]
        await self.answers.check_length(addressed.text)
        chain = Chain(self.config.chat.handover_limit)
        for name in names:
            prompt = QueuedPrompt(addressed.text, YOU, chain)
            prompt.to = list(names) if len(names) > 1 else []
            self.answers.submit(self.get(name), prompt)
        return names

    async def tell(
        self,
        name: str,
        text: str,
        system: str | None = None,
        sampling: dict[str, Any] | None = None,
    ) -> None:
        """Prompt one agent, whatever @names the text has, and let nothing be handed over.

        `system` and `sampling` hold for this answer only.
        """
        prompt = QueuedPrompt(text, YOU, Chain(0, stopped=True))
        prompt.system, prompt.sampling = system, sampling or {}
        self.config.sampling_for(prompt.sampling)
        self.answers.submit(self.get(name), prompt)

    def unqueue(self, name: str, index: int) -> str:
        """Take a waiting prompt out of the queue. Returns its text."""
        agent = self.get(name)
        if not 0 <= index < len(agent.queue):
            raise HaloError(f"{agent.name} has no waiting prompt {index + 1}.")
        prompt = agent.queue.pop(index)
        agent.held = agent.held and bool(agent.queue)
        agent.state.waiting_prompts = len(agent.queue)
        self.changed(agent)
        self.list_changed()
        return prompt.text

    def resume_queue(self, name: str) -> None:
        """Send what was held back by a restart or by "stop all"."""
        agent = self.get(name)
        for prompt in agent.queue:
            prompt.chain.left = prompt.chain.left or self.config.chat.handover_limit
        agent.held = False
        self.answers.next(agent)

    async def stop_generation(self, name: str) -> bool:
        """Stop the agent's answer; what was said stays. Its queue goes on."""
        return await self.answers.stop(self.get(name))

    async def stop_all(self) -> None:
        """Stop all answers and handovers. Queues are held until `resume_queue` or a prompt."""
        await self.answers.stop_all()

    async def regenerate(self, name: str, turn_id: str = "") -> None:
        """Answer the last prompt anew, or the last up to a turn; what came after it goes."""
        agent = self.get(name)
        await self._quiet(agent)
        turn = agent.turn(turn_id)
        if turn_id and turn is None:
            raise HaloError("That message is not there any more.", "Choose another.")
        end = agent.turns.index(turn) + 1 if turn else len(agent.turns)
        index = next((i for i in reversed(range(end)) if agent.turns[i].role == "user"), None)
        if index is None:
            raise HaloError(f"Nothing was asked of {agent.name} yet.", "Send a prompt first.")
        self.cut(agent, index + 1)
        self.answers.answer(agent, Chain(self.config.chat.handover_limit), {"seed": -1})

    async def edit_and_resend(self, name: str, turn_id: str, text: str) -> None:
        """Replace a prompt and everything after it."""
        agent = self.get(name)
        turn = agent.turn(turn_id)
        if turn is None or turn.role != "user":
            raise HaloError("Only a prompt that is still there can be edited.", "Choose another.")
        if not text.strip():
            raise HaloError("The new prompt is empty.", "Write something, or clear the chat.")
        await self.answers.check_length(text)
        await self._quiet(agent)
        self.cut(agent, agent.turns.index(turn))
        edited = Turn(new_id("t"), "user", text.strip(), author=YOU, time=time.time())
        self.add_turn(agent, edited)
        self.answers.answer(agent, Chain(self.config.chat.handover_limit))

    async def clear(self, name: str) -> None:
        """Empty a conversation, on disk as well, and its queue."""
        agent = self.get(name)
        await self._quiet(agent)
        agent.queue.clear()
        agent.state.waiting_prompts = 0
        agent.state.kind, agent.state.reason = "idle", ""
        self.cut(agent, 0)
        self._keeper.rewrite(agent)
        await self.sessions.forget(agent)
        self.changed(agent)

    def search(self, name: str, query: str) -> list[tuple[str, int, int]]:
        """Where `query` stands in a conversation, without case: (turn id, start, end) in text."""
        if not query:
            return []
        pattern = re.compile(re.escape(query), re.IGNORECASE)
        return [
            (turn.id, match.start(), match.end())
            for turn in self.get(name).turns
            for match in pattern.finditer(turn.text)
        ]

    # --- compaction ------------------------------------------------------------------------------

    async def compact(self, name: str, ratio: float = 0.0, method: str = "") -> int:
        """Replace an agent's old keys and values by fewer fitted ones; it goes on meanwhile.

        `ratio`: cells before over cells after; 0 as configured, -1 as high as the error bound
        allows. Returns the cells that are compacted; `CompactionChanged` tells the rest.
        """
        return await compaction.start(self, self.get(name), ratio, method)

    async def cancel_compaction(self, name: str) -> bool:
        """Give up a compaction that has not landed yet; whether there was one."""
        return await compaction.cancel(self, self.get(name))

    async def set_auto(self, on: bool, threshold: float | None = None) -> None:
        """Let the engine compact by itself, from that share of the cells in use on; or not."""
        if threshold is not None and not 0 < threshold <= 1:
            raise HaloError(
                f"{threshold:g} is no share of the cells.", "Give one like 0.85, or 85%."
            )
        await compaction.set_auto(self, on, threshold)

    @property
    def compactions(self) -> list[PastCompaction]:
        """The compactions of all agents that have ended, newest first."""
        return compaction.ended(self.agents)

    # --- used by the parts of this package -------------------------------------------------------

    def emit(self, event: WorkspaceEvent) -> None:
        """Tell the watchers. One that fails does not keep the others from hearing it."""
        self._listeners.tell(event)

    def changed(self, agent: Agent) -> None:
        self.emit(AgentChanged(agent.name))

    def note(self, level: Any, kind: str, text: str, agent: Agent | None = None) -> None:
        """A line of the event log."""
        entry = LogEntry(time.time(), level, kind, text, agent.name if agent else "")
        self.log.append(entry)
        self.emit(Logged(entry))

    def add_turn(self, agent: Agent, turn: Turn) -> None:
        agent.turns.append(turn)
        self._keeper.turn(agent, turn)
        self.emit(TurnAdded(agent.name, turn))

    def record_turn(self, agent: Agent, turn: Turn) -> None:
        self._keeper.turn(agent, turn)

    def cut(self, agent: Agent, index: int) -> None:
        """Take the turns from `index` on out of a conversation."""
        if index < len(agent.turns):
            removed = tuple(turn.id for turn in agent.turns[index:])
            del agent.turns[index:]
            self._keeper.cut(agent, removed[0])
            self.emit(TurnsTruncated(agent.name, removed[0], removed))

    def list_changed(self) -> None:
        """Something that workspace.json keeps has changed."""
        self._keeper.list_dirty()

    def forget_figures(self) -> None:
        """The core that told them has ended."""
        self.cache = self.core_cache = self.stats = self.experts = self.holdings = None
        for agent in self.agents:
            agent.state.cells = 0

    def keep_task(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something soon; what fails in it was told where it failed."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)  # the loop itself would let it be collected
        task.add_done_callback(self._tasks.discard)

    # --- inside ----------------------------------------------------------------------------------

    def add(self, agent: Agent, index: int | None = None) -> None:
        """Put a new agent on the list and its conversation on disk."""
        self.agents.insert(len(self.agents) if index is None else index, agent)
        self._keeper.rewrite(agent)
        self._roster_changed()

    def _roster_changed(self) -> None:
        self.list_changed()
        self.emit(RosterChanged())
        if self.core_cache is not None:
            self.cache = named(self.core_cache, {a.id: a.name for a in self.agents})
            self.emit(CacheChanged(self.cache))

    async def _quiet(self, agent: Agent) -> None:
        """Until the agent does nothing; while one answer stops, another may be asked for."""
        while await self.answers.stop(agent, then_next=False):
            pass

    def check_restored(self, agent: Agent) -> None:
        """Take out of an agent from a file what could not be set here either."""
        try:
            self.config.sampling_for(agent.spec.sampling)
        except HaloError as error:
            agent.spec.sampling = {}
            self.note("warning", "agent", f"Its sampling is left out: {error}", agent)

    def free_name(self, name: str, but: Agent | None = None) -> str:
        name = addressing.checked_name(name)
        taken = next((a for a in self.agents if a.name.casefold() == name.casefold()), None)
        if taken is not None and taken is not but:
            raise HaloError(
                f"There is already an agent called '{taken.name}'.", "Choose another name."
            )
        return name
