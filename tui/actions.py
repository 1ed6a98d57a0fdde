"""The action table: everything a person can do in the app, in one place.

Key bindings, the command palette, slash commands, the footer, the help screen and docs/keys.md are
all made from `ACTIONS`. To add an action, add a line here and a method of the same name to
`tui.controller.Controller`.
"""

from __future__ import annotations

from dataclasses import dataclass

from textual.binding import Binding

from engine.config import Config
from tui.keymap import effective_keys


@dataclass(frozen=True, slots=True)
class Action:
    """One thing a person can do. `keys` and `slash` may be empty; the palette lists all."""

    id: str
    label: str  # a few words, for footer and palette
    help: str  # one sentence
    group: str
    keys: str = ""  # Textual key names, comma separated
    slash: str = ""  # name of the slash command
    args: str = ""  # what the slash command takes, for completion and help
    footer: bool = False
    palette: bool = True


ACTIONS: tuple[Action, ...] = (
    Action("help", "Help", "Show keys and slash commands.", "App", "f1", "help", footer=True),
    Action(
        "stop",
        "Stop",
        "Stop the answer of this agent; close what is open.",
        "Chat",
        "escape",
        "stop",
        footer=True,
    ),
    Action("stop_all", "Stop all", "Stop all answers and hand-overs.", "Chat", "f12", "stopall"),
    Action("regenerate", "Regenerate", "Answer the last prompt anew.", "Chat", "f7", "regenerate"),
    Action(
        "edit_last",
        "Edit last prompt",
        "Edit your last prompt and send it again.",
        "Chat",
        "f10",
        "edit",
    ),
    Action("copy_answer", "Copy", "Copy the last answer.", "Chat", "f8", "copy", footer=True),
    Action("copy_code", "Copy code", "Copy the last code block.", "Chat", "f9", "code"),
    Action(
        "find",
        "Find",
        "Search in this conversation.",
        "Chat",
        "f3,ctrl+f",
        "find",
        "[text]",
        footer=True,
    ),
    Action("clear", "Clear chat", "Forget this agent's conversation.", "Chat", "", "clear"),
    Action(
        "retry_queue",
        "Send held prompts",
        "Send prompts held back by a restart.",
        "Chat",
        "",
        "resume",
    ),
    Action(
        "next_agent", "Next agent", "Go to the next agent.", "Agents", "ctrl+pagedown,alt+right"
    ),
    Action(
        "previous_agent",
        "Previous agent",
        "Go to the previous agent.",
        "Agents",
        "ctrl+pageup,alt+left",
    ),
    Action(
        "go_agent",
        "Go to agent",
        "Go to an agent by name or number.",
        "Agents",
        "",
        "agent",
        "name",
        palette=False,
    ),
    Action(
        "new_agent", "New", "Create an agent.", "Agents", "ctrl+n", "new", "[name]", footer=True
    ),
    Action(
        "edit_agent",
        "Edit agent",
        "Change name, system prompt, colour and sampling.",
        "Agents",
        "f2",
        "agentedit",
    ),
    Action(
        "rename", "Rename agent", "Give this agent another name.", "Agents", "", "rename", "name"
    ),
    Action(
        "duplicate",
        "Duplicate agent",
        "Copy this agent with its conversation.",
        "Agents",
        "",
        "duplicate",
        "[name]",
    ),
    Action(
        "close_agent",
        "Close agent",
        "Close this agent; undo brings it back.",
        "Agents",
        "",
        "close",
    ),
    Action("undo_close", "Undo close", "Bring the agent closed last back.", "Agents", "", "undo"),
    Action(
        "system", "System prompt", "Set this agent's system prompt.", "Agents", "", "system", "text"
    ),
    Action(
        "temperature",
        "Temperature",
        "Set this agent's temperature (0 = greedy).",
        "Agents",
        "",
        "temp",
        "number",
        palette=False,
    ),
    Action(
        "seed",
        "Seed",
        "Set this agent's seed (-1 = random).",
        "Agents",
        "",
        "seed",
        "number",
        palette=False,
    ),
    Action("grid", "Grid", "Show several agents at once.", "View", "f5", "grid", footer=True),
    Action(
        "cache",
        "Cells",
        "Show or hide the KV cells and the event log.",
        "View",
        "f4",
        "cache",
        footer=True,
    ),
    Action("log", "Event log", "Show the whole event log.", "View", "f6", "log"),
    Action("theme", "Theme", "Choose another theme.", "View", "", "theme", "[name]"),
    Action("models", "Models", "Choose the model.", "App", "", "models"),
    Action("restart", "Restart engine", "Start the engine core again.", "App", "", "restart"),
    Action("quit", "Quit", "Save and leave.", "App", "ctrl+q", "quit", footer=True),
)
BY_ID = {action.id: action for action in ACTIONS}
BY_SLASH = {action.slash: action for action in ACTIONS if action.slash}


def bindings() -> list[Binding]:
    """Textual bindings of all actions with keys; ids let `[ui.keys]` replace them."""
    made = [
        Binding(
            a.keys, f"run('{a.id}')", a.label, id=a.id, show=a.footer, priority=True, tooltip=a.help
        )
        for a in ACTIONS
        if a.keys
    ]
    jumps = [
        Binding(f"alt+{n}", f"jump({n})", f"Agent {n}", show=False, priority=True)
        for n in range(1, 10)
    ]
    return [*made, *jumps]


def slash_commands() -> list[tuple[str, str, str]]:
    """(name, arguments, help) of every slash command, in the order of the table."""
    return [(a.slash, a.args, a.help) for a in ACTIONS if a.slash]


def key_table(config: Config) -> list[tuple[str, str, str]]:
    """(action, keys, help) with the user's own keys in place."""
    keys = effective_keys({a.id: a.keys for a in ACTIONS}, config.ui.keys)
    return [(a.id, keys[a.id], a.help) for a in ACTIONS]
