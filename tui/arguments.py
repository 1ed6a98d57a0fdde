"""What people write behind slash commands, as values. Raises HaloError with an example."""

from __future__ import annotations

from agents.compaction import AUTO
from engine.errors import HaloError
from engine.experts import POLICIES


def ratio(text: str) -> float:
    """ "10", "10x", "auto" or "" (as configured, 0)."""
    word = text.strip().casefold()
    if not word:
        return 0.0
    if word == "auto":
        return AUTO
    try:
        value = float(word.removesuffix("x").removesuffix("×").replace(",", "."))
    except ValueError:
        raise HaloError(
            f"'{text}' is neither a ratio nor auto nor stop.", "For example: /compact 10"
        ) from None
    if not value > 1:
        raise HaloError(
            f"A ratio of {text} would free nothing.", "Give one above 1, for example: /compact 10"
        )
    return value


def switch(text: str, on: str, off: str, otherwise: bool) -> bool:
    """One of two words; "" is `otherwise`."""
    known = {on: True, off: False, "": otherwise}
    word = text.strip().casefold()
    if word not in known:
        raise HaloError(f"'{text}' is neither {on} nor {off}.", f"Write one of them: {on}, {off}.")
    return known[word]


def share(text: str) -> float:
    """ "0.85", "85%" or "85" as a share."""
    word = text.strip().replace(",", ".")
    try:
        value = float(word.removesuffix("%"))
    except ValueError:
        raise HaloError(f"'{text}' is no threshold.", "For example: /auto on 85%") from None
    if word.endswith("%") or value > 1:
        value /= 100
    if not 0 < value <= 1:
        raise HaloError(
            f"The threshold {text} is not between 0 and 100%.", "For example: /auto on 85%"
        )
    return value


def auto(text: str, now: bool) -> tuple[bool, float | None]:
    """ "on", "off", "on 85%", or "85%" alone; "" is the opposite of `now`."""
    word, _, rest = text.strip().partition(" ")
    known = {"on": True, "off": False, "": not now}
    if word.casefold() in known:
        on = known[word.casefold()]
        return on, share(rest) if rest.strip() else None
    if any(character.isdigit() for character in word) and not rest:
        return True, share(word)
    raise HaloError(f"'{text}' is neither on nor off.", "For example: /auto on 85%")


def experts(text: str) -> tuple[str, float | None]:
    """ "cache", "cache 0.4" or "0.4" alone as policy ("" = unchanged) and bonus (None = unchanged)."""
    word, _, rest = text.strip().partition(" ")
    policy = word.casefold() if word.casefold() in POLICIES else ""
    number = (rest if policy else text).strip().replace(",", ".")
    if not number:
        return policy, None
    try:
        value = float(number)
    except ValueError:
        raise HaloError(
            f"'{text}' is neither a policy ({', '.join(POLICIES)}) nor a bonus.",
            "For example: /experts cache 0.2",
        ) from None
    return policy, value
