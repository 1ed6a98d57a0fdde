"""Tests of the app leave the person's own settings, logs and conversations alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents import remembering


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own for every test."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HALO_TUI_HOME", str(home))
    return home


@pytest.fixture(autouse=True)
def toasts_last(lasting_toasts: None) -> None:
    """In all tests of the app."""


@pytest.fixture(autouse=True)
def no_memory(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No graph database for tests of other things; `@pytest.mark.memory` gives it back."""
    if request.node.get_closest_marker("memory") is None:
        monkeypatch.setattr(remembering, "attach", lambda workspace, memory=None: None)
