"""What the extractors that tag words share: special tokens, windows, batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from agents.memory.extract.bio import Span
from agents.memory.extract.words import Window, Words, split, windows
from agents.memory.onnx_model import batches
from agents.memory.types import Entity
from engine.errors import HaloError

# Alone they name nothing, whatever a model says: articles, and pronouns of things.
_EMPTY = frozenset(
    "a an the it its itself they them their theirs themselves this that these those there here "
    "who whom whose which what one ones someone something anyone anything everyone everything "
    "nobody nothing".split()
)
BATCH = 512  # padded word pieces in one run


@dataclass(frozen=True, slots=True)
class Piece:
    """One window of one text, ready to be read: `ids` with special tokens around it."""

    text: int
    words: Words
    window: Window
    ids: list[int]
    lead: int  # special tokens before the text

    @property
    def firsts(self) -> list[int]:
        """Where in `ids` the first piece of each of the window's words is."""
        shift = self.lead - self.words.first[self.window.first]
        return [
            self.words.first[word] + shift for word in range(self.window.first, self.window.last)
        ]

    def place(self, word: int) -> int:
        """Where in `ids` a word of the window begins; `window.last` gives the end."""
        return self.words.piece(word) - self.words.first[self.window.first] + self.lead


class Reader:
    """Cuts texts into windows of at most `length` pieces, special tokens included, and of about
    `aim` where sentences allow it (0 = as long as they may be)."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        length: int,
        folder: Path,
        threads: int,
        finer: bool = False,
        aim: int = 0,
    ) -> None:
        self._threads, self._aim = threads, aim
        self._tokenizer, self._finer = tokenizer, finer
        self._before, self._after = _special(tokenizer)
        self._limit = length - len(self._before) - len(self._after)
        if self._limit < 8:
            raise HaloError(
                f"The model in {folder} reads {length} tokens at most, which is too few.",
                "Correct max_length in its config.json.",
            )

    def read(self, texts: Sequence[str]) -> list[Piece]:
        """The windows of all texts, in order."""
        pieces = []
        for number, (text, words) in enumerate(
            zip(texts, split(self._tokenizer, list(texts), self._finer), strict=True)
        ):
            for window in windows(text, words, self._limit, self._threads, self._aim):
                start, end = words.first[window.first], words.piece(window.last)
                inner = words.ids[start : min(end, start + self._limit)]
                ids = [*self._before, *inner, *self._after]
                pieces.append(Piece(number, words, window, ids, len(self._before)))
        return pieces


def owned(
    text: str, parts: Iterable[tuple[Words, Window, Sequence[Span]]]
) -> dict[tuple[int, int], Entity]:
    """The mentions of all windows of a text, by words: each counts where its first word is the
    window's own, and none overlaps another. Windows in order; spans in words of the text."""
    found: dict[tuple[int, int], Entity] = {}
    taken = 0
    for words, window, spans in parts:
        for span in spans:
            start, end = words.starts[span.first], words.ends[span.last - 1]
            mine = window.own <= span.first < window.own_end and span.first >= taken
            if mine and names_something(text[start:end]):
                taken = span.last
                found[span.first, span.last] = Entity(
                    text[start:end], span.type, start, end, span.confidence
                )
    return found


def names_something(mention: str) -> bool:
    """Whether a mention has a letter or digit, and is more than an article or pronoun of things.

    In capitals only it may be a name: "IT" is a department.
    """
    if mention in _EMPTY or (mention[1:].islower() and mention.lower() in _EMPTY):
        return False
    return any(c.isalnum() for c in mention)


def in_batches(pieces: Sequence[Piece], threads: int) -> list[list[Piece]]:
    """Windows of like length together."""
    lengths = [len(piece.ids) for piece in pieces]
    return [[pieces[i] for i in batch] for batch in batches(lengths, BATCH, threads)]


def _special(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """The ids the tokenizer puts before and after a text."""
    plain = tokenizer.encode("a", add_special_tokens=False).ids
    full = tokenizer.encode("a").ids
    for at in range(len(full) - len(plain) + 1):
        if full[at : at + len(plain)] == plain:
            return full[:at], full[at + len(plain) :]
    return [], []
