"""Handlers that hear every event of a source, in order, until they do not want to any more."""

from __future__ import annotations

import logging
from collections.abc import Callable


class Listeners[E]:
    """Those of one source. A handler that raises does not keep the others from hearing an event."""

    def __init__(self, log: logging.Logger) -> None:
        """`log` is told of handlers that raise."""
        self._handlers: list[Callable[[E], None]] = []
        self._log = log

    def add(self, handler: Callable[[E], None]) -> Callable[[], None]:
        """Call `handler` for every event from now on. Returns how to stop that."""
        self._handlers.append(handler)

        def remove() -> None:
            if handler in self._handlers:
                self._handlers.remove(handler)

        return remove

    def tell(self, event: E) -> None:
        """Call all of them."""
        for handler in tuple(self._handlers):
            try:
                handler(event)
            except Exception:
                self._log.exception("a handler failed on %s", type(event).__name__)
