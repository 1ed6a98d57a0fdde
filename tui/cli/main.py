"""The `halo-tui` command: finds the sub-command, imports it, and turns errors into sentences."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from tui.cli import exit_codes
from tui.cli.settings import Settings, settings_options

# name -> (module, one line for --help). Imported only when used, so that --version, --help and
# the headless commands start quickly.
COMMANDS = {
    "chat": ("tui.cli.chat", "Ask one agent and print the answer."),
    "doctor": ("tui.cli.doctor", "Check everything halo-tui needs, with remedies."),
    "machine": ("tui.cli.machine", "GPUs, and who holds the memory."),
    "sessions": ("tui.cli.sessions", "List, check, restore, fork and export sessions."),
    "memory": ("tui.cli.memory", "Ask, feed and export the graph of what was said."),
    "experts": ("tui.cli.experts", "Record which experts a model uses, and analyse that."),
    "tune": ("tui.cli.tune", "Measure settings on this machine, and keep what is faster."),
    "models": ("tui.cli.models", "List, inspect and download models."),
    "rpc-worker": ("tui.cli.rpc_worker", "Compute layers for a halo-tui on another machine."),
    "bench": ("tui.cli.bench", "Measure the engine and the app."),
    "profile": ("tui.cli.profile", "How much each attention head suffers from compaction."),
    "config": ("tui.cli.config", "Show the settings and where they come from."),
}


class LazyGroup(click.Group):
    """A group that imports a sub-command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS:
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else f" There are: {', '.join(COMMANDS)}."
            raise click.UsageError(f"There is no command '{args[0]}'.{hint}", ctx)
        return super().resolve_command(ctx, args)


def version() -> str:
    """The version of the installed package."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("halo-tui")
    except PackageNotFoundError:
        return "unknown (not installed)"


def _print_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f"halo-tui {version()}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@settings_options
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Print the version and exit.",
)
@click.pass_context
def cli(ctx: click.Context, settings: Settings) -> None:
    """Many agents, one model, in the terminal. Without a command the app starts."""
    if ctx.invoked_subcommand is None:
        ctx.exit(run_app(settings))


def run_app(settings: Settings) -> int:
    """Start the app; returns its exit code."""
    config = settings.load()
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError(
            'The app needs a terminal. For scripts there is `halo-tui chat "…"`.'
        )
    from tui.app import run

    return run(config, settings.data_dir()) or exit_codes.OK


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run a command line and exit with its code."""
    sys.exit(run(args))


def run(args: Sequence[str] | None = None) -> int:
    """Run a command line. Returns the exit code; errors are told on stderr, one sentence each."""
    try:
        _stand_in_for_closed_streams()
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")  # an old locale must not end an answer
        given = [_readable(arg) for arg in (sys.argv[1:] if args is None else args)]
        code = cli.main(args=given, prog_name="halo-tui", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else exit_codes.OK
    except click.exceptions.Exit as exit:
        return exit.exit_code
    except (click.exceptions.Abort, KeyboardInterrupt):
        return exit_codes.INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BrokenPipeError:
        _give_up_stdout()  # the reader has gone (`| head`)
        return exit_codes.FAILURE
    except Exception as error:
        from engine.errors import HaloError

        if os.environ.get("HALO_DEBUG", "") not in ("", "0"):
            raise
        if isinstance(error, HaloError):
            click.echo(f"halo-tui: {error}", err=True)
        elif isinstance(error, OSError) and error.errno == errno.ENOSPC:
            where = f"{error.filename} could not be written" if error.filename else "nothing fits"
            click.echo(
                f"halo-tui: The disk is full: {where}. Free some space, then run it again.",
                err=True,
            )
            _give_up_stdout()
        elif isinstance(error, UnicodeEncodeError) and "surrogates" in error.reason:
            click.echo("halo-tui: What was given is not UTF-8 text. Convert it.", err=True)
            return exit_codes.USAGE
        else:
            click.echo(
                f"halo-tui: This should not have happened: {type(error).__name__}: {error}. "
                "Run it again with HALO_DEBUG=1 to see where.",
                err=True,
            )
        return exit_codes.code_for(error)


def _stand_in_for_closed_streams() -> None:
    """`<&-` and `>&-`: there is nothing to read, and nobody reads. No file may take their number."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(fd)
    if sys.stdin is None:
        sys.stdin = open(os.devnull)  # noqa: SIM115 - for as long as the process lives
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115


def _readable(arg: str) -> str:
    """An argument that an ASCII locale could not read, as UTF-8; of anything else its bytes stay."""
    if arg.isascii():
        return arg
    try:
        return os.fsencode(arg).decode()
    except UnicodeError:
        return arg


def _give_up_stdout() -> None:
    """Nothing can be written there; Python must not complain again when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
