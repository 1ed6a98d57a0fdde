"""`halo-tui bench ui`: how the app feels while many agents stream, and what it costs the engine.

The app runs as it is, with Textual's real driver in a pseudo-terminal of its own and the real
engine behind it. Keys are written to that terminal, and the time is taken until the letter comes
back in the bytes that the app draws. Rounds in which nobody types give the speed, and the same work
without the app, by turns, gives what to compare it with: tokens per second, and processor seconds of
the app and of the core, which other programs on the machine change less. Memory is watched in the app
on a headless driver, with answers that need no engine, so that ten thousand messages take a minute.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import select
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import sub
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from engine.config import Config
from engine.errors import HaloError
from tui.bench_gc import Passes, summary
from tui.bench_terminal import Terminal

if TYPE_CHECKING:
    from agents.workspace import Workspace

SIZE = (120, 40)  # columns and rows of the pseudo-terminal
TURNS = 3  # of headless, chat, headless, grid
ROUNDS = 2  # of all agents answering once, per run, at least
STREAMING = 15.0  # seconds of answering of all turns at least, with typing and without each
LONGEST = 5  # times as many seconds a run takes where answers are short
PATIENCE = 600.0  # seconds for a whole child
PROMPT = (
    "Tell me a long story about a lighthouse keeper, her brother, the town of Oslo and a machine "
    "that counts the waves. Agent {n} tells it in its own way."
)


def run(
    config: Config,
    agents: int = 8,
    model: str | None = None,
    tokens: int = 1024,
    messages: int = 10_000,
    streaming: float = STREAMING,
) -> dict[str, Any]:
    """Measure latency, frames, speed against headless, and memory. Raises HaloError."""
    config = msgspec.json.decode(msgspec.json.encode(config), type=Config)
    config.memory.enabled = False  # what is measured is the app
    if model:
        config.model.path = model
    config.engine.n_ctx = max(config.engine.n_ctx, agents * (tokens + 128))
    # Compacting as the cache fills up would take the processor in some rounds and not in others.
    config.compaction.auto = False
    job = {"config": msgspec.to_builtins(config), "agents": agents, "tokens": tokens,
           "messages": messages, "rounds": ROUNDS, "streaming": streaming / TURNS}  # fmt: skip
    # By turns: machines change their pace. Each view is compared with what came right before and
    # after it.
    alone = [_child({**job, "kind": "headless"})]
    views: dict[str, list[dict[str, Any]]] = {"chat": [], "grid": []}
    ratios: dict[str, list[float]] = {"chat": [], "grid": []}
    for turn in range(TURNS):
        for view, runs in views.items():
            size = f"{SIZE[0]}×{SIZE[1]}"
            tell(f"turn {turn + 1} of {TURNS}: {agents} agents, the {view} in a {size} terminal")
            runs.append(_in_terminal({**job, "kind": "app", "view": view}))
            alone.append(_child({**job, "kind": "headless"}))
            around = statistics.mean(_speed(run) for run in alone[-2:])
            ratios[view].append(_speed(runs[-1]) / around)
    tell(f"memory over {messages:,} messages")
    memory = _child({**job, "kind": "memory"})
    chat, grid, headless = (_together(runs) for runs in (views["chat"], views["grid"], alone))
    return {
        "latency_ms_p50": percentile(chat["latencies"], 50),
        "latency_ms_p95": percentile(chat["latencies"], 95),
        "fps": chat["fps"],
        "tok_s_ratio_to_headless": statistics.median(ratios["chat"]),
        "tok_s_ratios": ratios["chat"],
        "rss_growth_mb": memory["rss_growth_mb"],
        "rss_growth_bytes_per_message": memory["bytes_per_message"],
        "tok_s": statistics.median(chat["tok_s"]),
        "tok_s_headless": statistics.median(headless["tok_s"]),
        **_processor("", chat),
        **_processor("grid_", grid),
        **_processor("headless_", headless),
        "grid_latency_ms_p50": percentile(grid["latencies"], 50),
        "grid_latency_ms_p95": percentile(grid["latencies"], 95),
        "grid_fps": grid["fps"],
        "grid_tok_s_ratio_to_headless": statistics.median(ratios["grid"]),
        "grid_tok_s_ratios": ratios["grid"],
        **summary("", chat["gc"]),
        **summary("grid_", grid["gc"]),
        "keys": len(chat["latencies"]),
        "lost_keys": chat["lost"] + grid["lost"],
        "agents": agents,
        "tokens": tokens,
        "messages": messages,
        "driver": f"textual's own in a pty of {SIZE[0]}x{SIZE[1]}; memory: headless driver",
        "model": Path(config.model.path).stem or "halo-mini",
        "cpus": os.cpu_count(),
    }


def _speed(run: dict[str, Any]) -> float:
    """Tokens per second of a run without typing, over all its rounds."""
    return float(run["tokens"] / run["seconds"])


def _together(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Several runs of a kind as one: lists end to end, sums, and frames a second on average."""
    both: dict[str, Any] = {}
    for key, value in runs[0].items():
        values = [run[key] for run in runs]
        both[key] = (
            [one for many in values for one in many] if isinstance(value, list) else sum(values)
        )
    if "fps" in both:
        both["fps"] /= len(runs)
    return both


def _processor(prefix: str, child: dict[str, Any]) -> dict[str, float]:
    """Processor seconds of the app's process and of the core for 10,000 tokens, and the app's share
    of one core while it streams; nobody types meanwhile."""
    per = 10_000 / child["tokens"]
    return {
        f"{prefix}app_cpu_s_per_10k": child["app_cpu"] * per,
        f"{prefix}core_cpu_s_per_10k": child["core_cpu"] * per,
        f"{prefix}app_cpu_share": child["app_cpu"] / child["seconds"],
    }


def percentile(milliseconds: list[float], share: int) -> float:
    """The value that `share` percent do not exceed; NaN when there is none."""
    if not milliseconds:
        return float("nan")
    ordered = sorted(milliseconds)
    return ordered[min(len(ordered) - 1, len(ordered) * share // 100)]


def tell(text: str) -> None:
    """Progress, for people."""
    print(f"bench ui: {text}", file=sys.stderr, flush=True)


# --- the parent's side ----------------------------------------------------------------------------


@contextmanager
def _started(job: dict[str, Any], **streams: Any) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The child for a job with a data folder of its own, and the end of the pipe it reports to."""
    read_end, write_end = os.pipe()
    with tempfile.TemporaryDirectory(prefix="halo-bench-") as home:
        file = Path(home) / "job.json"
        file.write_text(json.dumps(job))
        environ = {**os.environ, "HALO_TUI_HOME": home, "TERM": "xterm-256color",
                   "COLORTERM": "truecolor", "HALO_BENCH_REPORT": str(write_end)}  # fmt: skip
        child = subprocess.Popen(
            [sys.executable, "-m", "tui.bench_ui", str(file)],
            env=environ, pass_fds=(write_end,), start_new_session=True, **streams,
        )  # fmt: skip
        os.close(write_end)
        try:
            yield child, read_end
        finally:
            os.close(read_end)
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def _child(job: dict[str, Any]) -> dict[str, Any]:
    """Run a job that needs no terminal."""
    with _started(job, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as (child, reports):
        data = b""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            ready, _, _ = select.select([reports], [], [], 0.5)
            if ready:
                chunk = os.read(reports, 65536)
                if not chunk:
                    break
                data += chunk
            if b"\n" in data:
                return _result(json.loads(data.splitlines()[-1]))
        code = child.poll()
    raise HaloError(
        f"The bench's {job['kind']} run ended without a result (exit code {code}).",
        "Run `halo-tui doctor`.",
    )


def _result(report: dict[str, Any]) -> dict[str, Any]:
    if "error" in report:
        raise HaloError(report["error"], "Run `halo-tui doctor`.")
    return report


def _in_terminal(job: dict[str, Any]) -> dict[str, Any]:
    """Run the app in a pseudo-terminal, type while the agents stream."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", SIZE[1], SIZE[0], 0, 0))
    terminal = Terminal(master)
    try:
        with _started(job, stdin=slave, stdout=slave, stderr=slave) as (_, reports):
            os.close(slave)
            end = time.monotonic() + PATIENCE
            pending = b""
            while time.monotonic() < end:
                ready, _, _ = select.select([master, reports], [], [], terminal.patience())
                if master in ready:
                    try:
                        terminal.read()
                    except OSError:
                        break
                if reports in ready:
                    pending += os.read(reports, 65536)
                    while b"\n" in pending:
                        line, _, pending = pending.partition(b"\n")
                        report = _result(json.loads(line))
                        if "stream" in report:
                            terminal.stream(report["stream"], report["typing"])
                        if "tok_s" in report:
                            return {
                                **report,
                                "latencies": terminal.latencies,
                                "lost": terminal.lost,
                                "fps": terminal.frames / max(1e-9, terminal.seconds),
                            }
                terminal.tick()
    finally:
        os.close(master)
    raise HaloError("The app ended before the bench was done.", "Run `halo-tui doctor`.")


# --- the child's side -----------------------------------------------------------------------------


def _report(**fields: Any) -> None:
    """Tell the parent."""
    os.write(int(os.environ["HALO_BENCH_REPORT"]), json.dumps(fields).encode() + b"\n")


async def _work(
    workspace: Workspace, agents: int, tokens: int, rounds: int, least: float,
    streaming: Callable[[bool, bool], None] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """All agents answer at once, `rounds` times or more, and with `streaming` as often while
    somebody types: it is told when they begin and end, and whether to type.

    Returns the tokens per second of the rounds without typing, and of these together the seconds,
    tokens and processor seconds.
    """
    import psutil

    from agents.events import TurnDelta, TurnFinished, WorkspaceEvent

    while len(workspace.agents) < agents:
        await workspace.create(f"agent{len(workspace.agents) + 1}")
    names = workspace.names[:agents]
    speeds: list[float] = []
    number = 0  # of the round; the first one warms up
    total = {"seconds": 0.0, "tokens": 0, "app_cpu": 0.0, "core_cpu": 0.0}
    pid = getattr(workspace.client, "pid", None)
    core = psutil.Process(pid) if pid is not None else None

    def used() -> tuple[float, float]:
        other = core.cpu_times() if core is not None else None
        return time.process_time(), other.user + other.system if other is not None else 0.0

    # Short answers stream for a small part of the time.
    latest = time.monotonic() + LONGEST * least
    while (
        len(speeds) < rounds
        or (total["seconds"] < least and time.monotonic() < latest)
        or (streaming and number % 2)
    ):
        # The first round warms up; then they alternate.
        typing = streaming is not None and number % 2 == 0
        started: list[tuple[float, float, float]] = []  # when, and what was used until then
        finished: dict[str, int] = {}
        done = asyncio.Event()

        def watch(
            event: WorkspaceEvent,
            started: list[tuple[float, float, float]] = started,
            finished: dict[str, int] = finished,
            done: asyncio.Event = done,
            typing: bool = typing,
            warm: bool = number > 0,
        ) -> None:
            if isinstance(event, TurnDelta) and not started:
                started.append((time.perf_counter(), *used()))
                if warm and streaming is not None:
                    streaming(True, typing)
            elif isinstance(event, TurnFinished) and event.turn.role == "assistant":
                finished[event.agent] = event.turn.tokens
                if len(finished) == len(names):
                    done.set()

        stop = workspace.subscribe(watch)
        for index, name in enumerate(names):
            await workspace.clear(name)
            await workspace.tell(
                name, PROMPT.format(n=index),
                sampling={"ignore_eos": True, "max_tokens": tokens if number else 16, "seed": 1},
            )  # fmt: skip
        await done.wait()
        ended, at_end = time.perf_counter(), used()
        if number and streaming is not None:
            streaming(False, typing)
        if number and not typing:
            made, seconds = sum(finished.values()), ended - started[0][0]
            speeds.append(made / seconds)
            spent = map(sub, at_end, started[0][1:])
            for key, more in zip(total, (seconds, made, *spent), strict=True):
                total[key] += more
        stop()
        number += 1
        await asyncio.sleep(0.3)
    return {"tok_s": speeds, **total}


def _share(job: dict[str, Any]) -> tuple[int, int, int, float]:
    """What `_work` takes of a job."""
    return job["agents"], job["tokens"], job["rounds"], job["streaming"]


async def _headless(job: dict[str, Any], config: Config) -> dict[str, Any]:
    """The work without an app."""
    from agents.workspace import Workspace
    from engine import paths
    from engine.client import EngineClient

    client = EngineClient(config, log_path=paths.state_dir() / "core.log")
    workspace = Workspace(config, client, paths.data_dir())
    await workspace.start()
    try:
        await workspace.wait_ready()
        return await _work(workspace, *_share(job))
    finally:
        await workspace.stop()


def _app(job: dict[str, Any], config: Config) -> None:
    """The app in this terminal, with the work inside."""
    from engine import paths
    from engine.client import EngineClient
    from tui.app import HaloApp
    from tui.stderr_guard import guarded_stderr

    passes = Passes()

    class BenchApp(HaloApp):
        """The app, given work."""

        CSS_PATH = HaloApp.CSS_PATH

        def on_ready(self) -> None:
            self.run_worker(self._bench())

        async def _bench(self) -> None:
            try:
                await self.workspace.wait_ready()
                while not self.main.is_mounted or not self.main.current:
                    await asyncio.sleep(0.05)
                if job["view"] == "grid":
                    await self.main.toggle_grid()
                passes.begin()
                found = await _work(
                    self.workspace, *_share(job),
                    lambda on, typing: _report(stream=on, typing=typing),
                )  # fmt: skip
                _report(**found, gc=passes.milliseconds)
            except Exception as error:  # the parent has to hear of it, whatever it is
                _report(error=f"{type(error).__name__}: {error}")
            await self.leave()

    state = paths.state_dir()
    app = BenchApp(config, paths.data_dir(), EngineClient(config, log_path=state / "core.log"))
    with guarded_stderr(state / "app-native.log"):
        app.run()


async def _memory(job: dict[str, Any], config: Config) -> dict[str, Any]:
    """The app on a headless driver over many messages; answers come from nowhere."""
    import psutil

    from engine import paths
    from tui.app import HaloApp, calm_collector
    from tui.bench_echo import EchoClient

    app = HaloApp(config, paths.data_dir(), EchoClient())
    process = psutil.Process()
    async with app.run_test(size=SIZE) as pilot:
        await app.workspace.wait_ready()
        calm_collector()  # headless it is not: tests share their process
        name = app.workspace.names[0]
        warm = min(500, job["messages"] // 2)
        before = 0
        for number in range(0, job["messages"] + warm, 2):
            if number >= warm and not before:
                before = process.memory_info().rss
            await app.workspace.tell(name, f"Question {number}: what comes next, and why is that?")
            while app.workspace.get(name).busy:
                await asyncio.sleep(0)
            if number % 50 == 0:
                await pilot.pause()
        growth = process.memory_info().rss - before
    return {"rss_growth_mb": growth / 2**20, "bytes_per_message": growth / job["messages"]}


def main(path: str) -> None:
    """A child: do the job in this file and report."""
    job = json.loads(Path(path).read_text())
    config = msgspec.convert(job["config"], Config)
    try:
        if job["kind"] == "app":
            _app(job, config)
        elif job["kind"] == "headless":
            _report(**asyncio.run(_headless(job, config)))
        else:
            _report(**asyncio.run(_memory(job, config)))
    except Exception as error:  # the parent has to hear of it, whatever it is
        _report(error=f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main(sys.argv[1])
