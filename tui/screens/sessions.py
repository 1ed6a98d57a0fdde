"""Saved sessions: a list to search, to restore from and to keep in order."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, ClassVar

from rich.text import Text
from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.screen import Screen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from agents import talk as talks
from agents.events import SavedChanged, WorkspaceEvent
from agents.saved import Saved, free_path
from agents.workspace import Workspace
from engine.errors import HaloError
from tui.screens.dialogs import AskText, may_write
from tui.themes import agent_colour, rich_colour
from tui.widgets.chat.colours import readable
from tui.widgets.chat.markdown import clean
from tui.widgets.chat.message import count
from tui.widgets.key_bar import KeyBar
from tui.widgets.session_words import cells, kept, short_path, size, when
from tui.widgets.taken_down import stands, while_it_stands

HINTS = (
    ("Enter", "restores", "restore"), ("s", "saves", "save"), ("r", "renames", "rename"),
    ("d", "deletes", "delete"), ("u", "undoes", "undo"), ("e", "exports", "export"),
    ("i", "imports", "import"), ("/", "filters", "filter"), ("Esc", "back", "leave"),
)  # fmt: skip


class FilterInput(Input):
    """What one types to find a snapshot; the arrows move through the list meanwhile."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "screen.move(-1)", show=False),
        Binding("down", "screen.move(1)", show=False),
        Binding("pageup", "screen.move(-10)", show=False),
        Binding("pagedown", "screen.move(10)", show=False),
    ]


class SnapshotList(OptionList):
    """A click chooses; only a click on the one chosen restores it."""

    async def _on_click(self, event: events.Click) -> None:
        at = event.style.meta.get("option")
        if at is not None and at != self.highlighted:
            self.highlighted = at
            event.prevent_default()


class SessionsScreen(Screen[Path | None]):
    """Snapshots, newest first; below them, everything about the one chosen.

    The result is the file to restore, or None. The rest is done here.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Back"),
        Binding("q", "dismiss", "Back", show=False),
        Binding("ctrl+s", "dismiss", "Back", show=False),
        *(Binding(key, name, word) for key, word, name in HINTS if len(key) == 1 and key != "/"),
        Binding("delete", "delete", "Delete", show=False),
        Binding("slash,ctrl+f,f3", "filter", "Filter"),
    ]
    DEFAULT_CSS = """
    SessionsScreen > #find { height: 1; background: $surface; padding: 0 1; }
    SessionsScreen #find-mark { width: 2; color: $text-primary; }
    SessionsScreen FilterInput, SessionsScreen FilterInput:focus {
        width: 1fr; height: 1; border: none; padding: 0; background: $surface;
        background-tint: transparent 0%; }
    SessionsScreen > #head { height: 1; padding: 0 1; color: $text-muted; background: $surface; }
    SessionsScreen > OptionList { height: auto; max-height: 60%; padding: 0 1; background: $surface;
                                  scrollbar-size-vertical: 1; text-wrap: nowrap;
                                  text-overflow: ellipsis; }
    SessionsScreen > OptionList, SessionsScreen > OptionList:focus {
        border: none; background-tint: transparent 0%; }
    SessionsScreen > OptionList > .option-list--option-highlighted,
    SessionsScreen > OptionList:focus > .option-list--option-highlighted {
        background: $primary 25%; color: $foreground; text-style: bold; }
    SessionsScreen > #about { height: 1fr; min-height: 3; padding: 1 1 0 1;
                              border-top: solid $primary 60%; scrollbar-size-vertical: 1; }
    SessionsScreen.-short > #about { padding: 0 1; }
    SessionsScreen #facts { height: auto; }
    SessionsScreen > #said { height: auto; min-height: 1; max-height: 2; padding: 0 1; color: $text-warning; }
    SessionsScreen.-empty > #head, SessionsScreen.-empty > #find { display: none; }
    SessionsScreen.-empty > OptionList { height: 0; }
    SessionsScreen.-empty > #about { border-top: none; padding: 1 1 0 1; }
    """

    def __init__(self, workspace: Workspace, agent: str) -> None:
        """`agent`: whose session `s` saves."""
        super().__init__()
        self.workspace, self.agent = workspace, agent
        self.found: list[Saved] | None = None  # None: not read yet
        self.shown: list[Saved] = []
        self._wanted: Path | None = None  # to be chosen when the list is read

    def compose(self) -> ComposeResult:
        yield Static("SAVED SESSIONS · newest first", classes="title")
        with Horizontal(id="find"):
            yield Static("⌕ ", id="find-mark")
            yield FilterInput(placeholder="/ or F3: a part of the title, agent or last message")
        yield Static(id="head")
        yield SnapshotList()
        with VerticalScroll(id="about", can_focus=False):
            yield Static("Looking…", id="facts")
        yield Static(id="said", markup=False)
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one(OptionList).focus()
        self._look()
        self._say("")

    def apply(self, event: WorkspaceEvent) -> None:
        """Something went on while the screen is open."""
        if isinstance(event, SavedChanged) and stands(self):
            self._look()

    def on_resize(self) -> None:
        self.call_after_refresh(self._fill)

    # --- the list --------------------------------------------------------------------------------

    @work(exclusive=True, group="look")
    @while_it_stands
    async def _look(self) -> None:
        self.found = await asyncio.to_thread(self.workspace.sessions.saved)
        self._fill()

    def _fill(self) -> None:
        if self.found is None or not stands(self):
            return
        options, chosen = self.query_one(OptionList), self._chosen()
        at = options.highlighted or 0
        wanted = self._wanted or (chosen.path if chosen else None)
        query = self.query_one(FilterInput).value.strip()
        self.shown = [saved for saved in self.found if not query or matches(query, saved)]
        width = max(60, self.app.size.width - 3)
        self.set_class(not self.found, "-empty")
        self.query_one("#head", Static).update(heading(width))
        options.clear_options()
        options.add_options([Option(self._row(saved, width)) for saved in self.shown])
        places = [saved.path for saved in self.shown]
        if wanted in places:
            options.highlighted = places.index(wanted)
            self._wanted = None
        elif places:  # the one chosen is gone: its neighbour
            options.highlighted = min(at, len(places) - 1)
        self._tell()
        self._draw_keys()

    def _chosen(self) -> Saved | None:
        at = self.query_one(OptionList).highlighted
        return self.shown[at] if at is not None and at < len(self.shown) else None

    def _row(self, saved: Saved, width: int) -> Text:
        rooms = columns(width)
        line = Text(no_wrap=True, overflow="ellipsis")
        bad = bool(saved.problem)
        line.append("✗ " if bad else "  ", f"bold {self._theme('error', 'red')}")
        line.append(fit(saved.title, rooms["title"]), "" if bad else "bold")
        line.append(fit(saved.agent, rooms["agent"]), f"{self._colour(saved.agent)}")
        line.append(fit(when(saved.saved_at), rooms["saved"]), "dim")
        if "size" in rooms:
            line.append(f"{size(saved.size):>{rooms['size']}}", "dim")
        if bad:
            line.append(f"  {clean(saved.problem)}", self._theme("error", "red"))
            return line
        line.append(f"{cells(saved):>{rooms['cells']}}")
        ratio = f"{saved.ratio:.1f}×" if saved.cells else "–"
        line.append(f"{ratio:>{rooms['ratio']}}", "" if saved.ratio >= 1.05 else "dim")
        if "model" in rooms:
            line.append("  " + fit(saved.model or "–", rooms["model"] - 2), "dim")
        if "last" in rooms:
            line.append(f"  {clean(saved.last)}", "dim")
        return line

    def _theme(self, name: str, otherwise: str) -> str:
        return rich_colour(self.app, name, otherwise)

    def _colour(self, name: str) -> str:
        for index, agent in enumerate(self.workspace.agents):
            if agent.name == name:
                return readable(
                    agent_colour(agent.spec.colour, index), self._theme("surface", "#000000")
                )
        return ""

    # --- the one chosen --------------------------------------------------------------------------

    @on(OptionList.OptionHighlighted)
    def _highlighted(self) -> None:
        self._tell()

    def _tell(self) -> None:
        facts, saved = self.query_one("#facts", Static), self._chosen()
        if self.found is None:
            return
        if saved is not None:
            facts.update(self._facts(saved))
        elif self.found:
            query = self.query_one(FilterInput).value.strip()
            facts.update(Text(f"Nothing has “{query}” in it. Esc shows all of them again."))
        else:
            facts.update(
                Text.assemble(
                    ("Nothing is saved yet.\n\n", "bold"),
                    (" s ", "bold reverse"),
                    f" saves {self.agent} with everything it knows, cells included: it comes back "
                    "as it was, without reading anything again.\n",
                    (" i ", "bold reverse"),
                    " imports a .halo or .json file.\n\n",
                    (
                        "What is said is on disk anyway, and agents come back after a restart. "
                        "Save a session to keep this state of it: to try something, to go back "
                        "to it, to take it to another machine.",
                        "dim",
                    ),
                )
            )

    def _facts(self, saved: Saved) -> Text:
        text, narrow = Text(), self.app.size.height < 32
        if saved.problem:
            text.append(f"✗ {clean(saved.problem)}\n", self._theme("error", "red"))
            text.append("Enter restores what can be saved of it.\n")
        compacted = f" · {saved.ratio:.1f}×" if saved.cells and saved.ratio >= 1.05 else ""
        rows = [("saved", f"{when(saved.saved_at)} · {size(saved.size)}")]
        if not saved.problem:
            rows += [
                ("agent", f"{saved.agent} · {count(saved.turns, 'message')}"),
                ("tokens", f"{saved.tokens:,} in {saved.cells:,} cells{compacted}"),
                ("model", saved.model or "–"),
                ("last", saved.last or "–"),
            ]
            if not saved.cells:
                rows[2] = ("cells", "none: the text is read again when it goes on")
        rows.append(("file", short_path(saved.path)))
        if narrow and not saved.problem:  # two in one line: the list needs the room
            rows[1] = ("agent", f"{rows[1][1]} · saved {rows[0][1]}")
            rows[2] = (rows[2][0], f"{rows[2][1]} · {rows[3][1]}")
            del rows[3], rows[0]
        for name, value in rows:
            text.append(f"{name:9}", "dim").append(f"{clean(value)}\n")
        text.rstrip()
        return text

    # --- filter and keys -------------------------------------------------------------------------

    @on(Input.Changed)
    def _typed(self) -> None:
        self._fill()

    @on(Input.Submitted)
    @on(OptionList.OptionSelected)
    def _enter(self) -> None:
        self.action_restore()

    def action_filter(self) -> None:
        """Find a snapshot by typing."""
        self.query_one(FilterInput).focus()

    def action_move(self, step: int) -> None:
        """Another snapshot, while the filter has the keys."""
        options = self.query_one(OptionList)
        if self.shown:
            at = (options.highlighted or 0) + step
            options.highlighted = max(0, min(len(self.shown) - 1, at))

    def action_leave(self) -> None:
        """Esc shows all snapshots again first; then it leaves."""
        field = self.query_one(FilterInput)
        if field.has_focus or field.value:
            field.value = ""
            self.query_one(OptionList).focus()
        else:
            self.dismiss(None)

    def _say(self, text: str) -> None:
        self.query_one("#said", Static).update(text)
        self._draw_keys()

    def _draw_keys(self) -> None:
        """The keys that do something now."""
        needed = {"save", "import", "leave"}
        if self.shown:
            needed |= {"restore", "rename", "delete", "export"}
        if self.found:
            needed.add("filter")
        if self.workspace.sessions.can_undo:
            needed.add("undo")
        hints = [hint for hint in HINTS if hint[2] in needed]
        self.query_one(KeyBar).show(hints)

    # --- what can be done ------------------------------------------------------------------------

    def action_restore(self) -> None:
        """A new agent that goes on where the chosen one stopped."""
        if (saved := self._chosen()) is not None:
            self.dismiss(saved.path)

    def action_save(self) -> None:
        """Keep the agent one came from."""
        self._do(self._save())

    async def _save(self) -> None:
        agent = self.workspace.get(self.agent)
        if not agent.turns:
            raise HaloError(f"{agent.name} has said nothing yet.", "Talk first, then save.")
        title = await self._ask(f"Save {agent.name}'s session as", talks.default_title(agent))
        if title is not None:
            saved = await self.workspace.sessions.save_as(agent.name, title)
            self._wanted = saved.path
            self.query_one(FilterInput).value = ""
            self._say(f"Saved “{saved.title}”: {kept(saved)}.")
            self._look()

    def action_rename(self) -> None:
        """Call the chosen one something else."""
        if (saved := self._chosen()) is not None:
            self._do(self._rename(saved))

    async def _rename(self, saved: Saved) -> None:
        title = await self._ask(f"New name of “{saved.title}”", saved.title)
        if title is not None:
            renamed = await self.workspace.sessions.rename(saved.path, title)
            self._wanted = renamed.path
            self._say(f"It is called “{renamed.title}” now.")
            self._look()

    def action_delete(self) -> None:
        """Take the chosen one away; it can be brought back as long as the app runs."""
        if (saved := self._chosen()) is not None:
            try:
                self.workspace.sessions.delete(saved.path)
            except HaloError as error:
                self._fault(error)
            else:
                self._say(f"Deleted “{saved.title}”. u brings it back until you leave halo-tui.")

    def action_undo(self) -> None:
        """Bring back the one deleted last."""
        try:
            saved = self.workspace.sessions.undo_delete()
        except HaloError as error:
            self._fault(error)
        else:
            self._wanted = saved.path
            self._say(f"“{saved.title}” is back.")

    def action_export(self) -> None:
        """Write the chosen one to a file of one's own."""
        if (saved := self._chosen()) is not None:
            self._do(self._export(saved))

    async def _export(self, saved: Saved) -> None:
        given = short_path(free_path(Path.cwd(), saved.title, ".md"))
        path = await self._ask("Export to: .md to read, .json the text, .halo with cells", given)
        if path is None or not await may_write(self.app, Path(path)):
            return
        written = await self.workspace.sessions.export(saved.path, Path(path))
        self._say(f"Exported to {short_path(written)}.")

    def action_import(self) -> None:
        """Restore from a file that is somewhere else."""
        self._do(self._import())

    async def _import(self) -> None:
        path = await self._ask("Import which .halo or .json file?", f"{short_path(Path.cwd())}/")
        if path is not None:
            full = Path(path).expanduser()
            if not full.is_file():
                raise HaloError(f"There is no file {path}.", "Check its name and folder.")
            self.dismiss(full)

    async def _ask(self, question: str, given: str) -> str | None:
        """A line of text; None when it was cancelled or left empty."""
        text = await self.app.push_screen_wait(AskText(question, given))
        return (text or "").strip() or None

    def _do(self, action: Coroutine[Any, Any, None]) -> None:
        self.run_worker(self._told(action), group="sessions")

    async def _told(self, action: Coroutine[Any, Any, None]) -> None:
        try:
            await action
        except HaloError as error:
            self._fault(error)

    def _fault(self, error: HaloError) -> None:
        self.notify(str(error), severity="error", markup=False)


# --- columns -------------------------------------------------------------------------------------


def columns(width: int) -> dict[str, int]:
    """How wide each column is; the title gets what the others leave."""
    rooms = {"agent": 11, "saved": 14, "cells": 17, "ratio": 8}
    if width >= 90:
        rooms["size"] = 8
    if width >= 130:
        rooms["model"] = 20
    left = width - 2 - sum(rooms.values())
    rooms["title"] = max(16, min(left, 42))
    if left - rooms["title"] >= 30:
        rooms["last"] = left - rooms["title"]
    return rooms


def heading(width: int) -> Text:
    """The names of the columns, as far as there is room for them."""
    rooms = columns(width)
    text = f"  {fit('title', rooms['title'])}{fit('agent', rooms['agent'])}"
    text += fit("saved", rooms["saved"])
    if "size" in rooms:
        text += f"{'size':>{rooms['size']}}"
    text += f"{'tokens → cells':>{rooms['cells']}}{'ratio':>{rooms['ratio']}}"
    if "model" in rooms:
        text += f"  {fit('model', rooms['model'] - 2)}"
    if "last" in rooms:
        text += "  last message"
    return Text(text, no_wrap=True, overflow="ellipsis")


def fit(text: str, width: int) -> str:
    """Exactly so many columns, one of them a gap."""
    line = Text(" ".join(clean(text).split()))
    line.truncate(width - 1, overflow="ellipsis")
    line.pad_right(width - line.cell_len)
    return line.plain


def matches(query: str, saved: Saved) -> bool:
    """Whether every word is in what one sees of a snapshot."""
    seen = f"{saved.title} {saved.agent} {saved.model} {saved.last} {saved.problem}".casefold()
    return all(word in seen for word in query.casefold().split())
