"""`halo-tui bench compaction` and `halo-tui profile`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tui.cli.number_list import NumberList
from tui.cli.settings import Settings, settings_options

RATIOS = NumberList("numbers", float, 1, 1000, "2,5,10", "ratios")


class Methods(click.ParamType):
    """Ways to compact, e.g. am-omp,evict-recent."""

    name = "methods"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        from engine.compaction import METHODS

        if isinstance(value, tuple):
            return value
        methods = tuple(part.strip() for part in value.split(","))
        for method in methods:
            if method not in METHODS:
                self.fail(f"'{method}' is none of {', '.join(METHODS)}.", param, ctx)
        return methods


def _say(line: str) -> None:
    click.echo(f"bench: {line}", err=True)


def _model(settings: Settings) -> Path:
    from engine.models import resolve

    config = settings.load()
    return resolve(settings.model or config.model.path, config)


@click.command("compaction")
@settings_options
@click.option("--text", type=click.Path(path_type=Path), help="Measure perplexity and KL on this.")
@click.option("--recall", is_flag=True, help="Ask for facts told in the span (the default).")
@click.option("--gain", is_flag=True, help="Decode speed and cells of 8 agents, before and after.")
@click.option("--heads", is_flag=True,
              help="Errors of single heads beside the published code; of --dump's, if given.")  # fmt: skip
@click.option("--speed", is_flag=True, help="Seconds of a head beside the NumPy reference.")
@click.option("--live", is_flag=True, help="Compact in a running core while others answer.")
@click.option("--dump", type=click.Path(path_type=Path), help="Write real heads to this .npz.")
@click.option("--context", type=click.IntRange(300, 65536), default=2000, show_default=True,
              help="Tokens before the question.")  # fmt: skip
@click.option("--ratios", type=RATIOS, default="2,5,10,20,50", show_default=True,
              help="Cells before / after.")  # fmt: skip
@click.option("--methods", type=Methods(), default="am-omp,am-attention,evict-attention,evict-recent",
              show_default=True, help="Ways to compact.")  # fmt: skip
@click.option(
    "--ablate", is_flag=True, help="The am- methods also unrefined, and without beta or values."
)
@click.option("--rounds", type=click.IntRange(1, 16), default=1, show_default=True,
              help="Compact so many times while the conversation goes on.")  # fmt: skip
@click.option("--dialogues", type=click.IntRange(1, 100), default=8, show_default=True,
              help="Conversations, or pieces of the text.")  # fmt: skip
@click.option("--samples", type=click.IntRange(0, 16), default=0, show_default=True,
              help="Recaps sampled for queries; 0 = 8 to 16, by the span.")  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def compaction(
    settings: Settings,
    text: Path | None,
    recall: bool,
    gain: bool,
    heads: bool,
    speed: bool,
    live: bool,
    dump: Path | None,
    context: int,
    ratios: tuple[float, ...],
    methods: tuple[str, ...],
    ablate: bool,
    rounds: int,
    dialogues: int,
    samples: int,
    seed: int,
    as_json: bool,
) -> None:
    """How well compaction keeps what was said, beside the full cache and plain eviction."""
    from engine import models
    from engine.bench import compaction as bench
    from engine.bench.throughput import machine
    from engine.errors import HaloError

    config = settings.load()
    plan = bench.Plan(
        _model(settings),
        context=context,
        ratios=ratios,
        methods=methods,
        ablate=ablate,
        dialogues=dialogues,
        rounds=rounds,
        samples=samples,
        seed=seed,
        threads=config.engine.threads,
        engine={"type_k": config.engine.type_k, "type_v": config.engine.type_v},
    )
    trained = models.info(plan.model).n_ctx_train
    if 0 < trained < context:
        _say(f"the model was trained on {trained:,} tokens: what lies beyond, it answers at random")
    rows: list[dict[str, Any]] = []
    result: dict[str, Any] = {"rows": rows, "machine": machine(), "model": plan.model.name}
    if text is not None:
        try:
            content = text.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise HaloError(
                f"{text} cannot be read: {error.strerror}.", "Name a text file."
            ) from error
        rows += bench.run_text(plan, content, _say)
    if dump is not None:
        result["dumped_heads"] = bench.dump_heads(plan, dump, _say)
    if gain:
        rows += bench.run_gain(plan, _say)
    if live:
        from engine.bench.live import run as run_live

        rows += run_live(config, plan, _say)
    if heads or speed:
        from engine.bench import heads as head_bench

        found = head_bench.run(
            dump=dump if heads else None,
            ratios=ratios,
            quality_cells=head_bench.QUALITY_CELLS if heads and dump is None else (),
            speed_cells=head_bench.SPEED_CELLS if speed else (),
            say=_say,
        )
        result.update({k: v for k, v in found.items() if k != "machine"})
    if recall or not (text or dump or gain or live or heads or speed):
        rows += bench.run_recall(plan, _say)
    _print(result, as_json)


def _print(result: dict[str, Any], as_json: bool) -> None:
    from tui.cli.output import dumps, table

    if as_json:
        click.echo(dumps(result))
        return
    hidden = ("questions", "queries", "n_kv", "positions", "rounds")
    rows = result["rows"]
    if rows:
        keys = [k for k in rows[0] if k not in hidden]
        click.echo(table([[_number(r.get(k)) for k in keys] for r in rows], keys))
    for name in ("quality", "dump", "speed"):
        if found := result.get(name):
            keys = list(found[0])
            click.echo(f"\n{name}")
            click.echo(table([[_number(r.get(k)) for k in keys] for r in found], keys))
    if "span" in result:
        click.echo(f"\nspan  {result['span']}")


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
    return "–" if value is None else str(value)


@click.command("profile")
@settings_options
@click.option("--context", type=click.IntRange(300, 65536), default=2000, show_default=True)
@click.option("--ratios", type=RATIOS, default="2,5,10,20,50", show_default=True)
@click.option("--dialogues", type=click.IntRange(1, 24), default=3, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Write the profile to this file.")
@click.option("--json", "as_json", is_flag=True, help="Print the profile as JSON.")
def profile(
    settings: Settings,
    context: int,
    ratios: tuple[float, ...],
    dialogues: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """How much each attention head suffers from compaction; a file for compaction.profile."""
    import msgspec

    from engine.bench.compaction import Plan
    from engine.bench.profile import measure, plot
    from engine.errors import HaloError

    plan = Plan(_model(settings), context=context, ratios=ratios, dialogues=dialogues)
    found = measure(plan, _say)
    if out is not None:
        try:
            out.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1))
        except OSError as error:
            raise HaloError(
                f"{out} cannot be written: {error.strerror}.", "Name another file."
            ) from error
        click.echo(f'profile: written; use it with compaction.profile = "{out}"', err=True)
    click.echo(msgspec.json.encode(found).decode() if as_json else plot(found))
