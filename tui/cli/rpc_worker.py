"""`halo-tui rpc-worker`: lends this machine's devices to a halo-tui on another one."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys

import click

from engine.workers import PORT


@click.command()
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="IPv4 address to listen on: this machine's in a network you trust, never the internet.",
)
@click.option("--port", type=click.IntRange(1, 65535), default=PORT, show_default=True)
@click.option("--threads", type=click.IntRange(1, 512), help="Default: one a physical core.")
@click.option("--device", metavar="NAMES", help="Only these devices, e.g. Vulkan0 or CPU.")
@click.option(
    "--cache",
    is_flag=True,
    help="Keep large tensors in ~/.cache/llama.cpp/rpc: later starts send less.",
)
def command(host: str, port: int, threads: int | None, device: str | None, cache: bool) -> None:
    """Compute layers for a halo-tui elsewhere. Runs until Ctrl-C; serves one at a time.

    This is llama.cpp's rpc-server. Its protocol has no password and no encryption.
    """
    from engine import environment, workers
    from engine.core.model import thread_count
    from engine.errors import EngineError

    server = workers.program()
    endpoint = _free(host, port)
    _introduce(endpoint, port)
    arguments = ["--host", host, "--port", str(port), "--threads", str(thread_count(threads or 0))]
    arguments += ["--device", device] if device else []
    arguments += ["--cache"] if cache else []
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execve(server, [str(server), *arguments], environment.for_computing())
    except OSError as error:
        raise EngineError(
            f"{server} cannot be run: {error.strerror}.",
            "Build the native part again: make clean && make run.",
        ) from None


def _free(host: str, port: int) -> ipaddress.IPv4Address:
    """The address, when one can listen there. Raises EngineError, UsageError."""
    from engine.errors import EngineError

    try:
        address = ipaddress.IPv4Address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        raise click.UsageError(
            f"--host {host} is no IPv4 address. `ip -4 addr` shows this machine's."
        ) from None
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((str(address), port))
            probe.listen(1)
        except OSError as error:
            raise EngineError(
                f"Nobody can listen on {address}:{port}: {error.strerror}.",
                "Give another --port, or end the worker that has this one.",
            ) from None
    return address


def _introduce(address: ipaddress.IPv4Address, port: int) -> None:
    """Say on stderr how it is used, and what to beware of."""
    from tui.cli.output import style

    if address.is_loopback:
        click.echo(
            f'Worker on {address}:{port}, for this machine only. Use it: engine.rpc = ["{address}:'
            f'{port}"]\nFrom another machine, encrypted: ssh -N -L {port}:127.0.0.1:{port} '
            f'{socket.gethostname()}, and there engine.rpc = ["127.0.0.1:{port}"]',
            err=True,
        )
        return
    name = socket.gethostname() if address.is_unspecified else str(address)
    click.echo(f'Worker on {address}:{port}. Use it: engine.rpc = ["{name}:{port}"]', err=True)
    warning = (
        "WARNING: no password, no encryption. Whoever reaches this port can use and crash this\n"
        "program, read what is computed here, and perhaps take over this account. Only in a network\n"
        "you trust; else leave --host out and use an SSH tunnel."
    )
    click.echo(style(warning, fg="yellow", bold=True), err=True)
