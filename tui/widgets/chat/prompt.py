"""The prompt: where one writes to an agent, with history, completion and the waiting prompts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static, TextArea

from agents.addressing import parse
from tui.widgets.chat.markdown import clean
from tui.widgets.chat.pastes import Pastes
from tui.widgets.chat.popup import Choice, Popup, arguments, rank
from tui.widgets.chat.prompt_rule import Rule, drawn, placeholder
from tui.widgets.chat.queue import QueueChips

if TYPE_CHECKING:
    from agents.agent import Agent

_NAME = re.compile(r"(?:^|(?<=[\s(,;]))@([\w-]*)$")
_COMMAND = re.compile(r"/([\w-]*)$")
_ARGUMENT = re.compile(r"/([\w-]+) +(.*)")
_SLASH = re.compile(r"/([\w-]+)(?:\s+(.*))?$", re.DOTALL)


class PromptArea(TextArea):
    """The text itself. Keys that mean more than text are told to the prompt."""

    DEFAULT_CSS = """
    PromptArea, PromptArea:focus {
        height: auto;
        min-height: 1;
        max-height: 8;
        width: 1fr;
        border: none;
        padding: 0;
        background: $background;
        scrollbar-size-vertical: 1;
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "ctrl+j,shift+enter,alt+enter", "newline", "New line", key_display="Ctrl+J", show=False
        ),
        Binding("ctrl+r", "history_search", "Search prompts", show=False),
    ]

    class Pressed(Message):
        """A key that the prompt decides about: enter, tab, up, down, escape, pages."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    def __init__(self, owner: Prompt) -> None:
        super().__init__(compact=True, highlight_cursor_line=False, tab_behavior="focus")
        self.owner = owner

    async def _on_key(self, event: events.Key) -> None:
        if self.owner.key(event.key):
            event.stop()
            event.prevent_default()
            return
        await super()._on_key(event)

    async def _on_paste(self, event: events.Paste) -> None:
        text = event.text.replace("\r\n", "\n").replace("\r", "\n")
        pastes = self.owner.pastes
        if pastes.is_long(text):
            text = pastes.mark(text)
        event.stop()
        event.prevent_default()
        if result := self._replace_via_keyboard(text, *self.selection):
            self.move_cursor(result.end_location)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """With nothing to undo, the key for it is the screen's."""
        return action != "undo" or bool(self.history._undo_stack)

    def action_newline(self) -> None:
        self._replace_via_keyboard("\n", *self.selection)

    def action_history_search(self) -> None:
        self.owner.search_history()

    @property
    def before_cursor(self) -> str:
        """Text of the cursor's line up to the cursor."""
        row, column = self.cursor_location
        return self.document.get_line(row)[:column]

    @property
    def on_first_row(self) -> bool:
        """Whether the cursor is on the first line as it is wrapped."""
        return self.wrapped_document.location_to_offset(self.cursor_location).y == 0

    @property
    def on_last_row(self) -> bool:
        """Whether the cursor is on the last line as it is wrapped."""
        y = self.wrapped_document.location_to_offset(self.cursor_location).y
        return y >= self.wrapped_document.height - 1


class Prompt(Widget):
    """Input of the chat. `set_agent` says whom it is for."""

    DEFAULT_CSS = """
    Prompt {
        height: auto;
        background: $background;

        & > #prompt-rule { height: 1; color: $foreground-muted; }
        & > #prompt-line { height: auto; }
        & > #prompt-line > #prompt-mark {
            width: 2;
            color: $text-primary;
            text-style: bold;

            &.-away { color: $foreground-muted; text-style: none; }
        }
    }
    """

    class Submitted(Message):
        """A prompt was sent."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Command(Message):
        """A slash command was given."""

        def __init__(self, name: str, args: str) -> None:
            super().__init__()
            self.name = name
            self.args = args

    class Unqueue(Message):
        """Take a waiting prompt out of the queue; `edit`: put it into the prompt."""

        def __init__(self, index: int, edit: bool = True) -> None:
            super().__init__()
            self.index = index
            self.edit = edit

    class ScrollRequested(Message):
        """Page keys were pressed: scroll the conversation."""

        def __init__(self, pages: int) -> None:
            super().__init__()
            self.pages = pages

    def __init__(
        self,
        commands: Sequence[tuple[str, str, str]] = (),
        names: Callable[[], Sequence[str]] = tuple,
        choices: Mapping[str, Sequence[tuple[str, str]]] | None = None,
        found: Mapping[str, Callable[[], Sequence[tuple[str, str]]]] | None = None,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]
        self.commands = list(commands)
        self.names = names
        self.choices = choices or {}  # what commands may be followed by
        self.found = found or {}  # the same, where it changes, like titles
        self.pastes = Pastes()
        self._agent: Agent | None = None
        self._past = 0  # how far back in the history: 0 = what is being written
        self._stash = ""  # what was being written when the history was entered
        self._searching = False
        self._quiet = ""  # text for which the popup was closed by hand
        self._drawn: object = None
        self._addressed: list[str] | None = []  # by the @names in the text; None = not read yet
        self.grid = False  # all agents are shown at once
        self.elsewhere: Callable[[], str] = str  # what has the keys instead, in words

    def compose(self) -> ComposeResult:
        yield Popup()  # first, so that it opens upwards from the top of the prompt
        yield QueueChips()
        yield Static("", id="prompt-rule", markup=False)
        with Horizontal(id="prompt-line"):
            yield Static("❯ ", id="prompt-mark", markup=False)
            yield PromptArea(self)

    # --- for the screen --------------------------------------------------------------------------

    @property
    def area(self) -> PromptArea:
        return self.query_one(PromptArea)

    def set_agent(self, agent: Agent) -> None:
        """Say whom the prompt is for; call it again when the agent's state or queue changes."""
        other = self._agent is not agent
        self._agent = agent
        if other:
            self._past = 0
            self._end_search(restore=False)
            self.query_one(Popup).hide()
        self.query_one(QueueChips).show([prompt.text for prompt in agent.queue], agent.held)
        self._addressed = None  # agents come, go and change their names
        self._draw_rule()

    def set_draft(self, text: str) -> None:
        """Replace what is written."""
        self._past = 0
        self._put(self.pastes.fold(text))

    def get_draft(self) -> str:
        """What is written."""
        text = self._stash if self._past or self._searching else self.area.text
        return self.pastes.expand(text)

    def blink(self, on: bool) -> None:
        """Whether the cursor blinks; each blink costs as much as a frame of a small answer."""
        self.area.cursor_blink = on

    def focus_input(self) -> None:
        """Write here."""
        self.area.focus()

    def write(self, text: str) -> None:
        """Go on writing here with `text`, which was typed elsewhere."""
        self.screen.set_focus(self.area)  # at once: more may be on its way
        self.area.insert(text)

    def close_popup(self) -> bool:
        """Close the list, if one is open."""
        if self._searching:
            self._end_search(restore=True)
            return True
        popup = self.query_one(Popup)
        if not popup.display:
            return False
        self._quiet = self.area.text
        popup.hide()
        return True

    # --- looks -----------------------------------------------------------------------------------

    def on_mount(self) -> None:
        self._draw_rule()

    def on_resize(self) -> None:
        self._draw_rule()

    def on_descendant_focus(self) -> None:
        self._draw_rule()

    def on_descendant_blur(self) -> None:
        self._draw_rule()

    def _draw_rule(self) -> None:
        """The line above the input: whom it is for, and what keys do."""
        agent, area = self._agent, self.area
        width = self.size.width or self.app.size.width
        names = self.recipients
        rule = Rule(
            names=tuple(names),
            everyone=len(names) > 1 and len(names) == len(self.names()),
            busy=bool(agent and agent.busy and names == [agent.name]),
            searching=self._searching,
            # Esc closes a toast before it stops anything.
            stops=not getattr(self.app, "toasts_shown", False),
            grid=len(self.names()) if self.grid else 0,
            elsewhere=self.elsewhere(),
        )
        if (rule, width) == self._drawn:
            return
        self._drawn = (rule, width)
        self.query_one("#prompt-rule", Static).update(drawn(rule, width), layout=False)
        mark = self.query_one("#prompt-mark", Static)
        mark.update("⌕ " if self._searching else "❯ ", layout=False)
        mark.set_class(bool(rule.elsewhere), "-away")
        area.placeholder = placeholder(rule)

    @property
    def recipients(self) -> list[str]:
        """Names of the agents that what is written goes to."""
        if self._addressed is None:
            text = self.area.text
            found = parse(text, self.names()).names if "@" in text else []
            self._addressed = [] if _SLASH.match(text.lstrip()) else found
        own = [self._agent.name] if self._agent else []
        return self._addressed or own

    # --- keys ------------------------------------------------------------------------------------

    def key(self, key: str) -> bool:
        """A key was pressed in the input. Returns whether it was meant for the prompt."""
        popup = self.query_one(Popup)
        open_list = popup.display
        match key:
            case "enter":
                self._enter()
            case "tab" if open_list:
                self._complete(popup.chosen, run=False)
            case "up" if open_list:
                popup.move(-1)
            case "down" if open_list:
                popup.move(1)
            case "up" if self.area.on_first_row:
                self._older()
            case "down" if self.area.on_last_row and self._past:
                self._newer()
            case "pageup" | "pagedown" if not open_list:
                self.post_message(self.ScrollRequested(-1 if key == "pageup" else 1))
            case "escape":
                return self.close_popup()
            case _:
                return False
        return True

    def _enter(self) -> None:
        popup = self.query_one(Popup)
        area = self.area
        self._suggest()  # for what is written now: fast typing is ahead of the list
        if popup.display and popup.chosen is not None:
            self._complete(popup.chosen, run=True)
            return
        if self._searching:
            self._end_search(restore=True)
            return
        if area.before_cursor.endswith("\\"):
            # For terminals in which no other key makes a new line.
            row, column = area.cursor_location
            area.replace("\n", (row, column - 1), (row, column))
            return
        self.submit()

    def submit(self) -> None:
        """Send what is written."""
        text = self.area.text
        if not text.strip():
            return
        known = {name for name, _, _ in self.commands}
        command = _SLASH.match(text.strip())
        if command and command[1] in known:
            self.post_message(self.Command(command[1], (command[2] or "").strip()))
        elif command and not command[2] and known:
            near = rank(command[1], [Choice(name, name) for name in known])
            hint = f" Did you mean /{near[0].value}?" if near else " /help lists them."
            self.notify(
                f"There is no command /{command[1]}.{hint}", severity="warning", markup=False
            )
            return
        else:
            if text.startswith("//"):
                text = text[1:]
            self.post_message(self.Submitted(self.pastes.expand(text).strip()))
        self._past = 0
        self._put("")

    def _put(self, text: str) -> None:
        area = self.area
        self._quiet = text
        area.load_text(text)
        area.move_cursor(area.document.end)
        self.query_one(Popup).hide()

    # --- history ---------------------------------------------------------------------------------

    def _history(self) -> list[str]:
        """The person's prompts to this agent, newest first, each once."""
        if self._agent is None:
            return []
        own = [
            turn.text
            for turn in reversed(self._agent.turns)
            if turn.role == "user" and turn.author in ("", "you") and turn.text.strip()
        ]
        return list(dict.fromkeys(own))

    def _older(self) -> None:
        agent = self._agent
        if agent and agent.queue and not self.area.text:
            self.post_message(self.Unqueue(len(agent.queue) - 1))
            return
        past = self._history()
        if self._past < len(past):
            if self._past == 0:
                self._stash = self.area.text
            self._past += 1
            self._show_past(past)

    def _newer(self) -> None:
        self._past -= 1
        self._show_past(self._history())

    def _show_past(self, past: list[str]) -> None:
        back = self._past
        self._put(self.pastes.fold(past[back - 1]) if back else self._stash)
        self._past = back

    def search_history(self) -> None:
        """Look for a prompt by a few of its letters."""
        if self._searching:
            self.query_one(Popup).move(1)
            return
        if not self._history():
            self.notify("There are no prompts of yours to search yet.")
            return
        self._stash = self.area.text
        self._searching = True
        self._past = 0
        self._put("")
        self._show_found()
        self._draw_rule()

    def _show_found(self) -> None:
        choices = [
            Choice(text, " ".join(clean(text[:400]).split())[:200]) for text in self._history()
        ]
        found = rank(self.area.text.strip(), choices)
        self.query_one(Popup).show(found or [Choice(self.area.text, "no such prompt")])

    def _end_search(self, restore: bool) -> None:
        if not self._searching:
            return
        self._searching = False
        if restore:
            self._put(self._stash)
        self.query_one(Popup).hide()
        self._draw_rule()

    # --- completion ------------------------------------------------------------------------------

    def suggest_again(self) -> None:
        """There is more to complete with than when the last key was pressed."""
        if self.area.text != self._quiet:
            self._suggest()

    @on(TextArea.Changed)
    def _changed(self, event: TextArea.Changed) -> None:
        event.stop()
        self._addressed = None
        self._draw_rule()
        self._suggest()

    def _suggest(self) -> None:
        popup = self.query_one(Popup)
        if self._searching:
            self._show_found()
            return
        text = self.area.text
        if text == self._quiet:
            popup.hide()
            return
        self._quiet = ""
        self._past = 0
        popup.show(*self._choices(text))

    def _choices(self, text: str) -> tuple[list[Choice], str]:
        """What could be meant by the word at the cursor, and a hint."""
        before = self.area.before_cursor
        row, _ = self.area.cursor_location
        if row == 0 and (command := _COMMAND.fullmatch(before)) and self.commands:
            choices = [
                Choice(name, f"/{name} {args}".rstrip(), help) for name, args, help in self.commands
            ]
            found = rank(command[1], choices)
            # What is typed in full comes first, whatever else has the same letters.
            found.sort(key=lambda choice: choice.value != command[1])
            return found, ""
        if row == 0 and (argument := _ARGUMENT.fullmatch(before)) and argument[1] in self.choices:
            return arguments(argument[2], argument[1], self.choices[argument[1]]), ""
        if row == 0 and argument and argument[1] in self.found:
            known = [
                Choice(value, f"/{argument[1]} {value}", help)
                for value, help in self.found[argument[1]]()
            ]
            return [c for c in rank(argument[2], known) if c.value != argument[2]], ""
        if name := _NAME.search(before):
            who = [Choice(n, f"@{n}") for n in self.names()]
            who.append(Choice("all", "@all", "every agent"))
            found = [c for c in rank(name[1], who) if c.value != name[1] or len(who) > 2]
            if [c.value for c in found] == [name[1]]:
                return [], ""
            return found, ""
        return [], ""

    @on(Popup.Chosen)
    def _clicked(self, event: Popup.Chosen) -> None:
        event.stop()
        self._complete(event.choice, run=True)
        self.area.focus()

    def _complete(self, choice: Choice | None, run: bool) -> None:
        """Put a choice into the text. A command that needs nothing more is run at once."""
        if choice is None:
            return
        area = self.area
        if self._searching:
            self._searching = False
            self._put(self.pastes.fold(choice.value))
            self._draw_rule()
            return
        row, column = area.cursor_location
        before = area.before_cursor
        if row == 0 and _COMMAND.fullmatch(before):
            args = next((a for name, a, _ in self.commands if name == choice.value), "")
            if run and (not args or args.startswith("[")):
                self._put("")
                self.post_message(self.Command(choice.value, ""))
            else:
                self._put(f"/{choice.value} ")
                self._quiet = ""  # what may follow is offered at once
        elif row == 0 and (argument := _ARGUMENT.fullmatch(before)):
            self._put("" if run else choice.label)
            if run:
                self.post_message(self.Command(argument[1], choice.value))
        elif name := _NAME.search(before):
            text = f"@{choice.value} "
            area.replace(text, (row, name.start()), (row, column))
            self._quiet = area.text
            self.query_one(Popup).hide()

    @on(QueueChips.Taken)
    def _taken(self, event: QueueChips.Taken) -> None:
        event.stop()
        self.post_message(self.Unqueue(event.index, event.edit))
