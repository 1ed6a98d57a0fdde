"""Expert routing in a real core: halo-mini and tiny models of every kind of router."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engine import native, routing
from engine.config import ExpertsConfig
from engine.errors import EngineError
from engine.experts import analyze
from engine.models import MINI
from engine.protocol import Experts, Sampling
from tests.support import mkgguf
from tests.support.cli import halo
from tests.support.engine import Talk, running
from tests.support.waiting import until
from tests.unit.test_native import context, decode

LONG = Sampling(temperature=0.0, max_tokens=160, ignore_eos=True)


async def together(talk: Talk, agents: int, sampling: Sampling = LONG) -> list[list[int]]:
    """Agents answer at once; their tokens."""
    names = [f"a{i}" for i in range(agents)]
    for i, name in enumerate(names):
        await talk.say(name, f"Tell me about number {i}.", sampling=sampling)
    await talk.finish(names, seconds=100)
    return [talk.tokens(name) for name in names]


async def test_a_policy_reads_fewer_experts_and_the_guard_watches(tmp_path: Path) -> None:
    config = ExpertsConfig(policy="cache", bonus=0.4, sample_every=8)
    async with running(MINI, tmp_path, n_ctx=4096, experts=config) as talk:
        await together(talk, 4, Sampling(temperature=0.0, max_tokens=700, ignore_eos=True))
        await until(lambda: any(e.samples > 2 for e in talk.all(Experts)), what="three samples")
        acting = [e for e in talk.all(Experts) if e.active and e.steps]
        last = next(e for e in talk.all(Experts) if e.samples > 2)
        assert last.guard in ("ok", "lowered", "stopped") and 0 <= last.mass < 1 and last.kl >= 0
        assert last.n_expert == 16 and len(last.heat) == len(last.layers) * 16
        measured = [e for e in acting if e.distinct_without and e.agents > 3]
        fewer = np.mean([e.distinct for e in measured])
        assert fewer < np.mean([e.distinct_without for e in measured])
        assert measured[-1].bytes_per_token > 0


async def test_a_bonus_of_nothing_changes_nothing(tmp_path: Path) -> None:
    answers = []
    for policy, bonus in (("off", -1.0), ("cache", 0.0)):
        folder = tmp_path / policy
        folder.mkdir()
        config = ExpertsConfig(policy=policy, bonus=bonus, sample_every=1_000_000)  # type: ignore[arg-type]
        async with running(MINI, folder, n_ctx=4096, experts=config) as talk:
            answers.append(
                await together(talk, 3, Sampling(temperature=0.0, max_tokens=40, ignore_eos=True))
            )
    assert answers[0] == answers[1]


@pytest.mark.parametrize("arch", mkgguf.MOE)
async def test_every_kind_of_router_is_routed_and_compared(arch: str, tmp_path: Path) -> None:
    config = ExpertsConfig(policy="cache", bonus=0.5, sample_every=4, guard=False)
    async with running(mkgguf.tiny(arch), tmp_path, experts=config) as talk:
        await together(talk, 3, Sampling(temperature=1.0, seed=1, max_tokens=400, ignore_eos=True))
        await until(lambda: any(e.samples for e in talk.all(Experts)), what="a sample")
        sampled = next(e for e in talk.all(Experts) if e.samples)
        assert 0 <= sampled.mass < 1 and sampled.distinct > 0
        await until(lambda: talk.all(Experts)[-1].steps == 0, what="the end to be told")
        assert sampled.guard == "off"


async def test_it_is_changed_measured_and_refused_while_running(tmp_path: Path) -> None:
    async with running(mkgguf.tiny("qwen3moe"), tmp_path) as talk:
        client = talk.client
        with pytest.raises(EngineError, match="nothing to compare"):
            await client.configure("experts.ab", True)
        with pytest.raises(EngineError, match=r"experts\.policy"):
            await client.configure("experts.policy", "fast")
        with pytest.raises(EngineError, match="cannot be written"):
            await client.configure("experts.record", str(tmp_path / "no" / "where"))
        await client.configure("experts.policy", "cache")
        await client.configure("experts.ab", True)
        await together(talk, 3, Sampling(max_tokens=400, ignore_eos=True, seed=3))
        await until(lambda: any("in turns" in text for text in talk.notes()), what="A/B's result")
    async with running(mkgguf.tiny("llama"), tmp_path / "dense") as talk:
        with pytest.raises(EngineError, match="no experts"):
            await talk.client.configure("experts.policy", "cache")
        assert "experts" not in (talk.client.ready.hooks if talk.client.ready else {})


def test_recorded_and_analysed_on_the_command_line(tmp_path: Path) -> None:
    file, png = tmp_path / "run.experts", tmp_path / "uses.png"
    done = halo(
        tmp_path,
        "experts",
        "record",
        str(file),
        "Hello",
        "Bye",
        "--agents",
        "2",
        "--tokens",
        "40",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["tokens"] == 80
    done = halo(tmp_path, "experts", "analyze", str(file), "--png", str(png), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["n_expert"] == 16 and found["steps"] >= 39 and not found["faults"]
    for row in found["caches"]:
        assert row["lru"] <= row["belady"] and row["ema"] <= row["belady"]
    assert png.read_bytes()[:4] == b"\x89PNG"
    assert sum(map(sum, found["uses"])) == sum(k * found["tokens"] for k in found["used"]), (
        "every token of every layer is counted"
    )
    text = halo(tmp_path, "experts", "analyze", str(file))
    assert "Belady" in text.stdout and "foretold" in text.stdout
    cut = tmp_path / "cut.experts"
    cut.write_bytes(file.read_bytes()[:-3])
    assert "cut off" in analyze.analyze(cut)["faults"][0]
    wrong = halo(tmp_path, "experts", "analyze", str(png))
    assert wrong.returncode == 1 and "no recording" in wrong.stderr


@pytest.mark.parametrize("arch", mkgguf.MOE)
def test_ids_are_the_best_scores_and_a_bias_moves_them(arch: str) -> None:
    with context(arch) as (llama, ctx):
        experts = routing.describe(ctx)
        assert (
            experts.n_expert == 16
            and len(experts.layers)
            and (experts.bytes[experts.layers] > 0).all()
        )
        routing.set_mode(ctx, bias=False, keep=0, capture=routing.SCORES)
        decode(llama, ctx, [(50 + i, i, [0]) for i in range(6)])
        rows, ids = routing.read_ids(ctx, experts)
        scores, _ = routing.read_scores(ctx, experts, 6)
        first = int(experts.layers[0])
        k = int(experts.used[first])
        assert rows[first] == 6
        for token in range(6):
            best = set(np.argsort(-scores[first, token])[:k].tolist())
            assert set(ids[first, token, :k].tolist()) == best
        bias = np.zeros((experts.n_layers, experts.n_expert), np.float32)
        bias[first, ids[first, 0, 0]] = -np.inf
        routing.set_bias(ctx, bias, np.zeros(experts.n_layers, np.float32))
        routing.set_mode(ctx, bias=True, keep=0, capture=routing.IDS)
        llama.llama_memory_clear(llama.llama_get_memory(ctx), True)
        decode(llama, ctx, [(50 + i, i, [0]) for i in range(6)])
        _, after = routing.read_ids(ctx, experts)
        assert ids[first, 0, 0] not in after[first, :, :k]
        with pytest.raises(native.NativeError, match="not a number"):
            routing.set_bias(ctx, bias * np.nan, np.zeros(experts.n_layers, np.float32))
