"""Takes the README's pictures: the real app on the shipped model, at three sizes."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from engine.bench import recall  # noqa: E402
from engine.client import EngineClient  # noqa: E402
from engine.config import load  # noqa: E402
from tui.app import HaloApp  # noqa: E402

SIZES = ((80, 24), (120, 40), (200, 60))
TALK = (
    "Hi, I'm Ada and I work at Halo Labs. My sister is called Priya.",
    "@all The deadline of project Heron is 14 March. Project Heron is led by Marco.",
    "@all where do I work?",
    "@grace who leads project Heron?",
    "what is my sister called?",
)


async def picture(size: tuple[int, int], folder: Path, out: Path, grid: bool = False) -> None:
    config = load(None, {}, ["ui.theme=halo-dark", "sampling.temperature=0"])
    client = EngineClient(config, log_path=folder / "core.log")
    app = HaloApp(config, folder, client)
    async with app.run_test(size=size) as pilot:
        await app.workspace.wait_ready()
        for text in TALK:
            await app.workspace.send(text, "ada")
            while any(agent.busy for agent in app.workspace.agents):
                await pilot.pause(0.05)
        if grid:
            await app.main.toggle_grid()
        await pilot.pause(2.0)
        app.clear_notifications()
        await pilot.pause(0.3)
        out.write_text(app.export_screenshot(title="halo-tui"))
        await app.workspace.stop()


async def compaction(folder: Path, out: Path, screen: Path) -> None:
    """An agent's long past before and after: the map, and the screen of compactions."""
    past = [m.content for m in recall.load(2000)[0].messages if m.role == "user"]
    config = load(None, {}, ["ui.theme=halo-dark", "sampling.temperature=0", "engine.n_ctx=4096"])
    client = EngineClient(config, log_path=folder / "core.log")
    app = HaloApp(config, folder, client)
    async with app.run_test(size=(120, 40)) as pilot:
        await app.workspace.wait_ready()
        for text in past:
            await app.workspace.send(text, "ada")
            while any(agent.busy for agent in app.workspace.agents):
                await pilot.pause(0.02)
        for ratio in (4.0, 8.0):
            await app.workspace.compact("ada", ratio)
            await pilot.pause(0.5)
            while app.workspace.get("ada").compaction is not None:
                await pilot.pause(0.1)
        question = recall.load(2000)[0].questions[0][0]
        await app.workspace.send(question, "ada")
        await pilot.pause(3.0)
        app.clear_notifications()
        await pilot.pause(0.3)
        out.write_text(app.export_screenshot(title="halo-tui"))
        await pilot.press("ctrl+t")
        await pilot.pause(1.0)
        screen.write_text(app.export_screenshot(title="halo-tui: compactions"))
        await app.workspace.stop()


async def sessions(home: Path, out: Path) -> None:
    """The screen of saved sessions, with one that was compacted before."""
    os.environ["HOME"] = str(home)  # paths are shown as people have them
    folder = home / ".local" / "share" / "halo-tui"
    past = [m.content for m in recall.load(2000)[0].messages if m.role == "user"]
    config = load(None, {}, ["ui.theme=halo-dark", "sampling.temperature=0", "engine.n_ctx=4096"])
    client = EngineClient(config, log_path=home / "core.log")
    app = HaloApp(config, folder, client)
    async with app.run_test(size=(120, 40)) as pilot:
        await app.workspace.wait_ready()
        for text in TALK:
            await app.workspace.send(text, "grace")
            while any(agent.busy for agent in app.workspace.agents):
                await pilot.pause(0.02)
        await app.workspace.sessions.save_as("grace", "Heron: who leads it, and when")
        for text in past:
            await app.workspace.send(text, "ada")
            while any(agent.busy for agent in app.workspace.agents):
                await pilot.pause(0.02)
        await app.workspace.sessions.save_as("ada", "before compacting")
        await app.workspace.compact("ada", 8.0)
        while app.workspace.get("ada").compaction is not None:
            await pilot.pause(0.1)
        await app.workspace.sessions.save_as("ada", "the same, compacted")
        await pilot.pause(1.0)
        app.clear_notifications()
        await pilot.press("ctrl+s")
        await pilot.pause(1.0)
        out.write_text(app.export_screenshot(title="halo-tui: saved sessions"))
        await app.workspace.stop()


MEMORIES = (
    ("ada", "Hi, I'm Ada and I work at Halo Labs."),
    ("ada", "My sister Priya lives in Lisbon."),
    ("grace", "Priya works at Nordlight. Priya likes coffee."),
    ("ada", "My friend Marco lives in Geneva."),
    ("ada", "Priya has moved to Porto."),
)


async def memory(folder: Path, out: Path) -> None:
    """The memory beside the chat: real extractor, real graph."""
    config = load(None, {}, ["ui.theme=halo-dark", "sampling.temperature=0", "ui.notify=false"])
    client = EngineClient(config, log_path=folder / "core.log")
    app = HaloApp(config, folder / "data", client, remember=True)
    async with app.run_test(size=(120, 40)) as pilot:
        await app.workspace.wait_ready()
        for name, text in MEMORIES:
            await app.workspace.send(text, name)
            while any(agent.busy for agent in app.workspace.agents):
                await pilot.pause(0.05)
        while app.workspace.memory is None or app.workspace.memory.state == "starting":
            await pilot.pause(0.1)
        await app.workspace.memory.settled()
        app.main.controller.start("memory", "Priya")
        await pilot.pause(2.0)
        app.clear_notifications()
        await pilot.pause(0.3)
        out.write_text(app.export_screenshot(title="halo-tui: memory"))
        await app.workspace.stop()


def main() -> None:
    images = ROOT / "docs" / "images"
    images.mkdir(parents=True, exist_ok=True)
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            name = f"halo-tui-{size[0]}x{size[1]}.svg"
            asyncio.run(picture(size, Path(folder), images / name))
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(picture((120, 40), Path(folder), images / "halo-tui-grid.svg", grid=True))
    with tempfile.TemporaryDirectory() as folder:
        after, screen = images / "halo-tui-compacted.svg", images / "halo-tui-compactions.svg"
        asyncio.run(compaction(Path(folder), after, screen))
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(memory(Path(folder), images / "halo-tui-memory.svg"))
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(sessions(Path(folder), images / "halo-tui-sessions.svg"))


if __name__ == "__main__":
    main()
