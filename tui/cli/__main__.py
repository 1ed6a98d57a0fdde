"""`python -m tui.cli` is `halo-tui`."""

from tui.cli.main import main

main()
