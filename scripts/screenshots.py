"""Takes the README's pictures: the real app on the shipped model, at three sizes."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from engine.client import EngineClient  # noqa: E402
from engine.config import load  # noqa: E402
from tui.app import HaloApp  # noqa: E402

SIZES = ((80, 24), (120, 40), (200, 60))
TALK = (
    "Hi, I'm Ada and I work at Halo Labs. My sister Priya lives in Lisbon.",
    "@all The deadline of project Heron is 14 March. Project Heron is led by Marco.",
    "@all where do I work?",
    "@grace who leads project Heron?",
    "where does Priya live?",
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


def main() -> None:
    images = ROOT / "docs" / "images"
    images.mkdir(parents=True, exist_ok=True)
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            name = f"halo-tui-{size[0]}x{size[1]}.svg"
            asyncio.run(picture(size, Path(folder), images / name))
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(picture((120, 40), Path(folder), images / "halo-tui-grid.svg", grid=True))


if __name__ == "__main__":
    main()
