"""Compaction as people meet it: what may be asked for, what runs, what came of it, in words.

The engine replaces old keys and values of a session by fewer fitted ones and tells its progress;
here that is kept with the agent it happens to. `Agent.compaction` is the one that runs,
`Agent.compactions` those that have ended.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, get_args, get_type_hints

import msgspec

from agents.agent import Agent
from agents.events import CompactionChanged, PastCompaction
from engine.config import CompactionConfig
from engine.errors import EngineError, HaloError
from engine.protocol import Compaction

if TYPE_CHECKING:
    from agents.workspace import Workspace

ENDS = ("done", "failed", "cancelled")
AUTO = -1.0  # the ratio that stands for "as high as the error bound allows"
HIGHEST_RATIO = 1000
METHODS: tuple[str, ...] = get_args(get_type_hints(CompactionConfig)["method"])


# --- asking --------------------------------------------------------------------------------------


def check(ratio: float, method: str) -> None:
    """Raises HaloError for what no engine could do."""
    if ratio not in (0.0, AUTO) and not 1 < ratio <= HIGHEST_RATIO:
        raise HaloError(
            f"{ratio:g} is no ratio of compaction.",
            f"Give cells before over cells after, above 1 and up to {HIGHEST_RATIO}, or auto.",
        )
    if method and method not in METHODS:
        raise HaloError(
            f"'{method}' is no method of compaction.", f"There are: {', '.join(METHODS)}."
        )


async def start(workspace: Workspace, agent: Agent, ratio: float, method: str) -> int:
    """Have an agent's old cells compacted. Returns how many there are."""
    check(ratio, method)
    if agent.compaction is not None:
        raise HaloError(f"{agent.name} is being compacted already.", "/compact stop gives it up.")
    workspace.engine.need("Nothing can be compacted")
    await workspace.answers.open(agent)
    try:
        cells: int = await workspace.client.compact(agent.id, ratio, method)
    except EngineError as error:
        # The engine knows sessions by ids, which tell people nothing.
        raise EngineError(
            error.what.replace(agent.id, agent.name),
            error.remedy.replace(agent.id, agent.name),
            error.code,
        ) from None
    return cells


async def cancel(workspace: Workspace, agent: Agent) -> bool:
    """Give up what runs for an agent; whether there was anything."""
    if agent.compaction is None or workspace.engine_state != "ready":
        return False
    return bool(await workspace.client.cancel_compaction(agent.id))


async def set_auto(workspace: Workspace, on: bool, threshold: float | None) -> None:
    """Change when the core compacts by itself; what it refuses is not set here either.

    A core that is not ready is told later: it may have been started with other settings.
    """
    settings = workspace.config.compaction
    workspace.auto_changed = workspace.engine_state != "ready"
    if not workspace.auto_changed:
        if threshold is not None:  # first, so that the old one does not set it off
            await workspace.client.configure("compaction.threshold", threshold)
        await workspace.client.configure("compaction.auto", on)
    settings.auto = on
    if threshold is not None:
        settings.threshold = threshold


# --- what the engine tells -----------------------------------------------------------------------


def apply(workspace: Workspace, agent: Agent, event: Compaction) -> None:
    """Take in one step of a compaction."""
    what = event.what.replace(agent.id, agent.name)  # the core knows agents by their ids
    event = msgspec.structs.replace(event, session=agent.name, what=what)
    before, ended = agent.compaction, event.phase in ENDS
    agent.compaction = None if ended else event
    if ended:
        agent.compactions.append(PastCompaction(time.time(), event))
        _log(workspace, agent, event)
        if event.phase == "done":
            workspace.sessions.changed(agent)
    workspace.emit(CompactionChanged(agent.name, event))
    if ended or before is None or before.phase != event.phase:
        workspace.changed(agent)  # lists show that it runs; how far is drawn from the event


def engine_ready(workspace: Workspace) -> None:
    """Tell a new core what was changed while it was loading."""

    async def tell() -> None:
        try:
            settings = workspace.config.compaction
            await set_auto(workspace, settings.auto, settings.threshold)
        except HaloError as error:
            workspace.note("warning", "engine", str(error))

    if workspace.auto_changed:
        workspace.keep_task(tell())


def ended(agents: Iterable[Agent]) -> list[PastCompaction]:
    """What has ended of all agents, newest first, by their present names."""
    found = [
        PastCompaction(past.time, msgspec.structs.replace(past.compaction, session=agent.name))
        for agent in agents
        for past in agent.compactions
    ]
    return sorted(found, key=lambda past: (-past.time, -past.compaction.number))


def engine_gone(workspace: Workspace) -> None:
    """The core has ended, and with it whatever had not landed: nothing else will tell."""
    for agent in workspace.agents:
        if agent.compaction is not None:
            lost = msgspec.structs.replace(
                agent.compaction,
                session=agent.id,
                phase="cancelled",
                what="The engine ended before it was done.",
                remedy="The conversation is whole; it is compacted again when cells run short.",
            )
            apply(workspace, agent, lost)


def _log(workspace: Workspace, agent: Agent, event: Compaction) -> None:
    if event.phase == "done":
        high = too_high(workspace, event)
        text = summary(event)
        if high:
            text += f". {advice(event)}"
        workspace.note("warning" if high else "info", "compaction", text, agent)
    elif event.phase == "failed":
        # One that nobody asked for is no error of theirs, and is tried again by itself.
        asked = event.trigger == "manual"
        level = "error" if asked else "warning"
        remedy = event.remedy if asked else "It is tried again when more was said."
        text = f"Not compacted: {event.what or 'the solver gave up.'} {remedy}".strip()
        workspace.note(level, "compaction", text, agent)
    else:
        why = f" {event.what}" if event.what else ""
        workspace.note("info", "compaction", f"Compaction given up; nothing changed.{why}", agent)


# --- words ---------------------------------------------------------------------------------------


def too_high(workspace: Workspace, event: Compaction) -> bool:
    """Whether the error of a compaction is worth a warning."""
    return event.phase == "done" and event.error > workspace.config.compaction.warn_error


def ratio_now(event: Compaction) -> float:
    """Cells before over cells after, of this compaction alone."""
    return event.cells_before / event.cells_after if event.cells_after else 0.0


def summary(event: Compaction) -> str:
    """Compacted 3,412 → 341 cells (10.0×) in 0.8 s, error 4% (eviction 22%)."""
    now = ratio_now(event)
    ratio = f"{now:.1f}×"
    if event.ratio > 1.05 * now:  # the span had been compacted before
        ratio += f", {event.ratio:.1f}× in all"
    # One that was prepared lands in milliseconds.
    took = f"{event.seconds:.1f} s" if event.seconds >= 0.1 else f"{1000 * event.seconds:.0f} ms"
    cells = f"Compacted {event.cells_before:,} → {event.cells_after:,} cells"
    return f"{cells} ({ratio}) in {took}, {errors(event)}"


def errors(event: Compaction) -> str:
    """error 4% (eviction 22%)."""
    text = f"error {percent(event.error)}"
    if event.error_evict:
        text += f" (eviction {percent(event.error_evict)})"
    return text


def percent(share: float) -> str:
    """0.042 -> 4%; below one per cent with a decimal, so that good is told from perfect."""
    return f"{share:.1%}" if 0 < share < 0.00995 else f"{share:.0%}"


def advice(event: Compaction) -> str:
    """What to do about a high error."""
    half = max(2, round(ratio_now(event) / 2))
    return (
        "It may have lost details of what was said before. "
        f"Compact less next time (/compact {half}), or raise engine.n_ctx."
    )


def steps(event: Compaction) -> str:
    """What a running compaction is at: studies 120/384, layer 5/8, 12×."""
    if event.phase == "study":
        return f"studies {event.done}/{event.total}" if event.total else "studies"
    if event.phase == "solve":
        at = f", {ratio_now(event):.0f}×" if event.cells_after else ""
        return f"layer {event.done}/{event.total}{at}" if event.total else "solves"
    return "begins"
