"""The app's side of the engine core: starts the process, talks to it, brings it back if it dies.

Conversations live in the app and cells in the core; what is kept here is only what is needed to
go on after a crash: which sessions are open, and the tokens of answers that are on their way.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal, cast

import msgspec

from engine import last_words, reconnect, workers
from engine.config import Config
from engine.environment import for_computing
from engine.errors import EngineError, ModelError
from engine.protocol import (
    AnyEvent,
    Cancel,
    CancelCompaction,
    Close,
    Compact,
    Configure,
    Deltas,
    Done,
    Event,
    Failed,
    Focus,
    Fork,
    Generate,
    GetStats,
    Message,
    Note,
    Open,
    Pin,
    Ready,
    Reply,
    Request,
    Restore,
    Sampling,
    Save,
    Shutdown,
    Swap,
    Tokenize,
)
from engine.wire import FrameReader, FrameWriter, WireError
from engine.workers import Worker

log = logging.getLogger(__name__)

LOG_BYTES = 5_000_000  # a log that has grown larger is put aside when the core starts
RESTART_WINDOW = 60.0  # seconds in which config.engine.restarts are allowed
STOP_SECONDS = 3.0
LOOK_SECONDS = 0.04  # between two looks at what the core says while answers stream
FIRST_SECONDS = 0.01  # the same while a first word is waited for
LEAD_SECONDS = 0.002  # what a look takes
ONCE = ("experts.ab", "experts.record")  # asked once; a new core is not asked again

ClientState = Literal["new", "starting", "ready", "restarting", "dead", "stopped"]
Value = bool | int | float | str | None
Handler = Callable[[Event], None]


class CoreDied(Event, tag="core_died", frozen=True):
    """The core process ended by itself. `restarting`: another one is being started."""

    what: str
    remedy: str
    restarting: bool


@dataclass(slots=True)
class _Answer:
    """An accepted generation and all that was said so far."""

    request: Generate
    tokens: list[int] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    thinking: list[str] = field(default_factory=list)


class EngineClient:
    """One engine core for one app. All methods on one event loop.

    The kernel ends the core with the *thread* that started it, so that loop should run in a
    thread that lives as long as the app: normally the main one.
    """

    def __init__(self, config: Config, *, log_path: Path, swap_folder: Path | None = None) -> None:
        """`swap_folder`: where cells of idle sessions may be put on disk."""
        self._config = config
        self._swap_folder = swap_folder
        self._log_path = log_path
        self._log_from = 0  # where the lines of the running core begin
        self.state: ClientState = "new"
        self.ready: Ready | None = None
        self.pid: int | None = None
        self._look_seconds = LOOK_SECONDS
        self._handlers: list[Handler] = []
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._frames = FrameWriter()
        self._next_id = 1
        self._pending: dict[int, tuple[Request, asyncio.Future[Value]]] = {}
        self._resumed: dict[int, asyncio.Future[Value]] = {}
        self._sessions: dict[str, None] = {}  # a set that keeps its order
        self._answers: dict[str, _Answer] = {}
        self._settings: dict[str, bool | float | str] = {}
        self._snapshots: dict[str, str] = {}  # session -> the newest file with its cells
        self._pinned: set[str] = set()
        self._focused = ""
        self._life: asyncio.Task[None] | None = None
        self._leaving = asyncio.Event()
        self._started: asyncio.Future[Ready] | None = None
        self._failure: Failed | None = None
        self._restarts: deque[float] = deque()
        self._obituary = EngineError("The engine is not running.", "Start it.", "dead")

    # --- life -----------------------------------------------------------------------------------

    async def start(self) -> Ready:
        """Start the core and wait until the model is loaded.

        Raises ModelError when the model cannot be used, EngineError when the core cannot start.
        """
        if self._life is not None:
            raise RuntimeError("an EngineClient is started once")
        self.state = "starting"
        self._started = asyncio.get_running_loop().create_future()
        self._life = asyncio.create_task(self._live(), name="engine-client")
        try:
            return await asyncio.shield(self._started)
        except asyncio.CancelledError:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Ask the core to end, and make sure that it did."""
        if self.state != "dead":
            self.state = "stopped"
        self._obituary = EngineError("The engine was stopped.", "", "dead")
        self._leaving.set()
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(OSError, WireError):
                self._write(Shutdown(0))
            try:
                await asyncio.wait_for(process.wait(), STOP_SECONDS)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if self._life is not None:
            if not self._life.done() and self._process is None:
                self._life.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._life
        self._fail_pending(self._obituary)

    async def _live(self) -> None:
        """Run one core process after another until stopped, failed or too often dead."""
        while True:
            try:
                await self._run_core()
            except OSError as error:  # no processes, memory or files are left for a core
                self._die(
                    EngineError(
                        f"The engine cannot be started: {error.strerror or error}.",
                        "Free what is short, then start halo-tui again.",
                        "dead",
                    )
                )
                return
            if self.state == "stopped":
                self._resolve_start(self._obituary)
                return
            if self._failure is not None:
                failure = self._failure
                kind = ModelError if failure.kind == "model" else EngineError
                self._die(kind(failure.what, failure.remedy))
                return
            gone = await reconnect.lost(self._config.engine)
            if not self._leaving.is_set() and not self._on_death(gone):
                return
            back = await reconnect.back(gone, self._config.engine.rpc_wait, self._leaving)
            if self._leaving.is_set():
                self._resolve_start(self._obituary)
                return
            if not back:
                self._die(reconnect.obituary(gone, waits=False))
                return
            await asyncio.sleep(0)

    async def _run_core(self) -> None:
        """Start a core, read its events to the end, and collect its exit code."""
        self._failure = None
        ours, theirs = socket.socketpair()
        with theirs:
            process = await self._spawn(theirs)
        self._process, self.pid = process, process.pid
        reader, self._writer = await asyncio.open_connection(sock=ours)
        frames: FrameReader[AnyEvent] = FrameReader(AnyEvent)  # type: ignore[arg-type]
        try:
            while data := await reader.read(1 << 18):
                streams = False
                for event in frames.feed(data):
                    streams = streams or isinstance(event, Deltas)
                    self._on_event(event)
                if streams:
                    await self._look_away()
        except (OSError, WireError) as error:
            log.warning("connection to the engine core broke: %s", error)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        finally:
            self._writer.close()
            self._writer = None
        await process.wait()
        self.pid = None

    async def _look_away(self) -> None:
        """Let the core go on for a while without watching what it says.

        Whoever waits at a socket is woken at each send, and the kernel likes to wake it where the
        sender runs: there it takes the core's place, many times a second.
        """
        assert self._writer is not None
        transport = cast(asyncio.Transport, self._writer.transport)  # of a socket: both ways
        transport.pause_reading()
        first = any(not answer.tokens for answer in self._answers.values())
        every = min(FIRST_SECONDS, self._look_seconds) if first else self._look_seconds
        now = time.monotonic() + LEAD_SECONDS
        await asyncio.sleep((now // every + 1) * every - now)
        transport.resume_reading()

    async def _spawn(self, theirs: socket.socket) -> asyncio.subprocess.Process:
        settings = {
            "model": str(model_path(self._config)),
            "parent": os.getpid(),
            "engine": msgspec.to_builtins(self._config.engine),
            "compaction": msgspec.to_builtins(self._config.compaction),
            "sessions": msgspec.to_builtins(self._config.sessions),
            "experts": msgspec.to_builtins(self._config.experts),
            "folder": str(self._swap_folder) if self._swap_folder is not None else "",
            "given": list(self._config.sources),
            "root": self._config.telemetry.root,
        }
        package_parent = str(Path(__file__).parent.parent)
        environment = for_computing()
        old = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = f"{package_parent}{os.pathsep}{old}" if old else package_parent
        if self._config.engine.rpc:
            # A lost worker ends the core by ggml's abort, which would call a debugger first.
            environment.setdefault("GGML_NO_BACKTRACE", "1")
        with self._open_log() as output:
            self._log_from = output.seek(0, os.SEEK_END)
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

    def _open_log(self) -> BinaryIO:
        """The log, opened for appending; a long one is put aside as `<name>.1` first."""
        path = self._log_path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(OSError):
                if path.stat().st_size > LOG_BYTES:
                    path.replace(path.with_name(path.name + ".1"))
            return path.open("ab")
        except OSError as error:
            why = f"The engine goes on without its log, {path}: {error.strerror}."
            self._publish(Note("warning", "engine", why))
            return open(os.devnull, "ab")

    def _on_death(self, gone: Sequence[Worker]) -> bool:
        """Tell everyone, and decide whether to start again; `gone`: workers that do not answer."""
        code = self._process.returncode if self._process else None
        how = _how_it_died(code)
        if code == -signal.SIGABRT and reconnect.was_broken(self._log_path):
            how = _how_it_died(workers.LOST)
        now = time.monotonic()
        while self._restarts and now - self._restarts[0] > RESTART_WINDOW:
            self._restarts.popleft()
        never_ready = self._started is not None and not self._started.done()
        if code == -signal.SIGABRT and (fault := last_words.of_gpu(self._log_path, self._log_from)):
            self._die(fault)
            return False
        if gone and (never_ready or not self._config.engine.rpc_wait):
            self._die(reconnect.obituary(gone, waits=False))
            return False
        if never_ready or len(self._restarts) >= self._config.engine.restarts:
            last = _last_lines(self._log_path)
            detail = f" Its last words: {last}" if last else ""
            error = EngineError(
                f"The engine {how}{' while starting' if never_ready else ' too often'}.{detail}",
                f"The whole log is {self._log_path}.",
                "dead",
            )
            self._die(error)
            return False
        self._restarts.append(now)
        self.state = "restarting"
        self.ready = None
        if gone:
            told = reconnect.obituary(gone, waits=True)
        else:
            told = EngineError(f"The engine {how}.", "It is started again and answers go on.")
        self._publish(CoreDied(told.what, told.remedy, True))
        return True

    def _die(self, error: EngineError | ModelError) -> None:
        self.state = "dead"
        self.ready = None
        self._obituary = EngineError(error.what, error.remedy, "dead")
        if not self._resolve_start(error):
            self._publish(CoreDied(error.what, error.remedy, False))
        self._fail_pending(self._obituary)
        for answer in list(self._answers.values()):
            self._end_answer(answer, "error", error.what, error.remedy)

    def _end_answer(self, answer: _Answer, reason: str, what: str = "", remedy: str = "") -> None:
        """Close an answer that no core will close any more."""
        self._on_event(
            Done(
                answer.request.session,
                reason,
                "".join(answer.text),
                "".join(answer.thinking),
                tokens=len(answer.tokens),
                what=what,
                remedy=remedy,
            )
        )

    def _resolve_start(self, error: EngineError | ModelError) -> bool:
        if self._started is None or self._started.done():
            return False
        self._started.set_exception(error)
        self._started.exception()  # start() may have been cancelled; then nobody looks at it
        return True

    def _fail_pending(self, error: EngineError) -> None:
        pending, self._pending = self._pending, {}
        for _, future in pending.values():
            if not future.done():
                future.set_exception(error)

    # --- events ---------------------------------------------------------------------------------

    def subscribe(self, handler: Handler) -> Callable[[], None]:
        """Call `handler` with every event, in order, on the loop's thread. Returns the undo."""
        self._handlers.append(handler)

        def unsubscribe() -> None:
            with contextlib.suppress(ValueError):
                self._handlers.remove(handler)

        return unsubscribe

    def _publish(self, event: Event) -> None:
        for handler in tuple(self._handlers):
            try:
                handler(event)
            except Exception:
                log.exception("a handler failed on %s", type(event).__name__)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Deltas):
            for delta in event.items:
                answer = self._answers.get(delta.session)
                if answer is not None:
                    answer.tokens += delta.tokens
                    (answer.thinking if delta.thinking else answer.text).append(delta.text)
        elif isinstance(event, Reply):
            self._on_reply(event)
            return
        elif isinstance(event, Done):
            self._answers.pop(event.session, None)
        elif isinstance(event, Failed):
            self._failure = event
            return
        elif isinstance(event, Ready):
            self._on_ready(event)
        self._publish(event)

    def _on_reply(self, reply: Reply) -> None:
        request, future = self._pending.pop(reply.id, (None, None))
        if future is None:
            future = self._resumed.pop(reply.id, None)
        if isinstance(request, Generate) and not reply.ok:
            answer = self._answers.get(request.session)
            if answer is not None and answer.request is request:
                del self._answers[request.session]
        if future is None or future.done():
            return
        if reply.ok:
            future.set_result(reply.value)
        else:
            future.set_exception(EngineError(reply.what, reply.remedy, reply.code))

    def _on_ready(self, ready: Ready) -> None:
        if self.state == "stopped":
            return  # it was still loading when it was told to end, and will end now
        again = self.state == "restarting"
        self.ready = ready
        self.state = "ready"
        if again:
            self._resume()
        if self._started is not None and not self._started.done():
            self._started.set_result(ready)

    def _resume(self) -> None:
        """Bring a new core to where the old one was."""
        self._resumed.clear()
        waiting = {id(request) for request, _ in self._pending.values()}
        for session in self._sessions:
            self._write(Open(0, session))
            if session in self._snapshots:
                self._write(Restore(0, session, self._snapshots[session]))
            if session in self._pinned:
                self._write(Pin(0, session, True))
        for key, value in self._settings.items():
            self._write(Configure(0, key, value))
        if self._focused:
            self._write(Focus(0, self._focused))
        for answer in list(self._answers.values()):
            if id(answer.request) in waiting:
                continue  # never accepted: it is sent again as it was
            if answer.request.session in self._sessions:
                self._ask_to_go_on(answer)
            else:  # closed meanwhile
                self._end_answer(answer, "cancelled")
        for request, _ in self._pending.values():
            self._write(request)

    def _ask_to_go_on(self, answer: _Answer) -> None:
        request = msgspec.structs.replace(
            answer.request, id=self._take_id(), resume=tuple(answer.tokens)
        )
        future: asyncio.Future[Value] = asyncio.get_running_loop().create_future()

        def refused(done: asyncio.Future[Value]) -> None:
            error = None if done.cancelled() else done.exception()
            if isinstance(error, EngineError) and answer.request.session in self._answers:
                self._end_answer(answer, "error", error.what, error.remedy)

        future.add_done_callback(refused)
        # Not in _pending: after another crash, the answer itself is what is taken up again.
        self._resumed[request.id] = future
        self._write(request)

    # --- requests -------------------------------------------------------------------------------

    async def request(self, request: Request) -> Value:
        """Send a request and wait for its reply; its id is chosen here.

        Raises EngineError when it is refused (`code` says why) or the engine is dead. While the
        core restarts, the request waits.
        """
        if self.state in ("dead", "stopped", "new"):
            raise self._obituary
        request = msgspec.structs.replace(request, id=self._take_id())
        future: asyncio.Future[Value] = asyncio.get_running_loop().create_future()
        self._remember(request)
        self._pending[request.id] = (request, future)
        if self.state == "ready":
            try:
                self._write(request)
            except WireError:
                del self._pending[request.id]
                raise
        return await future

    async def open(self, session: str) -> None:
        """Make a session known."""
        await self.request(Open(0, session))

    async def generate(
        self,
        session: str,
        messages: Iterable[Message],
        sampling: Sampling | None = None,
        thinking: bool = True,
        must_call: bool = False,
    ) -> None:
        """Ask for an answer to the last message; it comes as events.

        `must_call`: the answer has to be a call of one of the tools of the first message.
        """
        chosen = sampling if sampling is not None else self._config.sampling
        if chosen.seed < 0:  # drawn here, so that an answer goes on as it would have after a crash
            chosen = msgspec.structs.replace(chosen, seed=secrets.randbelow(2**32 - 1))
        await self.request(Generate(0, session, tuple(messages), chosen, thinking, must_call))

    async def cancel(self, session: str) -> None:
        """Stop the answer of a session, if there is one."""
        await self.request(Cancel(0, session))

    async def close(self, session: str) -> None:
        """Forget a session."""
        await self.request(Close(0, session))

    async def focus(self, session: str) -> None:
        """Say whom the user looks at, "" for nobody."""
        await self.request(Focus(0, session))

    async def tokenize(self, messages: Iterable[Message]) -> int:
        """Number of tokens of the rendered messages."""
        value = await self.request(Tokenize(0, tuple(messages)))
        assert isinstance(value, int)
        return value

    async def count(self, text: str) -> int:
        """Number of tokens of a text inside a message, by the loaded model's own tokenizer."""
        value = await self.request(Tokenize(0, (), text))
        assert isinstance(value, int)
        return value

    async def configure(self, key: str, value: bool | float | str) -> None:
        """Change a setting of the running core."""
        await self.request(Configure(0, key, value))

    async def compact(self, session: str, ratio: float = 0.0, method: str = "") -> int:
        """Compact a session's old cells now; how many there are. Zeros mean as configured.

        Raises EngineError when there is nothing to compact. Progress comes as `Compaction` events.
        """
        value = await self.request(Compact(0, session, ratio, method))
        assert isinstance(value, int)
        return value

    async def cancel_compaction(self, session: str) -> bool:
        """Give up a compaction that has not landed yet; whether there was one."""
        return bool(await self.request(CancelCompaction(0, session)))

    async def save(
        self,
        session: str,
        path: Path,
        talk: bytes,
        about: dict[str, str | int | float | bool | None] | None = None,
        *,
        checkpoint: bool = False,
    ) -> int:
        """Write a session's snapshot; the bytes it has on disk. Others go on answering.

        A `checkpoint` is what the session is restored from when the core dies. Raises EngineError.
        """
        value = await self.request(Save(0, session, str(path), talk, about or {}))
        if checkpoint and session in self._sessions:
            self._snapshots[session] = str(path)
        assert isinstance(value, int)
        return value

    async def restore(self, session: str, path: Path, *, checkpoint: bool = False) -> int:
        """Give an open session what a snapshot holds; how many tokens that are.

        Raises EngineError (`other_model`, `other_cache`, `damaged`, `busy`): then the conversation
        is simply read again when it goes on.
        """
        value = await self.request(Restore(0, session, str(path)))
        if checkpoint and session in self._sessions:
            self._snapshots[session] = str(path)
        assert isinstance(value, int)
        return value

    async def fork(self, session: str, source: str) -> int:
        """Give an open, empty session all that `source` holds; how many tokens that are."""
        value = await self.request(Fork(0, session, source))
        assert isinstance(value, int)
        return value

    async def swap(self, session: str, out: bool) -> int:
        """Take an idle session's cells out of the cache, or bring them back; how many."""
        value = await self.request(Swap(0, session, out))
        assert isinstance(value, int)
        return value

    async def pin(self, session: str, on: bool) -> None:
        """Keep the cells of a session in the cache even while it is idle, or no longer."""
        await self.request(Pin(0, session, on))

    def pace(self, seconds: float) -> None:
        """Look at what the core says while answers stream shortly before each multiple of `seconds`
        on the monotonic clock: who draws at these instants has the newest."""
        self._look_seconds = seconds

    def forget_snapshot(self, session: str) -> None:
        """A session's snapshot is not what it should come back to any more."""
        self._snapshots.pop(session, None)

    async def stats(self) -> None:
        """Have a CacheMap and a Stats event sent now."""
        await self.request(GetStats(0))

    def _remember(self, request: Request) -> None:
        """Note what a new core would have to be told again."""
        if isinstance(request, Open):
            self._sessions[request.session] = None
        elif isinstance(request, Close):
            self._sessions.pop(request.session, None)
            self._snapshots.pop(request.session, None)
            self._pinned.discard(request.session)
            if self._focused == request.session:
                self._focused = ""
        elif isinstance(request, Pin):
            (self._pinned.add if request.on else self._pinned.discard)(request.session)
        elif isinstance(request, Focus):
            self._focused = request.session
        elif isinstance(request, Configure):
            if request.key not in ONCE:
                self._settings[request.key] = request.value
        elif isinstance(request, Generate) and request.session not in self._answers:
            self._answers[request.session] = _Answer(request)

    def _take_id(self) -> int:
        self._next_id += 1
        return self._next_id

    def _write(self, request: Request) -> None:
        if self._writer is not None:
            self._writer.write(self._frames.encode(request))


def model_path(config: Config) -> Path:
    """The GGUF file to load: the configured one, or halo-mini."""
    if config.model.path:
        return Path(config.model.path).expanduser()
    return Path(__file__).parent / "assets" / "halo-mini.gguf"


def _last_lines(path: Path, count: int = 3) -> str:
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 4096))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return " / ".join(line.strip() for line in lines[-count:] if line.strip())


def _how_it_died(code: int | None) -> str:
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
