"""The app's own themes, and the colours of agents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual.color import Color, ColorParseError
from textual.theme import Theme

if TYPE_CHECKING:
    from textual.app import App

THEMES = (
    Theme("halo-dark", primary="#5fb3f9", secondary="#8f7df0", accent="#f5a65b",
          foreground="#d7dde6", background="#11151b", surface="#171c24", panel="#1f2630",
          success="#6fcf97", warning="#f2c14e", error="#ef6f6c", dark=True,
          variables={"border": "#2f3a48", "footer-key-foreground": "#f5a65b",
                     "scrollbar": "#3a4656", "scrollbar-background": "#171c24",
                     "scrollbar-background-hover": "#171c24", "scrollbar-corner-color": "#171c24",
                     "scrollbar-background-active": "#171c24"}),
    Theme("halo-light", primary="#1f6feb", secondary="#6e40c9", accent="#b35900",
          foreground="#1f2328", background="#fbfbfa", surface="#f2f3f5", panel="#e6e9ee",
          success="#1a7f37", warning="#9a6700", error="#cf222e", dark=False),
    Theme("high-contrast", primary="#ffff00", secondary="#00ffff", accent="#ff9f1c",
          foreground="#ffffff", background="#000000", surface="#000000", panel="#1a1a1a",
          success="#00ff66", warning="#ffcc00", error="#ff5555", dark=True,
          variables={"border": "#ffffff", "text-muted": "#ffffff",
                     "foreground-muted": "#e0e0e0", "foreground-disabled": "#b0b0b0"}),
)  # fmt: skip

# Distinct on dark and light grounds; agents take them in turn when they name no colour.
PALETTE = ("#4cc9f0", "#f472b6", "#facc15", "#4ade80", "#a78bfa", "#fb923c", "#2dd4bf", "#f87171",
           "#94a3b8", "#c4d600")  # fmt: skip
NAMED = {"cyan": "#4cc9f0", "magenta": "#f472b6", "yellow": "#facc15", "green": "#4ade80",
         "blue": "#60a5fa", "red": "#f87171", "white": "#e5e7eb", "orange": "#fb923c",
         "purple": "#a78bfa"}  # fmt: skip
SHARED = "#e5e7eb"
KEPT = "#64748b"


def rich_colour(app: App[Any], name: str, otherwise: str) -> str:
    """A colour of the theme as Rich writes it: themes of the terminal's own 16 say "ansi_green"."""
    return str(app.theme_variables.get(name, otherwise)).removeprefix("ansi_")


def solid(app: App[Any], name: str, otherwise: str) -> str:
    """A colour of the theme to reckon with. The terminal's own ground and text, which nobody knows,
    count as black and white, as the theme is for."""
    colour = str(app.theme_variables.get(name, otherwise))
    if colour == "ansi_default":
        return "#ffffff" if (name == "foreground") == app.current_theme.dark else "#000000"
    return colour


def agent_colour(colour: str, index: int) -> str:
    """Hex colour of an agent: its own, or the palette's by its place in the list."""
    if not colour:
        return PALETTE[index % len(PALETTE)]
    try:
        return NAMED.get(colour.lower()) or Color.parse(colour).hex6
    except ColorParseError:
        return PALETTE[index % len(PALETTE)]
