"""A FalkorDB server by itself, as people run one elsewhere: TCP, names and passwords, TLS in front."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agents.memory.server import binaries
from tests.support.ports import free_port
from tests.support.waiting import until_sync

TLS = Path(__file__).parent.parent / "corpus" / "tls"
USER, PASSWORD = "ada", "secret"


@contextmanager
def graph_server(folder: Path) -> Iterator[int]:
    """A server that only user `ada` may use; its port."""
    server, module = binaries()
    port = free_port()
    config = folder / "redis.conf"
    config.write_text(
        f'port {port}\nbind 127.0.0.1\ndir {folder}\nsave ""\nloadmodule {module}\n'
        f"user default off\nuser {USER} on >{PASSWORD} ~* &* +@all\n"
    )
    command = [str(server), str(config)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        until_sync(lambda: _listens(process, port, folder / "log"), 60)
        yield port
    finally:
        process.terminate()
        process.wait(60)


def _listens(process: subprocess.Popen[bytes], port: int, log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@contextmanager
def encrypted(port: int) -> Iterator[int]:
    """A port that speaks TLS, as localhost, and passes on to `port`: what stands before a server
    whose build has no TLS of its own, like the one in the package."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "server.pem", TLS / "server.key")
    loop, ready = asyncio.new_event_loop(), threading.Event()
    found: list[int] = []

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(copy(reader, outer), copy(inner, writer))

    def run() -> None:
        asyncio.set_event_loop(loop)
        server = loop.run_until_complete(asyncio.start_server(serve, "0.0.0.0", 0, ssl=context))
        found.append(server.sockets[0].getsockname()[1])
        ready.set()
        loop.run_forever()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(60)
    try:
        yield found[0]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
