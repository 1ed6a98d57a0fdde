"""Names that the prompt completes and that lie on the disk, which it must not wait for."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from tui.widgets.chat.prompt import Prompt
from tui.widgets.session_words import when

if TYPE_CHECKING:
    from tui.screens.main import MainScreen

LOOK_AGAIN = 10.0  # seconds until the disk is looked at again for models


class Names:
    """Saved sessions and models, as they were read last."""

    def __init__(self, screen: MainScreen) -> None:
        self.screen = screen
        self.sessions: list[tuple[str, str]] = []  # titles, and what they are
        self._models: list[tuple[str, str]] = []  # on this machine, and where
        self._models_due = 0.0

    def read_sessions(self) -> None:
        """They have changed: read them again."""
        self.screen.run_worker(self._read_sessions(), group="saved", exclusive=True)

    async def _read_sessions(self) -> None:
        saved = await asyncio.to_thread(self.screen.workspace.sessions.saved)
        self.sessions = [(s.title, f"{s.agent} · {when(s.saved_at)} · {s.last}") for s in saved]

    def models(self) -> list[tuple[str, str]]:
        """Those known by now; the disk is looked at again for the next time."""
        if time.monotonic() >= self._models_due:
            self._models_due = time.monotonic() + LOOK_AGAIN
            self.screen.run_worker(self._read_models(), group="models", exclusive=True)
        return self._models

    async def _read_models(self) -> None:
        from engine import models

        found = await asyncio.to_thread(models.list_models, self.screen.workspace.config)
        self._models = [(f.name, f.source) for f in found if not f.problem]
        self.screen.query_one(Prompt).suggest_again()
