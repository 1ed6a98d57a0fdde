"""The core's life as a workspace sees it: started, ready, back, dead; and started anew."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from agents import calling, compaction
from agents.client import Client
from agents.events import EngineChanged
from agents.router import route
from engine.config import Config
from engine.errors import EngineError, HaloError
from engine.protocol import Ready

if TYPE_CHECKING:
    from agents.workspace import Workspace

EngineState = Literal["starting", "ready", "restarting", "dead"]
_log = logging.getLogger("halo.agents")


class EngineLife:
    """One client after the other, and what state its core is in."""

    def __init__(
        self, workspace: Workspace, client: Client, make_client: Callable[[Config], Client]
    ) -> None:
        """`make_client` makes the clients of restarts."""
        self.client = client
        self.make_client = make_client
        self.state: EngineState = "starting"
        self.error: HaloError = EngineError("The engine is not running.", "", "dead")
        self.ready: Ready | None = None
        self._workspace = workspace
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._unsubscribe: Callable[[], None] = lambda: None

    def begin(self) -> None:
        """Start a core with the client at hand; the model loads beside."""
        self._unsubscribe = self.client.subscribe(lambda event: route(self._workspace, event))
        self._set("starting")
        self._task = asyncio.get_running_loop().create_task(self._start())

    async def _start(self) -> None:
        try:
            ready = await self.client.start()
        except HaloError as error:
            self.died(error, False)
        except Exception as error:  # a fault of ours must not leave prompts waiting for ever
            _log.exception("the engine client failed")
            self.died(EngineError(f"The engine could not be started: {error}."), False)
        else:
            if self.state != "ready":
                self.is_ready(ready)

    async def stop(self) -> None:
        """End the core; what it still tells is not heard. Stopping twice is harmless."""
        self._unsubscribe()
        self._unsubscribe = lambda: None
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.client.stop()

    async def restart(self, client: Client | None) -> None:
        """Start a new core with the settings as they are now, by `client` if one is given."""
        workspace = self._workspace
        await workspace.answers.stop_all()
        await workspace.sessions.stop()
        await self.stop()
        self.client = client or self.make_client(workspace.config)
        self.ready = None
        workspace.answers.forget_sessions()
        compaction.engine_gone(workspace)
        workspace.forget_figures()
        self.begin()

    async def wait_ready(self) -> Ready:
        """Wait for the model. Raises ModelError or EngineError if the engine cannot start."""
        while True:
            if self.state == "ready" and self.ready is not None:
                return self.ready
            if self.state == "dead":
                raise self.error
            self._changed.clear()
            await self._changed.wait()

    @property
    def waiting_reason(self) -> str:
        """Why a prompt cannot go to the core yet, in a few words."""
        return {"starting": "the model is loading", "restarting": "the engine is restarting"}.get(
            self.state, ""
        )

    def need(self, what: str) -> None:
        """Raises HaloError unless the core is ready; `what` cannot be done until it is."""
        if self.state == "dead":
            raise self.error
        if self.state != "ready":
            raise HaloError(f"{what} yet: {self.waiting_reason}.", "Try again in a moment.")

    # --- what the core tells ---------------------------------------------------------------------

    def loading(self, fraction: float, what: str) -> None:
        """The model is being loaded; again, if it is a new core, which takes a whole sentence."""
        if self.state == "restarting" and what:
            what = f"The engine is {what[0].lower()}{what[1:]}, {fraction:.0%}."
        self._set(self.state, what=what, fraction=fraction)

    def is_ready(self, ready: Ready) -> None:
        """The core takes requests, for the first time or again."""
        workspace, again = self._workspace, self.state == "restarting"
        self.ready = ready
        self._set("ready")
        if again:
            workspace.note("info", "engine", "The engine is back.")
        else:
            self._introduce(ready)
            workspace.sessions.engine_ready()
        workspace.answers.send_waiting()
        compaction.engine_ready(workspace)
        if workspace.focused:
            workspace.keep_task(workspace.focus(workspace.focused))

    def _introduce(self, ready: Ready) -> None:
        """Say in the log what was loaded, and what of it a person should know."""
        workspace = self._workspace
        workspace.note(
            "info",
            "engine",
            f"{ready.model} is ready: {ready.n_ctx:,} cells, {ready.backend}, "
            f"loaded in {ready.load_seconds:.1f} s.",
        )
        if changed := [f"{c.key} = {c.value} ({c.why})" for c in ready.chosen if c.changed]:
            workspace.note("info", "engine", f"Chosen for this machine: {'; '.join(changed)}.")
        for hint in ready.hints:
            workspace.note("warning", "engine", f"{hint.what} {hint.remedy}")
        told = any(calling.offered(workspace, agent) for agent in workspace.agents)
        if told and not ready.knows_tools:
            text = f"{ready.model}'s chat template knows no tools: they are told in words."
            workspace.note("info", "model", text)

    def died(self, error: HaloError, restarting: bool) -> None:
        """The core has ended; `restarting`: the client starts another."""
        workspace = self._workspace
        self.error = error
        workspace.note("warning" if restarting else "error", "engine", str(error))
        self._set("restarting" if restarting else "dead", error.what, error.remedy)
        compaction.engine_gone(workspace)
        workspace.sessions.engine_gone()
        for agent in workspace.agents:
            if agent.id in workspace.answers.running:
                agent.state.kind, agent.state.reason = "queued", self.waiting_reason
                workspace.changed(agent)
        if not restarting:
            workspace.answers.fail_all(error)

    def _set(
        self, state: EngineState, what: str = "", remedy: str = "", fraction: float = 0.0
    ) -> None:
        self.state = state
        self._changed.set()
        self._workspace.emit(EngineChanged(state, what, remedy, fraction, self.ready))
