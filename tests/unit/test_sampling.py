"""Seeds, replay and probabilities on a tiny model."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from engine.config import EngineConfig
from engine.core.cells import Cells
from engine.core.model import Model, thread_count
from engine.core.preflight import Header, check_memory, read_header
from engine.core.runner import Context
from engine.core.sampling import Sampler, draw_seed, logprobs
from engine.core.scheduler import Scheduler
from engine.core.sequence import Sequence
from engine.errors import ModelError
from engine.protocol import Sampling
from tests.support.mkgguf import tiny

CONFIG = EngineConfig(threads=1, n_ctx=1024, max_sessions=2)


@pytest.fixture(scope="module")
def loaded() -> Iterator[tuple[Model, Context]]:
    model = Model(tiny("llama"), CONFIG)
    context = Context(model, CONFIG)
    yield model, context
    context.close()
    model.close()


def talk(
    loaded: tuple[Model, Context], sampling: Sampling, count: int, resume: tuple[int, ...] = ()
) -> list[int]:
    """Tokens of an answer; after `resume` the sampler is a new one, as after a crash."""
    model, context = loaded
    scheduler = Scheduler(Cells(context.n_ctx, context.n_seq_max, context), 512, 256, 1024, False)
    sequence = Sequence("ada")
    sampler = Sampler(model, context.n_ctx, sampling, sampling.seed)
    sampler.replay(resume)
    prompt = model.tokenize("Tell me something.", False)
    scheduler.submit(sequence, [*prompt, *resume], len(prompt))
    while len(sequence.tokens) < len(prompt) + count:
        step = scheduler.schedule()
        assert context.compute(step) == 0
        scheduler.commit(step)
        sequence.tokens.append(sampler.sample(context, 0, step.tokens - 1))
    scheduler.close(sequence)
    sampler.close()
    sampler.close()
    return sequence.tokens[len(prompt) :]


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=0.0, seed=1),
        Sampling(temperature=1.0, seed=1),
        Sampling(temperature=0.9, seed=2, repeat_penalty=1.4, presence_penalty=0.5),
        Sampling(temperature=1.2, seed=3, top_k=0, top_p=1.0, min_p=0.0),
        Sampling(temperature=1.0, seed=4, grammar="root ::= [a-z] root"),
    ],
)
def test_replay_continues_as_if_nothing_had_happened(
    loaded: tuple[Model, Context], sampling: Sampling
) -> None:
    whole = talk(loaded, sampling, 24)
    for at in (1, 11, 23):
        assert talk(loaded, sampling, 24, tuple(whole[:at])) == whole


def test_logprobs_are_a_softmax() -> None:
    logits = np.linspace(-3, 4, 50, dtype=np.float32)
    model: Any = SimpleNamespace(piece=lambda token: b"t%d" % token)
    chosen, *best = logprobs(model, logits, 7, 3)
    expected = float(logits[7]) - math.log(sum(math.exp(float(x)) for x in logits))
    assert chosen.token == 7
    assert chosen.logprob == pytest.approx(expected, abs=1e-4)
    assert [p.token for p in best] == [49, 48, 47]
    assert best[0].text == "t49"


def test_seeds_drawn_are_valid_and_differ() -> None:
    seeds = {draw_seed() for _ in range(20)}
    assert len(seeds) > 15
    assert all(0 <= s < 2**32 - 1 for s in seeds)


def test_thread_count() -> None:
    assert thread_count(3) == 3
    assert thread_count(0) >= 1


def test_the_header_tells_what_a_cell_costs() -> None:
    header = read_header(tiny("llama"))
    # 2 layers, 2 KV heads of 32, keys and values.
    assert header.kv_bytes_per_cell("f16", "f16") == 2 * 2 * 32 * 2 * 2
    assert header.kv_bytes_per_cell("q8_0", "f16") == 2 * 2 * 32 * 2 + 2 * 2 * 34
    hybrid = read_header(tiny("lfm2"))
    assert hybrid.kv_bytes_per_cell("f16", "f16") == 2 * 2 * 32 * 2 * 2, "two of four layers"


def test_the_memory_check_says_how_many_cells_would_fit() -> None:
    header = Header(Path("m.gguf"), {}, 1, 1000 * 2**20)
    check_memory(header, 8192, 2**16, 1600 * 2**20)
    with pytest.raises(ModelError) as refused:
        check_memory(header, 16384, 2**16, 1600 * 2**20)
    assert "9,472" in refused.value.remedy or "9,600" in refused.value.remedy
    with pytest.raises(ModelError, match="needs about") as refused:
        check_memory(header, 16384, 2**16, 900 * 2**20)
    assert "smaller model" in refused.value.remedy
