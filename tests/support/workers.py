"""llama.cpp's rpc-server as a child of the test, on a port of its own."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine import workers
from tests.support.ports import free_port
from tests.support.waiting import until_sync


class Rpc:
    """One worker that can be killed and started again at the same place."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.endpoint = f"127.0.0.1:{self.port}"
        self.log = folder / f"worker-{self.port}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """By our own command, as a person would."""
        command = [sys.executable, "-m", "tui.cli", "rpc-worker", "--threads", "1"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--port", str(self.port)], stdout=log, stderr=log
            )
        until_sync(lambda: workers.probe(self.endpoint).state == "ready", 60)

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(60)
            self.process = None


@contextmanager
def rpc_workers(folder: Path, count: int = 2) -> Iterator[list[Rpc]]:
    """Running workers; whoever is left is ended."""
    found = [Rpc(folder) for _ in range(count)]
    try:
        for one in found:
            one.start()
        yield found
    finally:
        for one in found:
            one.kill()


class Liar:
    """Listens like a worker and answers the first question with what the test gives it."""

    def __init__(self, answer: bytes | None) -> None:
        """None: it says nothing at all."""
        import threading

        self._server = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"127.0.0.1:{self._server.getsockname()[1]}"
        self._answer = answer
        self._held: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self._held.append(connection)
            if self._answer is not None:
                connection.recv(1024)
                connection.sendall(self._answer)
                connection.close()

    def close(self) -> None:
        # Shut down first: closing alone would not wake accept().
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for one in self._held:
            one.close()
