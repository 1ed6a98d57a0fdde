"""`halo-tui doctor`: everything a start needs, checked, with a remedy for what is wrong."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from tui.cli import exit_codes
from tui.cli.settings import Settings, settings_options

if TYPE_CHECKING:
    from tui.cli.checks import Report


@click.command()
@settings_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(settings: Settings, as_json: bool) -> None:
    """Check everything halo-tui needs. Exit code 5 when something has to be corrected."""
    from tui.cli.checks import run_all

    report = run_all(settings)
    if as_json:
        click.echo(json.dumps(as_object(report), ensure_ascii=False))
    else:
        click.echo(as_text(report))
    sys.exit(exit_codes.PROBLEMS if report.problems else exit_codes.OK)


def as_object(report: Report) -> dict[str, Any]:
    """The JSON of --json."""
    from tui.cli.main import version

    return {
        "ok": not report.problems,
        "version": version(),
        "llama_cpp": report.llama_cpp,
        "backends": report.backends,
        "devices": report.devices,
        "hooks": report.hooks,
        "model": report.model,
        "graph": report.graph,
        "gpu": report.gpu,
        "workers": report.workers,
        "memory": report.memory,
        "auto": report.auto,
        "checks": [asdict(check) for check in report.checks],
        "problems": [asdict(problem) for problem in report.problems],
    }


def as_text(report: Report) -> str:
    """The report for people."""
    from tui.cli.main import version
    from tui.cli.output import marks, style, wrapped

    good, bad, neither = marks()
    indent = len(good) + 1 + max(len(check.name) for check in report.checks) + 2
    lines = [style(f"halo-tui {version()}", bold=True), ""]
    for check in report.checks:
        mark, colour = {True: (good, "green"), False: (bad, "red"), None: (neither, "white")}[
            check.ok
        ]
        name = check.name.ljust(indent - len(good) - 3)
        lines.append(f"{style(mark, fg=colour)} {name}  {wrapped(check.detail, indent)}")
    lines.append("")
    if not report.problems:
        lines.append(style("Everything is fine.", fg="green"))
    for problem in report.problems:
        lines.append(style(f"{bad} {problem.what}", fg="red"))
        if problem.remedy:
            lines.append(f"  {wrapped(problem.remedy, 2)}")
    return "\n".join(lines)
