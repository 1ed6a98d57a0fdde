"""Policies, the guard, and the comparison with the unbiased choice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine.config import ExpertsConfig, ExpertsModel
from engine.core.router import AB_ROUNDS, AB_STEPS, _Trial
from engine.experts import choice
from engine.experts.defaults import tuning
from engine.experts.guard import Guard
from engine.experts.meter import Meter
from engine.experts.policy import CALIBRATION, make_policy
from engine.routing import Experts


def experts(**fields: Any) -> Experts:
    """Three layers, the first dense; 8 experts, 2 used."""
    known: dict[str, Any] = {
        "n_layers": 3, "n_expert": 8, "n_used": 2, "n_groups": 0, "n_groups_used": 0,
        "gating": "softmax", "used": np.array([0, 2, 2], np.int32),
        "bytes": np.array([0, 100, 200], np.int64),
    }  # fmt: skip
    return Experts(**(known | fields))


def ids_of(*rows: tuple[int, int]) -> Any:
    """The same choice of every layer: int32 [3, n, 2]."""
    return np.broadcast_to(np.array(rows, np.int32), (3, len(rows), 2)).copy()


def test_static_prefers_what_was_used_most_at_first_and_then_stays() -> None:
    e = experts()
    policy = make_policy("static", e, 0.0)
    assert policy is not None and not policy.weights().any()
    for _ in range(CALIBRATION):
        policy.used(choice.flags_of(ids_of((3, 5)), e, 1))
    assert set(np.flatnonzero(policy.weights()[1])) == {3, 5}
    for _ in range(50):
        policy.used(choice.flags_of(ids_of((0, 1)), e, 1))
    assert set(np.flatnonzero(policy.weights()[2])) == {3, 5}
    assert make_policy("off", e, 0.5) is None


def test_cache_remembers_the_newest_most() -> None:
    e = experts()
    policy = make_policy("cache", e, 0.5)
    assert policy is not None and policy.keeps
    policy.used(choice.flags_of(ids_of((0, 1)), e, 1))
    policy.used(choice.flags_of(ids_of((1, 2)), e, 1))
    weights = policy.weights()[1]
    assert weights[1] == weights[2] == 0.5 > weights[0] > 0 == weights[7]
    assert not policy.weights()[0].any(), "a dense layer has none"


def test_the_guard_lowers_lifts_and_says_so() -> None:
    guard = Guard(max_mass=0.1, max_kl=0.02)
    assert guard.state == "waiting"
    assert guard.sample(0.05, 0.001) == "" and guard.state == "ok"
    said = ""
    for _ in range(10):
        said = said or guard.sample(0.3, 0.001)
    assert "router mass" in said and guard.scale < 1 and guard.state in ("lowered", "stopped")
    for _ in range(400):
        said = guard.sample(0.0, 0.0) or said
    assert guard.scale == 1 and "full bonus" in said
    text = ""
    for _ in range(20):
        text = text or guard.sample(0.0, 0.5)
    assert "KL" in text
    for _ in range(100):
        guard.sample(0.9, 0.9)
    assert guard.scale == 0 and guard.state == "stopped"
    guard.restart()
    assert (guard.scale, guard.state) == (1.0, "waiting")
    off = Guard(0.1, 0.02, on=False)
    assert off.sample(0.9, 0.9) == "" and off.scale == 1 and off.state == "off"


def test_a_guard_that_was_wrong_twice_waits_longer() -> None:
    def samples_until_lifted(guard: Guard) -> int:
        while not guard.sample(0.9, None):
            pass
        low, n = guard.scale, 0
        while guard.scale == low:
            guard.sample(0.0, None)
            n += 1
        return n

    guard = Guard(0.1, 0.02)
    assert samples_until_lifted(guard) < samples_until_lifted(guard)


def test_replaced_mass_and_distinct_experts_are_those_of_the_unbiased_choice() -> None:
    e = experts()
    scores = np.zeros((3, 2, 8), np.float32)
    scores[:, 0] = [0.5, 0.3, 0.1, 0.1, 0, 0, 0, 0]
    scores[:, 1] = [0, 0, 0.4, 0.4, 0.2, 0, 0, 0]
    same = choice.compare(e, scores, scores, ids_of((0, 1), (2, 3)))
    assert same.mass == pytest.approx(0) and same.distinct == 4
    assert same.ranges[1] == pytest.approx(0.45) and same.ranges[0] == 0
    other = choice.compare(e, scores, scores, ids_of((0, 2), (2, 4)))
    assert other.mass == pytest.approx((0.2 / 0.8 + 0.2 / 0.8) / 2)
    scores[:, :, 4:] = -np.inf  # groups that were not chosen
    assert np.isfinite(
        choice.compare(e, scores, np.abs(scores), ids_of((0, 1), (2, 3))).ranges
    ).all()


def test_logits_of_routers_become_weights() -> None:
    logits = np.array([[[-2.0, 0.0, 3.0]]], np.float32)
    assert choice.as_probabilities(logits, "softmax of the chosen").sum() == pytest.approx(1)
    sigmoid = choice.as_probabilities(logits, "softmax")
    assert sigmoid[0, 0, 1] == pytest.approx(0.5) and (sigmoid > 0).all()


def test_kl_is_zero_for_the_same_and_known_for_two() -> None:
    a = np.log(np.array([[0.5, 0.5]], np.float32))
    b = np.log(np.array([[0.9, 0.1]], np.float32))
    assert choice.kl(a, a + 3) == pytest.approx(0, abs=1e-9)
    assert choice.kl(a, b) == pytest.approx(0.5 * np.log(0.5 / 0.9) + 0.5 * np.log(0.5 / 0.1))


def test_the_meter_counts_bytes_and_reuse() -> None:
    e = experts()
    meter = Meter(e)
    meter.step(choice.flags_of(ids_of((0, 1), (0, 2)), e, 2), 2)
    meter.step(choice.flags_of(ids_of((0, 1), (5, 6)), e, 2), 2)
    meter.without(6.0, 2)
    found = meter.take()
    assert found["distinct"] == (3 + 4) / 2 and found["agents"] == 2
    assert found["bytes_per_token"] == (3 * 300 + 4 * 300) / 4
    assert found["bytes_per_token_without"] == 6 * 300 / 2
    assert found["reuse"] == 2 * 2 / (2 * 4)
    assert meter.take()["steps"] == 0


def test_bonus_and_kept_experts_by_model() -> None:
    e = experts(n_used=8, n_expert=64)
    plain = tuning(ExpertsConfig(), e, "qwen3moe", "Qwen3")
    assert (
        plain.keep == 2
        and plain.bonus > tuning(ExpertsConfig(), experts(gating="sigmoid"), "glm4moe", "").bonus
    )
    own = ExpertsConfig(models={"qwen3*": ExpertsModel(bonus=0.7, keep_top=4)})
    assert tuning(own, e, "qwen3moe", "x") == (0.7, 4)
    assert tuning(own, e, "glm4moe", "QWEN3-coder") == (0.7, 4)
    assert tuning(own, e, "glm4moe", "x") == plain
    assert tuning(ExpertsConfig(bonus=0.0, keep_top=99), e, "a", "b") == (0.0, 8)


def test_a_comparison_takes_medians_so_that_disturbances_do_not_count() -> None:
    trial = _Trial()
    number = 0
    while not trial.done:
        seconds = 0.8 if trial.without else 0.5
        if number % AB_STEPS < 2 or number % 17 == 0:
            seconds = 30.0  # a graph that is built, a neighbour
        trial.step(8, seconds)
        number += 1
    assert number == 2 * AB_STEPS * AB_ROUNDS and trial.share == 1
    assert trial.factor == pytest.approx(1.6)
    assert trial.rates == pytest.approx((16.0, 10.0))
