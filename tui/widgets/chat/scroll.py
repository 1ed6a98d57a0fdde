"""Messages one below the other: only those near the view are laid out, and only lines in view drawn.

Any number of messages costs the same: those far from the view are no more than a height, which is
a guess until they come near and are laid out; the view stays where it is when a guess was wrong.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable

from textual import work
from textual.content import Content
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from agents.events import AgentState, Turn
from tui.widgets.chat.layout import Line, highlight_lines
from tui.widgets.chat.markdown import Leaf
from tui.widgets.chat.message import GUTTER, SPAN, Look, MessageView
from tui.widgets.chat.paint import Mark, Painter
from tui.widgets.plain_lines import PlainLines

MAX_TEXT_WIDTH = 120
MARGIN = 1  # pages laid out above and below the view
Match = tuple[int, int, int, int]  # message, logical line, start, end


class MessageScroll(PlainLines, ScrollView):
    """Shows and scrolls messages; what is selected, hovered and found in them it is told."""

    class Moved(Message):
        """The view was scrolled or the conversation grew: how far the end is may have changed."""

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
        self._painter = Painter(self)
        self._colouring: dict[int, Leaf] = {}  # long code blocks being highlighted
        self._preparing = False
        self._thumb: object = None  # the scrollbar as drawn

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
            self.set_reactive(MessageScroll.virtual_size, size)  # type: ignore[arg-type]

    def _go_to(self, y: float) -> None:
        y = max(0, min(y, self.max_scroll_y))
        self.set_reactive(MessageScroll.scroll_y, y)  # type: ignore[arg-type]
        self.set_reactive(MessageScroll.scroll_target_y, y)  # type: ignore[arg-type]

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

    # --- drawing ---------------------------------------------------------------------------------

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._painter.forget()
        self._generation += 1

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        row = round(self.scroll_y) + y
        if not self.views or row >= self._tops[-1]:
            return self._painter.blank(width)
        index = self._message_at(row)
        view = self.views[index]
        inside = row - self._tops[index]
        if inside >= len(view.lines):
            return self._painter.blank(width)
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
        self, line: Line, index: int, width: int, span: tuple[int, int] | None, found: list[Match]
    ) -> Strip:
        marks: list[Mark] = [
            (m[2], m[3], ".chat--match-current" if m == self.match else ".chat--match")
            for m in found
        ]
        if span is not None:
            start, end = span
            style = self.screen.get_visual_style("screen--selection")
            marks.append((start, None if end == -1 else end, style))
        gutter = (" ", "")
        if line.y < SPAN - 1:
            if index == self.selected:
                gutter = ("┃", "chat--gutter-selected")
            elif self.views[index].turn.role == "user":
                gutter = ("▌", "chat--gutter")
        number = index * SPAN + line.y
        return self._painter.draw(line, number, gutter, marks, self.text_width + GUTTER, width)

    def _redraw_headers(self, *indexes: int | None) -> None:
        for index in indexes:
            if index is not None and index < len(self.views) and self.views[index].lines:
                self.views[index].redraw_header(self._look(index))
                self.refresh()

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
