"""An open snapshot: bytes by offset and parts by name, each checked before it is handed out."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Self
from zlib import crc32

from engine.snapshot.coding import STEP, Undecodable, unpack
from engine.snapshot.container import (
    COMMENT,
    COMMENT_LENGTH,
    DIGEST_SIZE,
    MAX_LOCAL,
    Malformed,
    manifest_entry,
)
from engine.snapshot.errors import SnapshotError, damaged, not_read
from engine.snapshot.manifest import MANIFEST, ZSTD, Manifest, PartInfo, decode

_AT_ONCE = 1 << 30  # bytes; the system reads less than 2 GiB in one call


class Source:
    """A file read by offset. A later save replaces the name, not what is open here.

    Reading, not mapping: a bad disk then gives an error instead of killing the process.
    """

    def __init__(self, path: Path) -> None:
        """Raises SnapshotError when the file cannot be opened or is not a plain file."""
        self.path = Path(path)
        self._fd = -1
        try:
            self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            found = os.fstat(self._fd)
        except FileNotFoundError:
            raise SnapshotError(f"There is no snapshot {self.path}.") from None
        except (OSError, ValueError) as error:
            self.close()
            raise not_read(
                self.path, error if isinstance(error, OSError) else OSError(0, str(error))
            ) from None
        if not stat.S_ISREG(found.st_mode):
            self.close()
            raise SnapshotError(f"{self.path} is not a halo-tui snapshot: it is not a plain file.")
        self.size = found.st_size  # bytes

    def close(self) -> None:
        """Give the file back; parts handed out stay valid."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def fill(self, offset: int, target: memoryview) -> None:
        """Read exactly len(target) bytes. Raises SnapshotError when there are fewer."""
        done = 0
        while done < len(target):
            try:
                count = os.preadv(self._fd, [target[done : done + STEP]], offset + done)
            except OSError as error:
                raise not_read(self.path, error) from None
            if not count:
                raise SnapshotError(f"The snapshot {self.path} ends early.")
            done += count

    def bytes_at(self, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset`; fewer at the end of the file."""
        size = max(0, min(size, self.size - offset))
        try:
            data = os.pread(self._fd, size, offset)
        except OSError as error:
            raise not_read(self.path, error) from None
        if len(data) != size:
            raise SnapshotError(f"The snapshot {self.path} ends early.")
        return data

    def pieces(self, offset: int, size: int) -> Iterator[memoryview]:
        """`size` bytes from `offset`, in one buffer that is used again for each piece."""
        buffer = memoryview(bytearray(min(size, STEP)))
        done = 0
        while done < size:
            piece = buffer[: min(size - done, STEP)]
            self.fill(offset + done, piece)
            yield piece.toreadonly()
            done += len(piece)

    def inside(self, offset: int, size: int) -> bool:
        """Whether this stretch lies in the file."""
        return offset >= 0 and size >= 0 and offset + size <= self.size

    def crc(self, offset: int, size: int) -> int:
        """The CRC-32 that ZIP uses."""
        value = 0
        for piece in self.pieces(offset, size):
            value = crc32(piece, value)
        return value

    def whole(self) -> bool:
        """Whether the digest in the archive comment is that of everything before it."""
        end = self.size - COMMENT_LENGTH
        if end < 0:
            return False
        digest = hashlib.blake2b(digest_size=DIGEST_SIZE)
        for piece in self.pieces(0, end):
            digest.update(piece)
        return self.bytes_at(end, COMMENT_LENGTH) == COMMENT + digest.hexdigest().encode()

    def manifest(self) -> tuple[Manifest, int]:
        """The manifest and its size in the file, checked. Raises SnapshotError."""
        try:
            entry = manifest_entry(self.bytes_at(0, MAX_LOCAL))
        except Malformed as error:
            raise damaged(self.path, MANIFEST, str(error)) from None
        if entry is None:
            raise SnapshotError(f"{self.path} is not a halo-tui snapshot.")
        data = self.bytes_at(entry.at, entry.size)
        if len(data) != entry.size or crc32(data) != entry.crc:
            raise damaged(self.path, MANIFEST, "its checksum is wrong")
        return decode(data, self.path), entry.size

    def load(self, info: PartInfo, at: int) -> bytes | bytearray:
        """The raw bytes of a part stored at offset `at`, held once. Raises SnapshotError."""
        if not self.inside(at, info.stored):
            raise damaged(self.path, info.name, "the file ends before it does")
        if info.coding != ZSTD and info.stored <= _AT_ONCE:
            whole = self.bytes_at(at, info.stored)
            if hashlib.blake2b(whole, digest_size=DIGEST_SIZE).hexdigest() != info.blake2b:
                raise damaged(self.path, info.name, "its digest is wrong")
            return whole
        data = bytearray(info.raw)  # bounded by the file and `limit`, see manifest.decode
        view = memoryview(data)
        digest = hashlib.blake2b(digest_size=DIGEST_SIZE)
        done = 0
        for piece in self._decoded(info, at):
            view[done : done + len(piece)] = piece
            digest.update(piece)
            done += len(piece)
        if done != info.raw or digest.hexdigest() != info.blake2b:
            raise damaged(self.path, info.name, "its digest is wrong")
        return data

    def check(self, info: PartInfo, at: int) -> None:
        """Like `load`, in little memory. Raises SnapshotError."""
        if not self.inside(at, info.stored):
            raise damaged(self.path, info.name, "the file ends before it does")
        digest = hashlib.blake2b(digest_size=DIGEST_SIZE)
        for piece in self._decoded(info, at):
            digest.update(piece)
        if digest.hexdigest() != info.blake2b:
            raise damaged(self.path, info.name, "its digest is wrong")

    def _decoded(self, info: PartInfo, at: int) -> Iterator[bytes | memoryview]:
        stored = self.pieces(at, info.stored)
        if info.coding != ZSTD:
            yield from stored
            return
        try:
            yield from unpack(stored, info.raw)
        except Undecodable as error:
            raise damaged(self.path, info.name, str(error)) from None
