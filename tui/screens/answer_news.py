"""Toasts about answers that were finished out of sight, and the bell when the app is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agents.events import Turn, TurnFinished

if TYPE_CHECKING:
    from tui.screens.main import MainScreen

GATHER = 0.8  # seconds in which news are gathered into one toast


class AnswerNews:
    """What the main screen says about answers of agents that are not shown."""

    def __init__(self, screen: MainScreen) -> None:
        self.screen = screen
        self._waiting: dict[str, Turn] = {}  # by agent, not told yet

    def finished(self, event: TurnFinished) -> None:
        """An answer has ended."""
        turn, screen = event.turn, self.screen
        notify = screen.workspace.config.ui.notify
        if turn.role != "assistant" or turn.status == "cancelled":
            return
        if screen.grid_shown:
            screen.workspace.mark_read(event.agent)
        elif event.agent != screen.current and notify:
            if not self._waiting:
                screen.set_timer(GATHER, self._tell)
            self._waiting[event.agent] = turn
        if notify and not screen.app.app_focus:
            screen.app.bell()

    def _tell(self) -> None:
        """One toast for all answers of the last moment that were not read since."""
        screen = self.screen
        news, self._waiting = self._waiting, {}
        news = {n: t for n, t in news.items() if n != screen.current and not screen.grid_shown}
        names = list(news)
        if len(names) > 1:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            who = ", ".join(names[:3]) + more
            screen.notify(f"{who} have answered.", markup=False, timeout=4)
        for name, turn in news.items() if len(names) == 1 else ():
            words = " ".join(turn.text.split()) or turn.detail
            screen.notify(
                words[:60] + ("…" if len(words) > 60 else ""),
                title=name,
                markup=False,
                timeout=4,
                severity="error" if turn.status == "error" else "information",
            )
