"""Work for a widget that may be taken down before it is done."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate

from textual.css.query import NoMatches
from textual.widget import Widget


def while_it_stands[W: Widget, **P](
    work: Callable[Concatenate[W, P], Coroutine[Any, Any, None]],
) -> Callable[Concatenate[W, P], Coroutine[Any, Any, None]]:
    """For a worker below `@work`: it ends quietly when its widget is closed under it.

    Textual takes the children down first and cancels the worker of the parent last. What it finds
    between, or tells the widget then, has no place any more.
    """

    @wraps(work)
    async def run(self: W, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            await work(self, *args, **kwargs)
        except NoMatches:
            if self.is_attached and not (self._pruning or self._closing or self._closed):
                raise

    return run
