"""Who holds the memory: what the system tells and what llama.cpp tells, joined into bars.

On unified memory there is one bar, since everything comes out of the same chips: the host's memory
and the carve-out that the firmware took from it. A card with memory of its own has a bar of its own,
beside the host's.

GTT pages are the host's memory, so they are in the system's "used"; what the GPU holds is taken out of
that before the rest is called "other host use". Weights mapped from the model's file are page cache,
which the system counts as available although a model that answers needs every page of it; here they
are weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from engine.protocol import Held, Holdings
from engine.telemetry.types import Gpu, Host, Sample

LABELS = {
    "weights": "model weights",
    "cells": "KV cells",
    "compute": "compute buffers",
    "gpu": "other GPU use",
    "host": "other host use",
    "free": "free",
}


class Part(msgspec.Struct, frozen=True):
    """A piece of a bar. `of_gpu`: bytes of it that the GPU holds."""

    key: str
    label: str
    bytes: int
    of_gpu: int = 0


class Limit(msgspec.Struct, frozen=True):
    """How much of something there may be, and how much there is."""

    key: str
    label: str
    bytes: int
    used: int | None = None


class Bar(msgspec.Struct, frozen=True):
    """One pool of memory. The parts add up to `total`."""

    kind: str  # unified | vram | host
    title: str
    total: int
    parts: tuple[Part, ...]
    limits: tuple[Limit, ...] = ()

    def part(self, key: str) -> int:
        """Bytes of a part, 0 when the bar has none such."""
        return next((part.bytes for part in self.parts if part.key == key), 0)

    @property
    def used(self) -> int:
        """All that is not free."""
        return self.total - self.part("free")


class _Ours(msgspec.Struct):
    """What llama.cpp holds in one place."""

    weights: int = 0
    cells: int = 0
    compute: int = 0
    mapped: int = 0  # of the weights

    def add(self, held: Held) -> None:
        self.weights += held.model
        self.cells += held.cells
        self.compute += held.compute
        self.mapped += held.model if held.mapped else 0

    @property
    def total(self) -> int:
        return self.weights + self.cells + self.compute


def bars(sample: Sample, holdings: Holdings | None) -> tuple[Bar, ...]:
    """One bar on unified memory or without a GPU; else one for each card, then the host's."""
    # What workers hold is the memory of other machines.
    held = tuple(h for h in holdings.held if h.kind != "rpc") if holdings is not None else ()
    apu = next((gpu for gpu in sample.gpus if gpu.kind == "apu"), None)
    cards = [gpu for gpu in sample.gpus if gpu is not apu and gpu.vram_total]
    found = [_vram(gpu, _on_card(held, index, len(cards))) for index, gpu in enumerate(cards)]
    if apu is not None:
        # Beside a card of its own, llama.cpp's "gpu" is the card and "igpu" the APU.
        kinds = ("igpu", "accel", "meta") if cards else ("gpu", "igpu", "accel", "meta")
        on_gpu = _sum(h for h in held if h.kind in kinds)
        on_host = _sum(h for h in held if h.kind == "cpu" or (h.kind not in kinds and h.host))
        found.insert(0, _unified(apu, sample.host, on_gpu, on_host))
    else:
        on_host = _sum(h for h in held if h.kind == "cpu" or h.host or not cards)
        found.append(_host(sample.host, on_host))
    return tuple(found)


def _sum(held: Iterable[Held]) -> _Ours:
    ours = _Ours()
    for one in held:
        ours.add(one)
    return ours


def _on_card(held: tuple[Held, ...], index: int, count: int) -> _Ours:
    """What lies on the card of that number: ggml numbers its devices (Vulkan0, ROCm1)."""

    def number(one: Held) -> int:
        digits = re.search(r"(\d+)", one.buffer)
        return int(digits.group(1)) if digits else 0

    on_cards = (h for h in held if h.kind == "gpu" and not h.host)
    return _sum(h for h in on_cards if count == 1 or number(h) == index)


def _parts(total: int, ours: list[tuple[_Ours, bool]], gpu: int | None, host: int) -> list[Part]:
    sums: dict[str, list[int]] = {key: [0, 0] for key in LABELS}
    for one, on_gpu in ours:
        for key in ("weights", "cells", "compute"):
            sums[key][0] += getattr(one, key)
            sums[key][1] += getattr(one, key) if on_gpu else 0
    sums["gpu"] = [gpu or 0, gpu or 0]
    sums["host"][0] = host
    # What two sources say does not always fit to the byte: the bar never shows more than there is.
    left, parts = total, []
    for key, (size, of_gpu) in sums.items():
        size = left if key == "free" else min(left, max(0, size))
        left -= size
        if (key, gpu) != ("gpu", None):
            parts.append(Part(key, LABELS[key], size, max(0, min(of_gpu, size))))
    return parts


def _unified(gpu: Gpu, host: Host, on_gpu: _Ours, on_host: _Ours) -> Bar:
    carve, gtt_used = gpu.vram_total or 0, gpu.gtt_used or 0
    held_by_gpu = (gpu.vram_used or 0) + gtt_used
    total = host.total + carve
    other_gpu = held_by_gpu - on_gpu.total
    # Only of the engine's allocations; mapped weights are page cache, which is not "used".
    other_host = host.used - gtt_used - (on_host.total - on_host.mapped)
    limits = [Limit("carve-out", "carve-out", carve, gpu.vram_used)]
    if gpu.gtt_total:
        limits.append(Limit("gtt", "GTT", gpu.gtt_total, gpu.gtt_used))
        limits.append(Limit("gpu", "the GPU", carve + gpu.gtt_total, held_by_gpu))
    if host.ttm_limit is not None:
        limits.append(Limit("ttm", "ttm.pages_limit", host.ttm_limit))
    return Bar(
        "unified",
        "unified memory",
        total,
        tuple(_parts(total, [(on_gpu, True), (on_host, False)], other_gpu, other_host)),
        tuple(limits),
    )


def _vram(gpu: Gpu, ours: _Ours) -> Bar:
    total = gpu.vram_total or 0
    other = (gpu.vram_used or 0) - ours.total
    parts = _parts(total, [(ours, True)], other, 0)
    limits = []
    if gpu.visible_total and gpu.visible_total < total:
        limits.append(Limit("visible", "seen by the CPU", gpu.visible_total, gpu.visible_used))
    if gpu.gtt_total:
        limits.append(Limit("gtt", "GTT", gpu.gtt_total, gpu.gtt_used))
    parts = [part for part in parts if part.key != "host"]
    return Bar("vram", f"VRAM of {gpu.name}", total, tuple(parts), tuple(limits))


def _host(host: Host, ours: _Ours) -> Bar:
    other = host.used - (ours.total - ours.mapped)
    limits = []
    if host.limit is not None:
        limits.append(Limit("cgroup", "control group", host.limit))
    return Bar(
        "host",
        "host memory",
        host.total,
        tuple(_parts(host.total, [(ours, False)], None, other)),
        tuple(limits),
    )
