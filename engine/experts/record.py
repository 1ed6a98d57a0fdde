"""The file of recorded choices: a header in JSON, then one checked frame for each step.

`HALOEXP1`, then the header's length (u32) and its JSON; then frames: length (u32) and CRC-32 (u32)
of the payload, payload = decoding tokens (u16, 0 for steps with a prompt), for each layer with
experts its tokens (u16), then the ids layer by layer (u8 up to 256 experts, else u16). All little
endian. A file that ends in the middle of a frame is read up to there.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.errors import HaloError
from engine.routing import Experts

MAGIC = b"HALOEXP1"
LARGEST = 1 << 26  # bytes of a header or frame
I32 = npt.NDArray[np.int32]


class RecordError(HaloError):
    """A file of recorded experts that cannot be read."""


@dataclass(frozen=True, slots=True)
class Header:
    """What was recorded."""

    model: str
    n_expert: int
    layers: tuple[int, ...]  # indices of the layers with experts
    used: tuple[int, ...]  # experts a token takes in each of them
    bytes: tuple[int, ...]  # of one expert's weights in each


@dataclass(frozen=True, slots=True)
class Frame:
    """One step: ids[i] is int32 [tokens of layer i, used[i]]."""

    decode: int  # decoding sequences; 0 = the step computed prompts too
    ids: tuple[I32, ...]


def pack_header(header: Header) -> bytes:
    """The beginning of a file."""
    text = json.dumps({name: getattr(header, name) for name in Header.__slots__}).encode()
    return MAGIC + struct.pack("<I", len(text)) + text


def pack_frame(header: Header, frame: Frame) -> bytes:
    """One step."""
    kind = np.uint8 if header.n_expert <= 256 else np.dtype("<u2")
    counts = [len(rows) for rows in frame.ids]
    payload = struct.pack(f"<H{len(counts)}H", frame.decode, *counts)
    payload += b"".join(np.ascontiguousarray(rows, kind).tobytes() for rows in frame.ids)
    return struct.pack("<II", len(payload), zlib.crc32(payload)) + payload


class Recorder:
    """Writes a file as steps come. Raises OSError."""

    def __init__(self, path: Path, experts: Experts, model: str) -> None:
        layers = [int(i) for i in experts.layers]
        self.path = path.expanduser()
        self.header = Header(
            model, experts.n_expert, tuple(layers), tuple(int(experts.used[i]) for i in layers),
            tuple(int(experts.bytes[i]) for i in layers),
        )  # fmt: skip
        self.steps = 0
        self._file = self.path.open("wb")
        self._file.write(pack_header(self.header))

    def step(self, rows: I32, ids: I32, decode: int) -> None:
        """rows [n_layers], ids [n_layers, most, n_used] as `routing.read_ids` gives them."""
        h = self.header
        parts = tuple(
            ids[layer, : min(int(rows[layer]), 65535), :k]
            for layer, k in zip(h.layers, h.used, strict=True)
        )
        self._file.write(pack_frame(h, Frame(decode, parts)))
        self.steps += 1

    def close(self) -> None:
        self._file.close()

    def abandon(self) -> None:
        """Close without caring whether the rest can be written."""
        try:
            self._file.close()
        except OSError:
            pass


def read(path: Path) -> tuple[Header, Iterator[Frame], list[str]]:
    """Header, frames as they are read, and a list that then holds what was wrong at the end.

    Raises RecordError when the beginning is none of ours.
    """
    try:
        data = path.expanduser().read_bytes()
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror}.", "Check the path.") from None
    header, at = _header(path, data)
    faults: list[str] = []
    return header, _frames(header, data, at, faults), faults


def _header(path: Path, data: bytes) -> tuple[Header, int]:
    wrong = RecordError(
        f"{path} is no recording of experts.", "Make one with `halo-tui experts record`."
    )
    if data[:7] == MAGIC[:7] and data[7:8] != MAGIC[7:]:
        raise RecordError(f"{path} has a newer format.", "Update halo-tui.")
    if data[:8] != MAGIC or len(data) < 12:
        raise wrong
    (size,) = struct.unpack_from("<I", data, 8)
    if size > LARGEST or len(data) < 12 + size:
        raise wrong
    try:
        raw: dict[str, Any] = json.loads(data[12 : 12 + size])
        layers, used, sizes = (tuple(map(int, raw[k])) for k in ("layers", "used", "bytes"))
        header = Header(str(raw["model"]), int(raw["n_expert"]), layers, used, sizes)
    except (ValueError, KeyError, TypeError):
        raise wrong from None
    ok = len(layers) == len(used) == len(sizes) and 0 < header.n_expert <= 65536
    if not ok or any(not 0 < k <= header.n_expert for k in used) or min(sizes, default=1) < 0:
        raise wrong
    return header, 12 + size


def _frames(header: Header, data: bytes, at: int, faults: list[str]) -> Iterator[Frame]:
    kind = np.dtype("u1" if header.n_expert <= 256 else "<u2")
    n = len(header.layers)
    while at < len(data):
        if len(data) - at < 8:
            faults.append("the last step is cut off")
            return
        size, crc = struct.unpack_from("<II", data, at)
        payload = data[at + 8 : at + 8 + size]
        if size > LARGEST or len(payload) < size:
            faults.append("the last step is cut off")
            return
        if zlib.crc32(payload) != crc or size < 2 + 2 * n:
            faults.append(f"the step at byte {at:,} is damaged")
            return
        decode, *counts = struct.unpack_from(f"<H{n}H", payload)
        wanted = sum(c * k for c, k in zip(counts, header.used, strict=True))
        flat = np.frombuffer(payload, kind, offset=2 + 2 * n)
        if len(flat) != wanted or (wanted and int(flat.max()) >= header.n_expert):
            faults.append(f"the step at byte {at:,} is damaged")
            return
        ids, start = [], 0
        for count, k in zip(counts, header.used, strict=True):
            ids.append(flat[start : start + count * k].reshape(count, k).astype(np.int32))
            start += count * k
        yield Frame(decode, tuple(ids))
        at += 8 + size
