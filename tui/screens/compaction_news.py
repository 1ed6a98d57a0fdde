"""Toasts about compactions: those that landed out of sight, and those asked for that failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agents.compaction import advice, too_high
from agents.events import CompactionChanged
from tui.widgets.cache_pane import CachePane
from tui.widgets.compaction_words import landed

if TYPE_CHECKING:
    from tui.screens.main import MainScreen


class CompactionNews:
    """What the main screen says about compactions while it is doing something else."""

    def __init__(self, screen: MainScreen) -> None:
        self.screen = screen

    def apply(self, event: CompactionChanged) -> None:
        """One step of a compaction; only its end is news."""
        compaction, screen = event.compaction, self.screen
        match compaction.phase:
            case "done":
                screen.query_one(CachePane).mark()
                if too_high(screen.workspace, compaction):
                    self._tell(event, f"{landed(compaction)}. {advice(compaction)}", "warning")
                elif screen.workspace.config.ui.notify and not screen.cells_shown:
                    self._tell(event, f"{landed(compaction)}.")
            case "failed" if compaction.trigger == "manual":  # others are tried again by themselves
                why = f"Not compacted: {compaction.what or 'the solver gave up.'}"
                self._tell(event, f"{why} {compaction.remedy}".strip(), "error")

    def _tell(self, event: CompactionChanged, text: str, severity: str = "information") -> None:
        self.screen.notify(
            text,
            title=event.agent,
            severity=severity,  # type: ignore[arg-type]
            markup=False,
            timeout=5 if severity == "information" else 12,
        )
