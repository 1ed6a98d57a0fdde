"""The status line: model, backend, speeds, cells, queue."""

from __future__ import annotations

from rich.text import Text
from textual.widget import Widget

from agents.workspace import Workspace
from engine.protocol import Ready
from tui.widgets.marks import short

ENGINE = {"starting": "◔ starting", "ready": "●", "restarting": "◔ restarting", "dead": "✗ dead"}
STYLE = {"starting": "yellow", "ready": "green", "restarting": "yellow", "dead": "bold red"}


def backend_words(ready: Ready) -> str:
    """What computes: "cpu", "vulkan", "2 workers", "vulkan + 2 workers"."""
    count = sum(device.startswith("RPC ") for device in ready.devices)
    workers = f"{count} worker{'s' if count != 1 else ''}"
    return " + ".join(workers if one == "rpc" else one for one in ready.backend.split("+"))


class StatusLine(Widget):
    """One line, drawn from the workspace; in short words where there is no room for long ones."""

    DEFAULT_CSS = "StatusLine { height: 1; background: $panel; padding: 0 1; }"

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.workspace = workspace
        self._drawn = Text()

    def look(self) -> None:
        """Draw again if it would say something else."""
        if self._line() != self._drawn:
            self.refresh()

    def render(self) -> Text:
        self._drawn = self._line()
        return self._drawn

    def _line(self) -> Text:
        space = self.workspace
        mark = ENGINE[space.engine_state]
        for parts in (self._parts(long=True), self._parts(long=False)):
            if len(mark) + sum(len(part) + 3 for part in parts) - 2 <= self.size.width:
                break
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append(mark, STYLE[space.engine_state])
        for index, part in enumerate(parts):
            if line.cell_len + len(part) + 3 > self.size.width:
                break
            line.append(" │ " if index or len(mark) > 1 else " ", "dim")
            line.append(part)
        return line

    def _parts(self, long: bool) -> list[str]:
        space = self.workspace
        ready, stats, cache = space.ready, space.stats, space.cache
        parts = []
        if ready:
            name = ready.model if long or len(ready.model) <= 16 else ready.model[:15] + "…"
            parts.append(f"{name} · {backend_words(ready)}")
        if stats:
            decode, prefill = stats.decode_tok_s, stats.prefill_tok_s
            parts.append(f"decode {decode:,.0f} tok/s" if long else f"{decode:,.0f} tok/s")
            parts.append(f"prefill {prefill:,.0f} tok/s" if long else f"prefill {prefill:,.0f}")
        if cache and cache.total:
            share = f"{short(cache.used)}/{short(cache.total)} {cache.used / cache.total:.0%}"
            parts.append(f"cells {share}" if long else share)
        if stats:
            running = stats.running + stats.prefilling
            parts.append(
                f"{running} running, {stats.queued} queued" if long
                else f"{running} run {stats.queued} wait"
            )  # fmt: skip
        return parts
