"""Warnings before memory runs out, each with what to do about it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from engine.config import EngineConfig
from engine.telemetry.bars import Bar
from engine.telemetry.types import Sample

GIB = 1024**3
HOT = 95.0  # °C
STALLED = 0.10  # share of the last 10 s in which everything waited for memory
NEAR_LIMIT = 0.05  # of the GPU's limit is left
BITS = {"f32": 32, "f16": 16, "bf16": 16}  # cache types that are worth quantising
Q8_BITS = 8.5  # q8_0: 32 values in 34 bytes


class Warn(msgspec.Struct, frozen=True):
    """Something to act on. `key` names it as long as it lasts."""

    key: str
    what: str
    remedy: str


def gib(count: float) -> str:
    """Bytes as 12.3 GiB, or in MiB below one."""
    if abs(count) < GIB:
        return f"{count / 1024**2:,.0f} MiB"
    return f"{count / GIB:,.1f} GiB"


def warnings(
    sample: Sample,
    bars: Sequence[Bar],
    engine: EngineConfig,
    warn_free: float = 0.05,
    known: Sequence[str] = (),
) -> list[Warn]:
    """What to act on now. `known`: keys of those that hold; they end a little later than they begin,
    so that one at the edge is told once."""
    found: list[Warn] = []

    def low(key: str, free: float, of: float, share: float) -> bool:
        edge = share * 1.4 if key in known else share
        return of > 0 and share > 0 and free / of < edge

    for bar in bars:
        free = bar.part("free")
        if low(bar.kind, free, bar.total, warn_free):
            found.append(
                Warn(
                    bar.kind,
                    f"{gib(free)} of {gib(bar.total)} {_name(bar)} are free.",
                    _remedy(sample, bar, engine),
                )
            )
        limit = next((one for one in bar.limits if one.key == "gtt" and one.used is not None), None)
        if bar.kind == "unified" and limit is not None and limit.used is not None:
            left = limit.bytes - limit.used
            if low("gtt", left, limit.bytes, NEAR_LIMIT):
                found.append(
                    Warn(
                        "gtt",
                        f"The GPU may map {gib(left)} more: {gib(limit.used)} of its GTT limit of "
                        f"{gib(limit.bytes)} are in use.",
                        "Raise ttm.pages_limit (`halo-tui doctor` says how), or "
                        + _smaller(bar, engine),
                    )
                )
    full = sample.host.pressure_full
    if full is not None and full >= (STALLED * 0.5 if "pressure" in known else STALLED):
        found.append(
            Warn(
                "pressure",
                f"Everything waited for memory during {full:.0%} of the last 10 seconds.",
                _remedy(sample, bars[-1] if bars else None, engine),
            )
        )
    for gpu in sample.gpus:
        hottest = max(
            (t for t in (gpu.temperature, gpu.hotspot) if t is not None), default=float("-inf")
        )
        hot = f"hot {gpu.id}"
        if hottest >= HOT - (3 if hot in known else 0):
            found.append(
                Warn(
                    hot, f"{gpu.name} has {hottest:.0f} °C.", "See to its fans and its power limit."
                )
            )
    return found


def _name(bar: Bar) -> str:
    return {"unified": "unified memory", "host": "host memory"}.get(bar.kind, bar.title)


def _smaller(bar: Bar | None, engine: EngineConfig) -> str:
    """Fewer bytes for the cells."""
    cells = bar.part("cells") if bar is not None else 0
    text = "lower engine.n_ctx"
    if cells:
        text += f" (half of it gives {gib(cells / 2)} back; /compact makes the conversations fit)"
    bits = (BITS.get(engine.type_k, 0) + BITS.get(engine.type_v, 0)) / 2
    if bits > Q8_BITS and engine.type_k in BITS and engine.type_v in BITS:
        saved = f": {gib(cells * (1 - Q8_BITS / bits))} less" if cells else ""
        text += f", or store cells as q8_0 (engine.type_k, engine.type_v){saved}"
    return text + "."


def _remedy(sample: Sample, bar: Bar | None, engine: EngineConfig) -> str:
    text = _smaller(bar, engine)
    text = f"{text[:1].upper()}{text[1:]}"
    other = (bar.part("host") + bar.part("gpu")) if bar is not None else 0
    if bar is not None and other > 0.25 * bar.total:
        text += f" Other programs hold {gib(other)}: close some."
    if (bar is None or bar.kind != "vram") and not sample.host.swap_total:
        text += " There is no swap: with some (zram, or a swap file) nothing is killed at once."
    return text
