"""One agent: who it is, what was said to it, what it is doing and what still waits for it."""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from agents import rounds
from agents.events import AgentState, PastCompaction, Turn
from engine.protocol import Compaction, Message, Tool

YOU = "you"
COLOURS = ("cyan", "magenta", "yellow", "green", "purple", "orange", "red", "blue")  # told apart
PAST_COMPACTIONS = 32  # kept of each agent


def new_id(prefix: str) -> str:
    """An id that no other turn or agent has, e.g. "t-9f86d081884c"."""
    return f"{prefix}-{secrets.token_hex(6)}"


def free_colour(colour: str, taken: Collection[str]) -> str:
    """The colour for a copy: another one when somebody has this, "" (by its place) without any."""
    if not colour or colour not in taken:
        return colour
    return next((other for other in COLOURS if other not in taken), "")


@dataclass(slots=True)
class AgentSpec:
    """What makes an agent: prompt, looks, sampling keys that differ from [sampling], tools."""

    system: str = ""
    colour: str = ""
    sampling: dict[str, Any] = field(default_factory=dict)
    tools: list[str] = field(default_factory=list)
    memory: str = "shared"  # shared | own | sealed | off, see agents.memory.spaces

    def copy(self) -> AgentSpec:
        return AgentSpec(
            self.system, self.colour, dict(self.sampling), list(self.tools), self.memory
        )


@dataclass(slots=True, eq=False)
class Chain:
    """What follows one prompt of a person; handovers in all its branches share `left`."""

    left: int
    stopped: bool = False  # the person stopped it: nothing is handed on any more


@dataclass(slots=True, eq=False)
class QueuedPrompt:
    """A prompt that waits until the agent has answered the one before."""

    text: str
    author: str = YOU  # or the name of the agent that handed over
    chain: Chain = field(default_factory=lambda: Chain(0))
    time: float = field(default_factory=time.time)
    to: list[str] = field(default_factory=list)  # whom it went to, when to several
    system: str | None = None  # instead of the agent's own, for this answer
    sampling: dict[str, Any] = field(default_factory=dict)  # keys that differ for this answer


@dataclass(slots=True, eq=False)
class Agent:
    """An agent and its conversation. `id` names its session in the engine and its file on disk."""

    id: str
    name: str
    spec: AgentSpec = field(default_factory=AgentSpec)
    turns: list[Turn] = field(default_factory=list)
    state: AgentState = field(default_factory=AgentState)
    queue: list[QueuedPrompt] = field(default_factory=list)
    held: bool = False  # the queue waits for the person, after a restart or "stop all"
    draft: str = ""  # text typed and not sent
    last_active: float = 0.0
    created: float = field(default_factory=time.time)
    pinned: bool = False  # its cells stay in the cache while it is idle
    compaction: Compaction | None = None  # the one that runs
    compactions: deque[PastCompaction] = field(
        default_factory=lambda: deque(maxlen=PAST_COMPACTIONS)
    )

    @property
    def busy(self) -> bool:
        """True from sending a prompt until its answer is finished."""
        last = next((turn for turn in reversed(self.turns) if turn.role != "note"), None)
        return last is not None and last.status in ("waiting", "streaming")

    def turn(self, turn_id: str) -> Turn | None:
        """The turn with that id, if the conversation has one."""
        return next((turn for turn in self.turns if turn.id == turn_id), None)

    def _recalled_for(self, index: int) -> str:
        """What the memory gave for a prompt; kept with its answer, so that cells stay valid."""
        if self.turns[index].role != "user" or index + 1 >= len(self.turns):
            return ""
        answer = self.turns[index + 1]
        return answer.recalled if answer.role == "assistant" else ""

    def messages(
        self, system: str | None = None, tools: tuple[Tool, ...] = ()
    ) -> tuple[Message, ...]:
        """The conversation as the model sees it: no notes, no answers that never came.

        `system` is used instead of the agent's own prompt; `tools` are those it may call.

        Neighbours of one role become one message, since many chat templates insist on taking
        turns, and an answer that failed leaves two prompts in a row.
        """
        merged: list[Message] = []
        system = self.spec.system if system is None else system
        if system or tools:
            merged.append(Message("system", system, tools=tools))
        for index, turn in enumerate(self.turns):
            if turn.role == "note":
                continue
            if turn.role == "assistant":
                _add_answer(merged, rounds.messages(turn))
                continue
            text = turn.text
            recalled = self._recalled_for(index)
            if recalled:
                text = f"{recalled}\n\n{text}"
            if turn.role == "user" and turn.author not in ("", YOU):
                text = f"[from {turn.author}] {text}"
            last = merged[-1] if merged else None
            if last is not None and last.role == turn.role != "system":
                text = f"{last.content}\n\n{text}"
                merged.pop()
            merged.append(Message(turn.role, text, thinking=turn.thinking))
        return tuple(merged)


def _add_answer(merged: list[Message], said: list[Message]) -> None:
    last = merged[-1] if merged else None
    if said and last is not None and last.role == "assistant" and not (last.calls or said[0].calls):
        text = f"{last.content}\n\n{said[0].content}"
        merged[-1] = Message("assistant", text, thinking=said[0].thinking)
        said = said[1:]
    merged += said
