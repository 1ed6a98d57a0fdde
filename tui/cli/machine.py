"""`halo-tui machine`: who holds the memory and what the GPU does, without the app."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from tui.cli.settings import Settings, settings_options


@click.command()
@settings_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--pid", type=int, help="Process id of an engine core, for its share of the memory.")
def command(settings: Settings, as_json: bool, pid: int | None) -> None:
    """Show GPUs, memory and NPU of this machine, once."""
    from engine import workers
    from engine.telemetry.advice import warnings
    from engine.telemetry.bars import bars
    from engine.telemetry.machine import Machine

    config = settings.load()
    machine = Machine(config.telemetry.root or "/")
    try:
        machine.look(pid)
        time.sleep(0.2)  # the CPU's share is that between two looks
        sample = machine.look(pid)
    finally:
        machine.close()
    pools = bars(sample, None)
    found = workers.look(config.engine.rpc)
    warned = warnings(sample, pools, config.engine, config.telemetry.warn_free)
    if as_json:
        click.echo(json.dumps(as_object(sample, pools, warned, found), ensure_ascii=False))
        return
    from tui.cli.output import width, wrapped
    from tui.widgets.machine_text import machine_text
    from tui.widgets.worker_text import worker_lines

    lines = worker_lines(config.engine.rpc, None, found)
    text = machine_text(sample, pools, None, warned, width(), 60, None, 1.0, lines).plain
    for line in text.splitlines():
        sentence = line[:2] in ("– ", "! ")  # the rest is drawn to the width already
        click.echo(wrapped(line, 2) if sentence else line)


def as_object(sample: Any, pools: Any, warned: Any, found: Any = ()) -> dict[str, Any]:
    """The JSON of --json: bytes, W, °C, MHz, shares 0 to 1; null where nobody tells."""
    import msgspec

    told = msgspec.to_builtins(sample)
    told["memory"] = [
        {**msgspec.to_builtins(pool), "used": pool.used, "free": pool.part("free")}
        for pool in pools
    ]
    told["warnings"] = msgspec.to_builtins(warned)
    told["workers"] = msgspec.to_builtins(list(found))
    return dict(told)
