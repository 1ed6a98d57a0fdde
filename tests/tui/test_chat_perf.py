"""What must not grow with the length of a conversation. Ratios only: machines differ."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from textual import events

from tests.support.chat_app import Chat, chat, conversation, history, turn
from tui.widgets.chat.layout import lay_out
from tui.widgets.chat.markdown import Document

pytestmark = pytest.mark.asyncio


async def best_of(times: int, act: Callable[[], Awaitable[None]]) -> float:
    """This thread's seconds in the cheapest of several runs: waiting and other work do not count."""
    best = float("inf")
    for _ in range(times):
        gc.collect()
        started = time.thread_time()
        await act()
        best = min(best, time.thread_time() - started)
    return best


async def measured(path: Path, count: int, act: Callable[[Chat], Awaitable[None]]) -> float:
    async with chat(path, conversation, (120, 40), history(count)) as room:
        return await best_of(4, lambda: act(room))


async def focus_change(room: Chat) -> None:
    for _ in range(4):
        room.app.post_message(events.AppBlur())
        await room.pilot.pause()
        room.app.post_message(events.AppFocus())
        await room.pilot.pause()


async def append(room: Chat) -> None:
    for number in range(10):
        new = turn("assistant", f"Answer {number} with **bold** and `code`.", 10_000 + number)
        room.agent().turns.append(new)
        room.transcript.append(new)
        await room.pilot.pause()


async def stream(room: Chat) -> None:
    last = room.transcript.views[-1].turn
    for _ in range(10):
        last.text += "more words of text and more "
        room.transcript.changed()
        await room.pilot.pause()


@pytest.mark.parametrize("act", [focus_change, append, stream])
@pytest.mark.parametrize(
    ("many", "few"), [(100, 10), pytest.param(1000, 10, marks=pytest.mark.slow)]
)
async def test_long_conversations_are_as_fast_as_short_ones(
    tmp_path: Path, act: Callable[[Chat], Awaitable[None]], many: int, few: int
) -> None:
    short = await measured(tmp_path / "short", few, act)
    long = await measured(tmp_path / "long", many, act)
    print(
        f"\n{act.__name__}: {few} messages {short * 1e3:.1f} ms, {many} {long * 1e3:.1f} ms, "
        f"ratio {long / short:.2f}"
    )
    assert long <= 2 * short


async def test_the_number_of_widgets_does_not_grow(tmp_path: Path) -> None:
    async with chat(tmp_path / "a", conversation, (120, 40), history(10)) as room:
        few = len(room.app.query("*"))
    async with chat(tmp_path / "b", conversation, (120, 40), history(1000)) as room:
        assert len(room.app.query("*")) == few


async def grown(path: Path, window: int) -> int:
    """Bytes more in use after reading 200 older messages."""
    async with chat(path, conversation, (120, 40), history(300)) as room:
        transcript = room.transcript
        transcript.window = window

        async def read(first: int, last: int) -> int:
            for index in range(first, last, -1):
                transcript.show_message(index)
                if index % 10 == 0:
                    await room.pilot.pause()
            gc.collect()
            return tracemalloc.get_traced_memory()[0]

        tracemalloc.start()
        try:
            start = await read(299, 220)
            end = await read(220, 20)
        finally:
            tracemalloc.stop()
        assert sum(bool(view.lines) for view in transcript.views) <= max(window, 40)
        return end - start


@pytest.mark.slow
async def test_memory_is_bounded_by_the_window(tmp_path: Path) -> None:
    """Messages that were read and left again cost next to nothing."""
    everything = await grown(tmp_path / "all", 10_000)
    bounded = await grown(tmp_path / "some", 10)
    print(f"\nper message read: {everything // 200} bytes kept, {bounded // 200} with a window")
    assert bounded < everything / 8


async def test_a_growing_code_block_costs_the_same_at_its_end() -> None:
    """The measured complaint: with Textual's Markdown the last quarter took 3.7 times the first."""
    line = "    value = compute(value, 17)  # a comment\n"

    def quarter(document: Document) -> float:
        started = time.thread_time()
        for _ in range(50):
            document.set(document.source + line * 6)
            lay_out(document.leaves, 100)
        return time.thread_time() - started

    best = float("inf")
    for _ in range(3):
        document = Document("```python\n" + line * 70)
        first = quarter(document)
        quarter(document)
        quarter(document)
        best = min(best, quarter(document) / first)
    assert best < 3.0


async def test_a_long_answer_is_parsed_only_at_its_end() -> None:
    part = (
        "A paragraph with **bold** text and `code` in it, of some length.\n\n- a list\n- of two\n\n"
    )

    def added(document: Document) -> float:
        started = time.thread_time()
        for _ in range(10):
            document.set(document.source + "word ")
        return time.thread_time() - started

    short, long = Document(part * 5), Document(part * 500)
    few = min(added(short) for _ in range(5))
    many = min(added(long) for _ in range(5))
    assert many <= 4 * few
