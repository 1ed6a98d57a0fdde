"""Work for a widget or screen that may be closed before it is done.

Textual takes the children down first and the parent last: `is_mounted` stays true meanwhile, and
its workers go on. What they want to show then has no place any more.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate

from textual.css.query import NoMatches
from textual.widget import Widget


def stands(widget: Widget) -> bool:
    """Whether a widget is mounted and not being taken down."""
    goes = widget._pruning or widget._closing or widget._closed
    return widget.is_mounted and widget.is_attached and not goes


def while_it_stands[W: Widget, **P](
    work: Callable[Concatenate[W, P], Coroutine[Any, Any, None]],
) -> Callable[Concatenate[W, P], Coroutine[Any, Any, None]]:
    """For a worker below `@work`: it ends quietly when its widget is closed under it."""

    @wraps(work)
    async def run(self: W, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            await work(self, *args, **kwargs)
        except NoMatches:
            if stands(self):
                raise

    return run
