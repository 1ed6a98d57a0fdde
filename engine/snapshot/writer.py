"""Writing a snapshot: streamed into a file beside, forced to the disk, then renamed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
import zipfile
from collections.abc import Buffer, Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, cast
from zlib import crc32

import msgspec

from engine.snapshot import temporary
from engine.snapshot.coding import STEP, pack
from engine.snapshot.container import COMMENT, COMMENT_LENGTH, DIGEST_SIZE, header_size
from engine.snapshot.errors import SnapshotError, not_written
from engine.snapshot.manifest import (
    COPIES,
    MANIFEST,
    MAX_MANIFEST,
    MAX_PARTS,
    MAX_SIZE,
    NONE,
    TALK,
    TOKENS,
    ZSTD,
    Manifest,
    PartInfo,
    Scalar,
    check_name,
)

Content = Buffer | Iterable[Buffer]


def write(
    path: Path,
    parts: Mapping[str, Content],
    *,
    fingerprint: str,
    kv: Mapping[str, Scalar],
    about: Mapping[str, Scalar],
    saved_at: float | None = None,
    compress: bool = False,
) -> Manifest:
    """Save a snapshot; afterwards `path` is the whole new file, or what it was before.

    `parts` must hold talk.json and tokens.json as bytes; the others follow in the order given, as
    buffers or as iterables of buffers, and are never held twice in memory. With `compress` those
    others are packed with zstd; the conversation stays readable with unzip. `saved_at` is in
    seconds since 1970, None for now.

    Raises SnapshotError when the disk is full, the folder may not be written, or a part has a
    wrong name. What an iterable raises passes through, with nothing left behind.
    """
    path = Path(path)
    order = _order(parts)
    manifest = Manifest(
        app=_version(),
        saved_at=time.time() if saved_at is None else saved_at,
        fingerprint=fingerprint,
        kv=dict(kv),
        about=dict(about),
        parts=tuple(PartInfo(name, MAX_SIZE, MAX_SIZE, NONE, "0" * 64) for name, _ in order),
    )
    room = len(_encode(manifest))
    try:
        fd, beside = temporary.create(path)
    except (OSError, ValueError) as error:
        raise not_written(path, _os_error(error)) from None
    try:
        try:
            _write(fd, manifest, room, order, compress)
            os.fsync(fd)
            os.replace(beside, path)
        finally:
            os.close(fd)
    except OSError as error:
        _remove(beside)
        raise not_written(path, error) from None
    except BaseException:
        _remove(beside)
        raise
    _sync_folder(path.parent)
    return manifest


def _order(parts: Mapping[str, Content]) -> list[tuple[str, Content]]:
    """The parts as they stand in the file."""
    for name in parts:
        if not isinstance(name, str) or not check_name(name):
            raise SnapshotError(f"A part of a snapshot cannot have the name {name!r}.")
        if name == MANIFEST or name in COPIES.values():
            raise SnapshotError(f"The name {name} is taken: halo-tui writes this part itself.")
    for name in (TALK, TOKENS):
        if not isinstance(parts.get(name), Buffer):
            raise SnapshotError(f"A snapshot needs {name}, as bytes.")
    first = [(name, parts[name]) for name in (TALK, TOKENS)]
    others = [(name, content) for name, content in parts.items() if name not in COPIES]
    copies: list[tuple[str, Content]] = [(COPIES[name], content) for name, content in first]
    if len(parts) + len(copies) > MAX_PARTS:
        raise SnapshotError(f"A snapshot has {MAX_PARTS - len(copies)} parts at most.")
    return [*first, *others, *copies]


def _write(
    fd: int, manifest: Manifest, room: int, order: list[tuple[str, Content]], compress: bool
) -> None:
    """Write the file and complete the manifest, for which `room` bytes are kept at the start.

    It stands first, but its digests are known at the end. Raises OSError.
    """
    saved_at = manifest.saved_at
    file = _File(fd)
    archive = zipfile.ZipFile(cast(IO[bytes], file), "w", zipfile.ZIP_STORED)
    try:
        head = _entry(archive, MANIFEST, saved_at, iter([memoryview(bytes(room))]))
        packed = {name for name, _ in order if compress and name not in COPIES} - set(
            COPIES.values()
        )
        manifest.parts = tuple(
            _part(archive, name, content, saved_at, name in packed) for name, content in order
        )
        final = _encode(manifest).ljust(room)
        head.CRC = crc32(final)
        file.seek(0)
        file.write(head.FileHeader(zip64=True))
        assert file.tell() == header_size(MANIFEST)
        file.write(final)
        archive.comment = bytes(COMMENT_LENGTH)
        archive.close()
    finally:
        # After a failure zipfile would still write its directory when it is collected.
        file.deaf = True
        with contextlib.suppress(Exception):
            archive.close()
    _sign(fd)


def _encode(manifest: Manifest) -> bytes:
    try:
        data = msgspec.json.encode(manifest)
        msgspec.json.decode(data, type=Manifest)  # what is written can be read
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError) as error:
        raise SnapshotError(f"The facts about this session cannot be saved: {error}.") from None
    if len(data) > MAX_MANIFEST:
        raise SnapshotError("The facts about this session are too long to be saved.")
    return data


def _part(
    archive: zipfile.ZipFile, name: str, content: Content, saved_at: float, packed: bool
) -> PartInfo:
    digest = hashlib.blake2b(digest_size=DIGEST_SIZE)
    raw = 0

    def hashed() -> Iterator[memoryview]:
        nonlocal raw
        for piece in _pieces(content):
            raw += len(piece)
            digest.update(piece)
            yield piece

    info = _entry(archive, name, saved_at, pack(hashed()) if packed else hashed())
    return PartInfo(name, raw, info.file_size, ZSTD if packed else NONE, digest.hexdigest())


def _pieces(content: Content) -> Iterator[memoryview]:
    """The bytes of a part, STEP at a time, without copies of contiguous buffers."""
    for buffer in [content] if isinstance(content, Buffer) else content:
        view = memoryview(buffer)
        if not view.nbytes:
            continue
        if not view.c_contiguous:
            view = memoryview(view.tobytes())
        view = view.cast("B")
        for at in range(0, len(view), STEP):
            yield view[at : at + STEP]


def _entry(
    archive: zipfile.ZipFile, name: str, saved_at: float, pieces: Iterator[memoryview]
) -> zipfile.ZipInfo:
    when = time.gmtime(min(max(saved_at, 315532800.0), 4354819198.0))  # what ZIP can express
    info = zipfile.ZipInfo(name, when[:6])
    info.create_system = 3  # Unix, whatever this machine is
    with archive.open(info, "w", force_zip64=True) as out:
        for piece in pieces:
            out.write(piece)
    return info


def _sign(fd: int) -> None:
    """Put the digest of everything before the comment into the comment."""
    end = os.fstat(fd).st_size - COMMENT_LENGTH
    digest = hashlib.blake2b(digest_size=DIGEST_SIZE)
    at = 0
    while at < end:
        data = os.pread(fd, min(STEP, end - at), at)
        if not data:
            raise OSError("the file was cut while it was written")
        digest.update(data)
        at += len(data)
    file = _File(fd)
    file.seek(end)
    file.write(COMMENT + digest.hexdigest().encode())


class _File:
    """The little that zipfile needs of a file, without short writes and without buffers."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.deaf = False
        self.at = 0

    def write(self, data: Buffer) -> int:
        """Write all of it. Raises OSError."""
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view) and not self.deaf:
            done += os.write(self.fd, view[done:])
        self.at += len(view)
        return len(view)

    def tell(self) -> int:
        """The offset of the next write."""
        return self.at

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to an offset from the start."""
        self.at = offset if whence else os.lseek(self.fd, offset, 0) if not self.deaf else offset
        return self.at

    def flush(self) -> None:
        """Nothing is held back."""

    def seekable(self) -> bool:
        """Yes: zipfile then puts sizes into the headers."""
        return True

    def readable(self) -> bool:
        """No."""
        return False


@cache
def _version() -> str:
    try:
        return version("halo-tui")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return ""


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _sync_folder(folder: Path) -> None:
    """Make the rename last; the file is whole already, so a refusal is not worth an error."""
    with contextlib.suppress(OSError):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _os_error(error: OSError | ValueError) -> OSError:
    return error if isinstance(error, OSError) else OSError(0, str(error))
