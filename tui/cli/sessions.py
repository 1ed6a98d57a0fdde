"""`halo-tui sessions`: saved sessions and agents' checkpoints, without starting the app."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tui.cli import asking, exit_codes
from tui.cli.settings import Settings, settings_options

if TYPE_CHECKING:
    from agents.shelf import Item, Shelf

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def command() -> None:
    """List, check, restore, fork and export sessions; also while no app runs."""


def _shelf(settings: Settings) -> Shelf:
    from agents.shelf import Shelf

    return Shelf(settings.data_dir())


def _object(item: Item) -> dict[str, Any]:
    saved = item.saved
    return {
        "name": item.name,
        "kind": item.kind,
        "agent": saved.agent,
        "turns": saved.turns,
        "tokens": saved.tokens,
        "cells": saved.cells,
        "ratio": round(saved.ratio, 3),
        "model": saved.model,
        "last": saved.last,
        "saved_at": saved.saved_at,
        "bytes": saved.size,
        "path": str(saved.path),
        "problem": saved.problem,
    }


def _tell(warnings: list[str]) -> None:
    for warning in warnings:
        click.echo(f"halo-tui: {warning}", err=True)


def _done(as_json: bool, text: str, **values: Any) -> None:
    click.echo(json.dumps(values, ensure_ascii=False) if as_json else text)


@command.command("list")
@settings_options
@json_option
def list_(settings: Settings, as_json: bool) -> None:
    """List saved sessions, agents and closed agents."""
    from tui.cli.output import size, table

    items = _shelf(settings).items()
    if as_json:
        click.echo(json.dumps([_object(item) for item in items], ensure_ascii=False))
        return
    if not items:
        click.echo("Nothing was saved yet. In the app, /save keeps a session.", err=True)
        return
    rows = []
    for item in items:
        s = item.saved
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(s.saved_at)) if s.saved_at else ""
        cells = f"{s.tokens:,} in {s.cells:,}" if s.cells else "text only"
        rows.append((item.name, item.kind, when, size(s.size), cells, (s.problem or s.last)[:48]))
    click.echo(table(rows, ("name", "kind", "when", "size", "tokens in cells", "last message")))


@command.command()
@settings_options
@json_option
@click.argument("name")
def show(settings: Settings, as_json: bool, name: str) -> None:
    """Show one session: what it is, and its conversation."""
    from agents import talk as talks

    shelf = _shelf(settings)
    item = shelf.find(name)
    warnings: list[str] = []
    talk = shelf.talk(item, warnings)
    _tell(warnings)
    if as_json:
        turns = [{"role": t.role, "author": t.author, "text": t.text} for t in talk.turns]
        click.echo(json.dumps({**_object(item), "conversation": turns}, ensure_ascii=False))
        return
    for key, value in _object(item).items():
        if value not in ("", 0, 0.0):
            click.echo(f"{key:9} {value}")
    click.echo()
    click.echo(talks.markdown(talk))


@command.command()
@settings_options
@json_option
@click.option("--as", "title", default="", metavar="NAME", help="What to call it.")
@click.argument("agent")
def save(settings: Settings, as_json: bool, title: str, agent: str) -> None:
    """Keep an agent's session under a name, with the cells of its last checkpoint."""
    shelf = _shelf(settings)
    with shelf.changing():
        saved = shelf.save(shelf.find(agent), title)
    _done(as_json, f"Saved as {saved.title}.", name=saved.title, path=str(saved.path))


@command.command()
@settings_options
@json_option
@click.option("--agent", default="", metavar="NAME", help="What to call the agent.")
@click.argument("name", metavar="NAME_OR_FILE")
def restore(settings: Settings, as_json: bool, agent: str, name: str) -> None:
    """Make an agent of a saved session; the next start of the app has it, cells and all."""
    shelf = _shelf(settings)
    warnings: list[str] = []
    with shelf.changing():
        became = shelf.restore(shelf.find(name), agent, warnings)
    _tell(warnings)
    _done(as_json, f"{became} is on the list of agents.", agent=became)


@command.command()
@settings_options
@json_option
@click.argument("agent")
@click.argument("new", required=False, default="")
def fork(settings: Settings, as_json: bool, agent: str, new: str) -> None:
    """Make a second agent that knows all that AGENT does."""
    shelf = _shelf(settings)
    with shelf.changing():
        became = shelf.restore(shelf.find(agent), new)
    _done(as_json, f"{became} is on the list of agents.", agent=became)


@command.command()
@settings_options
@json_option
@click.argument("name")
@click.argument("new")
def rename(settings: Settings, as_json: bool, name: str, new: str) -> None:
    """Call a saved session, or an agent, something else."""
    shelf = _shelf(settings)
    with shelf.changing():
        now = shelf.rename(shelf.find(name), new)
    _done(as_json, f"It is called {now} now.", name=now)


@command.command()
@settings_options
@json_option
@click.option("--force", is_flag=True, help="Do not ask.")
@click.argument("name")
def delete(settings: Settings, as_json: bool, force: bool, name: str) -> None:
    """Remove a saved session for good."""
    shelf = _shelf(settings)
    with shelf.changing():
        item = shelf.find(name)
        if not force:
            asking.confirm(f"Remove {item.saved.path} for good?", "--force")
        shelf.delete(item)
    _done(as_json, f"{item.name} is gone.", name=item.name)


@command.command()
@settings_options
@json_option
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path))
def export(settings: Settings, as_json: bool, name: str, file: Path) -> None:
    """Write a session to FILE: .md for reading, .json the text, .halo with its cells."""
    shelf = _shelf(settings)
    path = shelf.export(shelf.find(name), file)
    _done(as_json, f"Written to {path}.", path=str(path))


@command.command("import")
@settings_options
@json_option
@click.argument("file", type=click.Path(path_type=Path))
def import_(settings: Settings, as_json: bool, file: Path) -> None:
    """Copy a .halo or .json file to the saved sessions, after checking it."""
    shelf = _shelf(settings)
    warnings: list[str] = []
    with shelf.changing():
        saved = shelf.import_(file, warnings)
    _tell(warnings)
    _done(as_json, f"Imported as {saved.title}.", name=saved.title, path=str(saved.path))


@command.command()
@settings_options
@json_option
@click.argument("names", nargs=-1)
@click.pass_context
def verify(ctx: click.Context, settings: Settings, as_json: bool, names: tuple[str, ...]) -> None:
    """Check every byte of all snapshots, or of those named; 1 when one is damaged."""
    from engine.errors import HaloError

    shelf = _shelf(settings)
    items = [shelf.find(name) for name in names] or shelf.items()
    found = []
    for item in items:
        result: dict[str, Any] = {
            "name": item.name, "kind": item.kind, "path": str(item.saved.path),
            "ok": True, "parts": [], "problem": "",
        }  # fmt: skip
        try:
            report = shelf.verify(item)
        except HaloError as error:
            result |= {"ok": False, "problem": str(error)}
        else:
            if report is not None:
                parts = [{"name": f.name, "state": f.state, "why": f.why} for f in report.findings]
                bad = [f"{p['name']} is {p['state']}" for p in parts if p["state"] != "ok"]
                why = report.fault or ", ".join(bad) or "the file was changed outside its parts"
                result |= {
                    "ok": report.ok, "parts": parts, "problem": "" if report.ok else f"{why}.",
                }  # fmt: skip
        found.append(result)
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
    else:
        from tui.cli.output import marks

        good, bad_mark, _ = marks()
        for result in found:
            mark = good if result["ok"] else bad_mark
            click.echo(f"{mark} {result['name']}  {result['problem'] or 'whole'}")
    if not all(result["ok"] for result in found):
        ctx.exit(exit_codes.FAILURE)
