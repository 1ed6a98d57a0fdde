"""A text as word pieces and words with offsets, and windows over long texts."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass

from tokenizers import Tokenizer

from agents.memory import text as sentence_text

OVERLAP = 24  # words that two windows share where a sentence is longer than a window


@dataclass(frozen=True, slots=True)
class Words:
    """A text's pieces without special tokens: `ids` [t]; for each word its first piece, and its
    characters `starts[w]` to `ends[w]` (exclusive) in the text."""

    ids: list[int]
    first: list[int]
    starts: list[int]
    ends: list[int]

    def __len__(self) -> int:
        return len(self.first)

    def piece(self, word: int) -> int:
        """The first piece of a word; the number of pieces for the word after the last."""
        return self.first[word] if word < len(self.first) else len(self.ids)


@dataclass(frozen=True, slots=True)
class Window:
    """Words `first` to `last` (exclusive); those from `own` to `own_end` are this window's to tag:
    the others are context that a neighbouring window has as well."""

    first: int
    last: int
    own: int
    own_end: int


def split(tokenizer: Tokenizer, texts: list[str], finer: bool = False) -> list[Words]:
    """Tokenise. A word is what the tokenizer takes for one; if `finer`, it ends at punctuation in
    any case, for tokenizers that only split at spaces."""
    found = []
    for text, encoding in zip(
        texts, tokenizer.encode_batch(texts, add_special_tokens=False), strict=True
    ):
        first: list[int] = []
        starts: list[int] = []
        ends: list[int] = []
        before: int | None = None
        for i, (word, (start, end)) in enumerate(
            zip(encoding.word_ids, encoding.offsets, strict=True)
        ):
            while start < end and text[start].isspace():  # some tokenizers count the space before
                start += 1
            new = word is None or word != before or not first
            if finer and not new and start < end:
                glued = start == ends[-1]
                new = not glued or not (text[start].isalnum() and text[start - 1].isalnum())
            if ends and start < ends[-1]:  # several pieces of one character
                new = False
            if new:
                first.append(i)
                starts.append(start)
                ends.append(max(start, end))
            else:
                ends[-1] = max(ends[-1], end)
            before = word
        found.append(Words(encoding.ids, first, starts, ends))
    return found


def windows(text: str, words: Words, limit: int, threads: int = 1, aim: int = 0) -> list[Window]:
    """Windows of at most `limit` pieces, cut between sentences where that is possible; of a like
    length, and as many for each thread. With `aim`, of about so many pieces: a sentence that is
    longer stays whole up to `limit`."""
    count = len(words)
    if not count:
        return []
    if len(words.ids) <= (aim or limit):
        return [Window(0, count, 0, count)]
    breaks = sorted({bisect_left(words.starts, at) for at, _ in sentence_text.bounds(text)})
    wanted = -(-len(words.ids) // (limit * threads)) * threads if len(words.ids) > limit else 1
    if aim:
        wanted = max(wanted, -(-len(words.ids) // aim))
    found: list[Window] = []
    start = own = 0
    while start < count:
        reach = _reach(words, start, limit)
        if reach == count and len(found) + 1 >= wanted:
            found.append(Window(start, count, own, count))
            break
        left = len(words.ids) - words.first[max(start, own)]
        parts = max(-(-left // limit), wanted - len(found), 1)
        cut = _break(words, breaks, max(start, own), reach, left / parts)
        if cut:
            end = following = middle = cut
        elif reach == count:
            found.append(Window(start, count, own, count))
            break
        else:  # one long sentence: both windows see the words around the cut
            end = reach
            following = max(start + 1, end - min(OVERLAP, (end - start) // 3))
            middle = max(own + 1, (end + following + 1) // 2)
            if _reach(words, following, limit) <= middle:
                following = middle
        found.append(Window(start, end, own, middle))
        start, own = following, middle
    return found


def _break(words: Words, breaks: list[int], start: int, reach: int, size: float) -> int:
    """The end of a sentence to cut at, about `size` pieces after `start`; 0 = there is none."""
    goal = words.first[start] + size
    found = [at for at in breaks[bisect_right(breaks, start) :] if at <= reach and at < len(words)]
    return min(found, key=lambda at: abs(words.piece(at) - goal), default=0)


def _reach(words: Words, start: int, limit: int) -> int:
    """How far a window from `start` goes; a single word longer than the limit counts as one."""
    end = bisect_right(words.first, words.first[start] + limit, start) - 1
    if words.piece(len(words)) - words.first[start] <= limit:
        return len(words)
    return max(end, start + 1)
