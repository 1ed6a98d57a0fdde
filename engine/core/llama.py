"""Access to libllama: load it once, send its log to ours, remember what it complained about."""

from __future__ import annotations

import ctypes
import sys
from collections import deque
from types import ModuleType
from typing import Any

from engine import native

ERROR, _CONT = 4, 5
_loaded: ModuleType | None = None
_callback: Any = None
_level = 0
least = 2  # GGML_LOG_LEVEL_INFO: what is passed on; a bench that has the terminal asks for less
complaints: deque[str] = deque(maxlen=8)  # the newest error lines of llama.cpp


def load() -> Any:
    """The module `llama_cpp.llama_cpp` on our libllama, its backends initialised.

    Raises NativeError when halo-native is not there.
    """
    global _loaded
    if _loaded is None:
        _loaded = native.load()
        _redirect_log(_loaded)
        _loaded.llama_backend_init()
    return _loaded


def _redirect_log(llama: Any) -> None:
    global _callback

    def log(level: int, text: bytes, _data: object) -> None:
        global _level
        _level = _level if level == _CONT else level
        if _level >= least:
            line = text.decode("utf-8", "replace")
            sys.stderr.write(line)
            if _level == ERROR and line.strip():
                complaints.append(line.strip())

    _callback = llama.llama_log_callback(log)  # llama.cpp keeps the pointer: it must not die
    llama.llama_log_set(_callback, ctypes.c_void_p(0))


def why(default: str) -> str:
    """The newest complaint of llama.cpp without its function name, or `default`."""
    for line in reversed(complaints):
        text = line.split(": ", 1)[-1] if ": " in line else line
        if text and not text.startswith(("failed to load model", "common_")):
            return text.rstrip(".")
    return default
