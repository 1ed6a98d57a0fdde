"""The memory on a screen of its own; where there is room for both it stands beside the chat."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from agents.memory.types import Recall, Source
from engine.config import Config
from tui.widgets.memory.messages import MemoryLeft, MemoryZoomed, SourceRequested, WordRequested
from tui.widgets.memory.tabs import Tab
from tui.widgets.memory.view import MemoryView

if TYPE_CHECKING:
    from tui.memory_news import MemoryNews

BESIDE = "beside "  # begins the result when it should stand beside the chat; then an entity's id


class MemoryScreen(Screen[Source | Recall | str | None]):
    """The result: a source to jump to, an answer the agent should word, BESIDE and an id, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Back"),
        Binding("ctrl+g", "dismiss", "Back", show=False),
    ]
    AUTO_FOCUS = ""

    def __init__(
        self,
        config: Config,
        news: MemoryNews,
        tab: Tab = "explore",
        question: str = "",
        entity: str = "",
    ) -> None:
        """`question` is asked at once; `entity` (an id) is looked at first."""
        super().__init__()
        self.view = MemoryView(config, news, tab=tab, whole=True)
        self.question, self.entity = question, entity

    def compose(self) -> ComposeResult:
        yield self.view

    def on_mount(self) -> None:
        self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        if self.question:
            self.view.ask(self.question)
        else:
            self.view.focus_part()
            if self.entity:
                self.view.look(self.entity)

    def action_leave(self) -> None:
        """Esc, one step at a time."""
        self.view.action_leave()

    @on(SourceRequested)
    def _source(self, event: SourceRequested) -> None:
        self.dismiss(event.source)

    @on(WordRequested)
    def _word(self, event: WordRequested) -> None:
        self.dismiss(event.recall)

    @on(MemoryLeft)
    def _left(self) -> None:
        self.dismiss(None)

    @on(MemoryZoomed)
    def _zoomed(self) -> None:
        if self.has_class("-narrow"):
            return
        node = self.view.node
        self.dismiss(f"{BESIDE}{node.id if node else ''}")
