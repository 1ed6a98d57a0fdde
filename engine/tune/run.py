"""`halo-tui tune`: bandwidth, the search, the final comparison, and what is told of it.

`Tuner` keeps what it has found at any time, so that stopping it loses nothing that was measured.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import psutil

from engine.bench.throughput import machine
from engine.client import model_path
from engine.config import Config
from engine.core.model import thread_count
from engine.errors import HaloError
from engine.protocol import Ready
from engine.tune import bandwidth
from engine.tune.search import Paired, Search, Settings, compare, dimensions, words
from engine.tune.traffic import Traffic, cpu_cache, traffic
from engine.tune.work import Reading, Work, calibrated, measure

QUICK_SECONDS, SECONDS = 2.0, 5.0  # of work in one measurement, without loading the model
QUICK_PAIRS, PAIRS, CELLS_PAIRS = 4, 7, 3
BUSY = 0.5  # load for each core: others are at work
KEYS = (
    "engine.threads", "engine.threads_batch", "engine.n_batch", "engine.n_ubatch",
    "engine.flash_attention", "engine.type_k", "engine.type_v",
)  # fmt: skip
EXACT = ("f32", "f16", "bf16")
QUANTISED = {"engine.type_k": "q8_0", "engine.type_v": "q8_0"}

Tell = Callable[[str], None]


class Tuner:
    """One run. `run` returns what `--json` prints; it can be cancelled at any time."""

    def __init__(
        self,
        config: Config,
        tell: Tell,
        *,
        agents: tuple[int, ...] = (1, 4),
        quick: bool = False,
        quantised: bool = False,
    ) -> None:
        """`config`: the settings without what an earlier run wrote. `quantised`: cells that change
        answers may be chosen."""
        self._config = config
        self._tell = tell
        self._agents = agents
        self._quick = quick
        self._quantised = quantised
        self._began = time.monotonic()
        self._spent: list[float] = []  # seconds of each measurement
        self._planned = 0
        self._work = Work(agents, 0, 0)
        self._ready: Ready | None = None
        self._readings: dict[str, list[Reading]] = {}  # of each settings, by their words
        self._final: dict[str, list[Reading]] = {}  # those of the final comparison
        self._traffic: Traffic | None = None
        self._speeds: dict[str, Any] = {}
        self._load = machine()
        self.search: Search | None = None
        self.final = Paired()
        self.cells = Paired()
        self.stopped = False

    @property
    def winner(self) -> Settings:
        """What beat the default in the final comparison, {} when nothing did."""
        return dict(self.search.best) if self.search and self.final.confirmed else {}

    # --- the run --------------------------------------------------------------------------------

    async def run(self) -> dict[str, Any]:
        """Everything; what was found until then when it is cancelled. Raises HaloError."""
        try:
            await self._all()
        except asyncio.CancelledError:
            self.stopped = True
        return self.result()

    async def _all(self) -> None:
        path = model_path(self._config)
        self._traffic = traffic(path)
        free = os.cpu_count() or 1
        if self._load["load_before"] > BUSY * free:
            self._tell(
                f"Other programs are busy (load {self._load['load_before']:.1f} on {free} cores): "
                "figures will scatter, and the default stays where it cannot be told."
            )
        self._tell(f"{path.name}: loading it, and how much work fits the time")
        seconds = QUICK_SECONDS if self._quick else SECONDS
        self._work, _, self._ready = await calibrated(self._config, self._agents, seconds)
        await self._bandwidth()
        found = self._dimensions()
        self.search = Search(self._seconds, found, 2 if self._quick else 3, self._tell)
        pairs = QUICK_PAIRS if self._quick else PAIRS
        self._planned = self.search.most + 2 * pairs + 2 * CELLS_PAIRS
        best = await self.search.run()
        if best:
            self._tell(f"The default against {words(best)}, {pairs} times in turns")
            self._planned = len(self._spent) + 2 * pairs + 2 * CELLS_PAIRS
            self._readings.clear()  # what is told is what was measured in turns
            self._final = self._readings
            await compare(self._seconds, {}, best, pairs, self.final)
            self._readings = {}
        if not self._quantised and self._may_be_quantised():
            self._planned = len(self._spent) + 2 * CELLS_PAIRS
            self._tell("Quantised cells, for information: they change answers")
            start = self.winner
            await self._compare_cells(start)

    async def _compare_cells(self, start: Settings) -> None:
        try:
            await compare(self._seconds, start, {**start, **QUANTISED}, CELLS_PAIRS, self.cells)
        except HaloError as error:
            self._tell(f"They cannot be used here. {error}")

    def _may_be_quantised(self) -> bool:
        ready = self._ready
        return (
            ready is not None
            and ready.type_k in EXACT
            and ready.type_v in EXACT
            and self._effective()["engine.flash_attention"] != "off"
            and self.winner.get("engine.flash_attention") != "off"
        )

    async def _bandwidth(self) -> None:
        assert self._ready is not None
        threads, gpu = thread_count(0), self._on_gpu()
        host = await asyncio.to_thread(bandwidth.host_read, threads)
        self._speeds = {"host_gb_s": round(host / 1e9, 2)}
        try:
            name, speed = await asyncio.to_thread(bandwidth.device_read, threads, gpu)
            self._speeds |= {"device": name, "device_gb_s": round(speed / 1e9, 2)}
        except HaloError as error:
            self._tell(str(error))
        shown = f"{host / 1e9:.1f} GB/s by {threads} threads"
        if "device" in self._speeds:
            shown += (
                f", {self._speeds['device_gb_s']:.1f} GB/s by products on {self._speeds['device']}"
            )
        self._tell(f"Memory is read at {shown}")

    def _on_gpu(self) -> bool:
        """Whether all layers are computed by a GPU."""
        ready = self._ready
        if ready is None or ready.backend == "cpu" or len(ready.devices) < 2:
            return False
        layers = next(
            (c.value for c in ready.chosen if c.key == "engine.gpu_layers"),
            self._config.engine.gpu_layers,
        )
        return layers == -1 or int(layers) > ready.n_layer

    def _effective(self) -> Settings:
        """What holds without tune: settings, and what is chosen for the machine."""
        assert self._ready is not None
        values: Settings = {
            key: getattr(self._config.engine, key.partition(".")[2]) for key in KEYS
        }
        return values | {c.key: c.value for c in self._ready.chosen if c.key in values}

    def _dimensions(self) -> list[Any]:
        assert self._ready is not None
        held = [key for key in KEYS if key in self._config.sources]
        for key in held:
            self._tell(f"{key} is yours ({self._config.sources[key]}) and stays")
        return dimensions(
            self._effective(),
            cores=thread_count(0),
            logical=min(psutil.cpu_count() or 1, len(os.sched_getaffinity(0))),
            on_gpu=self._on_gpu(),
            n_ctx=self._ready.n_ctx,
            prompt=self._work.prompt,
            held=held,
            quick=self._quick,
            quantised=self._quantised,
        )

    async def _seconds(self, settings: Settings) -> float:
        """Measure and tell; the score. Raises HaloError for settings that cannot be used."""
        began = time.monotonic()
        reading, _ = await measure(self._config, settings, self._work)
        self._spent.append(time.monotonic() - began)
        self._readings.setdefault(words(settings), []).append(reading)
        rates = ", ".join(f"{reading.decode[n]:.1f} ({n})" for n in self._agents)
        left = max(0, self._planned - len(self._spent)) * sum(self._spent) / len(self._spent)
        self._tell(
            f"[{len(self._spent)}/{max(self._planned, len(self._spent))}, {duration(left)} left at "
            f"most] {words(settings)}: prompts {reading.prefill:.0f} tok/s, answers {rates} tok/s"
        )
        return reading.score

    # --- the result -----------------------------------------------------------------------------

    def result(self) -> dict[str, Any]:
        """What `--json` prints, as far as it is known."""
        ready, search = self._ready, self.search
        return {
            "model": ready.model if ready else model_path(self._config).stem,
            "path": str(model_path(self._config)),
            "model_bytes": ready.model_bytes if ready else None,
            "backend": ready.backend if ready else None,
            "machine": self._load,
            "bandwidth": self._speeds,
            "work": {
                "agents": list(self._agents), "prompt_tokens": self._work.prompt,
                "answer_tokens": self._work.answer, "repeats": self._work.repeats,
            },
            "default": {
                "settings": self._effective() if ready else {}, **self._reading({}),
            },
            "found": {"settings": search.best, **self._reading(search.best)} if search else None,
            "confirmed": self.final.confirmed,
            "gain": round(self.final.gain, 4) if self.final.confirmed else 1.0,
            "measured_gain": round(self.final.gain, 4) if self.final.ratios else None,
            "ratios": [round(r, 4) for r in self.final.ratios],
            "tried": [
                {
                    "dimension": t.dimension, "settings": t.settings,
                    "seconds": [round(s, 4) for s in t.seconds], "dropped": t.dropped,
                    "fault": t.fault,
                }
                for t in (search.tried if search else [])
            ],
            "quantised_cells": self._cells(),
            "roofline": self._roofline(),
            "stopped": self.stopped,
            "seconds": round(time.monotonic() - self._began, 1),
        }  # fmt: skip

    def _middle(self, settings: Settings) -> Reading | None:
        """The medians of some settings: of the final comparison, else of all that was measured."""
        readings = (self._final or self._readings).get(words(settings), [])
        if not readings:
            return None

        def middle(name: str) -> dict[int, float]:
            return {
                n: statistics.median(getattr(r, name)[n] for r in readings) for n in self._agents
            }

        prefill = statistics.median(r.prefill for r in readings)
        return Reading(middle("seconds"), middle("decode"), prefill)

    def _reading(self, settings: Settings) -> dict[str, Any]:
        reading = self._middle(settings)
        if reading is None:
            return {"prefill_tok_s": None, "decode_tok_s": {}}
        return {
            "prefill_tok_s": round(reading.prefill, 1),
            "decode_tok_s": {str(n): round(v, 2) for n, v in reading.decode.items()},
        }

    def _cells(self) -> dict[str, Any] | None:
        if not self.cells.ratios:
            return None
        return {
            "type_k": QUANTISED["engine.type_k"], "type_v": QUANTISED["engine.type_v"],
            "ratio": round(self.cells.gain, 4), "ratios": [round(r, 4) for r in self.cells.ratios],
        }  # fmt: skip

    def _roofline(self) -> dict[str, Any] | None:
        """How near decoding comes to what the memory allows, with the best settings so far."""
        reading = self._middle(self.winner)
        speed = self._speeds.get("device_gb_s") if self._on_gpu() else None
        if speed is None and not self._on_gpu():
            speed = max(
                (self._speeds[k] for k in ("host_gb_s", "device_gb_s") if k in self._speeds),
                default=None,
            )
        if reading is None or self._traffic is None or speed is None:
            return None
        rows = []
        for count, rate in reading.decode.items():
            most = self._traffic.most(speed * 1e9, count)
            rows.append({
                "agents": count, "bytes_per_step": round(self._traffic.step(count)),
                "tok_s": round(rate, 2), "most_tok_s": round(most, 2),
                "share": round(rate / most, 4),
            })  # fmt: skip
        in_cache = not self._on_gpu() and self._traffic.step(max(reading.decode)) < cpu_cache()
        return {"gb_s": speed, "in_cache": in_cache, "rows": rows}

    def notes(self) -> list[str]:
        """Comment lines for the settings file: what was measured, and when."""
        found = self.result()
        ratios = found["ratios"]
        load, cores = found["machine"]["load_before"], found["machine"]["cores"]
        busy = f", load {load:.1f} on {cores} cores" if load > BUSY * (cores or 1) else ""

        def rates(part: dict[str, Any]) -> str:
            answers = ", ".join(f"{v:g} ({n})" for n, v in part["decode_tok_s"].items())
            return f"prompts {part['prefill_tok_s']:g} tok/s, answers (agents) {answers} tok/s"

        return [
            f"{time.strftime('%Y-%m-%d')}, {found['model']} on {found['backend']}, "
            f"{found['machine']['cpu']}: {found['gain']:.2f} x the default "
            f"({min(ratios):.2f} to {max(ratios):.2f} in {len(ratios)} comparisons{busy})",
            f"default: {rates(found['default'])}",
            f"with this: {rates(found['found'])}",
        ]


def duration(seconds: float) -> str:
    """40 s, 3 min."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
