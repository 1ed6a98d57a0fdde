"""A widget that is closed while a worker of it still wants to show something."""

from __future__ import annotations

import asyncio

import pytest
from textual import work
from textual.app import App, ComposeResult
from textual.css.query import NoMatches
from textual.widget import Widget
from textual.widgets import Static
from textual.worker import WorkerFailed

from tui.widgets.taken_down import stands, while_it_stands


class Parent(Widget):
    """Its worker goes on at the moment when its children are gone and it is not."""

    def __init__(self) -> None:
        super().__init__()
        self.go, self.seen = asyncio.Event(), ""
        self.stood: list[bool] = []

    def compose(self) -> ComposeResult:
        yield Static("shown")

    @work
    @while_it_stands
    async def guarded(self) -> None:
        await self.bare()

    @work
    async def unguarded(self) -> None:
        await self.bare()

    async def bare(self) -> None:
        await self.go.wait()
        try:
            self.query_one(Static)
        except NoMatches:
            self.seen = "gone"
            raise

    @work
    @while_it_stands
    async def wrong(self) -> None:
        self.query_one("#never")

    def on_mount(self) -> None:
        self.call_after_refresh(lambda: self.stood.append(stands(self)))

    async def on_unmount(self) -> None:
        self.stood.append(stands(self))
        assert self.is_mounted, "as Textual has it"
        self.go.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def closed(work_of: str) -> str:
    class One(App[None]):
        def compose(self) -> ComposeResult:
            yield Parent()

    app = One()
    async with app.run_test() as pilot:
        parent = app.query_one(Parent)
        getattr(parent, work_of)()
        await pilot.pause()
        await parent.remove()
    assert parent.stood == [True, False]
    return parent.seen


async def test_what_it_wanted_to_show_is_not_missed() -> None:
    assert await closed("guarded") == "gone"


async def test_without_it_the_app_would_fail() -> None:
    with pytest.raises(WorkerFailed, match="No nodes match"):
        await closed("unguarded")


async def test_a_mistake_in_a_widget_that_stands_is_not_hidden() -> None:
    with pytest.raises(WorkerFailed, match="never"):
        await closed("wrong")
