"""The transcript: all messages of an agent as one widget that draws only the lines in view.

Any number of messages costs the same: those far from the view are no more than a height, which is
a guess until they come near and are laid out; the view stays where it is when a guess was wrong.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import ClassVar

from rich.segment import Segment
from textual import events, work
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Offset, Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip
from textual.style import Style

from agents.events import AgentState, Turn
from tui.widgets.chat.layout import Line, highlight_lines
from tui.widgets.chat.markdown import Leaf
from tui.widgets.chat.message import GUTTER, SPAN, Look, MessageView
from tui.widgets.plain_lines import PlainLines

MAX_TEXT_WIDTH = 120
MARGIN = 1  # pages laid out above and below the view
Match = tuple[int, int, int, int]  # message, logical line, start, end


class Transcript(PlainLines, ScrollView, can_focus=True):
    """The messages of one conversation. Knows nothing of where they come from."""

    DEFAULT_CSS = """
    Transcript {
        height: 1fr;
        overflow-x: hidden;
        overflow-y: scroll;
        scrollbar-size-vertical: 1;
        scrollbar-color: $foreground 20%;
        scrollbar-color-hover: $foreground 40%;
        scrollbar-background: $background;
        scrollbar-background-hover: $background;
        scrollbar-background-active: $background;
        background: $background;
        color: $foreground;
        pointer: default;

        & > .chat--you { color: $text-primary; text-style: bold; }
        & > .chat--h1 { color: $text-primary; text-style: bold underline; }
        & > .chat--h2 { color: $text-primary; text-style: bold; }
        & > .chat--h3 { text-style: bold; }
        & > .chat--em { text-style: italic; }
        & > .chat--strong { text-style: bold; }
        & > .chat--strike { text-style: strike; }
        & > .chat--link { color: $text-accent; text-style: underline; }
        & > .chat--code { color: $text-warning; background: $foreground 8%; }
        & > .chat--code-head { background: $foreground 10%; }
        & > .chat--code-title { color: $foreground-muted; }
        & > .chat--code-block { background: $foreground 5%; }
        & > .chat--prompt { background: $primary 8%; }
        & > .chat--quote-bar { color: $foreground-muted; }
        & > .chat--bullet { color: $text-primary; }
        & > .chat--dim { color: $foreground-muted; }
        & > .chat--key { color: $text-accent; text-style: bold; }
        & > .chat--stats { color: $foreground-muted; }
        & > .chat--note { color: $foreground-muted; text-style: italic; }
        & > .chat--thinking-head { color: $foreground-muted; text-style: italic; }
        & > .chat--thinking { color: $foreground-muted; }
        & > .chat--cursor { color: $text-accent; }
        & > .chat--warning { color: $text-warning; }
        & > .chat--error { color: $text-error; }
        & > .chat--gutter { color: $primary 60%; }
        & > .chat--gutter-selected { color: $accent; text-style: bold; }
        & > .chat--match { background: $warning 35%; }
        & > .chat--match-current { background: $warning; color: $background; text-style: bold; }
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,alt+up", "previous", "Message above", show=False),
        Binding("down,alt+down", "next", "Message below", show=False),
        Binding("c", "do('copy')", "Copy message"),
        Binding("y", "do('last_code')", "Copy code"),
        Binding("e", "do('edit')", "Edit"),
        Binding("r", "do('regenerate')", "Answer again"),
        Binding("f", "do('fork')", "Fork here"),
        Binding("t,enter,space", "do('fold')", "Fold", key_display="t"),
        Binding("escape", "leave", "Back to the prompt", show=False),
    ]

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "chat--you", "chat--h1", "chat--h2", "chat--h3", "chat--em", "chat--strong",
        "chat--strike", "chat--link", "chat--code", "chat--code-head", "chat--code-title",
        "chat--code-block", "chat--prompt", "chat--quote-bar", "chat--bullet", "chat--dim",
        "chat--key", "chat--stats", "chat--note", "chat--thinking-head", "chat--thinking",
        "chat--cursor", "chat--warning", "chat--error", "chat--gutter", "chat--gutter-selected",
        "chat--match", "chat--match-current",
    }  # fmt: skip

    class Action(Message):
        """Something in a message was clicked, or its key pressed."""

        def __init__(self, name: str, turn: Turn, args: tuple[object, ...] = ()) -> None:
            super().__init__()
            self.name = name
            self.turn = turn
            self.args = args

    class Moved(Message):
        """The view was scrolled or the conversation grew: how far the end is may have changed."""

    class Left(Message):
        """The person is done with messages: back to the prompt."""

    def __init__(self, *, window: int = 40, **kwargs: object) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]
        self.window = window  # messages kept laid out
        self.views: list[MessageView] = []
        self.agent = ""
        self.state = AgentState()
        self.colour_of: Callable[[str], str] = lambda author: "bold"
        self.following = True  # the end stays in view
        self.selected: int | None = None  # index of the message that keys act on
        self.opened: set[str] = set()  # ids of turns whose thoughts or folds are open
        self.thinking_since: dict[str, float] = {}
        self.thinking_took: dict[str, float] = {}
        self.matches: dict[int, list[Match]] = {}  # by message
        self.match: Match | None = None
        self.laid_out = 0  # how many layouts were made, for tests
        self._tops: list[int] = [0]  # first line of each message, and of what would come next
        self._near: list[int] = []  # laid-out messages, oldest use first
        self._hovered: int | None = None
        self._generation = 0  # of everything a drawn line depends on beside itself
        self._styles: dict[object, Style] = {}
        self._colouring: dict[int, Leaf] = {}  # long code blocks being highlighted
        self._preparing = False
        self._thumb: object = None  # the scrollbar as drawn
        self._pressed_at: Offset | None = None

    def on_mount(self) -> None:
        self._refresh_scrollbars()
        self.app.theme_changed_signal.subscribe(self, lambda _: self.restyle())

    def restyle(self) -> None:
        """Colours that depend on the theme or on an agent have changed: lay out anew."""
        for index in tuple(self._near):
            self._forget(index)
        self._resized()

    # --- contents --------------------------------------------------------------------------------

    @property
    def text_width(self) -> int:
        """Cells for text: the whole width, but no more than is pleasant to read."""
        return max(16, min(MAX_TEXT_WIDTH, self.scrollable_content_region.width - GUTTER - 1))

    def show(self, turns: list[Turn], agent: str, following: bool = True) -> None:
        """Show another conversation."""
        self.views = [MessageView(turn) for turn in turns]
        self.agent = agent
        self._near.clear()
        self.selected = self._hovered = None
        self.matches, self.match = {}, None
        self.following = following
        self._guess_heights(0)
        self._resized()

    def append(self, turn: Turn) -> None:
        """A new message at the end."""
        if self.views:
            self._forget(len(self.views) - 1)  # it is no longer the last: no "again"
        view = MessageView(turn)
        self.views.append(view)
        view.height = view.guess(self.text_width)
        self._sum_from(len(self.views) - 1)
        self._resized()

    def truncate(self, turn_id: str) -> None:
        """Remove this message and all after it."""
        index = self.index_of(turn_id)
        if index is None:
            return
        del self.views[index:]
        del self._tops[index + 1 :]
        self._near = [i for i in self._near if i < index]
        self.matches = {i: found for i, found in self.matches.items() if i < index}
        if self.match and self.match[0] >= index:
            self.match = None
        if self.selected is not None and self.selected >= index:
            self.selected = None
        self._hovered = None
        if self.views:
            self._forget(len(self.views) - 1)
        self._resized()

    def changed(self, turn_id: str = "") -> None:
        """The text or the state of a message (default: the last one) has changed."""
        index = self.index_of(turn_id) if turn_id else len(self.views) - 1
        if index is None or index < 0:
            return
        if not self.size.height:
            self._forget(index)  # out of sight; laid out when it is shown
            return
        view = self.views[index]
        before, place = view.lines, (self.scroll_y, self._tops[index])
        self._forget(index)
        self._prepare()
        if (self.scroll_y, self._tops[index]) == place and before and view.lines:
            first = view.keep_lines(before)
            row = self._tops[index] + first - round(self.scroll_y)
        else:
            row = 0
        width, height = self.scrollable_content_region.size  # the scrollbar sees to itself
        self.refresh(Region(0, max(0, row), width, height))
        self.post_message(self.Moved())

    def index_of(self, turn_id: str) -> int | None:
        """Where a message is in the conversation; the newest are found first."""
        for index in range(len(self.views) - 1, -1, -1):
            if self.views[index].turn.id == turn_id:
                return index
        return None

    def place(self) -> tuple[str, int]:
        """The message at the top of the view, and how many of its lines are above."""
        if not self.views:
            return "", 0
        top = round(self.scroll_y)
        index = self._message_at(top)
        return self.views[index].turn.id, top - self._tops[index]

    def go_to_place(self, place: tuple[str, int]) -> None:
        """Back to a `place` of before."""
        index = self.index_of(place[0])
        if index is None:
            return
        self.following = False
        self._place(self._tops[index])
        self._place(self._tops[index] + min(place[1], self.views[index].height - 1))

    # --- geometry --------------------------------------------------------------------------------

    def _guess_heights(self, start: int) -> None:
        width = self.text_width
        for view in self.views[start:]:
            if view.width != width:
                view.height = view.guess(width)
        self._sum_from(start)

    def _sum_from(self, start: int) -> None:
        del self._tops[start + 1 :]
        top = self._tops[start]
        for view in self.views[start:]:
            top += view.height
            self._tops.append(top)

    def _forget(self, index: int) -> None:
        """This message has to be laid out again."""
        self.views[index].lines = []
        if index in self._near:
            self._near.remove(index)

    def _resized(self) -> None:
        """Lay out what is in view, and keep the place."""
        if not self.is_attached or not self.size.height:
            return
        self._prepare()
        self.refresh()
        self.post_message(self.Moved())

    def _prepare(self) -> None:
        """Lay out the messages near the view. Those above it may change height without a jump."""
        if self._preparing:
            return
        self._preparing = True
        try:
            page = self.scrollable_content_region.height
            for _ in range(8):  # each layout can bring other messages into view
                top = max(0, self._tops[-1] - page) if self.following else round(self.scroll_y)
                anchor = self._message_at(top)
                inside = top - self._tops[anchor] if self.views else 0
                changed = self._lay_out_between(top - MARGIN * page, top + (1 + MARGIN) * page)
                if not changed:
                    break
                if not self.following and self.views:
                    self._set_height()
                    self._go_to(self._tops[anchor] + min(inside, self.views[anchor].height - 1))
            self._set_height()
            if self.following:
                self._go_to(self.max_scroll_y)
            self._release_far()
            self._show_scrollbar()
        finally:
            self._preparing = False

    def _lay_out_between(self, first: int, last: int) -> bool:
        """Lay out the messages on these lines. Returns whether any height changed."""
        if not self.views:
            return False
        width = self.text_width
        start, end = self._message_at(max(0, first)), self._message_at(max(0, last))
        lowest = None
        # From the end, where the reader usually is; all of them are needed in the end.
        for index in range(end, start - 1, -1):
            view = self.views[index]
            if view.lines and view.width == width:
                continue
            before = view.height
            view.lay_out(self._look(index))
            self.laid_out += 1
            self._colour_later(view)
            if view.height != before:
                lowest = index
        for index in range(start, end + 1):
            if index in self._near:
                self._near.remove(index)
            self._near.append(index)
        if lowest is None:
            return False
        self._sum_from(lowest)
        return True

    def _release_far(self) -> None:
        """Keep the lines of `window` messages, at least those in view."""
        page = self.scrollable_content_region.height
        top = round(self.scroll_y)
        start = self._message_at(max(0, top - MARGIN * page))
        end = self._message_at(max(0, top + (1 + MARGIN) * page))
        keep = max(self.window, end - start + 1)
        while len(self._near) > keep:
            for index in self._near:
                if not start <= index <= end:
                    self.views[index].release()
                    self._near.remove(index)
                    break
            else:
                break

    def _message_at(self, line: int) -> int:
        """Index of the message on a line of the transcript."""
        return max(0, min(len(self.views) - 1, bisect_right(self._tops, line) - 1))

    def _set_height(self) -> None:
        size = Size(self.scrollable_content_region.width, self._tops[-1])
        if size != self.virtual_size:
            # Setting it the plain way lays out the whole screen, ten times a second while text
            # streams. Here nothing but the scrollbar depends on it.
            self.set_reactive(Transcript.virtual_size, size)  # type: ignore[arg-type]

    def _go_to(self, y: float) -> None:
        y = max(0, min(y, self.max_scroll_y))
        self.set_reactive(Transcript.scroll_y, y)  # type: ignore[arg-type]
        self.set_reactive(Transcript.scroll_target_y, y)  # type: ignore[arg-type]

    def _show_scrollbar(self) -> None:
        """Bring the scrollbar up to date, when that can be seen: drawing it is not cheap."""
        page, total = self.scrollable_content_region.height, max(1, self._tops[-1])
        # In eighths of a line, as it is drawn; in lines while it only shrinks with the text.
        if self.following:
            thumb = (page, page * page // total, -1)
        else:
            thumb = (page, 8 * page * page // total, round(8 * page * self.scroll_y / total))
        if thumb != self._thumb:
            self._thumb = thumb
            self._scroll_update(self.virtual_size)
            self.vertical_scrollbar.position = self.scroll_y

    def _look(self, index: int) -> Look:
        view = self.views[index]
        turn = view.turn
        return Look(
            width=self.text_width,
            colour_of=self.colour_of,
            state=self.state,
            agent=self.agent,
            last=index == len(self.views) - 1,
            selected=index == self.selected,
            hovered=index == self._hovered,
            opened=turn.id in self.opened,
            thinking_seconds=self._thinking_seconds(turn),
        )

    def _thinking_seconds(self, turn: Turn) -> float:
        since = self.thinking_since.get(turn.id)
        if since is None:
            return 0.0
        if turn.text or turn.status != "streaming":
            return self.thinking_took.setdefault(turn.id, time.monotonic() - since)
        return time.monotonic() - since

    # --- scrolling -------------------------------------------------------------------------------

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if self._preparing:
            return
        self.following = new_value >= self.max_scroll_y - 0.5
        self._prepare()
        self.refresh()
        self.post_message(self.Moved())

    def on_resize(self) -> None:
        """Another width: lay out anew, the first line in view stays in view."""
        if not self.size.height:
            return
        if self.views and self.views[-1].width != self.text_width:
            anchor = self._message_at(round(self.scroll_y))
            old = max(1, self.views[anchor].height)
            share = (self.scroll_y - self._tops[anchor]) / old
            for index in self._near:
                self.views[index].release()
            self._near.clear()
            self._guess_heights(0)
            self._set_height()
            if not self.following:
                self._preparing = True
                self._go_to(self._tops[anchor] + round(share * self.views[anchor].height))
                self._preparing = False
        self._resized()

    def scroll_to_end(self) -> None:
        """Go to the newest message and stay there."""
        self.following = True
        self._resized()

    def scroll_to_start(self) -> None:
        """Go to the first message."""
        self.following = False
        self._place(0)

    def scroll_lines(self, lines: int) -> None:
        """Scroll by lines, negative is up."""
        self._place(self.scroll_y + lines)

    def _place(self, y: float) -> None:
        y = max(0, min(y, self.max_scroll_y))
        if y == self.scroll_y:
            self.following = y >= self.max_scroll_y
            self.post_message(self.Moved())
        else:
            self.scroll_y = self.scroll_target_y = y

    def action_page_up(self) -> None:
        self.scroll_lines(-max(1, self.size.height - 2))

    def action_page_down(self) -> None:
        self.scroll_lines(max(1, self.size.height - 2))

    def action_scroll_home(self) -> None:
        self.scroll_to_start()

    def action_scroll_end(self) -> None:
        self.scroll_to_end()

    @property
    def lines_below(self) -> int:
        """Lines after the last one in view."""
        return max(0, round(self.max_scroll_y - self.scroll_y))

    # --- drawing ---------------------------------------------------------------------------------

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles.clear()
        self._generation += 1

    def _style(self, style: Style | str) -> Style:
        if not isinstance(style, str):
            return style
        known = self._styles.get(style)
        if known is None:
            own = style.startswith(".")
            known = self._component(style[1:]) if own else self._get_style(style)
            self._styles[style] = known
        return known

    def _component(self, name: str) -> Style:
        """What a component class sets, and nothing else (Textual's own loses solid backgrounds)."""
        styles = self.get_component_styles(name)
        text = styles.text_style
        return Style(
            background=styles.background if styles.has_rule("background") else None,
            foreground=styles.color if styles.has_rule("color") else None,
            bold=text.bold,
            italic=text.italic,
            underline=text.underline,
            strike=text.strike,
        )

    def _base(self, name: str) -> Style:
        key = ("base", name)
        known = self._styles.get(key)
        if known is None:
            known = self.get_visual_style(name) if name else self.visual_style
            self._styles[key] = known
        return known

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        row = round(self.scroll_y) + y
        if not self.views or row >= self._tops[-1]:
            return Strip.blank(width, self._base("").rich_style)
        index = self._message_at(row)
        view = self.views[index]
        inside = row - self._tops[index]
        if inside >= len(view.lines):
            return Strip.blank(width, self._base("").rich_style)
        line = view.lines[inside]
        selection = self.text_selection
        span = selection.get_span(index * SPAN + line.y) if selection else None
        marks = [m for m in self.matches.get(index, ()) if m[1] == line.y]
        key = (
            width,
            self._generation,
            index,
            index == self.selected,
            span,
            tuple(marks),
            self.match if marks else None,
        )
        if line.strip is None or line.key != key:
            line.strip = self._draw(line, index, width, span, marks)
            line.key = key
        return line.strip

    def _draw(
        self, line: Line, index: int, width: int, span: tuple[int, int] | None, marks: list[Match]
    ) -> Strip:
        content = line.content
        for match in marks:
            name = ".chat--match-current" if match == self.match else ".chat--match"
            content = self._mark(content, line, match[2], match[3], name)
        if span is not None:
            start, end = span
            style = self.screen.get_visual_style("screen--selection")
            content = self._mark(content, line, start, None if end == -1 else end, style)
        view = self.views[index]
        own = view.turn.role == "user"
        base = self._base(line.base)
        number = index * SPAN + line.y
        segments = self._gutter(line, index, own, number)
        used = GUTTER
        x = line.x
        position = 0
        for text, style in content.render(base, end="", parse_style=self._style):
            lead = text[: max(0, line.lead - position)]
            for character in lead:
                segments.append(Segment(character, style.rich_style_with_offset(line.x, number)))
            rest = text[len(lead) :]
            if rest:
                segments.append(Segment(rest, style.rich_style_with_offset(x, number)))
                x += len(rest)
            position += len(text)
        used += content.cell_length
        if line.base:
            room = max(0, self.text_width + GUTTER - used)
            segments.append(Segment(" " * room, base.rich_style_with_offset(x, number)))
            used += room
        if used < width:
            plain = self._base("").rich_style_with_offset(x, number)
            segments.append(Segment(" " * (width - used), plain))
        return Strip(segments, max(used, width)).crop(0, width)

    def _gutter(self, line: Line, index: int, own: bool, number: int) -> list[Segment]:
        """Two cells left of the text: which message is selected, and what was said to the agent."""
        mark, name = " ", ""
        if line.y < SPAN - 1:
            if index == self.selected:
                mark, name = "┃", "chat--gutter-selected"
            elif own:
                mark, name = "▌", "chat--gutter"
        style = (self._base("") + self._base(name)) if name else self._base("")
        return [
            Segment(mark, style.rich_style_with_offset(line.x, number)),
            Segment(" ", self._base("").rich_style_with_offset(line.x, number)),
        ]

    @staticmethod
    def _mark(
        content: Content, line: Line, start: int, end: int | None, style: Style | str
    ) -> Content:
        """Style logical characters start:end where they are on this line."""
        length = len(content.plain) - line.lead
        first = max(0, start - line.x)
        last = length if end is None else min(length, end - line.x)
        if first >= last:
            return content
        return content.stylize(style, line.lead + first, line.lead + last)

    # --- code colours ----------------------------------------------------------------------------

    def _colour_later(self, view: MessageView) -> None:
        for leaf in view.plain_code():
            if id(leaf) not in self._colouring:
                self._colouring[id(leaf)] = leaf
                self._highlight(view, leaf)

    @work(thread=True, group="highlight", exit_on_error=False)
    def _highlight(self, view: MessageView, leaf: Leaf) -> None:
        lines = highlight_lines(list(leaf.code), leaf.language)
        self.app.call_from_thread(self._highlighted, view, leaf, lines)

    def _highlighted(self, view: MessageView, leaf: Leaf, lines: list[Content]) -> None:
        leaf.highlighted = lines
        del self._colouring[id(leaf)]
        view.recolour()
        if view in self.views and view.lines:
            self._forget(self.views.index(view))
            self._resized()

    # --- selection and mouse ---------------------------------------------------------------------

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The selected text: whole paragraphs, without soft line breaks and decoration."""
        start, end = selection
        first_y = start.y if start else 0
        last_y = end.y if end else len(self.views) * SPAN
        out: list[str] = []
        for index in range(first_y // SPAN, min(len(self.views) - 1, last_y // SPAN) + 1):
            if out and out[-1]:
                out.append("")
            for y, text in self._logical(index):
                span = selection.get_span(index * SPAN + y)
                if span is not None:
                    begin, stop = span
                    out.append(text[begin : None if stop == -1 else stop])
        text = "\n".join(out).strip("\n")
        return (text, "\n") if text else None

    def _logical(self, index: int) -> Iterator[tuple[int, str]]:
        view = self.views[index]
        if not view.parts:
            spare = MessageView(view.turn)
            spare.lay_out(self._look(index))
            parts = spare.parts
        else:
            parts = view.parts
        for start, lines in parts:
            for offset, text in enumerate(lines):
                yield start + offset, text

    def selection_updated(self, selection: Selection | None) -> None:
        self.refresh()

    def _hit(self, event: events.MouseEvent) -> tuple[int, Line] | None:
        """The message and line under the mouse."""
        row = round(self.scroll_y) + event.y
        if not self.views or row >= self._tops[-1] or event.y < 0:
            return None
        index = self._message_at(row)
        inside = row - self._tops[index]
        lines = self.views[index].lines
        return (index, lines[inside]) if inside < len(lines) else None

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self._pressed_at = event.screen_offset

    async def _on_click(self, event: events.Click) -> None:
        """Actions of messages; two clicks select a word, three a paragraph."""
        event.prevent_default()
        hit = self._hit(event)
        if hit is None or event.screen_offset != self._pressed_at:
            return
        index, line = hit
        turn = self.views[index].turn
        todo = event.style.meta.get("chat") if event.style else None
        if todo:
            event.stop()
            name, *args = todo
            if name == "code":
                args = [self.views[index].code_at(line.y)]
            self.post_message(self.Action(name, turn, tuple(args)))
        elif event.chain >= 2:
            event.stop()
            _, offset = self.screen.get_widget_and_offset_at(event.screen_x, event.screen_y)
            if offset is not None:
                self._select_word(index, line, offset.x, paragraph=event.chain > 2)

    def _select_word(self, index: int, line: Line, x: int, paragraph: bool) -> None:
        text = dict(self._logical(index)).get(line.y, "")
        start, end = 0, len(text)
        if not paragraph:
            start = end = min(x, max(0, len(text) - 1))
            while start > 0 and _is_word(text[start - 1]):
                start -= 1
            while end < len(text) and _is_word(text[end]):
                end += 1
        y = index * SPAN + line.y
        self.screen.selections = {self: Selection(Offset(start, y), Offset(end, y))}

    def on_mouse_move(self, event: events.MouseMove) -> None:
        hit = self._hit(event)
        self._hover(hit[0] if hit else None)

    def on_leave(self) -> None:
        self._hover(None)

    def _hover(self, index: int | None) -> None:
        if index == self._hovered:
            return
        before, self._hovered = self._hovered, index
        self._redraw_headers(before, index)

    def _redraw_headers(self, *indexes: int | None) -> None:
        for index in indexes:
            if index is not None and index < len(self.views) and self.views[index].lines:
                self.views[index].redraw_header(self._look(index))
                self.refresh()

    # --- message mode ----------------------------------------------------------------------------

    def select(self, index: int | None) -> None:
        """Choose the message that keys act on; None = none."""
        before, self.selected = self.selected, index
        self._redraw_headers(before, index)
        self.refresh()
        if index is not None:
            self.show_message(index)

    def show_message(self, index: int, line: int | None = None) -> None:
        """Bring a message (or the logical line `line` of it) into view."""
        page = self.scrollable_content_region.height
        for _ in range(3):  # heights on the way are guesses at first
            top = self._tops[index]
            bottom = top + self.views[index].height - 1
            if line is not None and self.views[index].lines:
                rows = [i for i, drawn in enumerate(self.views[index].lines) if drawn.y == line]
                top = bottom = top + (rows[0] if rows else 0)
            view_top = round(self.scroll_y)
            if top >= view_top and bottom < view_top + page:
                target = view_top
            elif line is not None:
                target = top - page // 3
            elif bottom - top + 1 >= page or top < view_top:
                target = top
            else:
                target = bottom - page + 1
            self.following = False
            if max(0, min(target, self.max_scroll_y)) == view_top and self.views[index].lines:
                break
            self._place(target)
        self.following = self.scroll_y >= self.max_scroll_y

    def selected_turn(self) -> Turn | None:
        """The turn of the selected message."""
        return self.views[self.selected].turn if self.selected is not None else None

    def action_previous(self) -> None:
        """The message above, or more of this one if its beginning is out of view."""
        if not self.views:
            return
        if self.selected is None:
            page_end = round(self.scroll_y) + self.size.height - 1
            self.select(self._message_at(page_end))
        elif self._tops[self.selected] < round(self.scroll_y):
            self.scroll_lines(-max(1, self.size.height // 2))
        elif self.selected > 0:
            self.select(self.selected - 1)

    def action_next(self) -> None:
        """The message below, or more of this one if its end is out of view."""
        if not self.views:
            return
        if self.selected is None:
            self.select(self._message_at(round(self.scroll_y)))
            return
        view_end = round(self.scroll_y) + self.size.height
        if self._tops[self.selected + 1] - 1 > view_end:
            self.scroll_lines(max(1, self.size.height // 2))
        elif self.selected + 1 < len(self.views):
            self.select(self.selected + 1)
        else:
            self.action_leave()

    def action_do(self, name: str) -> None:
        """Do something with the selected message, or the last one."""
        if not self.views:
            return
        index = len(self.views) - 1 if self.selected is None else self.selected
        self.post_message(self.Action(name, self.views[index].turn))

    def action_leave(self) -> None:
        self.select(None)
        self.post_message(self.Left())

    def on_focus(self) -> None:
        if self.selected is None and self.views:
            self.action_previous()

    def on_blur(self) -> None:
        self.select(None)

    def toggle_fold(self, turn_id: str) -> None:
        """Open or close the thoughts of an answer, or a long prompt."""
        self.opened ^= {turn_id}
        index = self.index_of(turn_id)
        if index is not None:
            if self.following and index < len(self.views) - 1:
                self.following = False
            self.changed(turn_id)

    # --- find ------------------------------------------------------------------------------------

    def set_matches(self, matches: dict[int, list[Match]], current: Match | None) -> None:
        """Highlight these places; `current` differently, and bring it into view."""
        self.matches, self.match = matches, current
        if current is not None:
            turn = self.views[current[0]].turn
            if turn.role == "user" and turn.id not in self.opened and self.views[current[0]].folded:
                self.opened.add(turn.id)
                self._forget(current[0])
                self._prepare()
            self.show_message(current[0], current[1])
        self.refresh()


def _is_word(character: str) -> bool:
    return character.isalnum() or character in "_-'’"
