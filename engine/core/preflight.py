"""What can be known about a GGUF file before llama.cpp touches it: is it whole, will it fit."""

from __future__ import annotations

import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import psutil

from engine.errors import ModelError

# Bytes of one element of a cache row, by the names of [engine] type_k and type_v.
CACHE_TYPE_BYTES = {
    "f32": 4.0, "f16": 2.0, "bf16": 2.0, "q8_0": 34 / 32, "q5_1": 24 / 32, "q5_0": 22 / 32,
    "q4_1": 20 / 32, "q4_0": 18 / 32, "iq4_nl": 18 / 32,
}  # fmt: skip

_SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
_STRING, _ARRAY = 8, 9
_LONG_ARRAY = 1024  # vocabularies are stepped over, not kept
_SPLIT = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")


@dataclass(frozen=True, slots=True)
class Header:
    """Metadata of a GGUF file; long arrays are left out."""

    path: Path
    values: dict[str, Any]
    tensors: int
    bytes_on_disk: int  # of all parts, when the model is split
    tensors_at: int = 0  # offset of the tensor table in the file

    @property
    def architecture(self) -> str:
        return str(self.values.get("general.architecture", ""))

    def number(self, key: str, default: int = 0) -> int:
        """`<architecture>.<key>` as a number; of a per-layer list, its largest."""
        value = self.values.get(f"{self.architecture}.{key}", default)
        return int(max(value)) if isinstance(value, list) and value else int(value or 0)

    def kv_bytes_per_cell(self, type_k: str, type_v: str) -> int:
        """Bytes one token takes in the attention cache, all layers together."""
        layers = self.number("block_count")
        heads = self.values.get(f"{self.architecture}.attention.head_count_kv")
        if heads is None:
            heads = self.number("attention.head_count")
        per_layer = heads if isinstance(heads, list) else [int(heads)] * layers
        head_size = self.number("embedding_length") // max(1, self.number("attention.head_count"))
        key = self.number("attention.key_length", head_size)
        value = self.number("attention.value_length", head_size)
        row = key * CACHE_TYPE_BYTES[type_k] + value * CACHE_TYPE_BYTES[type_v]
        return int(sum(per_layer) * row)


class _Truncated(Exception):
    pass


def _read(file: BinaryIO, form: str) -> Any:
    size = struct.calcsize("<" + form)
    data = file.read(size)
    if len(data) < size:
        raise _Truncated
    return struct.unpack("<" + form, data)[0]


def _read_string(file: BinaryIO, limit: int) -> str:
    size = _read(file, "Q")
    if size > limit:
        raise _Truncated
    data = file.read(size)
    if len(data) < size:
        raise _Truncated
    return data.decode("utf-8", "replace")


def _read_value(file: BinaryIO, kind: int, limit: int) -> Any:
    if kind in _SCALARS:
        return _read(file, _SCALARS[kind])
    if kind == _STRING:
        return _read_string(file, limit)
    if kind != _ARRAY:
        raise _Truncated
    of, count = _read(file, "I"), _read(file, "Q")
    if of in _SCALARS:
        size = struct.calcsize("<" + _SCALARS[of])
        if count * size > limit:
            raise _Truncated
        if count > _LONG_ARRAY:
            file.seek(count * size, os.SEEK_CUR)
            return None
        return [_read(file, _SCALARS[of]) for _ in range(count)]
    if of == _STRING:
        keep = count <= _LONG_ARRAY
        values = []
        for _ in range(count):
            if keep:
                values.append(_read_string(file, limit))
            else:
                size = _read(file, "Q")
                if size > limit:
                    raise _Truncated
                file.seek(size, os.SEEK_CUR)
        return values if keep else None
    raise _Truncated


def read_header(path: Path) -> Header:
    """Read the metadata of a GGUF file. Raises ModelError when it is missing or is none."""
    if not path.exists():
        raise ModelError(
            f"There is no model file {path}.",
            'Set model.path to a GGUF file, or to "" for the model that ships.',
        )
    if path.is_dir():
        raise ModelError(f"{path} is a folder.", "Set model.path to a GGUF file in it.")
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            magic = file.read(4)
            if magic != b"GGUF":
                what = "is empty" if not magic else "is not a GGUF file"
                raise ModelError(f"{path} {what}.", "Download it again, or choose another file.")
            version = _read(file, "I")
            if version not in (2, 3):
                raise ModelError(
                    f"{path} has GGUF version {version}, which this build cannot read.",
                    "Convert the model again with a current llama.cpp.",
                )
            tensors, count = _read(file, "Q"), _read(file, "Q")
            values: dict[str, Any] = {}
            for _ in range(count):
                key = _read_string(file, size)
                values[key] = _read_value(file, _read(file, "I"), size)
                if file.tell() > size:
                    raise _Truncated
            tensors_at = file.tell()
    except _Truncated:
        raise ModelError(
            f"{path} is damaged: its metadata ends early.", "Download it again."
        ) from None
    except OSError as error:
        raise ModelError(
            f"{path} cannot be read: {error.strerror or error}.", "Check its permissions."
        ) from None
    on_disk = sum(part.stat().st_size for part in parts_of(path))
    return Header(path, values, tensors, on_disk, tensors_at)


def read_tensor_table(header: Header) -> list[tuple[str, int, int]]:
    """(name, elements, ggml type number) of every tensor. Raises ModelError when it ends early."""
    limit = header.path.stat().st_size
    table = []
    try:
        with header.path.open("rb") as file:
            file.seek(header.tensors_at)
            for _ in range(header.tensors):
                name = _read_string(file, limit)
                dimensions = _read(file, "I")
                if dimensions > 8:
                    raise _Truncated
                elements = 1
                for _ in range(dimensions):
                    elements *= _read(file, "Q")
                kind = _read(file, "I")
                _read(file, "Q")
                table.append((name, elements, kind))
    except _Truncated:
        raise ModelError(
            f"{header.path} is damaged: its tensor table ends early.", "Download it again."
        ) from None
    return table


def parts_of(path: Path) -> list[Path]:
    """All files of a split model, which llama.cpp loads by the name of the first."""
    match = _SPLIT.search(path.name)
    if match is None:
        return [path]
    stem, count = path.name[: match.start()], int(match.group(2))
    parts = [path.with_name(f"{stem}-{i + 1:05d}-of-{count:05d}.gguf") for i in range(count)]
    missing = [part.name for part in parts if not part.exists()]
    if missing:
        raise ModelError(
            f"The model has {count} parts and {missing[0]} is missing.",
            "Put all parts into one folder.",
        )
    if int(match.group(1)) != 1:
        raise ModelError(
            f"{path.name} is not the first part of its model.",
            f"Set model.path to {parts[0].name}.",
        )
    return parts


def available_bytes() -> int:
    """Memory this process may still use: the machine's, or the container's if that is less."""
    available = int(psutil.virtual_memory().available)
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        if limit != "max":
            used = int(Path("/sys/fs/cgroup/memory.current").read_text())
            statistics = Path("/sys/fs/cgroup/memory.stat").read_text()
            cached = re.search(r"^inactive_file (\d+)$", statistics, re.MULTILINE)
            used -= int(cached.group(1)) if cached else 0
            available = min(available, int(limit) - used)
    except (OSError, ValueError):
        pass  # no cgroup v2, or not ours to read
    return available


def check_memory(header: Header, n_ctx: int, kv_per_cell: int, available: int) -> None:
    """Raise ModelError when weights and cells together cannot fit; an estimate, slightly low."""
    cells = n_ctx * kv_per_cell
    needed = header.bytes_on_disk + cells
    if needed <= available:
        return
    fits = (available - header.bytes_on_disk) // max(1, kv_per_cell)
    if fits >= 1024:
        remedy = f"Set engine.n_ctx to {fits // 256 * 256:,} or less, or type_k and type_v to q8_0."
    else:
        remedy = "Choose a smaller model or a stronger quantisation."
    raise ModelError(
        f"{header.path.name} needs about {_size(needed)} of memory "
        f"({_size(header.bytes_on_disk)} weights, {_size(cells)} for {n_ctx:,} cells) "
        f"and {_size(max(available, 0))} are free.",
        remedy,
    )


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{max(1, count // 2**20)} MiB"
