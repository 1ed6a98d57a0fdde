"""The grid: what several agents are saying at once, a tile each.

A tile shows the tail of its agent's last answer as plain lines, so that eight of them at full
speed cost no more than one conversation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from tui.widgets.chat.colours import author_style
from tui.widgets.chat.layout import wrap
from tui.widgets.chat.markdown import clean
from tui.widgets.chat.message import waiting

if TYPE_CHECKING:
    from agents.agent import Agent
    from agents.workspace import Workspace

SMALLEST_TILE = (28, 6)
MARKS = {"idle": "·", "queued": "◌", "prefill": "◔", "thinking": "◑", "decode": "●", "error": "✗"}


class Tile(Widget, can_focus=True):
    """One agent: who and how fast, what it was asked, and the end of what it says."""

    DEFAULT_CSS = """
    Tile {
        border: round $foreground 25%;
        padding: 0 1;
        background: $background;
        height: 1fr;
        width: 1fr;

        &:hover { border: round $foreground-muted; }
        &:focus { border: heavy $primary; }
        &.-busy { border: round $primary 60%; }
        &.-busy:focus { border: heavy $primary; }
        &.-error { border: round $error; }
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,space", "choose", "Open"),
        Binding("left,up", "step(-1)", "Previous", show=False),
        Binding("right,down", "step(1)", "Next", show=False),
    ]

    def __init__(self, workspace: Workspace, agent: Agent) -> None:
        super().__init__()
        self.workspace = workspace
        self.agent = agent
        self.shown: object = None  # what is drawn now

    def look(self) -> None:
        """Draw again if anything changed."""
        agent = self.agent
        state = agent.state
        turn = agent.turns[-1] if agent.turns else None
        now = (
            agent.name, state.kind, round(state.tok_s), state.cells, state.done, state.unread,
            len(agent.queue), turn and turn.id, turn and turn.status, turn and len(turn.text),
            turn and len(turn.thinking), self.size,
        )  # fmt: skip
        if now == self.shown:
            return
        self.shown = now
        busy = state.kind not in ("idle", "error")
        self.set_class(busy, "-busy")
        self.set_class(state.kind == "error", "-error")
        self._draw_border()
        self.refresh()

    def _draw_border(self) -> None:
        agent, state = self.agent, self.agent.state
        style = author_style(self.app, self.workspace, agent.name)
        style = "bold $text-primary" if style.startswith(".") else style
        title = Content.styled(f"{MARKS[state.kind]} {agent.name}", style)
        if state.unread:
            title = title + Content.styled(" new", "bold $text-accent")
        self.border_title = title.markup
        words = {"idle": "idle", "queued": "queued", "thinking": "thinking", "error": "error"}
        doing = words.get(state.kind, "")
        if state.kind == "prefill":
            doing = f"reading {100 * state.done // max(1, state.total)} %"
        elif state.kind == "decode":
            doing = f"{state.tok_s:.0f} tok/s" if state.tok_s else "answering"
        parts = [doing]
        if state.cells:
            parts.append(f"{state.cells:,} cells")
        if agent.queue:
            parts.append(f"{len(agent.queue)} waiting")
        self.border_subtitle = " · ".join(filter(None, parts))

    def render(self) -> Content:
        width, height = self.content_size
        if not width or not height:
            return Content.empty()
        return Content("\n").join(self._lines(width, height))

    def _lines(self, width: int, height: int) -> list[Content]:
        """The newest lines that fit: the last answer, and before it what was asked."""
        dim = "$foreground-muted"
        lines: list[Content] = []
        for turn in reversed(self.agent.turns):
            part: list[Content] = []
            if turn.role == "assistant":
                if turn.status == "waiting":
                    part = [Content.styled(waiting(self.agent.state), dim)]
                elif not turn.text and turn.thinking:
                    part = [
                        Content.styled("thinking…", dim + " italic"),
                        *(c.stylize(dim) for c in tail(turn.thinking, width, height)),
                    ]
                else:
                    part = tail(turn.text, width, height)
                    if turn.status == "streaming":
                        part = part or [Content.empty()]
                        if part[-1].cell_length < width:
                            part[-1] = part[-1] + Content.styled("▍", "$text-accent")
                    elif turn.status in ("cancelled", "error", "length"):
                        said = {"cancelled": "■ stopped", "length": "✂ cut"}
                        word = said.get(turn.status, f"✗ {turn.detail or 'failed'}")
                        part.append(
                            Content.styled(word, "$text-warning").truncate(width, ellipsis=True)
                        )
            elif turn.role == "user":
                who = "you" if turn.author in ("", "you") else turn.author
                words = f"{who}: {' '.join(clean(turn.text[:400]).split())}"
                part = [Content(words).truncate(width, ellipsis=True).stylize(f"{dim} italic")]
            lines = [*part, *lines]
            if len(lines) >= height or (turn.role == "user" and len(lines) >= height - 2):
                break
        if not lines:
            lines = [Content.styled("nothing said yet", dim)]
        return lines[-height:]

    def on_click(self) -> None:
        self.action_choose()

    def action_choose(self) -> None:
        self.post_message(ChatGrid.Selected(self.agent.name))

    def action_step(self, step: int) -> None:
        (self.screen.focus_next if step > 0 else self.screen.focus_previous)(Tile)


def tail(text: str, width: int, height: int) -> list[Content]:
    """The last `height` lines of a text wrapped at `width`; costs no more for a long text."""
    end = clean(text[-(width * height + 200) :])
    lines: list[Content] = []
    for line in reversed(end.rstrip("\n").split("\n")):
        pieces = [piece for _, piece in wrap(Content(line.expandtabs(4)), width)]
        lines = pieces + lines
        if len(lines) >= height:
            break
    return lines[-height:]


class ChatGrid(Widget):
    """Tiles of all agents, in as many columns as fit."""

    DEFAULT_CSS = """
    ChatGrid {
        layout: grid;
        width: 1fr;
        height: 1fr;
        overflow-y: auto;
        background: $background;
    }
    """

    class Selected(Message):
        """A tile was chosen: show that agent."""

        def __init__(self, agent: str) -> None:
            super().__init__()
            self.agent = agent

    def __init__(self, workspace: Workspace, columns: int = 0, **kwargs: object) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]
        self.workspace = workspace
        self.columns = columns or workspace.config.ui.grid_columns
        self._shape: object = None

    def compose(self) -> ComposeResult:
        for agent in self.workspace.agents:
            yield Tile(self.workspace, agent)

    def on_mount(self) -> None:
        self.set_interval(1 / max(1, self.workspace.config.ui.markdown_fps), self.look)
        self.look()

    def look(self) -> None:
        """Bring all tiles up to date; nothing is done while the grid is out of sight."""
        if not self.is_on_screen:
            return
        tiles = list(self.query(Tile))
        if [tile.agent for tile in tiles] != self.workspace.agents:
            self.run_worker(self._rebuild(), group="tiles", exclusive=True)
            return
        self._arrange(len(tiles))
        with self.app.batch_update():
            for tile in tiles:
                tile.look()

    async def _rebuild(self) -> None:
        """The list of agents changed: keep the tiles that stay."""
        agents = self.workspace.agents
        known = {tile.agent.id: tile for tile in self.query(Tile)}
        for agent_id, tile in known.items():
            if all(agent.id != agent_id for agent in agents):
                await tile.remove()
        for agent in agents:
            if agent.id not in known:
                await self.mount(Tile(self.workspace, agent))
        order = {agent.id: index for index, agent in enumerate(agents)}
        self.sort_children(
            key=lambda tile: order.get(tile.agent.id, 0) if isinstance(tile, Tile) else 0
        )
        self._shape = None
        self.look()

    def on_resize(self, event: events.Resize) -> None:
        self._arrange(len(self.query(Tile)))

    def _arrange(self, count: int) -> None:
        """Columns and row height for this size: tiles as square as text likes them."""
        width, height = self.size
        shape = (count, width, height)
        if not count or not width or not height or shape == self._shape:
            return
        self._shape = shape
        most = max(1, min(count, width // SMALLEST_TILE[0]))
        columns = min(self.columns, count) if self.columns else best_columns(count, most, height)
        rows = -(-count // columns)
        self.styles.grid_size_columns = columns
        self.styles.grid_size_rows = rows
        if rows * SMALLEST_TILE[1] > height:
            self.styles.grid_rows = str(SMALLEST_TILE[1])
        else:
            self.styles.grid_rows = "1fr"


def best_columns(count: int, most: int, height: int) -> int:
    """As few columns as still give every tile a readable height, without empty places."""
    for columns in range(1, most + 1):
        rows = -(-count // columns)
        if rows * SMALLEST_TILE[1] * 2 <= height and rows * columns - count < columns:
            return columns
    return most
