"""The user's own keys: checks `[ui.keys]` and lays it over the table's."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from engine.errors import ConfigError

_KEY = re.compile(r"((ctrl|alt|shift|super|meta)\+)*([a-z0-9_]+|[^\s,+])")


def effective_keys(
    defaults: Mapping[str, str], own: Mapping[str, str], reserved: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Keys of every action; "" takes an action's key away.

    `reserved`: key -> what it is for, keys of parts that are not in the table. Raises ConfigError
    on unknown actions, on what is no key, and on keys given twice.
    """
    reserved = reserved or {}
    for action, listed in own.items():
        if action not in defaults:
            near = difflib.get_close_matches(action, defaults, n=1)
            hint = f"Did you mean {near[0]}?" if near else "`halo-tui config keys` lists them."
            raise ConfigError(f"[ui.keys] names an unknown action '{action}'.", hint)
        for key in split(listed):
            if not _KEY.fullmatch(key):
                raise ConfigError(
                    f"[ui.keys] {action}: '{key}' is no key.",
                    'Write keys like "f9", "ctrl+g" or "alt+x,f9".',
                )
            if key in reserved:
                raise ConfigError(
                    f"[ui.keys] gives the key '{key}' to {action}; it is for {reserved[key]}.",
                    "Choose another key.",
                )
    keys = {**defaults, **own}
    taken: dict[str, str] = {}
    for action, listed in keys.items():
        for key in split(listed):
            if key in taken and (action in own or taken[key] in own):
                raise ConfigError(
                    f"[ui.keys] gives the key '{key}' to both {taken[key]} and {action}.",
                    "Choose another key for one of them.",
                )
            taken[key] = action
    return keys


def split(listed: str) -> list[str]:
    """ "f3, ctrl+f" -> ["f3", "ctrl+f"]."""
    return [key for key in (part.strip() for part in listed.split(",")) if key]


_NAMES = {"pagedown": "PgDn", "pageup": "PgUp", "escape": "Esc", "left": "←", "right": "→",
          "up": "↑", "down": "↓"}  # fmt: skip


def nice(keys: str) -> str:
    """ctrl+pagedown,alt+right -> Ctrl+PgDn / Alt+→."""
    return " / ".join(
        "+".join(_NAMES.get(part, part.capitalize()) for part in key.split("+"))
        for key in split(keys)
    )


def brief(keys: str) -> str:
    """The first key in the fewest columns: ctrl+n -> ^N."""
    first = (split(keys) or [""])[0]
    return nice(first).replace("Ctrl+", "^")
