"""Downloads from a hub: progress, resume, checksum, and a sentence for each thing that goes wrong."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import hub as real
from engine.errors import ModelError
from tests.support.hub import Hub

# More than one of huggingface_hub's 10 MB chunks, so that a cut leaves something to go on from.
DATA = random.Random(1).randbytes(12_000_000)
FILES = {"tiny-Q4_K_M.gguf": DATA, "tiny-Q8_0.gguf": DATA + b"more", "README.md": b"hello"}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub(dict(FILES)) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield server


def test_pull_by_quantisation_reports_progress_and_is_kept(hub: Hub) -> None:
    seen: list[tuple[int, int]] = []
    path = real.pull(Hub.repo, "Q4_K_M", lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == DATA
    assert seen[-1] == (len(DATA), len(DATA))
    assert all(total == len(DATA) for _, total in seen)
    before = len(hub.ranges)
    assert real.pull(Hub.repo, "tiny-Q4_K_M.gguf") == path
    assert len(hub.ranges) == before


def test_a_cut_download_goes_on_where_it_stopped(hub: Hub) -> None:
    hub.cut_after = 11_500_000
    try:
        path = real.pull(Hub.repo, "Q4_K_M")
    except ModelError as error:
        assert "goes on where it stopped" in str(error)
        path = real.pull(Hub.repo, "Q4_K_M")
    assert path.read_bytes() == DATA
    starts = [int(r.removeprefix("bytes=").split("-")[0]) for r in hub.ranges]
    assert any(start > 0 for start in starts), "the rest was asked for, not the whole"


def test_a_flipped_bit_is_found_and_the_file_removed(hub: Hub) -> None:
    hub.corrupt = True
    with pytest.raises(ModelError, match="another checksum"):
        real.pull(Hub.repo, "Q4_K_M")
    hub.corrupt = False
    assert real.pull(Hub.repo, "Q4_K_M").read_bytes() == DATA


@pytest.mark.parametrize(
    ("repo", "file", "words"),
    [
        ("maker/none", "x", "no repository maker/none"),
        (Hub.repo, "Q5_K_M", "has no file 'Q5_K_M'. It has:"),
        (Hub.repo, None, "has 2 GGUF files"),
        (Hub.repo, "gguf", "fits 2 files"),
        ("a/b/c/d", "x", "Write it as owner/name"),
    ],
)
def test_what_cannot_be_found_is_said_with_near_names(
    hub: Hub, repo: str, file: str | None, words: str
) -> None:
    with pytest.raises(ModelError) as error:
        real.pull(repo, file)
    assert words in str(error.value)


def test_gated_names_the_token(hub: Hub) -> None:
    hub.gated = True
    with pytest.raises(ModelError, match="HF_TOKEN"):
        real.pull(Hub.repo, "Q4_K_M")


def test_offline_says_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match="Check the network"):
        real.pull(Hub.repo, "Q4_K_M")


def test_a_hub_without_an_address_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "nonsense")
    with pytest.raises(ModelError, match="'nonsense', which is no address"):
        real.pull("a/b", "c.gguf")


def test_a_full_disk_is_seen_before_the_download(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(real, "SPARE_BYTES", 10**18)
    with pytest.raises(ModelError, match="GB are free"):
        real.pull(Hub.repo, "Q4_K_M")
    assert not hub.ranges


def test_cancelling_leaves_something_to_go_on_from(hub: Hub) -> None:
    class Stop(Exception):
        pass

    def stop(done: int, total: int) -> None:
        raise Stop

    with pytest.raises((Stop, ModelError)):
        real.pull(Hub.repo, "Q4_K_M", stop)
    assert real.pull(Hub.repo, "Q4_K_M").read_bytes() == DATA
