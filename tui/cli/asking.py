"""A question that is asked before something goes for good."""

from __future__ import annotations

import sys

import click

from tui.cli import exit_codes


def confirm(question: str, option: str) -> None:
    """Go on after a yes; `option` is what does without asking.

    Raises UsageError where nobody answers, and ends the command after a no.
    """
    try:
        said = click.confirm(question, err=True)
    except click.Abort:
        click.echo(err=True)
        if sys.stdin.isatty():
            raise  # Ctrl-C, Ctrl-D
        raise click.UsageError(f"Nobody answers here. {option} does it without asking.") from None
    if not said:
        click.echo("Nothing was changed.", err=True)
        raise click.exceptions.Exit(exit_codes.FAILURE)
