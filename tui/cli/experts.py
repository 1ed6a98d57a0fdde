"""`halo-tui experts`: record which experts a model uses, and analyse recordings."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

import click

from tui.cli.settings import Settings, settings_options

SHADES = " ░▒▓█"


@click.group()
def command() -> None:
    """Which experts of a mixture of experts are used: record, analyze."""


@command.command()
@settings_options
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("prompts", nargs=-1)
@click.option("--agents", type=click.IntRange(1, 64), default=4, show_default=True,
              help="Agents that answer at once, the prompts in turns.")  # fmt: skip
@click.option("--tokens", type=click.IntRange(8, 8192), default=256, show_default=True,
              help="Tokens of an answer.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def record(
    settings: Settings, file: Path, prompts: tuple[str, ...], agents: int, tokens: int,
    as_json: bool,
) -> None:  # fmt: skip
    """Have agents answer PROMPTS and write which experts every step used to FILE.

    Without prompts, questions of a generated dialogue. The app records too: /expertsrecord FILE.
    """
    from engine.bench import recall
    from engine.protocol import Message

    talks: list[tuple[Message, ...]] = [(Message("user", text),) for text in prompts]
    if not talks:
        dialogues = recall.load(2000)
        talks = [(*d.messages, Message("user", d.questions[0][0])) for d in dialogues]
    done = asyncio.run(
        _record(settings, file, [talks[i % len(talks)] for i in range(agents)], tokens)
    )
    if as_json:
        click.echo(json.dumps(done))
        return
    click.echo(
        f"{done['file']}: {done['tokens']:,} tokens of {agents} agents, {done['bytes']:,} bytes"
    )


async def _record(
    settings: Settings, file: Path, talks: list[tuple[Any, ...]], tokens: int
) -> dict[str, Any]:
    from engine.client import EngineClient
    from engine.errors import EngineError
    from engine.protocol import Done, Event, Note, Sampling

    config = settings.load()
    with tempfile.TemporaryDirectory() as folder:
        client = EngineClient(config, log_path=Path(folder) / "core.log")
        ended: asyncio.Queue[Done] = asyncio.Queue()
        faults: list[str] = []

        def watch(event: Event) -> None:
            if isinstance(event, Done):
                ended.put_nowait(event)
            elif isinstance(event, Note) and event.level == "error":
                faults.append(event.text)

        client.subscribe(watch)
        await client.start()
        try:
            target = file.expanduser().absolute()
            await client.configure("experts.record", str(target))
            for i, talk in enumerate(talks):
                await client.open(f"a{i}")
                await client.generate(
                    f"a{i}", talk, Sampling(max_tokens=tokens, ignore_eos=True, seed=i)
                )
            done = [await ended.get() for _ in talks]
            await client.configure("experts.record", "")
        finally:
            await client.stop()
    if faults:
        raise EngineError(faults[0], "Free some space, or choose another place.")
    return {
        "file": str(target), "agents": len(talks), "tokens": sum(d.tokens for d in done),
        "bytes": target.stat().st_size,
    }  # fmt: skip


@command.command()
@settings_options
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--png", type=click.Path(path_type=Path), help="Write a picture of the uses.")
@click.option("--pairs-png", type=click.Path(path_type=Path),
              help="Write a picture of the experts chosen together, in the middle layer.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def analyze(
    settings: Settings, file: Path, png: Path | None, pairs_png: Path | None, as_json: bool
) -> None:
    """Balance, pairs, transitions between layers, reuse, and hit rates of caches."""
    from engine.experts import analyze as work
    from engine.experts import record as recording
    from engine.experts.picture import heat_png

    result = work.analyze(file)
    if png is not None and result["steps"]:
        heat_png(png, result["uses"])
    if pairs_png is not None and result["steps"]:
        header, frames, _ = recording.read(file)
        steps = [frame for frame in frames if frame.decode]
        heat_png(pairs_png, work.co_selection(header, steps, len(header.layers) // 2))
    if as_json:
        click.echo(json.dumps(result))
        return
    _show(result)


def _show(result: dict[str, Any]) -> None:
    from tui.cli.output import size, table

    click.echo(
        f"{result['model']}: {result['steps']:,} steps, {result['tokens']:,} tokens, "
        f"{len(result['layers'])} layers of {result['n_expert']} experts"
    )
    for fault in result["faults"]:
        click.echo(f"halo-tui: {fault}; what comes before it is shown.", err=True)
    if not result["steps"]:
        click.echo("No decoding step was recorded.")
        return
    click.echo(
        f"a step reads {result['distinct']['mean']} experts a layer, "
        f"{size(result['distinct']['bytes_per_token'])} of weights a token\n"
    )
    balance, rows = result["balance"], []
    for i, layer in enumerate(result["layers"]):
        uses = result["uses"][i]
        top = max(1, *uses)
        step = max(1, -(-len(uses) // 48))
        groups = [max(uses[at : at + step]) for at in range(0, len(uses), step)]
        strip = "".join(SHADES[-(-4 * u // top)] for u in groups)
        rows.append([
            str(layer), strip, f"{result['distinct']['by_layer'][i]:.1f}",
            f"{balance['entropy'][i]:.2f}", f"{balance['busiest_to_mean'][i]:.1f}",
            str(balance["never_used"][i]),
        ])  # fmt: skip
    click.echo(table(rows, ["layer", "use", "distinct", "entropy", "busiest", "never"]))
    if result["transitions"]:
        click.echo("\nthe next layer's experts, foretold (share that is right)")
        click.echo(table(
            [[f"{t['from']} → {t['to']}", f"{t['accuracy']:.0%}", f"{t['popular']:.0%}"]
             for t in result["transitions"]], ["layers", "by this one's", "by popularity"],
        ))  # fmt: skip
    click.echo("\nhit rates of a cache for each layer")
    click.echo(table(
        [[str(c["size"]), f"{c['lru']:.1%}", f"{c['ema']:.1%}", f"{c['belady']:.1%}"]
         for c in result["caches"]], ["experts", "LRU", "EMA", "Belady (best possible)"],
    ))  # fmt: skip
    reuse = result["reuse"]
    if reuse["median"] is not None:
        click.echo(
            f"\nreuse distance: median {reuse['median']:.0f} other experts, 90 % within "
            f"{reuse['p90']:.0f}, 99 % within {reuse['p99']:.0f}"
        )
    click.echo("\nchosen together most")
    click.echo(table(
        [[str(p["layer"]), f"{p['experts'][0]} + {p['experts'][1]}", f"{p['share']:.1%}",
          f"{p['lift']:.1f}"] for p in result["co_selection"]],
        ["layer", "experts", "of tokens", "beyond chance"],
    ))  # fmt: skip
