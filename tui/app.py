"""The Textual application: starts the workspace, routes its events to the screen, stops."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from textual import events
from textual.app import App, SystemCommand
from textual.notifications import Notification, Notify, SeverityLevel
from textual.reactive import Reactive
from textual.screen import Screen
from textual.widgets._toast import Toast
from textual.worker import WorkerFailed

from agents.client import new_client
from agents.events import WorkspaceEvent
from agents.workspace import Client, Workspace
from engine.config import Config
from engine.errors import HaloError
from tui import faults, palette, toasts
from tui.actions import own_keymap
from tui.key_order import KeyOrder, Release, typed
from tui.screens.fault import FaultScreen
from tui.screens.main import MainScreen
from tui.themes import THEMES

# After SIGHUP or SIGTERM: how long saving may take, and how long ending after that.
SAVING_SECONDS = 120.0
LEAVING_SECONDS = 5.0
LEAVING_KEYS = ("ctrl+q", "ctrl+c")


class HaloApp(App[int]):
    """Many agents, one model, in the terminal."""

    TITLE = "halo-tui"
    CSS_PATH = "app.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-normal"), (150, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-short"), (32, "-tall")]  # noqa: RUF012
    COMMANDS = App.COMMANDS | {palette.Models}
    # The terminal shows it, no widget does: nothing has to be painted.
    title: Reactive[str] = Reactive("", compute=False, repaint=False)

    def __init__(
        self,
        config: Config,
        data_dir: Path,
        client: Client,
        *,
        make_client: Callable[[Config], Client] | None = None,
        first_start: bool = False,
        remember: bool = False,
        watch: bool = False,
    ) -> None:
        """`make_client` makes the clients of restarts; `first_start` opens the model picker;
        `remember` starts the memory, behind the first frame; `watch` looks at the machine."""
        super().__init__()
        self.config = config
        self.first_start = first_start
        self.looks_at_machine = watch and config.telemetry.enabled
        self.farewell = ""  # one sentence for the terminal, when the app could not go on
        self.workspace = Workspace(config, client, data_dir, make_client)
        self.main = MainScreen(self.workspace, remember)
        self._stopped = False
        self.keys = KeyOrder(self, self._hand_on)
        self._no_prompt_yet: Release = lambda: None
        self._saved = threading.Event()
        for theme in THEMES:
            self.register_theme(theme)
        self.set_keymap(own_keymap(config))

    def on_load(self) -> None:
        self._no_prompt_yet = self.keys.hold(None)

    async def on_mount(self) -> None:
        if self.config.ui.theme in self.available_themes:
            self.theme = self.config.ui.theme
        else:
            self.notify(
                f"There is no theme '{self.config.ui.theme}'; /theme lists all of them.",
                severity="warning", markup=False,
            )  # fmt: skip
            self.theme = THEMES[0].name
        self.workspace.subscribe(self._on_workspace)
        try:
            await self.workspace.start()
        except HaloError as error:
            self._stopped = True
            self.farewell = str(error)
            self.exit(return_code=1)
            return
        await self.push_screen(self.main)
        if not self.is_headless:
            self.call_after_refresh(calm_collector)
        self._catch_signals()
        if self.looks_at_machine:
            self.call_after_refresh(self.main.machine.begin)
        if self.first_start:
            self.main.controller.start("welcome")

    # --- keys ------------------------------------------------------------------------------------

    async def on_event(self, event: events.Event) -> None:
        """Keys and pastes go through `keys`."""
        leaving = isinstance(event, events.Key) and event.key in LEAVING_KEYS
        if isinstance(event, events.Key | events.Paste) and not (event.is_forwarded or leaving):
            await self.keys.take(event)
        else:
            await super().on_event(event)

    async def _hand_on(self, event: events.Event) -> None:
        if typed(event) and getattr(self.screen, "gives_way", False):
            # Only when the prompt has the focus again is it its turn.
            self.keys.again(event, self.screen.give_way)  # type: ignore[attr-defined]
            return
        await super().on_event(event)

    def let_keys_in(self) -> None:
        """There is a prompt, and it has the focus, or will have it in a moment."""
        self.call_later(self._no_prompt_yet)  # after that moment

    def push_screen(self, *args: Any, **kwargs: Any) -> Any:
        """Textual's; what is typed waits until the screen is there."""
        release = self.keys.hold()
        self.keys.opened()
        try:
            return super().push_screen(*args, **kwargs)
        finally:
            self.screen.call_after_refresh(self.call_later, release)

    def _catch_signals(self) -> None:
        """A closed terminal or `kill` saves and restores the screen like Quit does."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            try:
                loop.add_signal_handler(number, self._leave_by_signal, number)
            except (NotImplementedError, RuntimeError, ValueError):
                return  # not the main thread: tests

    def _leave_by_signal(self, number: signal.Signals) -> None:
        """Leave; and end for certain, for Textual waits for ever to write to a terminal that has gone.

        Its writing thread ends at the first error, and whoever fills that thread's queue stands still.
        """
        if number == signal.SIGHUP and self._driver is not None:
            self._driver.write = lambda data: None  # type: ignore[method-assign]
        threading.Thread(target=self._end_for_certain, name="last-resort", daemon=True).start()
        self.run_worker(self.leave())

    def _end_for_certain(self) -> None:
        self._saved.wait(SAVING_SECONDS)
        time.sleep(LEAVING_SECONDS)
        os._exit(1)

    async def leave(self) -> None:
        """Save everything, stop the core, end the app."""
        if self.main.is_mounted:
            self.main.keep_draft()
        try:
            await self.stop_workspace()
        finally:
            self.exit(0)

    async def stop_workspace(self) -> None:
        """Write everything and end the core; once is enough."""
        if not self._stopped:
            self._stopped = True
            self.main.machine.close()
            try:
                await self.workspace.stop()
            finally:
                self._saved.set()

    def to_shell(self) -> bool:
        """Stop in the background, as Ctrl+Z does elsewhere. False where that cannot be done.

        With the whole group, as the terminal would: `make run` waits for us, and the shell for it.
        """
        if self._driver is None or not self._driver.can_suspend:
            return False
        os.killpg(0, signal.SIGTSTP)
        return True

    async def action_quit(self) -> None:
        """Ctrl+Q, also while a dialog is open."""
        if self.main.is_mounted:
            self.main.controller.start("quit")
        else:
            await self.leave()

    def _on_workspace(self, event: WorkspaceEvent) -> None:
        if self.main.is_mounted:
            self.main.on_workspace(event)

    def action_command_palette(self) -> None:
        """The palette belongs to the main screen; dialogs are answered first."""
        if self.screen is self.main:
            super().action_command_palette()

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        return palette.commands(self)

    def watch_title(self, title: str) -> None:
        """The app's title is the terminal's, so that a hidden window shows who is busy."""
        driver = self._driver
        if driver is not None and not self.is_headless and not self.is_web:
            driver.write(f"\x1b]0;{title}\x07")

    # --- toasts ----------------------------------------------------------------------------------

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = True,
    ) -> None:
        """Textual's; a toast stays as long as it takes to read."""
        if timeout is None:
            timeout = toasts.seconds(message)
        super().notify(message, title=title, severity=severity, timeout=timeout, markup=markup)

    def _on_notify(self, event: Notify) -> None:
        event.prevent_default()
        shown: list[Notification] = list(self._notifications)
        room = toasts.ROOM[self.size.height >= toasts.SHORT]
        self._notifications.clear()
        for one in toasts.gathered(shown, event.notification, room):
            self._notifications.add(one)
        self._drop_toasts()
        self._refresh_notifications()

    def _drop_toasts(self) -> None:
        """Take away what is gone, with its holder: Textual leaves that, a row high."""
        for toast in self.screen.query(Toast):
            if toast._notification not in self._notifications and toast.parent is not None:
                toast.parent.remove()  # type: ignore[attr-defined]

    @property
    def toasts_shown(self) -> bool:
        """Whether there is a toast on the screen."""
        return len(self._notifications) > 0

    def close_toasts(self) -> bool:
        """Take all toasts away; whether there were any."""
        found = self.toasts_shown
        if found:
            self._notifications.clear()
            self._drop_toasts()
            self._refresh_notifications()
        return found

    # --- faults ----------------------------------------------------------------------------------

    def _handle_exception(self, error: Exception) -> None:
        """A worker's fault becomes a dialog; with a widget's the screen cannot go on."""
        if self.is_headless or _debugging():
            super()._handle_exception(error)
        elif isinstance(error, WorkerFailed) and self._stopped:
            logging.getLogger(__name__).warning(
                "while leaving: %s", error.error
            )  # what it worked on is taken down
        elif isinstance(error, WorkerFailed) and self.main.is_mounted:
            self.push_screen(FaultScreen(error.error))
        else:
            self._return_code = 1
            file = faults.record(error)
            self.farewell = (
                f"The app stopped because of a fault of its own: {faults.sentence(error)}. "
                "Your conversations are saved; start it again."
                + (f" The details are in {file}." if file else "")
            )
            self._close_messages_no_wait()


def _debugging() -> bool:
    return os.environ.get("HALO_DEBUG", "") not in ("", "0")


async def _run(app: HaloApp) -> int:
    try:
        code = await app.run_async(mouse=app.config.ui.mouse)
    finally:
        await app.stop_workspace()
    return app.return_code or code or 0


def calm_collector() -> None:
    """Keep the garbage collector from walking what is there for good: each walk through Textual and
    all modules took up to 100 ms, in which no key was answered. What is left is little, and walked
    often: of cycles that wait for it there are the maps of old layouts, 50 KB each."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(1_000, 10, 40)


def run(config: Config, data_dir: Path) -> int:
    """Run the app until it is left. Returns the exit code."""
    from engine import paths
    from tui.stderr_guard import guarded_stderr
    from tui.terminal_keys import read_alt_digits
    from tui.terminal_pastes import read_pastes_as_text

    read_alt_digits()
    read_pastes_as_text()
    state = paths.state_dir()
    first = not config.file and not (data_dir / "workspace.json").exists()
    _log_to(state / "app.log")
    with guarded_stderr(state / "app-native.log"):
        app = HaloApp(
            config, data_dir, new_client(config), first_start=first, remember=True, watch=True
        )
        _titles("\x1b[22;0t")  # the terminal keeps its title for us ...
        try:
            code = asyncio.run(_run(app))
        finally:
            _titles("\x1b[23;0t")  # ... and gets it back
    if app.farewell:
        print(f"halo-tui: {app.farewell}", file=sys.stderr)
    return code


def _titles(sequence: str) -> None:
    terminal = sys.__stderr__
    try:
        if terminal is not None and terminal.isatty():
            terminal.write(sequence)
            terminal.flush()
    except OSError:
        pass  # the terminal has gone


def _log_to(file: Path) -> None:
    """What the app logs goes to a file; Textual would swallow it."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handler = RotatingFileHandler(file, maxBytes=1024 * 1024, backupCount=1, delay=True)
    except OSError:
        return
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
