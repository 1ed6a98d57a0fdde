"""Study: a session's model is made to look back, in hidden branches whose queries are kept.

The paper's "self-study": asked to quiz itself, the model looks up what it was told, and those
look-ups are the queries that later questions will repeat.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from engine.core.language import Language
from engine.core.radix import common_prefix
from engine.core.sequence import Phase, Sequence
from engine.errors import EngineError
from engine.protocol import Message

# halo-mini was trained on this sentence (training/mini/talk.py); other models understand it.
RECAP = "Ask yourself about everything you know from this conversation, and answer."
BRANCH = "~study"  # no session's name: `~` is the mark of what is kept of closed ones
LOOP = 20  # tokens repeated word for word that end a recap


class Study:
    """How one branch speaks: sampled, until it says the same again."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._seen: set[tuple[int, ...]] = set()

    def choose(self, logits: npt.NDArray[np.float32]) -> int:
        """Sample at temperature 1 among tokens at least a fiftieth as likely as the likeliest."""
        candidates = np.flatnonzero(logits > logits.max() - np.log(50.0))
        weights = np.exp(logits[candidates].astype(np.float64) - logits.max())
        return int(self._random.choice(candidates, p=weights / weights.sum()))

    def repeats(self, said: list[int], token: int) -> bool:
        """Whether the last tokens were said before, word for word."""
        if len(said) < LOOP:
            return False
        last = (*said[-LOOP + 1 :], token)
        known = last in self._seen
        self._seen.add(last)
        return known


def recap_prompt(
    language: Language, sequence: Sequence, end: int, partial: bool
) -> tuple[list[int], int] | None:
    """The tokens of the conversation with the question for a recap, and how many of them the
    session holds already; None where that is less than `end`, so that it would not look back at
    the same cells. `partial`: the memory can be continued from anywhere.

    What is being read is cut off where it stands, in the middle of a message.
    """
    if sequence.phase in (Phase.PREFILL, Phase.QUEUED):
        tail = recap_tail(language)
        if tail is None:
            return None
        return [*sequence.tokens[: sequence.held], *tail], sequence.held
    if not sequence.messages:
        return None
    messages = list(sequence.messages)
    if said := sequence.tokens[sequence.n_prompt : sequence.held]:
        text = b"".join(language.piece(token).data for token in said)
        messages.append(Message("assistant", text.decode("utf-8", "replace")))
    try:
        prompt, _ = language.prompt((*messages, Message("user", RECAP)), False)
    except EngineError:
        return None  # the template wants other turns
    held = min(common_prefix(prompt, sequence.tokens[: sequence.held]), len(prompt) - 1)
    if held < end or (sequence.fold is not None and held < sequence.fold.end):
        return None  # the template writes finished turns differently
    if not partial and held != sequence.held:
        return None
    return prompt, held


def recap_tail(language: Language) -> list[int] | None:
    """The tokens that end a message anywhere and ask for a recap; None where the template does not
    let that be found."""
    for earlier in ((), (Message("user", "Hello"),)):
        turn = Message("assistant" if earlier else "user", "")
        try:
            one, other = (
                language.prompt(
                    (*earlier, replace(turn, content=text), Message("user", RECAP)), False
                )[0]
                for text in ("a", "5")
            )
        except EngineError:  # the template wants other turns
            continue
        at = common_prefix(one, other)
        if at < len(one) and one[at + 1 :] == other[at + 1 :]:
            return one[at + 1 :]
    return None
