"""Which agent one looks at and writes to: its chat, or its tile in the grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.screen import Screen
from textual.widgets import ContentSwitcher

from agents.agent import Agent
from agents.workspace import Workspace
from tui.frames import Frames
from tui.widgets.chat.conversation import Conversation
from tui.widgets.chat.grid import ChatGrid, Tile
from tui.widgets.chat.prompt import Prompt
from tui.widgets.chat.transcript import Transcript

if TYPE_CHECKING:
    from tui.screens.drawing import Drawing
    from tui.screens.memory_side import MemorySide


class Places(Screen[None]):
    """The part of the main screen that goes from one agent to another."""

    workspace: Workspace
    frames: Frames
    if TYPE_CHECKING:  # made by the main screen
        drawing: Drawing
        memory: MemorySide

    def __init__(self) -> None:
        super().__init__()
        self.current = ""  # name of the agent shown
        self._shown: Agent | None = None
        self.grid_shown = False
        self.chats: dict[str, Conversation] = {}  # by agent id
        self._mounted = 0

    @property
    def conversation(self) -> Conversation:
        """The conversation of the agent shown."""
        return self.chats[self.workspace.get(self.current).id]

    async def show_agent(self, name: str) -> None:
        """Look at another agent."""
        agent = self.workspace.get(name)
        self.keep_draft()
        prompt = self.query_one(Prompt)
        switcher = self.query_one("#chats", ContentSwitcher)
        await self._have_chat(agent)
        self.current, self._shown = agent.name, agent
        self.grid_shown = prompt.grid = False
        self.workspace.arrange("grid", False)
        switcher.current = self.chats[agent.id].id
        self._drop_grid()
        prompt.set_draft(agent.draft)
        prompt.set_agent(agent)
        await self.workspace.focus(agent.name)
        self.drawing.behind.add("agents")
        self.drawing.flush()
        prompt.focus_input()

    async def _have_chat(self, agent: Agent) -> None:
        """Have a conversation for the agent, shown or not."""
        if agent.id in self.chats:
            return
        window = self.workspace.config.ui.history_window
        chat = Conversation(self.workspace, agent.name, frames=self.frames, window=window)
        # Of its own each time: an agent may come back while its old chat is being taken down.
        self._mounted += 1
        chat.id = f"chat-{self._mounted}"
        chat.display = False  # the switcher shows it when it is its turn
        self.chats[agent.id] = chat
        await self.query_one("#chats", ContentSwitcher).mount(chat)

    async def go_to(self, name: str, writes: bool = True) -> None:
        """To another agent: its chat, or in the grid its tile, which gets what is written.

        `writes`: the keys go to the prompt.
        """
        if not self.grid_shown:
            await self.show_agent(name)
            return
        agent, prompt = self.workspace.get(name), self.query_one(Prompt)
        await self._have_chat(agent)
        if agent is not self._shown:
            text = prompt.get_draft()
            if text and not agent.draft:  # the same text for somebody else
                if self._shown in self.workspace.agents:
                    self.workspace.set_draft(self._shown.name, "")
            else:
                self.keep_draft()
                prompt.set_draft(agent.draft)
        self.current, self._shown = agent.name, agent
        prompt.set_agent(agent)
        await self.workspace.focus(agent.name)
        for grid in self.query(ChatGrid):
            grid.show_tile(agent.name)
        self.drawing.behind.add("agents")
        self.drawing.flush()
        if writes:
            prompt.focus_input()

    def focus_prompt(self) -> None:
        """Keys to the prompt."""
        self.query_one(Prompt).focus_input()

    def elsewhere(self) -> str:
        """What has the keys, if it is not the prompt."""
        focused = self.focused
        if focused is None or any(isinstance(n, Prompt) for n in focused.ancestors_with_self):
            return ""
        if self.memory.focused:
            return "the memory"
        if isinstance(focused, Tile):
            return ""  # it says so itself, and what is typed is written here
        return "the conversation" if isinstance(focused, Transcript) else "the search"

    def write(self, text: str) -> None:
        """Go on in the prompt with what was typed elsewhere."""
        self.query_one(Prompt).write(text)

    def keep_draft(self) -> None:
        """Save what is typed for the agent shown."""
        if self._shown is not None and self._shown in self.workspace.agents:  # by whatever name
            self.workspace.set_draft(self._shown.name, self.query_one(Prompt).get_draft())

    def give_back(self, name: str, text: str) -> None:
        """What could not be sent is in the input again, before what was written since."""
        agent, prompt = self.workspace.get(name), self.query_one(Prompt)
        shown = agent is self._shown
        since = prompt.get_draft() if shown else agent.draft
        draft = f"{text}\n{since}" if since else text
        self.workspace.set_draft(name, draft)
        if shown:
            prompt.set_draft(draft)

    async def toggle_grid(self) -> None:
        """Several agents at once, or one conversation."""
        if self.grid_shown:
            await self.show_agent(self.current)
            return
        switcher = self.query_one("#chats", ContentSwitcher)
        prompt = self.query_one(Prompt)
        grid = ChatGrid(
            self.workspace,
            self.workspace.config.ui.grid_columns,
            self.frames,
            lambda: prompt.recipients,
        )
        self._mounted += 1
        grid.id = f"grid-{self._mounted}"
        self.grid_shown = prompt.grid = (
            True  # before waiting: the key may be pressed again meanwhile
        )
        self.workspace.arrange("grid", True)
        await switcher.mount(grid)
        if not self.grid_shown:
            return
        switcher.current = grid.id
        self.call_after_refresh(grid.show_tile, self.current)
        for agent in self.workspace.agents:
            self.workspace.mark_read(agent.name)
        self.drawing.behind.add("agents")

    def _drop_grid(self) -> None:
        for grid in self.query(ChatGrid):
            grid.remove()
