"""A small app around the chat widgets, on a real workspace with a scripted engine."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from textual import on
from textual.app import App, ComposeResult
from textual.message import Message
from textual.pilot import Pilot
from textual.widget import Widget

from agents.agent import Agent
from agents.events import Turn, WorkspaceEvent
from agents.workspace import Workspace
from engine.config import Config
from tests.support.scripted import ScriptedClient
from tests.support.waiting import until
from tui.themes import THEMES
from tui.widgets.chat.conversation import Conversation
from tui.widgets.chat.grid import ChatGrid
from tui.widgets.chat.prompt import Prompt
from tui.widgets.chat.transcript import Transcript


class ChatApp(App[None]):
    """Mounts what `build` makes of the workspace and passes events on to `apply` methods."""

    CSS = "Screen { layout: vertical; }"

    def __init__(
        self, workspace: Workspace, build: Callable[[Workspace], Iterable[Widget]]
    ) -> None:
        super().__init__()
        self.workspace = workspace
        self.build = build
        self.heard: list[Message] = []  # messages of the chat that reached the app
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = "halo-dark"

    def compose(self) -> ComposeResult:
        yield from self.build(self.workspace)

    async def on_mount(self) -> None:
        self.workspace.subscribe(self._apply)

    def _apply(self, event: WorkspaceEvent) -> None:
        for widget in self.screen.query("*"):
            apply = getattr(widget, "apply", None)
            if apply is not None:
                apply(event)

    @on(Conversation.CopyRequested)
    @on(Conversation.EditRequested)
    @on(Conversation.RegenerateRequested)
    @on(Conversation.LinkRequested)
    @on(Conversation.Suggested)
    @on(Conversation.PromptRequested)
    @on(Prompt.Submitted)
    @on(Prompt.Command)
    @on(Prompt.Unqueue)
    @on(Prompt.ScrollRequested)
    @on(ChatGrid.Selected)
    def _hear(self, message: Message) -> None:
        self.heard.append(message)

    def said[M: Message](self, kind: type[M]) -> list[M]:
        """The messages of that type that reached the app."""
        return [message for message in self.heard if isinstance(message, kind)]


def workspace_of(
    path: Path, reply: Callable[..., str] | None = None
) -> tuple[Workspace, ScriptedClient]:
    """A workspace that is not started yet, and the client behind it."""
    client = ScriptedClient(reply)
    return Workspace(Config(), client, path), client


def turn(role: str, text: str, number: int = 0, author: str = "", **fields: object) -> Turn:
    """A finished turn with a fixed time."""
    author = author or ("you" if role == "user" else "ada" if role == "assistant" else "")
    when = time.mktime((2026, 1, 2, 13, 44, 0, 0, 0, -1)) + number
    return Turn(f"t{number}", role, text, author=author, time=when, **fields)  # type: ignore[arg-type]


def history(count: int, text: str = "") -> list[Turn]:
    """Prompts and answers in turn, `count` in all."""
    answer = text or (
        "An answer with **bold** words and `code`, number {n}, long enough to be wrapped over a "
        "few lines wherever the window is not very wide; it goes on for a while.\n\n- one\n- two\n"
    )
    return [
        turn("user", f"Question {n}?", n) if n % 2 == 0
        else turn("assistant", answer.replace("{n}", str(n)), n, tokens=42, tok_s=61.3, ttft=0.12,
                  prompt_tokens=412, cached_tokens=380)
        for n in range(count)
    ]  # fmt: skip


@dataclass
class Chat:
    """A running chat app and what is behind it."""

    app: ChatApp
    pilot: Pilot[None]
    workspace: Workspace
    client: ScriptedClient

    @property
    def conversation(self) -> Conversation:
        return self.app.query_one(Conversation)

    @property
    def transcript(self) -> Transcript:
        return self.conversation.transcript

    @property
    def prompt(self) -> Prompt:
        return self.app.query_one(Prompt)

    def agent(self, name: str = "ada") -> Agent:
        return self.workspace.get(name)

    def screen(self) -> str:
        """What stands on the screen, line by line."""
        return "\n".join(
            "".join(segment.text for segment in strip).rstrip()
            for strip in self.app.screen._compositor.render_strips()
        )

    async def ask(self, text: str = "Hello?", name: str = "ada") -> str:
        """Send a prompt and wait until the engine works on it. Returns the session."""
        await self.workspace.send(text, name)
        session = self.agent(name).id
        await until(lambda: session in self.client.generations)
        await self.pilot.pause()
        return session

    async def drawn(self) -> None:
        """Until everything that was said is laid out and drawn."""
        await until(lambda: not self.conversation.behind)
        await self.pilot.pause()


@asynccontextmanager
async def chat(
    path: Path,
    build: Callable[[Workspace], Iterable[Widget]],
    size: tuple[int, int] = (80, 24),
    turns: list[Turn] | None = None,
) -> AsyncIterator[Chat]:
    """The app running headless, with `turns` as ada's history."""
    workspace, client = workspace_of(path)
    await workspace.start()
    await workspace.wait_ready()
    workspace.get("ada").turns = turns or []
    app = ChatApp(workspace, build)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        yield Chat(app, pilot, workspace, client)
    await workspace.stop()


def conversation(workspace: Workspace) -> Iterable[Widget]:
    """Only ada's conversation."""
    return [Conversation(workspace, "ada")]
