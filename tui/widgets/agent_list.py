"""The list of agents with their states, and its one-line form for narrow terminals."""

from __future__ import annotations

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from agents.agent import Agent
from agents.workspace import Workspace
from tui.themes import agent_colour
from tui.widgets.marks import MARKS, doing, short


class AgentSelected(Message):
    """A person chose an agent."""

    def __init__(self, agent: str) -> None:
        super().__init__()
        self.agent = agent


class AgentRow(Static):
    """One agent in two lines."""

    DEFAULT_CSS = """
    AgentRow { height: 2; padding: 0 1; border-left: blank; }
    AgentRow.-focused { background: $panel; border-left: thick $accent; }
    AgentRow:hover { background: $panel; }
    """

    def __init__(self, agent: Agent, index: int) -> None:
        super().__init__()
        self.agent, self.index = agent, index
        self._line = Text()  # as drawn

    def draw(self, focused: bool, total: int) -> None:
        """Show the agent's state now; `total` = cells of the engine."""
        agent, state = self.agent, self.agent.state
        colour = agent_colour(agent.spec.colour, self.index)
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append(f"{MARKS[state.kind]} ", colour)
        line.append(agent.name, f"bold {colour}")
        if state.unread:
            line.append(" ✉", "bold")
        if agent.queue:
            line.append(f" +{len(agent.queue)}", "bold")
        line.append("\n  ")
        line.append(doing(agent), "" if agent.busy else "dim")
        if state.cells:
            line.append(f" · {short(state.cells)} cells", "dim")
        self.set_class(focused, "-focused")
        if line == self._line:
            return  # most rows are the same most of the time, and drawing is what costs
        self._line = line
        self.update(line, layout=False)
        self.tooltip = state.reason or None

    def on_click(self) -> None:
        self.post_message(AgentSelected(self.agent.name))


class AgentList(VerticalScroll):
    """All agents, top to bottom."""

    can_focus = False
    DEFAULT_CSS = """
    AgentList { width: 25; height: 1fr; background: $surface; padding: 1 0; scrollbar-size-vertical: 1; }
    AgentList > .heading { color: $text-muted; padding: 0 1; margin-bottom: 1; }
    AgentList > .hint { color: $text-muted; padding: 1 1; }
    """

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.workspace = workspace

    def compose(self) -> ComposeResult:
        yield Static("AGENTS", classes="heading")
        yield from (AgentRow(a, i) for i, a in enumerate(self.workspace.agents))
        yield Static("^N new · F2 edit", classes="hint")

    async def rebuild(self) -> None:
        """The roster changed: rows anew."""
        await self.query(AgentRow).remove()
        rows = [AgentRow(a, i) for i, a in enumerate(self.workspace.agents)]
        await self.mount(*rows, before=self.query_one(".hint"))
        self.refresh_rows()

    def refresh_rows(self) -> None:
        """Show all states now."""
        total = self.workspace.ready.n_ctx if self.workspace.ready else 0
        for row in self.query(AgentRow):
            row.draw(row.agent.name == self.workspace.focused, total)


class AgentTabs(Widget):
    """All agents in one line."""

    DEFAULT_CSS = "AgentTabs { height: 1; background: $surface; }"

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.workspace = workspace
        self._spans: list[tuple[int, int, str]] = []

    def render(self) -> Text:
        line = Text(no_wrap=True, overflow="ellipsis")
        self._spans = []
        for i, agent in enumerate(self.workspace.agents):
            colour = agent_colour(agent.spec.colour, i)
            focused = agent.name == self.workspace.focused
            start = line.cell_len
            mark = "✉" if agent.state.unread else MARKS[agent.state.kind]
            label = f" {mark} {agent.name}"
            if agent.state.kind == "prefill" and agent.state.total:
                label += f" {100 * agent.state.done // agent.state.total}%"
            elif agent.state.kind in ("decode", "thinking") and agent.state.tok_s:
                label += f" {agent.state.tok_s:.0f}/s"
            if agent.queue:
                label += f" +{len(agent.queue)}"
            line.append(label + " ", f"bold {colour} reverse" if focused else colour)
            self._spans.append((start, line.cell_len, agent.name))
        return line

    def on_click(self, event: events.Click) -> None:
        for start, end, name in self._spans:
            if start <= event.x < end:
                self.post_message(AgentSelected(name))
