"""What doctor says of memory: does the model fit the host, the card, and what the GPU may map."""

from __future__ import annotations

from engine.core.preflight import available_bytes
from engine.telemetry.advice import gib
from engine.telemetry.files import Root
from engine.telemetry.types import Gpu, Sample
from tui.cli.checks import Problem, Report
from tui.cli.output import size

PAGE = 4096
STEP = 100_000  # pages; a round number is easier to type
FOR_SYSTEM = 0.22  # share of the memory that stays with the system: 25,600,000 pages of 128 GB
LOW = 0.7  # a GTT limit below that share of the memory is worth a hint on unified memory
Q8_SHARE = 34 / 64  # of q8_0 cells: 32 values in 34 bytes, against 64 of f16
LEAST_CELLS = 1024  # fewer are no remedy


def memory(report: Report) -> None:
    """Model and cells against what is free: of the card, if one computes, and of the host."""
    sample: Sample = report.sample
    host, root = sample.host, report.config.telemetry.root
    free = host.available if root else min(host.available, available_bytes())
    cells = report.config.engine.n_ctx or int(report.model.get("n_ctx_train", 0))
    cell_bytes = int(report.model.get("kv_bytes_per_cell", 0))
    model_bytes = int(report.model.get("bytes", 0))
    needed = model_bytes + cells * cell_bytes
    report.memory = {
        "total": host.total,
        "available": free,
        "model": model_bytes,
        "cells": cells * cell_bytes,
        "needed": needed,
    }
    beside = sum(sum(one["free"]) for one in report.workers) if report.config.engine.rpc else 0
    have = f"{size(free)} of {size(host.total)} available"
    have += f", {size(beside)} on workers" if beside else ""
    card = _card(report)
    if card is not None:
        left = max(0, (card.vram_total or 0) - (card.vram_used or 0))
        beside += left
        have = f"{size(left)} of {size(card.vram_total or 0)} free on {card.name}, {have}"
    if not needed:
        report.add("memory", None, have)
        return
    detail = (
        f"{size(needed)} needed (model {size(model_bytes)}, {cells} cells "
        f"{size(cells * cell_bytes)}), {have}"
    )
    if needed > free + beside:
        what = (
            f"The model and {cells} cells need {size(needed)}, {size(free + beside)} are available."
        )
        remedy = _smaller(report, free + beside - model_bytes, cells, cell_bytes)
        report.add("memory", False, detail, Problem(what, remedy))
    elif card is not None and needed > left:
        report.add(
            "memory", None, f"{detail}: layers that the card has no room for stay with the CPU"
        )
    else:
        report.add("memory", True, detail)


def _smaller(report: Report, room: int, cells: int, cell_bytes: int) -> str:
    """What makes it fit, with numbers. `room`: bytes for cells beside the weights."""
    engine = report.config.engine
    fits = room // max(1, cell_bytes) // 256 * 256
    remedies = []
    if fits >= LEAST_CELLS:
        remedies.append(f"set engine.n_ctx to {fits} or less")
    if engine.type_k == engine.type_v == "f16":
        quantised = room // max(1, int(cell_bytes * Q8_SHARE)) // 256 * 256
        if quantised >= cells:
            remedies.append("set engine.type_k and type_v to q8_0")
        elif quantised >= LEAST_CELLS:
            remedies.append(f"set engine.type_k and type_v to q8_0 and n_ctx to {quantised}")
    remedies.append("close other programs")
    remedies.append("take a smaller model or a stronger quantisation")
    text = ", ".join(remedies[:-1]) + f", or {remedies[-1]}."
    return text[0].upper() + text[1:]


def _card(report: Report) -> Gpu | None:
    """The card with memory of its own that computes, if there is one."""
    computes = report.backends[:1] not in ([], ["cpu"], ["rpc"]) and len(report.devices) > 1
    cards = (gpu for gpu in report.sample.gpus if gpu.kind == "discrete" and gpu.vram_total)
    return next(cards, None) if computes and report.config.engine.gpu_layers != 0 else None


def pages_limit(memory: int) -> int:
    """What to set ttm.pages_limit to on a machine with so many bytes."""
    return int(memory * (1 - FOR_SYSTEM)) // PAGE // STEP * STEP


def gpu_memory(report: Report) -> None:
    """On unified memory: how much the GPU may hold, against what model and cells need."""
    sample: Sample | None = report.sample
    one = next((gpu for gpu in sample.gpus if gpu.kind == "apu"), None) if sample else None
    if sample is None or one is None or one.gtt_total is None:
        return
    carve = one.vram_total or 0
    may, memory = one.gtt_total + carve, sample.host.total + carve
    needed = int(report.memory.get("needed", 0))
    pages = max(pages_limit(memory), -(-needed // PAGE // STEP) * STEP)
    report.gpu["limit"] = may
    report.gpu["pages_limit"] = pages
    detail = f"it may hold {gib(may)} of {gib(memory)} (carve-out {gib(carve)}, GTT {gib(one.gtt_total)})"
    limit = sample.host.ttm_limit
    if limit is not None and limit > one.gtt_total:
        cause = (
            "amdgpu.gttsize on the kernel command line holds GTT below ttm.pages_limit: remove it. "
        )
    else:
        cause = ""
    remedy = f"{cause}{_raise(pages, Root(report.config.telemetry.root or '/'))}"
    if needed > may:
        if needed > memory:
            remedy = "Take a smaller model, or fewer cells (engine.n_ctx)."
        report.add(
            "gpu memory",
            False,
            detail,
            Problem(f"Model and cells need {gib(needed)}, the GPU may hold {gib(may)}.", remedy),
        )
    elif may < LOW * memory:
        report.add(
            "gpu memory",
            None,
            f"{detail}; that is enough for this model, for a larger one: {remedy}",
        )
    else:
        report.add("gpu memory", True, detail)


def _raise(pages: int, root: Root) -> str:
    """How ttm.pages_limit is raised: by modprobe, or where ttm is built in, by the kernel's line."""
    built_in = root.exists("/sys/module/ttm") and not root.exists("/sys/module/ttm/initstate")
    if built_in:
        how = (
            f"Add ttm.pages_limit={pages} ttm.page_pool_size={pages} to the kernel command line "
            "(GRUB_CMDLINE_LINUX in /etc/default/grub, then sudo update-grub; Fedora: sudo grubby "
            f"--update-kernel=ALL --args='ttm.pages_limit={pages} ttm.page_pool_size={pages}')"
        )
    else:
        how = (
            f"echo 'options ttm pages_limit={pages} page_pool_size={pages}' | sudo tee "
            "/etc/modprobe.d/halo-ttm.conf && sudo update-initramfs -u (Fedora: sudo dracut -f)"
        )
    return f"{how}, then restart. A small carve-out in the BIOS (512 MB) leaves the rest to both."
