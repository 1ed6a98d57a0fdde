"""A core that is caught at its work, on any machine: it takes its time until a test lets it go.

A tiny model says thousands of tokens a second. What a test does in the middle of an answer would
come too late wherever the machine is quick, or the test's own process has to wait for a moment.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

STEP = 0.06  # seconds; an answer of 700 tokens then takes 42
REPOSITORY = Path(__file__).parents[2]


class Pace:
    """Sets the pace of the cores that are started with its `environment`."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "seconds-of-a-step"
        hook = Path(__file__).parent / "slow_core"
        self.environment = {
            "HALO_TEST_STEP": str(self._file),
            "PYTHONPATH": f"{hook}{os.pathsep}{REPOSITORY}",
        }

    def slow(self, seconds: float = STEP) -> None:
        """From the next step on each takes at least so long."""
        new = self._file.with_suffix(".new")
        new.write_text(str(seconds))
        new.replace(self._file)

    def free(self) -> None:
        """As quick as it can, from now on."""
        self._file.unlink(missing_ok=True)

    def never_load(self) -> None:
        """Cores that are started now do not get as far as their model."""
        self._file.write_text("no model")


@pytest.fixture
def slow_core(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Pace:
    """Cores that this test starts are slow, until `free()`."""
    pace = Pace(tmp_path_factory.mktemp("pace"))
    for name, value in pace.environment.items():
        monkeypatch.setenv(name, value)
    pace.slow()
    return pace
