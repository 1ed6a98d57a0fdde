"""The real command in a real terminal (tmux), on the shipped model."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.pace import Pace

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux: sudo apt install tmux"),
]


class Terminal:
    """One tmux window; `screen()` is what a person sees."""

    def __init__(self, home: Path, width: int, height: int) -> None:
        self.socket = f"halo-{uuid.uuid4().hex[:8]}"
        # GNU readline, once imported here, tells children that they have the size of our terminal.
        own = f"-u COLUMNS -u LINES HALO_TUI_HOME={shlex.quote(str(home))} TERM=tmux-256color"
        inner = f"env {own} sh"
        self.tmux(
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-s",
            "t",
            "-x",
            str(width),
            "-y",
            str(height),
            inner,
        )

    def tmux(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", "-L", self.socket, *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout

    def screen(self) -> str:
        return self.tmux("capture-pane", "-p", "-t", "t")

    def type(self, text: str) -> None:
        self.tmux("send-keys", "-t", "t", "-l", text)

    def press(self, *keys: str) -> None:
        self.tmux("send-keys", "-t", "t", *keys)

    def wait(self, condition: Callable[[str], bool], what: str, seconds: float = 60) -> str:
        end = time.monotonic() + seconds
        while not condition(seen := self.screen()):
            assert time.monotonic() < end, f"waited for {what}; the screen is\n{seen}"
            time.sleep(0.05)
        return seen

    def close(self) -> None:
        subprocess.run(["tmux", "-L", self.socket, "kill-server"], capture_output=True, check=False)


@pytest.fixture(params=[(80, 24), (120, 40)])
def terminal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Terminal]:
    made = Terminal(tmp_path, *request.param)
    yield made
    made.close()


def core_of(app: str) -> psutil.Process:
    """The engine core that belongs to the app with this data folder."""
    for process in psutil.process_iter(["cmdline", "environ"]):
        line = process.info["cmdline"] or []
        if "engine.core" in line and (process.info["environ"] or {}).get("HALO_TUI_HOME") == app:
            return process
    raise AssertionError("no engine core runs")


def answers(screen: str) -> int:
    """How many of them are complete."""
    return len(re.findall(r"\d tokens · [\d.,]+ tok/s", screen))


def first_start(terminal: Terminal) -> None:
    """Enter takes halo-mini; then the prompt is there."""
    terminal.wait(lambda s: "Welcome to halo-tui" in s and "halo-mini" in s, "the picker")
    terminal.press("Enter")
    terminal.wait(lambda s: "Message ada" in s and "Welcome" not in s, "the app")


def test_nothing_typed_while_it_starts_is_lost(terminal: Terminal, tmp_path: Path) -> None:
    """Also what falls into the greeting of the first start."""
    text = "Hi, I'm Ada and I work at Halo Labs. Where do I work, and who is Ada?"
    terminal.type(str(Path(sys.executable).parent / "halo-tui"))
    terminal.press("Enter")
    terminal.wait(lambda s: "KV CELLS" in s or "ada" in s.splitlines()[0], "the first frame")
    for character in text:
        terminal.type(character)
    terminal.press("Enter")
    terminal.wait(lambda s: answers(s) == 1, "an answer")
    assert any(text in file.read_text() for file in tmp_path.rglob("*.jsonl"))


def test_chat_survive_a_dead_core_and_leave_a_sane_terminal(
    terminal: Terminal, tmp_path: Path
) -> None:
    command = Path(sys.executable).parent / "halo-tui"
    terminal.type(
        f"stty -a > {tmp_path}/before; {command}; echo code $?; stty -a > {tmp_path}/after; echo over"
    )
    terminal.press("Enter")
    first_start(terminal)

    terminal.type("Hi, I'm Ada and I work at Halo Labs.")
    terminal.press("Enter")
    terminal.wait(lambda s: answers(s) == 1, "an answer")

    terminal.press("M-2")  # as terminals send it: ESC and 2
    terminal.wait(lambda s: "Message grace" in s, "the second agent")
    terminal.press("M-1")
    terminal.wait(lambda s: "Message ada" in s, "the first agent")

    core = core_of(str(tmp_path))
    core.kill()
    core.wait(60)
    terminal.type("where do I work?")
    terminal.press("Enter")
    seen = terminal.wait(lambda s: answers(s) >= 2, "an answer of the new core")
    assert "Traceback" not in seen

    terminal.press("C-q")
    seen = terminal.wait(lambda s: "over" in s.splitlines()[-1] or "\nover" in s, "the shell")
    assert "code 0" in seen and "Traceback" not in seen
    assert (tmp_path / "before").read_text() == (tmp_path / "after").read_text(), (
        "terminal modes differ"
    )
    history = list((tmp_path).rglob("*.jsonl"))
    assert any("Halo Labs" in file.read_text() for file in history)


def test_to_the_shell_and_back_and_a_paste_with_colours(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, 100, 30)
    try:
        terminal.type(f"stty -a > {tmp_path}/before; {Path(sys.executable).parent / 'halo-tui'}")
        terminal.press("Enter")
        first_start(terminal)
        (tmp_path / "log").write_text("\x1b[31mred line\x1b[0m\x11\x07\nand another\n")
        terminal.tmux("load-buffer", str(tmp_path / "log"))
        terminal.tmux("paste-buffer", "-p", "-t", "t")
        terminal.wait(
            lambda s: re.search("❯ red line( {5}|$)", s, re.MULTILINE) is not None, "the paste"
        )
        assert "and another" in terminal.screen(), "not sent, not left: nothing in it is a key"
        terminal.press("C-z")
        terminal.wait(lambda s: "Message ada" in s, "the paste to be undone")
        terminal.press("C-z")
        terminal.wait(lambda s: "KV" not in s and "Stopped" in s, "the shell")
        terminal.type(f"stty -a > {tmp_path}/after")
        terminal.press("Enter")
        terminal.type("fg")
        terminal.press("Enter")
        terminal.wait(lambda s: "Message ada" in s and "fg" not in s, "the app again")
        assert (tmp_path / "before").read_text() == (tmp_path / "after").read_text()
        terminal.type("Hi, I'm Ada.")
        terminal.press("Enter")
        terminal.wait(lambda s: answers(s) == 1, "an answer")
    finally:
        terminal.close()


def test_a_closed_terminal_leaves_no_process_and_loses_nothing(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, 100, 30)
    try:
        command = Path(sys.executable).parent / "halo-tui"
        terminal.type(f"exec {command}")
        terminal.press("Enter")
        first_start(terminal)
        terminal.type("My name is Ada.")
        terminal.press("Enter")
        terminal.wait(lambda s: answers(s) == 1, "an answer")
        core = core_of(str(tmp_path))
    finally:
        terminal.close()
    core.wait(60)
    history = list(tmp_path.rglob("*.jsonl"))
    assert any("My name is Ada." in file.read_text() for file in history)


def test_closed_in_the_middle_of_an_answer_and_back_with_its_cells(
    tmp_path: Path, slow_core: Pace
) -> None:
    slow_core.slow(0.01)  # a minute for an answer
    command = Path(sys.executable).parent / "halo-tui"
    long = "--set sampling.ignore_eos=true --set sampling.max_tokens=6000"
    terminal = Terminal(tmp_path, 100, 30)
    try:
        terminal.type(f"exec {command} {long}")
        terminal.press("Enter")
        first_start(terminal)
        terminal.type("My name is Ada.")
        terminal.press("Enter")
        terminal.wait(lambda s: "who is answering" in s and held(s) > 300, "a long answer")
        core = core_of(str(tmp_path))
        app = core.parent()
        assert app is not None
    finally:
        terminal.close()
    core.wait(60)
    app.wait(60)  # writing to a terminal that has gone must not hold it
    slow_core.free()
    terminal = Terminal(tmp_path, 100, 30)
    try:
        terminal.type(f"exec {command}")
        terminal.press("Enter")
        seen = terminal.wait(lambda s: "Stopped." in s and held(s) > 300, "its text and its cells")
        assert "My name is Ada." in "".join(f.read_text() for f in tmp_path.rglob("*.jsonl"))
        assert "prefill" not in seen or "prefill 0" in seen, "nothing was read again"
        terminal.type("/save the state of things")
        terminal.press("Enter")
        terminal.wait(lambda s: "Saved as" in s, "the snapshot")
        terminal.press("C-s")
        terminal.wait(lambda s: "SAVED SESSIONS" in s and "the state of things" in s, "the list")
        terminal.press("Enter")
        terminal.wait(lambda s: "Message ada-2" in s and "are back" in s, "the restored agent")
    finally:
        terminal.close()


def held(screen: str) -> int:
    """Cells in use, as the status line says."""
    found = re.search(r"([\d,]+)/8,192", screen)
    return int(found[1].replace(",", "")) if found else 0


def test_the_app_refuses_to_start_without_a_terminal(tmp_path: Path) -> None:
    command = Path(sys.executable).parent / "halo-tui"
    done = subprocess.run(
        [command], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        env={**os.environ, "HALO_TUI_HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 2
    assert "needs a terminal" in done.stderr


BROKEN = """
import sys
from engine import config, paths
from tui.app import run
from tui.widgets.status_line import StatusLine

orig, drawn = StatusLine.render, []

def render(self):
    drawn.append(1)
    if any(a.turns and not a.busy for a in self.workspace.agents):
        raise ValueError("boom in a widget")
    return orig(self)

StatusLine.render = render
sys.exit(run(config.load(), paths.data_dir()))
"""


def test_a_fault_of_the_app_ends_in_a_sentence_and_loses_nothing(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, 100, 30)
    script = tmp_path / "broken.py"
    script.write_text(BROKEN)
    root = Path(__file__).parents[2]
    try:
        terminal.type(f"cd {root}; PYTHONPATH=. {sys.executable} {script}; echo code $?")
        terminal.press("Enter")
        first_start(terminal)
        terminal.type("My name is Ada.")
        terminal.press("Enter")
        seen = terminal.wait(lambda s: "code 1" in s, "the end")
        assert "ValueError: boom in a widget" in seen and "Traceback" not in seen
        assert "ValueError: boom in a widget" in (tmp_path / "state" / "faults.log").read_text()
        history = list(tmp_path.rglob("*.jsonl"))
        assert any("My name is Ada." in file.read_text() for file in history)
    finally:
        terminal.close()


async def test_a_folder_in_use_is_told_on_the_terminal(tmp_path: Path) -> None:
    from agents.workspace import Workspace
    from engine.config import Config
    from tests.support.scripted import ScriptedClient

    space = Workspace(Config(), ScriptedClient(), tmp_path / "data")
    await space.start()
    terminal = Terminal(tmp_path, 100, 30)
    try:
        command = Path(sys.executable).parent / "halo-tui"
        terminal.type(f"{command}; echo code $?")
        terminal.press("Enter")
        seen = terminal.wait(lambda s: "code 1" in s, "the end")
        assert "Another halo-tui" in seen and "--data" in seen
    finally:
        terminal.close()
        await space.stop()
