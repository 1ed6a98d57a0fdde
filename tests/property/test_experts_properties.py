"""The file of recorded experts, and the caches that are simulated on it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.experts import record
from engine.experts.record import Frame, Header, RecordError, pack_frame, pack_header
from engine.experts.simulate import belady, ema, lru, reuse_distances

ACCESSES = st.lists(st.integers(0, 12), max_size=200)


@st.composite
def recordings(draw: st.DrawFn) -> tuple[Header, list[Frame]]:
    n_expert = draw(st.sampled_from([4, 256, 257, 1000]))
    layers = draw(st.integers(1, 3))
    used = tuple(draw(st.integers(1, 4)) for _ in range(layers))
    header = Header("m ü", n_expert, tuple(range(1, layers + 1)), used, (7,) * layers)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    frames = [
        Frame(
            draw(st.integers(0, 5)),
            tuple(rng.integers(0, n_expert, (draw(st.integers(0, 5)), k), np.int32) for k in used),
        )
        for _ in range(draw(st.integers(0, 6)))
    ]
    return header, frames


def write(data: bytes) -> Path:
    with tempfile.NamedTemporaryFile(suffix=".experts", delete=False) as file:
        file.write(data)
    return Path(file.name)


def read_all(path: Path) -> tuple[Header, list[Frame], list[str]]:
    try:
        header, frames, faults = record.read(path)
        return header, list(frames), faults
    finally:
        path.unlink()


@given(recordings())
@settings(max_examples=50, deadline=None)
def test_what_is_written_is_read(recording: tuple[Header, list[Frame]]) -> None:
    header, frames = recording
    data = pack_header(header) + b"".join(pack_frame(header, f) for f in frames)
    found, back, faults = read_all(write(data))
    assert found == header and not faults and len(back) == len(frames)
    for one, other in zip(frames, back, strict=True):
        assert one.decode == other.decode
        assert all(np.array_equal(a, b) for a, b in zip(one.ids, other.ids, strict=True))


@given(recordings(), st.data())
@settings(max_examples=80, deadline=None)
def test_a_damaged_file_gives_what_is_whole_or_one_sentence(
    recording: tuple[Header, list[Frame]], data: st.DataObject
) -> None:
    header, frames = recording
    whole = bytearray(pack_header(header) + b"".join(pack_frame(header, f) for f in frames))
    at = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        del whole[at:]
    else:
        whole[at] ^= data.draw(st.integers(1, 255))
    try:
        _, back, _ = read_all(write(bytes(whole)))
    except RecordError as error:
        assert error.remedy
    else:
        assert len(back) <= len(frames)


@given(ACCESSES, st.integers(1, 14))
def test_nothing_beats_belady_and_a_larger_lru_is_never_worse(
    accesses: list[int], size: int
) -> None:
    best = belady(accesses, size)
    assert lru(accesses, size) <= best and ema(accesses, size) <= best
    assert lru(accesses, size) <= lru(accesses, size + 1)
    assert best <= len(accesses) - len(set(accesses))


@given(ACCESSES)
def test_a_cache_of_all_misses_each_expert_once(accesses: list[int]) -> None:
    for hits in (lru, ema, belady):
        assert hits(accesses, 13) == len(accesses) - len(set(accesses))


@given(ACCESSES, st.integers(1, 13))
def test_reuse_distances_are_what_an_lru_hits(accesses: list[int], size: int) -> None:
    assert sum(d < size for d in reuse_distances(accesses)) == lru(accesses, size)


def test_ema_lives_through_long_runs() -> None:
    assert ema([0, 1] * 30_000, 2) == 60_000 - 2
