"""Entities, facts and times of the memory in few words, and the marks of their types."""

from __future__ import annotations

import time

from rich.cells import cell_len, set_cell_size

from agents.memory.types import Fact, Node
from tui.themes import PALETTE
from tui.widgets.chat.markdown import clean
from tui.widgets.session_words import when

# Type -> mark and colour. What is not here gets a ring in the colour of the text.
LOOKS = {
    "person": ("●", PALETTE[0]),
    "organisation": ("■", PALETTE[5]),
    "location": ("▲", PALETTE[3]),
    "product": ("◆", PALETTE[4]),
    "event": ("◈", PALETTE[1]),
    "date": ("◷", PALETTE[8]),
    "quantity": ("#", PALETTE[8]),
    "topic": ("◇", PALETTE[2]),
    "creative_work": ("♪", PALETTE[1]),
}
TECHNICAL = ("▣", PALETTE[6])
PLAIN = ("○", "")
NOW = "now"


def look(type: str) -> tuple[str, str]:
    """Mark and hex colour of a type; "" = the text's own colour."""
    if type in LOOKS:
        return LOOKS[type]
    return PLAIN if type in ("misc", "") else TECHNICAL


def plain(text: str) -> str:
    """One line without what could steer a terminal."""
    return " ".join(clean(text).split())


def cut(text: str, width: int) -> str:
    """At most `width` cells; what is cut is marked."""
    text = plain(text)
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(0, width - 1)).rstrip() + "…" if width > 0 else ""


def fit(text: str, width: int) -> str:
    """Exactly `width` cells."""
    return set_cell_size(cut(text, width), width)


def type_word(type: str) -> str:
    """creative_work -> creative work."""
    return plain(type.replace("_", " "))


def relation(type: str) -> str:
    """WORKS_AT -> works at."""
    return plain(type.replace("_", " ").lower())


def said(fact: Fact, entity: str) -> tuple[str, str]:
    """How a fact reads in a list about `entity`: its relation and the other side.

    "works at", "Halo Labs"; or, when the entity is the object, "← works at", "Priya".
    """
    if fact.head == entity:
        return relation(fact.type), plain(fact.tail_name)
    return f"← {relation(fact.type)}", plain(fact.head_name)


def sentence(fact: Fact) -> str:
    """The whole fact in one line."""
    return f"{plain(fact.head_name)} {relation(fact.type)} {plain(fact.tail_name)}"


def day(moment: float) -> str:
    """3 May, or 3 May 2023 when that was another year."""
    try:
        then = time.localtime(moment)
    except (OverflowError, ValueError, OSError):
        return "–"
    short = f"{then.tm_mday} {time.strftime('%b', then)}"
    return short if then.tm_year == time.localtime(time.time()).tm_year else f"{short} {then[0]}"


def held(fact: Fact) -> str:
    """When a fact was said, or from when to when it held. (Since when it holds nobody said: "I moved
    in May" may be said in November.)"""
    if fact.valid_to is None:
        return f"said {day(fact.valid_from)}" if fact.valid_from else ""
    return f"{day(fact.valid_from)} – {day(fact.valid_to)}"


def mark(fact: Fact) -> str:
    """✓ somebody said it is right, ✗ wrong, ◌ it held once, · learnt."""
    if fact.status == "accepted":
        return "✓"
    if fact.status == "rejected":
        return "✗"
    return "◌" if fact.valid_to is not None else "·"


def summary(node: Node) -> str:
    """Type, mentions and facts of an entity."""
    parts = [type_word(node.type) or "entity"]
    if node.mentions:
        parts.append(f"{node.mentions:,} {'mention' if node.mentions == 1 else 'mentions'}")
    if node.degree:
        parts.append(f"{node.degree:,} {'fact' if node.degree == 1 else 'facts'}")
    if node.last_seen:
        parts.append(f"last {when(node.last_seen)}")
    return " · ".join(parts)
