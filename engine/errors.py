"""Errors a person reads: what happened in one sentence, then what to do about it."""

from __future__ import annotations


class HaloError(Exception):
    """Base of every error that is shown to people.

    `what` is one sentence that ends with a full stop; `remedy` is one more, or "".
    """

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what, remedy)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what} {self.remedy}".strip()


class EngineError(HaloError):
    """The engine core refused a request, died, or could not start."""

    def __init__(self, what: str, remedy: str = "", code: str = "") -> None:
        super().__init__(what, remedy)
        self.code = code  # Reply.code where a request was refused


def too_long(what: str, remedy: str, longest: int, trained: int) -> EngineError:
    """Of more tokens than can be read: `what` has them, as in "The prompt has 9,000 tokens".

    `longest`: tokens that can be; `trained`: the model's trained context. `remedy` has no full stop.
    """
    limit = "model was trained on"
    if longest != trained:
        limit, remedy = "context holds", f"{remedy}, or raise engine.n_ctx"
    return EngineError(f"{what} and the {limit} {longest:,}.", f"{remedy}.", "too_long")


class ConfigError(HaloError):
    """A setting is unknown or has a wrong value; `file` and `line` say where it stands."""

    def __init__(self, what: str, remedy: str = "", file: str = "", line: int = 0) -> None:
        super().__init__(what, remedy)
        self.file = file
        self.line = line


class ModelError(HaloError):
    """A model file is missing, broken, or too large for this machine."""
