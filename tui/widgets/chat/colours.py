"""Colours of authors, kept readable on whatever background the theme has."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from textual.color import Color, ColorParseError

from tui.themes import agent_colour, solid

if TYPE_CHECKING:
    from textual.app import App

    from agents.workspace import Workspace

ENOUGH_CONTRAST = 4.5  # WCAG AA for text


def author_style(app: App[object], workspace: Workspace, author: str) -> str:
    """Style of an author's name: "you", an agent, or an agent that is gone."""
    if author in ("", "you"):
        return ".chat--you"
    for index, agent in enumerate(workspace.agents):
        if agent.name == author:
            background = solid(app, "background", "#000000")
            return f"bold {readable(agent_colour(agent.spec.colour, index), background)}"
    return "bold"


@lru_cache(maxsize=256)
def readable(colour: str, background: str) -> str:
    """The colour, moved towards black or white until it can be read. Hex."""
    try:
        ground = Color.parse(background)
        wanted = Color.parse(colour)
    except ColorParseError:
        return "$foreground"
    target = Color(0, 0, 0) if ground.brightness > 0.5 else Color(255, 255, 255)
    for step in range(11):
        mixed = wanted.blend(target, step / 10)
        if _contrast(mixed, ground) >= ENOUGH_CONTRAST:
            return mixed.hex6
    return target.hex6


def _contrast(one: Color, other: Color) -> float:
    """Contrast ratio as WCAG 2 defines it, 1 to 21."""

    def luminance(colour: Color) -> float:
        def channel(value: float) -> float:
            return value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4

        r, g, b = (channel(part) for part in colour.normalized)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)
