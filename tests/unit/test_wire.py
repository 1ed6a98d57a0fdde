"""Frames that are no frames."""

from __future__ import annotations

import pytest

from engine.errors import EngineError
from engine.protocol import AnyEvent, AnyRequest, Deltas, Open, State
from engine.wire import HEADER, FrameReader, FrameWriter, WireError


def reader(max_bytes: int = 1000) -> FrameReader[AnyRequest]:
    return FrameReader(AnyRequest, max_bytes)  # type: ignore[arg-type]


def test_a_frame_is_its_length_and_its_body() -> None:
    frame = FrameWriter().encode(Open(7, "ada"))
    assert HEADER.unpack_from(frame)[0] == len(frame) - 4
    assert list(reader().feed(frame)) == [Open(7, "ada")]


def test_an_oversized_frame_is_refused_before_it_arrives() -> None:
    with pytest.raises(WireError, match="too large"):
        list(reader(max_bytes=10).feed(HEADER.pack(11)))


def test_an_oversized_message_is_not_sent() -> None:
    with pytest.raises(WireError, match="Open"):
        FrameWriter(max_bytes=10).encode(Open(1, "x" * 20))


@pytest.mark.parametrize(
    "body", [b"", b"\xc1", b"\x81\xa1t\xa4nope", FrameWriter().encode(State("a", "idle"))[4:]]
)
def test_what_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(EngineError, match="could not be read"):
        list(reader().feed(HEADER.pack(len(body)) + body))


def test_good_frames_before_a_bad_one_are_delivered() -> None:
    stream = FrameWriter().encode(Open(1, "a")) + HEADER.pack(1) + b"\xc1"
    received = []
    with pytest.raises(WireError):
        for message in reader().feed(stream):
            received.append(message)
    assert received == [Open(1, "a")]


def test_requests_and_events_are_told_apart_by_their_tags() -> None:
    events: FrameReader[AnyEvent] = FrameReader(AnyEvent)  # type: ignore[arg-type]
    assert list(events.feed(FrameWriter().encode(Deltas(())))) == [Deltas(())]
