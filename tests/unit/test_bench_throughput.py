"""What `bench throughput` makes of the answers it heard."""

from __future__ import annotations

import pytest

from engine.bench.throughput import Heard, lag, rate
from engine.protocol import Done


def heard(tokens: int, began: float, ended: float, there: float = 0.0) -> Heard:
    one = Heard()
    one.done = Done("a", "length", "", tokens=tokens, decode_seconds=ended - began, ended_at=ended)
    one.heard_at = there or ended
    return one


def test_answers_shorter_than_a_batch_of_text_have_a_rate() -> None:
    # All of it reaches the app at once; the core's clock knows how long it took.
    both = {"a": heard(9, 5.0, 5.008, 5.04), "b": heard(9, 5.0, 5.008, 5.04)}
    assert rate(both) == pytest.approx(2000)
    assert lag(both) == pytest.approx(0.032)


def test_answers_that_begin_one_after_the_other_count_what_each_does() -> None:
    assert rate({"a": heard(101, 0.0, 1.0), "b": heard(101, 0.5, 1.5)}) == pytest.approx(200)


def test_answers_that_never_decode_together_have_the_rate_of_the_whole() -> None:
    assert rate({"a": heard(11, 0.0, 0.1), "b": heard(11, 0.9, 1.0)}) == pytest.approx(20)


def test_answers_that_failed_have_none() -> None:
    failed = Heard()
    failed.done = Done("a", "error", "", ended_at=1.0)
    assert rate({"a": failed}) == 0.0
