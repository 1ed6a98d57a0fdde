"""Writes docs/keys.md from the action table."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tui.actions import ACTIONS  # noqa: E402
from tui.keymap import nice  # noqa: E402
from tui.screens.help import PROMPT_HELP  # noqa: E402


def page() -> str:
    """The text of docs/keys.md."""
    lines = [
        "# Keys and slash commands", "",
        "Made from the action table (`tui/actions.py`) by `scripts/keys_page.py`. `[ui.keys]` in the",
        "configuration replaces keys: `grid = \"f11\"`; `halo-tui config keys` lists the actions.", "",
        "## Writing", "", "| key | does |", "|---|---|",
    ]  # fmt: skip
    lines += [f"| {key} | {text} |" for key, text in PROMPT_HELP]
    for group in dict.fromkeys(action.group for action in ACTIONS):
        lines += [
            "",
            f"## {group}",
            "",
            "| action | key | slash command | does |",
            "|---|---|---|---|",
        ]
        for action in ACTIONS:
            if action.group == group:
                slash = (
                    f"`/{action.slash} {action.args}`".replace(" `", "`") if action.slash else ""
                )
                lines.append(f"| `{action.id}` | {nice(action.keys)} | {slash} | {action.help} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    (ROOT / "docs" / "keys.md").write_text(page())


if __name__ == "__main__":
    main()
