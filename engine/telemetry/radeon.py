"""What pyamdgpuinfo (libdrm) knows beyond sysfs: a card's marketing name, and values without a file.

The package is for Linux on x86-64; without it the files of sysfs are all there is.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import msgspec

from engine.telemetry.types import Gpu


class Libdrm:
    """Fills what sysfs left open. Opens each card once; a card that cannot be opened is left."""

    def __init__(self, module: Any = None) -> None:
        """`module` stands in for pyamdgpuinfo."""
        self._module = module
        self._cards: dict[str, Any] | None = None

    def _open(self) -> dict[str, Any]:
        if self._cards is None:
            self._cards = {}
            try:
                module = self._module or importlib.import_module("pyamdgpuinfo")
                count = module.detect_gpus()
            except (ImportError, OSError, RuntimeError):
                return self._cards  # no package, no /dev/dri, or no libdrm
            for index in range(count):
                try:
                    card = module.get_gpu(index)
                    self._cards[card.pci_slot] = card
                except (OSError, RuntimeError):
                    continue
        return self._cards

    def fill(self, gpu: Gpu) -> Gpu:
        """The same card with more known about it."""
        card = self._open().get(gpu.id)
        if card is None:
            return gpu
        more: dict[str, Any] = {}
        if gpu.name.startswith("AMD GPU ") and (name := getattr(card, "name", None)):
            more["name"] = str(name)
        for key, ask, scale in (
            ("vram_used", "query_vram_usage", 1),
            ("gtt_used", "query_gtt_usage", 1),
            ("power", "query_power", 1),
            ("temperature", "query_temperature", 1),
            ("clock", "query_sclk", 1e-6),
            ("memory_clock", "query_mclk", 1e-6),
        ):
            if getattr(gpu, key) is None:
                value = _asked(getattr(card, ask, None))
                if value is not None:
                    more[key] = int(value) if key.endswith("used") else value * scale
        return msgspec.structs.replace(gpu, **more) if more else gpu


def _asked(query: Callable[[], float] | None) -> float | None:
    try:
        return query() if query else None
    except (OSError, RuntimeError):
        return None
