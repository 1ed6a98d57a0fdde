"""The grid: what several agents are saying at once, a tile each.

A tile shows the tail of its agent's last answer as plain lines and draws its frame itself: eight
of them at full speed have to cost no more than one conversation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style as RichStyle
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.style import Style
from textual.widget import Widget

from agents import calling
from tui.frames import Frames
from tui.widgets.chat.colours import author_style
from tui.widgets.chat.markdown import clean
from tui.widgets.chat.message import waiting
from tui.widgets.chat.tile_text import Fences, markdown_tail, tail
from tui.widgets.plain_lines import PlainLines

if TYPE_CHECKING:
    from agents.agent import Agent
    from agents.events import Turn
    from agents.workspace import Workspace

SMALLEST_TILE = (28, 6)
MARKS = {
    "idle": "○",
    "queued": "◌",
    "prefill": "◔",
    "thinking": "◑",
    "decode": "●",
    "tool": "⚙",
    "error": "✗",
}
ROUND, HEAVY = "╭─╮│╰╯", "┏━┓┃┗┛"
HERE = "you write here"  # on the tile that the prompt goes to
OPENS = "Enter opens it"  # on the one that has the keys
Row = list[tuple[str, str]]  # text and style, left to right


class Tile(PlainLines, can_focus=True):
    """One agent: who and how fast, what it was asked, and the end of what it says."""

    DEFAULT_CSS = """
    Tile {
        background: $background;
        color: $foreground;
        height: 1fr;
        width: 1fr;

        & > .tile--text { color: $foreground; }
        & > .tile--dim { color: $foreground-muted; }
        & > .tile--asked { color: $foreground-muted; text-style: italic; }
        & > .tile--cursor { color: $text-accent; }
        & > .tile--new { color: $text-accent; text-style: bold; }
        & > .tile--fault { color: $text-warning; }
        & > .tile--frame { color: $foreground 35%; }
        & > .tile--frame-busy { color: $primary 70%; }
        & > .tile--frame-hover { color: $foreground-muted; }
        & > .tile--frame-focus { color: $accent; text-style: bold; }
        & > .tile--frame-here { color: $primary; text-style: bold; }
    }
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "tile--text", "tile--dim", "tile--asked", "tile--cursor", "tile--new", "tile--fault",
        "tile--frame", "tile--frame-busy", "tile--frame-hover", "tile--frame-focus",
        "tile--frame-here",
    }  # fmt: skip

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,space", "choose", "Open"),
        Binding("left,up", "step(-1)", "Previous", show=False),
        Binding("right,down", "step(1)", "Next", show=False),
    ]

    def __init__(
        self, workspace: Workspace, agent: Agent, addressed: Callable[[], Sequence[str]]
    ) -> None:
        super().__init__()
        self.workspace = workspace
        self.agent = agent
        self.addressed = addressed
        self.here = False  # what is written goes to this one
        self._shown: object = None  # what is drawn now
        self._fences, self._fences_of = Fences(), ""  # of a turn
        self._rows: list[Row] = []
        self._strips: list[Strip] = []
        self._styles: dict[str, RichStyle] = {}

    # --- what is shown ---------------------------------------------------------------------------

    def look(self) -> None:
        """Draw again what has changed."""
        agent = self.agent
        state = agent.state
        turn = agent.turns[-1] if agent.turns else None
        self.here = agent.name in self.addressed()
        now = (
            agent.name, self.here, state.kind, round(state.tok_s), state.cells, state.done, state.unread,
            len(agent.queue), turn and turn.id, turn and turn.status, turn and len(turn.text),
            turn and len(turn.thinking), turn and [call.status for call in turn.calls], self.size, self.has_focus, self.mouse_hover,
        )  # fmt: skip
        if now == self._shown:
            return
        self._shown = now
        width, height = self.size
        if width < 8 or height < 3:
            return
        side = self._marks[3]
        rows = [
            self._top(width),
            *([(side, self._frame), (" ", ""), *row, (side, self._frame)]
              for row in self._body(width - 4, height - 2)),
            self._bottom(width),
        ]  # fmt: skip
        if len(rows) != len(self._rows):
            self._rows, self._strips = rows, [self._strip(row, width) for row in rows]
            self.refresh()
            return
        for y, (old, new) in enumerate(zip(self._rows, rows, strict=True)):
            if old != new:
                self._strips[y] = self._strip(new, width)
                self.refresh(Region(0, y, width, 1))
        self._rows = rows

    @property
    def _marks(self) -> str:
        """What the frame is drawn of: its weight tells without colour whom one writes to."""
        return HEAVY if self.here or self.has_focus else ROUND

    @property
    def _frame(self) -> str:
        """Style of the frame."""
        if self.has_focus:
            return "tile--frame-focus"
        if self.here:
            return "tile--frame-here"
        if self.mouse_hover:
            return "tile--frame-hover"
        return "tile--frame-busy" if self.agent.busy else "tile--frame"

    def _top(self, width: int) -> Row:
        agent, state = self.agent, self.agent.state
        left, line, right = tuple(self._marks[:3])
        name = set_cell_size(agent.name, min(cell_len(agent.name), max(1, width - 12)))
        title: Row = [("❯ ", self._frame)] if self.here else []
        title.append((f"{MARKS[state.kind]} {name}", "name"))
        if state.unread and width > 24:
            title.append((" ✉", "tile--new"))
        used = sum(cell_len(text) for text, _ in title)
        said = OPENS if self.has_focus else HERE if self.here else ""
        if used + len(said) + 9 > width:
            said = ""
        rule = line * max(0, width - used - 5 - (len(said) + 3 if said else 0))
        end = f"{rule} {said} {line}" if said else rule
        return [(left + line + " ", self._frame), *title, (f" {end}{right}", self._frame)]

    def _bottom(self, width: int) -> Row:
        line, left, right = (self._marks[n] for n in (1, 4, 5))
        words = self._doing()
        if cell_len(words) > width - 6:
            words = words.partition(" · ")[0][: max(0, width - 6)]
        rule = line * max(0, width - cell_len(words) - 5)
        return [
            (left + rule + " ", self._frame),
            (words, "tile--dim"),
            (" " + line + right, self._frame),
        ]

    def _doing(self) -> str:
        """State in words, cells, and prompts that wait."""
        state = self.agent.state
        words = {"idle": "idle", "queued": "queued", "thinking": "thinking", "error": "error"}
        words["tool"] = "at a tool"
        doing = words.get(state.kind, "")
        if state.kind == "prefill":
            doing = f"reading {100 * state.done // max(1, state.total)} %"
        elif state.kind == "decode":
            doing = f"{state.tok_s:.0f} tok/s" if state.tok_s else "answering"
        parts = [doing]
        if state.cells:
            parts.append(f"{state.cells:,} cells")
        if self.agent.queue:
            parts.append(f"{len(self.agent.queue)} waiting")
        return " · ".join(filter(None, parts))

    def _body(self, width: int, height: int) -> list[Row]:
        """The newest lines that fit: the last answer, and before it what was asked."""
        rows: list[Row] = []
        for turn in reversed(self.agent.turns):
            part: list[Row] = []
            if turn.role == "assistant":
                if turn.status == "waiting":
                    part = [[(waiting(self.agent.state), "tile--dim")]]
                elif turn.calls and len(turn.text) <= turn.calls[-1].at:
                    line = f"⚙ {calling.words(turn.calls[-1])}"
                    part = [[(line, "tile--dim")] for line in tail(line, width, height)]
                elif not turn.text and turn.thinking:
                    part = [[("thinking…", "tile--asked")]]
                    part += [[(line, "tile--dim")] for line in tail(turn.thinking, width, height)]
                else:
                    part = [[(line, "tile--text")] for line in self._said(turn, width, height)]
                if turn.status == "streaming":
                    part = part or [[]]
                    if sum(cell_len(text) for text, _ in part[-1]) < width:
                        part[-1].append(("▍", "tile--cursor"))
                elif turn.status in ("cancelled", "error", "length", "loop"):
                    words = {"cancelled": "■ stopped", "length": "✂ cut", "loop": "✂ repeats"}
                    fault = words.get(turn.status) or f"✗ {clean(turn.detail) or 'failed'}"
                    part.append([(fault, "tile--fault")])
            elif turn.role == "user":
                who = "you" if turn.author in ("", "you") else turn.author
                part = [[(f"{who}: {' '.join(clean(turn.text[:400]).split())}", "tile--asked")]]
            rows = [*part, *rows]
            if len(rows) >= height or (turn.role == "user" and len(rows) >= height - 2):
                break
        rows = (rows or [[("nothing said yet", "tile--dim")]])[-height:]
        return [_fit(row, width) for row in rows + [[] for _ in range(height - len(rows))]]

    def _said(self, turn: Turn, width: int, height: int) -> list[str]:
        """The end of what an answer says."""
        if turn.id != self._fences_of:
            self._fences, self._fences_of = Fences(), turn.id
        return markdown_tail(turn.text, width, height, self._fences)

    # --- drawing ---------------------------------------------------------------------------------

    def _strip(self, row: Row, width: int) -> Strip:
        return Strip([Segment(text, self._rich(name)) for text, name in row], width)

    def _rich(self, name: str) -> RichStyle:
        known = self._styles.get(name)
        if known is None:
            base = self.visual_style
            if name == "name":
                style = author_style(self.app, self.workspace, self.agent.name)
                known = (base + Style.parse(style)).rich_style
            else:
                known = (self.get_visual_style(name) if name else base).rich_style
            self._styles[name] = known
        return known

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles.clear()
        self._rows = []
        self._shown = None

    def render_line(self, y: int) -> Strip:
        if y < len(self._strips):
            return self._strips[y]
        return Strip.blank(self.size.width, self._rich(""))

    def on_resize(self) -> None:
        self.look()

    def on_focus(self) -> None:
        self.look()
        self.post_message(ChatGrid.Selected(self.agent.name))

    def on_blur(self) -> None:
        self.look()

    def on_enter(self) -> None:
        self.look()

    def on_leave(self) -> None:
        self.look()

    def on_click(self, event: events.Click) -> None:
        self.post_message(ChatGrid.Selected(self.agent.name, opens=event.chain > 1, writes=True))

    def on_key(self, event: events.Key) -> None:
        """What is typed on a tile is written to its agent."""
        if event.is_printable and event.character and event.character != " ":
            event.stop()
            self.post_message(ChatGrid.Typed(event.character))

    def action_choose(self) -> None:
        self.post_message(ChatGrid.Selected(self.agent.name, opens=True))

    def action_step(self, step: int) -> None:
        (self.screen.focus_next if step > 0 else self.screen.focus_previous)(Tile)


def _fit(row: Row, width: int) -> Row:
    """The row cut or filled to exactly `width` cells and a blank."""
    out: Row = []
    room = width
    for text, style in row:
        size = cell_len(text)
        if size > room:
            text = set_cell_size(text, max(0, room - 1)) + "…" if room else ""
            size = room
        out.append((text, style))
        room -= size
    out.append((" " * (room + 1), ""))
    return out


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
        """A tile was chosen: what is written goes to that agent, or (`opens`) show its chat.

        `writes`: the keys go to the prompt.
        """

        def __init__(self, agent: str, opens: bool = False, writes: bool = False) -> None:
            super().__init__()
            self.agent, self.opens, self.writes = agent, opens, writes

    class Typed(Message):
        """A letter was typed while a tile had the keys."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(
        self,
        workspace: Workspace,
        columns: int = 0,
        frames: Frames | None = None,
        addressed: Callable[[], Sequence[str]] = tuple,
        **kwargs: object,
    ) -> None:
        """`frames`: when tiles are drawn; None = as configured. `addressed`: names of the agents
        that what is written goes to."""
        super().__init__(**kwargs)  # type: ignore[arg-type]
        self.workspace = workspace
        self._frames = frames or Frames(workspace.config.ui.markdown_fps)
        self.addressed = addressed
        self.columns = columns or workspace.config.ui.grid_columns
        self._shape: object = None
        self._rebuilding = False

    def compose(self) -> ComposeResult:
        for agent in self.workspace.agents:
            yield Tile(self.workspace, agent, self.addressed)

    def on_mount(self) -> None:
        self._tick()

    def _tick(self) -> None:
        self.look()
        if not self._frames.driven:
            self.set_timer(self._frames.wait(), self._tick)

    def look(self) -> None:
        """Bring all tiles up to date; nothing is done while the grid is out of sight."""
        if not self.is_on_screen:
            return
        tiles = list(self.query(Tile))
        if [tile.agent for tile in tiles] != self.workspace.agents:
            if not self._rebuilding:
                # Never cancelled: a removal that is cut off leaves widgets that cannot be closed.
                self._rebuilding = True
                self.run_worker(self._rebuild, group="tiles")  # type: ignore[arg-type]
            return
        self._arrange(len(tiles))
        with self.app.batch_update():
            for tile in tiles:
                tile.look()

    def show_tile(self, name: str) -> None:
        """Scroll to an agent's tile."""
        for tile in self.query(Tile):
            if tile.agent.name == name:
                tile.scroll_visible(animate=False)

    async def _rebuild(self) -> None:
        """The list of agents changed: keep the tiles that stay."""
        agents = self.workspace.agents
        # Not by their ids: an agent that was closed and came back has the same, and is another.
        for tile in self.query(Tile):
            if all(agent is not tile.agent for agent in agents):
                await tile.remove()
        shown = [tile.agent for tile in self.query(Tile)]
        for agent in agents:
            if all(agent is not other for other in shown):
                await self.mount(Tile(self.workspace, agent, self.addressed))
        order = {agent.id: index for index, agent in enumerate(agents)}
        self.sort_children(
            key=lambda tile: order.get(tile.agent.id, 0) if isinstance(tile, Tile) else 0
        )
        self._shape = None
        self._rebuilding = False
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
