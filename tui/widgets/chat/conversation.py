"""The conversation with one agent: its transcript, find bar, and the way back to the end."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.message import Message
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static

from agents.events import (
    AgentChanged,
    CallChanged,
    Found,
    RosterChanged,
    Turn,
    TurnAdded,
    TurnDelta,
    TurnFinished,
    TurnsTruncated,
    WorkspaceEvent,
)
from tui.frames import Frames
from tui.widgets.chat.colours import author_style
from tui.widgets.chat.empty import EmptyState
from tui.widgets.chat.find import FindBar
from tui.widgets.chat.finding import Finding
from tui.widgets.chat.message import count
from tui.widgets.chat.transcript import Transcript
from tui.widgets.taken_down import stands

if TYPE_CHECKING:
    from agents.agent import Agent
    from agents.workspace import Workspace


@dataclass(slots=True)
class Place:
    """Where the reader was in a conversation that is not shown."""

    top: tuple[str, int] = ("", 0)
    following: bool = True
    opened: set[str] = field(default_factory=set)


class JumpToEnd(Static):
    """What is new below the view. A click goes there."""

    class Pressed(Message):
        """Go to the end."""

    def on_click(self) -> None:
        self.post_message(self.Pressed())


class Conversation(Widget):
    """One agent's conversation. Give it the workspace's events through `apply`."""

    DEFAULT_CSS = """
    Conversation {
        height: 1fr;
        width: 1fr;
        layers: base over;
        layout: vertical;
        background: $background;

        & > JumpToEnd {
            layer: over;
            dock: bottom;
            width: auto;
            height: 1;
            padding: 0 1;
            margin: 0 0 0 2;
            background: $primary;
            color: $background;
            text-style: bold;
            display: none;
            &:hover { background: $accent; }
        }
        &.-empty > EmptyState { display: block; }
    }
    """

    class EditRequested(Message):
        """The person wants to change a prompt and send it again."""

        def __init__(self, agent: str, turn_id: str, text: str) -> None:
            super().__init__()
            self.agent = agent
            self.turn_id = turn_id
            self.text = text

    class RegenerateRequested(Message):
        """An answer should be given anew, or the one to a prompt."""

        def __init__(self, agent: str, turn_id: str) -> None:
            super().__init__()
            self.agent = agent
            self.turn_id = turn_id

    class ForkRequested(Message):
        """A new agent should go on from this message."""

        def __init__(self, agent: str, turn_id: str) -> None:
            super().__init__()
            self.agent = agent
            self.turn_id = turn_id

    class CopyRequested(Message):
        """Put this text on the clipboard; `what` names it for the toast ("Answer", "Code")."""

        def __init__(self, text: str, what: str) -> None:
            super().__init__()
            self.text = text
            self.what = what

    class LinkRequested(Message):
        """A link was clicked."""

        def __init__(self, href: str) -> None:
            super().__init__()
            self.href = href

    class FoundRequested(Message):
        """Something that a tool found was clicked: show where it was said."""

        def __init__(self, found: Found) -> None:
            super().__init__()
            self.found = found

    class Suggested(Message):
        """A suggestion was chosen: put it into the prompt."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class PromptRequested(Message):
        """The person is done here: focus the prompt."""

    BINDING_GROUP_TITLE = "Conversation"
    COMPONENT_CLASSES: ClassVar[set[str]] = set()

    def __init__(
        self,
        workspace: Workspace,
        agent_name: str,
        *,
        frames: Frames | None = None,
        window: int = 0,
        **kwargs: object,
    ) -> None:
        """`frames`: when streaming text is drawn, `window`: messages kept laid out; None and 0 = as
        configured."""
        super().__init__(**kwargs)  # type: ignore[arg-type]
        self.workspace = workspace
        self.agent: Agent = workspace.get(agent_name)
        self._frames = frames or Frames(workspace.config.ui.markdown_fps)
        # Kept as attributes: events come by the hundred each second, too many for queries.
        self.transcript = Transcript(window=max(10, window or workspace.config.ui.history_window))
        self.bar = FindBar()
        self._jump_button = JumpToEnd("", markup=False)
        self._places: dict[str, Place] = {}  # by agent id
        self._dirty: set[str] = set()  # turns whose text is ahead of what is shown
        self._flushed = 0.0
        self._timer: Timer | None = None
        self._seen = 0  # messages when the reader left the end
        self._grown = False  # text arrived below since then
        self.finding = Finding(self)

    def compose(self) -> ComposeResult:
        yield self.bar
        yield self.transcript
        yield EmptyState(markup=False)
        yield self._jump_button

    def on_mount(self) -> None:
        self._show()

    # --- whose conversation ----------------------------------------------------------------------

    @property
    def agent_name(self) -> str:
        """Name of the agent, as it is called now."""
        return self.agent.name

    def show_agent(self, name: str) -> None:
        """Show another agent's conversation, where the reader left it."""
        agent = self.workspace.get(name)
        if agent is self.agent:
            return
        transcript = self.transcript
        self._places[self.agent.id] = Place(
            transcript.place(), transcript.following, transcript.opened
        )
        self.close_find()
        self.agent = agent
        self._show()

    def _show(self) -> None:
        """Fill the transcript from the agent's turns."""
        place = self._places.get(self.agent.id, Place())
        transcript = self.transcript
        transcript.state = self.agent.state
        transcript.opened = place.opened
        transcript.colour_of = self._colour_of
        self._dirty.clear()
        transcript.show(self.agent.turns, self.agent.name, place.following)
        if not place.following:
            transcript.go_to_place(place.top)
        self._seen = len(self.agent.turns)
        self._grown = False
        self._update_empty()
        self._update_jump()

    def _colour_of(self, author: str) -> str:
        return author_style(self.app, self.workspace, author)

    def _update_empty(self) -> None:
        empty = not self.agent.turns
        if empty:
            name = self.agent.name
            self.query_one(EmptyState).show_for(name, self._colour_of(name))
        self.set_class(empty, "-empty")

    # --- events ----------------------------------------------------------------------------------

    def apply(self, event: WorkspaceEvent) -> None:
        """Take note of a change; events of other agents are ignored."""
        if not stands(self):
            return
        if isinstance(event, RosterChanged):
            if self.transcript.agent != self.agent.name:
                self._show()
            return
        if getattr(event, "agent", None) != self.agent.name:
            return
        match event:
            case TurnDelta(turn=turn, thinking=thinking):
                self._note_thinking(turn, thinking)
                self._touch(turn.id)
            case TurnAdded(turn=turn):
                self.transcript.state = self.agent.state
                self.transcript.append(turn)
                self._update_empty()
                self._update_jump()
            case TurnFinished(turn=turn) | CallChanged(turn=turn):
                self._touch(turn.id, at_once=True)
            case TurnsTruncated(turn_id=turn_id):
                self.transcript.truncate(turn_id)
                self._seen = min(self._seen, len(self.agent.turns))
                self._update_empty()
                self._update_jump()
            case AgentChanged():
                self.transcript.state = self.agent.state
                last = self.agent.turns[-1] if self.agent.turns else None
                if last is not None and (last.status == "waiting" or last.calls):
                    self._touch(last.id)

    def _note_thinking(self, turn: Turn, thinking: bool) -> None:
        transcript = self.transcript
        if thinking:
            transcript.thinking_since.setdefault(turn.id, time.monotonic())
        elif turn.id in transcript.thinking_since:
            since = transcript.thinking_since[turn.id]
            transcript.thinking_took.setdefault(turn.id, time.monotonic() - since)

    def _touch(self, turn_id: str, at_once: bool = False) -> None:
        """Text changed: show it now, or with the next frame. Nothing is drawn out of sight."""
        self._dirty.add(turn_id)
        self._grown = True
        if not self.is_on_screen:
            return
        if at_once or time.monotonic() - self._flushed > 2 * self._frames.interval:
            self._flush()
        elif self._timer is None and not self._frames.driven:
            self._timer = self.set_timer(self._frames.wait(), self._flush)

    @property
    def behind(self) -> bool:
        """Whether text arrived that is not drawn yet."""
        return bool(self._dirty)

    def draw(self) -> None:
        """Show what arrived since the last frame, if this can be seen."""
        if self._dirty and self.is_on_screen:
            self._flush()

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        dirty, self._dirty = self._dirty, set()
        for turn_id in dirty:
            self.transcript.changed(turn_id)
        self._flushed = time.monotonic()

    def on_show(self) -> None:
        """In sight again: catch up."""
        if self._dirty:
            self._flush()

    # --- the end of the conversation -------------------------------------------------------------

    @on(Transcript.Moved)
    def _moved(self, event: Transcript.Moved) -> None:
        event.stop()
        self._update_jump()

    def _update_jump(self) -> None:
        jump = self._jump_button
        transcript = self.transcript
        if transcript.following or not transcript.lines_below:
            self._seen = len(self.agent.turns)
            self._grown = False
            jump.display = False
            return
        new = len(self.agent.turns) - self._seen
        if new > 0:
            text = f"↓ {count(new, 'new message')}"
        elif self._grown:
            text = "↓ new text"
        else:
            text = f"↓ {count(transcript.lines_below, 'line')} to the end"
        jump.update(text)
        jump.display = True

    @on(JumpToEnd.Pressed)
    def _jump(self, event: JumpToEnd.Pressed) -> None:
        event.stop()
        self.scroll_end_now()

    def scroll_end_now(self) -> None:
        """To the newest message, and stay there."""
        self.transcript.scroll_to_end()
        self._update_jump()

    def scroll_home_now(self) -> None:
        """To the first message."""
        self.transcript.scroll_to_start()

    def scroll_page(self, pages: int) -> None:
        """By pages, negative is up."""
        (self.transcript.action_page_down if pages > 0 else self.transcript.action_page_up)()

    # --- doing something with messages -----------------------------------------------------------

    @on(Transcript.Action)
    def _do(self, event: Transcript.Action) -> None:
        event.stop()
        turn = event.turn
        match event.name:
            case "copy":
                what = "Prompt" if turn.role == "user" else "Answer"
                self._copy(turn.text, what)
            case "code":
                self._copy(str(event.args[0] or ""), "Code")
            case "last_code":
                self._copy(self._last_code(turn) or "", "Code")
            case "edit":
                self._edit(turn)
            case "regenerate" if not event.args and turn is not self.agent.turns[-1]:
                self.transcript.ask_about("regenerate", turn)
            case "regenerate":
                self.post_message(self.RegenerateRequested(self.agent.name, turn.id))
            case "fork" if turn.status in ("waiting", "streaming"):
                self.notify("It is being written. Wait for it, or stop it.", severity="warning")
            case "fork":
                self.post_message(self.ForkRequested(self.agent.name, turn.id))
            case "fold":
                self.transcript.toggle_fold(turn.id)
            case "found":
                call_id, index = event.args
                call = next((c for c in turn.calls if c.id == call_id), None)
                if call is not None and isinstance(index, int):
                    self.post_message(self.FoundRequested(call.found[index]))
            case "link":
                self.post_message(self.LinkRequested(str(event.args[0])))

    def _copy(self, text: str, what: str) -> bool:
        if text.strip():
            self.post_message(self.CopyRequested(text, what))
            return True
        self.notify(f"There is no {what.lower()} to copy here.", severity="warning")
        return False

    def _last_code(self, turn: Turn) -> str | None:
        index = self.transcript.index_of(turn.id)
        return None if index is None else self.transcript.views[index].last_code()

    def _edit(self, turn: Turn) -> None:
        if turn.role != "user":
            # Editing an answer means editing the question it answers.
            turns = self.agent.turns
            index = next((i for i, other in enumerate(turns) if other is turn), 0)
            turn = next((t for t in reversed(turns[:index]) if t.role == "user"), turn)
        if turn.role == "user" and turn.author in ("", "you"):
            self.post_message(self.EditRequested(self.agent.name, turn.id, turn.text))
        else:
            self.notify("Only your own prompts can be edited.", severity="warning")

    def copy_last(self) -> bool:
        """Copy the last answer. Returns whether there was one."""
        turn = next(
            (t for t in reversed(self.agent.turns) if t.role == "assistant" and t.text), None
        )
        return self._copy(turn.text if turn else "", "Answer")

    def copy_code(self) -> bool:
        """Copy the last code block of the conversation."""
        from tui.widgets.chat.markdown import parse

        for turn in reversed(self.agent.turns):
            if "```" in turn.text or "~~~" in turn.text:
                codes = [leaf for leaf in parse(turn.text) if leaf.kind == "code"]
                if codes:
                    return self._copy("\n".join(codes[-1].code), "Code")
        return self._copy("", "Code")

    def edit_last(self) -> None:
        """Edit the last prompt."""
        turn = next(
            (t for t in reversed(self.agent.turns) if t.role == "user" and t.author in ("", "you")),
            None,
        )
        if turn is None:
            self.notify("Nothing was asked yet.", severity="warning")
        else:
            self._edit(turn)

    @on(EmptyState.Chosen)
    def _chosen(self, event: EmptyState.Chosen) -> None:
        event.stop()
        self.post_message(self.Suggested(event.text))

    @on(Transcript.Left)
    def _left(self, event: Transcript.Left) -> None:
        event.stop()
        self.post_message(self.PromptRequested())

    def focus_messages(self) -> None:
        """Let keys act on messages."""
        self.transcript.focus()

    # --- find ------------------------------------------------------------------------------------

    def show_turn(self, turn_id: str) -> bool:
        """Bring a message into view and choose it. False when there is none of that id."""
        index = self.transcript.index_of(turn_id)
        if index is None:
            return False
        self.transcript.select(index)
        self.transcript.focus()
        self._update_jump()
        return True

    def open_find(self, text: str = "") -> None:
        """Open the find bar, with something to look for or with what was looked for last."""
        self.bar.open(text or None)

    def find(self, query: str) -> None:
        """Open the find bar and look for `query`."""
        self.open_find(query)

    def find_next(self, step: int = 1) -> None:
        """To the next place (-1: the previous one), round the ends."""
        self.finding.next(step)

    def find_previous(self) -> None:
        """To the place before."""
        self.finding.next(-1)

    def close_find(self) -> bool:
        """Put the find bar away and the highlights out. Returns whether it was open."""
        bar = self.bar
        was_open, bar.display = bar.display, False
        self.finding.start("")
        return was_open

    @on(FindBar.Changed)
    def _query_changed(self, event: FindBar.Changed) -> None:
        event.stop()
        self.finding.start(event.query)

    @on(FindBar.Go)
    def _find_go(self, event: FindBar.Go) -> None:
        event.stop()
        self.find_next(event.step)

    @on(FindBar.Closed)
    def _find_closed(self, event: FindBar.Closed) -> None:
        event.stop()
        self.finding.start("")
        self.post_message(self.PromptRequested())
