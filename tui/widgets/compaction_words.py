"""Compaction in few words, for lists, panes and toasts."""

from __future__ import annotations

from agents.compaction import errors, ratio_now, steps
from engine.protocol import Compaction

SQUEEZE = "→←"  # the mark of a compaction that runs, everywhere
TRIGGERS = {
    "manual": "by hand",
    "threshold": "cells short",
    "session": "own limit",
    "pressure": "no cell left",
    "positions": "trained size",  # positions near the last one that the model knows
}


def progress(event: Compaction) -> str:
    """compacting: studies 120/384."""
    return f"compacting: {steps(event)}"


def doing_now(event: Compaction) -> str:
    """compacting 12%."""
    return f"compacting {event.progress:.0%}"


def landed(event: Compaction) -> str:
    """Compacted 3,412 → 341 cells (10.0×), error 4% (eviction 22%)."""
    cells = f"Compacted {event.cells_before:,} → {event.cells_after:,} cells"
    return f"{cells} ({ratio_now(event):.1f}×), {errors(event)}"


def kept(tokens: int, cells: int, width: int) -> str:
    """kept 341 of 3,412 tokens at 10.0×, in so many columns."""
    ratio = tokens / cells if cells else 0.0
    text = f"kept {cells:,} of {tokens:,} tokens at {ratio:.1f}×"
    return text if len(text) <= width else f"kept {cells:,} of {tokens:,} at {ratio:.1f}×"
