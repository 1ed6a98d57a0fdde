"""The list of entities: by recency or by how many facts they have, searched by typing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from agents.memory.types import Node
from tui.themes import solid
from tui.widgets.chat.colours import readable
from tui.widgets.memory.words import fit, look
from tui.widgets.session_words import when

Order = Literal["recency", "degree"]


class SearchInput(Input):
    """What one types to find an entity; the arrows move through the list meanwhile."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
    ]

    def action_move(self, step: int) -> None:
        """Another entity, while one types."""
        if isinstance(self.screen.focused, SearchInput) and self.parent is not None:
            options = self.parent.parent.query_one(OptionList)  # type: ignore[union-attr]
            if options.option_count:
                at = (options.highlighted if options.highlighted is not None else -step) + step
                options.highlighted = max(0, min(options.option_count - 1, at))


class EntityList(Vertical):
    """Search line, heading, entities."""

    DEFAULT_CSS = """
    EntityList { height: 1fr; }
    EntityList > #entity-search { height: 1; background: $surface; padding: 0 1; }
    EntityList #entity-mark { width: 2; color: $text-primary; }
    EntityList SearchInput, EntityList SearchInput:focus {
        width: 1fr; height: 1; border: none; padding: 0; background: $surface;
        background-tint: transparent 0%; }
    EntityList > #entity-head { height: 1; padding: 0 1; color: $text-muted; }
    EntityList > OptionList { height: 1fr; padding: 0 1; text-wrap: nowrap;
                              text-overflow: ellipsis; scrollbar-size-vertical: 1; }
    """

    class Chosen(Message):
        """An entity is highlighted."""

        def __init__(self, node: Node) -> None:
            super().__init__()
            self.node = node

    class Entered(Message):
        """Enter on an entity: look at its facts."""

    class Searched(Message):
        """What is typed changed."""

    def __init__(self) -> None:
        super().__init__()
        self.order: Order = "recency"
        self.nodes: list[Node] = []
        self._rows: list[Text] = []  # as shown

    def compose(self) -> ComposeResult:
        with Horizontal(id="entity-search"):
            yield Static("⌕ ", id="entity-mark")
            yield SearchInput(placeholder="/ finds a person, place or thing")
        yield Static("", id="entity-head")
        yield OptionList()

    @property
    def search(self) -> str:
        """What is typed."""
        return self.query_one(SearchInput).value.strip()

    @property
    def chosen(self) -> Node | None:
        """The entity highlighted."""
        at = self.query_one(OptionList).highlighted
        return self.nodes[at] if at is not None and at < len(self.nodes) else None

    def show(self, nodes: Sequence[Node], keep: str = "") -> None:
        """Show these; `keep` (an id) stays highlighted if it is there."""
        options = self.query_one(OptionList)
        chosen = self.chosen
        wanted = keep or (chosen.id if chosen else "")
        self.nodes = list(nodes)
        rows = [self._row(node) for node in self.nodes]
        ids = [node.id for node in self.nodes]
        at = ids.index(wanted) if wanted in ids else 0 if ids else None
        with self.prevent(OptionList.OptionHighlighted):
            if len(rows) == len(self._rows):  # others in the same places: draw what differs
                for index, row in enumerate(rows):
                    if row != self._rows[index]:
                        options.replace_option_prompt_at_index(index, row)
            else:
                options.clear_options()
                options.add_options([Option(row) for row in rows])
            options.highlighted = at
        self._rows = rows
        order = "latest first" if self.order == "recency" else "most facts first"
        self.query_one("#entity-head", Static).update(
            Text(f"{len(nodes):,} {'entity' if len(nodes) == 1 else 'entities'} · {order}")
        )
        now = self.chosen
        if now is not None and (chosen is None or now.id != chosen.id or keep):
            self.post_message(self.Chosen(now))

    def redraw(self) -> None:
        """The width changed."""
        options = self.query_one(OptionList)
        for index, node in enumerate(self.nodes):
            row = self._row(node)
            if row != self._rows[index]:
                options.replace_option_prompt_at_index(index, row)
                self._rows[index] = row

    def _row(self, node: Node) -> Text:
        width = max(16, self.size.width - 4)
        mark, colour = look(node.type)
        ground = solid(self.app, "surface", "#000000")
        style = readable(colour, ground) if colour else ""
        right = when(node.last_seen) if self.order == "recency" else f"{node.degree:,} facts"
        right = right.removesuffix("s") if node.degree == 1 and self.order == "degree" else right
        room = max(8, width - len(right) - 3)
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append(f"{mark} ", style).append(fit(node.name, room), "bold").append(" ")
        return line.append(right, "dim")

    def focus_list(self) -> None:
        """Keys to the list."""
        self.screen.set_focus(self.query_one(OptionList))  # at once: keys may follow fast

    def focus_search(self) -> None:
        """Keys to the search line."""
        self.screen.set_focus(self.query_one(SearchInput))

    def clear_search(self) -> bool:
        """Empty the search line. False when it was empty already."""
        field = self.query_one(SearchInput)
        had, field.value = bool(field.value), ""
        return had

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Searched())

    @on(Input.Submitted)
    @on(OptionList.OptionSelected)
    def _entered(self, event: Input.Submitted | OptionList.OptionSelected) -> None:
        event.stop()
        if self.chosen is not None:
            self.post_message(self.Entered())

    @on(OptionList.OptionHighlighted)
    def _highlighted(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        if self.chosen is not None:
            self.post_message(self.Chosen(self.chosen))
