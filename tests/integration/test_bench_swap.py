"""`halo-tui bench swap` on the shipped model, small: the figures make sense, not how fast they are."""

from __future__ import annotations

import pytest

from engine.bench import swap
from engine.config import Config
from engine.models import MINI


@pytest.mark.timeout(240)
def test_the_figures_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swap, "SESSIONS", 2)
    monkeypatch.setattr(swap, "SESSION_CELLS", 600)
    monkeypatch.setattr(swap, "REPEATS", 5)  # of which the median counts
    config = Config()
    config.engine.threads = 2
    said: list[str] = []
    result = swap.run(config, MINI, (400,), said.append)
    (row,) = result["rows"]
    assert 250 < row["cells"] <= 401
    assert row["seconds_prefill"] > row["seconds_in"] > 0 < row["seconds_out"]
    restore, checkpoint = result["restore"], result["checkpoint"]
    assert restore["tokens"] == restore["cells"] > 600
    assert restore["bytes"] > restore["cells"] * result["kv_bytes_per_cell"]
    assert checkpoint["saves"] > 3 and checkpoint["gap_ms_p50_busy"] > 0
    assert len(said) == 4
