"""The core's main loop: requests in, one step computed, events out."""

from __future__ import annotations

import gc
import os
import socket
import sys
import time
from collections.abc import Collection
from pathlib import Path

import msgspec

from engine import native, workers
from engine.auto.facts import gather
from engine.auto.rules import Decision, apply, decide
from engine.config import CompactionConfig, EngineConfig, ExpertsConfig, SessionsConfig
from engine.core import llama, remote
from engine.core.answers import Answers
from engine.core.archive import Archive
from engine.core.cells import Cells
from engine.core.compactor import Compactor
from engine.core.facts import ready_event
from engine.core.generation import Generation
from engine.core.language import Language
from engine.core.model import Model, thread_count
from engine.core.port import Gone, Port, WorkerLost
from engine.core.preflight import Header, read_header
from engine.core.requests import Requests
from engine.core.router import Router
from engine.core.runner import NO_SLOT, Context
from engine.core.scheduler import Scheduler
from engine.core.sequence import Sequence
from engine.core.step import Step
from engine.core.teller import Teller
from engine.core.threads import ThreadTuner
from engine.core.vault import Vault
from engine.errors import HaloError, ModelError
from engine.protocol import Compaction, Failed, Loading, Studied
from engine.wire import WireError

PAST = 64  # compactions that are kept of a session
PUMP_SECONDS = 0.002  # between two looks at a compaction when there is nothing else to do
COLLECT_SECONDS = 5.0  # between collections of young garbage while there is work


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
        self._fatal_steps = 0
        self._collected_at = 0.0
        self._stuck = False  # the last step was empty: whoever waits, waits for a request

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
        self._scheduler.cache.freeze = self._vault.freeze
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
        self._answers = Answers(
            self._model,
            self._context,
            self._language,
            self._scheduler,
            self._compactor,
            self._teller,
        )
        self._requests = Requests(
            self._port,
            self._sessions,
            self._language,
            self._scheduler,
            self._compactor,
            self._archive,
            self._router,
            self._answers,
            self._teller,
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
            while not self._requests.stopping:
                self._turn(self._patience())
        finally:
            gc.enable()
            gc.unfreeze()

    def _turn(self, patience: float | None) -> None:
        """Requests that are there or come within `patience` seconds, one step, and all that is done
        between two steps."""
        for request in self._port.receive(patience):
            self._requests.handle(request)
        if self._scheduler.busy:
            self._step()
        self._compactor.pump()
        if self._archive.pump():
            self._stuck = False  # somebody may have waited for that
        self._vault.pump()
        self._tell()

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
            self._answers.give_up(sequence)
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
        self._answers.take(step)
        seconds = time.monotonic() - started
        self._router.timed(step, seconds)
        if threads is not None and not step.prefill:
            threads.record(len(step.decode), seconds)
        self._teller.speed.step(step.decode, step.tokens - len(step.decode), seconds)

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
            for sequence in [*scheduler.pools.running, *scheduler.pools.queue]:
                if not isinstance(sequence.payload, Generation):
                    continue  # a branch: it ends with its study
                self._answers.finish(
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
