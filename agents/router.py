"""Engine events become changes of the workspace: one match, so that a reader sees all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

import msgspec

from agents import compaction, routing
from agents.events import CacheChanged, StatsChanged
from engine.client import CoreDied
from engine.errors import EngineError
from engine.protocol import (
    CacheMap,
    Compaction,
    Deltas,
    Done,
    Event,
    Experts,
    Holdings,
    Loading,
    Note,
    Ready,
    State,
    Stats,
    Studied,
)

if TYPE_CHECKING:
    from agents.workspace import Workspace

Level = Literal["info", "warning", "error"]


def route(workspace: Workspace, event: Event) -> None:
    """Apply one engine event. Events of unknown sessions (closed ones) change nothing."""
    answers = workspace.answers
    match event:
        case Deltas(items):
            for delta in items:
                if (agent := workspace.by_id(delta.session)) is not None:
                    answers.delta(agent, delta)
        case State(session):
            if (agent := workspace.by_id(session)) is not None:
                answers.state(agent, event)
        case Done(session):
            if (agent := workspace.by_id(session)) is not None:
                answers.done(agent, event)
        case Compaction(session):
            if (agent := workspace.by_id(session)) is not None:
                compaction.apply(workspace, agent, event)
        case Studied(session, tokens, _, seconds, solved):
            if (agent := workspace.by_id(session)) is not None:
                text = (
                    f"Compaction of {tokens:,} tokens is prepared ({seconds:.1f} s); it lands when due."
                    if solved else
                    f"Studied {tokens:,} tokens ahead of compaction ({seconds:.1f} s)."
                )  # fmt: skip
                workspace.note("info", "compaction", text, agent)
        case CacheMap():
            _cache(workspace, event)
        case Stats():
            _stats(workspace, event)
        case Experts():
            routing.apply(workspace, event)
        case Holdings():
            workspace.holdings = event
        case Loading(fraction, what):
            workspace.engine.loading(fraction, what)
        case Ready():
            workspace.engine.is_ready(event)
        case CoreDied(what, remedy, restarting):
            workspace.engine.died(EngineError(what, remedy, "dead"), restarting)
        case Note(level, kind, text, session):
            known = cast(Level, level) if level in ("info", "warning", "error") else "info"
            for one in workspace.agents:  # the core knows agents by their ids
                text = text.replace(one.id, one.name)
            workspace.note(known, kind, text, workspace.by_id(session))


def _cache(workspace: Workspace, event: CacheMap) -> None:
    workspace.core_cache = event
    workspace.cache = named(event, {agent.id: agent.name for agent in workspace.agents})
    for agent in workspace.agents:
        cells = event.cells.get(agent.id, 0)
        if cells != agent.state.cells:
            agent.state.cells = cells
            workspace.changed(agent)
    workspace.emit(CacheChanged(workspace.cache))


def _stats(workspace: Workspace, event: Stats) -> None:
    by_name: dict[str, float] = {}
    for agent in workspace.agents:
        speed = event.by_session.get(agent.id, 0.0)
        if agent.id in event.by_session:
            by_name[agent.name] = speed
        if agent.id not in workspace.answers.running:
            speed = 0.0  # the window reaches back into an answer that is finished
        if speed != agent.state.tok_s:
            agent.state.tok_s = speed
            workspace.changed(agent)
    workspace.stats = msgspec.structs.replace(event, by_session=by_name)
    workspace.emit(StatsChanged(workspace.stats))


def named(event: CacheMap, names: dict[str, str]) -> CacheMap:
    """The map with agents' names as owners; what belongs to no agent any more is kept prefix."""

    special = ("", "*", "~")
    owners = tuple(o if o in special else names.get(o, "~") for o in event.runs.owners)
    runs = msgspec.structs.replace(event.runs, owners=owners)
    cells = {names[session]: count for session, count in event.cells.items() if session in names}
    folded = {names[session]: kept for session, kept in event.folded.items() if session in names}
    away = {names[session]: where for session, where in event.away.items() if session in names}
    pinned = tuple(names[session] for session in event.pinned if session in names)
    return msgspec.structs.replace(
        event, cells=cells, runs=runs, folded=folded, away=away, pinned=pinned
    )
