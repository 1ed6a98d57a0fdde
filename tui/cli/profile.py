"""`halo-tui profile`: the command is at home beside the bench whose options it shares."""

from __future__ import annotations

from tui.cli.bench_compaction import profile as command

__all__ = ["command"]
