"""The Cypher console: a query with highlighting and history, and its result as a table."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import DataTable, Static, TextArea

from agents.memory.types import Table
from tui.themes import solid
from tui.widgets.chat.colours import readable
from tui.widgets.memory.words import cut, plain

if TYPE_CHECKING:
    from pygments.lexer import Lexer

EXAMPLE = "MATCH (a:Entity)-[r]->(b:Entity) RETURN a.name, type(r), b.name LIMIT 20"
CELL = 60  # most columns of a cell


@lru_cache(maxsize=1)
def _lexer() -> Lexer:
    from pygments.lexers.graph import CypherLexer

    return CypherLexer(ensurenl=False)


def highlights(line: str) -> list[tuple[int, int, str]]:
    """(start, end, kind) of what is coloured in a line of Cypher; ends are exclusive."""
    from pygments.token import Comment, Error, Keyword, Number, Operator, String

    kinds = ((Keyword, "keyword"), (String, "string"), (Number, "number"), (Comment, "comment"),
             (Operator, "operator"))  # fmt: skip
    found: list[tuple[int, int, str]] = []
    at = 0
    parameter = False
    before = ""
    for kind, text in _lexer().get_tokens(line):
        start, at = at, at + len(text)
        name = next((word for parent, word in kinds if kind in parent), "")
        if kind in Error and text == "$":
            parameter, name = True, "parameter"
        elif parameter:
            parameter, name = False, "parameter"
        elif before == ":" and text.strip():
            name = "label"
        elif not name and line[at : at + 1] == "(" and text.isidentifier():
            name = "function"
        before = text
        if name and start < len(line):
            found.append((start, min(at, len(line)), name))
    return found


class CypherArea(TextArea):
    """The query. Enter runs it, Ctrl+J makes a new line, Up and Down at its ends go through
    earlier ones."""

    DEFAULT_CSS = """
    CypherArea, CypherArea:focus { height: auto; min-height: 1; max-height: 6; width: 1fr;
        border: none; padding: 0; background: $surface; scrollbar-size-vertical: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+j,shift+enter,alt+enter", "newline", show=False),
    ]

    class Run(Message):
        """Run the query."""

    def __init__(self) -> None:
        super().__init__(compact=True, highlight_cursor_line=False, tab_behavior="focus")
        self.past: list[str] = []  # earlier queries, oldest first
        self._back = 0  # how far back; 0 = what is being written
        self._stash = ""

    def get_line(self, line_index: int) -> Text:
        line = super().get_line(line_index)
        ground = solid(self.app, "surface", "#000000")
        colours = {
            "keyword": f"bold {readable(solid(self.app, 'primary', '#5fb3f9'), ground)}",
            "string": readable(solid(self.app, "success", "#6fcf97"), ground),
            "number": readable(solid(self.app, "warning", "#f2c14e"), ground),
            "parameter": f"bold {readable(solid(self.app, 'warning', '#f2c14e'), ground)}",
            "label": readable(solid(self.app, "accent", "#f5a65b"), ground),
            "function": readable(solid(self.app, "secondary", "#8f7df0"), ground),
            "operator": "dim",
            "comment": "dim italic",
        }
        for start, end, kind in highlights(line.plain):
            line.stylize(colours[kind], start, end)
        return line

    async def _on_key(self, event: events.Key) -> None:
        row = self.cursor_location[0]
        if event.key == "enter":
            self.post_message(self.Run())
        elif event.key == "up" and row == 0 and self._back < len(self.past):
            self._go(self._back + 1)
        elif event.key == "down" and row == self.document.line_count - 1 and self._back:
            self._go(self._back - 1)
        else:
            await super()._on_key(event)
            return
        event.stop()
        event.prevent_default()

    def _go(self, back: int) -> None:
        if not self._back:
            self._stash = self.text
        self._back = back
        self.text = self.past[-back] if back else self._stash
        self.move_cursor(self.document.end)

    def earlier(self, queries: list[str]) -> None:
        """Those of earlier times, which may have taken longer to be read than the first to be run."""
        self.past[:0] = queries

    def remember(self, query: str) -> None:
        """A query that was run."""
        if not self.past or self.past[-1] != query:
            self.past.append(query)
        self._back = 0

    def action_newline(self) -> None:
        self._replace_via_keyboard("\n", *self.selection)


class CypherConsole(Vertical):
    """Query, state, table."""

    DEFAULT_CSS = """
    CypherConsole { height: 1fr; }
    CypherConsole > #cypher-line { height: auto; background: $surface; padding: 0 1; }
    CypherConsole #cypher-mark { width: 2; color: $text-primary; }
    CypherConsole.-writes #cypher-mark { color: $text-error; text-style: bold; }
    CypherConsole > #cypher-head { height: auto; max-height: 4; padding: 0 1; color: $text-muted; }
    CypherConsole > #cypher-head.-error { color: $text-error; }
    CypherConsole > DataTable { height: 1fr; background: $background; padding: 0 1;
                                scrollbar-size-vertical: 1; scrollbar-size-horizontal: 1; }
    """

    class Asked(Message):
        """Run this query."""

        def __init__(self, query: str, read_only: bool) -> None:
            super().__init__()
            self.query_text = query
            self.read_only = read_only

    def __init__(self, seconds: float = 5.0) -> None:
        super().__init__()
        self.seconds = seconds
        self.read_only = True
        self.table: Table | None = None

    def compose(self) -> ComposeResult:
        with Horizontal(id="cypher-line"):
            yield Static("> ", id="cypher-mark")
            yield CypherArea()
        yield Static("", id="cypher-head", markup=False)
        yield DataTable(zebra_stripes=True, cursor_type="row")

    def on_mount(self) -> None:
        self.area.text = EXAMPLE
        self.area.select_all()  # what is typed first takes its place
        self.query_one(DataTable).can_focus = True
        self.say(self._rules())

    @property
    def area(self) -> CypherArea:
        """Where the query is typed."""
        return self.query_one(CypherArea)

    def _rules(self) -> str:
        mode = "read-only" if self.read_only else "WRITES ALLOWED"
        return f"Enter runs · ^J line · ↑ earlier · {mode} · {self.seconds:g} s"

    def allow_writes(self, allowed: bool) -> None:
        """Whether queries may change the graph from now on."""
        self.read_only = not allowed
        self.set_class(allowed, "-writes")
        self.query_one("#cypher-mark", Static).update("! " if allowed else "> ")
        self.say(self._rules())

    def say(self, words: str, error: bool = False) -> None:
        """A line below the query."""
        head = self.query_one("#cypher-head", Static)
        head.set_class(error, "-error")
        head.update(words)

    def show(self, table: Table) -> None:
        """Show a result."""
        self.table = table
        view = self.query_one(DataTable)
        view.clear(columns=True)
        for column in table.columns:
            view.add_column(Text(plain(str(column)), "bold"))
        for row in table.rows:
            view.add_row(*(_cell(value) for value in row))
        rows = f"{len(table.rows):,} {'row' if len(table.rows) == 1 else 'rows'}"
        more = " (there are more; add LIMIT)" if table.truncated else ""
        self.say(f"{rows}{more} in {table.seconds * 1000:.0f} ms")

    @on(CypherArea.Run)
    def _run_query(self, event: CypherArea.Run) -> None:
        event.stop()
        query = self.area.text.strip()
        if query:
            self.area.remember(query)
            self.post_message(self.Asked(query, self.read_only))


def _cell(value: object) -> Text:
    if value is None:
        return Text("∅", "dim")
    if isinstance(value, bool | int | float):
        return Text(f"{value:,}" if isinstance(value, int) else str(value), justify="right")
    return Text(cut(str(value), CELL))
