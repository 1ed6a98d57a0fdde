"""What was compacted, how well it went, and what is being compacted now."""

from __future__ import annotations

import time
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.screen import Screen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from agents.compaction import ENDS, advice, percent, ratio_now, too_high
from agents.events import CompactionChanged, PastCompaction, RosterChanged, WorkspaceEvent
from agents.workspace import Workspace
from engine.protocol import Compaction
from tui.themes import agent_colour, rich_colour, solid
from tui.widgets.chat.colours import readable
from tui.widgets.compaction_words import SQUEEZE, TRIGGERS, progress
from tui.widgets.layer_plot import layer_plot
from tui.widgets.marks import bar
from tui.widgets.taken_down import stands

NOTHING = (
    "Nothing was compacted yet. It happens by itself when cells run short (/auto on 85%), or "
    "now: /compact 10 fits the old cells of the agent you look at into a tenth."
)
PLOT_ROWS = (7, 19)  # lowest and highest plot


class CompactionsScreen(Screen[None]):
    """A list of compactions, newest first; below it, everything about the one chosen."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,ctrl+t,q", "dismiss", "Back")]
    DEFAULT_CSS = """
    CompactionsScreen > #head { height: 1; padding: 0 1; color: $text-muted; background: $surface; }
    CompactionsScreen > OptionList { height: auto; min-height: 3; max-height: 45%; padding: 0 1;
                                     background: $surface; scrollbar-size-vertical: 1; }
    CompactionsScreen > OptionList, CompactionsScreen > OptionList:focus {
        border: none; background-tint: transparent 0%; }
    CompactionsScreen > OptionList:focus > .option-list--option-highlighted,
    CompactionsScreen > OptionList > .option-list--option-highlighted {
        background: $primary 25%; color: $foreground; text-style: bold; }
    CompactionsScreen > #about { height: 1fr; padding: 1 1 0 1; overflow-y: auto;
                                 layout: horizontal; border-top: solid $primary 60%; }
    CompactionsScreen #facts { width: 58; height: auto; margin-right: 2; }
    CompactionsScreen #plot { width: 1fr; height: auto; }
    CompactionsScreen.-narrow > OptionList { max-height: 6; }
    CompactionsScreen.-narrow > #about { layout: vertical; padding: 0 1; }
    CompactionsScreen.-narrow #facts { width: 1fr; margin: 0; }
    """

    def __init__(self, workspace: Workspace, agent: str = "") -> None:
        """The newest of `agent` is chosen at first."""
        super().__init__()
        self.workspace, self.first = workspace, agent
        self.shown: list[PastCompaction] = []

    def compose(self) -> ComposeResult:
        yield Static("COMPACTIONS · newest first · ↑↓ choose · Esc goes back", classes="title")
        yield Static(id="head")
        yield OptionList()
        with Container(id="about"):
            yield Static(id="facts")
            yield Static(id="plot")

    def on_mount(self) -> None:
        self.query_one(OptionList).focus()
        self._fill()
        mine = (i for i, past in enumerate(self.shown) if past.compaction.session == self.first)
        self.query_one(OptionList).highlighted = next(mine, 0 if self.shown else None)

    def apply(self, event: WorkspaceEvent) -> None:
        """Something went on while the screen is open."""
        if isinstance(event, CompactionChanged | RosterChanged) and stands(self):
            self._fill()

    def on_resize(self) -> None:
        self.call_after_refresh(self._fill)

    # --- the list --------------------------------------------------------------------------------

    def _fill(self) -> None:
        options = self.query_one(OptionList)
        chosen, before = self._chosen(), [past.compaction.number for past in self.shown]
        running = [
            PastCompaction(time.time(), a.compaction) for a in self.workspace.agents if a.compaction
        ]
        self.shown = running + self.workspace.compactions
        width = max(60, self.app.size.width - 3)
        self.query_one("#head", Static).update(heading(width))
        rows = [self._row(past, width) for past in self.shown]
        numbers = [past.compaction.number for past in self.shown]
        if numbers == before:  # the usual case: one of them has gone on
            for index, row in enumerate(rows):
                options.replace_option_prompt_at_index(index, row)
        else:
            options.clear_options()
            options.add_options([Option(row) for row in rows])
        if self.shown and numbers != before:
            number = chosen.compaction.number if chosen else -1
            options.highlighted = numbers.index(number) if number in numbers else 0
        self._tell()

    def _chosen(self) -> PastCompaction | None:
        at = self.query_one(OptionList).highlighted
        return self.shown[at] if at is not None and at < len(self.shown) else None

    def _row(self, past: PastCompaction, width: int) -> Text:
        event = past.compaction
        mark, style = self._mark(event)
        line = Text(no_wrap=True, overflow="ellipsis").append(f"{mark:2} ", style)
        stamp = "now" if mark == SQUEEZE else time.strftime("%H:%M:%S", time.localtime(past.time))
        line.append(f"{stamp:9}", "dim")
        line.append(f"{event.session[:10]:11}", f"bold {self._colour(event.session)}")
        line.append(f"{TRIGGERS.get(event.trigger, event.trigger)[:12]:13}")
        if event.phase != "done":
            if mark == SQUEEZE:
                line.append(f"{bar(event.progress, 10)} {progress(event)}")
            else:
                line.append(event.what or "given up", style)
            return line
        cells = f"{event.cells_before:,} → {event.cells_after:,}"
        line.append(f"{cells:>16}{ratio_now(event):7.1f}×")
        line.append(f"{percent(event.error):>8}", style)
        if width >= 90:
            line.append(f"{percent(event.error_evict) if event.error_evict else '–':>10}", "dim")
            line.append(f"{event.seconds:>8.1f} s")
        if width >= 115:
            line.append(f"{event.stall_ms:>7.0f} ms")
            line.append(f"{f'{event.start:,} – {event.end:,}':>18}", "dim")
        return line

    def _mark(self, event: Compaction) -> tuple[str, str]:
        if event.phase == "failed":
            return "✗", f"bold {self._theme('error', 'red')}"
        if event.phase == "cancelled":
            return "–", "dim"
        if event.phase != "done":
            return SQUEEZE, "bold"
        if too_high(self.workspace, event):
            return "!", f"bold {self._theme('warning', 'yellow')}"
        return "·", ""

    def _theme(self, name: str, otherwise: str) -> str:
        return rich_colour(self.app, name, otherwise)

    def _colour(self, name: str) -> str:
        for index, agent in enumerate(self.workspace.agents):
            if agent.name == name:
                ground = solid(self.app, "surface", "#000000")
                return readable(agent_colour(agent.spec.colour, index), ground)
        return ""

    # --- the one chosen --------------------------------------------------------------------------

    @on(OptionList.OptionHighlighted)
    def _highlighted(self) -> None:
        self._tell()

    def _tell(self) -> None:
        facts, plot = self.query_one("#facts", Static), self.query_one("#plot", Static)
        past = self._chosen()
        if past is None:
            facts.update(Text(NOTHING))
            plot.update("")
            return
        event, narrow = past.compaction, self.app.size.width < 100
        facts.update(self._facts(event, narrow))
        width = self.app.size.width - (3 if narrow else 63)
        rows = max(PLOT_ROWS[0], min(PLOT_ROWS[1], (self.app.size.height - 10) // 2))
        words = "error by layer, on queries the fit has not seen"
        if event.phase not in ENDS:  # what the one before came to, meanwhile
            ended = (past.compaction for past in self.workspace.compactions)
            mine = (e for e in ended if e.session == event.session and e.by_layer)
            event = next(mine, event)
            words = f"the one before: {words}"
        title = Text(no_wrap=True, overflow="ellipsis").append(f"{words}\n", "dim")
        if event.phase != "done" or not event.by_layer:
            plot.update(Text(""))
            return
        colour = self._colour(event.session)
        bars = layer_plot(
            event.by_layer, event.error, event.error_evict, min(width, 96), rows, colour
        )
        plot.update(title.append_text(bars))

    def _facts(self, event: Compaction, narrow: bool) -> Text:
        text = Text()
        if event.phase == "done":
            if too_high(self.workspace, event):
                text.append(f"The error is high. {advice(event)}\n", self._mark(event)[1])
            evict = f" · plain eviction {percent(event.error_evict)}" if event.error_evict else ""
            again = (
                f" · {event.ratio:.1f}× over all rounds"
                if event.ratio > 1.05 * ratio_now(event)
                else ""
            )
            rows = [
                ("cells", f"{event.cells_before:,} → {event.cells_after:,} · "
                          f"{ratio_now(event):.1f}×{again}"),
                ("span", f"tokens {event.start:,} to {event.end:,}"),
                ("error", f"{percent(event.error)}{evict}"),
                ("beta", f"{event.beta_min:.2f} to {event.beta_max:.2f} · "
                         f"largest value {event.norm_ratio:.2f}× the span's"),
                ("queries", f"{event.queries:,} for each head"
                            + (f" · from {event.source.replace('+', ' and ')}" if event.source else "")),
                ("method", event.method),
                ("time", f"{event.seconds:.2f} s · others held up {event.stall_ms:.0f} ms at most"),
            ]  # fmt: skip
            if narrow:  # two rows in one: the plot needs the lines
                rows[0] = ("cells", f"{rows[0][1]} · {rows[1][1]}")
                rows[4] = ("queries", f"{rows[4][1]} · {rows[5][1]}")
                del rows[5], rows[1]
        elif event.phase in ("failed", "cancelled"):
            rows = [
                ("ended", "it failed" if event.phase == "failed" else "given up; nothing changed"),
                ("span", f"{event.cells_before:,} cells, tokens {event.start:,} to {event.end:,}"),
            ]
            if event.what:
                rows.append(("why", event.what))
            if event.remedy:
                rows.append(("remedy", event.remedy))
        else:
            rows = [
                ("now", f"{bar(event.progress, 24)} {event.progress:.0%}"),
                ("", progress(event)),
                ("span", f"{event.cells_before:,} cells, tokens {event.start:,} to {event.end:,}"),
                ("method", event.method),
            ]
        for name, value in rows:
            text.append(f"{name:9}", "dim").append(f"{value}\n")
        text.rstrip()
        return text


def heading(width: int) -> Text:
    """The names of the columns, as far as there is room for them."""
    text = f"   {'time':9}{'agent':11}{'trigger':13}{'cells':>16}{'ratio':>8}{'error':>8}"
    if width >= 90:
        text += f"{'eviction':>10}{'took':>10}"
    if width >= 115:
        text += f"{'stall':>10}{'span':>18}"
    return Text(text, no_wrap=True)
