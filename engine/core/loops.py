"""Answers that only repeat themselves: a look at the newest tokens, without any state."""

from __future__ import annotations

from collections.abc import Sequence

STEP = 32  # tokens between two looks
ROUNDS = 8  # times that the same is said before it is called a loop
GRAM = 8  # tokens that are compared
SCALES = (1, 2, 4)  # windows, in the least one: a longer phrase has to be said as often


def looping(tokens: Sequence[int], least: int) -> int:
    """How many of an answer's newest tokens are a loop: 0, or at least `least`.

    They are one when they hold an eighth as many different runs of 8 tokens as there are places for one:
    each was said eight times. So a period of up to `least` / 8 tokens counts after `least` tokens, one of
    four times that after four times as many, and a stray token now and then hides neither. What counts up
    or lists different things has too many different runs, and few repeats of a poem are too few.
    """
    for scale in SCALES:
        size = least * scale
        if not 0 < size <= len(tokens):
            return 0
        newest = tokens[-size:]
        most = size // ROUNDS
        # Cheap first: different tokens are at most as many as different runs, but for one run's rest.
        if len(set(newest)) >= most + GRAM:
            continue
        if len(set(zip(*(newest[i:] for i in range(GRAM)), strict=False))) <= most:
            return size
    return 0


def tail(size: int) -> int:
    """How many of a loop's tokens say only again what the others said."""
    return size - size // ROUNDS
