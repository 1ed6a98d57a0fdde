"""What a person sees of workers: what they hold, that one is gone, and going on without them."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from textual.widgets import Static

from engine.client import CoreDied
from engine.config import Config
from engine.protocol import Held, Holdings
from engine.reconnect import obituary
from engine.workers import Worker
from tests.support.waiting import until
from tests.support.workers import Liar
from tests.tui.test_app import running, toasts, write

ONE, TWO = "127.0.0.1:9", "127.0.0.1:10"


def config(*workers: str) -> Config:
    found = Config()
    found.engine.rpc = list(workers)
    return found


async def test_what_each_holds(tmp_path: Path) -> None:
    async with running(tmp_path, config=config(ONE, TWO)) as (app, client, pilot):
        await until(lambda: app.workspace.engine_state == "ready")
        held = [
            Held("RPC", name, "rpc", False, False, 5 << 20, 3 << 20, 1 << 20) for name in (ONE, TWO)
        ]
        client.emit(Holdings(tuple(held)))
        await write(pilot, app, "/workers")
        await until(lambda: "weights" in toasts(app))
        assert f"worker {TWO}: weights 5 MiB · KV cells 3 MiB · compute 1 MiB" in toasts(app)
        await write(pilot, app, "/machine")
        await until(lambda: "ON OTHER MACHINES" in getattr(app.screen, "text", ""))
        assert f"worker {ONE}: weights 5 MiB" in app.screen.text  # type: ignore[attr-defined]


async def test_one_is_gone_and_we_go_on_without(tmp_path: Path) -> None:
    async with running(tmp_path, (200, 60), config=config(ONE, TWO)) as (app, client, pilot):
        await until(lambda: app.workspace.engine_state == "ready")
        await write(pilot, app, "Hello.")
        ada = app.workspace.agents[0]
        await until(lambda: ada.id in client.generations)
        client.say(ada.id, "Hel")
        told = obituary([Worker(TWO, "down", "connection refused")], waits=True)
        client.emit(CoreDied(told.what, told.remedy, True))
        banner = app.main.query_one("#banner", Static)
        await until(lambda: banner.has_class("-shown"))
        await pilot.pause()
        said = str(banner.render())
        assert f"the worker {TWO} is gone (connection refused)" in said and ONE not in said
        assert "halo-tui rpc-worker --port 10" in said and "answers go on by themselves" in said
        lines = [line.text for line in banner.render_lines(banner.region.reset_offset)]
        row = next(i for i, line in enumerate(lines) if "[ /workers" in line)
        at = (lines[row].index("[ /workers") + 3, row)
        assert await pilot.click("#banner", offset=at)
        await until(lambda: app.workspace.config.engine.rpc == [])
        await until(lambda: not banner.has_class("-shown"))
        # What waited for the worker is answered here.
        await until(lambda: ada.id in client.generations and ada.turns[-1].text == "")
        client.say(ada.id, "Hello Bob.")
        client.finish(ada.id)
        assert [turn.text for turn in ada.turns] == ["Hello.", "Hello Bob."]
        await write(pilot, app, "/workers on")
        await until(lambda: app.workspace.config.engine.rpc == [ONE, TWO])
        assert "Uses the workers again" in toasts(app)


async def test_those_that_are_off_are_asked(tmp_path: Path) -> None:
    with closing(Liar(b"what?" * 9)) as liar:
        async with running(tmp_path, config=config(liar.endpoint)) as (app, _, pilot):
            await until(lambda: app.workspace.engine_state == "ready")
            await write(pilot, app, "/workers off")
            await until(lambda: app.workspace.config.engine.rpc == [])
            await until(lambda: app.workspace.engine_state == "ready")
            await write(pilot, app, "/workers")
            await until(lambda: "no rpc-server" in toasts(app))
            assert "They are off" in toasts(app)


async def test_there_are_none(tmp_path: Path) -> None:
    async with running(tmp_path) as (app, _, pilot):
        await write(pilot, app, "/workers off")
        await until(lambda: "There are no workers" in toasts(app))
        assert "[engine] rpc" in toasts(app)
