"""What the command palette offers: actions, agents and themes at once, models when listed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from textual.app import SystemCommand
from textual.command import CommandList, CommandPalette, DiscoveryHit, Hit, Hits, Provider
from textual.widgets import Input

from tui.actions import ACTIONS, key_table
from tui.keymap import brief
from tui.themes import THEMES
from tui.widgets.marks import doing

if TYPE_CHECKING:
    from engine.models import ModelFile
    from tui.app import HaloApp


def commands(app: HaloApp) -> Iterator[SystemCommand]:
    """Actions with their keys and slash commands, then agents, then themes."""
    run = app.main.controller.start
    keys = {action: keys for action, keys, _ in key_table(app.config)}
    for action in ACTIONS:
        if action.palette:
            ways = [brief(keys[action.id]), f"/{action.slash}" if action.slash else ""]
            hint = " ".join(filter(None, ways))
            title = f"{action.label}  ({hint})" if hint else action.label
            yield SystemCommand(title, action.help, partial(run, action.id))
    for agent in app.workspace.agents:
        yield SystemCommand(
            f"Go to {agent.name}", f"{doing(agent)}.", partial(run, "go_agent", agent.name)
        )
    own = [theme.name for theme in THEMES]
    for theme in [*own, *sorted(set(app.available_themes) - set(own))]:
        yield SystemCommand(f"Theme: {theme}", "Use this theme.", partial(run, "theme", theme))


class Models(Provider):
    """The models on this machine; looking for them is done in a thread.

    Textual cancels what a search waits for when another letter is typed, its providers' start
    included, after which no search finds anything; and it shows nothing while one of them waits.
    So none does: what is found later is asked for again.
    """

    files: tuple[ModelFile, ...] = ()

    async def startup(self) -> None:
        self._looks = asyncio.create_task(self._look())

    async def shutdown(self) -> None:
        self._looks.cancel()

    async def _look(self) -> None:
        from engine import models

        app: HaloApp = self.app  # type: ignore[assignment]
        found = await asyncio.to_thread(models.list_models, app.config)
        self.files = tuple(file for file in found if not file.problem)
        palette = app.screen
        if not self.files or not isinstance(palette, CommandPalette):
            return
        if palette.query_one(CommandList).highlighted:
            return  # somebody chooses from what is there
        field = palette.query_one(Input)
        field.post_message(Input.Changed(field, field.value))

    async def discover(self) -> Hits:
        for file in self.files:
            yield DiscoveryHit(self._title(file), self._load(file), help=self._help(file))

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for file in self.files:
            if (score := matcher.match(self._title(file))) > 0:
                title = matcher.highlight(self._title(file))
                yield Hit(score, title, self._load(file), help=self._help(file))

    def _title(self, file: ModelFile) -> str:
        return f"Model: {file.name}"

    def _help(self, file: ModelFile) -> str:
        return f"Load it ({file.size / 1e9:.2f} GB, {file.source})."

    def _load(self, file: ModelFile) -> partial[None]:
        app: HaloApp = self.app  # type: ignore[assignment]
        return partial(app.main.controller.start, "model", str(file.path))
