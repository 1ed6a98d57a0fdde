"""The real `halo-tui` in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]


def environment(home: Path, **more: str) -> dict[str, str]:
    """This process's environment with all of halo-tui's files under `home`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("HALO_")}
    return {**kept, "HALO_TUI_HOME": str(home), "PYTHONPATH": str(REPOSITORY), **more}


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "tui.cli", *args]


def halo(
    home: Path, *args: str, stdin: str | bytes | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run a command line to its end."""
    given = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(
        command(*args), cwd=home, env=environment(home, **env), capture_output=True, check=False,
        timeout=100, **({"stdin": subprocess.DEVNULL} if given is None else {"input": given}),
    )  # fmt: skip
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


def lines(text: str) -> list[dict[str, Any]]:
    """JSON lines."""
    return [json.loads(line) for line in text.splitlines()]


def cores(parent: int) -> list[int]:
    """Process ids of the engine cores that a process started."""
    import psutil

    try:
        children = psutil.Process(parent).children()
    except psutil.NoSuchProcess:
        return []
    return [child.pid for child in children if "engine.core" in " ".join(child.cmdline())]
