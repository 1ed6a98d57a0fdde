"""What /workers does: how the other machines are, and computing with or without them."""

from __future__ import annotations

import asyncio

from engine import workers
from engine.errors import HaloError
from tui import arguments
from tui.acting import Acting
from tui.screens.dialogs import Confirm
from tui.widgets.worker_text import worker_lines

NONE = HaloError(
    "There are no workers.",
    'Name them in the configuration: [engine] rpc = ["10.0.0.2:50052"]. docs/rpc.md tells how.',
)


class WorkerActions(Acting):
    """The part of the controller that is about workers."""

    put_aside: tuple[str, ...] = ()  # the workers that are configured, while we go without

    async def workers(self, text: str) -> None:
        """How they are; "off" computes here until the next start, "on" uses them again."""
        engine = self.space.config.engine
        configured = tuple(engine.rpc) or self.put_aside
        if not configured:
            raise NONE
        if not text:
            await self._tell_workers(configured)
            return
        on = arguments.switch(text, "on", "off", True)
        if on == bool(engine.rpc) and self.space.engine_state == "ready":
            self.tell(f"Workers are {'on' if on else 'off'} already.")
            return
        busy = [agent.name for agent in self.space.agents if agent.busy]
        lives = self.space.engine_state == "ready"
        if (
            lives
            and busy
            and not await self.ask(
                Confirm(f"This stops the answers of {', '.join(busy)}. Go on?", "Go on")
            )
        ):
            return
        self.put_aside = configured
        engine.rpc = list(configured) if on else []
        await self.space.restart_engine()
        self.tell(
            "Uses the workers again."
            if on
            else "Computes on this machine until the next start; /workers on goes back."
        )
        if not lives:  # they waited for a worker, not to be stopped
            for name in busy:
                await self.space.regenerate(name)

    async def workers_off(self, _: str) -> None:
        """The banner's button."""
        await self.workers("off")

    async def _tell_workers(self, configured: tuple[str, ...]) -> None:
        space = self.space
        used = space.engine_state == "ready" and bool(space.config.engine.rpc)
        # One that computes for us would not answer anybody else.
        found = [] if used else await asyncio.to_thread(workers.look, configured)
        lines = worker_lines(configured, space.holdings if used else None, found)
        if not space.config.engine.rpc:
            lines.append("They are off: /workers on uses them.")
        self.tell("\n".join(lines))
