"""Copying to the clipboard, whatever the terminal is, and saying how sure that is.

Three ways, all tried: the escape sequence OSC 52, which terminals may ignore and never confirm; a
clipboard tool of the desktop, whose exit code is a confirmation; tmux's own buffer.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textual.app import App

TOOL_SECONDS = 1.0
OSC52_BYTES = 74_994  # what fits into the 100,000 characters that most terminals take

# Terminals that take OSC 52 as they are installed, by the variable that gives them away.
_TRUSTED = ("KITTY_WINDOW_ID", "WEZTERM_PANE", "GHOSTTY_RESOURCES_DIR", "ALACRITTY_WINDOW_ID",
            "WT_SESSION")  # fmt: skip
_TRUSTED_TERMS = ("xterm-kitty", "xterm-ghostty", "foot", "alacritty", "wezterm", "contour")


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a copy."""

    sure: bool  # something confirmed it
    how: str  # "wl-copy", "tmux", "terminal"
    doubt: str = ""  # one sentence, when it may not have worked


def copy(app: App[Any], text: str, what: str = "Text") -> str:
    """Copy and return the sentence to show: "Answer copied." or what to check."""
    result = copy_text(app, text)
    if result.sure:
        return f"{what} copied." if result.how != "tmux" else f"{what} copied (tmux buffer too)."
    return f"{what} sent to the terminal's clipboard. {result.doubt}"


def copy_text(app: App[Any], text: str, environ: Mapping[str, str] = os.environ) -> Result:
    """Copy by all means there are."""
    app.copy_to_clipboard(text)
    size = len(text.encode())
    worked = [command[0] for command in tools(environ) if _run(command, text)]
    if environ.get("TMUX") and (driver := getattr(app, "_driver", None)):
        driver.write(passthrough(text))
    if worked:
        return Result(True, worked[-1])  # the desktop's clipboard says more than tmux's buffer
    if size > OSC52_BYTES:
        return Result(
            False,
            "terminal",
            f"{size:,} bytes is more than most terminals take; install wl-clipboard or xclip.",
        )
    if trusted(environ):
        return Result(True, "terminal")
    return Result(
        False,
        "terminal",
        "If pasting gives something else, allow OSC 52 in your "
        "terminal or install wl-clipboard or xclip.",
    )


def trusted(environ: Mapping[str, str]) -> bool:
    """Whether this terminal is known to take OSC 52 without being asked to."""
    term = environ.get("TERM", "")
    return any(environ.get(name) for name in _TRUSTED) or term.startswith(_TRUSTED_TERMS)


def tools(environ: Mapping[str, str]) -> list[list[str]]:
    """Commands that take the text on stdin, best first; only those that are there."""
    wanted: list[list[str]] = []
    if environ.get("TMUX"):
        wanted.append(["tmux", "load-buffer", "-w", "-"])
    if sys.platform == "darwin":
        wanted.append(["pbcopy"])
    if environ.get("WAYLAND_DISPLAY"):
        wanted.append(["wl-copy"])
    if environ.get("DISPLAY"):
        wanted += [["xclip", "-selection", "clipboard"], ["xsel", "--clipboard", "--input"]]
    if environ.get("WSL_DISTRO_NAME"):
        wanted.append(["clip.exe"])
    return [command for command in wanted if shutil.which(command[0], path=environ.get("PATH"))]


def passthrough(text: str) -> str:
    """OSC 52 wrapped so that tmux hands it on to the terminal outside (allow-passthrough)."""
    encoded = base64.b64encode(text.encode()).decode()
    return f"\x1bPtmux;\x1b\x1b]52;c;{encoded}\x07\x1b\\"


def _run(command: list[str], text: str) -> bool:
    try:
        done = subprocess.run(
            command, input=text.encode(), timeout=TOOL_SECONDS, check=False,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0
