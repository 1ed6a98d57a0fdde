"""Everything of the memory on one surface: beside the chat, or a screen of its own.

state line
1 Explore  2 Graph  3 Learnt  4 Ask  5 Cypher
entities | picture of the one chosen          in columns where there is room for them,
facts    | learnt / question / Cypher         else one part at a time
time slider
keys
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.timer import Timer
from textual.widgets import Input, Static, TextArea

from agents.memory.events import GraphChanged, Learnt, MemoryEvent, StateChanged
from agents.memory.types import Node, Stats
from engine.errors import HaloError
from tui import past_queries
from tui.widgets.key_bar import KeyBar
from tui.widgets.lettered import Question
from tui.widgets.memory import looks
from tui.widgets.memory.ask import AskPane
from tui.widgets.memory.console import CypherArea, CypherConsole
from tui.widgets.memory.edits import Edits
from tui.widgets.memory.entities import EntityList
from tui.widgets.memory.facts import FactList, RowList
from tui.widgets.memory.feed import Feed
from tui.widgets.memory.hints import hints
from tui.widgets.memory.messages import MemoryLeft, MemoryZoomed, WordRequested
from tui.widgets.memory.picture import GraphPicture
from tui.widgets.memory.slider import TimeSlider
from tui.widgets.memory.tabs import TABS, MemoryTabs, Tab
from tui.widgets.taken_down import stands, while_it_stands

if TYPE_CHECKING:
    from agents.memory.service import MemoryService
    from engine.config import Config
    from tui.memory_news import MemoryNews

COLUMNS = 100  # width from which on parts stand side by side
LOW = 27  # height below which the list and the picture take turns
GATHER = 0.8  # seconds in which what was learnt is gathered into one look at the graph
TYPING = 0.15
WRITES = "Queries may then change or delete anything in the graph, without undo. Allow it?"


class MemoryView(Edits, Vertical):
    """The memory of one workspace. Give it the service's news; it asks the rest by itself."""

    DEFAULT_CSS = looks.CSS
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(str(n), f"tab('{tab}')", label, show=False)
            for n, (tab, label) in enumerate(TABS, 1)
        ),
        Binding("slash", "search", "Search", show=False),
        Binding("o", "order", "Order", show=False),
        Binding("p", "past", "Past facts", show=False),
        Binding("plus,equals_sign,minus", "depth", "Depth", show=False),
        Binding("left_square_bracket", "time(-1)", "Back in time", show=False),
        Binding("right_square_bracket", "time(1)", "Forth in time", show=False),
        Binding("zero", "now", "Now", show=False),
        Binding("0", "now", "Now", show=False),
        Binding("a", "asks('accept')", "Accept", show=False),
        Binding("r", "asks('reject')", "Reject", show=False),
        Binding("e", "asks('edit')", "Edit", show=False),
        Binding("m", "asks('merge')", "Merge", show=False),
        Binding("s", "asks('split')", "Split", show=False),
        Binding("n", "asks('rename')", "Rename", show=False),
        Binding("d,delete", "asks('forget')", "Forget", show=False),
        Binding("u", "asks('undo')", "Undo", show=False),
        Binding("h", "asks('changes')", "Changes", show=False),
        Binding("w", "asks('word')", "Let the agent word it", show=False),
        Binding("x", "asks('writes')", "Allow writes", show=False),
        Binding("z", "zoom", "Whole screen", show=False),
    ]

    def __init__(
        self, config: Config, news: MemoryNews, *, tab: Tab = "explore", whole: bool = False
    ) -> None:
        super().__init__()
        self.config, self.news = config, news
        self.tab: Tab = tab
        self.whole = whole  # a screen of its own
        self.stats: Stats | None = None
        self.node: Node | None = None  # whose facts are shown
        self.centre = ""  # who stands in the middle of the picture
        self.depth = 1
        self.past = False
        self._unwatch: Any = lambda: None
        self._later: Timer | None = None
        self._typing: Timer | None = None
        self._behind = False  # something changed while this was hidden
        self._keep = ""  # the entity to be chosen when it is shown
        self._settled = 0
        self._keeping = asyncio.Lock()  # held while the file of past queries is in use

    def compose(self) -> ComposeResult:
        yield Static("", id="memory-state", markup=False)
        yield MemoryTabs(self.tab)
        with Container(id="rooms"):
            with Vertical(id="left"):
                yield EntityList()
                yield FactList()
            with Vertical(id="right"):
                yield GraphPicture()
                with Vertical(id="more"):
                    yield Feed()
                    yield AskPane()
                    yield CypherConsole(self.config.memory.query_seconds)
        yield TimeSlider()
        yield KeyBar(self)

    def on_mount(self) -> None:
        self._unwatch = self.news.watch(self._heard)
        self.set_class(True, f"-at-{self.tab}")
        self._fit()
        self._show_state()
        self.query_one(Feed).show(self.news.lessons)
        self.look()
        self._read_past_queries()

    def on_unmount(self) -> None:
        self._unwatch()

    @property
    def service(self) -> MemoryService:
        """The memory. Raises HaloError while it is off."""
        if self.news.service is None:
            raise HaloError(self.news.words()[2:])
        return self.news.service

    @property
    def as_of(self) -> float | None:
        """The moment that is looked at; None = now."""
        return self.query_one(TimeSlider).moment

    # --- size and parts --------------------------------------------------------------------------

    def on_resize(self) -> None:
        self._fit()
        self.call_after_refresh(self._redraw)

    def _fit(self) -> None:
        wide = self.size.width >= COLUMNS
        self.set_class(wide, "-columns")
        self.set_class(not wide, "-one")
        self.set_class(self.size.height < LOW, "-low")

    def _redraw(self) -> None:
        if stands(self):
            self.query_one(EntityList).redraw()
            self.query_one(FactList).redraw()
            self.query_one(Feed).redraw()
            self.query_one(AskPane).redraw()
            self._hints()

    def go(self, tab: Tab, focus: bool = True) -> None:
        """Show another part."""
        self.set_class(False, f"-at-{self.tab}")
        self.tab = tab
        self.set_class(True, f"-at-{tab}")
        self.query_one(MemoryTabs).show(tab)
        if tab in ("learnt", "explore"):
            self.query_one(Feed).show(self.news.lessons)
        if focus:
            self.focus_part()
        self.call_after_refresh(self._redraw)

    def focus_part(self) -> None:
        """Keys to the part shown."""
        if self.news.state.state == "off":
            self.focus()
            return
        if self.tab == "explore":
            self.query_one(EntityList).focus_list()
            return
        part = {
            "graph": self.query_one(GraphPicture),
            "learnt": self.query_one(Feed).list,
            "ask": self.query_one(AskPane).input,
            "cypher": self.query_one(CypherConsole).area,
        }[self.tab]
        self.screen.set_focus(part)

    can_focus = True

    def leave(self) -> bool:
        """Esc: out of a text, then out of the search. False when there was nothing to leave."""
        focused = self.screen.focused
        entities = self.query_one(EntityList)
        if isinstance(focused, Input) and focused in entities.query("*"):
            entities.clear_search()
            entities.focus_list()
            return True
        if isinstance(focused, Input | TextArea) and focused in self.query("*"):
            if self.tab == "ask" and self.query_one(AskPane).list.rows:
                self.query_one(AskPane).list.focus()
            elif self.tab == "cypher":
                self.query_one("DataTable").focus()
            else:
                self.go("explore")
            return True
        return entities.clear_search()

    def on_descendant_focus(self) -> None:
        self._hints()

    def _hints(self) -> None:
        """The keys that do something where one is."""
        self.query_one(KeyBar).show(
            hints(
                self.screen.focused,
                tab=self.tab,
                off=self.news.state.state == "off",
                depth=self.depth,
                whole=self.whole,
                beside=not self.screen.has_class("-narrow"),
                width=self.size.width,
            )
        )

    # --- what the memory tells -------------------------------------------------------------------

    def _heard(self, event: MemoryEvent) -> None:
        if not stands(self):
            return
        if isinstance(event, StateChanged):
            self._show_state()
            if event.state == "ready" and self.stats is None:
                self.look()
        elif isinstance(event, Learnt | GraphChanged) and self._later is None:
            # One look for all that is told in a moment.
            self._later = self.set_timer(GATHER, self._look_again)

    def _look_again(self) -> None:
        self._later = None
        self.show_lessons()
        self.look()

    def show_lessons(self) -> None:
        """The feed has changed; what is hidden is filled when it is shown."""
        feed = self.query_one(Feed)
        if feed.is_on_screen:
            feed.show(self.news.lessons)

    def _show_state(self) -> None:
        line = self.query_one("#memory-state", Static)
        line.update(self.news.words(self.stats))
        for state in ("down", "off"):
            line.set_class(self.news.state.state == state, f"-{state}")
        self.set_class(self.news.state.state == "off", "-empty-off")
        words = {"off": "", "starting": "The memory is starting…", "down": "The memory is down."}
        if self.news.state.state != "ready" and not self.query_one(EntityList).nodes:
            self.query_one(GraphPicture).show(None, words=words[self.news.state.state])
        self._hints()

    # --- asking the memory -----------------------------------------------------------------------

    def on_show(self) -> None:
        self.query_one(Feed).show(self.news.lessons)
        if self._behind:
            self.look(self._keep)

    def look(self, keep: str = "") -> None:
        """Ask for everything that is shown."""
        if self.news.service is None or self.news.state.state != "ready":
            return
        self._behind = not self.is_on_screen and self.stats is not None
        self._keep = keep if self._behind else ""
        if not self._behind:
            self._look(keep)

    @work(exclusive=True, group="memory-look")
    @while_it_stands
    async def _look(self, keep: str) -> None:
        try:
            self.stats, span = await asyncio.gather(self.service.stats(), self.service.span())
        except HaloError as error:
            self._fail(error)
            return
        self._show_state()
        self.query_one(TimeSlider).span(*span)
        await self._entities(keep)
        if self.node is not None:
            self._about(self.node.id, bool(self.centre), self._chosen_fact())

    def _chosen_fact(self) -> str:
        fact = self.query_one(FactList).list.fact
        return fact.id if fact else ""

    async def _entities(self, keep: str = "") -> None:
        entities = self.query_one(EntityList)
        try:
            found = await self.service.entities(
                entities.order, entities.search, limit=200, as_of=self.as_of
            )
        except HaloError as error:
            self._fail(error)
            return
        if not keep and entities.chosen is None and not entities.search:
            keep = next((node.id for node in found if node.degree), "")  # rather than a mere name
        entities.show(found, keep)
        if not found:
            self.node, self.centre = None, ""
            words = (
                f"Nothing is called “{entities.search}”." if entities.search
                else "Nothing is known yet: talk, and people and places appear here."
            )  # fmt: skip
            self.query_one(GraphPicture).show(None, words=words)
            self.query_one(FactList).show(None, [])

    @work(exclusive=True, group="memory-entities")
    @while_it_stands
    async def _list(self, keep: str = "") -> None:
        await self._entities(keep)

    def show_entity(self, node: Node, centre: bool = True) -> None:
        """Facts about an entity; `centre`: and its surroundings."""
        self.node = node
        self._about(node.id, centre)

    @work(exclusive=True, group="memory-about")
    @while_it_stands
    async def _about(self, entity: str, centre: bool, keep: str = "") -> None:
        as_of = self.as_of
        try:
            node = await self.service.entity(entity)
            facts = await self.service.facts(entity, as_of, past=self.past or as_of is not None)
            middle = entity if centre and not self._walking(entity) else self.centre or entity
            try:
                around = await self.service.neighbourhood(middle, self.depth, 40, as_of)
            except HaloError:  # the one in the middle was merged or forgotten
                middle = entity
                around = await self.service.neighbourhood(middle, self.depth, 40, as_of)
        except HaloError as error:
            if self.node is not None and self.node.id == entity:
                self.node = None
                self.query_one(FactList).show(None, [])
                self.query_one(GraphPicture).show(None, words=str(error))
            return
        self.node = node
        self.query_one(FactList).show(node, facts, keep)
        picture = self.query_one(GraphPicture)
        if centre or middle != self.centre:
            self.centre = middle
            picture.show(around, self.depth)
            picture.mark(entity)
        self._settled += 1

    def _walking(self, entity: str) -> bool:
        """Whether one walks through the picture and looks at one that is not in the middle."""
        return self.screen.focused is self.query_one(GraphPicture) and entity != self.centre

    def _fail(self, error: HaloError) -> None:
        self.query_one(GraphPicture).show(None, words=str(error))

    def ask(self, question: str) -> None:
        """Ask the graph, in the question box."""
        self.go("ask", focus=False)
        pane = self.query_one(AskPane)
        pane.list.focus()
        pane.ask(question)

    @on(AskPane.Asked)
    def _asked(self, event: AskPane.Asked) -> None:
        event.stop()
        self._recall(event.question)

    @work(exclusive=True, group="memory-ask")
    @while_it_stands
    async def _recall(self, question: str) -> None:
        pane = self.query_one(AskPane)
        pane.wait()
        try:
            recall = await self.service.recall(question, as_of=self.as_of)
        except HaloError as error:
            pane.fail(f"✗ {error}")
            return
        pane.show(recall)
        if pane.input.has_focus and recall.facts:
            pane.list.focus()
        if recall.entities:
            self.show_entity(recall.entities[0])
        self._settled += 1

    @on(CypherConsole.Asked)
    def _cypher(self, event: CypherConsole.Asked) -> None:
        event.stop()
        self._run_cypher(event.query_text, event.read_only)
        self._keep_query(event.query_text)

    @work(exclusive=True, group="memory-cypher")
    @while_it_stands
    async def _run_cypher(self, query: str, read_only: bool) -> None:
        console = self.query_one(CypherConsole)
        console.say("◔ Running…")
        try:
            table = await self.service.cypher(
                query, read_only=read_only, timeout=self.config.memory.query_seconds
            )
        except HaloError as error:
            console.say(f"✗ {error}", error=True)
        else:
            console.show(table)
            if not read_only:
                self.look()
        self._settled += 1

    # One after the other, in their order: the next query ends the one that runs, not its keeping.
    @work(group="memory-queries")
    async def _keep_query(self, query: str) -> None:
        async with self._keeping:
            await asyncio.to_thread(past_queries.append, query)

    @work(group="memory-queries")
    @while_it_stands
    async def _read_past_queries(self) -> None:
        async with self._keeping:
            found = await asyncio.to_thread(past_queries.read)
        self.query_one(CypherConsole).area.earlier(found)

    # --- messages of the parts -------------------------------------------------------------------

    @on(EntityList.Chosen)
    def _chosen(self, event: EntityList.Chosen) -> None:
        event.stop()
        self.show_entity(event.node)

    @on(EntityList.Entered)
    def _entered(self, event: EntityList.Entered) -> None:
        event.stop()
        self.query_one(FactList).list.focus()

    @on(EntityList.Searched)
    def _searched(self, event: EntityList.Searched) -> None:
        event.stop()
        if self._typing is not None:
            self._typing.stop()
        self._typing = self.set_timer(TYPING, self._search_now)

    def _search_now(self) -> None:
        self._typing = None
        self._list()

    @on(MemoryTabs.Chosen)
    def _tab_chosen(self, event: MemoryTabs.Chosen) -> None:
        event.stop()
        self.go(event.tab)

    @on(GraphPicture.Walked)
    def _walked(self, event: GraphPicture.Walked) -> None:
        event.stop()
        node = self._in_picture(event.entity)
        if node is not None:
            self.show_entity(node, centre=False)

    @on(GraphPicture.Gone)
    def _gone(self, event: GraphPicture.Gone) -> None:
        event.stop()
        node = self._in_picture(event.entity)
        if node is not None:
            self.centre = event.entity
            self.show_entity(node)

    def _in_picture(self, entity: str) -> Node | None:
        around = self.query_one(GraphPicture).around
        nodes = around.nodes if around else ()
        return next((node for node in nodes if node.id == entity), None)

    @on(TimeSlider.Changed)
    def _time_changed(self, event: TimeSlider.Changed) -> None:
        event.stop()
        self.look()

    # --- keys ------------------------------------------------------------------------------------

    def action_tab(self, tab: Tab) -> None:
        """Another part."""
        self.go(tab)

    async def action_enter(self) -> None:
        """What Enter does in a text."""
        focused = self.screen.focused
        if isinstance(focused, Input):
            await focused.action_submit()
        elif isinstance(focused, CypherArea):
            focused.post_message(CypherArea.Run())

    def action_search(self) -> None:
        """Find an entity by typing."""
        if self.tab != "explore" and not self.has_class("-columns"):
            self.go("explore", focus=False)
        self.query_one(EntityList).focus_search()

    def action_order(self) -> None:
        """Latest first, or those with most facts."""
        entities = self.query_one(EntityList)
        entities.order = "degree" if entities.order == "recency" else "recency"
        self._list()

    def action_past(self) -> None:
        """Facts that ended, too, or not."""
        self.past = not self.past
        if self.node is not None:
            self._about(self.node.id, False, self._chosen_fact())

    def action_depth(self) -> None:
        """One or two steps around the one in the middle."""
        self.depth = 1 if self.depth > 1 else 2
        if self.centre:
            self._about(self.centre, True)
        self._hints()

    def action_centre(self) -> None:
        """What is marked moves into the middle."""
        self.query_one(GraphPicture).action_go()

    def action_time(self, step: int) -> None:
        """Back or forth in time."""
        self.query_one(TimeSlider).action_step(step)

    def action_now(self) -> None:
        """The graph as it is now."""
        self.query_one(TimeSlider).action_step(999)

    def action_zoom(self) -> None:
        """The whole screen, or beside the chat."""
        self.post_message(MemoryZoomed())

    def action_leave(self) -> None:
        """One step back."""
        if not self.leave():
            self.post_message(MemoryLeft())

    def action_source(self) -> None:
        """To the message a fact comes from."""
        focused = self.screen.focused
        if isinstance(focused, RowList):
            focused.action_select()

    def question(self, action: str) -> Question | None:
        """The question before a letter does something."""
        if action == "word":
            recall = self.query_one(AskPane).recall
            if self.tab != "ask" or recall is None:
                return None
            return Question(
                "Have the agent of the chat word this answer?", "sends it",
                lambda: self.post_message(WordRequested(recall)),
            )  # fmt: skip
        if action == "writes":
            console = self.query_one(CypherConsole)
            if self.tab != "cypher":
                return None
            if not console.read_only:
                return Question(
                    "Make queries read-only again?", "does", lambda: console.allow_writes(False)
                )
            return Question(WRITES, "allows it", lambda: console.allow_writes(True))
        return super().question(action)

    def action_word(self) -> None:
        """Let the agent of the chat say what was found."""
        if (question := self.question("word")) is not None:
            question.do()

    def action_writes(self) -> None:
        """Let Cypher change the graph, after a question, or no longer."""
        self.action_asks("writes")
