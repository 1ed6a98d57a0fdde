"""How this model writes: messages to prompt tokens by its template, tokens to pieces of text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.core import calls, toolprompt
from engine.core.harmony import HarmonyStream
from engine.core.model import Model
from engine.core.templates import ChatTemplate
from engine.core.text import Piece, TextStream, ThinkingTags
from engine.errors import EngineError
from engine.protocol import Message, Tool


class Language:
    """A model's template and vocabulary together."""

    def __init__(self, model: Model) -> None:
        """Raises EngineError when the chat template is not valid."""
        self._model = model
        bos, eos = model.bos, model.eos
        self._bos = bos[0] if model.adds_bos and bos[0] >= 0 else -1
        self._template = ChatTemplate(model.template, bos[1], eos[1], model.control_texts())
        self._pieces: dict[int, Piece] = {}
        self._with_calls: dict[int, Piece] = {}  # where the tags of calls are wanted as well

    def stream(self, stops: Iterable[str], inside: bool, tools: Sequence[Tool]) -> TextStream:
        """What turns an answer's tokens into text; `tools`: those it may call."""
        if not tools:
            return TextStream(stops, self.tags, inside)
        if self.calls is calls.HARMONY:  # its thoughts are messages as its calls are
            return TextStream(stops, calls=HarmonyStream())
        return TextStream(
            stops, self.tags, inside, calls.CallStream(self.calls, [tool.name for tool in tools])
        )

    @property
    def calls(self) -> calls.Format:
        """How tool calls stand in an answer."""
        return self._template.calls

    @property
    def knows_tools(self) -> bool:
        """Whether the template tells of tools itself; otherwise they are told in words."""
        return self._template.knows_tools

    @property
    def tags(self) -> ThinkingTags:
        return self._template.tags

    def prompt(self, messages: tuple[Message, ...], thinking: bool) -> tuple[list[int], bool]:
        """Tokens of the rendered messages, and whether they end inside a thinking block.

        Raises EngineError when the template refuses them.
        """
        pieces = self._template.render(messages, thinking)
        tokens: list[int] = []
        for text, special in pieces:
            tokens += self._model.tokenize(text, special)
        if self._bos >= 0 and tokens[:1] != [self._bos]:
            tokens.insert(0, self._bos)
        if not tokens:
            raise EngineError("The conversation renders to nothing.", "Write a message.")
        return tokens, self._template.opens_thinking(pieces)

    def call_grammar(self, messages: tuple[Message, ...], inside: bool) -> str:
        """GBNF of one call of a tool of these messages; `inside` as `prompt` returned it."""
        tools = toolprompt.offered(messages)
        if not tools:
            raise EngineError("There is no tool to call.", "Offer one.", "bad_request")
        return toolprompt.grammar(tools, self.calls, inside, self.tags.closing)

    def count(self, text: str) -> int:
        """Number of tokens of a text inside a message."""
        return len(self._model.tokenize(text, False))

    def piece(self, token: int, calls: bool = False) -> Piece:
        """A token's text; control tokens are silent unless they enclose thoughts, or `calls`."""
        pieces = self._with_calls if calls else self._pieces
        piece = pieces.get(token)
        if piece is None:
            data = self._model.piece(token)
            if self._model.is_control(token) and not self._encloses(data, calls):
                data = b""
            piece = pieces[token] = Piece.of(data)
        return piece

    def _encloses(self, data: bytes, calls: bool) -> bool:
        name = data.decode("utf-8", "replace")
        texts = [self.tags.opening, self.tags.closing, self.tags.skip]
        if calls:
            texts += [self.calls.opening, self.calls.closing, *self.calls.inner]
        return bool(name) and any(name in text for text in texts)
