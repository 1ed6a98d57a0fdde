"""Tokens of texts, by the tokenizer of the model that is loaded."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agents.client import Client

COUNTED = 512  # texts whose tokens are kept


class TokenCount:
    """Tokens of texts by the loaded model's tokenizer; what was counted lately is known."""

    def __init__(self) -> None:
        self._model: object = None  # the `Ready` of the core that counted
        self._known: OrderedDict[str, int] = OrderedDict()

    async def __call__(self, client: Client, text: str) -> int:
        """Raises EngineError when the engine is gone."""
        if self._model is not client.ready:
            self._known.clear()
            self._model = client.ready
        if text in self._known:
            self._known.move_to_end(text)
            return self._known[text]
        count = await client.count(text)
        self._known[text] = count
        while len(self._known) > COUNTED:
            self._known.popitem(last=False)
        return count


count = TokenCount()
