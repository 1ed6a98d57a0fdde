"""`python -m engine.core FD JSON`: the core process; FD is its end of the socketpair."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TextIO

import msgspec

from engine.config import CompactionConfig, EngineConfig, ExpertsConfig, SessionsConfig
from engine.core.loop import EngineCore

_PR_SET_PDEATHSIG = 1


class Log:
    """The log that stands for stderr: a disk that is full must not end the core."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()

    def fileno(self) -> int:
        return self._stream.fileno()


class Settings(msgspec.Struct, forbid_unknown_fields=True):
    """The JSON argument."""

    model: str
    parent: int
    engine: EngineConfig
    compaction: CompactionConfig = msgspec.field(default_factory=CompactionConfig)
    sessions: SessionsConfig = msgspec.field(default_factory=SessionsConfig)
    experts: ExpertsConfig = msgspec.field(default_factory=ExpertsConfig)
    folder: str = ""  # for cells put aside on disk; "" = nowhere
    given: tuple[str, ...] = ()  # keys that somebody set
    root: str = ""  # a recorded machine; "" = this one


def main() -> int:
    settings = msgspec.json.decode(sys.argv[2], type=Settings)
    connection = socket.socket(fileno=int(sys.argv[1]))
    # The app handles Ctrl-C and asks us to stop; a signal would cut answers short.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stderr = Log(sys.stderr)  # type: ignore[assignment]
    faulthandler.enable()  # a crash leaves its Python stack in the log
    if not _die_with(settings.parent):
        return 0
    core = EngineCore(
        connection,
        Path(settings.model),
        settings.engine,
        settings.compaction,
        settings.sessions,
        Path(settings.folder) if settings.folder else None,
        settings.experts,
        settings.given,
        settings.root,
    )
    return core.run()


def _die_with(parent: int) -> bool:
    """Have the kernel end us when the app dies, also while a model loads. False: it is dead."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    return os.getppid() == parent


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    # Nothing is left to do that static destructors of a library could do better than the kernel.
    os._exit(code)
