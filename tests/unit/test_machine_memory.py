"""Bars add up and name who holds what; warnings come in time, with a remedy, and once."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config import EngineConfig
from engine.protocol import Held, Holdings
from engine.telemetry.advice import warnings
from engine.telemetry.bars import LABELS, Bar, bars
from engine.telemetry.history import History
from engine.telemetry.machine import Machine
from engine.telemetry.types import Gpu, Host, Sample

TREES = Path(__file__).parents[1] / "data" / "sysfs"
GIB = 1024**3


def on_gpu(kind: str = "igpu", scale: float = 1.0) -> Holdings:
    """As a Vulkan build holds a model of 50 GiB with 10 GiB of cells."""
    sizes = [int(size * GIB * scale) for size in (50, 10, 1)]
    return Holdings(
        (
            Held("Vulkan0", "Vulkan0", kind, False, False, *sizes),
            Held("Vulkan_Host", "Vulkan0", kind, True, False, 0, 0, GIB // 4),
            Held("CPU_Mapped", "CPU", "cpu", True, True, GIB, 0, 0),
        )
    )


def looked(tree: str) -> Sample:
    return Machine(TREES / tree).look(4242)


def added_up(found: Bar) -> None:
    assert sum(part.bytes for part in found.parts) == found.total
    assert all(0 <= part.of_gpu <= part.bytes for part in found.parts)


def test_unified_memory_is_one_bar() -> None:
    sample = looked("strix-halo")
    (found,) = bars(sample, on_gpu())
    added_up(found)
    gpu, host = sample.gpus[0], sample.host
    assert gpu.vram_total is not None and gpu.gtt_used is not None and gpu.vram_used is not None
    assert found.kind == "unified"
    assert [part.label for part in found.parts] == list(LABELS.values())
    assert found.total == host.total + gpu.vram_total
    assert found.part("weights") == 51 * GIB
    assert found.part("cells") == 10 * GIB
    assert found.part("compute") == GIB + GIB // 4
    assert found.part("gpu") == gpu.gtt_used + gpu.vram_used - int(61.25 * GIB)
    assert found.part("host") == host.used - gpu.gtt_used  # mapped weights are page cache
    limits = {limit.key: limit.bytes for limit in found.limits}
    assert limits["carve-out"] == GIB // 2
    assert limits["gtt"] == limits["ttm"] == 25_600_000 * 4096
    assert limits["gpu"] == limits["gtt"] + limits["carve-out"]


def test_a_card_has_a_bar_of_its_own() -> None:
    sample = looked("discrete")
    vram, host = bars(sample, on_gpu("gpu", 0.25))
    added_up(vram)
    added_up(host)
    assert (vram.kind, host.kind) == ("vram", "host")
    assert vram.part("weights") == int(12.5 * GIB)
    assert host.part("weights") == GIB  # the mapped ones
    assert host.part("compute") == GIB // 4  # pinned for the GPU
    assert "host" not in [part.key for part in vram.parts]
    assert "gpu" not in [part.key for part in host.parts]


def test_without_a_gpu_it_is_the_hosts() -> None:
    sample = msgspec.structs.replace(looked("strix-halo"), gpus=())
    held = Holdings((Held("CPU", "CPU", "cpu", True, False, 4 * GIB, 2 * GIB, GIB),))
    (found,) = bars(sample, held)
    added_up(found)
    assert found.kind == "host"
    assert found.part("host") == sample.host.used - 7 * GIB


def test_nothing_loaded_yet() -> None:
    (found,) = bars(looked("strix-halo"), None)
    added_up(found)
    assert found.part("weights") == found.part("cells") == 0


def test_two_cards_by_the_number_of_the_device() -> None:
    card = looked("discrete").gpus[0]
    other = msgspec.structs.replace(card, id="0000:04:00.0", name="second")
    sample = msgspec.structs.replace(looked("discrete"), gpus=(card, other))
    held = Holdings(
        tuple(
            Held(f"ROCm{i}", f"ROCm{i}", "gpu", False, False, (i + 1) * GIB, 0, 0) for i in (0, 1)
        )
    )
    first, second, _ = bars(sample, held)
    assert (first.part("weights"), second.part("weights")) == (GIB, 2 * GIB)


sizes = st.integers(0, 2**38)


@given(
    st.integers(1, 2**38), sizes, sizes, sizes, sizes, sizes, st.sampled_from(["apu", "discrete"]),
    st.lists(st.tuples(st.sampled_from(["cpu", "gpu", "igpu"]), st.booleans(), sizes, sizes), max_size=4),
)  # fmt: skip
def test_bars_add_up_whatever_the_sources_say(
    total: int, used: int, vram: int, vram_used: int, gtt: int, gtt_used: int, kind: str,
    held: list[tuple[str, bool, int, int]],
) -> None:  # fmt: skip
    used = min(used, total)
    host = Host(total=total, available=total - used, used=used)
    gpu = Gpu(id="a", name="a", driver="amdgpu", kind=kind, vram_total=vram, vram_used=vram_used,
              gtt_total=gtt, gtt_used=gtt_used)  # fmt: skip
    holdings = Holdings(tuple(Held(k, k, k, h, h, model, cells, 1) for k, h, model, cells in held))
    for found in bars(Sample(time=0, host=host, gpus=(gpu,)), holdings):
        added_up(found)


def test_warning_before_memory_runs_out() -> None:
    sample = looked("strix-halo")
    host = sample.host
    tight = msgspec.structs.replace(
        sample,
        host=msgspec.structs.replace(host, available=3 * GIB, used=host.total - 3 * GIB),
    )
    (warning,) = warnings(tight, bars(tight, on_gpu()), EngineConfig())
    assert warning.key == "unified"
    assert "unified memory are free" in warning.what
    assert "engine.n_ctx" in warning.remedy and "5.0 GiB" in warning.remedy
    assert "q8_0" in warning.remedy and "4.7 GiB less" in warning.remedy
    assert "Other programs hold" in warning.remedy
    assert warnings(sample, bars(sample, on_gpu()), EngineConfig()) == []
    assert warnings(tight, bars(tight, on_gpu()), EngineConfig(), warn_free=0) == []


def test_quantised_cells_are_not_advised_twice() -> None:
    sample = looked("strix-halo")
    tight = msgspec.structs.replace(
        sample, host=msgspec.structs.replace(sample.host, used=sample.host.total, available=0)
    )
    engine = EngineConfig(type_k="q8_0", type_v="q8_0")
    (warning,) = warnings(tight, bars(tight, on_gpu()), engine)
    assert "q8_0" not in warning.remedy


def test_no_swap_is_said() -> None:
    sample = looked("discrete")
    host = msgspec.structs.replace(sample.host, used=sample.host.total, available=0)
    tight = msgspec.structs.replace(sample, host=host)
    (warning,) = warnings(tight, bars(tight, None), EngineConfig())
    assert warning.key == "host" and "no swap" in warning.remedy


def test_the_gtt_limit() -> None:
    sample = looked("strix-halo")
    gpu = msgspec.structs.replace(sample.gpus[0], gtt_used=24_900_000 * 4096)
    near = msgspec.structs.replace(sample, gpus=(gpu,))
    found = warnings(near, bars(near, on_gpu()), EngineConfig())
    assert [warning.key for warning in found] == ["gtt"]
    assert "ttm.pages_limit" in found[0].remedy


@pytest.mark.parametrize(("known", "told"), [((), False), (("unified",), True)])
def test_one_at_the_edge_lasts_longer_than_it_takes_to_begin(
    known: tuple[str, ...], told: bool
) -> None:
    sample = looked("strix-halo")
    (found,) = bars(sample, on_gpu())
    share = found.part("free") / found.total / 1.2  # free is 1.2 times what is warned about
    keys = [w.key for w in warnings(sample, [found], EngineConfig(), share, known)]
    assert ("unified" in keys) == told


def test_heat_and_pressure() -> None:
    sample = looked("strix-halo")
    hot = msgspec.structs.replace(
        sample,
        gpus=(msgspec.structs.replace(sample.gpus[0], temperature=97.0),),
        host=msgspec.structs.replace(sample.host, pressure_full=0.3),
    )
    keys = [warning.key for warning in warnings(hot, bars(hot, None), EngineConfig())]
    assert keys == ["pressure", "hot 0000:c5:00.0"]


def test_history_keeps_gaps_apart_from_zero() -> None:
    history, sample = History(3), looked("strix-halo")
    for _ in range(5):
        history.add(sample, bars(sample, None))
    history.add(msgspec.structs.replace(sample, gpus=()), ())
    assert list(history.values["load"]) == [0.97, 0.97, None]
    assert history.told("power") and not history.told("cpu")
