"""Places of files: XDG, or all under HALO_TUI_HOME."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import paths
from engine.config import load


def test_xdg_folders_are_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HALO_TUI_HOME", raising=False)
    for kind in ("CONFIG", "DATA", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind))
    assert paths.config_file() == tmp_path / "CONFIG" / "halo-tui" / "config.toml"
    assert paths.data_dir() == tmp_path / "DATA" / "halo-tui"
    assert paths.state_dir() == tmp_path / "STATE" / "halo-tui"
    assert paths.cache_dir() == tmp_path / "CACHE" / "halo-tui"


def test_one_variable_moves_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALO_TUI_HOME", str(tmp_path))
    assert paths.config_file() == tmp_path / "config.toml"
    assert {paths.data_dir(), paths.state_dir(), paths.cache_dir()} == {
        tmp_path / name for name in ("data", "state", "cache")
    }
    assert list(tmp_path.iterdir()) == []


def test_the_annotated_defaults_are_found() -> None:
    assert load(paths.default_config_file(), env={}).engine.n_ctx == 8192
