"""`halo-tui bench experts`."""

from __future__ import annotations

from dataclasses import replace

import click

from tui.cli.number_list import NumberList
from tui.cli.settings import Settings, settings_options


@click.command("experts")
@settings_options
@click.option("--agents", type=NumberList("counts", int, 1, 32, "1,8"), default="1,4,8,10", show_default=True,
              help="Numbers of agents that decode together.")  # fmt: skip
@click.option("--bonus", type=NumberList("shares", float, 0, 10, "0.1,0.2"), default="0.1,0.2,0.4", show_default=True,
              help="Bonuses, as shares of the range of the router's scores.")  # fmt: skip
@click.option("--policies", default="static,cache", show_default=True, help="static, cache.")
@click.option("--repeats", type=click.IntRange(1, 20), default=3, show_default=True)
@click.option("--questions", type=click.IntRange(8, 1000), default=80, show_default=True,
              help="Questions of the recall task.")  # fmt: skip
@click.option("--speed/--no-speed", default=True, help="On the memory-bound random model.")
@click.option("--quality/--no-quality", default=True, help="On halo-mini.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def experts(
    settings: Settings, agents: tuple[int, ...], bonus: tuple[float, ...], policies: str,
    repeats: int, questions: int, speed: bool, quality: bool, as_json: bool,
) -> None:  # fmt: skip
    """Expert routing: speed on a random model bound by memory, quality on halo-mini.

    Policies and bonuses against off, in turns. --model measures speed on another mixture of
    experts. The random model (3.3 GB) is made once, in the cache folder.
    """
    from engine.bench import experts as bench
    from engine.models import resolve

    chosen = tuple(part.strip() for part in policies.split(","))
    for policy in chosen:
        if policy not in ("static", "cache"):
            raise click.BadParameter(
                f"'{policy}' is none of static, cache.", param_hint="--policies"
            )
    config = replace(settings, model=None).load()
    plan = bench.Plan(
        agents, chosen, bonus, repeats, questions, speed, quality,
        resolve(settings.model, config) if settings.model else None,
    )  # fmt: skip
    result = bench.run(config, plan, lambda line: click.echo(f"bench: {line}", err=True))
    from tui.cli.bench import _print

    _print(result, as_json)
