"""Copying: every way is tried, and what is said is true."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.app import App

from tui import clipboard


class Terminal(App[None]):
    """An app that remembers what it was asked to copy."""

    def copy_to_clipboard(self, text: str) -> None:
        self.copied = text


def tool(folder: Path, name: str, code: int = 0) -> None:
    """A clipboard tool that writes what it gets to a file and exits with `code`."""
    script = folder / name
    script.write_text(f"#!/bin/sh\ncat > {folder}/{name}.got\nexit {code}\n")
    script.chmod(0o755)


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def test_a_tool_confirms(bin_folder: Path) -> None:
    tool(bin_folder, "wl-copy")
    app = Terminal()
    environ = {"WAYLAND_DISPLAY": "wayland-0", "PATH": str(bin_folder)}
    result = clipboard.copy_text(app, "täxt", environ)
    assert result == clipboard.Result(True, "wl-copy")
    assert app.copied == "täxt"
    assert (bin_folder / "wl-copy.got").read_text() == "täxt"


def test_a_failing_tool_is_no_confirmation(bin_folder: Path) -> None:
    tool(bin_folder, "xclip", 1)
    result = clipboard.copy_text(Terminal(), "x", {"DISPLAY": ":0", "PATH": str(bin_folder)})
    assert not result.sure and "OSC 52" in result.doubt


def test_tmux_keeps_it_in_its_buffer(bin_folder: Path) -> None:
    tool(bin_folder, "tmux")
    environ = {"TMUX": "/tmp/tmux-0/default,1,0", "PATH": str(bin_folder)}
    assert clipboard.copy_text(Terminal(), "x", environ) == clipboard.Result(True, "tmux")
    assert (bin_folder / "tmux.got").read_text() == "x"


def test_terminals_that_are_known_are_trusted() -> None:
    assert clipboard.copy_text(Terminal(), "x", {"TERM": "xterm-kitty", "PATH": ""}).sure
    assert clipboard.copy_text(Terminal(), "x", {"WT_SESSION": "1", "PATH": ""}).sure
    assert not clipboard.copy_text(Terminal(), "x", {"TERM": "xterm", "PATH": ""}).sure


def test_what_is_too_long_for_the_terminal_is_said() -> None:
    result = clipboard.copy_text(Terminal(), "x" * 80_000, {"TERM": "xterm-kitty", "PATH": ""})
    assert not result.sure and "80,000 bytes" in result.doubt


def test_the_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("TMUX", "WAYLAND_DISPLAY", "DISPLAY", "WSL_DISTRO_NAME", *clipboard._TRUSTED):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "foot")
    assert clipboard.copy(Terminal(), "x", "Answer") == "Answer copied."
    monkeypatch.setenv("TERM", "xterm")
    assert clipboard.copy(Terminal(), "x", "Code").startswith("Code sent to the terminal's")


def test_passthrough_is_wrapped_for_tmux() -> None:
    assert clipboard.passthrough("hi") == "\x1bPtmux;\x1b\x1b]52;c;aGk=\x07\x1b\\"
