"""The core's end of the socket: reads requests without blocking, sends as fast as the app reads."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterable

from engine.protocol import AnyRequest, Event
from engine.wire import FrameReader, FrameWriter

_PORTION = 1 << 18


class Gone(Exception):
    """The app closed its end: it has ended or died, and so must we."""


class WorkerLost(Exception):
    """A worker closed its connection. ggml will abort at the next use of it; better to end before."""


class Port:
    """Frames over a non-blocking socket."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._socket = connection
        self._reader: FrameReader[AnyRequest] = FrameReader(AnyRequest)  # type: ignore[arg-type]
        self._writer = FrameWriter()
        self._unsent = bytearray()
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        self._watches_output = False

    def watch(self, workers: Iterable[socket.socket]) -> None:
        """Have `receive` raise WorkerLost when one of these connections is closed at the other end."""
        self._workers = list(workers)  # kept open: closed descriptors would be taken for lost ones
        for one in self._workers:
            self._poll.register(one, select.POLLRDHUP)

    @property
    def congested(self) -> bool:
        """The app does not read as fast as we write; hold back what can be merged later."""
        return bool(self._unsent)

    def send(self, event: Event) -> None:
        """Send an event, or keep it until the app reads on."""
        frame = self._writer.encode(event)
        if self._unsent:
            self._unsent += frame
        else:
            self._push(frame)

    def receive(self, timeout: float | None) -> Iterable[AnyRequest]:
        """Requests that are there, or come within `timeout` seconds (None: wait for one).

        Sends on what could not be sent before. Raises Gone at the end of the connection, WorkerLost
        at that of a worker's.
        """
        self._watch_output()
        ready = dict(self._poll.poll(None if timeout is None else timeout * 1000))
        flags = ready.pop(self._socket.fileno(), 0)
        if ready:
            raise WorkerLost
        if not flags:
            return ()
        if flags & select.POLLOUT:
            frame, self._unsent = self._unsent, bytearray()
            self._push(frame)
        if not flags & ~select.POLLOUT:
            return ()
        try:
            data = self._socket.recv(_PORTION)
        except BlockingIOError:
            return ()
        except OSError:
            raise Gone from None
        if not data:
            raise Gone
        return list(self._reader.feed(data))

    def drain(self, seconds: float) -> None:
        """Send what is left, for so long at most."""
        self._socket.settimeout(seconds)
        try:
            self._socket.sendall(self._unsent)
        except OSError:
            pass
        self._unsent.clear()

    def _push(self, frame: bytearray) -> None:
        try:
            sent = self._socket.send(frame)
        except BlockingIOError:
            sent = 0
        except OSError:
            raise Gone from None
        if sent < len(frame):
            self._unsent = frame[sent:]

    def _watch_output(self) -> None:
        wanted = bool(self._unsent)
        if wanted != self._watches_output:
            self._poll.modify(
                self._socket, select.POLLIN | select.POLLOUT if wanted else select.POLLIN
            )
            self._watches_output = wanted
