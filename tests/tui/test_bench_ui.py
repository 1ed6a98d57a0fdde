"""`bench ui`: what it measures is what happens at the other end of the terminal."""

from __future__ import annotations

import math
import os
import pty
import threading
import tty
from collections.abc import Callable

import pytest

from engine.config import Config
from tests.support.waiting import until_sync
from tui import bench_terminal, bench_ui
from tui.bench_terminal import FRAME_END, QUERY_SYNC, Terminal
from tui.bench_ui import percentile


class FakeApp:
    """The app's end of a pseudo-terminal: `answer` says what to draw for what was typed."""

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self.master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        self.typed: list[bytes] = []
        self._answer = answer
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                data = os.read(self.slave, 1024)
            except OSError:
                return
            if not data:
                return
            self.typed.append(data)
            try:
                os.write(self.slave, self._answer(data))
            except OSError:  # closed meanwhile
                return

    def close(self) -> None:
        os.close(self.master)
        self._thread.join(60)
        assert not self._thread.is_alive()
        os.close(self.slave)


def test_it_times_the_echo_and_counts_frames() -> None:
    app = FakeApp(lambda data: b"\x1b[1;1H" + data + FRAME_END)
    terminal = Terminal(app.master)
    terminal.stream(True, typing=True)
    until_sync(lambda: bool(terminal.tick() or app.typed))
    terminal.read()
    assert len(terminal.latencies) == 1 and 0 < terminal.latencies[0] < 2000
    assert (terminal.frames, terminal.lost, terminal.seconds) == (0, 0, 0.0)
    terminal.stream(False, typing=True)
    terminal.stream(True, typing=False)
    os.write(app.slave, FRAME_END)
    terminal.read()
    terminal.stream(False, typing=False)
    assert terminal.frames == 1 and terminal.seconds > 0
    app.close()


def test_nothing_is_typed_while_nothing_streams_or_nobody_types() -> None:
    app = FakeApp(lambda data: data)
    terminal = Terminal(app.master)
    for on, typing in ((False, False), (True, False), (False, True)):
        terminal.stream(on, typing)
        terminal._due = 0.0
        terminal.tick()
        assert terminal._waiting == b""
    app.close()


def test_a_key_that_never_comes_back_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_terminal, "LOST", 0.0)
    app = FakeApp(lambda data: b"something else")
    terminal = Terminal(app.master)
    terminal.stream(True, typing=True)
    until_sync(lambda: bool(terminal.tick() or terminal.lost))
    assert terminal.lost == 1 and terminal.latencies == [0.0]
    app.close()


def test_it_answers_the_question_for_synchronised_output() -> None:
    app = FakeApp(lambda data: b"")
    terminal = Terminal(app.master)
    os.write(app.slave, QUERY_SYNC)
    terminal.read()
    until_sync(lambda: app.typed == [b"\x1b[?2026;1$y"])
    app.close()


def test_percentiles() -> None:
    assert percentile([3.0, 1.0, 2.0], 50) == 2.0
    assert percentile(list(map(float, range(100))), 95) == 95.0
    assert math.isnan(percentile([], 50))


def test_runs_of_a_kind_are_put_together() -> None:
    runs = [
        {"tok_s": [1.0], "tokens": 10, "seconds": 2.0, "latencies": [3.0], "lost": 0, "fps": 8.0},
        {"tok_s": [2.0, 3.0], "tokens": 50, "seconds": 2.0, "latencies": [], "lost": 1, "fps": 4.0},
    ]
    both = bench_ui._together(runs)
    assert both == {"tok_s": [1.0, 2.0, 3.0], "tokens": 60, "seconds": 4.0, "latencies": [3.0],
                    "lost": 1, "fps": 6.0}  # fmt: skip
    assert bench_ui._speed(both) == 15.0


@pytest.mark.slow
def test_the_whole_bench_on_the_real_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_ui, "ROUNDS", 1)
    monkeypatch.setattr(bench_ui, "TURNS", 1)
    result = bench_ui.run(Config(), agents=2, tokens=400, messages=100, streaming=4.0)
    assert result["tok_s"] > 0 and result["tok_s_headless"] > 0
    assert result["tok_s_ratio_to_headless"] > 0.2
    for view in ("", "grid_", "headless_"):
        assert result[f"{view}app_cpu_s_per_10k"] > 0 and result[f"{view}core_cpu_s_per_10k"] > 0
        assert 0 < result[f"{view}app_cpu_share"] < 2
    assert result["keys"] > 0 and result["latency_ms_p50"] <= result["latency_ms_p95"]
    assert result["fps"] > 0 and result["rss_growth_mb"] < 100
