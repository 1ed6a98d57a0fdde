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
from engine.protocol import Away
from tui.themes import agent_colour, solid
from tui.widgets.chat.colours import readable
from tui.widgets.compaction_words import SQUEEZE, doing_now
from tui.widgets.marks import MARKS, bar, doing, short, waits_for_cells
from tui.widgets.session_words import ASIDE, PINNED, aside


class AgentSelected(Message):
    """A person chose an agent."""

    def __init__(self, agent: str) -> None:
        super().__init__()
        self.agent = agent


def row_text(
    agent: Agent, index: int, width: int, ground: str = "#000000", away: Away | None = None
) -> Text:
    """Two lines: number, mark, name, news and cells; then what the agent does.

    `away`: its cells, when they are out of the cache.
    """
    state = agent.state
    colour = readable(agent_colour(agent.spec.colour, index), ground)
    number = f"{index + 1} " if index < 9 else "  "
    cells = short(state.cells) if state.cells else ""
    news = (" ✉" if state.unread else "") + (f" +{len(agent.queue)}" if agent.queue else "")
    news += f" {SQUEEZE}" if agent.compaction else ""
    news += f" {PINNED}" if agent.pinned else ""
    room = max(3, width - len(number) - 2 - len(news) - len(cells) - 1)
    name = agent.name if len(agent.name) <= room else agent.name[: room - 1] + "…"
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(number, "dim")
    line.append(f"{ASIDE if away and state.kind == 'idle' else MARKS[state.kind]} ", colour)
    line.append(name, f"bold {colour}")
    line.append(news, "bold")
    line.append(" " * max(1, width - line.cell_len - len(cells)))
    line.append(cells, "dim")
    line.append("\n    ")
    waits = waits_for_cells(state)
    if state.kind == "prefill" and state.total and not waits:
        line.append("prefill ")
        line.append(bar(state.done / state.total, max(3, width - 18)), colour)
        line.append(f" {100 * state.done // state.total}%")
    elif agent.compaction and (not agent.busy or state.kind == "decode" or waits):
        line.append(doing_now(agent.compaction))
    elif away and state.kind == "idle":
        line.append(aside(away, width - 4), "dim")
    else:
        line.append(doing(agent), "" if agent.busy else "dim")
    return line


class AgentRow(Static):
    """One agent in two lines."""

    DEFAULT_CSS = """
    AgentRow { height: 2; padding: 0 1; border-left: blank; }
    AgentRow.-focused { background: $panel; border-left: thick $accent; }
    AgentRow:hover { background: $panel; }
    """

    def __init__(self, agent: Agent, index: int) -> None:
        super().__init__(markup=False)
        self.agent, self.index = agent, index
        self._line = Text()  # as drawn

    def draw(self, focused: bool, away: Away | None = None) -> None:
        """Show the agent's state now; nothing is repainted when nothing changed."""
        self.set_class(focused, "-focused")
        ground = solid(self.app, "panel", "#000000")
        line = row_text(self.agent, self.index, max(12, self.size.width), ground, away)
        if line == self._line:
            return  # most rows are the same most of the time, and drawing is what costs
        self._line = line
        self.update(line, layout=False)
        self.tooltip = self.agent.state.reason or None

    def on_click(self) -> None:
        self.post_message(AgentSelected(self.agent.name))


class AgentList(VerticalScroll):
    """All agents, top to bottom."""

    can_focus = False
    DEFAULT_CSS = """
    AgentList { width: 25; height: 1fr; background: $surface; padding: 1 0;
                scrollbar-size-vertical: 1; }
    AgentList > .heading { color: $text-muted; padding: 0 1; margin-bottom: 1; }
    AgentList > .hint { color: $text-muted; padding: 1 1; }
    """

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.workspace = workspace

    def compose(self) -> ComposeResult:
        yield Static("AGENTS · cells", classes="heading")
        yield from (AgentRow(a, i) for i, a in enumerate(self.workspace.agents))
        yield Static("Alt+1…9 goes there\n@name asks one\n@all asks everyone", classes="hint")

    def on_resize(self) -> None:
        self.call_after_refresh(self.refresh_rows)  # rows are as wide as the list then

    async def sync(self) -> None:
        """Have a row for each agent of the workspace, in its order; rows are made anew only then."""
        wanted = self.workspace.agents
        rows = list(self.query(AgentRow))
        if [row.agent for row in rows] != wanted:
            async with self.batch():
                await self.query(AgentRow).remove()
                made = [AgentRow(agent, i) for i, agent in enumerate(wanted)]
                await self.mount(*made, before=self.query_one(".hint"))
        self.call_after_refresh(self.refresh_rows)
        self.refresh_rows()

    def refresh_rows(self) -> None:
        """Show all states now."""
        away = self.workspace.cache.away if self.workspace.cache else {}
        for row in self.query(AgentRow):
            focused = row.agent.name == self.workspace.focused
            if focused and not row.has_class("-focused"):
                row.scroll_visible(animate=False)
            row.draw(focused, away.get(row.agent.name))


class AgentTabs(Widget):
    """All agents in one line; when they do not fit, those around the focused one."""

    DEFAULT_CSS = "AgentTabs { height: 1; background: $surface; }"

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.workspace = workspace
        self._spans: list[tuple[int, int, str]] = []

    def _tab(self, agent: Agent, index: int) -> Text:
        state = agent.state
        cache = self.workspace.cache
        away = state.kind == "idle" and cache is not None and agent.name in cache.away
        mark = "✉" if state.unread else ASIDE if away else MARKS[state.kind]
        label = f" {mark} {agent.name}"
        if state.kind == "prefill" and state.total:
            label += f" {100 * state.done // state.total}%"
        elif state.kind in ("decode", "thinking") and state.tok_s:
            label += f" {state.tok_s:.0f}/s"
        if agent.queue:
            label += f" +{len(agent.queue)}"
        if agent.compaction:
            label += f" {SQUEEZE}"
        if agent.pinned:
            label += f" {PINNED}"
        ground = solid(self.app, "surface", "#000000")
        colour = readable(agent_colour(agent.spec.colour, index), ground)
        focused = agent.name == self.workspace.focused
        return Text(label + " ", f"bold {colour} reverse" if focused else colour)

    def render(self) -> Text:
        agents = self.workspace.agents
        tabs = [self._tab(agent, i) for i, agent in enumerate(agents)]
        focus = next((i for i, a in enumerate(agents) if a.name == self.workspace.focused), 0)
        first = last = min(focus, max(0, len(tabs) - 1))
        room = self.size.width - 4 - (tabs[focus].cell_len if tabs else 0)
        while True:  # take neighbours in turn while they fit
            if last + 1 < len(tabs) and tabs[last + 1].cell_len <= room:
                last += 1
                room -= tabs[last].cell_len
            elif first > 0 and tabs[first - 1].cell_len <= room:
                first -= 1
                room -= tabs[first].cell_len
            else:
                break
        line = Text(no_wrap=True)
        line.append("‹ " if first > 0 else "", "dim")
        self._spans = []
        for agent, tab in list(zip(agents, tabs, strict=True))[first : last + 1]:
            start = line.cell_len
            line.append_text(tab)
            self._spans.append((start, line.cell_len, agent.name))
        if last + 1 < len(tabs):
            line.append(" ›", "dim")
        hint = f"Alt+1…{min(9, len(agents))} goes there "
        room = self.size.width - line.cell_len - len(hint)
        if len(agents) > 1 and room > 1 and last - first + 1 == len(agents):
            line.append(" " * room + hint, "dim")
        return line

    def on_click(self, event: events.Click) -> None:
        for start, end, name in self._spans:
            if start <= event.x < end:
                self.post_message(AgentSelected(name))
