"""What goes into a snapshot comes out, or a sentence does; the conversation survives damage."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.snapshot import SnapshotError, peek, read, salvage, verify, write
from engine.snapshot.container import header_size, place
from engine.snapshot.source import Source
from tests.support.snapshots import TALK_BYTES, TOKENS_BYTES, make, parts

names = st.from_regex(r"[a-z0-9_][a-z0-9_.-]{0,63}", fullmatch=True).filter(
    lambda name: not name.startswith(("manifest.json", "talk.", "tokens."))
)
scalars = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.none(),
)


def read_all(path: Path) -> dict[str, bytes]:
    with read(path) as snapshot:
        return {name: bytes(snapshot.part(name)) for name in snapshot.names}


def conversation(path: Path) -> tuple[bytes | None, bytes | None]:
    with salvage(path) as salvaged:
        return salvaged.talk, salvaged.tokens


@settings(max_examples=40, deadline=None)
@given(
    st.binary(max_size=300),
    st.binary(max_size=300),
    st.dictionaries(names, st.lists(st.binary(max_size=2000), max_size=4), max_size=5),
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=9), scalars),
    st.booleans(),
)
def test_roundtrip(
    talk: bytes,
    tokens: bytes,
    others: dict[str, list[bytes]],
    about: dict[str, str | int | float | bool | None],
    compress: bool,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.halo"
        given_parts = {"talk.json": talk, "tokens.json": tokens}
        written = write(
            path,
            {**others, **given_parts},
            fingerprint="",
            kv={},
            about=about,
            compress=compress,
        )
        assert peek(path) == written and written.about == about
        expected = {**given_parts, **{name: b"".join(data) for name, data in others.items()}}
        expected |= {"talk.copy.json": talk, "tokens.copy.json": tokens}
        assert read_all(path) == expected
        assert list(read_all(path))[:2] == ["talk.json", "tokens.json"]
        assert verify(path).ok
        with salvage(path) as salvaged:
            assert (salvaged.talk, salvaged.tokens, salvaged.lost) == (talk, tokens, ())


@pytest.mark.parametrize("compress", [False, True])
def test_every_flipped_byte(tmp_path: Path, compress: bool) -> None:
    """Each byte in turn, another bit each time: found by `verify`, survived by the conversation."""
    path = tmp_path / "a.halo"
    data = make(path, compress=compress, size=300)
    truth = read_all(path)
    for at in range(0, len(data), 3 if compress else 1):
        flipped = bytearray(data)
        flipped[at] ^= 1 << at % 8
        path.write_bytes(flipped)
        assert conversation(path) == (TALK_BYTES, TOKENS_BYTES), at
        try:
            assert not verify(path).ok, at
        except SnapshotError:
            continue  # the flip made it another kind of file
        try:
            found = read_all(path)
        except SnapshotError:
            continue
        assert found == truth, at  # the flip is in a date or another thing that nobody reads


@pytest.mark.parametrize("compress", [False, True])
def test_every_cut(tmp_path: Path, compress: bool) -> None:
    path = tmp_path / "a.halo"
    data = make(path, compress=compress, size=300)
    with Source(path) as source:
        manifest, size = source.manifest()
    places, _ = place(manifest, size)
    info = manifest.part("tokens.json")
    assert info is not None
    safe = places["tokens.json"] + header_size("tokens.json") + info.stored
    borders = {at + n for at in (*places.values(), safe, size, len(data)) for n in (-1, 0, 1)}
    for cut in sorted(borders.union(range(0, len(data), 7)) - {len(data), len(data) + 1}):
        path.write_bytes(data[:cut])
        with pytest.raises(SnapshotError):
            read(path)
        if cut >= safe:
            assert conversation(path) == (TALK_BYTES, TOKENS_BYTES), cut
            report = verify(path)
            states = {finding.name: finding.state for finding in report.findings}
            assert not report.ok and states["talk.json"] == states["tokens.json"] == "ok"


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_damage_gives_a_sentence(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.halo"
        whole = make(path, compress=data.draw(st.booleans()))
        a, b = sorted(data.draw(st.tuples(*[st.integers(0, len(whole))] * 2)))
        path.write_bytes(whole[:a] + data.draw(st.binary(max_size=50)) + whole[b:])
        changed = path.read_bytes() != whole
        for reader in (peek, read_all, verify, conversation):
            try:
                reader(path)
            except SnapshotError as error:
                assert changed and error.what.endswith(".")


def test_lost_directory(tmp_path: Path) -> None:
    """Without manifest and directory the headers alone lead to the conversation."""
    path = tmp_path / "a.halo"
    data = make(path)
    end = data.index(b"PK\x01\x02")
    header = header_size("manifest.json")
    path.write_bytes(bytes(header) + data[header:end])
    assert conversation(path) == (TALK_BYTES, TOKENS_BYTES)
    path.write_bytes(bytes(777) + data[header:end])  # nothing stands where it stood
    assert conversation(path) == (TALK_BYTES, TOKENS_BYTES)


def test_damage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.halo"
    data = make(path)
    at = data.index(parts()["state.bin"])
    path.write_bytes(data[: at + 5] + b"?" + data[at + 6 :])
    with read(path) as snapshot:
        assert snapshot.talk == TALK_BYTES
        with pytest.raises(SnapshotError, match=r"damaged in state\.bin") as caught:
            snapshot.part("state.bin")
    assert caught.value.part == "state.bin"
    with salvage(path) as salvaged:
        assert salvaged.lost == ("state.bin",)
        assert bytes(salvaged.part("bias.npy")) == parts()["bias.npy"]
