"""The Textual application: starts the workspace, routes its events to the screen, stops."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from pathlib import Path

from textual.app import App, SystemCommand
from textual.screen import Screen

from agents.events import WorkspaceEvent
from agents.workspace import Client, Workspace
from engine.config import Config
from engine.errors import HaloError
from tui.actions import ACTIONS, key_table
from tui.screens.main import MainScreen
from tui.themes import THEMES


class HaloApp(App[int]):
    """Many agents, one model, in the terminal."""

    TITLE = "halo-tui"
    CSS_PATH = "app.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-normal"), (150, "-wide")]  # noqa: RUF012
    ENABLE_COMMAND_PALETTE = True

    def __init__(self, config: Config, data_dir: Path, client: Client) -> None:
        super().__init__()
        self.config = config
        self.workspace = Workspace(config, client, data_dir)
        self.main = MainScreen(self.workspace)
        for theme in THEMES:
            self.register_theme(theme)
        self.set_keymap({a: k for a, k, _ in key_table(config) if a in config.ui.keys})

    async def on_mount(self) -> None:
        if self.config.ui.theme in self.available_themes:
            self.theme = self.config.ui.theme
        else:
            self.notify(
                f"There is no theme '{self.config.ui.theme}'; the palette lists all of them.",
                severity="warning",
            )
            self.theme = THEMES[0].name
        self.workspace.subscribe(self._on_workspace)
        try:
            await self.workspace.start()
        except HaloError as error:
            self.exit(1, message=f"halo-tui: {error}")
            return
        await self.push_screen(self.main)
        self._catch_signals()

    def _catch_signals(self) -> None:
        """A closed terminal or `kill` saves and restores the screen like Quit does."""
        import asyncio

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            try:
                loop.add_signal_handler(number, lambda: self.run_worker(self.leave()))
            except (NotImplementedError, RuntimeError, ValueError):
                return  # not the main thread: tests

    async def action_quit(self) -> None:
        """Textual's own Ctrl+Q: asks first when agents are busy."""
        self.main.controller.start("quit")

    async def leave(self) -> None:
        """Save everything, stop the core, end the app."""
        if self.main.is_mounted:
            self.main.keep_draft()
        try:
            await self.workspace.stop()
        finally:
            self.exit(0)

    def _on_workspace(self, event: WorkspaceEvent) -> None:
        if self.main.is_mounted:
            self.main.on_workspace(event)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The palette: every action of the table, every agent, and the themes."""
        main = self.main
        for action in ACTIONS:
            if action.palette:
                label = f"{action.label}" + (f"  (/{action.slash})" if action.slash else "")
                yield SystemCommand(
                    label, action.help, lambda name=action.id: main.controller.start(name)
                )
        for name in self.workspace.names:
            yield SystemCommand(
                f"Go to {name}",
                "Show this agent.",
                lambda n=name: main.controller.start("go_agent", n),
            )
        for theme in sorted(self.available_themes):
            yield SystemCommand(
                f"Theme: {theme}",
                "Use this theme.",
                lambda t=theme: main.controller.start("theme", t),
            )


def run(config: Config, data_dir: Path) -> int:
    """Run the app until it is left. Returns the exit code."""
    from engine import paths
    from engine.client import EngineClient
    from tui.stderr_guard import guarded_stderr

    state = paths.state_dir()
    client = EngineClient(config, log_path=state / "core.log")
    app = HaloApp(config, data_dir, client)
    with guarded_stderr(state / "app-native.log"):
        code = app.run(mouse=config.ui.mouse)
    return app.return_code or code or 0
