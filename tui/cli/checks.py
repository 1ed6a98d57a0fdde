"""What doctor looks at: one function per thing, each adding a line and what is wrong with it."""

from __future__ import annotations

import asyncio
import locale
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.config import Config
from engine.errors import HaloError, ModelError
from tui.cli.output import size
from tui.cli.settings import Settings

LOW_SPACE = 200_000_000  # bytes: conversations are small, a full disk is not
SMALL = (80, 24)
OLDEST_PYTHON = (3, 12)
START_SECONDS = 120.0


@dataclass
class Problem:
    """Something to be corrected."""

    what: str
    remedy: str


@dataclass
class Check:
    """One line of the report. ok None = for information."""

    name: str
    ok: bool | None
    detail: str


@dataclass
class Report:
    """Everything doctor found; the fields are the keys of --json."""

    settings: Settings
    config: Config = field(default_factory=Config)
    checks: list[Check] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    llama_cpp: str = ""
    backends: list[str] = field(default_factory=list)
    devices: list[str] = field(default_factory=list)
    hooks: dict[str, bool] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    graph: dict[str, Any] = field(default_factory=dict)
    gpu: dict[str, Any] = field(default_factory=dict)
    workers: list[dict[str, Any]] = field(default_factory=list)
    memory: dict[str, int] = field(default_factory=dict)
    auto: list[dict[str, Any]] = field(default_factory=list)  # engine.auto's choices
    sample: Any = None  # engine.telemetry.types.Sample: what was seen of the machine

    def add(self, name: str, ok: bool | None, detail: str, *problems: Problem) -> None:
        self.checks.append(Check(name, ok, detail))
        self.problems.extend(problems)

    def fault(self, name: str, error: HaloError, detail: str = "") -> None:
        """A check that failed with an error of ours."""
        self.add(name, False, detail or error.what, Problem(error.what, error.remedy))


def run_all(settings: Settings) -> Report:
    """All checks, in the order a start needs them. Never raises HaloError."""
    from tui.cli import machine_checks, memory_checks

    report = Report(settings)
    steps: tuple[Callable[[Report], None], ...] = (
        python,
        configuration,
        data_folder,
        model_file,
        rpc_workers,
        engine,
        graph,
        machine_checks.gpu,
        machine_checks.backend,
        memory_checks.memory,
        memory_checks.gpu_memory,
        machine_checks.auto,
        terminal,
    )
    for step in steps:
        step(report)
    return report


def python(report: Report) -> None:
    """The interpreter."""
    found = platform.python_version()
    if tuple(map(int, platform.python_version_tuple()[:2])) >= OLDEST_PYTHON:
        report.add("python", True, f"{found} on {platform.system()} {platform.machine()}")
    else:
        report.add(
            "python",
            False,
            found,
            Problem(
                f"Python {found} is too old.",
                "Install Python 3.12 or newer and run `make run` again.",
            ),
        )


def configuration(report: Report) -> None:
    """The settings; with wrong ones the other checks go on with the defaults."""
    try:
        report.config = report.settings.load()
    except ModelError as error:
        report.model = {"ok": False}
        report.fault("model", error)
        return
    except HaloError as error:
        report.fault("config", error)
        return
    file = report.config.file or "no file of yours, the defaults"
    changed = len([s for s in report.config.sources.values() if s])
    report.add("config", True, f"{file} ({changed} keys changed)" if changed else file)


def data_folder(report: Report) -> None:
    """Whether conversations can be kept."""
    path = report.settings.data_dir()
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path) as probe:
            probe.write(b"x" * 4096)
            probe.flush()
        free = shutil.disk_usage(path).free
    except OSError as error:
        report.add(
            "data folder",
            False,
            str(path),
            Problem(
                f"The data folder {path} cannot be written: {error.strerror}.",
                "Correct its permissions, free some space, or choose another one with --data.",
            ),
        )
        return
    if free < LOW_SPACE:
        report.add(
            "data folder",
            False,
            f"{path}, {size(free)} free",
            Problem(f"Only {size(free)} are free for {path}.", "Free some space on that disk."),
        )
    else:
        report.add("data folder", True, f"{path}, {size(free)} free")


def model_file(report: Report) -> None:
    """The GGUF file, read without loading it."""
    from engine import models
    from engine.client import model_path

    if report.model:
        return  # --model named one that is not there
    path = model_path(report.config)
    try:
        info = models.info(path)
    except HaloError as error:
        report.model = {"path": report.config.model.path, "ok": False}
        report.fault("model", error)
        return
    report.model = {"path": str(path), "ok": True, **to_dict(info)}
    report.add("model", True, f"{path}, {size(Path(path).stat().st_size)}")


def rpc_workers(report: Report) -> None:
    """Whether each worker would serve us; with one that would not, the engine is tried without."""
    from engine import workers
    from tui.widgets.worker_text import worker_lines

    wanted = report.config.engine.rpc
    if not wanted:
        return
    found = workers.look(wanted)
    report.workers = [to_dict(one) for one in found]
    for one, line in zip(found, worker_lines(wanted, None, found), strict=True):
        trouble = workers.trouble([one])
        if one.state == "busy":
            # Most likely by the app that runs beside us; if it hangs, that app says so.
            report.add("worker", None, f"{line}; it serves one at a time")
        else:
            problems = [Problem(trouble.what, trouble.remedy)] if trouble is not None else []
            report.add("worker", trouble is None, line.removeprefix("worker "), *problems)
    if workers.faulty(found):
        report.config.engine.rpc = []
        report.add("engine", None, "tried without workers")


def engine(report: Report) -> None:
    """The native library and its hooks, by loading the model in a core of its own.

    The core is a child process: if the library aborts there, doctor tells about it.
    """
    if not report.model.get("ok"):
        report.add("engine", None, "not tried, since there is no model to load")
        return
    try:
        ready = asyncio.run(_load(report.config))
    except HaloError as error:
        report.fault("engine", error)
        return
    except TimeoutError:
        report.add(
            "engine",
            False,
            f"no answer within {START_SECONDS:.0f} s",
            Problem(
                f"The model was not loaded within {START_SECONDS:.0f} s.",
                "Try a smaller model, or see engine.log in the logs folder (`halo-tui config path`).",
            ),
        )
        return
    report.llama_cpp = ready.build
    report.backends = [ready.backend]
    report.devices = list(ready.devices)
    report.hooks = dict(ready.hooks)
    report.model.update(
        name=ready.model,
        architecture=ready.architecture,
        parameters=ready.parameters,
        bytes=ready.model_bytes,
        n_ctx_train=ready.n_ctx_train,
        n_vocab=ready.n_vocab,
        kv_bytes_per_cell=ready.kv_bytes_per_cell,
        load_seconds=round(ready.load_seconds, 3),
    )
    report.add(
        "engine",
        True,
        f"{ready.model} ({ready.architecture}, "
        f"{ready.parameters / 1e6:.1f} M parameters) loaded in {ready.load_seconds:.1f} s",
    )
    report.add(
        "backend",
        True,
        f"{ready.backend} ({', '.join(ready.devices)}), "
        f"{ready.threads} threads, llama.cpp {ready.build}",
    )
    missing = sorted(name for name, reached in ready.hooks.items() if not reached)
    detail = ", ".join(sorted(ready.hooks)) or "none reported"
    if missing or not ready.hooks:
        report.add(
            "hooks",
            False,
            detail,
            Problem(
                f"Hooks into llama.cpp are not reached: {', '.join(missing) or 'all'}.",
                "Build the native part again: make clean && make run.",
            ),
        )
    else:
        report.add("hooks", True, detail)


async def _load(config: Config) -> Any:
    import msgspec

    from engine import paths
    from engine.client import EngineClient

    small = msgspec.structs.replace(
        config.engine,
        n_ctx=512,
        n_batch=64,
        n_ubatch=64,
        prefill_chunk=32,
        max_sessions=2,
        restarts=0,
    )
    client = EngineClient(
        msgspec.structs.replace(config, engine=small), log_path=paths.state_dir() / "doctor.log"
    )
    try:
        return await asyncio.wait_for(client.start(), START_SECONDS)
    finally:
        await client.stop()


def graph(report: Report) -> None:
    """The memory's database, by starting it (or sharing the app's), and its two models."""
    from agents.memory import models
    from agents.memory.memory import FOLDER, Memory

    config = report.config.memory
    if not config.enabled:
        report.graph = {"state": "off"}
        report.add("graph", None, "off (memory.enabled)")
        return
    with tempfile.TemporaryDirectory(prefix="halo-doctor-") as scratch:
        folder = report.settings.data_dir()
        known = bool(config.url) or (folder / FOLDER).exists()
        opened = Memory(config, folder if known else Path(scratch))
        try:
            began = time.monotonic()
            opened.open(guest=True)
            seconds = time.monotonic() - began
            stats = opened.stats()
        except HaloError as error:
            report.graph = {"state": "down"}
            report.fault("graph", error)
            return
        finally:
            opened.close()
    loaded = models.load(config)
    report.graph = {
        "state": "in use" if opened.guest else "ready",
        "where": stats.where if known else str(folder / FOLDER),
        "seconds": round(seconds, 3),
        "version": stats.version,
        "messages": stats.messages,
        "entities": stats.entities,
        "facts": stats.facts,
        "extractor": loaded.extractor.name if loaded.extractor else "",
        "embedder": loaded.embedder.name if loaded.embedder else "",
    }
    detail = (
        f"FalkorDB in {seconds:.2f} s, {stats.messages} messages, {stats.entities} entities, "
        f"{stats.facts} facts; {report.graph['extractor'] or 'no extractor'}, "
        f"{report.graph['embedder'] or 'no embedder'}"
    )
    problems = [Problem(fault.what, fault.remedy) for fault in loaded.faults]
    report.add("graph", not problems, detail, *problems)


def terminal(report: Report) -> None:
    """What the app would be drawn on."""
    if not sys.stdout.isatty():
        report.add("terminal", None, "not a terminal")
        return
    columns, lines = shutil.get_terminal_size()
    problems = []
    if columns < SMALL[0] or lines < SMALL[1]:
        problems.append(
            Problem(
                f"The terminal is small: {columns}×{lines}.",
                f"Make it at least {SMALL[0]}×{SMALL[1]}.",
            )
        )
    encoding = locale.getencoding()
    if encoding.lower().replace("-", "") != "utf8":
        problems.append(
            Problem(
                f"The locale is {encoding}, not UTF-8.",
                "Set LANG=C.UTF-8, or a UTF-8 locale of your language.",
            )
        )
    term = os.environ.get("TERM", "")
    if term in ("", "dumb"):
        problems.append(
            Problem(
                "TERM does not name a terminal that can be drawn on.", "Set TERM=xterm-256color."
            )
        )
    true_colour = os.environ.get("COLORTERM", "") in ("truecolor", "24bit")
    colour = (
        "no colour (NO_COLOR)"
        if os.environ.get("NO_COLOR")
        else ("true colour" if true_colour else "256 colours" if "256" in term else "16 colours")
    )
    report.add(
        "terminal", not problems, f"{columns}×{lines}, {colour}, {encoding}, {term}", *problems
    )


def to_dict(value: Any) -> dict[str, Any]:
    """A struct or dataclass as JSON can hold it."""
    import msgspec

    plain = msgspec.to_builtins(value, enc_hook=str)
    return plain if isinstance(plain, dict) else {}
