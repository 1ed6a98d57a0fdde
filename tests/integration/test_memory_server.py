"""The memory in a FalkorDB server by its address: password, TLS, and what is said when it fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.memory.errors import MemoryDown
from engine.config import MemoryConfig
from tests.support.graph_server import TLS, encrypted, graph_server
from tests.support.memories import memory, note

TALK = [note("t1", "Hi, I am Bob. I work at Acme and I live in Paris.")]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with graph_server(tmp_path_factory.mktemp("server")) as found:
        yield found


@pytest.fixture(scope="module")
def tls_port(port: int) -> Iterator[int]:
    with encrypted(port) as found:
        yield found


def works(config: MemoryConfig, folder: Path) -> None:
    with memory(folder, config) as made:
        made.remember(TALK)
        found = made.recall("Where does Bob work?", 3)
        assert any("Acme" in hit.source.text for hit in found.hits)
        assert "secret" not in made.stats().where


def test_a_server_with_a_password(port: int, tmp_path: Path) -> None:
    works(MemoryConfig(url=f"falkor://ada:secret@127.0.0.1:{port}/plain"), tmp_path)


def test_a_server_behind_tls(tls_port: int, tmp_path: Path) -> None:
    url = f"falkors://ada:secret@localhost:{tls_port}/tls"
    works(MemoryConfig(url=url, tls_ca=str(TLS / "ca.pem")), tmp_path)


def refused(config: MemoryConfig, folder: Path) -> MemoryDown:
    with pytest.raises(MemoryDown) as caught, memory(folder, config):
        pass
    assert "secret" not in str(caught.value)
    return caught.value


def test_a_wrong_password_is_said(port: int, tmp_path: Path) -> None:
    error = refused(MemoryConfig(url=f"falkor://ada:wrong@127.0.0.1:{port}"), tmp_path)
    assert "refused the name or password" in error.what


def test_an_unknown_authority_is_said(tls_port: int, tmp_path: Path) -> None:
    error = refused(MemoryConfig(url=f"falkors://ada:secret@localhost:{tls_port}"), tmp_path)
    assert "certificate" in error.what and "memory.tls_ca" in error.remedy


def test_a_certificate_of_another_host_is_said(tls_port: int, tmp_path: Path) -> None:
    config = MemoryConfig(
        url=f"falkors://ada:secret@127.0.0.2:{tls_port}", tls_ca=str(TLS / "ca.pem")
    )
    assert "memory.url to the name" in refused(config, tmp_path).remedy


def test_tls_to_a_server_without_it_is_said(port: int, tmp_path: Path) -> None:
    error = refused(MemoryConfig(url=f"falkors://ada:secret@127.0.0.1:{port}"), tmp_path)
    assert "falkor://" in error.remedy


def test_an_authority_that_is_no_file_is_said(tls_port: int, tmp_path: Path) -> None:
    config = MemoryConfig(
        url=f"falkors://ada:secret@localhost:{tls_port}", tls_ca=str(tmp_path / "none.pem")
    )
    assert "memory.tls_ca" in refused(config, tmp_path).what
