"""The command line, `halo-tui`. Nothing here imports Textual unless the app is to be shown."""

from tui.cli.main import main

__all__ = ["main"]
