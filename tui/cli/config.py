"""`halo-tui config`: the settings, where they come from, and the keys of the app."""

from __future__ import annotations

import json
from typing import Any

import click

from tui.cli.settings import Settings, settings_options


@click.group()
def command() -> None:
    """Show the settings and where they come from."""


@command.command()
@settings_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--defaults", is_flag=True, help="Print the annotated defaults.")
def show(settings: Settings, as_json: bool, defaults: bool) -> None:
    """Print all settings as they are in force, with the place of each that was changed."""
    import msgspec

    from engine import paths
    from engine.config_edit import dump_value

    if defaults:
        click.echo(paths.default_config_file().read_text(encoding="utf-8"), nl=False)
        return
    config = settings.load()
    values = _plain(config)
    if as_json:
        click.echo(msgspec.json.encode(values | {"sources": config.sources}))
        return
    for section, table in values.items():
        for index, part in enumerate(table if isinstance(table, list) else [table]):
            name = f"[[{section}]]" if isinstance(table, list) else f"[{section}]"
            click.secho(name, bold=True)
            for key, value in part.items():
                path = f"{section}.{index}.{key}" if isinstance(table, list) else f"{section}.{key}"
                source = config.source(path)
                mark = "" if source == "default" else click.style(f"  # {source}", dim=True)
                click.echo(f"{key} = {dump_value(value)}{mark}")
            click.echo()


def _plain(config: Any) -> dict[str, Any]:
    """All settings as built-in types, defaults included."""
    from engine.config import SECTIONS

    def table(struct: Any) -> dict[str, Any]:
        return {name: getattr(struct, name) for name in type(struct).__struct_fields__}

    values: dict[str, Any] = {name: table(getattr(config, name)) for name in SECTIONS}
    ui = values.pop("ui")
    return {**values, "agents": [table(agent) for agent in config.agents], "ui": ui}


@command.command()
@settings_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def path(settings: Settings, as_json: bool) -> None:
    """Print the places of settings, conversations, logs and caches."""
    from engine import paths

    places = {
        "config": settings.config or str(paths.config_file()),
        "defaults": str(paths.default_config_file()),
        "data": str(settings.data_dir()),
        "logs": str(paths.state_dir()),
        "cache": str(paths.cache_dir()),
    }
    if as_json:
        click.echo(json.dumps(places))
        return
    for name, place in places.items():
        click.echo(f"{name:9} {place}")


@command.command()
@settings_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def keys(settings: Settings, as_json: bool) -> None:
    """Print the actions of the app with their keys; [ui.keys] changes them."""
    from tui.actions import key_table

    rows = key_table(settings.load())
    if as_json:
        click.echo(json.dumps([{"action": a, "keys": k, "help": h} for a, k, h in rows]))
        return
    width = max(len(row[0]) for row in rows)
    key_width = max(len(row[1]) for row in rows)
    for action, key, text in rows:
        click.echo(f"{action:{width}}  {key:{key_width}}  {text}")
