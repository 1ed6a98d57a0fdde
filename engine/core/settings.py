"""A setting changed while the engine runs, checked as at its start."""

from __future__ import annotations

import msgspec

from engine.errors import EngineError


def changed[S: msgspec.Struct](settings: S, section: str, key: str, value: object) -> S:
    """The settings of a section of the configuration with another value. Raises EngineError
    (bad_request) when it may not have that."""
    try:
        return msgspec.convert({**msgspec.to_builtins(settings), key: value}, type(settings))
    except msgspec.ValidationError as error:
        raise EngineError(f"{section}.{key}: {error}.", "", "bad_request") from None
