"""The pace of drawing, and the compositor that renders only what it shows, against Textual's own."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import pytest
from textual._compositor import ChopsUpdate, Compositor
from textual.app import App, ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Static, TextArea

from tests.support.scripted import ScriptedClient
from tests.support.waiting import until
from tests.tui.test_app import running, write
from tui.compositor import SparingCompositor
from tui.frames import BUDGET, SLOWEST, Frames
from tui.widgets.plain_lines import PlainLines


class Clock:
    """Time and processor time that tests move."""

    def __init__(self) -> None:
        self.now = self.used = 100.0

    def frames(self, fps: int = 10) -> Frames:
        return Frames(fps, lambda: self.now, lambda: self.used)

    def pass_by(self, frames: Frames, seconds: float, share: float, busy: bool = True) -> None:
        for _ in range(round(seconds / 0.5)):
            self.now += 0.5
            self.used += 0.5 * share
            frames.look(busy)


def test_frames_are_common_instants() -> None:
    clock = Clock()
    frames = clock.frames()
    clock.now = 100.03
    assert frames.wait() == pytest.approx(0.07)
    assert frames.wait(0.1) == pytest.approx(0.17)
    clock.now = 100.1
    assert frames.wait() == pytest.approx(0.1)


def test_the_pace_follows_what_is_used_only_where_that_is_missed() -> None:
    clock = Clock()
    frames = clock.frames()
    clock.pass_by(frames, 5, 0.5)
    assert frames.interval == 0.1  # a GPU computes
    frames.sparing = True
    clock.pass_by(frames, 5, BUDGET / 3)
    assert frames.interval == 0.1
    clock.pass_by(frames, 5, BUDGET * 4)
    assert frames.interval == pytest.approx(SLOWEST)
    clock.pass_by(frames, 10, BUDGET / 4)
    assert frames.interval == pytest.approx(0.1)
    clock.pass_by(frames, 5, BUDGET * 4)
    clock.pass_by(frames, 5, 0.0, busy=False)
    assert frames.interval == pytest.approx(SLOWEST)  # for the next answer
    frames.sparing = False
    clock.pass_by(frames, 0.5, 0.0, busy=False)
    assert frames.interval == 0.1


def test_a_pace_that_was_asked_for_is_never_overtaken() -> None:
    clock = Clock()
    frames = clock.frames(2)
    frames.sparing = True
    clock.pass_by(frames, 5, BUDGET * 9)
    assert frames.interval == 0.5


class Twin(SparingCompositor):
    """Draws twice and compares."""

    compared: ClassVar[Counter[str]] = Counter()

    def render_partial_update(self) -> ChopsUpdate | None:
        regions = set(self._dirty_regions)
        ours = super().render_partial_update()
        self._dirty_regions = regions
        theirs = Compositor.render_partial_update(self)
        if ours is None or theirs is None:
            assert ours is theirs
            return None
        assert (ours.spans, ours.chop_ends) == (theirs.spans, theirs.chop_ends)
        for y, first, last in ours.spans:
            for start, end in pairwise(self.cuts[y]):
                if end > first and start < last:
                    assert ours.chops[y][start] == theirs.chops[y][start], (y, start)
        pieces = [[p for chop in u.chops for p in chop.values() if p] for u in (ours, theirs)]
        self.compared["pieces"] += len(pieces[1])
        self.compared["spared"] += len(pieces[1]) - len(pieces[0])
        self.compared["updates"] += 1
        return ours


@pytest.fixture
def compared() -> Counter[str]:
    Twin.compared = Counter()
    return Twin.compared


async def test_the_app_looks_the_same(
    tmp_path: Path, compared: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui.screens.main.SparingCompositor", Twin)
    client = ScriptedClient(lambda text: f"You said: {text}\n\n```python\nprint(1)\n```\nand more")
    async with running(tmp_path, client=client) as (app, _, pilot):
        for text in ("Where do I work?", "@all hello there", "/nothing of this name"):
            await write(pilot, app, text)
            await pilot.press("h", "i", "left", "backspace", "ctrl+u")
        await until(lambda: not any(agent.busy for agent in app.workspace.agents))
        for key in ("f5", "tab", "f5", "f4", "f4", "alt+up", "up", "escape", "alt+2"):
            await pilot.press(key)
            await pilot.pause()
        await pilot.hover("#agents")
        await pilot.resize_terminal(80, 24)
        await write(pilot, app, "again " * 50)
        await pilot.pause()
    assert compared["updates"] > 20 and compared["spared"] > compared["pieces"] // 4


def like(strips: list[Strip], width: int) -> list[list[tuple[str, object]]]:
    """What is drawn, however it is cut into segments."""
    return [[(c, s.style) for s in strip for c in s.text][:width] for strip in strips]


@pytest.mark.parametrize("grid", [False, True])
async def test_kept_lines_are_what_textual_makes_of_them(tmp_path: Path, grid: bool) -> None:
    client = ScriptedClient(lambda text: f"You said: {text}\n\n```python\nprint(1)\n```\n" * 9)
    async with running(tmp_path, client=client) as (app, _, pilot):
        await write(pilot, app, "Where do I **work**? " * 9)
        await until(lambda: not any(agent.busy for agent in app.workspace.agents))
        if grid:
            await pilot.press("f5")
        await pilot.pause()
        await pilot.pause()
        kept = [w for w in app.main.walk_children(PlainLines) if w.is_on_screen and w.size.height]
        assert {type(w).__name__ for w in kept} == {"CellMap", "Tile" if grid else "Transcript"}
        for widget in kept:
            for crop in (widget.size.region, Region(3, 1, 9, widget.size.height - 2)):
                ours = PlainLines.render_lines(widget, crop)
                theirs = Widget.render_lines(widget, crop)
                width = min(strip.cell_length for strip in ours)
                assert width >= crop.width - 1  # the scrollbar is a widget of its own
                assert like(ours, width) == like(theirs, width)
        kept[0].styles.tint = "red 50%"
        assert like(kept[0].render_lines(crop), 9) == like(Widget.render_lines(kept[0], crop), 9)


def test_meters_are_drawn_less_often_than_text_when_the_model_needs_the_processor() -> None:
    clock = Clock()
    frames = clock.frames()
    assert frames.stretch == 1.0
    frames.sparing = True
    clock.pass_by(frames, 5, BUDGET * 4)
    assert frames.stretch == pytest.approx(4.0)


class Heap(App[None]):
    """Widgets beside, within and over each other."""

    CSS = """
    Screen { layers: base over; }
    .over { layer: over; width: 20; height: 5; border: round red; }
    #a { offset: 3 2; } #b { offset: 15 4; } #c { offset: 70 18; }
    VerticalScroll { width: 1fr; border: heavy green; }
    .row { height: 3; margin: 1 2; background: blue 30%; }
    """

    def get_default_screen(self):  # type: ignore[no-untyped-def]
        screen = super().get_default_screen()
        screen._compositor = Twin()
        return screen

    def compose(self) -> ComposeResult:
        with Horizontal():
            for column in range(3):
                with VerticalScroll():
                    for row in range(9):
                        yield Static(f"column {column} row {row} 漢字 " * 4, classes="row")
            yield TextArea("some text\nof two lines")
        for name in "abc":
            yield Static(name * 40, id=name, classes="over")


async def test_heaps_of_widgets_look_the_same(compared: Counter[str]) -> None:
    rng = random.Random(3)
    app = Heap()
    async with app.run_test(size=(80, 24)) as pilot:
        widgets = [w for w in app.screen.walk_children(Widget) if w.is_attached]
        for number in range(120):
            for widget in rng.sample(widgets, rng.randint(1, 3)):
                width, height = widget.size
                match rng.randrange(4):
                    case 0:
                        widget.refresh()
                    case 1 if width > 1 and height > 1:
                        x, y = rng.randrange(width), rng.randrange(height)
                        widget.refresh(Region(x, y, rng.randint(1, width), rng.randint(1, height)))
                    case 2 if isinstance(widget, Static):
                        widget.update(f"{number} new 漢 words " * rng.randint(1, 6), layout=False)
                    case 3 if isinstance(widget, VerticalScroll):
                        widget.scroll_to(y=rng.randrange(20), animate=False)
            await pilot.pause()
    assert compared["updates"] > 60 and compared["spared"] > 0
