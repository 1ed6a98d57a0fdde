"""The search with a measure that is given, the final comparison, and what is written."""

from __future__ import annotations

import asyncio
import random
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.config import load
from engine.errors import ConfigError, ModelError
from engine.tune import keep
from engine.tune.search import Paired, Search, Tried, compare, dimensions, words
from engine.tune.work import Work, scaled

EFFECTIVE = {
    "engine.threads": 0, "engine.threads_batch": 0, "engine.n_batch": 512, "engine.n_ubatch": 512,
    "engine.flash_attention": "auto", "engine.type_k": "f16", "engine.type_v": "f16",
}  # fmt: skip


def space(**other: Any) -> list[Any]:
    return dimensions(
        EFFECTIVE, **{"cores": 8, "logical": 16, "on_gpu": False, "n_ctx": 8192, **other}
    )


class Machine:
    """Seconds as the product of what each key costs; counts how often it was asked."""

    def __init__(self, costs: dict[str, dict[Any, float]], noise: float = 0.0) -> None:
        self.costs, self.noise, self.asked = costs, noise, 0
        self.random = random.Random(3)

    async def __call__(self, settings: dict[str, Any]) -> float:
        self.asked += 1
        seconds = 1.0 + self.random.uniform(-self.noise, self.noise)
        for key, costs in self.costs.items():
            seconds *= costs.get(settings.get(key, EFFECTIVE[key]), 1.0)
        return seconds


COSTS: dict[str, dict[Any, float]] = {
    "engine.n_ubatch": {512: 1.0, 256: 0.9, 128: 1.3, 1024: 1.5},
    "engine.threads_batch": {0: 1.0, 16: 0.8},
    "engine.threads": {0: 1.0, 1: 3.0, 2: 2.0, 4: 1.2, 6: 1.05, 8: 1.01},
    "engine.flash_attention": {"auto": 1.0, "off": 1.2},
}


def test_it_finds_the_best_of_each_and_drops_what_is_slow() -> None:
    machine = Machine(COSTS)
    search = Search(machine, space(), rounds=3)
    best = asyncio.run(search.run())
    assert best == {"engine.threads_batch": 16, "engine.n_ubatch": 256}
    assert machine.asked == search.done < search.most
    slow = next(t for t in search.tried if t.settings.get("engine.threads") == 1)
    assert slow.dropped and len(slow.seconds) == 1


def test_a_step_holds_at_least_one_ubatch() -> None:
    costs: dict[str, dict[Any, float]] = {
        "engine.n_ubatch": {512: 1.0, 2048: 0.5}, "engine.n_batch": {1024: 0.8, 2048: 0.9},
    }  # fmt: skip
    search = Search(Machine(costs), space())
    best = asyncio.run(search.run())
    assert best["engine.n_batch"] >= best["engine.n_ubatch"] == 2048
    for tried in search.tried:
        assert tried.settings.get("engine.n_batch", 512) >= tried.settings.get("engine.n_ubatch", 0)


def test_nothing_is_better() -> None:
    flat = {key: dict.fromkeys(costs, 1.0) for key, costs in COSTS.items()}
    assert asyncio.run(Search(Machine(flat, noise=0.005), space()).run()) == {}


def test_settings_that_cannot_be_used_are_left_out_and_told() -> None:
    machine, told = Machine(COSTS), []

    async def measure(settings: dict[str, Any]) -> float:
        if settings.get("engine.n_ubatch") == 256:
            raise ModelError("no memory for it", "Take less.")
        return await machine(settings)

    search = Search(measure, space(), tell=told.append)
    assert "engine.n_ubatch" not in asyncio.run(search.run())
    assert any("no memory for it" in line for line in told)


def test_its_state_can_be_read_when_it_was_stopped() -> None:
    machine = Machine(COSTS)

    async def measure(settings: dict[str, Any]) -> float:
        if machine.asked == 9:
            raise asyncio.CancelledError
        return await machine(settings)

    search = Search(measure, space())
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(search.run())
    assert search.done == 9 and any(t.seconds for t in search.tried)


def test_pairs_swap_their_order_and_the_default_stays_unless_it_is_beaten() -> None:
    asked: list[dict[str, Any]] = []

    async def measure(settings: dict[str, Any]) -> float:
        asked.append(settings)
        return 1.0 if settings else 1.1

    paired = asyncio.run(compare(measure, {}, {"engine.threads": 4}, 4, Paired()))
    assert [bool(s) for s in asked] == [False, True, True, False, False, True, True, False]
    assert paired.gain == pytest.approx(1.1) and paired.confirmed
    assert not Paired([1.1, 1.1, 1.1]).confirmed  # too few
    assert not Paired([1.1, 1.2, 0.99, 1.1]).confirmed  # lost once of four
    assert Paired([1.1, 1.2, 0.99, 1.1, 1.1, 1.1, 1.1]).confirmed
    assert not Paired([1.01] * 7).confirmed  # within noise
    assert not Paired().confirmed


@given(st.lists(st.floats(0.1, 10), max_size=9))
def test_whatever_is_confirmed_was_faster(ratios: list[float]) -> None:
    paired = Paired(ratios)
    if paired.confirmed:
        assert paired.gain > 1 and sum(r > 1 for r in ratios) > len(ratios) / 2


def test_what_somebody_set_is_not_tried() -> None:
    held = {"engine.threads", "engine.n_batch"}
    for dimension in space(held=held):
        assert not any(held & option.keys() for option in dimension.options)
    ubatch = next(d for d in space(held=held) if d.name == "ubatch")
    assert max(o["engine.n_ubatch"] for o in ubatch.options) <= 512


def test_quantised_cells_only_when_allowed() -> None:
    def cells(**other: Any) -> list[Any]:
        return [o for d in space(**other) for o in d.options if "engine.type_k" in o]

    assert cells() == [] and cells(quantised=True)


def test_threads_on_a_gpu_are_few_and_prompts_have_none_of_their_own() -> None:
    names = {d.name: d.options for d in space(on_gpu=True)}
    assert names["threads for prompts"] == ()
    assert [o["engine.threads"] for o in names["threads"]] == [1, 2, 4, 8]
    assert all(len(o) == 1 for o in names["threads"])


@settings(max_examples=50)
@given(st.integers(1, 128), st.booleans(), st.booleans(), st.sampled_from([256, 1024, 131072]))
def test_every_option_is_a_setting(cores: int, gpu: bool, quick: bool, n_ctx: int) -> None:
    for dimension in space(cores=cores, logical=2 * cores, on_gpu=gpu, n_ctx=n_ctx, quick=quick):
        for option in dimension.options:
            load(overrides=[f"{k}={v}" for k, v in reversed(option.items())], env={})


def test_sizes_that_the_work_cannot_tell_apart_are_not_tried() -> None:
    def sizes(prompt: int) -> list[int]:
        found = space(prompt=prompt)
        return [o["engine.n_ubatch"] for d in found for o in d.options if "engine.n_ubatch" in o]

    assert sizes(256) == [128] and sizes(4096) == [128, 256, 1024, 2048]
    assert sizes(600) == [128, 256, 1024, 2048]  # 512 and 88, or all at once


def test_words() -> None:
    assert words({}) == "as it is"
    assert words({"engine.n_ubatch": 1024, "compaction.threads": 2}) == (
        "n_ubatch 1024, compaction.threads 2"
    )
    assert Tried("x", {}).best == float("inf")


# --- the file -------------------------------------------------------------------------------------

OWN = """# mine
[ui]
theme = "nord"  # dark

[engine]
# room for everybody
n_ctx = 16384
"""


def test_the_winner_is_written_beside_what_is_there(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(OWN)
    keep.keep({"engine.threads": 4, "engine.n_ubatch": 256}, ["1.2 x"], file)
    text = file.read_text()
    for line in OWN.splitlines():
        assert line in text.splitlines()
    assert "# tune: 1.2 x" in text and "--undo" in text
    config = load(file, env={})
    assert (config.engine.threads, config.engine.n_ubatch, config.engine.n_ctx) == (4, 256, 16384)
    assert keep.kept(file) == {"engine.threads": 4, "engine.n_ubatch": 256}
    # another run: what it does not set any more goes, and so do the old comments
    keep.keep({"engine.flash_attention": "off"}, ["1.1 x"], file)
    assert keep.kept(file) == {"engine.flash_attention": "off"}
    assert "1.2 x" not in file.read_text() and "threads" not in file.read_text()
    assert keep.undo(file) == {"engine.flash_attention": "off"}
    assert file.read_text() == OWN


def test_a_new_file(tmp_path: Path) -> None:
    file = tmp_path / "new" / "config.toml"
    assert keep.kept(file) == {} and keep.undo(file) == {}
    keep.keep({"engine.threads": 2}, ["x"], file)
    assert tomllib.loads(file.read_text()) == {"engine": {"threads": 2}}
    keep.undo(file)
    assert tomllib.loads(file.read_text()) == {"engine": {}}


def test_what_was_changed_by_hand_since_is_the_persons_own(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    keep.keep({"engine.threads": 2, "engine.n_ubatch": 256}, ["x"], file)
    file.write_text(file.read_text().replace("\nthreads = 2", "\nthreads = 3"))
    assert keep.kept(file) == {"engine.n_ubatch": 256}
    config = load(file, env={})
    keep.without(config, keep.kept(file))
    assert config.engine.threads == 3 and config.engine.n_ubatch == 512
    assert "engine.threads" in config.sources and "engine.n_ubatch" not in config.sources
    keep.undo(file)
    assert load(file, env={}).engine.threads == 3


def test_a_file_that_cannot_be_changed_is_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("engine = { threads = 1 }\n")
    with pytest.raises(ConfigError, match="by hand"):
        keep.keep({"engine.threads": 4}, ["x"], file)
    assert file.read_text() == "engine = { threads = 1 }\n"


def test_what_the_next_start_would_refuse_is_not_written(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("[engine]\nn_batch = 256\nn_ubatch = 256\n")
    with pytest.raises(ConfigError, match="more than n_batch"):
        keep.keep({"engine.n_ubatch": 1024}, ["x"], file)
    assert "1024" not in file.read_text()


def test_a_key_that_also_comes_from_elsewhere_stays(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    keep.keep({"engine.threads": 2}, ["x"], file)
    config = load(file, env={"HALO_ENGINE_THREADS": "3"})
    keep.without(config, keep.kept(file))
    assert config.engine.threads == 3


# --- how much work --------------------------------------------------------------------------------


@given(st.floats(0.01, 1000), st.integers(256, 4096), st.integers(16, 256), st.integers(1, 9))
def test_work_grows_and_shrinks_within_its_bounds(
    factor: float, prompt: int, answer: int, repeats: int
) -> None:
    work = Work((1, 4), prompt // 32 * 32, answer // 8 * 8, repeats)
    new = scaled(work, factor, 4096, 1024)
    assert 256 <= new.prompt <= 4096 and 16 <= new.answer <= 256 and 1 <= new.repeats <= 9
    if factor >= 1.5 and (work.prompt, work.answer, work.repeats) != (4096, 256, 9):
        assert new.prompt * new.repeats >= work.prompt * work.repeats or new.repeats == 9
    if factor <= 0.5:
        assert new.prompt * new.repeats <= work.prompt * work.repeats


def test_work_is_repeated_when_it_cannot_grow() -> None:
    work = Work((1,), 256, 16)
    assert scaled(work, 4, 4096, 256) == Work((1,), 1024, 64, 1)
    assert scaled(work, 64, 4096, 256) == Work((1,), 4096, 256, 4)
    assert scaled(work, 4, 512, 256).repeats == 2


own_lines = st.lists(
    st.sampled_from(["# a comment", "", "n_ctx = 1024  # cells", "keep_closed = false", "# threads = 9"]),
    unique=True, max_size=5,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(own_lines, st.booleans())
def test_what_was_there_is_there_again_after_undo(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], before: bool
) -> None:
    file = tmp_path_factory.mktemp("own") / "config.toml"
    head = ["# the look", "[ui]", 'theme = "nord"', ""] if before else []
    text = "\n".join([*head, "[engine]", *lines]) + "\n"
    file.write_text(text)
    keep.keep({"engine.threads": 4, "engine.n_ubatch": 256}, ["1.2 x"], file)
    keep.keep({"engine.n_ubatch": 128, "engine.flash_attention": "off"}, ["1.3 x"], file)
    assert set(text.splitlines()) <= set(file.read_text().splitlines())
    assert load(file, env={}).engine.n_ubatch == 128
    keep.undo(file)
    assert file.read_text() == text
