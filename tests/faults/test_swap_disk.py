"""A disk that cannot take swapped cells for a while: they stay in memory, and it is tried again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.config import SessionsConfig
from engine.core import vault as vaults
from engine.core.frozen import Frozen
from engine.core.vault import FIRST_WAIT, LONGEST_WAIT, Vault
from tests.support.waiting import until_sync


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(vaults, "time", clock)
    return clock


def frozen(name: str, mib: int = 1) -> Frozen:
    state = np.full(mib << 20, ord(name[0]), np.uint8)
    return Frozen(name, [1, 2, 3], None, (), 3, state.data, len(state), None)


def settled(vault: Vault) -> None:
    def done() -> bool:
        vault.pump()
        return not vault.pending

    until_sync(done)


def test_a_disk_that_fails_for_a_moment_is_tried_again(tmp_path: Path, clock: Clock) -> None:
    said: list[tuple[str, str]] = []
    folder = tmp_path / "swap"
    folder.write_text("in the way")  # so no folder can be made
    config = SessionsConfig(swap_memory_mib=1, swap_disk_mib=100)
    vault = Vault(None, config, folder, lambda level, text, _: said.append((level, text)))  # type: ignore[arg-type]
    kept = [frozen("ada"), frozen("bob"), frozen("eve")]
    for one in kept:
        vault.adopt(one)
    settled(vault)
    assert [level for level, _ in said] == ["warning"] and "tried again" in said[0][1]
    assert vault.bytes_in("memory") == 3 << 20 and not vault.bytes_in("disk"), "nothing is lost"
    assert all(bytes(one.state) == one.name[:1].encode() * (1 << 20) for one in kept)
    waits = []
    for _ in range(8):  # it is tried less and less often, and nobody is told again
        begun = clock.now
        while not vault.pending:
            clock.now += 1.0
            vault.pump()
        waits.append(clock.now - begun)
        settled(vault)
    assert waits[0] == FIRST_WAIT and waits == sorted(waits) and waits[-1] == LONGEST_WAIT
    assert len(said) == 1
    folder.unlink()
    clock.now += LONGEST_WAIT
    vault.pump()
    settled(vault)
    assert [level for level, _ in said] == ["warning", "info"] and "again" in said[1][1]
    assert vault.bytes_in("memory") == 1 << 20 and vault.bytes_in("disk") == 2 << 20
    assert all(bytes(one.state) == one.name[:1].encode() * (1 << 20) for one in kept)
    vault.close()


def test_cells_that_went_to_disk_before_it_failed_are_there(tmp_path: Path, clock: Clock) -> None:
    said: list[str] = []
    folder = tmp_path / "swap"
    config = SessionsConfig(swap_memory_mib=1, swap_disk_mib=100)
    vault = Vault(None, config, folder, lambda _, text, __: said.append(text))  # type: ignore[arg-type]
    first, second, third = frozen("ada"), frozen("bob"), frozen("eve")
    vault.adopt(first)
    vault.adopt(second)
    settled(vault)
    moved = first if first.place == "disk" else second
    folder.rmdir()  # files there have no names
    folder.write_text("in the way")
    vault.adopt(third)
    settled(vault)
    assert len(said) == 1 and moved.place == "disk"
    assert bytes(moved.state) == moved.name[:1].encode() * (1 << 20)
    vault.close()
