"""Tables and marks for people reading a terminal; plain when NO_COLOR is set or piped."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import Any

import click


def style(text: str, **styles: object) -> str:
    """Text with colour, where colour is wanted."""
    if os.environ.get("NO_COLOR") or not sys.stdout.isatty():
        return text
    return click.style(text, **styles)  # type: ignore[arg-type]


def marks() -> tuple[str, str, str]:
    """Good, bad, and neither; letters where the terminal has no such signs."""
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    return ("✓", "✗", "–") if encoding.startswith("utf") else ("ok", "NO", "--")


def width() -> int:
    """Columns to write in."""
    return min(100, shutil.get_terminal_size((100, 40)).columns)


def wrapped(text: str, indent: int) -> str:
    """Text folded to the terminal, its later lines indented."""
    lines = textwrap.wrap(
        text, max(20, width() - indent), break_long_words=False, break_on_hyphens=False
    ) or [""]
    return ("\n" + " " * indent).join(lines)


def table(rows: Sequence[Sequence[str]], header: Sequence[str]) -> str:
    """Columns as wide as they need to be; numbers to the right."""
    all_rows = [list(header), *[list(row) for row in rows]]
    widths = [max(len(row[i]) for row in all_rows) for i in range(len(header))]
    numeric = [
        all(row[i][:1].isdigit() or row[i] in ("", "–") for row in rows) for i in range(len(header))
    ]
    lines = []
    for index, row in enumerate(all_rows):
        cells = [
            cell.rjust(w) if right else cell.ljust(w)
            for cell, w, right in zip(row, widths, numeric, strict=True)
        ]
        line = "  ".join(cells).rstrip()
        lines.append(style(line, bold=True) if index == 0 else line)
    return "\n".join(lines)


def size(count: float) -> str:
    """Bytes for people: 39.5 MB, 1.2 GB (powers of 1000, as disks are sold)."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def dumps(value: Any) -> str:
    """JSON on one line; null for what is no number, which JSON does not know."""
    return json.dumps(_finite(value), ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    """The same with null for what is no number, which JSON does not know."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
