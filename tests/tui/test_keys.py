"""The action table, the user's keys, and what terminals send for them."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual import events
from textual._xterm_parser import XTermParser

from engine.config import Config
from engine.errors import ConfigError
from scripts.keys_page import page
from tui.actions import ACTIONS, BY_ID, RESERVED, bindings, key_table, own_keymap, slash_commands
from tui.controller import Controller
from tui.keymap import brief, effective_keys, nice, split
from tui.terminal_keys import read_alt_digits
from tui.widgets.key_hints import chosen

KEYS = {action.id: action.keys for action in ACTIONS}


def test_every_action_has_a_method_and_nothing_is_given_twice() -> None:
    assert len(BY_ID) == len(ACTIONS)
    assert len({a.slash for a in ACTIONS if a.slash}) == len(slash_commands())
    for action in ACTIONS:
        assert callable(getattr(Controller, action.id)), action.id
        assert action.help.endswith(".") and action.label and action.group
        assert action.palette or action.slash or action.keys, f"{action.id} cannot be reached"
        assert not set(split(action.keys)) & set(RESERVED), action.id
    keys = [key for binding in bindings() for key in binding.key.split(",")]
    assert len(keys) == len(set(keys)), "a key is bound twice"


def test_the_page_of_keys_is_what_the_table_says() -> None:
    written = (Path(__file__).parents[2] / "docs" / "keys.md").read_text()
    assert written == page(), "run scripts/keys_page.py"


def test_own_keys_are_checked_and_named() -> None:
    table = {"grid": "f5", "cache": "f4", "clear": ""}
    assert effective_keys(table, {"grid": "f9"}) == {"grid": "f9", "cache": "f4", "clear": ""}
    assert effective_keys(table, {"grid": "f4", "cache": "f5"})["grid"] == "f4", "a swap is fine"
    wrong = {
        "Did you mean grid": {"gird": "f9"},
        "both cache and grid|both grid and cache": {"grid": "f4"},
        "'ctrl \\+ x' is no key": {"grid": "ctrl + x"},
        "it is for writing": {"grid": "enter"},
    }
    for words, own in wrong.items():
        with pytest.raises(ConfigError, match=words):
            effective_keys(table, own, RESERVED)


def test_own_keys_reach_actions_without_a_key_and_can_take_one_away() -> None:
    config = Config()
    config.ui.keys = {"clear": "ctrl+l", "log": ""}
    keymap = own_keymap(config)
    assert keymap["clear"] == "ctrl+l"
    assert keymap["log"] == "unbound_log"
    shown = {action: keys for action, keys, _ in key_table(config)}
    assert shown["clear"] == "ctrl+l" and shown["log"] == ""


def test_names_of_keys() -> None:
    assert nice("ctrl+pagedown,alt+right") == "Ctrl+PgDn / Alt+→"
    assert brief("ctrl+n,f2") == "^N"
    assert brief("") == ""


@pytest.mark.parametrize(("width", "gap"), [(60, 1), (80, 1), (100, 2), (120, 2), (200, 2)])
def test_hints_fit_and_the_most_important_are_there(width: int, gap: int) -> None:
    hints = chosen(KEYS, width, {}, gap)
    line = " " + (" " * gap).join(f"{key} {word}" for _, key, word in hints)
    assert len(line) <= width
    ids = {action.id for action, _, _ in hints}
    assert {"help", "quit", "palette", "stop"} <= ids
    if width >= 80:
        assert {"copy_answer", "grid", "cache", "memory", "new_agent"} <= ids
    if width >= 120:
        assert {"find", "sessions", "regenerate"} <= ids


def test_alt_and_a_digit_is_a_key_and_typed_characters_stay_text() -> None:
    read_alt_digits()
    seen = [e.key for e in XTermParser().feed("\x1b3") if isinstance(e, events.Key)]
    assert seen == ["alt+3"]
    typed = [e for e in XTermParser().feed("£") if isinstance(e, events.Key)]
    assert [e.character for e in typed] == ["£"]
