"""`halo-tui bench compaction` and `profile`: the contract's keys, and figures that make sense."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.bench import recall
from engine.bench.compaction import Plan, run_gain, run_recall, run_text
from engine.compaction.profile import HeadWeights
from engine.models import MINI, info
from engine.seam import LayerInfo
from tests.support.cli import halo

KEYS = {
    "task", "method", "ratio", "cells_before", "cells_after", "accuracy", "perplexity", "kl",
    "seconds", "beta_min", "beta_max", "cv_norm_ratio",
}  # fmt: skip


def shape() -> tuple[int, int]:
    """Layers and KV heads that the shipped model's file states."""
    model = info(MINI)
    return model.layers, model.n_head_kv


def silent(line: str) -> None:
    pass


def by(rows: list[dict[str, Any]], method: str, ratio: float) -> dict[str, Any]:
    return next(r for r in rows if r["method"] == method and r["ratio"] == ratio)


@pytest.mark.slow
def test_recall_is_kept_where_eviction_loses_it() -> None:
    plan = Plan(
        MINI, ratios=(5,), methods=("am-omp", "evict-recent"), dialogues=3, samples=6, threads=1
    )
    rows = run_recall(plan, silent)
    assert all(set(row) >= KEYS for row in rows)
    full, fitted, recent = by(rows, "full", 1), by(rows, "am-omp", 5), by(rows, "evict-recent", 5)
    assert full["accuracy"] > 0.8
    assert fitted["accuracy"] >= 0.75 * full["accuracy"]
    assert recent["accuracy"] < 0.3
    assert fitted["cells_after"] < 0.35 * fitted["cells_before"]


@pytest.mark.slow
def test_the_text_task_orders_the_methods() -> None:
    text = "\n".join(m.content for d in recall.load(2000)[:4] for m in d.messages)
    plan = Plan(
        MINI, context=800, ratios=(10,), methods=("am-omp", "evict-recent"), dialogues=2, threads=1
    )
    rows = run_text(plan, text, silent)
    full, fitted, recent = by(rows, "full", 1), by(rows, "am-omp", 10), by(rows, "evict-recent", 10)
    assert full["kl"] == 0 and full["perplexity"] > 1
    assert 0 < fitted["kl"] < recent["kl"]
    assert fitted["positions"] == full["cells_after"] == 800


def test_compaction_makes_room_for_more_agents() -> None:
    plan = Plan(MINI, context=300, ratios=(5,), methods=("am-attention",), threads=1)
    before, after = run_gain(plan, silent, agents=2, steps=4)
    assert after["cells_after"] < before["cells_after"]
    assert after["agents_that_fit"] > before["agents_that_fit"] == 2


def test_heads_are_dumped_in_the_bench_layout(tmp_path: Path) -> None:
    out = tmp_path / "heads.npz"
    done = halo(tmp_path, "bench", "compaction", "--dump", str(out), "--samples", "1", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["dumped_heads"] == np.prod(shape())
    heads = np.load(out)
    assert heads["k"].shape[:2] == heads["v"].shape[:2] == heads["q"].shape[:2] == shape()
    assert heads["k"].shape[3] == heads["q"].shape[3] == 64


@pytest.mark.slow
def test_a_profile_is_what_the_settings_take(tmp_path: Path) -> None:
    out = tmp_path / "profile.json"
    done = halo(
        tmp_path, "profile", "--dialogues", "1", "--ratios", "2,20", "--out", str(out), "--json"
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found == json.loads(out.read_text())
    errors = np.array(found["errors"])
    layers, heads = shape()
    assert errors.shape == (layers, heads, 2)
    assert (errors[..., 0] <= errors[..., 1] + 0.05).all()
    layer = LayerInfo(0, 2 * heads, heads, 64, 64, 1, 1, False, False, 0.125, 0.0, False)
    weights = HeadWeights.load(str(out), [layer] * layers)
    assert weights.mean(np.ones((layers, heads, 1))) == pytest.approx(1.0)
    assert max(weights.budgets(0, 100)) <= 100


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("--ratios", "0.5"), "no list of ratios"),
        (("--methods", "magic"), "is none of"),
        (("--text", "/nowhere.txt"), "cannot be read"),
        (("--model", "/nowhere.gguf"), "nowhere.gguf"),
    ],
)
def test_bad_input_gets_a_sentence(args: tuple[str, ...], sentence: str, tmp_path: Path) -> None:
    done = halo(tmp_path, "bench", "compaction", *args)
    assert done.returncode != 0
    assert sentence in done.stderr and "Traceback" not in done.stderr
