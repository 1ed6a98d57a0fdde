"""What doctor says of the GPU: may it be used, is it used, and how much memory it may have."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from typing import Any

import msgspec

from engine.telemetry.advice import gib
from engine.telemetry.files import Root
from engine.telemetry.history import main_gpu
from engine.telemetry.machine import Machine
from engine.telemetry.types import Gpu, Sample
from tui.cli import hip_checks
from tui.cli.checks import Problem, Report

NEEDS = {  # per ggml backend: what to do before building for it
    "vulkan": "sudo apt install libvulkan-dev glslc spirv-headers mesa-vulkan-drivers; on Debian 12 "
    "the Vulkan SDK",
    "hip": "ROCm 6.1 or newer with hipBLAS and rocBLAS; docs/native.md says which",
    "cuda": "install the CUDA toolkit",
}


def gpu(report: Report) -> None:
    """The GPUs there are, and whether this user may use them. None is no problem: the CPU does."""
    machine = Machine(report.config.telemetry.root or "/")
    try:
        sample = machine.look()
    finally:
        machine.close()
    dev = machine.root.at("/dev")
    dri = sorted(f"/dev/dri/{p.name}" for p in dev.glob("dri/renderD*"))
    nvidia = sorted(f"/dev/{p.name}" for p in dev.glob("nvidia[0-9]*"))
    kfd = machine.root.exists("/dev/kfd")
    nodes = [*dri, *nvidia, *(["/dev/kfd"] if kfd else [])]
    report.sample = sample
    report.gpu = {
        "dri": dri,
        "kfd": kfd,
        "nvidia": nvidia,
        "usable": [n for n in nodes if os.access(machine.root.at(n), os.R_OK | os.W_OK)],
        "found": [_told(one) for one in sample.gpus],
        "probes": _probes(),
    }
    wanted = report.config.engine.gpu_layers != 0
    if not sample.gpus:
        fault = sample.faults[0] if sample.faults else None
        # A device file without a card that can be read is worth a look; no GPU at all is not.
        what = fault.what if fault else "no GPU"
        cpu = report.backends[:1] in ([], ["cpu"])
        report.add("gpu", None, f"{what} The CPU is used." if cpu and what.endswith(".") else what)
        return
    problems = [Problem(fault.what, fault.remedy) for fault in sample.faults] if wanted else []
    names = "; ".join(_line(one) for one in sample.gpus)
    report.add("gpu", not problems, names, *problems)
    missing = [name for name, version in report.gpu["probes"].items() if not version]
    if missing:
        report.add("gpu probes", None, f"sysfs only; not installed: {', '.join(missing)}")


def _told(one: Gpu) -> dict[str, object]:
    keys = (
        "id",
        "name",
        "driver",
        "kind",
        "vram_total",
        "vram_used",
        "gtt_total",
        "gtt_used",
        "node",
    )
    return {key: getattr(one, key) for key in keys}


def _line(one: Gpu) -> str:
    kind = {"apu": "APU, unified memory", "discrete": "own memory"}.get(one.kind, "kind unknown")
    parts = [f"{one.name} ({kind})"]
    if one.vram_total:
        parts.append(f"{'carve-out' if one.kind == 'apu' else 'VRAM'} {gib(one.vram_total)}")
    if one.gtt_total:
        parts.append(f"GTT {gib(one.gtt_total)}")
    if one.node:
        parts.append(one.node)
    return ", ".join(parts)


def _probes() -> dict[str, str]:
    """Versions of the libraries that know more than sysfs; "" where one is not installed."""
    found = {}
    for name in ("pyamdgpuinfo", "nvidia-ml-py"):
        try:
            found[name] = installed(name)
        except PackageNotFoundError:
            found[name] = ""
    return found


def backend(report: Report) -> None:
    """Whether this build of llama.cpp can use the GPU that is there."""
    sample: Sample | None = report.sample
    if sample is None or not report.backends:
        return
    card = main_gpu(sample) if sample.gpus else None
    found = len([one for one in report.devices if not one.startswith("RPC ")]) >= 2
    if report.config.engine.gpu_layers == 0:
        if card is not None:
            report.add("gpu backend", None, "not used, since engine.gpu_layers is 0")
        return
    fitting = ("cuda", "vulkan") if card and card.driver == "nvidia" else ("vulkan", "hip")
    built = _built()
    usable = [one for one in built if one in fitting] if card else built
    root = Root(report.config.telemetry.root or "/")
    if card is not None and not usable:
        report.add(
            "gpu backend",
            False,
            f"this build has {report.backends[0]} only",
            Problem(
                f"{card.name} is not used: llama.cpp was built without {' and '.join(fitting)}.",
                f"make run BACKEND={fitting[0]} (first: {NEEDS[fitting[0]]}), or "
                f"BACKEND={fitting[1]} (first: {NEEDS[fitting[1]]}).",
            ),
        )
    elif usable and not found:
        why, remedy = _no_device(usable[0], root)
        report.add(
            "gpu backend",
            False,
            f"{usable[0]}, but it found no device",
            Problem(f"The {usable[0]} backend found no GPU{why}, so the CPU computes.", remedy),
        )
    elif usable:
        report.add("gpu backend", True, f"{usable[0]}: {', '.join(report.devices)}")
    if "hip" in built:
        hip_checks.hip(report, root)


def _no_device(backend: str, root: Root) -> tuple[str, str]:
    """Why a backend found no device, " (…)" or "", and what to do."""
    if backend == "vulkan":
        return "", (
            "Install the driver (sudo apt install mesa-vulkan-drivers) and see what "
            "`vulkaninfo --summary` says. Without a GPU: make run BACKEND=cpu."
        )
    if backend == "cuda":
        return "", (
            "Install NVIDIA's driver, and see what `nvidia-smi` says. Without a GPU: make run "
            "BACKEND=cpu."
        )
    kfd = root.at("/dev/kfd")
    if not kfd.exists():
        return " (there is no /dev/kfd, which ROCm computes through)", (
            "With an AMD GPU: sudo modprobe amdgpu, and see `sudo dmesg | grep -e amdgpu -e kfd`; "
            "in a container: --device /dev/kfd --device /dev/dri. Without one: make run BACKEND=cpu."
        )
    if not os.access(kfd, os.R_OK | os.W_OK):
        return " (this user may not open /dev/kfd)", (
            "sudo usermod -aG render,video $USER, then log in again."
        )
    hidden = [
        name
        for name in ("HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES")
        if name in os.environ
    ]
    if hidden:
        return f" ({' and '.join(hidden)} may hide it)", f"unset {' '.join(hidden)}"
    return "", "See what `rocminfo` says."


def _built() -> list[str]:
    """Backends of the native library that is installed, as BACKEND= names them, without the CPU's."""
    from engine import native
    from engine.errors import HaloError

    try:
        native.silence()
        return list(native.gpu_backends())
    except HaloError:
        return []  # the engine's check tells of it


def auto(report: Report) -> None:
    """What is chosen for this machine and the configured model, and what somebody set."""
    from pathlib import Path

    from engine.auto import facts, rules
    from engine.core.preflight import read_header

    config = report.config
    if not report.model.get("ok"):
        return
    if not config.engine.auto:
        report.add("auto", None, "off (engine.auto): settings are the defaults and yours")
        return
    root = config.telemetry.root
    header = read_header(Path(report.model["path"]))
    found = facts.gather(header, config.engine, backends=_built(), root=root)
    found = msgspec.structs.replace(found, devices=max(0, len(report.devices) - 1))
    decision = rules.decide(found, config.engine, config.compaction, config.sources)
    report.auto = [msgspec.to_builtins(Told(**msgspec.structs.asdict(c))) for c in decision.chosen]
    changed = [f"{c.key} = {_toml(c.value)}: {c.why}" for c in decision.chosen if c.changed]
    yours = [key for key in config.sources if key.startswith("engine.") and key != "engine.auto"]
    detail = "; ".join(changed) or (
        f"the defaults suit it ({found.cores} physical cores, "
        f"{'no GPU' if found.gpu is None else found.gpu.name})"
    )
    if yours:
        detail += f"; yours: {', '.join(yours)}"
    report.add("auto", True, detail)
    for hint in decision.hints:
        if "`halo-tui doctor` says why" in hint.remedy and report.problems:
            continue  # the backend's check did
        if not any(hint.what.split(" is not used")[0] in p.what for p in report.problems):
            report.add("auto", None, f"{hint.what} {hint.remedy}")


class Told(msgspec.Struct):
    """A choice as `--json` prints it."""

    key: str
    value: Any
    why: str
    changed: bool


def _toml(value: Any) -> str:
    from engine.config_edit import dump_value

    return dump_value(value)
