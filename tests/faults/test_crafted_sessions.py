"""Snapshots made to do harm, with digests that fit: the core refuses them and lives."""

from __future__ import annotations

import io
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from engine import snapshot
from engine.core.archive import BIAS, STATE, _from_npy, _npy
from engine.errors import EngineError
from engine.models import MINI
from tests.support.engine import running

pytestmark = pytest.mark.timeout(120)
HEAD = 16  # of a state: magic, sequence, streams, cells; then position, owners, owner of each cell
TEXT = "Hi, I'm Ada and I work at Halo Labs. " * 6


def claim(shape: tuple[int, ...], dtype: type = np.float32, data: bytes = b"") -> bytes:
    """A NumPy file of which only the header is large."""
    file = io.BytesIO()
    header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + data


def test_biases_that_claim_gigabytes_take_none() -> None:
    good = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    assert (_from_npy(_npy(good)) == good).all()
    nan = np.full((1, 1, 1), np.nan, np.float32)
    bad = [
        claim((1 << 14, 1 << 10, 1 << 10)), claim((2**40, 2**40, 2**40)), claim((-1, -4, 6), data=bytes(96)),
        claim((24,), data=bytes(96)), claim((2, 3, 4), np.float64, bytes(192)),
        claim((2, 3, 4), data=bytes(95)), _npy(nan), b"", b"\x93NUMPY\x01\x00\xff\xff{",
        b"\x93NUMPY\x02\x00" + bytes(40),
    ]  # fmt: skip
    tracemalloc.start()
    for data in bad:
        with pytest.raises(ValueError, match=r".+"):
            _from_npy(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.asyncio
async def test_states_that_lie_leave_the_core_alive(tmp_path: Path) -> None:
    """Counts, positions and owners of cells, types and sizes of rows, biases of other cells."""
    async with running(MINI, tmp_path) as talk:
        await talk.answer("ada", TEXT)
        good = tmp_path / "good.halo"
        await talk.client.save("ada", good, b"{}")
        found = snapshot.read(good)
        parts = {n: bytes(found.part(n)) for n in found.names if ".copy." not in n}
        state = parts[STATE]
        cells = struct.unpack_from("<I", state, HEAD - 4)[0]
        rows = HEAD + 12 * cells  # values transposed, layers, type and size of the keys
        lies = [
            (at, value)
            for at in (8, 12, HEAD, HEAD + 4, HEAD + 12, HEAD + 60, rows, rows + 4, rows + 8, rows + 12)
            for value in (0, 3, 10**6, 2**31, 2**32 - 1)
        ]  # fmt: skip
        made = [{STATE: state[:at] + struct.pack("<I", v) + state[at + 4 :]} for at, v in lies]
        made += [{STATE: state[:size]} for size in (0, 7, HEAD, rows - 3, len(state) - 1)]
        made += [{BIAS: claim((1 << 14, 1 << 10, cells))}]
        made += [{BIAS: _npy(np.ones((1, 1, cells), np.float32))}]
        pid = talk.client.pid
        for number, change in enumerate(made):
            file, name = tmp_path / "bad.halo", f"bad{number}"
            snapshot.write(
                file, {**parts, **change}, fingerprint=found.manifest.fingerprint,
                kv=found.manifest.kv, about=dict(found.manifest.about),
            )  # fmt: skip
            await talk.client.open(name)
            try:
                await talk.client.restore(name, file)
            except EngineError as error:
                assert error.code == "damaged"
            await talk.client.close(name)
            assert talk.client.pid == pid, lies[number : number + 1]
        done = await talk.answer("eve", TEXT, seconds=30)
        assert talk.client.pid == pid and done.tokens
        await talk.client.open("twin")
        assert await talk.client.restore("twin", good) > 50
