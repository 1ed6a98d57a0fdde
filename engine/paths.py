"""Where files live: the XDG folders, or everything under HALO_TUI_HOME.

With HALO_TUI_HOME=/x the four places are /x/config.toml, /x/data, /x/state and /x/cache, which
keeps tests and trial runs apart from a person's own conversations. Nothing is created here.
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

APP = "halo-tui"
HOME_VARIABLE = "HALO_TUI_HOME"


def _home() -> Path | None:
    value = os.environ.get(HOME_VARIABLE, "")
    return Path(value).expanduser() if value else None


def config_file() -> Path:
    """The user's settings: ~/.config/halo-tui/config.toml by default."""
    home = _home()
    return (home or Path(platformdirs.user_config_dir(APP))) / "config.toml"


def data_dir() -> Path:
    """Conversations: ~/.local/share/halo-tui by default."""
    home = _home()
    return home / "data" if home else Path(platformdirs.user_data_dir(APP))


def state_dir() -> Path:
    """Logs: ~/.local/state/halo-tui by default."""
    home = _home()
    return home / "state" if home else Path(platformdirs.user_state_dir(APP))


def cache_dir() -> Path:
    """What can be made again: ~/.cache/halo-tui by default."""
    home = _home()
    return home / "cache" if home else Path(platformdirs.user_cache_dir(APP))


def default_config_file() -> Path:
    """The annotated defaults: inside the installed package, or at the top of a checkout."""
    package = Path(__file__).parent
    shipped = package / "assets" / "config.toml"
    return shipped if shipped.is_file() else package.parent / "config.toml"
