"""What people are told about a compaction, and what they may ask for."""

from __future__ import annotations

import msgspec
import pytest

from agents import compaction
from engine.errors import HaloError
from engine.protocol import Compaction
from tui import arguments

DONE = Compaction(
    "ada", 1, "done", cells_before=3412, cells_after=341, ratio=10.0, error=0.042,
    error_evict=0.22, source="recap", seconds=0.84,
)  # fmt: skip


def test_a_line_says_how_much_how_fast_and_how_well() -> None:
    said = "Compacted 3,412 → 341 cells (10.0×) in 0.8 s, error 4% (eviction 22%)"
    assert compaction.summary(DONE) == said


def test_one_that_was_prepared_took_milliseconds() -> None:
    said = compaction.summary(msgspec.structs.replace(DONE, seconds=0.0123))
    assert "(10.0×) in 12 ms, error" in said


def test_a_second_round_says_what_it_comes_to() -> None:
    again = Compaction("ada", 2, "done", cells_before=341, cells_after=170, ratio=20.0, error=0.004)
    assert "(2.0×, 20.0× in all)" in compaction.summary(again)
    assert "error 0.4%" in compaction.summary(again)
    assert "eviction" not in compaction.summary(again), "what was not measured is not told"


def test_advice_names_a_lower_ratio() -> None:
    assert "/compact 5" in compaction.advice(DONE)
    assert "engine.n_ctx" in compaction.advice(DONE)


@pytest.mark.parametrize("ratio", [0.0, compaction.AUTO, 1.5, 1000.0])
def test_ratios_that_are_some(ratio: float) -> None:
    compaction.check(ratio, "am-attention")


@pytest.mark.parametrize("ratio", [1.0, -2.0, 0.5, 1001.0, float("nan")])
def test_ratios_that_are_none(ratio: float) -> None:
    with pytest.raises(HaloError, match="no ratio"):
        compaction.check(ratio, "")


def test_an_unknown_method_names_those_there_are() -> None:
    with pytest.raises(HaloError, match="am-omp"):
        compaction.check(0.0, "magic")


@pytest.mark.parametrize(
    ("text", "value"), [("", 0.0), ("auto", -1.0), ("10", 10.0), ("2.5x", 2.5), ("4×", 4.0)]
)
def test_ratios_as_they_are_written(text: str, value: float) -> None:
    assert arguments.ratio(text) == value


@pytest.mark.parametrize("text", ["lots", "1", "0", "-3", "nan"])
def test_ratios_that_cannot_be_meant_come_with_an_example(text: str) -> None:
    with pytest.raises(HaloError, match="/compact 10"):
        arguments.ratio(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", (True, None)), ("OFF", (False, None)), ("", (False, None)), ("on 85%", (True, 0.85)),
        ("on 0.7", (True, 0.7)), ("60%", (True, 0.6)), ("on 100%", (True, 1.0)),
    ],
)  # fmt: skip
def test_auto_as_it_is_written(text: str, value: tuple[bool, float | None]) -> None:
    assert arguments.auto(text, now=True) == value


@pytest.mark.parametrize("text", ["maybe", "on lots", "on 0", "on 130%", "-5%", "on nan"])
def test_what_auto_cannot_mean_comes_with_an_example(text: str) -> None:
    with pytest.raises(HaloError, match="/auto on 85%"):
        arguments.auto(text, now=True)
