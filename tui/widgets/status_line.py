"""The status line: model, backend, speeds, cells, queue."""

from __future__ import annotations

from rich.text import Text
from textual.widget import Widget

from agents.workspace import Workspace
from tui.widgets.marks import short

ENGINE = {"starting": "◔ starting", "ready": "●", "restarting": "◔ restarting", "dead": "✗ dead"}
STYLE = {"starting": "yellow", "ready": "green", "restarting": "yellow", "dead": "bold red"}


class StatusLine(Widget):
    """One line, drawn from the workspace; what does not fit is left out from the right."""

    DEFAULT_CSS = "StatusLine { height: 1; background: $panel; padding: 0 1; }"

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.workspace = workspace

    def render(self) -> Text:
        space = self.workspace
        state, ready, stats, cache = space.engine_state, space.ready, space.stats, space.cache
        parts = []
        if ready:
            parts.append(f"{ready.model} · {ready.backend}")
        if stats:
            parts.append(f"decode {stats.decode_tok_s:,.0f} tok/s")
            parts.append(f"prefill {stats.prefill_tok_s:,.0f} tok/s")
        if cache and cache.total:
            parts.append(
                f"cells {short(cache.used)}/{short(cache.total)} {cache.used / cache.total:.0%}"
            )
        if stats:
            running = stats.running + stats.prefilling
            parts.append(f"{running} running, {stats.queued} queued")
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append(ENGINE[state], STYLE[state])
        for part in parts:
            if line.cell_len + len(part) + 3 > self.size.width:
                break
            line.append(" │ " if line.cell_len > 1 else " ", "dim")
            line.append(part)
        return line
