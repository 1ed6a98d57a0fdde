"""The data folder: its lock, the list of agents, and where each conversation is kept.

    workspace.json          the list: order, prompts, drafts, what waits to be sent
    agents/<id>.jsonl       one conversation each (see `history`)
    agents/closed/          conversations of closed agents, for reopening
    lock                    held while an app uses the folder; holds its process id

A list that cannot be read is set aside, never overwritten, and made anew from the conversations.
"""

from __future__ import annotations

import fcntl
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from agents.agent import YOU, Agent, AgentSpec, Chain, QueuedPrompt
from agents.history import Header, HistoryFile, parse, write_atomically
from engine.errors import HaloError

VERSION = 1


class WaitingPrompt(msgspec.Struct, omit_defaults=True):
    """A queued prompt on disk."""

    text: str
    author: str = YOU
    time: float = 0.0
    to: list[str] = []


class Entry(msgspec.Struct, omit_defaults=True):
    """One agent of the list."""

    id: str
    name: str
    system: str = ""
    colour: str = ""
    sampling: dict[str, Any] = {}
    tools: list[str] = []
    draft: str = ""
    created: float = 0.0
    last_active: float = 0.0
    queue: list[WaitingPrompt] = []
    pinned: bool = False
    memory: str = "shared"


class Spec(msgspec.Struct, omit_defaults=True):
    """An agent as the settings defined it when they were last read."""

    system: str = ""
    colour: str = ""
    sampling: dict[str, Any] = {}
    tools: list[str] = []
    memory: str = "shared"


class Document(msgspec.Struct):
    """workspace.json."""

    version: int = VERSION
    agents: list[Entry] = []
    closed: list[Entry] = []  # newest last
    focus: str = ""  # id
    layout: dict[str, bool] = {}  # what the app shows; opaque here
    configured: dict[str, Spec] = {}  # name -> as [[agents]] said


@dataclass
class Opened:
    """What was found in the folder."""

    document: Document | None = None  # None: a folder without conversations
    faults: list[str] = field(default_factory=list)


class DataFolder:
    """Files of one workspace. Only `lock` and `open` raise, and only HaloError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock_fd = -1

    @property
    def list_file(self) -> Path:
        return self.path / "workspace.json"

    def history(self, agent_id: str, closed: bool = False) -> HistoryFile:
        """The conversation of an agent."""
        folder = self.path / "agents" / "closed" if closed else self.path / "agents"
        return HistoryFile(folder / f"{agent_id}.jsonl")

    def lock(self) -> str:
        """Take the folder for this process. Returns a warning, or "".

        Raises HaloError when another process has it or the folder cannot be used.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            fd = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise HaloError(
                f"The data folder {self.path} cannot be used: {error.strerror}.",
                "Choose another one with --data, or correct its permissions.",
            ) from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(fd)
            raise HaloError(
                f"Another halo-tui (process {pid}) is using {self.path}.",
                "Close it, or start this one with --data and another folder.",
            ) from None
        except OSError as error:
            # Some network file systems cannot lock; a warning is better than no app.
            os.close(fd)
            return f"{self.path} cannot be locked ({error.strerror}): do not open it twice."
        self._lock_fd = fd
        try:
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        except OSError:
            return ""  # a full disk: the lock holds without its number
        return ""

    def unlock(self) -> None:
        """Give the folder back."""
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    def open(self, repair: bool = True) -> Opened:
        """Read the list of agents; with `repair`, set a broken one aside and recover.

        Raises HaloError for a list written by a newer version.
        """
        found = Opened()
        try:
            data = self.list_file.read_bytes()
        except FileNotFoundError:
            data = b""
        except OSError as error:
            raise HaloError(
                f"{self.list_file} cannot be read: {error.strerror}.",
                "Correct its permissions, or choose another folder with --data.",
            ) from None
        if data:
            try:
                version = msgspec.json.decode(data, type=dict[str, Any]).get("version")
                if isinstance(version, int) and version > VERSION:
                    raise HaloError(
                        f"{self.list_file} was written by a newer halo-tui.",
                        "Update halo-tui, or choose another folder with --data.",
                    )
                found.document = msgspec.json.decode(data, type=Document)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                found.faults.append(self._set_aside(repair))
        self._recover(found)
        return found

    def _set_aside(self, repair: bool) -> str:
        broken = self.list_file.with_name(
            f"{self.list_file.name}.broken-{time.strftime('%Y%m%d-%H%M%S')}"
        )
        sentence = "The list of agents (workspace.json) was damaged and is made anew"
        if repair:
            try:
                os.replace(self.list_file, broken)
                return f"{sentence}; the old file is kept as {broken.name}."
            except OSError as error:
                return f"{sentence}; the old file could not be kept: {error.strerror}."
        return f"{sentence}."

    def _recover(self, found: Opened) -> None:
        """Add agents whose conversation is on disk but which the list does not have."""
        listed = {e.id for e in found.document.agents} if found.document else set()
        lost: list[Entry] = []
        try:
            files = sorted((self.path / "agents").glob("*.jsonl"))
        except OSError:
            files = []
        for file in files:
            if file.stem in listed:
                continue
            try:
                header = parse(file.read_bytes(), file.name).header
            except OSError as error:
                found.faults.append(f"{file.name} cannot be read: {error.strerror}.")
                continue
            if header is None:
                header = Header(file.stem, file.stem)
            lost.append(entry_of_header(header, file.stem))
        if not lost:
            return
        if found.document is None:
            found.document = Document()
        taken = {entry.name.casefold() for entry in found.document.agents}
        for entry in sorted(lost, key=lambda e: e.created):
            entry.name = free_name(entry.name, taken)
            taken.add(entry.name.casefold())
            found.document.agents.append(entry)
        names = ", ".join(entry.name for entry in lost)
        found.faults.append(f"Found in the conversations on disk and brought back: {names}.")

    def save(self, document: Document) -> None:
        """Write the list, atomically. Raises OSError."""
        data = msgspec.json.format(msgspec.json.encode(document), indent=1)
        write_atomically(self.list_file, data + b"\n")


def free_name(name: str, taken: set[str]) -> str:
    """`name`, or name-2, name-3… `taken` holds casefolded names."""
    number = 1
    free = name
    while free.casefold() in taken:
        number += 1
        free = f"{name[:28]}-{number}"
    return free


def entry_of(agent: Agent) -> Entry:
    """An agent as the list keeps it."""
    spec = agent.spec
    queue = [WaitingPrompt(p.text, p.author, p.time, p.to) for p in agent.queue]
    return Entry(
        agent.id,
        agent.name,
        spec.system,
        spec.colour,
        spec.sampling,
        spec.tools,
        agent.draft,
        agent.created,
        agent.last_active,
        queue,
        agent.pinned,
        spec.memory,
    )


def entry_of_header(header: Header, agent_id: str) -> Entry:
    """An agent as its own conversation describes it."""
    return Entry(
        agent_id,
        header.name,
        header.system,
        header.colour,
        header.sampling,
        header.tools,
        created=header.created,
        memory=header.memory,
    )


def header_of(agent: Agent) -> Header:
    """The first line of an agent's conversation."""
    spec = agent.spec
    return Header(
        agent.id,
        agent.name,
        spec.system,
        spec.colour,
        spec.sampling,
        spec.tools,
        agent.created,
        spec.memory,
    )


def agent_of(entry: Entry) -> Agent:
    """An agent from the list, still without its turns. Prompts that waited wait on."""
    spec = AgentSpec(
        entry.system, entry.colour, dict(entry.sampling), list(entry.tools), entry.memory
    )
    agent = Agent(
        entry.id,
        entry.name,
        spec,
        draft=entry.draft,
        last_active=entry.last_active,
        created=entry.created,
        pinned=entry.pinned,
    )
    agent.queue = [QueuedPrompt(p.text, p.author, Chain(0), p.time, p.to) for p in entry.queue]
    agent.held = bool(agent.queue)
    agent.state.waiting_prompts = len(agent.queue)
    return agent
