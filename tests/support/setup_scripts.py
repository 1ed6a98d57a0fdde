"""The set-up scripts under test: loaded fresh, with stand-ins for the programs they ask."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]


def module(path: Path) -> ModuleType:
    """Imports a script from outside the packages, fresh each time.

    What it puts on the path does not stay: native/ has a halo_native without libraries."""
    before = list(sys.path)
    spec = importlib.util.spec_from_file_location(f"script_{path.stem}", path)
    assert spec and spec.loader
    loaded = sys.modules[spec.name] = importlib.util.module_from_spec(
        spec
    )  # dataclasses look there
    try:
        spec.loader.exec_module(loaded)
    finally:
        sys.path[:] = before
    return loaded


def bare_path(folder: Path) -> Path:
    """A PATH with a shell and nothing else; put programs into it."""
    folder.mkdir()
    for tool in ("bash", "cat"):
        (folder / tool).symlink_to(f"/bin/{tool}")
    return folder


def program(folder: Path, name: str, body: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/bash\n{body}\n")
    path.chmod(0o755)
    return path
