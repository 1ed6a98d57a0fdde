"""What every action is done with: the screen, the workspace, the agent shown, a word to the person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agents.agent import Agent
from agents.workspace import Workspace

if TYPE_CHECKING:
    from tui.screens.main import MainScreen


class Acting:
    """For the main screen."""

    def __init__(self, screen: MainScreen) -> None:
        self.screen = screen

    @property
    def space(self) -> Workspace:
        return self.screen.workspace

    @property
    def agent(self) -> Agent:
        """The agent the person looks at."""
        return self.space.get(self.screen.current)

    def tell(self, text: str, severity: Any = "information") -> None:
        """A toast."""
        self.screen.notify(text, severity=severity, markup=False)

    async def ask(self, screen: Any) -> Any:
        """What a dialog was left with."""
        return await self.screen.app.push_screen_wait(screen)
