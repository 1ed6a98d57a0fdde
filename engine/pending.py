"""Requests that were sent, or will be, and whose reply is waited for."""

from __future__ import annotations

import asyncio
from typing import TypeVar

import msgspec

from engine.errors import EngineError
from engine.protocol import Generate, Reply, Request

Value = bool | int | float | str | None
R = TypeVar("R", bound=Request)


class Pending:
    """Gives requests their ids and replies their futures."""

    def __init__(self) -> None:
        self._next_id = 1
        self._asked: dict[int, tuple[Request, asyncio.Future[Value]]] = {}
        self._resumed: dict[int, asyncio.Future[Value]] = {}

    @property
    def requests(self) -> list[Request]:
        """Those that a new core has to be sent again, oldest first."""
        return [request for request, _ in self._asked.values()]

    def add(self, request: R) -> tuple[R, asyncio.Future[Value]]:
        """The request with an id, and its reply to come."""
        request = self._numbered(request)
        future: asyncio.Future[Value] = asyncio.get_running_loop().create_future()
        self._asked[request.id] = (request, future)
        return request, future

    def add_resumed(self, request: Generate) -> tuple[Generate, asyncio.Future[Value]]:
        """The same for one that is not sent again: after another crash, the answer itself is what
        is taken up again."""
        request = self._numbered(request)
        future: asyncio.Future[Value] = asyncio.get_running_loop().create_future()
        self._resumed[request.id] = future
        return request, future

    def drop(self, request: Request) -> None:
        """It could not be sent."""
        del self._asked[request.id]

    def forget_resumed(self) -> None:
        """The core they were sent to is gone."""
        self._resumed.clear()

    def replied(self, reply: Reply) -> Request | None:
        """Hand a reply to whoever waits for it; the request that it is to, unless resumed."""
        request, future = self._asked.pop(reply.id, (None, None))
        if future is None:
            future = self._resumed.pop(reply.id, None)
        if future is not None and not future.done():
            if reply.ok:
                future.set_result(reply.value)
            else:
                future.set_exception(EngineError(reply.what, reply.remedy, reply.code))
        return request

    def fail(self, error: EngineError) -> None:
        """No reply will come any more."""
        asked, self._asked = self._asked, {}
        for _, future in asked.values():
            if not future.done():
                future.set_exception(error)

    def _numbered(self, request: R) -> R:
        self._next_id += 1
        return msgspec.structs.replace(request, id=self._next_id)
