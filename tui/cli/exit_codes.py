"""Exit codes of `halo-tui`; docs/cli.md lists them for people."""

from __future__ import annotations

from typing import Final

OK: Final = 0
FAILURE: Final = 1  # anything without a number of its own
USAGE: Final = 2  # wrong options, or a setting that does not fit
MODEL: Final = 3  # the model file is missing, broken or too large
ENGINE: Final = 4  # the engine refused, died or could not start
PROBLEMS: Final = 5  # doctor found problems
INTERRUPTED: Final = 130  # Ctrl-C


def code_for(error: BaseException) -> int:
    """The exit code that says what kind of error this is."""
    from engine.errors import ConfigError, EngineError, ModelError

    match error:
        case ConfigError():
            return USAGE
        case ModelError():
            return MODEL
        case EngineError():
            return ENGINE
        case KeyboardInterrupt():
            return INTERRUPTED
        case _:
            return FAILURE
