"""What agents tell whoever watches them: the app, the headless chat, tests.

A watcher registers one handler with `Workspace.subscribe`; it is called on the event loop's
thread, in order. State lives in `Workspace` and `Agent`; events say what changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from engine.protocol import CacheMap, Compaction, Experts, Ready, Stats

AgentStateKind = Literal["idle", "queued", "prefill", "thinking", "decode", "tool", "error"]
Role = Literal["system", "user", "assistant", "note"]
TurnStatus = Literal["waiting", "streaming", "done", "cancelled", "error", "length", "loop"]
CallStatus = Literal["running", "done", "error", "cancelled"]


@dataclass(slots=True)
class Found:
    """One thing that a tool found, for people."""

    text: str
    score: float = 0.0  # 0 to 1
    speaker: str = ""
    time: float = 0.0  # Unix seconds when it was said
    message: str = ""  # id of the turn it comes from
    agent: str = ""  # id of the agent in whose conversation that stands
    kind: str = "message"  # or document


@dataclass(slots=True)
class Call:
    """A tool that an answer called. `at` and `thought` say where in the answer."""

    id: str  # nine letters and digits
    name: str
    arguments: str = "{}"  # JSON text of an object
    round: int = 0  # those of one round were called together
    at: int = 0  # characters of the turn's text before it
    thought: int = 0  # characters of the turn's thoughts before it
    status: CallStatus = "running"
    result: str = ""  # what the model was given
    summary: str = ""  # the same in a few words, for people
    found: list[Found] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(slots=True)
class Turn:
    """One message of a conversation. `note` turns are for people only, never for the model."""

    id: str
    role: Role
    text: str = ""
    thinking: str = ""
    recalled: str = ""  # what the memory put before the model for this answer, as it was put
    calls: list[Call] = field(default_factory=list)  # tools that the answer called, in order
    author: str = ""  # "you", or the name of the agent that handed over
    to: list[str] = field(default_factory=list)  # whom a prompt went to, when to several
    time: float = 0.0  # Unix seconds
    status: TurnStatus = "done"
    detail: str = ""  # why it failed or was cut, one sentence
    repeated: int = 0  # characters at the end of `text` that the model is not shown again
    tokens: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    ttft: float = 0.0  # seconds from sending to the first token
    tok_s: float = 0.0
    seed: int = 0
    seconds: float = 0.0  # from sending to the end


@dataclass(slots=True)
class AgentState:
    """What an agent is doing right now."""

    kind: AgentStateKind = "idle"
    reason: str = ""  # while it waits or after an error: one sentence
    done: int = 0  # prompt tokens computed, while prefilling
    total: int = 0
    tok_s: float = 0.0
    cells: int = 0  # KV cells its session refers to
    waiting_prompts: int = 0
    unread: bool = False  # finished an answer out of the user's sight


@dataclass(slots=True)
class PastCompaction:
    """A compaction that has ended; the session in it is the agent's name as it was then."""

    time: float
    compaction: Compaction


@dataclass(slots=True)
class LogEntry:
    """One line of the event log."""

    time: float
    level: Literal["info", "warning", "error"]
    kind: str  # engine | cache | compaction | scheduler | agent | model | ...
    text: str
    agent: str = ""


class WorkspaceEvent:
    """Base of all events of a workspace."""


@dataclass(slots=True)
class RosterChanged(WorkspaceEvent):
    """Agents were created, renamed, duplicated, closed or reordered."""


@dataclass(slots=True)
class SavedChanged(WorkspaceEvent):
    """A snapshot was saved, renamed, deleted or brought back."""


@dataclass(slots=True)
class AgentChanged(WorkspaceEvent):
    """`Agent.state` (or its spec) changed."""

    agent: str


@dataclass(slots=True)
class TurnAdded(WorkspaceEvent):
    """A turn was appended; an assistant's starts empty and streams."""

    agent: str
    turn: Turn


@dataclass(slots=True)
class TurnDelta(WorkspaceEvent):
    """Text arrived for the last assistant turn; already contained in `Turn.text`."""

    agent: str
    turn: Turn
    text: str
    thinking: bool = False


@dataclass(slots=True)
class CallChanged(WorkspaceEvent):
    """A tool was called by an answer, or has given its result; `Turn.calls` contains it."""

    agent: str
    turn: Turn
    call: Call


@dataclass(slots=True)
class TurnFinished(WorkspaceEvent):
    """A turn reached its final text and status."""

    agent: str
    turn: Turn


@dataclass(slots=True)
class PromptReturned(WorkspaceEvent):
    """The engine cannot take a prompt as it is: the person has its text back, to change it."""

    agent: str
    text: str
    why: str


@dataclass(slots=True)
class TurnsTruncated(WorkspaceEvent):
    """All turns from `turn_id` on were removed (edit and resend, regenerate)."""

    agent: str
    turn_id: str
    removed: tuple[str, ...] = ()  # ids, turn_id first


@dataclass(slots=True)
class CacheChanged(WorkspaceEvent):
    """A new map of the KV cells; owners are agent *names* here."""

    cache: CacheMap


@dataclass(slots=True)
class CompactionChanged(WorkspaceEvent):
    """A compaction began, went on or ended; its session is the agent's *name* here."""

    agent: str
    compaction: Compaction


@dataclass(slots=True)
class ExpertsChanged(WorkspaceEvent):
    """What was routed to which experts lately."""

    experts: Experts


@dataclass(slots=True)
class StatsChanged(WorkspaceEvent):
    """New speeds."""

    stats: Stats


@dataclass(slots=True)
class EngineChanged(WorkspaceEvent):
    """The engine core: starting | ready | restarting | dead."""

    state: Literal["starting", "ready", "restarting", "dead"]
    what: str = ""
    remedy: str = ""
    fraction: float = 0.0
    ready: Ready | None = field(default=None)


@dataclass(slots=True)
class Logged(WorkspaceEvent):
    """A line for the event log; also kept in `Workspace.log`."""

    entry: LogEntry
