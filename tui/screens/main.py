"""The main screen: agents left, conversation or grid in the middle, cells and events right.

It wires widgets to the workspace: workspace events go to the widgets they concern, at most once a
frame; messages of the widgets become calls of the controller.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import ClassVar

from textual import events, on
from textual.actions import SkipAction
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import ContentSwitcher, Static

from agents.addressing import stranger
from agents.events import (
    AgentChanged,
    CacheChanged,
    CallChanged,
    CompactionChanged,
    EngineChanged,
    Logged,
    PromptReturned,
    RosterChanged,
    SavedChanged,
    StatsChanged,
    TurnAdded,
    TurnDelta,
    TurnFinished,
    TurnsTruncated,
    WorkspaceEvent,
)
from agents.workspace import Workspace
from engine.errors import HaloError
from engine.protocol import Away
from tui.actions import bindings, key_table, slash_choices, slash_commands
from tui.clipboard import copy
from tui.compositor import SparingCompositor
from tui.controller import Controller
from tui.frames import Frames
from tui.machine_watch import MachineWatch
from tui.screens.answer_news import AnswerNews
from tui.screens.banner import engine_banner
from tui.screens.compaction_news import CompactionNews
from tui.screens.compactions import CompactionsScreen
from tui.screens.drawing import Drawing
from tui.screens.experts import ExpertsScreen
from tui.screens.log import LogScreen
from tui.screens.memory_side import MemorySide
from tui.screens.names import Names
from tui.screens.places import Places
from tui.screens.sessions import SessionsScreen
from tui.widgets.agent_list import AgentList, AgentSelected, AgentTabs
from tui.widgets.cache_pane import CachePane
from tui.widgets.chat.conversation import Conversation
from tui.widgets.chat.grid import ChatGrid
from tui.widgets.chat.prompt import Prompt
from tui.widgets.chat.queue import ALL
from tui.widgets.chat.transcript import Transcript
from tui.widgets.event_log import EventLog
from tui.widgets.key_hints import KeyHints
from tui.widgets.memory.messages import MemoryLeft, MemoryZoomed, SourceRequested, WordRequested
from tui.widgets.status_line import StatusLine

SMALLEST = (60, 16)


class MainScreen(Places):
    """Everything a person works with."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings(),
        Binding("alt+up,alt+down", "messages", "Choose a message", show=False),
        Binding("ctrl+z", "run('suspend')", "To the shell", show=False),
    ]
    AUTO_FOCUS = "Prompt TextArea"

    def __init__(self, workspace: Workspace, remember: bool = False) -> None:
        """`remember`: start the memory, unless the configuration has it off."""
        super().__init__()
        self._compositor = SparingCompositor()
        self.workspace = workspace
        self.remember = remember
        self.controller = Controller(self)
        self.frames = Frames(workspace.config.ui.markdown_fps)
        self._kinds: dict[str, str] = {}  # of agents' states, as they were told last
        self._away: dict[str, Away] = {}  # as the list shows it
        self._rebuilding = asyncio.Lock()
        self.drawing = Drawing(self)
        self.answer_news = AnswerNews(self)
        self.compaction_news = CompactionNews(self)
        self.memory = MemorySide(self)
        self.machine = MachineWatch(self)
        self.names = Names(self)

    # --- parts -----------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        yield _id(AgentTabs(self.workspace), "tabs")
        with Horizontal(id="body"):
            yield _id(AgentList(self.workspace), "agents")
            with Vertical(id="centre"):
                yield Static("", id="banner")
                yield ContentSwitcher(id="chats")
                yield Prompt(
                    slash_commands(),
                    lambda: self.workspace.names,
                    slash_choices(),
                    {
                        "restore": lambda: self.names.sessions,
                        "model": self.names.models,
                        "memory": lambda: self.memory.names,
                        "forget": lambda: self.memory.names,
                    },
                )
            with Vertical(id="side"):
                yield CachePane(self.workspace)
                yield EventLog(list(self.workspace.log))
            yield Vertical(id="memory")
        yield Static("", id="small")
        yield StatusLine(self.workspace)
        keys = {action: keys for action, keys, _ in key_table(self.workspace.config)}
        yield KeyHints(keys, self._hint_words)

    async def on_mount(self) -> None:
        self.query_one(Prompt).elsewhere = self.elsewhere
        self.app.theme_changed_signal.subscribe(self, lambda _: self._recolour())
        self.drawing.begin()
        wanted = self.workspace.config.chat.default_agent or self.workspace.focused
        names = self.workspace.names
        layout = dict(self.workspace.layout)
        side = self.query_one("#side")
        side.set_class(not layout.get("side", True), "-hidden")
        side.set_class(layout.get("side_narrow", False), "-asked")
        await self.show_agent(wanted if wanted in names else names[0])
        if layout.get("grid"):
            await self.toggle_grid()
        self.app.let_keys_in()  # type: ignore[attr-defined]
        self._show_engine()
        self.drawing.behind |= {"roster", "cells", "stats"}
        self.names.read_sessions()
        self.call_after_refresh(self.memory.begin, self.remember)

    def toggle_side(self) -> None:
        """Show or hide cells and events; on narrow screens they are hidden at first."""
        side = self.query_one("#side")
        if self.memory.shown and not self.has_class("-narrow"):  # it stands in the same place
            self.memory.close()
            side.set_class(False, "-hidden")
            self.workspace.arrange("side", True)
            return
        if self.has_class("-narrow"):
            side.toggle_class("-asked")
            self.workspace.arrange("side_narrow", side.has_class("-asked"))
        else:
            side.toggle_class("-hidden")
            self.workspace.arrange("side", not side.has_class("-hidden"))
        self.query_one(CachePane).draw()  # else it says what held when it was hidden
        self.drawing.behind.add("cells")
        self.call_after_refresh(self.drawing.cells)

    def _recolour(self) -> None:
        """Another theme: what was drawn in colours of the one before is drawn anew."""
        self.query_one(EventLog).write_again()
        self.drawing.behind |= {"agents", "stats", "cells"}
        self.drawing.meters_now()

    @property
    def cells_shown(self) -> bool:
        """Whether the person has the cell map in sight."""
        return self.app.screen is self and self.query_one(CachePane).is_on_screen

    def close_something(self) -> bool:
        """Close the completion, toasts, the search or the grid. False when nothing was open."""
        prompt = self.query_one(Prompt)
        if prompt.close_popup():
            return True
        if self.app.close_toasts():  # type: ignore[attr-defined]
            self.drawing.behind.add("agents")
            return True
        if self.memory.focused and (view := self.memory.view) is not None:
            view.action_leave()
            return True
        if isinstance(self.focused, Transcript):
            self.focused.action_leave()
            return True
        if self.grid_shown and not self.workspace.get(self.current).busy:
            self.run_worker(self.show_agent(self.current))
            return True
        if not self.grid_shown and self.conversation.close_find():
            prompt.focus_input()
            return True
        return False

    # --- actions ---------------------------------------------------------------------------------

    def action_run(self, action: str) -> None:
        self.controller.start(action)

    def action_jump(self, number: int) -> None:
        self.controller.start("go_agent", str(number))

    def action_messages(self) -> None:
        """Alt+Up: keys act on messages from now on, until Esc."""
        if not self.grid_shown:
            self.conversation.focus_messages()

    def action_copy_text(self) -> None:
        """Ctrl+C: what is selected with the mouse, by every way to the clipboard there is."""
        selected = self.get_selected_text()
        if not selected:
            raise SkipAction
        self.notify(copy(self.app, selected, "Selection"), markup=False)

    def _hint_words(self) -> Mapping[str, str]:
        """Words of the key hints that depend on what goes on."""
        words: dict[str, str] = {}
        if self.app.toasts_shown:  # type: ignore[attr-defined]
            words["stop"] = "Close"
        elif self.memory.focused or isinstance(self.focused, Transcript):
            words["stop"] = "Back"
        elif self.current in self.workspace.names and self.workspace.get(self.current).busy:
            words["stop"] = "Stop"
        elif self.grid_shown:
            words["stop"] = "Back"
        if self.grid_shown:
            words["grid"] = "Chat"
        return words

    # --- messages of widgets ---------------------------------------------------------------------

    @on(AgentSelected)
    async def _selected(self, event: AgentSelected) -> None:
        await self.go_to(event.agent)

    @on(KeyHints.Pressed)
    def _hint(self, event: KeyHints.Pressed) -> None:
        self.controller.start(event.action)

    @on(ChatGrid.Selected)
    async def _grid_selected(self, event: ChatGrid.Selected) -> None:
        if not self.grid_shown:
            return  # the click that closed it
        if event.opens:
            await self.show_agent(event.agent)
        else:
            await self.go_to(event.agent, event.writes)

    @on(ChatGrid.Typed)
    def _grid_typed(self, event: ChatGrid.Typed) -> None:
        self.write(event.text)

    @on(Prompt.Submitted)
    async def _submitted(self, event: Prompt.Submitted) -> None:
        try:
            names = await self.workspace.send(event.text, self.current)
        except HaloError as error:
            self.notify(str(error), severity="error", markup=False)
            self.give_back(self.current, event.text)
            return
        if not self.grid_shown and names and self.current not in names:
            self.notify(f"Sent to {', '.join(names)}.", markup=False)
        elif names == [self.current] and (name := stranger(event.text, self.workspace.names)):
            self.notify(f"Nobody is called {name}: it went to {self.current}.", markup=False)
        self.workspace.set_draft(self.current, "")
        if self.current in names:
            self.conversation.scroll_end_now()  # what one just said is what one wants to see

    @on(Prompt.Command)
    def _command(self, event: Prompt.Command) -> None:
        self.controller.slash(event.name, event.args)

    @on(Prompt.Unqueue)
    def _unqueue(self, event: Prompt.Unqueue) -> None:
        if event.index == ALL:
            while self.workspace.get(self.current).queue:
                self.workspace.unqueue(self.current, 0)
            return
        try:
            text = self.workspace.unqueue(self.current, event.index)
        except HaloError:
            return  # it was sent a moment ago
        if event.edit:
            self.query_one(Prompt).set_draft(text)

    @on(Prompt.ScrollRequested)
    def _scroll(self, event: Prompt.ScrollRequested) -> None:
        if not self.grid_shown:
            self.conversation.scroll_page(event.pages)
            return
        for grid in self.query(ChatGrid):
            (grid.scroll_page_down if event.pages > 0 else grid.scroll_page_up)(animate=False)

    @on(Conversation.Suggested)
    def _suggested(self, event: Conversation.Suggested) -> None:
        self.query_one(Prompt).set_draft(event.text)
        self.query_one(Prompt).focus_input()

    @on(Conversation.PromptRequested)
    def _prompt_requested(self) -> None:
        self.query_one(Prompt).focus_input()

    @on(Conversation.LinkRequested)
    def _link(self, event: Conversation.LinkRequested) -> None:
        self.app.open_url(event.href)

    @on(Conversation.EditRequested)
    def _edit(self, event: Conversation.EditRequested) -> None:
        self.controller.begin(self.controller.edit_turn(event.agent, event.turn_id, event.text))

    @on(Conversation.RegenerateRequested)
    def _regenerate(self, event: Conversation.RegenerateRequested) -> None:
        self.controller.begin(self.workspace.regenerate(event.agent, event.turn_id))

    @on(Conversation.ForkRequested)
    def _fork(self, event: Conversation.ForkRequested) -> None:
        self.controller.begin(self.controller.fork_at(event.agent, event.turn_id))

    @on(Conversation.FoundRequested)
    def _found(self, event: Conversation.FoundRequested) -> None:
        self.controller.begin(self.controller.go_to_found(event.found))

    @on(SourceRequested)
    def _source(self, event: SourceRequested) -> None:
        self.controller.begin(self.controller.go_to_source(event.source))

    @on(MemoryLeft)
    def _memory_left(self) -> None:
        self.focus_prompt()

    @on(MemoryZoomed)
    def _memory_zoomed(self) -> None:
        if (view := self.memory.view) is not None:
            entity = view.node.id if view.node else ""
            self.controller.begin(self.memory.whole(view.tab, entity=entity))

    @on(WordRequested)
    def _word(self, event: WordRequested) -> None:
        self.controller.begin(self.controller.word(event.recall))

    @on(Conversation.CopyRequested)
    def _copy(self, event: Conversation.CopyRequested) -> None:
        self.notify(copy(self.app, event.text, event.what), markup=False)

    # --- events of the workspace -----------------------------------------------------------------

    def on_workspace(self, event: WorkspaceEvent) -> None:
        """One event; cheap, what is drawn is drawn by the frame timer."""
        match event:
            case TurnDelta() | TurnAdded() | TurnsTruncated() | CallChanged():
                self._to_chats(event)
            case TurnFinished():
                self._to_chats(event)
                self.answer_news.finished(event)
                self.drawing.behind.add("agents")
            case AgentChanged(name):
                self._to_chats(event)
                self.drawing.behind.add("agents")
                kind = self.workspace.get(name).state.kind
                if self._kinds.get(name) != kind:  # what one waits for is shown with the next frame
                    self._kinds[name] = kind
                    self.drawing.meters_now()
            case PromptReturned(name, text, why):
                self.give_back(name, text)
                if name == self.current:  # of others the log's line tells
                    self.notify(why, severity="error", markup=False)
            case RosterChanged():
                self._to_chats(event)
                self.drawing.behind.add("roster")
            case CacheChanged(cache):
                self.drawing.behind.add("cells")
                if cache.away != self._away:  # the list says who is aside
                    self._away = cache.away
                    self.drawing.behind.add("agents")
            case CompactionChanged():
                self.drawing.behind |= {"cells", "agents"}
                self.compaction_news.apply(event)
            case StatsChanged():
                self.drawing.behind.add("stats")
            case EngineChanged():
                self._show_engine(event)
            case SavedChanged():
                self.names.read_sessions()
            case Logged():
                self._logged(event)

        if isinstance(self.app.screen, CompactionsScreen | ExpertsScreen | SessionsScreen):
            self.app.screen.apply(event)

    def _to_chats(self, event: WorkspaceEvent) -> None:
        """Conversations pick out what concerns their agent."""
        name = getattr(event, "agent", None)  # None: of all
        for chat in self.chats.values():
            if name is None or chat.agent.name == name:
                chat.apply(event)

    def _logged(self, event: Logged) -> None:
        entry = event.entry
        self.query_one(EventLog).add(entry)
        if isinstance(self.app.screen, LogScreen):
            self.app.screen.add(entry)
        # The banner tells of the engine, the conversation of its agent, toasts of compactions.
        seen = entry.kind == "engine" or (entry.agent and entry.agent == self.current)
        if entry.level == "error" and not seen and entry.kind != "compaction":
            self.notify(entry.text, severity="error", markup=False)

    def _show_engine(self, event: EngineChanged | None = None) -> None:
        state = self.workspace.engine_state
        banner = self.query_one("#banner", Static)
        if (told := engine_banner(self.workspace, event)) is not None:
            banner.update(told)
        banner.set_class(state != "ready", "-shown")
        banner.set_class(state == "dead", "-error")
        self.drawing.behind |= {"agents", "stats", "cells"}

    # --- parts that come and go ------------------------------------------------------------------

    async def rebuild(self) -> None:
        """The list of agents has changed: their conversations and rows follow it."""
        # One after the other and never cancelled: a removal that is cut off leaves widgets that
        # cannot be closed.
        async with self._rebuilding:
            await self._sync_agents()

    async def _sync_agents(self) -> None:
        known = {agent.id for agent in self.workspace.agents}
        for agent_id in [i for i in self.chats if i not in known]:
            await self.chats.pop(agent_id).remove()
        if self.current not in self.workspace.names and self.workspace.names:
            await self.go_to(self.workspace.focused or self.workspace.names[0])
        for rows in self.query(AgentList):  # none while the app is being left
            await rows.sync()
        self.drawing.behind.add("cells")

    def on_screen_resume(self) -> None:
        """What was over it is gone, and the window may have another size since."""
        self.call_after_refresh(self.memory.resized)

    def on_resize(self, event: events.Resize) -> None:
        small = event.size.width < SMALLEST[0] or event.size.height < SMALLEST[1]
        self.set_class(small, "-toosmall")
        if small:
            self.query_one("#small", Static).update(
                f"{event.size.width}×{event.size.height} is too small: halo-tui needs "
                f"{SMALLEST[0]}×{SMALLEST[1]}. Make the window larger; nothing is lost."
            )
        self.drawing.behind |= {"cells", "agents"}
        self.set_timer(0.1, self.memory.resized)  # when what has no room is hidden


def _id[W: Static | AgentTabs | AgentList](widget: W, name: str) -> W:
    widget.id = name
    return widget
