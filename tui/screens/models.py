"""The model picker: what is on disk, what fits this machine, and downloads with progress."""

from __future__ import annotations

import asyncio
import time
from typing import ClassVar

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import OptionList, ProgressBar, Static
from textual.widgets.option_list import Option
from textual.worker import get_current_worker

from engine.config import Config
from engine.errors import HaloError
from engine.models import MINI_NAME, ModelFile
from engine.recommend import Recommendation


class _Cancelled(Exception):
    """The person left while a download ran."""


class ModelsScreen(ModalScreen[str | None]):
    """Choose a model. The result is a path, "" for halo-mini, or None for no change."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Cancel")]
    DEFAULT_CSS = """
    ModelsScreen OptionList { height: auto; max-height: 20; margin-top: 1; }
    ModelsScreen #progress { display: none; margin-top: 1; }
    ModelsScreen.-pulling #progress { display: block; }
    ModelsScreen #said { margin-top: 1; height: auto; color: $text-muted; }
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.files: list[ModelFile] = []
        self.offers: list[Recommendation] = []

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Text("Models — Enter chooses or downloads, Esc goes back", "bold"))
            yield OptionList()
            yield ProgressBar(id="progress", show_eta=True)
            yield Static("Looking for models…", id="said", markup=False)

    def on_mount(self) -> None:
        self._look()

    @work(exclusive=True, group="look")
    async def _look(self) -> None:
        from engine import models, recommend
        from engine.core.preflight import available_bytes

        self.files = await asyncio.to_thread(models.list_models, self.config)
        self.offers = recommend.recommend(available_bytes())
        options = self.query_one(OptionList)
        options.clear_options()
        for i, file in enumerate(self.files):
            options.add_option(
                Option(self._line(file), id=f"file-{i}", disabled=bool(file.problem))
            )
        if self.offers:
            options.add_option(
                Option(Text("Worth downloading for this machine", "dim"), disabled=True)
            )
        for i, offer in enumerate(self.offers):
            text = Text.assemble(
                ("↓ ", "bold"),
                offer.title,
                (f"  {offer.size / 1e9:.1f} GB  {offer.good_for}", "dim"),
            )
            options.add_option(Option(text, id=f"offer-{i}"))
        self.query_one("#said", Static).update(
            f"Also looked into: {', '.join(self.config.model.folders) or 'no folders'}. "
            "`halo-tui models pull owner/name` downloads any other."
        )
        options.focus()

    def _line(self, file: ModelFile) -> Text:
        current = self.config.model.path == str(file.path) or (
            not self.config.model.path and file.name == MINI_NAME
        )
        line = Text("● " if current else "○ ", "bold")
        line.append(file.name)
        line.append(f"  {file.size / 1e9:.2f} GB  {file.source}", "dim")
        if file.problem:
            line.append(f"  {file.problem}", "red")
        return line

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        kind, _, number = (event.option_id or "").partition("-")
        if kind == "file":
            file = self.files[int(number)]
            self.dismiss("" if file.name == MINI_NAME else str(file.path))
        elif kind == "offer":
            self._pull(self.offers[int(number)])

    @work(thread=True, exclusive=True, group="pull", exit_on_error=False)
    def _pull(self, offer: Recommendation) -> None:
        from engine import hub

        worker, drawn = get_current_worker(), 0.0

        def progress(done: int, total: int) -> None:
            nonlocal drawn
            if worker.is_cancelled:
                raise _Cancelled
            if time.monotonic() - drawn > 0.1 or done >= total:
                drawn = time.monotonic()
                self.app.call_from_thread(self._show, done, total, offer.title)

        try:
            path = hub.pull(offer.repo, offer.file, progress)
        except HaloError as error:
            if not worker.is_cancelled:
                self.app.call_from_thread(self._failed, str(error))
            return
        self.app.call_from_thread(self.dismiss, str(path))

    def _show(self, done: int, total: int, title: str) -> None:
        self.add_class("-pulling")
        self.query_one(ProgressBar).update(total=total, progress=done)
        self.query_one("#said", Static).update(
            f"Downloading {title}. Esc stops; it can go on later."
        )

    def _failed(self, text: str) -> None:
        self.remove_class("-pulling")
        self.query_one("#said", Static).update(text)

    def action_leave(self) -> None:
        self.workers.cancel_group(self, "pull")
        self.dismiss(None)
