"""What the memory's widgets ask of the screen they stand on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from agents.memory.types import Recall, Source


class SourceRequested(Message):
    """Go to where this was said."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.source = source


class MemoryLeft(Message):
    """The person is done with the memory."""


class MemoryZoomed(Message):
    """The whole screen for the memory, or back beside the chat."""


class WordRequested(Message):
    """The agent of the chat should say this in its words."""

    def __init__(self, recall: Recall) -> None:
        super().__init__()
        self.recall = recall
