"""The model picker: what is on disk, what fits this machine, and downloads with progress."""

from __future__ import annotations

import asyncio
import re
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
from tui.widgets.taken_down import stands, while_it_stands

WELCOME = (
    "Welcome to halo-tui: many agents, one model, one KV cache.\n"
    "[b]Enter[/b], or simply writing, starts with halo-mini, a tiny model that is here already and "
    "shows how everything works. For real conversations choose one of yours or download one; "
    "/models comes back here."
)

_REPO = re.compile(r"([\w-][\w.-]*/[\w-][\w.-]*)(?:\s+(\S+))?")  # of the hub, and a file there


class _Cancelled(Exception):
    """The person left while a download ran."""


class ModelsScreen(ModalScreen[str | None]):
    """Choose a model. The result is a path, "" for halo-mini, or None for no change."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Cancel")]
    DEFAULT_CSS = """
    ModelsScreen OptionList:focus { border: none; }
    ModelsScreen OptionList { height: auto; max-height: 16; margin-top: 1; border: none;
                              text-wrap: nowrap; text-overflow: ellipsis; }
    ModelsScreen .dialog { width: 88; }
    ModelsScreen #progress { display: none; margin-top: 1; }
    ModelsScreen.-pulling #progress { display: block; }
    ModelsScreen #said { margin-top: 1; height: auto; color: $text-muted; }
    """

    def __init__(self, config: Config, first: bool = False, wanted: str = "") -> None:
        """`first`: greet a person who starts halo-tui for the first time; `wanted`: a name that
        was asked for and is none."""
        super().__init__()
        self.config, self.first, self.wanted = config, first, wanted
        self.files: list[ModelFile] = []
        self.offers: list[Recommendation] = []
        self._pulling = ""  # title of what is downloaded

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            if self.first:
                yield Static(WELCOME)
            else:
                yield Static("Models · Enter loads or downloads · Esc goes back", classes="title")
            # Here from the first moment: Enter must never have to wait for the disk.
            yield OptionList(Option("○ halo-mini", id="mini"))
            yield ProgressBar(id="progress", show_eta=True)
            yield Static("Looking for models…", id="said", markup=False)

    def on_mount(self) -> None:
        options = self.query_one(OptionList)
        options.focus()
        options.highlighted = 0
        self._look()

    @property
    def gives_way(self) -> bool:
        """Whether text that is typed is for the prompt: nobody asked for the greeting."""
        return self.first and not self._pulling

    def give_way(self) -> None:
        """Somebody writes to the prompt."""
        self.dismiss(None)

    @work(exclusive=True, group="look")
    @while_it_stands
    async def _look(self) -> None:
        from engine import models, recommend
        from engine.core.preflight import available_bytes

        try:
            self.files = await asyncio.to_thread(models.list_models, self.config)
        except OSError as error:
            self._say(f"The folders cannot be read: {error.strerror}.")
            return
        memory = available_bytes()
        here = {file.path.name for file in self.files}
        self.offers = [o for o in recommend.recommend(memory) if o.file not in here]
        repo = _REPO.fullmatch(self.wanted)
        if repo:
            any_file = recommend.Recommendation(
                self.wanted, repo[1], repo[2] or "", 0, 0, "from the Hugging Face hub"
            )
            self.offers.insert(0, any_file)
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_option(Option(Text("On this machine", "dim"), disabled=True))
        for i, file in enumerate(self.files):
            options.add_option(
                Option(self._line(file), id=f"file-{i}", disabled=bool(file.problem))
            )
        if self.offers:
            title = f"Downloads that fit into {memory / 1e9:.0f} GB of free memory"
            options.add_option(Option(Text(title, "dim"), disabled=True))
        for i, offer in enumerate(self.offers):
            text = Text.assemble(
                ("↓ ", "bold"), f"{offer.title:22}",
                (f" {f'{offer.size / 1e9:5.1f} GB' if offer.size else ''}  {offer.good_for}", "dim"),
                no_wrap=True,
            )  # fmt: skip
            options.add_option(Option(text, id=f"offer-{i}"))
        current = next((i for i, f in enumerate(self.files) if self._is_current(f)), 0)
        options.highlighted = current + 1
        if repo:
            options.highlighted = options.get_option_index("offer-0")
            self._say(f"{self.wanted} is not here. Enter downloads it, Esc goes back.")
            return
        if self.wanted:
            self._miss(options)
            return
        self._say(
            f"Looked into {', '.join(self.config.model.folders) or 'no folders'}"
            f"{' and the Hugging Face cache' if self.config.model.hf_cache else ''}. "
            "/model owner/name downloads any other."
        )

    def _miss(self, options: OptionList) -> None:
        """Say that there is no such model, and go to the one that is meant perhaps."""
        from engine.models import near

        names = {file.name: f"file-{i}" for i, file in enumerate(self.files) if not file.problem}
        names |= {offer.title: f"offer-{i}" for i, offer in enumerate(self.offers)}
        meant = near(self.wanted, names)
        if meant:
            options.highlighted = options.get_option_index(names[meant[0]])
        hint = f"Perhaps {' or '.join(meant)}? " if meant else ""
        self._say(
            f"There is no model '{self.wanted}' here. {hint}Enter takes what is marked, Esc keeps "
            "the one that is loaded."
        )

    def _is_current(self, file: ModelFile) -> bool:
        chosen = self.config.model.path
        return chosen == str(file.path) or (not chosen and file.name == MINI_NAME)

    def _line(self, file: ModelFile) -> Text:
        line = Text("● " if self._is_current(file) else "○ ", "bold", no_wrap=True)
        line.append(f"{file.name:22}", "not bold")
        size = f"{file.size / 1e9:.1f} GB" if file.size > 1e8 else f"{file.size / 1e6:.0f} MB"
        line.append(f" {size:>8}  {file.source}", "dim not bold")
        if file.problem:
            line.append(f"  ✗ {file.problem}", "red not bold")
        return line

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        kind, _, number = (event.option_id or "").partition("-")
        if kind == "mini":
            self.dismiss("")
        elif kind == "file":
            file = self.files[int(number)]
            self.dismiss("" if file.name == MINI_NAME else str(file.path))
        elif kind == "offer" and not self._pulling:
            offer = self.offers[int(number)]
            self._pulling = offer.title
            self.add_class("-pulling")
            self._say(f"Asking the hub for {offer.title}…")
            self._pull(offer)

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
                self.app.call_from_thread(self._show, done, total)

        try:
            path = hub.pull(offer.repo, offer.file or None, progress)
        except Exception as error:  # whatever a download can raise is told, never a crash
            if not worker.is_cancelled:
                told = error if isinstance(error, HaloError) else f"The download failed: {error}."
                self.app.call_from_thread(self._failed, str(told))
            return
        if not worker.is_cancelled:
            self.app.call_from_thread(self.dismiss, str(path))

    def _show(self, done: int, total: int) -> None:
        if stands(self):
            self.query_one(ProgressBar).update(total=total, progress=done)
            sizes = f"{done / 1e9:.2f} of {total / 1e9:.2f} GB"
            self._say(f"Downloading {self._pulling}: {sizes}. Esc stops; it can go on later.")

    def _failed(self, text: str) -> None:
        if stands(self):
            self._pulling = ""
            self.remove_class("-pulling")
            self._say(f"✗ {text}")

    def _say(self, text: str) -> None:
        self.query_one("#said", Static).update(text)

    def action_leave(self) -> None:
        """Esc stops a download first; then it leaves."""
        self.workers.cancel_group(self, "pull")
        if self._pulling:
            self._pulling = ""
            self.remove_class("-pulling")
            self._say("Stopped. What was downloaded is kept; choosing it again goes on from there.")
        else:
            self.dismiss(None)
