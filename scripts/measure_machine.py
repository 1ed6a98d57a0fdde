"""What looking at the machine costs: CPU time of the app with its screen open, less that without.

python scripts/measure_machine.py [ROOT]     (default: the recorded Strix Halo)
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP))

import msgspec  # noqa: E402

from engine.config import load  # noqa: E402
from engine.telemetry.machine import Machine  # noqa: E402
from tests.support.scripted import ScriptedClient  # noqa: E402
from tui.app import HaloApp  # noqa: E402

SECONDS, ROUNDS = 10.0, 3


async def cost(root: str, watch: bool, shown: bool, still: bool = False) -> float:
    """CPU seconds of the process per second; `still`: the screen is open, but does not look."""
    config = load(None, {}, [f"telemetry.root={root}"])
    with tempfile.TemporaryDirectory() as folder:
        app = HaloApp(config, Path(folder), ScriptedClient(), watch=watch)
        async with app.run_test(size=(120, 40)) as pilot:
            await pilot.pause(1.0)
            if shown:
                await pilot.press("alt+m")
                await pilot.pause(1.0)
            if still:
                app.main.machine.close()
            began, cpu = time.monotonic(), time.process_time()
            await asyncio.sleep(SECONDS)
            return (time.process_time() - cpu) / (time.monotonic() - began)


async def per_draw(root: str, times: int = 100) -> float:
    """CPU ms of taking in a look and painting it, one after the other."""
    config = load(None, {}, [f"telemetry.root={root}"])
    with tempfile.TemporaryDirectory() as folder:
        app = HaloApp(config, Path(folder), ScriptedClient())
        async with app.run_test(size=(120, 40)) as pilot:
            await pilot.pause(0.5)
            await pilot.press("alt+m")
            await pilot.pause(1.0)
            watch = app.main.machine
            watch.close()
            assert watch.sample is not None
            first = watch.sample

            async def step(index: int) -> None:
                share = index % 37 / 37
                gpus = tuple(
                    msgspec.structs.replace(g, busy=share, power=100 * share, clock=2900 * share)
                    for g in first.gpus
                )
                watch.take(msgspec.structs.replace(first, gpus=gpus))
                await pilot.pause(0.0)
                app.screen._on_timer_update()

            for index in range(times):
                await step(index)
            began = time.process_time()
            for index in range(times):
                await step(index)
            return (time.process_time() - began) * 1000 / times


async def main() -> None:
    root = sys.argv[1] if len(sys.argv) > 1 else str(TOP / "tests/data/sysfs/strix-halo")
    ways = {
        "without": (False, False),
        "in the background": (True, False),
        "screen, still": (True, True, True),
        "on the screen": (True, True),
    }
    rows: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            rows[name].append(await cost(root, *way))
    medians = {name: statistics.median(values) for name, values in rows.items()}
    machine = Machine(root)
    machine.look(4242)
    began = time.process_time()
    for _ in range(100):
        machine.look(4242)
    looks = (time.process_time() - began) * 10
    result = {
        "core_share": {name: round(value, 4) for name, value in medians.items()},
        "added_in_background": round(medians["in the background"] - medians["without"], 4),
        "added_on_screen": round(medians["on the screen"] - medians["screen, still"], 4),
        "ms_per_draw": round(await per_draw(root), 3),
        "ms_per_look": round(looks, 3),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    asyncio.run(main())
