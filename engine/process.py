"""The core's process: started with its settings and its log, talked to, and why it ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from engine import last_words, reconnect, workers
from engine.config import Config
from engine.environment import for_computing
from engine.errors import EngineError
from engine.protocol import AnyEvent, Request
from engine.wire import FrameReader, FrameWriter

LOG_BYTES = 5_000_000  # a log that has grown larger is put aside when the core starts
LEAD_SECONDS = 0.002  # what a look takes


class CoreProcess:
    """One process with one connection; it is started once."""

    def __init__(self, log_path: Path) -> None:
        self._log_path = log_path
        self._log_from = 0  # where this core's lines begin
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._frames = FrameWriter()

    async def start(self, config: Config, model: Path, swap_folder: Path | None) -> str:
        """Start it; why it has no log, or "". Raises OSError when no process can be had."""
        ours, theirs = socket.socketpair()
        with theirs:
            output, without = open_log(self._log_path)
            with output:
                self._log_from = output.seek(0, os.SEEK_END)
                self._process = await _spawn(config, model, swap_folder, theirs, output)
        self._reader, self._writer = await asyncio.open_connection(sock=ours)
        return without

    @property
    def pid(self) -> int | None:
        """None before it was started."""
        return self._process.pid if self._process is not None else None

    @property
    def runs(self) -> bool:
        """Whether it was started and its exit code was not collected yet."""
        return self._process is not None and self._process.returncode is None

    async def events(self) -> AsyncIterator[Iterator[AnyEvent]]:
        """What it says until it hangs up, as it comes. Raises OSError or WireError when the connection breaks."""
        assert self._reader is not None
        frames: FrameReader[AnyEvent] = FrameReader(AnyEvent)  # type: ignore[arg-type]
        while data := await self._reader.read(1 << 18):
            yield frames.feed(data)

    async def look_away(self, every: float) -> None:
        """Let the core go on without watching what it says, until shortly before the next multiple
        of `every` seconds.

        Whoever waits at a socket is woken at each send, and the kernel likes to wake it where the
        sender runs: there it takes the core's place, many times a second.
        """
        assert self._writer is not None
        transport = cast(asyncio.Transport, self._writer.transport)  # of a socket: both ways
        transport.pause_reading()
        now = time.monotonic() + LEAD_SECONDS
        await asyncio.sleep((now // every + 1) * every - now)
        transport.resume_reading()

    def write(self, request: Request) -> None:
        """Send a request, if there is a connection. Raises WireError when it is too large."""
        if self._writer is not None:
            self._writer.write(self._frames.encode(request))

    def hang_up(self) -> None:
        """Close the connection, which ends the core."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def wait(self) -> None:
        """Wait until it has ended."""
        if self._process is not None:
            await self._process.wait()

    # --- why it ended -----------------------------------------------------------------------------

    @property
    def _code(self) -> int | None:
        return self._process.returncode if self._process is not None else None

    def how_it_died(self) -> str:
        """What follows "The engine"."""
        if self._code == -signal.SIGABRT and reconnect.was_broken(self._log_path):
            return _how(workers.LOST)
        return _how(self._code)

    def fault_of_gpu(self) -> EngineError | None:
        """What to tell when a new core would end likewise, since build and GPU do not fit."""
        if self._code != -signal.SIGABRT:
            return None
        return last_words.of_gpu(self._log_path, self._log_from)

    def last_lines(self) -> str:
        """The end of its log, in one line."""
        return last_words.lines(self._log_path)


async def _spawn(
    config: Config,
    model: Path,
    swap_folder: Path | None,
    theirs: socket.socket,
    output: BinaryIO,
) -> asyncio.subprocess.Process:
    settings = {
        "model": str(model),
        "parent": os.getpid(),
        "engine": msgspec.to_builtins(config.engine),
        "compaction": msgspec.to_builtins(config.compaction),
        "sessions": msgspec.to_builtins(config.sessions),
        "experts": msgspec.to_builtins(config.experts),
        "folder": str(swap_folder) if swap_folder is not None else "",
        "given": list(config.sources),
        "root": config.telemetry.root,
    }
    package_parent = str(Path(__file__).parent.parent)
    environment = for_computing()
    old = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = f"{package_parent}{os.pathsep}{old}" if old else package_parent
    if config.engine.rpc:
        # A lost worker ends the core by ggml's abort, which would call a debugger first.
        environment.setdefault("GGML_NO_BACKTRACE", "1")
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # a folder named `engine` where the user stands is not ours
        "-m",
        "engine.core",
        str(theirs.fileno()),
        msgspec.json.encode(settings).decode(),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=(theirs.fileno(),),
        env=environment,
        start_new_session=True,  # without a terminal, nothing native can write to it
    )


def open_log(path: Path) -> tuple[BinaryIO, str]:
    """The log, opened for appending, or nowhere and why; a long one becomes `<name>.1` first."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError):
            if path.stat().st_size > LOG_BYTES:
                path.replace(path.with_name(path.name + ".1"))
        return path.open("ab"), ""
    except OSError as error:
        why = f"The engine goes on without its log, {path}: {error.strerror}."
        return open(os.devnull, "ab"), why


def _how(code: int | None) -> str:
    if code is None or code == 0:
        return "ended unexpectedly"
    if code < 0:
        try:
            return f"was ended by {signal.Signals(-code).name}"
        except ValueError:
            return f"was ended by signal {-code}"
    if code == workers.LOST:
        return "lost the connection to a worker"
    return f"failed with exit code {code}"
