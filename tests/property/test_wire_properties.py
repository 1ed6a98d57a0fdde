"""Frames arrive whole, whatever portions the socket delivers."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter

from hypothesis import given
from hypothesis import strategies as st

from engine.protocol import (
    AnyEvent,
    AnyRequest,
    CacheMap,
    Cancel,
    CellRuns,
    Generate,
    Message,
    Open,
    Sampling,
)
from engine.wire import FrameReader, FrameWriter

messages = st.lists(
    st.one_of(
        st.builds(Open, st.integers(0, 2**40), st.text(max_size=20)),
        st.builds(Cancel, st.integers(0, 9), st.text(max_size=5)),
        st.builds(
            Generate,
            st.integers(0, 9),
            st.text(max_size=5),
            st.lists(
                st.builds(Message, st.sampled_from(["user", "assistant"]), st.text(max_size=300)),
                max_size=4,
            ).map(tuple),
            st.builds(Sampling, temperature=st.floats(0, 2), stop=st.just(("x",))),
        ),
    ),
    max_size=8,
)


@given(messages, st.lists(st.integers(0, 50), max_size=100))
def test_any_portions(sent: list[AnyRequest], sizes: list[int]) -> None:
    writer = FrameWriter()
    stream = b"".join(writer.encode(message) for message in sent)
    reader: FrameReader[AnyRequest] = FrameReader(AnyRequest)  # type: ignore[arg-type]
    received: list[AnyRequest] = []
    at = 0
    for size in [*sizes, len(stream)]:
        received += reader.feed(stream[at : at + size])
        at = min(at + size, len(stream))
    assert received == sent
    assert reader.pending == 0


@given(st.lists(st.tuples(st.sampled_from(["", "*", "~", "ada", "é"]), st.integers(1, 70_000))))
def test_runs_of_cells_arrive_as_they_were(runs: list[tuple[str, int]]) -> None:
    sent = CacheMap(9, 0, 0, 0, 0, {}, CellRuns.of(*runs))
    reader: FrameReader[AnyEvent] = FrameReader(AnyEvent)  # type: ignore[arg-type]
    (received,) = reader.feed(FrameWriter().encode(sent))
    assert isinstance(received, CacheMap)
    merged = list(received.runs)
    assert merged == [
        (owner, sum(n for _, n in same)) for owner, same in groupby(runs, key=itemgetter(0))
    ]
