"""The user's own keys: checks `[ui.keys]` and lays it over the table's."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from engine.errors import ConfigError


def effective_keys(defaults: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """Keys of every action. Raises ConfigError on unknown actions and on keys given twice."""
    for action in own:
        if action not in defaults:
            near = difflib.get_close_matches(action, defaults, n=1)
            hint = f"Did you mean {near[0]}?" if near else "`halo-tui config keys` lists them."
            raise ConfigError(f"[ui.keys] names an unknown action '{action}'.", hint)
    keys = {**defaults, **own}
    taken: dict[str, str] = {}
    for action, listed in keys.items():
        for key in filter(None, (k.strip() for k in listed.split(","))):
            if key in taken and (action in own or taken[key] in own):
                raise ConfigError(
                    f"[ui.keys] gives the key '{key}' to both {taken[key]} and {action}.",
                    "Choose another key for one of them.",
                )
            taken[key] = action
    return keys
