"""`halo-tui models`: what is on disk, what a file contains, and downloads."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import click

from tui.cli.settings import Settings, settings_options


@click.group()
def command() -> None:
    """List, inspect and download models (GGUF files)."""


@command.command("list")
@settings_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def list_(settings: Settings, as_json: bool) -> None:
    """List the models on this machine: halo-mini, model.folders, the Hugging Face cache."""
    from engine import models
    from tui.cli.checks import to_dict
    from tui.cli.output import size, table

    files = models.list_models(settings.load())
    if as_json:
        click.echo(json.dumps([to_dict(file) for file in files], ensure_ascii=False))
        return
    rows = [(f.name, size(f.size), f.source, f.problem or str(f.path)) for f in files]
    if rows:
        click.echo(table(rows, ("name", "size", "from", "file")))
    else:
        click.echo("No models found. `halo-tui models pull REPO FILE` downloads one.", err=True)


@command.command()
@settings_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.argument("path", metavar="[MODEL]", required=False)
def info(settings: Settings, as_json: bool, path: str | None) -> None:
    """Show what a model file says of itself, without loading it.

    MODEL is a file or a name of `models list`; by default the one that is set.
    """
    from engine import models
    from tui.cli.checks import to_dict

    config = settings.load()
    chosen = models.resolve(path or config.model.path, config)
    values = to_dict(models.info(chosen))
    if as_json:
        click.echo(json.dumps(values, ensure_ascii=False))
        return
    width = max(len(name) for name in values)
    for name, value in values.items():
        click.echo(f"{name.replace('_', ' '):{width}}  {_shown(name, value)}")


def _shown(name: str, value: Any) -> str:
    from tui.cli.output import size

    if "bytes" in name or name == "size":
        return f"{size(value)} ({value:,} bytes)"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)


@command.command()
@settings_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end.")
@click.argument("repo")
@click.argument("file", required=False)
def pull(settings: Settings, as_json: bool, repo: str, file: str | None) -> None:
    """Download a model: REPO is owner/name on the hub, FILE one of its GGUF files.

    FILE may be a pattern or a quantisation such as Q4_K_M, and left out when there is one only.
    An interrupted download goes on where it stopped. HF_ENDPOINT names another hub.
    """
    from engine import hub

    progress = Progress()
    try:
        path = hub.pull(repo, file, progress)
    finally:
        progress.end()
    if as_json:
        click.echo(json.dumps({"path": str(path), "bytes": Path(path).stat().st_size}))
    else:
        click.echo(str(path))


class Progress:
    """One line on stderr that is drawn anew; nothing when stderr is no terminal."""

    def __init__(self) -> None:
        self._drawn = 0.0
        self._start: tuple[float, int] | None = None

    def __call__(self, done: int, total: int, *_: Any) -> None:
        """`done` of `total` bytes are here."""
        from tui.cli.output import size

        now = time.monotonic()
        self._start = self._start or (now, done)
        if not sys.stderr.isatty() or (now - self._drawn < 0.1 and done < total):
            return
        self._drawn = now
        seconds = now - self._start[0]
        speed = (done - self._start[1]) / seconds if seconds > 0.5 else 0
        share = f"{100 * done / total:3.0f} %  " if total else ""
        of = f" of {size(total)}" if total else ""
        per_second = f"  {size(speed)}/s" if speed else ""
        click.echo(f"\r\x1b[K{share}{size(done)}{of}{per_second}", err=True, nl=False)

    def end(self) -> None:
        """Leave the line."""
        if self._drawn:
            click.echo(err=True)
