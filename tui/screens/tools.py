"""The tools of an agent: what they do, and a switch for each."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from agents import calling
from agents.tools import TOOLS
from agents.workspace import Workspace


class ToolsScreen(ModalScreen[None]):
    """A list to switch; each change holds from the agent's next answer on."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss", "Back"),
        Binding("space", "switch", "Switch"),
    ]
    DEFAULT_CSS = """
    ToolsScreen OptionList, ToolsScreen OptionList:focus {
        height: auto; max-height: 12; border: none; padding: 0; background: transparent;
    }
    ToolsScreen .told { color: $foreground-muted; height: auto; margin-top: 1; }
    ToolsScreen .why { color: $text-warning; height: auto; }
    """

    def __init__(self, workspace: Workspace, agent: str) -> None:
        super().__init__()
        self.workspace, self.agent = workspace, agent

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            title = f"Tools of {self.agent} · Space or Enter switches · Esc goes back"
            yield Static(title, classes="title", markup=False)
            yield OptionList(*(Option(self._line(name), name) for name in TOOLS))
            yield Static(self._told(), classes="told", markup=False)
            if why := calling.why_not(self.workspace.config, self.workspace.ready):
                yield Static(f"! Not offered: {why}.", classes="why", markup=False)

    def on_mount(self) -> None:
        self.query_one(OptionList).focus()

    @property
    def _chosen(self) -> list[str]:
        return self.workspace.get(self.agent).spec.tools

    def _line(self, name: str) -> Content:
        mark = "● on " if name in self._chosen else "○ off"
        width = max(len(known) for known in TOOLS)
        return Content(f"{mark}  {name:{width}}  {TOOLS[name].help}")

    def _told(self) -> str:
        settings, ready = self.workspace.config.tools, self.workspace.ready
        how = "in words" if ready is not None and not ready.knows_tools else "by its chat template"
        calls = "1 call" if settings.max_calls == 1 else f"{settings.max_calls} calls"
        return (
            f"The model is told of them {how}; {calls} in an answer at most. "
            "A change holds from the next answer on."
        )

    def action_switch(self) -> None:
        self.query_one(OptionList).action_select()

    @on(OptionList.OptionSelected)
    async def _switch(self, event: OptionList.OptionSelected) -> None:
        switched = event.option_id
        if switched is None:
            return
        chosen = set(self._chosen) ^ {switched}
        await self.workspace.change(self.agent, tools=[name for name in TOOLS if name in chosen])
        event.option_list.replace_option_prompt(switched, self._line(switched))
