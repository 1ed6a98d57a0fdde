"""What the app may ask of the core: one handler for each request, and its reply."""

from __future__ import annotations

import traceback
from collections.abc import Callable

from engine.compaction import METHODS
from engine.core.answers import Answers
from engine.core.archive import Archive
from engine.core.compactor import Compactor
from engine.core.language import Language
from engine.core.port import Port
from engine.core.router import Router
from engine.core.scheduler import Scheduler
from engine.core.sequence import Phase, Sequence
from engine.core.teller import Teller
from engine.errors import EngineError, HaloError
from engine.protocol import (
    AnyRequest,
    Cancel,
    CancelCompaction,
    Close,
    Compact,
    Configure,
    Focus,
    Fork,
    Generate,
    GetStats,
    Open,
    Pin,
    Reply,
    Request,
    Restore,
    Save,
    Shutdown,
    Swap,
    Tokenize,
)

LATER = object()  # a handler's value when the reply follows by itself


def _refusal(id: int, error: HaloError) -> Reply:
    code = getattr(error, "code", "") or "bad_request"
    return Reply(id, False, None, code, error.what, error.remedy)


class Requests:
    """Handles requests, between two steps, on the parts of the core that they are about."""

    def __init__(
        self,
        port: Port,
        sessions: dict[str, Sequence],
        language: Language,
        scheduler: Scheduler,
        compactor: Compactor,
        archive: Archive,
        router: Router,
        answers: Answers,
        teller: Teller,
    ) -> None:
        """`sessions`: by name; opened and closed here."""
        self._port = port
        self._sessions = sessions
        self._language = language
        self._scheduler = scheduler
        self._compactor = compactor
        self._archive = archive
        self._router = router
        self._answers = answers
        self._teller = teller
        self.stopping = False  # asked to end
        self._handlers: dict[type[Request], Callable[..., object]] = {
            Open: self._open,
            Generate: self._generate,
            Cancel: self._cancel,
            Close: self._close,
            Focus: self._focus,
            Tokenize: self._tokenize,
            Configure: self._configure,
            Compact: self._compact,
            CancelCompaction: self._cancel_compaction,
            Save: self._save,
            Restore: self._restore,
            Fork: self._fork,
            Swap: self._swap,
            Pin: self._pin,
            GetStats: self._get_stats,
            Shutdown: self._shutdown,
        }

    def handle(self, request: AnyRequest) -> None:
        """Do what is asked and reply; what is refused or fails changes nothing for others."""
        try:
            value = self._handlers[type(request)](request)
            if value is LATER:
                return
            reply = Reply(request.id, True, value)  # type: ignore[arg-type]
        except EngineError as error:
            reply = _refusal(request.id, error)
        except Exception as error:  # one bad request must not end all answers
            traceback.print_exc()
            reply = Reply(
                request.id, False, None, "internal",
                f"The engine failed on this request: {type(error).__name__}: {error}.",
                "The details are in the engine's log.",
            )  # fmt: skip
        if request.id:
            self._port.send(reply)

    def _answer_later(self, request: Request) -> Callable[[int | None, HaloError | None], None]:
        """What sends the reply of a request that takes longer than a step."""

        def answer(value: int | None, error: HaloError | None) -> None:
            self._teller.wants_map = True
            if not request.id:
                if error is not None:
                    self._teller.note("warning", "session", str(error))
            elif error is None:
                self._port.send(Reply(request.id, True, value))
            else:
                self._port.send(_refusal(request.id, error))

        return answer

    def _session(self, name: str) -> Sequence:
        sequence = self._sessions.get(name)
        if sequence is None:
            raise EngineError(f"There is no session {name!r}.", "Open it first.", "unknown_session")
        return sequence

    def _open(self, request: Open) -> None:
        if not request.session:
            raise EngineError("A session needs a name.", "", "bad_request")
        self._sessions.setdefault(request.session, Sequence(request.session))

    def _generate(self, request: Generate) -> None:
        self._answers.begin(self._session(request.session), request)

    def _cancel(self, request: Cancel) -> None:
        sequence = self._session(request.session)
        if sequence.phase is not Phase.IDLE:
            self._answers.finish(sequence, "cancelled")

    def _close(self, request: Close) -> None:
        sequence = self._session(request.session)
        if sequence.phase is not Phase.IDLE:
            self._answers.finish(sequence, "cancelled")
        self._scheduler.close(sequence)
        del self._sessions[request.session]
        self._teller.closed(request.session)

    def _compact(self, request: Compact) -> int:
        method = request.method
        if method and method not in METHODS:
            raise EngineError(
                f"{method!r} is no way to compact.",
                f"Use one of {', '.join(METHODS)}.",
                "bad_request",
            )
        return self._compactor.compact(self._session(request.session), request.ratio, method)

    def _cancel_compaction(self, request: CancelCompaction) -> bool:
        return self._compactor.cancel(self._session(request.session))

    def _save(self, request: Save) -> object:
        self._archive.save(request, self._session(request.session), self._answer_later(request))
        return LATER

    def _restore(self, request: Restore) -> object:
        self._archive.restore(request, self._session(request.session), self._answer_later(request))
        return LATER

    def _fork(self, request: Fork) -> int:
        target, source = self._session(request.session), self._session(request.source)
        if target.phase is not Phase.IDLE or target.held or target.away or target.loading:
            raise EngineError(f"{target.name} is in use.", "Fork into a new session.", "busy")
        target.past, target.sampling = list(source.past), source.sampling
        if source.away is not None:
            target.away, target.messages = source.away, source.messages
            return source.away.held
        return self._scheduler.cache.fork(source, target)

    def _swap(self, request: Swap) -> int:
        sequence = self._session(request.session)
        if sequence.phase is not Phase.IDLE:
            raise EngineError(f"{sequence.name} is answering.", "Wait for it.", "busy")
        if not request.out:
            cells = sequence.away.cells if sequence.away is not None else 0
            return cells if self._scheduler.swap.back(sequence) else 0
        cells = sequence.cells_of(sequence.held)
        if not cells:
            return 0
        if not self._scheduler.swap.out(sequence):
            raise EngineError(
                f"{sequence.name}'s cells were freed and could not be kept.",
                "Allow more in [sessions] swap_memory_mib and swap_disk_mib.",
                "no_room",
            )
        return cells

    def _pin(self, request: Pin) -> None:
        self._scheduler.pin(self._session(request.session), request.on)
        self._teller.wants_map = True

    def _focus(self, request: Focus) -> None:
        self._scheduler.focus = self._session(request.session) if request.session else None

    def _tokenize(self, request: Tokenize) -> int:
        if not request.messages:
            return self._language.count(request.text)
        return len(self._language.prompt(request.messages, True)[0])

    def _configure(self, request: Configure) -> None:
        key, value = request.key, request.value
        if key in ("engine.prefill_chunk", "ui.cell_map_hz"):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise EngineError(f"{key} must be a positive whole number.", "", "bad_request")
            if key == "engine.prefill_chunk":
                self._scheduler.prefill_chunk = value
            else:
                self._teller.map_seconds = 1 / min(value, 10)
        elif key == "engine.keep_closed":
            if not isinstance(value, bool):
                raise EngineError(f"{key} must be true or false.", "", "bad_request")
            self._scheduler.keep_closed = value
        elif key.startswith("experts."):
            self._router.configure(key.removeprefix("experts."), value)
        elif key.startswith("compaction."):
            self._compactor.configure(key.removeprefix("compaction."), value)
        else:
            raise EngineError(
                f"{key} cannot be changed while the engine runs.", "Restart it.", "bad_request"
            )

    def _get_stats(self, request: GetStats) -> None:
        self._teller.wants_report = True

    def _shutdown(self, request: Shutdown) -> None:
        self.stopping = True
