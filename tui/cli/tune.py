"""`halo-tui tune`: measure settings on this machine and model, and keep what is faster."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tui.cli import exit_codes
from tui.cli.number_list import NumberList
from tui.cli.settings import Settings, settings_options

if TYPE_CHECKING:
    from engine.tune.run import Tuner


@click.command()
@settings_options
@click.option("--quick", is_flag=True, help="Fewer contenders, shorter work: about a minute.")
@click.option("--agents", type=NumberList("counts", int, 1, 64, "1,4"), default="1,4",
              show_default=True, help="Numbers of agents that answer at once.")  # fmt: skip
@click.option("--allow-quantised-kv", is_flag=True,
              help="Let q8_0 cells be chosen, too: they change answers a little.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Measure and tell, but write nothing.")
@click.option("--undo", is_flag=True, help="Take out what an earlier run wrote; measures nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    settings: Settings, quick: bool, agents: tuple[int, ...], allow_quantised_kv: bool,
    dry_run: bool, undo: bool, as_json: bool,
) -> int:  # fmt: skip
    """Measure memory, prompts and answers; keep settings that beat the default in turns.

    Settings you made yourself stay. Ctrl-C stops it at any time: it tells what it has found and
    writes nothing. The app must not be open meanwhile: it has the model in memory.
    """
    from engine.tune import keep

    file = Path(settings.config).expanduser() if settings.config else None
    if undo:
        return _undo(file, as_json)
    from agents.roster import DataFolder
    from engine.tune.run import Tuner

    config = settings.load()
    earlier = keep.kept(file)
    keep.without(config, earlier)
    folder = DataFolder(settings.data_dir())
    if warning := folder.lock():  # an open app would be measured, too, and two models may not fit
        _say(warning)
    try:
        tuner = Tuner(config, _say, agents=agents, quick=quick, quantised=allow_quantised_kv)
        result = asyncio.run(tuner.run())
        result["written"] = _write(tuner, file) if not dry_run else None
        result["earlier"] = earlier
    finally:
        folder.unlock()
    if as_json:
        click.echo(json.dumps(result, ensure_ascii=False))
    else:
        click.echo(as_text(result, dry_run))
    return exit_codes.INTERRUPTED if result["stopped"] else exit_codes.OK


def _write(tuner: Tuner, file: Path | None) -> str | None:
    """Keep the winner, if there is one; where."""
    from engine.tune import keep

    return str(keep.keep(tuner.winner, tuner.notes(), file)) if tuner.winner else None


def _undo(file: Path | None, as_json: bool) -> int:
    from engine.tune import keep

    gone = keep.undo(file)
    if as_json:
        click.echo(json.dumps({"removed": gone}))
    elif gone:
        click.echo(f"Taken out: {', '.join(f'{k} = {v}' for k, v in gone.items())}.")
    else:
        click.echo("There is nothing that `halo-tui tune` wrote.")
    return exit_codes.OK


def _say(text: str) -> None:
    click.echo(f"tune: {text}", err=True)


def as_text(result: dict[str, Any], dry_run: bool = False) -> str:
    """The result for people."""
    lines = [*_memory(result), *_rates(result), *_verdict(result, dry_run), *_quantised(result)]
    if result.get("earlier") and not result["written"]:
        from engine.tune.search import words

        lines.append(
            f"What an earlier run wrote still holds: {words(result['earlier'])}. "
            "`halo-tui tune --undo` takes it out."
        )
    return "\n".join(lines)


def _memory(result: dict[str, Any]) -> list[str]:
    speeds, roof = result["bandwidth"], result["roofline"]
    lines = []
    if "host_gb_s" in speeds:
        lines.append(f"memory read      {speeds['host_gb_s']:.1f} GB/s by the CPU's cores")
    if "device_gb_s" in speeds:
        lines.append(f"                 {speeds['device_gb_s']:.1f} GB/s by matrix-vector products "
                     f"on {speeds['device']}")  # fmt: skip
    for row in roof["rows"] if roof else []:
        many = f"{row['agents']} agent{'s' if row['agents'] > 1 else ''}"
        each = f"{many}: {row['bytes_per_step'] / 1e6:,.1f} MB of weights a step, "
        if roof["in_cache"]:
            lines.append(f"roofline         {each}which fit the CPU's cache: memory is no bound")
        else:
            lines.append(
                f"roofline         {each}{row['tok_s']:.1f} of {row['most_tok_s']:.1f} tok/s that "
                f"{roof['gb_s']:.1f} GB/s allow: {row['share']:.0%}"
            )
    return lines


def _rates(result: dict[str, Any]) -> list[str]:
    from engine.tune.search import words

    rows = [("default", result["default"])]
    if result["found"] and result["found"]["settings"]:
        rows.append((words(result["found"]["settings"]), result["found"]))
    lines = []
    for name, part in rows:
        if part["prefill_tok_s"] is None:
            continue
        answers = ", ".join(f"{rate:.1f} ({n})" for n, rate in part["decode_tok_s"].items())
        lines.append(f"{name}: prompts {part['prefill_tok_s']:,.0f} tok/s, "
                     f"answers {answers} tok/s (agents)")  # fmt: skip
    return lines


def _verdict(result: dict[str, Any], dry_run: bool) -> list[str]:
    from engine.tune.search import words

    found = result["found"]["settings"] if result["found"] else {}
    ratios = result["ratios"]
    pair = f"{len(ratios)} pair{'s' if len(ratios) != 1 else ''}"
    span = f"{min(ratios):.2f} to {max(ratios):.2f}" if ratios else ""
    spread = f"{span} in {pair}"
    if result["stopped"]:
        so_far = f" Best so far, not confirmed: {words(found)}." if found else ""
        pairs = f" In turns it was {span} x the default ({pair})." if ratios and found else ""
        return [f"Stopped. Nothing was written.{so_far}{pairs}"] if not result["confirmed"] else [
            f"Stopped after the final comparison: {words(found)} is {result['gain']:.2f} x the "
            f"default ({spread})."
            + (f" Written to {result['written']}." if result["written"] else "")
        ]  # fmt: skip
    if result["confirmed"]:
        where = f"Written to {result['written']}." if result["written"] else "Nothing was written"
        where += " (--dry-run)." if dry_run else ""
        return [f"{words(found)} is {result['gain']:.2f} x the default ({spread}). {where}"]
    if found:
        return [
            f"{words(found)} looked faster; in turns it was {span} x the default ({pair}), which is "
            "not enough. The default stays."
        ]
    return ["Nothing was faster than the default. It stays."]


def _quantised(result: dict[str, Any]) -> list[str]:
    cells = result["quantised_cells"]
    if cells is None:
        return []
    low, high = min(cells["ratios"]), max(cells["ratios"])
    return [
        f"{cells['type_k']} cells: {cells['ratio']:.2f} x ({low:.2f} to {high:.2f}) and 47 % less "
        "memory for cells; they change answers, so that only --allow-quantised-kv chooses them."
    ]
