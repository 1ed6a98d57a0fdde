"""The action table: everything a person can do in the app, in one place.

Key bindings, the command palette, slash commands, the footer, the help screen and docs/keys.md are
all made from `ACTIONS`. To add an action, add a line here and a method of the same name to
`tui.controller.Controller`.
"""

from __future__ import annotations

from dataclasses import dataclass

from textual.binding import Binding

from agents.tools import TOOLS
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
    choices: tuple[tuple[str, str], ...] = ()  # arguments to complete, and what each does
    footer: int = 0  # place in the order in which key hints are left out; 0 = no hint
    palette: bool = True


# fmt: off
ACTIONS: tuple[Action, ...] = (
    Action("help", "Help", "Show keys and slash commands.", "App", "f1", "help", footer=1),
    Action("palette", "Menu", "Find any command, agent, theme or model by typing.", "App",
           "ctrl+p", footer=3, palette=False),
    Action("stop", "Stop", "Stop the answer of this agent; close what is open.", "Chat",
           "escape", "stop", footer=4),
    Action("stop_all", "Stop all", "Stop all answers and hand-overs.", "Chat", "f12", "stopall"),
    Action("regenerate", "Again", "Answer the last prompt anew.", "Chat", "f7",
           "regenerate", footer=12),
    Action("edit_last", "Edit prompt", "Edit your last prompt and send it again.", "Chat",
           "f10", "edit", footer=14),
    Action("copy_answer", "Copy", "Copy the last answer.", "Chat", "f8", "copy", footer=6),
    Action("copy_code", "Copy code", "Copy the last code block.", "Chat", "f9", "code",
           footer=18),
    Action("find", "Find", "Search in this conversation.", "Chat", "f3,ctrl+f", "find", "[text]",
           footer=10),
    Action("clear", "Clear chat", "Forget this agent's conversation.", "Chat", "", "clear"),
    Action("retry_queue", "Send held prompts", "Send prompts held back by a restart.", "Chat", "",
           "resume"),
    Action("next_agent", "Next agent", "Go to the next agent.", "Agents",
           "ctrl+pagedown,alt+right"),
    Action("previous_agent", "Previous agent", "Go to the previous agent.", "Agents",
           "ctrl+pageup,alt+left"),
    Action("go_agent", "Go to agent", "Go to an agent by name or number.", "Agents", "", "agent",
           "name", palette=False),
    Action("agents", "Agents", "Choose an agent by typing a part of its name.", "Agents", "",
           "agents"),
    Action("new_agent", "New", "Create an agent.", "Agents", "ctrl+n", "new",
           "[name]", footer=9),
    Action("edit_agent", "Edit agent", "Change name, system prompt, colour, tools and sampling.",
           "Agents", "f2", "agentedit", footer=15),
    Action("rename", "Rename agent", "Give this agent another name.", "Agents", "", "rename",
           "[name]"),
    Action("duplicate", "Duplicate agent", "Copy this agent with its conversation.", "Agents", "",
           "duplicate", "[name]"),
    Action("move_up", "Move agent up", "Move this agent up the list.", "Agents", "", "moveup"),
    Action("move_down", "Move agent down", "Move this agent down the list.", "Agents", "",
           "movedown"),
    Action("close_agent", "Close agent", "Close this agent; undo brings it back.", "Agents", "",
           "close"),
    Action("undo_close", "Undo close", "Bring the agent closed last back, or the one named.",
           "Agents", "", "undo", "[name]"),
    Action("system", "System prompt", "Set this agent's system prompt.", "Agents", "", "system",
           "[text]"),
    Action("temperature", "Temperature", "Set this agent's temperature (0 = greedy).", "Agents",
           "", "temp", "number", palette=False),
    Action("seed", "Seed", "Set this agent's seed (-1 = random).", "Agents", "", "seed",
           "number", palette=False),
    Action("tools", "Tools", "What this agent may call while it answers; with a name, on or off.",
           "Agents", "", "tools", "[name] [on|off]",
           (("", "all of them, to switch"), *((name, tool.help) for name, tool in TOOLS.items()))),
    Action("think", "Thinking", "Let models think first, or not.", "Agents", "", "think",
           "[on|off]", (("on", "think first"), ("off", "answer at once"))),
    Action("compact", "Compact", "Fit this agent's old cells into fewer; stop gives it up.",
           "Cells", "ctrl+o", "compact", "[ratio|auto|stop]",
           (("", "at the ratio that is configured"), ("5", "a fifth of the cells: careful"),
            ("10", "a tenth of the cells"), ("20", "a twentieth: details may go"),
            ("auto", "as few cells as the error bound allows"),
            ("stop", "give up the one that runs; nothing changes")), footer=17),
    Action("compactions", "Compactions", "Show what was compacted and how well it went.", "Cells",
           "ctrl+t", "compactions", footer=16),
    Action("auto", "Automatic compaction", "Compact by itself when cells run short, or not.",
           "Cells", "", "auto", "[on|off] [threshold]",
           (("on", "from the threshold that is set"), ("on 70%", "early: room for long prompts"),
            ("on 85%", "the default"), ("off", "only by /compact"))),
    Action("swap", "Put cells aside", "Take this agent's cells out of the cache, or back.", "Cells",
           "", "swap", "[out|in]",
           (("", "the other way than now"), ("out", "to memory or disk, nothing is lost"),
            ("in", "back into the cache, if there is room"))),
    Action("pin", "Pin cells", "Keep this agent's cells in the cache, also while it is idle.",
           "Cells", "", "pin", "[on|off]",
           (("", "the other way than now"), ("on", "others' cells are put aside first"),
            ("off", "they may be put aside when others need the room"))),
    Action("sessions", "Sessions", "Saved sessions: restore, rename, delete, export, import.",
           "Sessions", "ctrl+s", "sessions", footer=11),
    Action("save_session", "Save session", "Keep this agent as it is now, under a name.",
           "Sessions", "", "save", "[name]"),
    Action("restore_session", "Restore session", "Bring a saved session back as a new agent.",
           "Sessions", "", "restore", "name", palette=False),
    Action("fork", "Fork", "A new agent that knows all this one does; both go on on their own.",
           "Sessions", "", "fork", "[name]"),
    Action("export_session", "Export", "Write this conversation to a .md, .json or .halo file.",
           "Sessions", "", "export", "[path]"),
    Action("memory", "Memory", "People, places and facts of what was said; with a name, that one.",
           "Memory", "ctrl+g", "memory", "[name]", footer=8),
    Action("recall", "Ask the memory", "What is known about a question, with its sources.",
           "Memory", "", "recall", "[question]"),
    Action("forget", "Forget", "Remove somebody or something from the memory.", "Memory", "",
           "forget", "name", palette=False),
    Action("experts", "Experts", "Which experts are read; share them among agents, and how much.",
           "Experts", "alt+e", "experts", "[off|static|cache] [bonus]",
           (("", "show what is read and what the policy saves"), ("off", "as the model was trained"),
            ("cache", "agents share the experts they want most; the guard watches"),
            ("cache 0.4", "with a stronger bonus"), ("static", "a fixed quarter is preferred"))),
    Action("experts_ab", "Experts: A/B now", "Measure tokens a second with and without the policy.",
           "Experts", "", "expertsab"),
    Action("experts_record", "Record experts", "Write which experts are used to a file, or end that.",
           "Experts", "", "expertsrecord", "[path]"),
    Action("grid", "Grid", "Show several agents at once.", "View", "f5", "grid", footer=5),
    Action("cache", "Cells", "Show or hide the KV cells and the event log.", "View", "f4",
           "cache", footer=7),
    Action("machine", "Machine", "Who holds the memory; load, power, clocks, temperature.", "View",
           "alt+m", "machine", footer=13),
    Action("log", "Event log", "Show the whole event log.", "View", "f6", "log", footer=19),
    Action("theme", "Theme", "Choose another theme.", "View", "", "theme", "[name]"),
    Action("models", "Models", "Choose or download the model.", "App", "", "models"),
    Action("model", "Load a model", "Load a model by name, path or owner/name.",
           "App", "", "model", "name", palette=False),
    Action("workers", "Workers", "Machines that compute layers: how they are, or go without them.",
           "App", "", "workers", "[on|off]",
           (("", "what each holds, or whether it answers"),
            ("off", "compute here until the next start"), ("on", "use them again"))),
    Action("tune", "Tune", "How to measure which settings are fastest on this machine.", "App", "",
           "tune"),
    Action("settings", "Settings", "Which file the settings are in, and how they are changed.", "App",
           "", "settings"),
    Action("restart", "Restart engine", "Start the engine core again.", "App", "", "restart"),
    Action("suspend", "To the shell", "Leave the app stopped in the background; `fg` comes back.",
           "App", "", "suspend"),
    Action("quit", "Quit", "Save and leave.", "App", "ctrl+q", "quit", footer=2),
)
# fmt: on
BY_ID = {action.id: action for action in ACTIONS}
BY_SLASH = {action.slash: action for action in ACTIONS if action.slash}
JUMPS = {f"{modifier}+{n}": n for n in range(1, 10) for modifier in ("alt", "ctrl")}
# Keys of the parts of the screen that are not in the table; nobody may take them by [ui.keys].
RESERVED = {
    **dict.fromkeys(JUMPS, "going to an agent by number"),
    **dict.fromkeys(
        (
            "enter",
            "ctrl+j",
            "shift+enter",
            "up",
            "down",
            "left",
            "right",
            "backspace",
            "space",
            "tab",
            "shift+tab",
            "pageup",
            "pagedown",
            "home",
            "end",
            "delete",
        ),
        "writing",
    ),
    "alt+up": "choosing a message",
    "alt+down": "choosing a message",
    "ctrl+r": "searching earlier prompts",
    "ctrl+c": "copying",
    "ctrl+v": "pasting",
    "ctrl+z": "undoing, and going to the shell",
}


def bindings() -> list[Binding]:
    """Textual bindings of all actions with keys; ids let `[ui.keys]` replace them."""
    made = [
        Binding(
            a.keys or unbound(a.id),
            f"run('{a.id}')",
            a.label,
            id=a.id,
            show=a.footer > 0,
            priority=True,
            tooltip=a.help,
        )
        for a in ACTIONS
    ]
    jumps = [
        Binding(key, f"jump({n})", f"Agent {n}", show=False, priority=True)
        for key, n in JUMPS.items()
    ]
    return [*made, *jumps]


def unbound(action: str) -> str:
    """A key that no terminal sends: a binding must have one, and `[ui.keys]` may replace it."""
    return f"unbound_{action}"


def own_keymap(config: Config) -> dict[str, str]:
    """What `[ui.keys]` changes, for `App.set_keymap`. Raises ConfigError."""
    return {a: keys or unbound(a) for a, keys, _ in key_table(config) if a in config.ui.keys}


def slash_commands() -> list[tuple[str, str, str]]:
    """(name, arguments, help) of every slash command, in the order of the table."""
    return [(a.slash, a.args, a.help) for a in ACTIONS if a.slash]


def slash_choices() -> dict[str, tuple[tuple[str, str], ...]]:
    """Arguments that slash commands can be completed with."""
    return {a.slash: a.choices for a in ACTIONS if a.slash and a.choices}


def key_table(config: Config) -> list[tuple[str, str, str]]:
    """(action, keys, help) with the user's own keys in place."""
    keys = effective_keys({a.id: a.keys for a in ACTIONS}, config.ui.keys, RESERVED)
    return [(a.id, keys[a.id], a.help) for a in ACTIONS]
