"""Saved sessions, and cells out of the cache, in few words: for lists, panes and toasts."""

from __future__ import annotations

from pathlib import Path

from agents.saved import Saved
from engine.protocol import Away
from tui.widgets.chat.message import clock

ASIDE = "◌"  # an idle agent whose cells are out of the cache
PINNED = "◆"  # one whose cells stay in it


def aside(away: Away, width: int = 80) -> str:
    """aside: 1,240 cells in memory; in fewer words where there is no room for them."""
    place = "on disk" if away.place == "disk" else "in memory"
    count = f"{away.cells:,}"
    forms = (f"aside: {count} cells {place}", f"aside: {count} {place}", f"aside: {count} cells")
    return next((form for form in forms if len(form) <= width), f"aside {away.cells:,}")


def size(count: int) -> str:
    """1234567 -> 1.2 MB."""
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if value >= 10 or unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def when(moment: float) -> str:
    """20:15 today, else with the date; files may say anything, also what is no time."""
    try:
        return clock(moment) or "–"
    except (OverflowError, ValueError, OSError):
        return "–"


def cells(saved: Saved) -> str:
    """1,200 → 240: the tokens of a snapshot and the cells they have."""
    return f"{saved.tokens:,} → {saved.cells:,}" if saved.cells else "text only"


def kept(saved: Saved) -> str:
    """1,200 tokens in 240 cells, 1.2 MB."""
    what = f"{saved.tokens:,} tokens in {saved.cells:,} cells" if saved.cells else "its text only"
    return f"{what}, {size(saved.size)}"


def short_path(path: Path) -> str:
    """With ~ for the home folder, as people write it."""
    try:
        return f"~/{path.relative_to(Path.home())}"
    except ValueError:
        return str(path)
