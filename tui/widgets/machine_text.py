"""The machine drawn as text: bars of memory with names, figures, and plots of the last minutes."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from engine.protocol import Ready
from engine.telemetry.advice import Warn, gib
from engine.telemetry.bars import Bar, Limit
from engine.telemetry.history import History
from engine.telemetry.types import Gpu, Sample

# What a part looks like: a texture of its own, since colour alone says nothing to everybody.
LOOKS = {
    "weights": ("█", "#4cc9f0"),
    "cells": ("▓", "#f472b6"),
    "compute": ("▚", "#facc15"),
    "gpu": ("▒", "#a78bfa"),
    "host": ("░", "#94a3b8"),
    "free": ("·", "dim"),
}
SHORT = {
    "weights": "weights",
    "cells": "KV",
    "compute": "compute",
    "gpu": "GPU",
    "host": "host",
    "free": "free",
}
PLOTS = (
    ("load", "GPU load"),
    ("memory", "memory"),
    ("power", "power"),
    ("temperature", "temp"),
    ("clock", "clock"),
    ("bandwidth", "DRAM"),
    ("cpu", "CPU"),
)
TOPS = {"load": 1.0, "memory": 1.0, "cpu": 1.0, "temperature": 100.0}
NAME = 9  # columns of a plot's name
FIGURE = 11  # columns of its newest value
SCALE = 10  # columns of the scale at the right
MARKS = "\u00a0▁▂▃▄▅▆▇█"

Colour = dict[str, str]


def colours(dark: bool = True) -> Colour:
    """The style of each part; darker ones on a light ground."""
    if dark:
        return {
            "plot": "#5fb3f9",
            "plot2": "#8f7df0",
            "warn": "#f2c14e",
            **{key: style for key, (_, style) in LOOKS.items()},
        }
    return {
        "weights": "#0b6e8f", "cells": "#b0286e", "compute": "#8a6d00", "gpu": "#6440c0",
        "host": "#56616f", "free": "dim", "plot": "#1f6feb", "plot2": "#6e40c9", "warn": "#9a6700",
    }  # fmt: skip


# --- bars ---------------------------------------------------------------------------------------


def columns(bar: Bar, width: int) -> dict[str, int]:
    """How many columns each part gets: proportional, all of them, and one for what there is little
    of, taken from the largest."""
    exact = {p.key: p.bytes * width / bar.total if bar.total else 0.0 for p in bar.parts}
    given = {key: int(value) for key, value in exact.items()}
    rest = width - sum(given.values())
    for key in sorted(exact, key=lambda k: given[k] - exact[k])[: max(0, rest)]:
        given[key] += 1
    for part in bar.parts:
        if part.bytes > 0 and given[part.key] == 0:
            given[max(given, key=lambda k: given[k])] -= 1
            given[part.key] = 1
    return given


def bar_text(bar: Bar, width: int, style: Colour) -> Text:
    """One row: each part in its texture and colour, with its name where there is room."""
    text = Text(no_wrap=True, overflow="crop")
    for part in bar.parts:
        room = columns(bar, width)[part.key]
        mark = LOOKS[part.key][0]
        words = next(
            (w for w in (f" {SHORT[part.key]} {gib(part.bytes)} ", f" {SHORT[part.key]} ")
             if len(w) + 2 <= room), "",
        )  # fmt: skip
        left = (room - len(words)) // 2
        text.append(mark * left, style[part.key])
        text.append(words, f"bold {style[part.key]}" if part.key != "free" else "")
        text.append(mark * (room - len(words) - left), style[part.key])
    return text


def limit_text(bar: Bar, width: int) -> Text | None:
    """A row below a bar of unified memory: how far up the GPU may go."""
    limit = next((one for one in bar.limits if one.key == "gpu"), None)
    if bar.kind != "unified" or limit is None or not bar.total:
        return None
    at = min(width - 1, round(width * limit.bytes / bar.total))
    words = f"the GPU may hold {gib(limit.bytes)} "
    text = Text(no_wrap=True, overflow="crop", style="dim")
    if len(words) <= at:
        return text.append(" " * (at - len(words)) + words + "▲")
    return text.append(" " * at + "▲ " + words.strip())


def legend_text(bar: Bar, width: int, style: Colour, across: int) -> Text:
    """Texture, name, size and share of each part, `across` of them in a row; then the total."""
    cells = []
    room = min(width // across, 46)
    for part in bar.parts:
        mark, _ = LOOKS[part.key]
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append(f"{mark * 2} ", style[part.key])
        share = part.bytes / bar.total if bar.total else 0.0
        line.append(f"{part.label:16}{gib(part.bytes):>10}{share:>5.0%}")
        line.truncate(room - 1, pad=True)
        cells.append(line)
    total = Text(f"   {'used':16}{gib(bar.used):>10}{bar.used / max(1, bar.total):>5.0%}", "bold")
    total.truncate(room - 1, pad=True)
    cells.append(total)
    text = Text(no_wrap=True, overflow="crop")
    rows = -(-len(cells) // across)
    for row in range(rows):
        for cell in cells[row::rows]:
            text.append_text(cell).append(" ")
        text.rstrip()
        text.append("\n")
    text.rstrip()
    return text


def title_text(bar: Bar, sample: Sample) -> Text:
    """What this pool is, how large, and of what it is made."""
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(bar.title.upper() if bar.kind != "vram" else bar.title, "bold")
    text.append(f"  {gib(bar.total)}", "bold")
    carve = next((one for one in bar.limits if one.key == "carve-out"), None)
    if carve is not None:
        text.append(f" = host {gib(sample.host.total)} + carve-out {gib(carve.bytes)}", "dim")
    return text


def limits_text(bar: Bar, width: int) -> Text | None:
    """All limits of a pool with what is used of them."""
    shown = [one for one in bar.limits if one.key != "gpu" and not _same_as_gtt(one, bar)]
    if not shown:
        return None
    text = Text("limits  ", "dim", no_wrap=True, overflow="ellipsis")
    for index, one in enumerate(shown):
        text.append(" · " if index else "", "dim")
        text.append(f"{one.label} ")
        used = f"{gib(one.used)} of " if one.used is not None else ""
        text.append(f"{used}{gib(one.bytes)}")
        if (
            one.key == "gtt"
            and width >= 90
            and any(_same_as_gtt(other, bar) for other in bar.limits)
        ):
            text.append(" (ttm.pages_limit)", "dim")
    return text


def _same_as_gtt(one: Limit, bar: Bar) -> bool:
    gtt = next((limit.bytes for limit in bar.limits if limit.key == "gtt"), None)
    return one.key == "ttm" and one.bytes == gtt


# --- figures ------------------------------------------------------------------------------------


def figure(name: str, value: float | None) -> str:
    """A value with its unit; – where nobody told."""
    if value is None:
        return "–"
    if name in ("load", "memory", "cpu"):
        return f"{value:.0%}"
    if name == "bandwidth":
        return f"{value / 1e9:.0f} GB/s"
    return f"{value:,.0f} {({'power': 'W', 'temperature': '°C', 'clock': 'MHz'})[name]}"


def gpu_text(gpu: Gpu, style: Colour) -> Text:
    """One line about a GPU; what nobody tells is left out."""
    kind = {"apu": "APU, unified memory", "discrete": "own memory", "unknown": "kind unknown"}
    text = Text(no_wrap=True, overflow="ellipsis").append(gpu.name, "bold")
    text.append(f" ({kind[gpu.kind]})", "dim")
    parts = []
    if gpu.busy is not None:
        parts.append(f"{gpu.busy:.0%} busy")
    if gpu.power is not None:
        limit = f" of {gpu.power_limit:.0f}" if gpu.power_limit else ""
        gfx = f" (GPU {gpu.gfx_power:.0f})" if gpu.gfx_power is not None else ""
        parts.append(f"{gpu.power:.0f}{limit} W{gfx}")
    for value, word in ((gpu.temperature, ""), (gpu.hotspot, " hot spot"),
                        (gpu.memory_temperature, " memory")):  # fmt: skip
        if value is not None:
            parts.append(f"{value:.0f} °C{word}")
    for value, word in ((gpu.clock, ""), (gpu.memory_clock, " memory"),
                        (gpu.fabric_clock, " fabric")):  # fmt: skip
        if value:
            parts.append(f"{value:,.0f} MHz{word}")
    if gpu.dram_read is not None:
        parts.append(f"DRAM {gpu.dram_read / 1e9:.1f} r {(gpu.dram_write or 0) / 1e9:.1f} w GB/s")
    text.append("".join(f" · {part}" for part in parts))
    if gpu.throttled:
        text.append(f" · slowed by {', '.join(gpu.throttled)}", f"bold {style['warn']}")
    return text


def host_text(sample: Sample) -> Text:
    """One line about CPU, swap, pressure and NPU."""
    host = sample.host
    parts = [f"{host.cores} cores" + (f" {host.cpu:.0%} busy" if host.cpu is not None else "")]
    if host.load is not None:
        parts.append(f"load {host.load:.1f}")
    swap = f"{gib(host.swap_used)} of {gib(host.swap_total)}" if host.swap_total else "none"
    parts.append(f"swap {swap}")
    if host.pressure_some is not None:
        parts.append(f"memory pressure {host.pressure_some:.0%}")
    if host.core_resident is not None:
        parts.append(f"engine resident {gib(host.core_resident)}")
    for npu in sample.npus:
        busy = next((g.npu_busy for g in sample.gpus if g.npu_busy is not None), None)
        parts.append(f"NPU {npu.name}" + (f" {busy:.0%}" if busy is not None else ""))
    text = Text("CPU", "bold", no_wrap=True, overflow="ellipsis")
    text.append(" ").append(" · ".join(parts), "")
    text.stylize("not bold", 3)
    return text


def chosen_text(ready: Ready) -> Text | None:
    """What was set for this machine; None when that is the defaults."""
    parts = [
        f"{c.key.removeprefix('engine.')} {str(c.value).lower()}" for c in ready.chosen if c.changed
    ]
    if not parts:
        return None
    text = Text("Engine", "bold", no_wrap=True, overflow="ellipsis")
    text.append(f" {' · '.join(parts)}", "not bold")
    return text.append(" (chosen for this machine; F6 says why)", "not bold dim")


# --- plots --------------------------------------------------------------------------------------


def plot(values: Sequence[float | None], width: int, rows: int, top: float) -> list[str]:
    """Columns in eighths of a row, newest at the right; nothing where nobody told."""
    shown = ([None] * width + list(values))[-width:]
    levels = [
        None if value is None else max(1, round(min(1.0, value / top) * rows * 8)) if value else 0
        for value in shown
    ]
    lines = []
    for row in range(rows):
        low = (rows - 1 - row) * 8
        lines.append(
            "".join(
                MARKS[0] if level is None else MARKS[max(0, min(8, level - low))]
                for level in levels
            )
        )
    return lines


def top_of(name: str, values: Sequence[float | None]) -> float:
    """Where the scale of a plot ends: fixed for shares, else a round number above all."""
    if name in TOPS:
        return TOPS[name]
    most = max((value for value in values if value is not None), default=1.0)
    step = 10.0 ** (len(str(int(max(1.0, most)))) - 1)
    return next(step * n / 2 for n in range(2, 23) if step * n / 2 >= most)


def plots_text(history: History, width: int, height: int, style: Colour) -> Text:
    """As many plots as there is something to plot, as high as there is room for."""
    names = [(key, label) for key, label in PLOTS if history.told(key)]
    text = Text(no_wrap=True, overflow="crop")
    if not names or height < 1:
        return text
    names = names[: max(1, height)]
    rows = max(1, min(4, height // len(names)))
    gap = 1 if rows >= 2 and height >= len(names) * (rows + 1) - 1 else 0
    if not gap and rows > 2:
        rows -= 1
        gap = 1
    room = width - NAME - FIGURE - SCALE
    for index, (key, label) in enumerate(names):
        values = list(history.values[key])
        top = top_of(key, values)
        lines = plot(values, room, rows, top)
        for row, line in enumerate(lines):
            last = row == rows - 1
            text.append(f"{label if last else '':{NAME}}", "bold" if last else "")
            text.append(f"{figure(key, values[-1]) if last else '':>{FIGURE - 1}} ")
            text.append(line, style["plot2" if index % 2 else "plot"])  # neighbours stay apart
            scale = figure(key, top) if row == 0 and rows > 1 else ""
            text.append(f" {scale}\n", "dim")
        if gap and index < len(names) - 1:
            text.append("\n")
    text.rstrip()
    return text


# --- all of it ----------------------------------------------------------------------------------


def machine_text(
    sample: Sample,
    bars: Sequence[Bar],
    history: History | None,
    warned: Sequence[Warn],
    width: int,
    height: int,
    style: Colour | None = None,
    seconds: float = 1.0,
    workers: Sequence[str] = (),
    ready: Ready | None = None,
) -> Text:
    """Faults and warnings, bars, figures, plots: in this order, as far as there is room.

    `ready`: what the engine said, for what was chosen for this machine.
    """
    style = style or colours()
    blocks: list[Text] = []
    for warning in warned:
        line = Text(f"! {warning.what} ", f"bold {style['warn']}").append(
            warning.remedy, "not bold"
        )
        blocks.append(line)
    told = [(fault.what, fault.remedy) for fault in sample.faults]
    told += [(hint.what, hint.remedy) for hint in (ready.hints if ready is not None else ())]
    for what, remedy in told:
        line = Text(f"– {what} ", "").append(remedy, "dim")
        blocks.append(line)
    roomy = height >= 34
    across = 3 if width >= 110 else 2
    for bar in bars:
        block = title_text(bar, sample)
        block.append("\n").append_text(bar_text(bar, width, style))
        if (tick := limit_text(bar, width)) is not None:
            block.append("\n").append_text(tick)
        block.append("\n").append_text(legend_text(bar, width, style, across))
        if (limits := limits_text(bar, width)) is not None:
            block.append("\n").append_text(limits)
        blocks.append(block)
    if workers:
        block = Text("ON OTHER MACHINES", "bold")
        blocks.append(block.append("".join(f"\n{worker}" for worker in workers), "not bold"))
    about = Text()
    for gpu in sample.gpus:
        about.append_text(gpu_text(gpu, style)).append("\n")
    if sample.users:
        others = ", ".join(f"{user.name} {gib(user.bytes)}" for user in sample.users)
        about.append("GPU users", "bold").append(f" beside the engine: {others}\n")
    about.append_text(host_text(sample))
    if ready is not None and (engine := chosen_text(ready)) is not None:
        about.append("\n").append_text(engine)
    blocks.append(about)
    text = Text("\n\n" if roomy else "\n").join(blocks)
    if history is None:
        return text
    used = sum(max(1, -(-len(line) // max(1, width))) for line in text.plain.split("\n")) + (
        2 if roomy else 1
    )
    ago = history.length * seconds
    left = height - used - 1
    plots = plots_text(history, width, max(1, left), style)
    if plots.plain:
        room = width - NAME - FIGURE - SCALE
        span = min(ago, room * seconds)
        word = f"last {span / 60:.0f} minutes" if span >= 120 else f"last {span:.0f} seconds"
        head = Text(word, "dim")
        text.append("\n\n" if roomy else "\n").append_text(head).append("\n").append_text(plots)
    return text
