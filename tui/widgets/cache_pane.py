"""The cache pane: cell map, fill in total and per agent, and its history."""

from __future__ import annotations

from collections import deque

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from agents.workspace import Workspace
from tui.themes import KEPT, SHARED, agent_colour
from tui.widgets.cell_map import CellMap
from tui.widgets.marks import short

HISTORY = 180  # seconds


def bar(fraction: float, width: int) -> str:
    """A bar in eighths of a column."""
    eighths = round(max(0.0, min(1.0, fraction)) * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (" ▏▎▍▌▋▊▉"[rest] if rest else "")).ljust(width)


def history(shares: list[float], width: int) -> Text:
    """Fill over time as columns of two rows, always on the scale 0 to 1, newest at the right."""
    shown = ([0.0] * width + shares)[-width:]
    levels = [min(16, -(-int(share * 1600) // 100)) for share in shown]
    marks = "\u00a0▁▂▃▄▅▆▇█"  # a plain leading blank would be trimmed
    upper = "".join(marks[max(0, level - 8)] for level in levels)
    lower = "".join(marks[min(8, level)] for level in levels)
    return Text(f"{upper}\n{lower}", no_wrap=True)


class CachePane(Vertical):
    """Who holds which KV cells, and how full the cache is."""

    DEFAULT_CSS = """
    CachePane { height: 2fr; background: $surface; padding: 1 1 0 1; }
    CachePane > .heading { color: $text-muted; }
    CachePane > #fill { margin-bottom: 1; }
    CachePane > #legend { height: auto; margin-top: 1; }
    CachePane > #history { height: 2; color: $primary; }
    CachePane > #past { margin-top: 1; }
    """

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.workspace = workspace
        self._rows = 0  # agents in the legend
        self.history: deque[float] = deque([0.0] * HISTORY, maxlen=HISTORY)

    def compose(self) -> ComposeResult:
        yield Static("KV CELLS", classes="heading")
        yield Static(id="fill")
        yield CellMap()
        yield Static(id="legend")
        yield Static("fill over the last minutes", classes="heading", id="past")
        yield Static(id="history")

    def sample(self) -> None:
        """Add the present fill to the history (called at a steady rate)."""
        cache = self.workspace.cache
        self.history.append(cache.used / cache.total if cache and cache.total else 0.0)
        if self.is_on_screen:
            width = max(1, self.size.width - 2)
            self.query_one("#history", Static).update(
                history(list(self.history), width), layout=False
            )

    def draw(self) -> None:
        """Show the workspace's present cells."""
        cache = self.workspace.cache
        if cache is None:
            return
        names = self.workspace.names
        colours = {
            name: agent_colour(agent.spec.colour, i)
            for i, (name, agent) in enumerate(zip(names, self.workspace.agents, strict=True))
        }
        letters = {name: name[0].upper() for name in names}
        self.query_one(CellMap).show(cache, {**colours, "*": SHARED, "~": KEPT}, letters)
        width = max(10, self.size.width - 4)
        share = cache.used / cache.total if cache.total else 0.0
        fill = Text(no_wrap=True)
        fill.append(f"{short(cache.used)}/{short(cache.total)} used · {share:.0%}\n", "bold")
        style = "red" if share > 0.95 else "yellow" if share > 0.85 else "green"
        fill.append(bar(share, width), style)
        fill.append(f"\nattention reads up to {short(cache.highest)}", "dim")
        self.query_one("#fill", Static).update(fill, layout=not self._rows)
        legend = Text(no_wrap=True, overflow="ellipsis")
        for name in names:
            held = cache.cells.get(name, 0)
            part = held / cache.total if cache.total else 0.0
            legend.append(letters[name], f"bold reverse {colours[name]}")
            legend.append(f" {name[:11]:11} {short(held):>7} {part:4.0%}\n")
        legend.append("=", f"reverse {SHARED}")
        legend.append(f" {'shared':11} {short(cache.shared):>7}\n", "dim")
        legend.append("~", f"reverse {KEPT}")
        legend.append(f" {'kept prefix':11} {short(cache.kept):>7}", "dim")
        # Laying out the whole screen for each new map would cost more than the map.
        self.query_one("#legend", Static).update(legend, layout=len(names) != self._rows)
        self._rows = len(names)
