"""What keeps conversations: writes changes to the data folder as they happen, reads them at start.

Trouble with the disk is said once and never stops the chat: everything waits in memory and is
written when the disk takes it again.
"""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path
from typing import TYPE_CHECKING

from agents import calling
from agents.agent import Agent, AgentSpec, new_id
from agents.events import Turn
from agents.history import HistoryFile
from agents.roster import (
    DataFolder,
    Document,
    Entry,
    Spec,
    agent_of,
    entry_of,
    free_name,
    header_of,
)
from agents.tools import TOOLS
from engine.config import AgentConfig
from engine.errors import HaloError

if TYPE_CHECKING:
    from agents.workspace import Workspace

FLUSH_SECONDS = 1.0


class Keeper:
    """The disk side of a workspace."""

    def __init__(self, workspace: Workspace, path: Path) -> None:
        self.workspace = workspace
        self.folder = DataFolder(path)
        self.closed: list[Entry] = []
        self._configured: dict[str, Spec] = {}
        self._files: dict[str, HistoryFile] = {}
        self._dirty = False
        self._list_error: OSError | None = None
        self._trouble = False
        self._to_sync: set[str] = set()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._ending = False

    # --- start and end ---------------------------------------------------------------------------

    def open(self) -> None:
        """Lock the folder, load all agents and begin to write. Raises HaloError."""
        workspace = self.workspace
        warning = self.folder.lock()
        try:
            found = self.folder.open()
        except HaloError:
            self.folder.unlock()
            raise
        if warning:
            workspace.note("warning", "disk", warning)
        for fault in found.faults:
            workspace.note("warning", "disk", fault)
        document = found.document or Document()
        self.closed = document.closed
        workspace.layout = document.layout
        self._configured = document.configured
        for entry in document.agents:
            agent = agent_of(entry)
            self._load(agent)
            workspace.agents.append(agent)
            if agent.id == document.focus:
                workspace.focused = agent.name
        self._read_config()
        wanted = workspace.config.chat.default_agent.casefold()
        for agent in workspace.agents:
            if agent.name.casefold() == wanted:
                workspace.focused = agent.name
        if not workspace.focused:
            workspace.focused = workspace.agents[0].name
        self._dirty = True
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Write what is left and give the folder back."""
        self._ending = True
        self._wake.set()
        if self._task is not None:
            await self._task
        self._write()
        self._sync(self._to_sync)
        for file in self._files.values():
            file.close()
        self.folder.unlock()

    def _load(self, agent: Agent, closed: bool = False) -> None:
        file = self._files[agent.id] = self.folder.history(agent.id, closed)
        loaded = file.load()
        agent.turns = loaded.turns
        for fault in loaded.faults:
            self.workspace.note("warning", "disk", fault, agent)
        if loaded.header is None:
            file.header(header_of(agent))

    def _read_config(self) -> None:
        """Add agents that the settings define anew, and follow what the settings changed.

        An agent that was renamed or closed in the app does not come back, and one whose prompt
        was changed in the app keeps that prompt.
        """
        workspace = self.workspace
        by_name = {agent.name: agent for agent in workspace.agents}
        for item in workspace.config.agents:
            spec = _spec(item)
            before = self._configured.get(item.name)
            agent = by_name.get(item.name)
            if before is None and agent is None:
                agent = Agent(new_id("a"), item.name)
                workspace.agents.append(agent)
                self._files[agent.id] = self.folder.history(agent.id)
            elif agent is None or before == spec or before != _spec(agent.spec):
                agent = None
            if agent is not None:
                agent.spec = AgentSpec(
                    spec.system, spec.colour, spec.sampling, spec.tools, spec.memory
                )
                self.header(agent)
            if (strange := calling.unknown(item.tools)) and before != spec:
                workspace.note(
                    "warning",
                    "agent",
                    f"{item.name} asks for tools that do not exist: {', '.join(strange)}. "
                    f"There are: {', '.join(TOOLS)}.",
                )
            self._configured[item.name] = spec

    # --- what changed ----------------------------------------------------------------------------

    def list_dirty(self) -> None:
        """workspace.json has to be written soon."""
        self._dirty = True
        self._wake.set()

    def turn(self, agent: Agent, turn: Turn) -> None:
        """A turn was added or finished."""
        self._files[agent.id].turn(turn)
        self._to_sync.add(agent.id)
        self._look()

    def cut(self, agent: Agent, turn_id: str) -> None:
        """Turns were removed."""
        self._files[agent.id].cut(turn_id)

    def header(self, agent: Agent) -> None:
        """The agent's name or spec changed."""
        self._files[agent.id].header(header_of(agent))
        self.list_dirty()

    def rewrite(self, agent: Agent) -> None:
        """The whole conversation is new (or empty)."""
        if agent.id not in self._files:
            self._files[agent.id] = self.folder.history(agent.id)
        self._files[agent.id].rewrite(header_of(agent), agent.turns)
        self._look()

    def close_agent(self, agent: Agent) -> None:
        """Put the conversation aside."""
        file = self._files.pop(agent.id)
        agent.queue.clear()
        try:
            file.move(self.folder.history(agent.id, closed=True).path)
        except OSError as error:
            self.workspace.note(
                "warning", "disk", f"{agent.name}'s file could not be moved: {error.strerror}."
            )
        file.close()
        self.closed.append(entry_of(agent))
        self.list_dirty()

    def reopen(self, name: str | None) -> Agent:
        """Bring a closed conversation back. Raises HaloError if there is none."""
        match = [e for e in self.closed if name is None or e.name.casefold() == name.casefold()]
        if not match:
            raise HaloError(
                "There is no closed agent to reopen."
                if name is None
                else f"No closed agent is called '{name}'."
            )
        entry = match[-1]
        agent = agent_of(entry)
        agent.name = free_name(entry.name, {n.casefold() for n in self.workspace.names})
        self._load(agent, closed=True)
        try:
            self._files[agent.id].move(self.folder.history(agent.id).path)
        except OSError as error:
            self._files.pop(agent.id).close()
            raise HaloError(
                f"{entry.name} cannot be reopened: {error.strerror}.", "Check the data folder."
            ) from None
        self.closed.remove(entry)
        self.header(agent)
        return agent

    # --- writing ---------------------------------------------------------------------------------

    async def _run(self) -> None:
        while not self._ending:
            self._write()
            ids, self._to_sync = self._to_sync, set()
            await asyncio.to_thread(self._sync, ids)
            await self._pause(FLUSH_SECONDS)
            if not (self._ending or self._dirty or self._trouble or self.workspace.answers.running):
                await self._wake.wait()

    async def _pause(self, seconds: float) -> None:
        # Only the end cuts it short: being woken for every change would write each time.
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while not self._ending and (left := until - loop.time()) > 0:
            try:
                await asyncio.wait_for(self._wake.wait(), left)
                self._wake.clear()
            except TimeoutError:
                return

    def _write(self) -> None:
        for agent, turn in self.workspace.answers.flush():
            self._files[agent.id].progress(turn)
        for file in self._files.values():
            file.flush()
        if self._dirty:
            self._dirty = False
            self._save_list()
        self._look()

    def _save_list(self) -> None:
        workspace = self.workspace
        focus = next((a.id for a in workspace.agents if a.name == workspace.focused), "")
        document = Document(
            agents=[entry_of(agent) for agent in workspace.agents],
            closed=self.closed,
            focus=focus,
            layout=workspace.layout,
            configured=self._configured,
        )
        try:
            self.folder.save(document)
            self._list_error = None
        except OSError as error:
            self._list_error = error
            self._dirty = True

    def _sync(self, ids: set[str]) -> None:
        for agent_id in ids:
            if (file := self._files.get(agent_id)) is not None:
                file.sync()

    @property
    def error(self) -> OSError | None:
        """Why something is not on the disk."""
        errors = [file.error for file in self._files.values() if file.error]
        return errors[0] if errors else self._list_error

    def _look(self) -> None:
        """Say once that the disk refuses, and once that it takes everything again."""
        error = self.error
        if error is not None and not self._trouble:
            self._trouble = True
            self.workspace.note("warning", "disk", trouble(error, self.folder.path))
            self._wake.set()
        elif error is None and self._trouble:
            self._trouble = False
            self.workspace.note("info", "disk", "The disk takes everything again; all is written.")


def trouble(error: OSError, path: Path) -> str:
    """The sentence for a disk that refuses."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        why = f"There is no space left for {path}."
    else:
        why = f"{path} cannot be written: {error.strerror}."
    return f"{why} The chat goes on in memory and is written as soon as that works again."


def _spec(source: AgentConfig | AgentSpec) -> Spec:
    return Spec(
        source.system, source.colour, dict(source.sampling), list(source.tools), source.memory
    )
