"""The drawn surroundings of an entity: arrows walk through it, Enter goes to what is chosen."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from agents.memory.types import Neighbourhood
from tui.themes import solid
from tui.widgets.chat.colours import readable
from tui.widgets.memory.layout import Picture, draw
from tui.widgets.memory.words import cut, look


class GraphPicture(Widget, can_focus=True):
    """Entities as boxes, facts as arrows with their names; fits itself to its size."""

    DEFAULT_CSS = """
    GraphPicture { height: 1fr; min-height: 6; background: $background; padding: 0 1; }
    GraphPicture:focus { background: $primary 6%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "walk(-1, 0)", show=False),
        Binding("right", "walk(1, 0)", show=False),
        Binding("up", "walk(0, -1)", show=False),
        Binding("down", "walk(0, 1)", show=False),
        Binding("enter", "go", show=False),
    ]

    class Walked(Message):
        """Another entity of the picture is marked."""

        def __init__(self, entity: str) -> None:
            super().__init__()
            self.entity = entity

    class Gone(Message):
        """This entity should stand in the middle."""

        def __init__(self, entity: str) -> None:
            super().__init__()
            self.entity = entity

    def __init__(self) -> None:
        super().__init__()
        self.around: Neighbourhood | None = None
        self.marked = ""
        self.depth = 1
        self.words = ""  # shown instead of a picture
        self._drawn: Picture | None = None
        self._for: tuple[object, ...] = ()

    def show(self, around: Neighbourhood | None, depth: int = 1, words: str = "") -> None:
        """Draw these surroundings, or say in words why there are none."""
        self.around, self.depth, self.words = around, depth, words
        self.marked = around.centre if around else ""
        self._for = ()
        self.refresh()

    @property
    def picture(self) -> Picture | None:
        """What is drawn at the present size."""
        if self.around is None:
            return None
        width, height = self.content_size
        wanted = (id(self.around), width, height, self.marked, self.depth)
        if wanted != self._for:
            drawn = draw(self.around, width, height, self.marked, self.depth)
            if drawn.left_out and height > 1:  # the last row says how many are not drawn
                drawn = draw(self.around, width, height - 1, self.marked, self.depth)
            self._drawn = drawn
            self._for = wanted
        return self._drawn

    def render_line(self, y: int) -> Strip:
        width, height = self.content_size
        picture = self.picture
        ground = self.rich_style
        if picture is None:
            text = cut(self.words, width) if y == height // 2 else ""
            line = Strip([Segment(text.center(width), ground + Style(dim=True))])
            return line.adjust_cell_length(self.size.width, ground)
        segments = [
            Segment(text, ground + self._style(style)) for text, style in picture.canvas.row(y)
        ] if y < picture.canvas.height else []  # fmt: skip
        if y == height - 1 and picture.left_out:
            more = f" +{picture.left_out} not drawn "
            line = Strip(segments).adjust_cell_length(width, ground)
            line = Strip.join([
                line.crop(0, max(0, width - len(more))), Strip([Segment(more, ground + Style(dim=True))])
            ])  # fmt: skip
            return line.adjust_cell_length(self.size.width, ground)
        return Strip(segments).adjust_cell_length(self.size.width, ground)

    def _style(self, name: str) -> Style:
        ground = solid(self.app, "background", "#000000")
        if name.startswith("node:"):
            _, type, *selected = name.split(":")
            colour = look(type)[1] or solid(self.app, "foreground", "#ffffff")
            return Style(color=readable(colour, ground), bold=True, reverse=bool(selected))
        accent = readable(solid(self.app, "accent", "#ffffff"), ground)
        primary = readable(solid(self.app, "primary", "#ffffff"), ground)
        match name:
            case "selected":
                return Style(color=accent, bold=True)
            case "centre":
                return Style(color=primary, bold=True)
            case "label":
                return Style(
                    color=readable(solid(self.app, "foreground", "#ffffff"), ground), italic=True
                )
            case "past-label":
                return Style(dim=True, italic=True)
            case "past" | "edge" | "frame":
                return Style(
                    color=readable(solid(self.app, "border", "#7f8794"), ground), dim=name == "past"
                )
        return Style.null()

    # --- walking ---------------------------------------------------------------------------------

    def mark(self, entity: str) -> None:
        """Mark an entity of the picture."""
        if entity != self.marked and self.around is not None:
            self.marked = entity
            self.refresh()

    def action_walk(self, dx: int, dy: int) -> None:
        """To the next entity in a direction."""
        if self.picture is not None:
            self._walk_to(self.picture.towards(self.marked, dx, dy))

    def _walk_to(self, entity: str) -> None:
        if entity and entity != self.marked:
            self.mark(entity)
            self.post_message(self.Walked(entity))

    def action_go(self) -> None:
        """What is marked moves into the middle."""
        if self.marked:
            self.post_message(self.Gone(self.marked))

    def on_click(self, event: events.Click) -> None:
        """A click marks, another one on what is marked goes there."""
        place = event.get_content_offset(self)
        one = self.picture.at(place.x, place.y) if place and self.picture else None
        if one is None:
            return
        if one.node.id == self.marked:
            self.action_go()
        else:
            self._walk_to(one.node.id)
