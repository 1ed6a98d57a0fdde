"""What is chosen for recorded machines, other builds and models; and in a real core."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.auto.facts import Facts, gather
from engine.auto.rules import Decision, apply, decide
from engine.config import CompactionConfig, EngineConfig
from engine.core.preflight import Header, read_header
from engine.models import MINI
from engine.telemetry.types import Gpu

TREES = Path(__file__).parents[1] / "data" / "sysfs"
GIB = 1024**3
MOE = {"experts": 128, "experts_used": 8}


def model(header: Header, gib: float, layers: int = 40) -> Header:
    """halo-mini's metadata with another size."""
    values = {**header.values, f"{header.architecture}.block_count": layers}
    return Header(header.path, values, header.tensors, int(gib * GIB), header.tensors_at)


def facts_of(tree: str, gib: float = 4.0, backends: tuple[str, ...] = (), **other: Any) -> Facts:
    header = model(read_header(MINI), gib)
    found = gather(header, EngineConfig(), backends=backends, root=str(TREES / tree))
    return msgspec.structs.replace(found, **{"devices": len(backends), **other})


def values(decision: Decision) -> dict[str, Any]:
    return {one.key.removeprefix("engine."): one.value for one in decision.chosen}


def changed(decision: Decision) -> dict[str, Any]:
    return {c.key.removeprefix("engine."): c.value for c in decision.chosen if c.changed}


def test_a_cpu_build_beside_an_igpu_changes_nothing_and_says_how_to_use_it() -> None:
    found = facts_of("strix-halo")
    assert found.unified and found.cores == 16  # of 32 threads
    decision = decide(found, EngineConfig())
    assert changed(decision) == {}
    (hint,) = decision.hints
    assert "Radeon 8060S" in hint.what and "CPU only" in hint.what
    assert "make run BACKEND=vulkan" in hint.remedy


def test_a_vulkan_build_on_a_strix_halo() -> None:
    decision = decide(facts_of("strix-halo", 20, ("Vulkan",)), EngineConfig())
    assert changed(decision) == {"mmap": False, "threads": 4, "compaction.threads": 8}
    assert values(decision)["gpu_layers"] == -1
    assert values(decision)["type_k"] == "f16" and values(decision)["flash_attention"] == "auto"
    assert decision.environment == {} and decision.hints == ()
    assert all(one.why for one in decision.chosen)


def test_experts_get_a_ubatch_that_fills_them_as_far_as_the_mask_allows() -> None:
    found = facts_of("strix-halo", 20, ("vulkan",), **MOE)
    assert changed(decide(found, EngineConfig()))["n_ubatch"] == 1024
    assert changed(decide(found, EngineConfig()))["n_batch"] == 1024
    many = msgspec.structs.replace(found, experts=512, experts_used=8)
    assert changed(decide(many, EngineConfig()))["n_ubatch"] == 2048
    long = msgspec.structs.replace(found, n_ctx=131072, heads=64)
    assert "n_ubatch" not in changed(decide(long, EngineConfig()))
    batch = decide(found, EngineConfig(n_batch=256))
    assert values(batch)["n_ubatch"] == 256 and "n_batch" not in values(batch)


def test_hip_needs_managed_memory_and_hipblaslt() -> None:
    decision = decide(facts_of("strix-halo", 20, ("hip",)), EngineConfig())
    assert decision.environment == {
        "ROCBLAS_USE_HIPBLASLT": "1", "GGML_CUDA_ENABLE_UNIFIED_MEMORY": "1",
    }  # fmt: skip
    assert changed(decision)["mmap"] is False
    card = decide(facts_of("discrete", 2, ("hip",)), EngineConfig())
    assert card.environment == {"ROCBLAS_USE_HIPBLASLT": "1"}  # its memory is not the host's


def test_what_does_not_fit_is_split_and_said() -> None:
    found = facts_of("strix-halo", 90, ("vulkan",))  # 66 of 98 GiB are in use by another model
    decision = decide(found, EngineConfig())
    layers = values(decision)["gpu_layers"]
    assert 0 < layers < 40
    assert layers * found.needed / 41 < found.gpu_free
    assert values(decision)["threads"] == 0 and values(decision)["mmap"] is True
    assert "ttm.pages_limit" in decision.hints[0].remedy


@pytest.mark.parametrize("backend", ["vulkan", "hip"])
def test_a_card_takes_the_layers_that_fit_its_memory(backend: str) -> None:
    found = facts_of("discrete", 12, (backend,))  # 24 GiB, 19.6 of them in use
    assert not found.unified
    decision = decide(found, EngineConfig())
    layers = values(decision)["gpu_layers"]
    assert 0 < layers < 40 and layers * found.needed / 41 < 4.4 * GIB
    assert values(decision)["mmap"] is (backend == "vulkan")
    whole = decide(facts_of("discrete", 2, (backend,)), EngineConfig())
    assert values(whole)["gpu_layers"] == -1 and changed(whole)["mmap"] is False
    nothing = msgspec.structs.replace(found, device_free=GIB // 4)
    assert values(decide(nothing, EngineConfig()))["gpu_layers"] == 0


def test_a_gpu_build_that_finds_none() -> None:
    decision = decide(facts_of("strix-halo", 4, ("vulkan",), devices=0), EngineConfig())
    assert changed(decision) == {} and "found none" in decision.hints[0].what
    off = decide(facts_of("strix-halo", 4, ("vulkan",)), EngineConfig(gpu_layers=0))
    assert changed(off) == {} and off.hints == ()


def test_switched_off() -> None:
    assert decide(facts_of("strix-halo", 20, ("hip",)), EngineConfig(auto=False)) == Decision()


def test_a_model_larger_than_the_memory_is_said_and_cells_stay_exact() -> None:
    decision = decide(facts_of("strix-halo", 300), EngineConfig())
    assert any("q8_0" in hint.remedy for hint in decision.hints)
    assert values(decision)["type_k"] == "f16"


def test_a_machine_that_cannot_be_looked_at_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("the driver fell over")

    monkeypatch.setattr("engine.telemetry.machine.Machine.look", fail)
    found = gather(read_header(MINI), EngineConfig())
    assert found.gpu is None and found.cores >= 1
    assert "fell over" in decide(found, EngineConfig()).hints[0].what


def test_applied() -> None:
    decision = decide(facts_of("strix-halo", 20, ("vulkan",), **MOE), EngineConfig(n_ctx=4096))
    engine, compaction = apply(decision, EngineConfig(n_ctx=4096), CompactionConfig())
    assert (engine.n_ubatch, engine.threads, engine.mmap, engine.n_ctx) == (1024, 4, False, 4096)
    assert compaction.threads == 8


def test_a_device_of_unknown_kind_is_taken_as_a_card() -> None:
    gpu = Gpu(id="x", name="X", driver="amdgpu", kind="unknown", vram_total=8 * GIB, vram_used=0)
    found = facts_of("strix-halo", 20, ("vulkan",), gpu=gpu)
    assert values(decide(found, EngineConfig()))["gpu_layers"] < 40
