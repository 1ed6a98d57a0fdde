"""Whatever the machine, what somebody set stays, and what is chosen is a valid setting."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from engine.auto.facts import Facts
from engine.auto.rules import apply, decide
from engine.config import CompactionConfig, EngineConfig, load
from engine.telemetry.types import Gpu

sizes = st.integers(0, 2**40)
maybe = st.none() | sizes
gpus = st.none() | st.builds(
    Gpu, id=st.just("0"), name=st.just("GPU"), driver=st.sampled_from(["amdgpu", "nvidia"]),
    kind=st.sampled_from(["apu", "discrete", "unknown"]), vram_total=maybe, vram_used=maybe,
    gtt_total=maybe, gtt_used=maybe,
)  # fmt: skip
machines = st.builds(
    Facts, cores=st.integers(1, 256), available=sizes, gpu=gpus, fault=st.sampled_from(["", "x"]),
    backends=st.lists(st.sampled_from(["vulkan", "hip", "cuda"]), max_size=2).map(tuple),
    devices=st.integers(0, 2), device_free=maybe, model=sizes, layers=st.integers(0, 200),
    cells=sizes, n_ctx=st.integers(0, 2**20), heads=st.integers(0, 128),
    experts=st.integers(0, 512), experts_used=st.integers(0, 16),
)  # fmt: skip
own: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "threads": st.integers(0, 64), "n_batch": st.integers(32, 4096),
        "n_ubatch": st.integers(32, 4096), "mmap": st.booleans(),
        "gpu_layers": st.integers(-1, 100), "type_k": st.sampled_from(["f16", "q8_0"]),
        "flash_attention": st.sampled_from(["auto", "on", "off"]),
    },
).filter(lambda d: d.get("n_ubatch", 32) <= d.get("n_batch", d.get("n_ubatch", 512)))  # fmt: skip


@given(machines, own, st.booleans())
def test_what_somebody_set_stays(facts: Facts, mine: dict[str, Any], by_name: bool) -> None:
    before = EngineConfig(**mine)
    # By name, also a value that is the default; without, the value itself says so.
    keys = {f"engine.{key}" for key in mine} if by_name else set()
    decision = decide(facts, before, None, keys)
    after, _ = apply(decision, before, CompactionConfig())
    for key, value in mine.items():
        if by_name or value != getattr(EngineConfig(), key):
            assert getattr(after, key) == value, key
    assert decide(facts, before, None, keys) == decision


@given(machines, own)
@example(  # a file that tells no sizes, on a GPU without room
    Facts(cores=1, available=0, backends=("vulkan",), devices=1, device_free=0, layers=1), {}
)
def test_what_is_chosen_is_a_setting_that_the_checks_accept(
    facts: Facts, mine: dict[str, Any]
) -> None:
    before = EngineConfig(**{"n_batch": max(512, mine.get("n_ubatch", 0)), **mine})
    decision = decide(facts, before)
    after, _ = apply(decision, before, CompactionConfig())
    assert after.n_ubatch <= after.n_batch
    fits = after.flash_attention != "off" or after.type_v == "f16"
    names = [n for n in EngineConfig.__struct_fields__ if fits or n != "flash_attention"]
    load(overrides=[f"engine.{n}={str(getattr(after, n)).lower()}" for n in names], env={})
    assert all(one.why for one in decision.chosen)


@given(machines)
def test_layers_that_are_offloaded_fit(facts: Facts) -> None:
    decision = decide(facts, EngineConfig())
    layers = next((c.value for c in decision.chosen if c.key == "engine.gpu_layers"), 0)
    free = facts.gpu_free
    if facts.unified and facts.backends[:1] == ("hip",) and free is not None:
        free = max(free, facts.available)  # managed memory
    if layers == 0 or free is None or not facts.layers:
        return
    assert isinstance(layers, int)
    share = 1.0 if layers < 0 else layers / (facts.layers + 1)
    assert facts.needed * share <= free
