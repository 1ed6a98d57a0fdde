"""The cache pane: cell map, fill in total and for each agent, and its history."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

import numpy as np
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from agents.workspace import Workspace
from engine.protocol import CacheMap
from tui.themes import KEPT, SHARED, agent_colour, solid
from tui.widgets.cell_looks import TEXTURE
from tui.widgets.cell_map import HIGHEST, CellMap
from tui.widgets.chat.colours import readable
from tui.widgets.compaction_words import kept, progress
from tui.widgets.marks import KEPT_LETTER, SHARED_LETTER, bar, letters, short
from tui.widgets.session_words import ASIDE, PINNED, aside, size

COMPACTED = "▾"
HISTORY = 180  # seconds
PAST = f"fill, {HISTORY // 60} minutes"
NAME = 11  # columns of a name in the legend


def history(shares: list[float], width: int, marked: Sequence[bool] = ()) -> Text:
    """Fill over time as columns of two rows, always on the scale 0 to 1, newest at the right.

    A ▾ stands above the seconds that are `marked`: something was compacted in them.
    """
    shown = ([0.0] * width + shares)[-width:]
    levels = [min(16, -(-int(share * 1600) // 100)) for share in shown]
    marks = "\u00a0▁▂▃▄▅▆▇█"  # a plain leading blank would be trimmed
    upper = "".join(marks[max(0, level - 8)] for level in levels)
    lower = "".join(marks[min(8, level)] for level in levels)
    signs = ([False] * width + list(marked))[-width:]
    text = Text(no_wrap=True)
    for mark, sign in zip(upper, signs, strict=True):
        text.append(COMPACTED if sign else mark, "bold reverse" if sign and mark == "█" else "")
    return text.append(f"\n{lower}")


def fill_text(cache: CacheMap, width: int) -> Text:
    """How full it is, as numbers and as a bar with words for what is nearly full."""
    share = cache.used / cache.total if cache.total else 0.0
    text = Text(no_wrap=True, overflow="ellipsis")
    word, style = (
        ("full", "bold red") if share > 0.95 else ("nearly full", "bold yellow")
        if share > 0.85 else ("", "green")
    )  # fmt: skip
    counts, said = f"{short(cache.used)}/{short(cache.total)}", f"  {word}" if word else ""
    # A line that is too long would be wrapped, and push out what attention reads.
    forms = (f"{counts} used · {share:.0%}", f"{counts} · {share:.0%}", counts, f"{share:.0%}")
    text.append(next((f for f in forms if len(f) + len(said) <= width), forms[-1]), "bold")
    text.append(f"{said}\n", style)
    text.append(bar(share, width), style)
    text.append(f"\n{HIGHEST} attention reads {short(cache.highest)}", "dim")
    return text


def legend_text(
    cache: CacheMap,
    colours: dict[str, str],
    signs: dict[str, str],
    rows: int,
    width: int,
    shared: str = SHARED,
    details: Mapping[str, str] | None = None,
    fitted_sign: str = TEXTURE,
) -> Text:
    """One line for each agent, those with most cells when there is no room for all.

    `details`: a second line for some, as far as there is room; one that runs goes first.
    """
    names = list(colours)
    hidden = 0
    if len(names) > rows:
        names = sorted(names, key=lambda n: -cache.cells.get(n, 0))[: max(1, rows - 1)]
        hidden = len(colours) - len(names)
    details = dict(details or {})
    left = max(1, rows - len(names))  # one is always told
    for name in [name for name in details if name in names][left:]:
        del details[name]
    text = Text(no_wrap=True, overflow="ellipsis")
    room = width - NAME - 18  # what is left for a bar
    for name in names:
        held = cache.cells.get(name, 0)
        share = held / cache.total if cache.total else 0.0
        text.append(f" {signs[name]} ", f"bold black on {colours[name]}")
        shown = f"{name[: NAME - 2]} {PINNED}" if name in cache.pinned else name[:NAME]
        text.append(f" {shown:{NAME}} {short(held):>7} {share:4.0%}")
        if room >= 4:
            text.append(f" {bar(share, room)}", colours[name])
        text.append("\n")
        if name in details:
            text.append(f"   {details[name]}\n", "dim")
    if hidden:
        text.append(f"    and {hidden} more\n", "dim")
    for sign, label, count, colour in (
        (SHARED_LETTER, "shared", cache.shared, shared),
        (KEPT_LETTER, "kept prefix", cache.kept, KEPT),
    ):
        text.append(f" {sign} ", f"bold {readable('#000000', colour)} on {colour}")
        text.append(f" {label:{NAME}} {short(count):>7}\n", "dim")
    if cache.compacted:
        fitted = sum(stretch.length for stretch in cache.compacted)
        text.append(f" {fitted_sign}  {'fitted':{NAME}} {short(fitted):>7}\n", "dim")
    if cache.away:
        cells = sum(away.cells for away in cache.away.values())
        held = sum(away.bytes for away in cache.away.values())
        text.append(f" {ASIDE}  {'aside':{NAME}} {short(cells):>7} {size(held):>8}\n", "dim")
    text.rstrip()
    return text


def solved_for(cache: CacheMap) -> str:
    """Whose cells are being solved; "" when nobody's alone."""
    codes = np.frombuffer(cache.runs.codes, np.uint16)
    ends = np.cumsum(np.frombuffer(cache.runs.lengths, np.uint32))
    for stretch in cache.solving:
        first, last = np.searchsorted(
            ends, (stretch.start, stretch.start + stretch.length - 1), "right"
        )
        for code in dict.fromkeys(codes[first : last + 1].tolist()):
            owner: str = cache.runs.owners[code]
            if owner in cache.cells:
                return owner
    return ""


class CachePane(Vertical):
    """Who holds which KV cells, and how full the cache is."""

    DEFAULT_CSS = """
    CachePane { height: 2fr; background: $surface; padding: 1 1 0 1; }
    CachePane > .heading { color: $text-muted; }
    CachePane > #fill { margin-bottom: 1; height: 3; }
    CachePane > #legend { height: auto; margin-top: 1; }
    CachePane > #history { height: 2; color: $primary; }
    CachePane > #past { margin-top: 1; }
    """

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.workspace = workspace
        self._legend_lines = -1
        self.history: deque[float] = deque([0.0] * HISTORY, maxlen=HISTORY)
        self.marked: deque[bool] = deque([False] * HISTORY, maxlen=HISTORY)
        self._landed = False  # something was compacted since the last sample

    def compose(self) -> ComposeResult:
        yield Static("KV CELLS", classes="heading")
        yield Static("no cells yet: the model is loading", id="fill")
        yield CellMap()
        yield Static(id="legend")
        yield Static(PAST, classes="heading", id="past")
        yield Static(id="history")

    def sample(self) -> None:
        """Add the present fill to the history (called at a steady rate)."""
        cache = self.workspace.cache
        self.history.append(cache.used / cache.total if cache and cache.total else 0.0)
        self.marked.append(self._landed)
        self._landed = False
        if self.is_on_screen:
            width = max(1, self.size.width - 2)
            said = f" · {COMPACTED} compacted" if any(list(self.marked)[-width:]) else ""
            self.query_one("#past", Static).update(PAST + said, layout=False)
            self.query_one("#history", Static).update(
                history(list(self.history), width, list(self.marked)), layout=False
            )

    def mark(self) -> None:
        """Something was compacted: the history shows when."""
        self._landed = True

    def _details(self, cache: CacheMap, width: int) -> dict[str, str]:
        """What is said below an agent's line: what is compacted or prepared now, aside, what was
        compacted; running first."""
        found = {a.name: progress(a.compaction) for a in self.workspace.agents if a.compaction}
        if cache.solving and not found and (name := solved_for(cache)):
            found[name] = "prepares its compaction"
        for name, away in cache.away.items():
            found.setdefault(name, aside(away, width - 3))
        for name, (tokens, cells) in cache.folded.items():
            found.setdefault(name, kept(tokens, cells, width - 3))
        return found

    def draw(self) -> None:
        """Show the workspace's present cells."""
        cache = self.workspace.cache
        if cache is None:
            return
        agents = self.workspace.agents
        colours = {a.name: agent_colour(a.spec.colour, i) for i, a in enumerate(agents)}
        signs = letters(colours)
        shared = readable(SHARED, solid(self.app, "panel", "#000000"))
        self.query_one(CellMap).show(cache, {**colours, "*": shared, "~": KEPT}, signs)
        width = max(10, self.size.width - 2)
        self.query_one("#fill", Static).update(fill_text(cache, width), layout=False)
        rows = max(3, self.size.height - 17)
        details = self._details(cache, width)
        fitted = "a" if self.app.no_color else TEXTURE  # as the map shows them
        legend = legend_text(cache, colours, signs, rows, width, shared, details, fitted)
        # Laying out the whole screen for each new map would cost more than the map.
        grown = legend.plain.count("\n") != self._legend_lines
        self._legend_lines = legend.plain.count("\n")
        self.query_one("#legend", Static).update(legend, layout=grown)
