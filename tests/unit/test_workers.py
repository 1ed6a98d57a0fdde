"""Workers as they are asked from outside: what each kind of failure is called, and the remedy."""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from engine import reconnect, workers
from engine.config import load
from engine.core.remote import layers_that_fit
from engine.errors import ConfigError
from engine.protocol import Held, Holdings
from engine.workers import Worker
from tests.support.workers import Liar
from tui.widgets.worker_text import worker_lines


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: refused, and nobody else gets it
        yield f"127.0.0.1:{taken.getsockname()[1]}"


def hello(major: int, minor: int, patch: int) -> bytes:
    return struct.pack("<QBBBB24x", 28, major, minor, patch, 0)


def test_the_protocol_is_that_of_the_library() -> None:
    import halo_native

    header = (halo_native.include_dir() / "ggml-rpc.h").read_text()
    numbers = dict(re.findall(r"#define RPC_PROTO_(\w+)_VERSION +(\d+)", header))
    assert (int(numbers["MAJOR"]), int(numbers["MINOR"])) == workers.PROTOCOL
    most = re.search(r"#define GGML_RPC_MAX_SERVERS +(\d+)", header)
    assert most is not None and int(most[1]) == workers.MOST


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (None, "busy", "serves somebody else already, or hangs"),
        (hello(6, 2, 0), "other", "speaks version 6.2.0 of the RPC protocol, this one 7.0"),
        (hello(7, 9, 0), "other", "speaks version 7.9.0"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "stranger", "no rpc-server"),
        (b"", "stranger", "hung up"),
        (hello(7, 0, 0)[:20], "stranger", "hung up"),
    ],
)
def test_whoever_answers_otherwise_is_named(answer: bytes | None, state: str, words: str) -> None:
    with closing(Liar(answer)) as liar:
        found = workers.probe(liar.endpoint, 0.5)
        assert found.state == state
        trouble = workers.trouble([found])
        assert trouble is not None
        assert words in trouble.what and liar.endpoint in trouble.what
        assert trouble.remedy and "/workers off" in trouble.remedy


def test_nobody_there_says_how_to_start_one(nobody: str) -> None:
    trouble = workers.trouble(workers.look([nobody]))
    assert trouble is not None
    assert trouble.what == f"The worker {nobody} does not answer (connection refused)."
    port = workers.parse(nobody)[1]
    assert f"halo-tui rpc-worker --port {port}" in trouble.remedy
    far = workers.trouble([Worker("10.0.0.2:50052", "down", "no route to host")])
    assert far is not None
    assert "Start it on 10.0.0.2: halo-tui rpc-worker --host ADDRESS" in far.remedy
    assert workers.trouble([Worker(nobody, "ready")]) is None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("10.0.0.2", "no host:port"),
        ("10.0.0.2:0", "no host:port"),
        ("10.0.0.2:70000", "no host:port"),
        ("fe80::1:50052", "no host:port"),
        ("http://a:1", "no host:port"),
        ("a:1,a:1", "named twice"),
        (",".join(f"a:{i}" for i in range(1, 19)), "16 workers at most"),
    ],
)
def test_the_setting_is_checked(given: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("")
    with pytest.raises(ConfigError, match=words):
        load(file, {}, [f"engine.rpc={given}"])
    assert load(file, {}, ["engine.rpc=a:1, b.c:2"]).engine.rpc == ["a:1", "b.c:2"]
    assert load(file, {}, ["engine.rpc="]).engine.rpc == []


def test_layers_that_do_not_fit_stay_here() -> None:
    two = [Worker("a:1", "ready", free=(600,), total=(600,)), Worker("b:1", "ready", free=(400,))]
    assert layers_that_fit(31, 900, two) == -1
    assert layers_that_fit(31, 1900, two) == 16
    assert layers_that_fit(31, 10**9, two) == 0


def test_what_workers_hold_or_say() -> None:
    def held(device: str, model: int) -> Held:
        return Held("b", device, "rpc", False, False, model << 20, 2 << 20, 1 << 20)

    holdings = Holdings((held("a:1", 5), held("a:1", 6), held("b:1", 7)))
    first, second, third = worker_lines(
        ["a:1", "b:1", "c:1"], holdings, [Worker("c:1", "down", "connection refused")]
    )
    assert "weights 11" in first and "KV cells 4" in first and "compute 2" in first
    assert "weights 7" in second
    assert third == "worker c:1 does not answer (connection refused)"


def test_what_ggml_says_of_a_broken_connection(tmp_path: Path) -> None:
    import halo_native

    assert reconnect.BROKEN in (halo_native.lib_dir() / "libggml-rpc.so").read_bytes()
    log = tmp_path / "core.log"
    assert not reconnect.was_broken(log)
    log.write_bytes(b"x\n" * 20_000 + reconnect.BROKEN + b"\n" + b"Thread 1\n" * 500)
    assert reconnect.was_broken(log)
    log.write_bytes(reconnect.BROKEN + b"x\n" * 20_000)  # of an earlier core
    assert not reconnect.was_broken(log)
