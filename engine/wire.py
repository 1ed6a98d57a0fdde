"""Framing: msgspec structs as msgpack bodies, each behind a 4-byte big-endian length."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgspec

from engine.errors import EngineError
from engine.protocol import MAX_FRAME_BYTES

HEADER = struct.Struct(">I")


class WireError(EngineError):
    """The other side sent something that is no frame; the connection cannot go on."""


class FrameWriter:
    """Encodes structs into frames with one reused buffer."""

    def __init__(self, max_bytes: int = MAX_FRAME_BYTES) -> None:
        self._encoder = msgspec.msgpack.Encoder()
        self._max_bytes = max_bytes

    def encode(self, message: msgspec.Struct) -> bytearray:
        """One frame. Raises WireError when the message is larger than a frame may be."""
        frame = bytearray(HEADER.size)
        self._encoder.encode_into(message, frame, HEADER.size)
        size = len(frame) - HEADER.size
        if size > self._max_bytes:
            raise WireError(
                f"A {type(message).__name__} message of {size:,} bytes is more than a frame holds.",
                "Send a shorter conversation.",
            )
        HEADER.pack_into(frame, 0, size)
        return frame


class FrameReader[T]:
    """Cuts a byte stream into frames and decodes each; bytes may arrive in any portions."""

    def __init__(self, kind: type[T], max_bytes: int = MAX_FRAME_BYTES) -> None:
        self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(kind)
        self._buffer = bytearray()
        self._max_bytes = max_bytes

    def feed(self, data: bytes | bytearray | memoryview) -> Iterator[T]:
        """Messages completed by `data`, in order. Raises WireError on what is no frame.

        The iterator must be exhausted before the next call.
        """
        buffer = self._buffer
        buffer += data
        start = 0
        try:
            while len(buffer) - start >= HEADER.size:
                (size,) = HEADER.unpack_from(buffer, start)
                if size > self._max_bytes:
                    raise WireError(f"A frame of {size:,} bytes was announced, which is too large.")
                end = start + HEADER.size + size
                if len(buffer) < end:
                    break
                body = bytes(memoryview(buffer)[start + HEADER.size : end])
                start = end
                try:
                    message = self._decoder.decode(body)
                except msgspec.MsgspecError as error:
                    raise WireError(f"A frame could not be read: {error}.") from error
                yield message
        finally:
            del buffer[:start]

    @property
    def pending(self) -> int:
        """Bytes of a frame that is not complete yet."""
        return len(self._buffer)
