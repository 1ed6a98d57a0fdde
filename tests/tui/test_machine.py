"""The machine's screen in the running app: on recorded trees, without a GPU, and what it warns of."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine import paths
from engine.config import Config
from engine.protocol import Chosen, Hint, Holdings
from engine.telemetry.bars import LABELS
from engine.telemetry.machine import Machine
from engine.telemetry.types import Sample
from tests.support.scripted import ScriptedClient
from tests.support.waiting import until
from tests.unit.test_machine_memory import on_gpu
from tui.app import HaloApp
from tui.machine_watch import MachineWatch
from tui.screens.machine import MachineScreen
from tui.widgets.chat.prompt import Prompt

TREES = Path(__file__).parents[1] / "data" / "sysfs"


def app_of(folder: Path, root: Path | None, **options: Any) -> HaloApp:
    config = Config()
    config.telemetry.root = str(root) if root is not None else ""
    return HaloApp(config, folder, ScriptedClient(lambda _: "Yes."), **options)


async def opened(app: HaloApp, pilot: Any) -> MachineScreen:
    await until(lambda: app.main.is_mounted and app.main.current)
    await pilot.press("alt+m")
    await until(lambda: isinstance(app.screen, MachineScreen) and app.main.machine.sample)
    await pilot.pause()
    assert isinstance(app.screen, MachineScreen)
    return app.screen


async def test_what_an_owner_of_a_strix_halo_sees(tmp_path: Path) -> None:
    app = app_of(tmp_path, TREES / "strix-halo")
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(app, pilot)
        app.workspace.client.emit(on_gpu())  # type: ignore[attr-defined]
        await app.main.machine.look()
        text = screen.text
        for label in LABELS.values():
            assert label in text
        assert "UNIFIED MEMORY  125.4 GiB = host 124.9 GiB + carve-out 512 MiB" in text
        assert "the GPU may hold 98.2 GiB ▲" in text
        assert "97% busy" in text and "63 °C" in text and "NPU RyzenAI-npu5" in text
        assert "GPU load" in text and "power" in text
        await pilot.press("escape")
        assert app.screen is app.main
        assert app.main.machine.shown is None


async def test_a_look_that_ends_while_the_screen_is_closed_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = app_of(tmp_path, TREES / "discrete")
    late: list[str] = []
    gone = MachineScreen.on_unmount

    def on_unmount(screen: MachineScreen) -> None:
        """What it draws on is gone already."""
        watch = screen.state
        assert watch.shown is not None and watch.sample is not None
        watch.take(watch.sample)
        late.append("taken")
        gone(screen)

    monkeypatch.setattr(MachineScreen, "on_unmount", on_unmount)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(app, pilot)
        await pilot.press("escape")
        await until(lambda: app.screen is app.main and late)


async def test_without_a_gpu_it_says_why(tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(TREES / "strix-halo" / "proc", bare / "proc")
    app = app_of(tmp_path / "data", bare)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot)
        words = " ".join(screen.text.split())
        assert "no AMD GPU found: showing host memory (there is no /dev/dri" in words
        assert "HOST MEMORY" in words and "other host use" in words


async def test_this_machine_and_a_pause(tmp_path: Path) -> None:
    app = app_of(tmp_path, None)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot)
        assert "MEMORY" in screen.text
        await pilot.press("space")
        before = screen.text
        for _ in range(3):
            await app.main.machine.look()
        assert screen.text == before
        assert len(app.main.machine.history.values["memory"]) >= 4
        await pilot.press("space")
        assert not screen.paused


def tight(sample: Sample, free: float) -> Sample:
    """The same machine with so little left."""
    host = sample.host
    left = int(host.total * free)
    return msgspec.structs.replace(
        sample, host=msgspec.structs.replace(host, available=left, used=host.total - left)
    )


async def test_one_warning_before_memory_runs_out(tmp_path: Path) -> None:
    app = app_of(tmp_path, TREES / "strix-halo")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: app.main.is_mounted and app.main.current)
        watch, sample = app.main.machine, Machine(TREES / "strix-halo").look()
        app.workspace.client.emit(on_gpu())  # type: ignore[attr-defined]
        for free in (0.5, 0.03, 0.02, 0.03):
            watch.take(tight(sample, free))
        told = [entry for entry in app.workspace.log if entry.kind == "machine"]
        assert len(told) == 1 and told[0].level == "warning"
        assert "unified memory are free" in told[0].text and "engine.n_ctx" in told[0].text
        await until(lambda: any("engine.n_ctx" in str(n.message) for n in app._notifications))
        watch.take(tight(sample, 0.5))
        assert watch.warned == []
        watch.take(tight(sample, 0.03))
        assert len([entry for entry in app.workspace.log if entry.kind == "machine"]) == 2
        screen = await opened(app, pilot)
        watch.take(tight(sample, 0.03))
        assert "are free" in screen.text


async def test_it_is_looked_at_from_the_start(tmp_path: Path) -> None:
    app = app_of(tmp_path, TREES / "discrete", watch=True)
    async with app.run_test(size=(120, 40)):
        await until(lambda: app.main.is_mounted and app.main.machine.sample is not None)
    off = app_of(tmp_path / "off", TREES / "discrete", watch=True)
    off.config.telemetry.enabled = False
    assert not HaloApp(off.config, tmp_path / "no", ScriptedClient(), watch=True).looks_at_machine


async def test_a_look_that_fails_is_no_end(tmp_path: Path) -> None:
    app = app_of(tmp_path, TREES / "discrete")
    async with app.run_test():
        await until(lambda: app.main.is_mounted and app.main.current)

        class Broken:
            def __init__(self) -> None:
                self.looks = 0

            def look(self, core: int | None = None) -> Sample:
                self.looks += 1
                if self.looks == 1:
                    raise OSError("the card fell off the bus")
                return Machine(TREES / "discrete").look(core)

            def close(self) -> None:
                pass

        watch = MachineWatch(app.main, Broken())  # type: ignore[arg-type]
        watch.begin()
        await until(lambda: any("fell off the bus" in entry.text for entry in app.workspace.log))
        watch._tick()
        await until(lambda: watch.sample is not None)
        watch.close()


# --- pictures -----------------------------------------------------------------------------------


def scene(app: HaloApp, holdings: Holdings | None) -> Any:
    """Two minutes of a GPU at work, then still."""

    async def play(pilot: Any) -> None:
        await until(lambda: app.main.is_mounted and app.main.current)
        watch = app.main.machine
        watch._machine = Machine(app.config.telemetry.root)
        watch.begin = lambda: None  # type: ignore[method-assign]
        app.workspace.holdings = holdings
        first = watch._machine.look(4242)
        for step in range(150):
            wave = (step % 37) / 37
            gpus = tuple(
                msgspec.structs.replace(
                    gpu, busy=0.35 + 0.6 * wave, power=55 + 50 * wave, clock=900 + 1900 * wave,
                    temperature=48 + 16 * wave,
                )
                for gpu in first.gpus
            )  # fmt: skip
            host = msgspec.structs.replace(first.host, cpu=0.1 + 0.1 * wave)
            watch.take(msgspec.structs.replace(first, gpus=gpus, host=host))
        app.main.query_one(Prompt).query("TextArea").first().cursor_blink = False  # type: ignore[attr-defined]
        await pilot.press("alt+m")
        await until(lambda: isinstance(app.screen, MachineScreen))
        app.clear_notifications()
        await pilot.pause(0.3)

    return play


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.0)
    monkeypatch.setenv("TEXTUAL_ANIMATIONS", "none")


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)], ids=lambda s: f"{s[0]}x{s[1]}")
def test_strix_halo(snap_compare: Any, tmp_path: Path, size: tuple[int, int]) -> None:
    app = app_of(tmp_path, TREES / "strix-halo")
    assert snap_compare(app, terminal_size=size, run_before=scene(app, on_gpu()))


@pytest.mark.usefixtures("still")
def test_a_card(snap_compare: Any, tmp_path: Path) -> None:
    app = app_of(tmp_path, TREES / "discrete")
    assert snap_compare(app, terminal_size=(120, 40), run_before=scene(app, on_gpu("gpu", 0.25)))


@pytest.mark.usefixtures("still")
def test_strix_halo_without_colour(
    snap_compare: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = app_of(tmp_path, TREES / "strix-halo")
    assert snap_compare(app, terminal_size=(80, 24), run_before=scene(app, on_gpu()))


async def test_what_was_chosen_for_the_machine_is_shown_and_logged(tmp_path: Path) -> None:
    app = app_of(tmp_path, TREES / "strix-halo")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: app.workspace.ready is not None)
        ready = msgspec.structs.replace(
            app.workspace.ready,  # type: ignore[arg-type]
            chosen=(
                Chosen("engine.n_ubatch", 1024, "experts", True),
                Chosen("engine.mmap", True, "as it was", False),
            ),
            hints=(Hint("The Radeon is not used.", "make run BACKEND=vulkan"),),
        )
        app.workspace.engine.is_ready(ready)
        screen = await opened(app, pilot)
        assert "Engine n_ubatch 1024 (chosen for this machine" in screen.text
        assert "mmap" not in screen.text and "make run BACKEND=vulkan" in screen.text
        log = [entry.text for entry in app.workspace.log]
        assert "Chosen for this machine: engine.n_ubatch = 1024 (experts)." in log
        assert "The Radeon is not used. make run BACKEND=vulkan" in log


async def test_settings_says_where_they_are(tmp_path: Path) -> None:
    app = app_of(tmp_path, None)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: app.main.is_mounted and app.main.current)
        app.main.controller.slash("settings", "")

        def said() -> list[str]:
            return [entry.text for entry in app.workspace.log if entry.kind == "settings"]

        await until(said)
        assert str(paths.config_file()) in said()[0] and "no settings of your own" in said()[0]
        app.config.file = "/etc/mine.toml"
        app.main.controller.start("settings")
        await until(lambda: len(said()) == 2)
        assert said()[1].startswith("Your settings are in /etc/mine.toml.")
        await pilot.pause()


async def test_tune_says_how(tmp_path: Path) -> None:
    app = app_of(tmp_path, None)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: app.main.is_mounted and app.main.current)
        app.main.controller.start("tune")
        await until(lambda: any("halo-tui tune" in e.text for e in app.workspace.log))
        await pilot.pause()
