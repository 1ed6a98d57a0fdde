"""Keys that Textual reads otherwise than people mean them.

Terminals send Alt+1 as ESC 1. Textual takes that for the "¡" of a Mac keyboard; here it is the key
for the first agent. A "¡" that is typed arrives as itself and stays what it is.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, cast

from textual._ansi_sequences import ANSI_SEQUENCES_KEYS

_AltDigit = Enum("_AltDigit", {f"Alt{n}": f"alt+{n}" for n in range(10)})  # type: ignore[misc]


def read_alt_digits() -> None:
    """From now on ESC and a digit are Alt and that digit."""
    sequences = cast(dict[str, Any], ANSI_SEQUENCES_KEYS)
    for n, key in enumerate(_AltDigit):
        sequences[f"\x1b{n}"] = (key,)
