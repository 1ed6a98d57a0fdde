"""The line above the input: whom the prompt goes to, and what keys do. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual.content import Content

SEVERAL = 3  # names that are told one by one


@dataclass(frozen=True, slots=True)
class Rule:
    """All that the line depends on."""

    names: tuple[str, ...]  # whom the prompt goes to
    everyone: bool = False
    busy: bool = False  # the only one is answering
    searching: bool = False  # earlier prompts are searched
    stops: bool = True  # Esc acts on this; else it closes a toast first
    grid: int = 0  # number of agents in the grid, when it is shown
    elsewhere: str = ""  # what has the keys, when it is not the prompt


def words(rule: Rule) -> tuple[str, str]:
    """What stands left and right."""
    if rule.searching:
        return "search your prompts", "Enter takes · Esc leaves"
    left = f"to {_together(rule)}" if rule.names else ""
    if rule.elsewhere:
        keys = f"{rule.elsewhere} has the keys"
        return left, f"Esc writes here · {keys}" if rule.stops else keys
    if rule.busy:
        left += ", who is answering"
    if rule.grid:
        other = f"Alt+1…{min(9, rule.grid)} another · " if rule.grid > 1 else ""
        right = f"{other}Enter {'queues' if rule.busy else 'sends'} · @ several · F5 opens the chat"
        return left, right
    if rule.busy:
        return left, "Enter queues" + (" · Esc stops" if rule.stops else "")
    return left, "Enter sends · Ctrl+J new line · ↑ history · @ agents · / commands"


def drawn(rule: Rule, width: int) -> Content:
    """The line, as long as `width` cells; hints that have no room are left out from the right."""
    left, right = words(rule)
    while right and len(left) + len(right) + 12 > width:
        right = right.rpartition(" · ")[0]
    line = f"── {left} "
    fill = max(2, width - len(line) - len(right) - (4 if right else 0))
    content = Content(line + "─" * fill + (f" {right} ──" if right else ""))
    if rule.names and not rule.searching:
        who = _together(rule)
        at = line.find(who, 3)
        content = content.stylize("bold $text-primary", at, at + len(who))
    return content


def placeholder(rule: Rule) -> str:
    """What stands in the empty input."""
    if rule.searching:
        return "type a few letters of it"
    return f"Message {_together(rule)}…" if rule.names else "Message…"


def _together(rule: Rule) -> str:
    names: Sequence[str] = rule.names
    if rule.everyone:
        return f"all {len(names)} agents"
    if len(names) > SEVERAL:
        return f"{', '.join(names[: SEVERAL - 1])} and {len(names) - SEVERAL + 1} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
