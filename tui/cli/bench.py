"""`halo-tui bench`: measurements; each command prints the figures of docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tui.cli.bench_compaction import compaction
from tui.cli.bench_experts import experts
from tui.cli.number_list import NumberList
from tui.cli.settings import Settings, settings_options

if TYPE_CHECKING:
    from click.decorators import FC

_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def _agents(default: str) -> Callable[[FC], FC]:
    return click.option(
        "--agents",
        type=NumberList("counts", int, 1, 64, default),
        default=default,
        show_default=True,
        help="Numbers of agents that talk at once.",
    )


def _tokens(default: int) -> Callable[[FC], FC]:
    return click.option(
        "--tokens",
        type=click.IntRange(8, 4096),
        default=default,
        show_default=True,
        help="Tokens each agent answers.",
    )


@click.group()
def command() -> None:
    """Measure the engine and the app."""


@command.command()
@settings_options
@_agents("1,2,4,8")
@_tokens(128)
@_json
def throughput(settings: Settings, agents: tuple[int, ...], tokens: int, as_json: bool) -> None:
    """Tokens per second and time to first token, against a bare loop and one after the other.

    Without --model on halo-mini and on a random model of half a billion parameters (`half-b`).
    """
    from engine.bench import throughput as bench

    result = bench.run(
        config=replace(settings, model=None).load(),
        agents=agents,
        model=settings.model,
        tokens=tokens,
    )
    _print(result, as_json)


@command.command()
@settings_options
@click.option(
    "--agents",
    type=click.IntRange(1, 16),
    default=8,
    show_default=True,
    help="Agents that stream at once.",
)
@_tokens(1024)
@click.option(
    "--messages",
    type=click.IntRange(10, 100_000),
    default=10_000,
    show_default=True,
    help="Messages over which memory is watched.",
)
@_json
def ui(settings: Settings, agents: int, tokens: int, messages: int, as_json: bool) -> None:
    """Input latency, frames per second and memory of the app while agents stream.

    --model half-b is a random model of half a billion parameters.
    """
    from engine import paths
    from engine.bench import make_model
    from tui.bench_ui import run as measure

    half_b = settings.model == "half-b"
    config = (replace(settings, model=None) if half_b else settings).load()
    model = str(make_model.half_b(paths.cache_dir())) if half_b else None
    _print(measure(config, agents, model, tokens, messages), as_json)


@command.command()
@settings_options
@_agents("1,8")
@_tokens(128)
@_json
def rpc(settings: Settings, agents: tuple[int, ...], tokens: int, as_json: bool) -> None:
    """Layers on two workers of this machine (which it starts) against none: tokens per second.

    --model half-b is a random model of half a billion parameters.
    """
    from engine import paths
    from engine.bench import make_model
    from engine.bench import rpc as bench
    from engine.models import MINI, resolve

    config = replace(settings, model=None).load()
    if settings.model == "half-b":
        model = make_model.half_b(paths.cache_dir())
    else:
        model = resolve(settings.model, config) if settings.model else MINI
    _print(bench.run(config, model, agents, tokens), as_json)


@command.command()
@settings_options
@click.option(
    "--cells",
    type=NumberList("cells", int, 1, 1_000_000, "1,2,4,8"),
    default="1000,2000,4000,7000",
    show_default=True,
    help="Sizes of the session that is put aside.",
)
@_json
def swap(settings: Settings, cells: tuple[int, ...], as_json: bool) -> None:
    """Seconds to put cells aside, back, and to restore saved sessions, against prefilling."""
    from engine.bench import swap as bench
    from engine.models import resolve

    config = settings.load()
    model = resolve(settings.model or config.model.path, config)
    result = bench.run(config, model, cells, lambda line: click.echo(f"bench: {line}", err=True))
    if as_json:
        _print(result, True)
        return
    for name in ("restore", "checkpoint"):
        part = result.pop(name)
        result[name] = ", ".join(f"{key} {_number(value)}" for key, value in part.items())
    _print(result, False)


@command.command()
@settings_options
@_json
@click.argument("file", type=click.Path(path_type=Path))
def recall(settings: Settings, as_json: bool, file: Path) -> None:
    """Recall of the turns that answer questions, by words, vectors, graph, and all together.

    FILE is JSON: sessions of turns, and questions with the ids of their evidence (docs/memory.md).
    """
    from agents.memory import bench

    result = bench.run(
        file,
        settings.load().memory,
        progress=lambda line: click.echo(f"bench: {line}", err=True),
    )
    _print(result, as_json)


@command.command()
@settings_options
@click.option(
    "--ner",
    type=click.Path(path_type=Path),
    help="Measure precision and recall on this file too: token, TAB, BIO tag.",
)
@click.option(
    "--map",
    "mapping",
    type=click.Path(path_type=Path),
    help="JSON: the file's types to the schema's, or to null.",
)
@click.option(
    "--gliner-chunks",
    type=click.IntRange(0, 77),
    default=9,
    show_default=True,
    help="Chunks of 2400 characters GLiNER is timed on; 0 leaves it out.",
)
@_json
def extract(
    settings: Settings, ner: Path | None, mapping: Path | None, gliner_chunks: int, as_json: bool
) -> None:
    """Milliseconds per message to find entities and relations, against GLiNER small.

    On two threads, with generated conversations; GLiNER has random weights of its published sizes.
    """
    from agents.memory.extract import bench

    if mapping is not None and ner is None:
        raise click.UsageError("--map belongs to --ner FILE.")
    config = settings.load().memory

    def say(line: str) -> None:
        click.echo(f"bench: {line}", err=True)

    scores = bench.read_ner(config, ner, mapping, say) if ner is not None else {}
    result = {**bench.run(config, gliner_chunks, say), **scores}
    if as_json:
        _print(result, True)
        return
    by_type = result.pop("by_type", {})
    _print(result, False)
    if by_type:
        _print({"rows": [{"type": kind, **row} for kind, row in by_type.items()]}, False)


command.add_command(compaction)
command.add_command(experts)


def _print(result: dict[str, Any], as_json: bool) -> None:
    from tui.cli.output import dumps, table

    if as_json:
        click.echo(dumps(result))
        return
    rows = result.get("rows")
    if rows:
        click.echo(table([[_number(v) for v in row.values()] for row in rows], list(rows[0])))
    for key, value in result.items():
        if key != "rows":
            click.echo(f"{key}  {_number(value)}")


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_number(inner)}" for key, inner in value.items())
    return "–" if value is None else str(value)
