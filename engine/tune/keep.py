"""What tune writes into the user's settings, finds there again, and takes out."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine import paths
from engine.config import Config
from engine.config_check import read_toml
from engine.config_edit import dump_value, save_values

MARK = "# tune: "
SET = "set "


def kept(file: Path | None = None) -> dict[str, Any]:
    """Keys that tune wrote into the file and that still have its values.

    One that was changed by hand since then is the person's own.
    """
    file = file or paths.config_file()
    if not file.exists():
        return {}
    layer = read_toml(file)
    found: dict[str, Any] = {}
    for line in layer.text.splitlines():
        if not line.startswith(MARK + SET):
            continue
        key, equals, value = line.removeprefix(MARK + SET).partition(" = ")
        try:
            wrote = tomllib.loads(f"value = {value}")["value"] if equals else None
        except tomllib.TOMLDecodeError:
            continue  # somebody wrote into our comment
        now: Any = layer.values
        for part in key.split("."):
            now = now.get(part) if isinstance(now, dict) else None
        if now is not None and now == wrote:
            found[key] = wrote
    return found


def keep(settings: dict[str, Any], notes: Sequence[str], file: Path | None = None) -> Path:
    """Write settings with what was measured; earlier ones of tune's go. Raises ConfigError."""
    told = [*notes, "`halo-tui tune --undo` takes this out again"]
    told += [f"{SET}{key} = {dump_value(value)}" for key, value in settings.items()]
    old = [key for key in kept(file) if key not in settings]
    return save_values(settings, told, MARK, file, old)


def undo(file: Path | None = None) -> dict[str, Any]:
    """Take out what tune wrote; the keys that went. Raises ConfigError."""
    old = kept(file)
    path = file or paths.config_file()
    if path.exists():
        save_values({}, [], MARK, file, list(old))
    return old


def without(config: Config, old: dict[str, Any]) -> None:
    """Set tune's own keys back to what holds without them, unless they come from elsewhere."""
    for key in old:
        section, _, name = key.partition(".")
        if config.file and config.sources.get(key, "").startswith(f"{config.file}:"):
            plain = type(getattr(config, section))()
            setattr(getattr(config, section), name, getattr(plain, name))
            del config.sources[key]
