"""Saving and restoring sessions: cells are copied between two steps, files are worked on beside.

A snapshot has the parts `talk.json` (the app's), `tokens.json` (token history, compactions,
sampling), `state.bin` (llama.cpp's sequence state) and `bias.npy` (beta). See engine/snapshot.
"""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from engine import snapshot
from engine.config import EngineConfig, SessionsConfig
from engine.core.fingerprint import fingerprint
from engine.core.frozen import Frozen, fold_from_json, fold_to_json, freeze
from engine.core.runner import Context
from engine.core.scheduler import Scheduler
from engine.core.sequence import Phase, Sequence
from engine.core.vault import Vault
from engine.errors import EngineError, HaloError
from engine.protocol import Compaction, Message, Restore, Sampling, Save

log = logging.getLogger(__name__)

BIAS, STATE, TOKENS, TALK = "bias.npy", "state.bin", "tokens.json", "talk.json"


class History(msgspec.Struct, omit_defaults=True):
    """`tokens.json`: what the core knows of a session beside its cells."""

    tokens: list[int]
    cells: int
    last_position: int
    fold: dict[str, int] | None
    messages: tuple[Message, ...]
    sampling: Sampling | None = None  # of the newest answer, with the seed that was drawn
    compactions: tuple[Compaction, ...] = ()


@dataclass(slots=True)
class _Job:
    future: Future[Any]
    done: Callable[[Any], int]
    reply: Callable[[int | None, HaloError | None], None]


class Archive:
    """Writes and reads snapshots for the core. All methods on the core's thread."""

    def __init__(
        self,
        context: Context,
        scheduler: Scheduler,
        vault: Vault,
        engine: EngineConfig,
        config: SessionsConfig,
    ) -> None:
        self._context, self._scheduler, self._vault = context, scheduler, vault
        self._config = config
        self._kv = {
            "type_k": engine.type_k,
            "type_v": engine.type_v,
            "flash_attention": "off" if engine.flash_attention == "off" else "on",
        }
        self._pool = ThreadPoolExecutor(1, "halo-archive")  # one: saves of a session keep order
        self._jobs: list[_Job] = []

    @cached_property
    def _fingerprint(self) -> str:
        return fingerprint(self._context.model.path)

    @property
    def pending(self) -> bool:
        """Whether files are being worked on."""
        return bool(self._jobs)

    def pump(self) -> bool:
        """Between two steps: answer for the files that are finished; whether there were any."""
        finished = [job for job in self._jobs if job.future.done()]
        for job in finished:
            self._jobs.remove(job)
            try:
                value = job.done(job.future.result())
            except HaloError as error:
                job.reply(None, error)
            except Exception as error:  # one bad file must not end all answers
                log.exception("a snapshot")
                what = f"{str(error).rstrip('.') or type(error).__name__}."
                job.reply(None, EngineError(what, "See the engine's log.", "engine"))
            else:
                job.reply(value, None)
        return bool(finished)

    def close(self) -> None:
        """Finish what is being written."""
        self._pool.shutdown(wait=True)

    # --- saving ---------------------------------------------------------------------------------

    def save(
        self,
        request: Save,
        sequence: Sequence,
        reply: Callable[[int | None, HaloError | None], None],
    ) -> None:
        """Copy the session now, write it beside. Raises EngineError when there is nothing."""
        if sequence.loading:
            raise EngineError(f"{sequence.name} is being restored.", "Try again shortly.", "busy")
        frozen = sequence.away
        if frozen is None:
            if sequence.slot < 0 or not sequence.held:
                raise EngineError(
                    f"{sequence.name} holds no cells that could be saved.",
                    "Its text is kept all the same.",
                    "nothing",
                )
            frozen = freeze(self._context, sequence)
        path = Path(request.path)
        job = self._pool.submit(
            self._write, path, request, frozen, sequence.sampling, tuple(sequence.past)
        )
        self._jobs.append(_Job(job, int, reply))

    def _write(
        self,
        path: Path,
        request: Save,
        frozen: Frozen,
        sampling: Sampling | None,
        past: tuple[Compaction, ...],
    ) -> int:
        """In the archive's thread. Returns the file's bytes."""
        shift = frozen.fold.shift if frozen.fold is not None else 0
        history = History(
            frozen.tokens,
            frozen.cells,
            frozen.held - shift - 1,
            fold_to_json(frozen.fold),
            frozen.messages,
            sampling,
            past,
        )
        parts: dict[str, Any] = {TALK: request.talk, TOKENS: msgspec.json.encode(history)}
        if frozen.bias is not None:
            parts[BIAS] = _npy(frozen.bias)
        parts[STATE] = memoryview(frozen.state)
        about: dict[str, Any] = {
            **request.about,
            "tokens": frozen.held,
            "cells": frozen.cells,
            "model": self._context.model.name,
        }
        snapshot.write(
            path,
            parts,
            fingerprint=self._fingerprint,
            kv=self._kv,
            about=about,
            compress=self._config.compress,
        )
        return path.stat().st_size

    # --- restoring ------------------------------------------------------------------------------

    def restore(
        self,
        request: Restore,
        sequence: Sequence,
        reply: Callable[[int | None, HaloError | None], None],
    ) -> None:
        """Read a snapshot beside; the session waits for it. Raises EngineError when it is busy."""
        if sequence.phase is not Phase.IDLE or sequence.loading:
            raise EngineError(f"{sequence.name} is busy.", "Wait for it, or stop it.", "busy")
        sequence.loading = True
        future = self._pool.submit(self._read, Path(request.path), sequence.name)

        def arrived(found: tuple[Frozen, History]) -> int:
            if not sequence.loading:  # it was closed meanwhile
                return 0
            frozen, history = found
            sequence.past = list(history.compactions)
            sequence.sampling = history.sampling
            tokens = self._scheduler.swap.arrived(sequence, frozen)
            if sequence.away is frozen:  # no cells are free for it now
                self._vault.adopt(frozen)
            return tokens

        def answer(value: int | None, error: HaloError | None) -> None:
            self._scheduler.swap.arrived(sequence, None)
            reply(value, error)

        self._jobs.append(_Job(future, arrived, answer))

    def _read(self, path: Path, name: str) -> tuple[Frozen, History]:
        """In the archive's thread. Raises EngineError."""
        try:
            found = snapshot.read(path)
        except snapshot.SnapshotError as error:
            raise _damaged(error) from None
        manifest = found.manifest
        if manifest.fingerprint != self._fingerprint:
            model = manifest.about.get("model") or "another model"
            raise EngineError(
                f"{path.name} was saved with {model}, not with the model that is loaded.",
                "Its text is read again; load that model to have its cells.",
                "other_model",
            )
        if manifest.kv != self._kv:
            differing = [k for k in self._kv if manifest.kv.get(k) != self._kv[k]]
            said = ", ".join(f"engine.{k} = {manifest.kv.get(k)}" for k in differing)
            raise EngineError(
                f"{path.name} was saved with {said}.",
                "Its text is read again; set that back to have its cells.",
                "other_cache",
            )
        try:
            state = found.part(STATE)
            history = msgspec.json.decode(found.part(TOKENS), type=History)
            fold = fold_from_json(history.fold)
            bias = _from_npy(found.part(BIAS)) if BIAS in found.names else None
        except snapshot.SnapshotError as error:
            raise _damaged(error) from None
        except (msgspec.MsgspecError, ValueError, KeyError, RecursionError) as error:
            raise EngineError(
                f"{path.name} contradicts itself: {error}.", "Its text is read again.", "damaged"
            ) from None
        shift = fold.shift if fold is not None else 0
        folded = (fold.end - fold.start - fold.cells) if fold is not None else 0
        if (
            history.cells != len(history.tokens) - folded
            or history.last_position != len(history.tokens) - shift - 1
            or (fold is not None and fold.end > len(history.tokens))
            or (bias is not None and bias.shape[-1] != history.cells)
            or not history.tokens
            or min(history.tokens) < 0
            or max(history.tokens) >= self._context.model.n_vocab
        ):
            raise EngineError(
                f"{path.name} contradicts itself: its counts of cells or tokens differ.",
                "Its text is read again.",
                "damaged",
            )
        frozen = Frozen(
            name,
            history.tokens,
            fold,
            history.messages,
            history.cells,
            state,
            memoryview(state).nbytes,
            bias,
        )
        return frozen, history


def _damaged(error: snapshot.SnapshotError) -> EngineError:
    return EngineError(error.what, "The conversation is read again.", "damaged")


def _npy(array: npt.NDArray[np.float32]) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def _from_npy(data: Any) -> npt.NDArray[np.float32]:
    """Raises ValueError for anything but what `_npy` writes.

    Not `np.load`: that makes room for what the header claims before it looks for it.
    """
    file = io.BytesIO(bytes(data))
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("its biases are in another version of NumPy's format")
    try:
        shape, by_columns, dtype = np.lib.format.read_array_header_1_0(file)
    except Exception as error:  # it is parsed as Python, whose errors are many
        raise ValueError(f"its biases have no header ({type(error).__name__})") from None
    rest = file.getbuffer()[file.tell() :]
    if (
        len(shape) != 3
        or by_columns
        or dtype != np.float32
        or len(rest) != dtype.itemsize * math.prod(shape)
    ):
        raise ValueError("its biases are not [layers, heads, cells] of float32")
    array: npt.NDArray[np.float32] = np.frombuffer(rest, np.float32).reshape(shape)
    if not (array < np.inf).all():  # -inf hides a cell; false for NaN
        raise ValueError("its biases are not numbers")
    return array
