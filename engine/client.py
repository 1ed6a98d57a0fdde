"""The app's side of the engine core: starts the process, talks to it, brings it back if it dies.

Conversations live in the app and cells in the core; `journal` keeps what is needed to go on after a
crash.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from engine import reconnect
from engine.config import Config
from engine.errors import EngineError, ModelError
from engine.journal import Answer, Journal
from engine.listeners import Listeners
from engine.pending import Pending, Value
from engine.process import CoreProcess
from engine.protocol import (
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
from engine.wire import WireError
from engine.workers import Worker

log = logging.getLogger(__name__)

RESTART_WINDOW = 60.0  # seconds in which config.engine.restarts are allowed
STOP_SECONDS = 3.0
LOOK_SECONDS = 0.04  # between two looks at what the core says while answers stream
FIRST_SECONDS = 0.01  # the same while a first word is waited for

ClientState = Literal["new", "starting", "ready", "restarting", "dead", "stopped"]
Handler = Callable[[Event], None]


class CoreDied(Event, tag="core_died", frozen=True):
    """The core process ended by itself. `restarting`: another one is being started."""

    what: str
    remedy: str
    restarting: bool


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
        self.state: ClientState = "new"
        self.ready: Ready | None = None
        self.pid: int | None = None
        self._look_seconds = LOOK_SECONDS
        self._listeners = Listeners[Event](log)
        self._process: CoreProcess | None = None
        self._journal = Journal()
        self._pending = Pending()
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
        if process is not None and process.runs:
            with contextlib.suppress(OSError, WireError):
                process.write(Shutdown(0))
            try:
                await asyncio.wait_for(process.wait(), STOP_SECONDS)
            except TimeoutError:
                process.kill()
                await process.wait()
        if self._life is not None:
            if not self._life.done() and self._process is None:
                self._life.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._life
        self._pending.fail(self._obituary)

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
        process = CoreProcess(self._log_path)
        without_log = await process.start(self._config, model_path(self._config), self._swap_folder)
        if without_log:
            self._listeners.tell(Note("warning", "engine", without_log))
        self._process, self.pid = process, process.pid
        if self._leaving.is_set():  # told to end while it was started: it has nothing to lose
            process.kill()
        try:
            async for events in process.events():
                streams = False
                for event in events:
                    streams = streams or isinstance(event, Deltas)
                    self._on_event(event)
                if streams:
                    await process.look_away(self._pause())
        except (OSError, WireError) as error:
            log.warning("connection to the engine core broke: %s", error)
            process.kill()
        finally:
            process.hang_up()
        await process.wait()
        self.pid = None

    def _pause(self) -> float:
        """Seconds between two looks at what the core says."""
        if self._journal.awaits_first:
            return min(FIRST_SECONDS, self._look_seconds)
        return self._look_seconds

    def _on_death(self, gone: Sequence[Worker]) -> bool:
        """Tell everyone, and decide whether to start again; `gone`: workers that do not answer."""
        assert self._process is not None
        how = self._process.how_it_died()
        now = time.monotonic()
        while self._restarts and now - self._restarts[0] > RESTART_WINDOW:
            self._restarts.popleft()
        never_ready = self._started is not None and not self._started.done()
        if fault := self._process.fault_of_gpu():
            self._die(fault)
            return False
        if gone and (never_ready or not self._config.engine.rpc_wait):
            self._die(reconnect.obituary(gone, waits=False))
            return False
        if never_ready or len(self._restarts) >= self._config.engine.restarts:
            last = self._process.last_lines()
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
        self._listeners.tell(CoreDied(told.what, told.remedy, True))
        return True

    def _die(self, error: EngineError | ModelError) -> None:
        self.state = "dead"
        self.ready = None
        self._obituary = EngineError(error.what, error.remedy, "dead")
        if not self._resolve_start(error):
            self._listeners.tell(CoreDied(error.what, error.remedy, False))
        self._pending.fail(self._obituary)
        for answer in self._journal.answers:
            self._on_event(answer.ended("error", error.what, error.remedy))

    def _resolve_start(self, error: EngineError | ModelError) -> bool:
        if self._started is None or self._started.done():
            return False
        self._started.set_exception(error)
        self._started.exception()  # start() may have been cancelled; then nobody looks at it
        return True

    # --- events ---------------------------------------------------------------------------------

    def subscribe(self, handler: Handler) -> Callable[[], None]:
        """Call `handler` with every event, in order, on the loop's thread. Returns the undo."""
        return self._listeners.add(handler)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Deltas):
            self._journal.said(event)
        elif isinstance(event, Reply):
            self._on_reply(event)
            return
        elif isinstance(event, Done):
            self._journal.done(event.session)
        elif isinstance(event, Failed):
            self._failure = event
            return
        elif isinstance(event, Ready):
            self._on_ready(event)
        self._listeners.tell(event)

    def _on_reply(self, reply: Reply) -> None:
        request = self._pending.replied(reply)
        if isinstance(request, Generate) and not reply.ok:
            self._journal.refused(request)

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
        self._pending.forget_resumed()
        waiting = {id(request) for request in self._pending.requests}
        for request in self._journal.again():
            self._write(request)
        for answer in self._journal.answers:
            if id(answer.request) in waiting:
                continue  # never accepted: it is sent again as it was
            if self._journal.is_open(answer.request.session):
                self._ask_to_go_on(answer)
            else:  # closed meanwhile
                self._on_event(answer.ended("cancelled"))
        for request in self._pending.requests:
            self._write(request)

    def _ask_to_go_on(self, answer: Answer) -> None:
        request, future = self._pending.add_resumed(
            msgspec.structs.replace(answer.request, resume=tuple(answer.tokens))
        )

        def refused(done: asyncio.Future[Value]) -> None:
            error = None if done.cancelled() else done.exception()
            if isinstance(error, EngineError) and self._journal.answering(answer.request.session):
                self._on_event(answer.ended("error", error.what, error.remedy))

        future.add_done_callback(refused)
        self._write(request)

    # --- requests -------------------------------------------------------------------------------

    async def request(self, request: Request) -> Value:
        """Send a request and wait for its reply; its id is chosen here.

        Raises EngineError when it is refused (`code` says why) or the engine is dead. While the
        core restarts, the request waits.
        """
        if self.state in ("dead", "stopped", "new"):
            raise self._obituary
        request, future = self._pending.add(request)
        self._journal.asked(request)
        if self.state == "ready":
            try:
                self._write(request)
            except WireError:
                self._pending.drop(request)
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
        if checkpoint:
            self._journal.saved(session, path)
        assert isinstance(value, int)
        return value

    async def restore(self, session: str, path: Path, *, checkpoint: bool = False) -> int:
        """Give an open session what a snapshot holds; how many tokens that are.

        Raises EngineError (`other_model`, `other_cache`, `damaged`, `busy`): then the conversation
        is simply read again when it goes on.
        """
        value = await self.request(Restore(0, session, str(path)))
        if checkpoint:
            self._journal.saved(session, path)
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
        self._journal.forget_snapshot(session)

    async def stats(self) -> None:
        """Have a CacheMap and a Stats event sent now."""
        await self.request(GetStats(0))

    def _write(self, request: Request) -> None:
        if self._process is not None:
            self._process.write(request)


def model_path(config: Config) -> Path:
    """The GGUF file to load: the configured one, or halo-mini."""
    if config.model.path:
        return Path(config.model.path).expanduser()
    return Path(__file__).parent / "assets" / "halo-mini.gguf"
