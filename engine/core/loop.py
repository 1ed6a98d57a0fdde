"""The core's main loop: requests in, one step computed, events out."""

from __future__ import annotations

import gc
import os
import socket
import sys
import time
import traceback
from collections.abc import Callable, Collection
from pathlib import Path

import msgspec

from engine import native, workers
from engine.auto.facts import gather
from engine.auto.rules import Decision, apply, decide
from engine.compaction import METHODS
from engine.config import CompactionConfig, EngineConfig, ExpertsConfig, SessionsConfig
from engine.core import llama, remote
from engine.core.archive import Archive
from engine.core.cells import Cells
from engine.core.compactor import Compactor
from engine.core.facts import ready_event
from engine.core.generation import Generation
from engine.core.language import Language
from engine.core.model import Model, thread_count
from engine.core.port import Gone, Port, WorkerLost
from engine.core.preflight import Header, read_header
from engine.core.router import Router
from engine.core.runner import NO_SLOT, Context
from engine.core.sampling import Sampler, draw_seed, logprobs
from engine.core.scheduler import Scheduler, Step
from engine.core.sequence import Phase, Sequence
from engine.core.study import Study
from engine.core.teller import Teller
from engine.core.text import Piece
from engine.core.threads import ThreadTuner
from engine.core.toolprompt import offered
from engine.core.vault import Vault
from engine.errors import EngineError, HaloError, ModelError
from engine.protocol import (
    AnyRequest,
    Cancel,
    CancelCompaction,
    Close,
    Compact,
    Compaction,
    Configure,
    Failed,
    Focus,
    Fork,
    Generate,
    GetStats,
    Loading,
    Open,
    Pin,
    Reply,
    Request,
    Restore,
    Save,
    Shutdown,
    Studied,
    Swap,
    Tokenize,
)
from engine.wire import WireError

PAST = 64  # compactions that are kept of a session
MIN_ANSWER = 8  # cells a prompt must leave for its answer
PUMP_SECONDS = 0.002  # between two looks at a compaction when there is nothing else to do
COLLECT_SECONDS = 5.0  # between collections of young garbage while there is work

LATER = object()  # a handler's value when the reply follows by itself


def _refusal(id: int, error: HaloError) -> Reply:
    code = getattr(error, "code", "") or "bad_request"
    return Reply(id, False, None, code, error.what, error.remedy)


class EngineCore:
    """Owns the model, the context and all sequences; `run` until told to stop."""

    def __init__(
        self,
        connection: socket.socket,
        model: Path,
        config: EngineConfig,
        compaction: CompactionConfig | None = None,
        sessions: SessionsConfig | None = None,
        folder: Path | None = None,
        experts: ExpertsConfig | None = None,
        given: Collection[str] = (),
        root: str = "",
    ) -> None:
        """`folder` is where cells may be put aside on disk; None = nowhere.

        `given`: keys that somebody set, which `engine.auto` leaves alone; `root`: a recorded machine
        it looks at instead of this one.
        """
        self._port = Port(connection)
        self._path = model
        self._config = config
        self._compaction = compaction or CompactionConfig()
        self._kept = sessions or SessionsConfig()
        if folder is None:
            self._kept = msgspec.structs.replace(self._kept, swap_disk_mib=0)
        self._folder = folder or Path()
        self._routing = experts or ExpertsConfig()
        self._given = given
        self._root = root
        self._sessions: dict[str, Sequence] = {}
        self._stopping = False
        self._fatal_steps = 0
        self._collected_at = 0.0
        self._stuck = False  # the last step was empty: whoever waits, waits for a request
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

    # --- life -----------------------------------------------------------------------------------

    def run(self) -> int:
        """Load, serve, free. Returns the process's exit code."""
        try:
            self._load()
        except HaloError as error:
            kind = "model" if isinstance(error, ModelError) else "engine"
            self._port.send(Failed(kind, error.what, error.remedy))
            self._port.drain(2.0)
            return 3 if kind == "model" else 4
        except Gone:
            return 0
        lost = False
        try:
            self._serve()
        except Gone:
            return 0
        except WorkerLost:
            lost = True
            print("A worker closed its connection.", file=sys.stderr)
            self._port.drain(1.0)
            return workers.LOST
        except WireError as error:
            print(f"The app sent what cannot be read: {error}", file=sys.stderr)
            return 4
        finally:
            if not lost:  # else freeing what lies there would make ggml abort
                self._free()
        return 0

    def _load(self) -> None:
        started = time.monotonic()
        shown = -1.0

        def progress(fraction: float) -> None:
            nonlocal shown
            if fraction - shown >= 0.02 or fraction >= 1 > shown:
                shown = fraction
                self._port.send(Loading(fraction, f"Loading {self._path.name}"))

        progress(0.0)
        header = read_header(self._path)
        decision = self._settle(header)
        self._model = Model(self._path, self._config, progress, header)
        self._context = Context(self._model, self._config)
        if self._config.gpu_layers:
            self._port.watch(remote.connections(self._config.rpc))
        self._language = Language(self._model)
        # Asked for a number of threads, we take that many.
        self._threads = None if self._config.threads else ThreadTuner(self._context.threads)
        self._cores = max(thread_count(0), self._context.threads)
        self._scheduler = Scheduler(
            Cells(self._context.n_ctx, self._context.n_seq_max, self._context),
            self._context.n_batch,
            self._config.prefill_chunk,
            min(self._context.n_ctx, self._model.n_ctx_train or self._context.n_ctx),
            self._config.keep_closed,
        )
        self._compactor = Compactor(
            self._compaction,
            self._context,
            self._scheduler,
            self._language,
            self._compaction_event,
            self._model.is_eog,
            self._context.threads,
        )
        self._vault = Vault(
            self._context,
            self._kept,
            self._folder,
            lambda level, text, session: self._teller.note(level, "cache", text, session),
        )
        self._scheduler.freeze = self._vault.freeze
        self._archive = Archive(
            self._context, self._scheduler, self._vault, self._config, self._kept
        )
        self._teller = Teller(
            self._port, self._context, self._scheduler, self._compactor, self._sessions
        )
        self._router = Router(
            self._context,
            self._routing,
            self._model.header.architecture,
            self._model.name,
            lambda level, text: self._teller.note(level, "experts", text),
        )
        self._port.send(
            ready_event(
                self._model,
                self._context,
                self._config,
                time.monotonic() - started,
                decision,
                self._language,
            )
        )

    def _settle(self, header: Header) -> Decision:
        """Choose what nobody set, before anything is loaded by it."""
        if not self._config.auto:
            return Decision()
        api = llama.load()
        facts = gather(
            header, self._config, backends=native.gpu_backends(), api=api, root=self._root
        )
        decision = decide(facts, self._config, self._compaction, self._given)
        for name, value in decision.environment.items():
            os.environ.setdefault(name, value)  # read when the first buffer is made
        self._config, self._compaction = apply(decision, self._config, self._compaction)
        for one in decision.chosen:
            print(f"auto: {one.key} = {one.value}: {one.why}", file=sys.stderr)
        return decision

    def _free(self) -> None:
        for sequence in self._sessions.values():
            generation = sequence.payload
            if isinstance(generation, Generation):
                generation.sampler.close()
        self._router.close()
        self._archive.close()
        self._vault.close()
        self._compactor.close()
        self._context.close()
        self._model.close()

    def _serve(self) -> None:
        # Loading made what lives for ever; what a step makes is freed by reference counts.
        gc.collect()
        gc.freeze()
        gc.disable()
        try:
            while not self._stopping:
                for request in self._port.receive(self._patience()):
                    self._handle(request)
                if self._scheduler.busy:
                    self._step()
                self._compactor.pump()
                if self._archive.pump():
                    self._stuck = False  # somebody may have waited for that
                self._vault.pump()
                self._tell()
        finally:
            gc.enable()
            gc.unfreeze()

    def _patience(self) -> float | None:
        """Seconds to wait for requests: none while there is work, else until a report is due."""
        if self._compactor.pending and (not self._scheduler.busy or self._scheduler.waiting):
            return PUMP_SECONDS
        if self._scheduler.busy and not self._stuck:
            return 0.0
        if self._archive.pending or self._vault.pending:
            return PUMP_SECONDS
        now = time.monotonic()
        dues = (self._teller.patience(now), self._router.patience(now))
        due = min((d for d in dues if d is not None), default=None)
        if due is None:
            gc.collect()
        return due

    # --- the step -------------------------------------------------------------------------------

    def _step(self) -> None:
        scheduler = self._scheduler
        step = scheduler.schedule()
        for sequence in scheduler.overfull:
            self._finish(
                sequence,
                "length",
                f"The context of {scheduler.cells.total:,} cells is full.",
                "Raise engine.n_ctx, or start a new conversation.",
            )
        scheduler.overfull.clear()
        self._stuck = not step and not scheduler.waiting
        if not step:
            return
        self._compactor.prepare()
        # Two threads on one core make every barrier of a step wait: the solver's cores are its own.
        free = self._cores - solving if (solving := self._compactor.solving) else self._cores
        threads = self._threads if free >= self._context.threads else None
        if step.prefill:
            wanted = self._context.threads_batch
        else:
            wanted = threads.choose() if threads else self._context.threads
        self._context.use_threads(max(1, min(wanted, free)))
        started = time.monotonic()
        for chunk in step.prefill:
            generation = chunk.sequence.payload
            if isinstance(generation, Generation) and not generation.prefill_at:
                generation.prefill_at = started
        self._router.prepare(step)
        code = self._context.compute(step)
        if code != 0:
            self._recover(step, code)
            return
        if (code := self._router.observe(step)) != 0:
            self._recover(step, code)
            return
        self._fatal_steps = 0
        scheduler.commit(step)
        self._take_outputs(step)
        seconds = time.monotonic() - started
        self._router.timed(step, seconds)
        if threads is not None and not step.prefill:
            threads.record(len(step.decode), seconds)
        self._teller.speed.step(step.decode, step.tokens - len(step.decode), seconds)

    def _take_outputs(self, step: Step) -> None:
        """Sample for every sequence whose tokens are all computed."""
        row = 0
        position = -1
        for sequence in step.decode:
            position += 1
            self._sample(sequence, row, position)
            row += 1
        for sequence, _, count in step.prefill:
            position += count
            if sequence.phase is Phase.DECODE:
                self._sample(sequence, row, position)
                row += 1

    def _sample(self, sequence: Sequence, row: int, position: int) -> None:
        context, model = self._context, self._model
        if isinstance(sequence.payload, Study):
            self._compactor.studied(sequence, context.logits(row))
            return
        generation = sequence.payload
        assert isinstance(generation, Generation)
        wanted = generation.sampling.logprobs
        if not generation.first_token_at:
            generation.first_token_at = time.monotonic()
            self._teller.hurry()
        try:
            token = generation.sampler.sample(context, row, position)
        except EngineError as error:
            self._finish(sequence, "error", error.what, error.remedy)
            return
        if model.is_eog(token) and not generation.sampling.ignore_eos:
            self._finish(sequence, "stop")
            return
        probabilities = logprobs(model, context.logits(row), token, wanted) if wanted else None
        self._teller.news(generation)
        sequence.tokens.append(token)
        generation.add(token, self._piece(generation, token), probabilities)
        if generation.stream.stopped:
            self._finish(sequence, "stop")
        else:
            self._check_length(sequence, generation)

    def _check_length(self, sequence: Sequence, generation: Generation) -> None:
        if generation.count >= generation.sampling.max_tokens:
            self._finish(sequence, "length")
        elif sequence.position(
            len(sequence.tokens)
        ) >= self._compactor.last_position and not self._compactor.make_positions(sequence):
            self._finish(
                sequence,
                "length",
                f"The conversation has reached {self._compactor.last_position:,} tokens, "
                "all that fits.",
                "Raise engine.n_ctx if the model was trained on more, or start a new one.",
            )

    def _finish(self, sequence: Sequence, reason: str, what: str = "", remedy: str = "") -> None:
        """End a generation; its cells stay."""
        generation = sequence.payload
        assert isinstance(generation, Generation)
        self._scheduler.stop(sequence)
        sequence.payload = None
        generation.sampler.close()
        generation.stream.finish()
        self._teller.last_words(generation)
        self._teller.ended(
            generation.done(
                reason,
                prompt_tokens=sequence.n_prompt,
                cached_tokens=min(sequence.cached, sequence.n_prompt),
                cells=self._scheduler.cells.held(sequence.slot) if sequence.slot >= 0 else 0,
                what=what,
                remedy=remedy,
            ),
        )

    def _recover(self, step: Step, code: int) -> None:
        """llama_decode failed: nothing may be lost, so free something, or compute all anew."""
        scheduler = self._scheduler
        if code == NO_SLOT:
            scheduler.rollback(step)
            if scheduler.make_room():
                return
        self._fatal_steps += 1
        self._teller.note(
            "warning", "engine", f"llama_decode failed with code {code}; cells are rebuilt."
        )
        scheduler.forget()
        self._context.clear()
        if self._fatal_steps >= 3:
            for sequence in [*scheduler.running, *scheduler.queue]:
                self._finish(
                    sequence,
                    "error",
                    f"llama.cpp cannot compute this step (code {code}).",
                    "See the engine's log; another model or cache type may help.",
                )
            self._fatal_steps = 0

    # --- events ---------------------------------------------------------------------------------

    def _tell(self) -> None:
        now = time.monotonic()
        self._teller.tell(now)
        if (routed := self._router.event(now)) is not None:
            self._port.send(routed)
        if self._scheduler.busy and now - self._collected_at > COLLECT_SECONDS:
            self._collected_at = now
            gc.collect(0)

    def _compaction_event(self, event: Compaction | Studied) -> None:
        if isinstance(event, Studied):
            self._port.send(event)
            return
        self._teller.wants_map = True
        if event.phase == "done" and (sequence := self._sessions.get(event.session)) is not None:
            sequence.past = [*sequence.past[1 - PAST :], event]
        self._port.send(event)

    # --- requests -------------------------------------------------------------------------------

    def _handle(self, request: AnyRequest) -> None:
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
        sequence = self._session(request.session)
        if sequence.phase is not Phase.IDLE:
            raise EngineError(
                f"{request.session} is still answering.", "Wait for it, or stop it.", "busy"
            )
        if not request.messages:
            raise EngineError("There is no message to answer.", "Send one.", "bad_request")
        prompt, inside = self._language.prompt(request.messages, request.thinking)
        tokens = [*prompt, *request.resume]
        self._check_prompt(len(prompt), len(tokens))
        sampling = request.sampling
        if request.must_call:
            grammar = self._language.call_grammar(request.messages, inside)
            sampling = msgspec.structs.replace(sampling, grammar=grammar, json_schema="")
        seed = sampling.seed if sampling.seed >= 0 else draw_seed()
        sampler = Sampler(self._model, self._context.n_ctx, sampling, seed & 0xFFFFFFFF)
        stream = self._language.stream(sampling.stop, inside, offered(request.messages))
        generation = Generation(request.session, sampling, sampler, stream)
        if request.resume:
            generation.resume(
                request.resume, [self._piece(generation, token) for token in request.resume]
            )
        sequence.payload = generation
        sequence.messages = request.messages
        sequence.sampling = msgspec.structs.replace(request.sampling, seed=seed)
        self._scheduler.submit(sequence, tokens, len(prompt))
        if stream.stopped:
            self._finish(sequence, "stop")
        elif request.resume:
            self._check_length(sequence, generation)

    def _piece(self, generation: Generation, token: int) -> Piece:
        return self._language.piece(token, generation.stream.reads_calls)

    def _check_prompt(self, prompt: int, total: int) -> None:
        if self._compactor.unbounded:
            return
        longest = self._compactor.last_position
        if prompt + MIN_ANSWER > longest or total > longest:
            limit = "model was trained on" if longest < self._context.n_ctx else "context holds"
            remedy = (
                "Shorten or clear the conversation."
                if longest < self._context.n_ctx
                else "Shorten or clear the conversation, or raise engine.n_ctx."
            )
            raise EngineError(
                f"The conversation has {total:,} tokens and the {limit} {longest:,}.",
                remedy,
                "too_long",
            )

    def _cancel(self, request: Cancel) -> None:
        sequence = self._session(request.session)
        if sequence.phase is not Phase.IDLE:
            self._finish(sequence, "cancelled")

    def _close(self, request: Close) -> None:
        sequence = self._session(request.session)
        if sequence.phase is not Phase.IDLE:
            self._finish(sequence, "cancelled")
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
        return self._scheduler.fork(source, target)

    def _swap(self, request: Swap) -> int:
        sequence = self._session(request.session)
        if sequence.phase is not Phase.IDLE:
            raise EngineError(f"{sequence.name} is answering.", "Wait for it.", "busy")
        if not request.out:
            cells = sequence.away.cells if sequence.away is not None else 0
            return cells if self._scheduler.bring_back(sequence) else 0
        cells = sequence.cells_of(sequence.held)
        if not cells:
            return 0
        if not self._scheduler.put_away(sequence):
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
        self._stopping = True
