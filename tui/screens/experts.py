"""Expert routing: what the model reads, what the policy saves, and whether the guard agrees."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, ClassVar

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Static

from agents import routing
from agents.events import EngineChanged, ExpertsChanged, WorkspaceEvent
from agents.workspace import Workspace
from engine.errors import HaloError
from engine.protocol import Experts
from tui.themes import rich_colour
from tui.widgets.expert_map import SHADES, expert_map, slider
from tui.widgets.taken_down import stands

BONUSES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
DENSE = (
    "This model has no experts: every weight is read in every step. Mixtures of experts (Qwen3 "
    "MoE, gpt-oss, GLM, DeepSeek, halo-mini) have some; /models chooses one."
)
QUIET = "Nobody decodes. What is read shows when agents answer; sharing needs two or more at once."
KEYS = "o off · s static · c cache · ←→ bonus · m model's own · a A/B now · Esc back"
GUARD = {
    "off": "off: nothing limits the bonus",
    "waiting": "no sample yet",
    "ok": "ok",
    "lowered": "has lowered the bonus",
    "stopped": "has taken the bonus away",
}


class ExpertsScreen(Screen[None]):
    """Heat map, figures, and the keys that change the policy."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,alt+e,q", "dismiss", "Back"),
        Binding("o", "policy('off')", "Off"),
        Binding("s", "policy('static')", "Static"),
        Binding("c", "policy('cache')", "Cache"),
        Binding("left,minus", "bonus(-1)", "Less"),
        Binding("right,plus", "bonus(1)", "More"),
        Binding("m", "own", "The model's own bonus"),
        Binding("a", "compare", "A/B now"),
    ]
    DEFAULT_CSS = """
    ExpertsScreen > #keys { dock: bottom; height: 1; padding: 0 1; color: $text-muted;
                            background: $panel; }
    ExpertsScreen > #about { height: auto; padding: 0 1; margin-top: 1; }
    ExpertsScreen > VerticalScroll { height: 1fr; padding: 0 1; margin-top: 1; }
    ExpertsScreen.-short > #about, ExpertsScreen.-short > VerticalScroll { margin-top: 0; }
    """

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.workspace = workspace

    def compose(self) -> ComposeResult:
        yield Static("EXPERTS · which of them the agents' tokens go through", classes="title")
        yield Static(id="about")
        with VerticalScroll(can_focus=False):
            yield Static(id="map")
        yield Static(KEYS, id="keys")

    def on_mount(self) -> None:
        self._do(routing.watch(self.workspace, True))
        self._draw()

    def on_unmount(self) -> None:
        # The screen's own workers end with it.
        self.workspace.keep_task(self._unwatch())

    async def _unwatch(self) -> None:
        try:
            await routing.watch(self.workspace, False)
        except HaloError:
            pass  # a core that is gone watches nothing

    def apply(self, event: WorkspaceEvent) -> None:
        """Something went on while the screen is open."""
        if not stands(self):
            return
        if isinstance(event, EngineChanged) and event.state == "ready":
            self._do(routing.watch(self.workspace, True))
        if isinstance(event, ExpertsChanged | EngineChanged):
            self._draw()

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw)

    # --- keys ------------------------------------------------------------------------------------

    def action_policy(self, policy: str) -> None:
        self._do(routing.change(self.workspace, policy))

    def action_bonus(self, by: int) -> None:
        now = self._bonus()
        if by > 0:
            wanted = next((b for b in BONUSES if b > now + 1e-6), BONUSES[-1])
        else:
            wanted = next((b for b in reversed(BONUSES) if b < now - 1e-6), BONUSES[0])
        self._do(routing.change(self.workspace, bonus=wanted))

    def action_own(self) -> None:
        self._do(routing.change(self.workspace, bonus=-1.0))

    def action_compare(self) -> None:
        self._do(routing.compare(self.workspace))

    @work(group="experts")
    async def _do(self, what: Coroutine[Any, Any, None]) -> None:
        try:
            await what
        except HaloError as error:
            self.notify(str(error), severity="error", markup=False)
        if stands(self):
            self._draw()

    # --- drawing ---------------------------------------------------------------------------------

    def _bonus(self) -> float:
        bonus = self.workspace.config.experts.bonus
        event = self.workspace.experts
        return bonus if bonus >= 0 else (event.bonus if event is not None else 0.0)

    def _draw(self) -> None:
        about, heat = self.query_one("#about", Static), self.query_one("#map", Static)
        event = self.workspace.experts
        about.update(self._about(event))
        if event is None or not event.heat:
            heat.update("")
            return
        warm = rich_colour(self.app, "primary", "blue")
        colours = ("dim", "dim", warm, warm, rich_colour(self.app, "accent", "yellow"))
        assert len(colours) == len(SHADES)
        rows = max(4, self.app.size.height - self._about(event).plain.count("\n") - 5)
        heat.update(expert_map(event, self.app.size.width - 4, rows, colours))

    def _about(self, event: Experts | None) -> Text:
        settings, text = self.workspace.config.experts, Text()
        ready = self.workspace.ready
        if ready is not None and not ready.n_expert:
            return text.append(DENSE)
        own = " (the model's own)" if settings.bonus < 0 else ""
        text.append("policy   ", "dim").append(settings.policy, "bold")
        text.append(f"   {slider(self._bonus(), 21)} bonus {self._bonus():.2f}{own}\n")
        if event is None or not event.steps:
            if event is None or not any(event.heat):
                return text.append(QUIET, "dim")
            text.append("nobody decodes now; below is what was read last\n", "dim")
            return self._guarded(text, event)
        text.append("now      ", "dim")
        many = f"{event.agents:.1f}".removesuffix(".0")
        text.append(f"{many} agent{'s' if event.agents != 1 else ''} decode together · ")
        text.append(
            "the bonus acts\n" if event.active
            else "no bonus: policy off\n" if settings.policy == "off"
            else "no bonus: one alone shares with nobody\n"
        )  # fmt: skip
        text.append("read     ", "dim")
        text.append(f"{event.distinct:.1f}", "bold")
        text.append(f" of {event.n_expert} experts of a layer and step")
        if event.distinct_without:
            text.append(f" · {event.distinct_without:.1f} without the policy")
        text.append("\nweights  ", "dim")
        text.append(f"{_mega(event.bytes_per_token)} a token", "bold")
        if event.bytes_per_token_without:
            text.append(f" · {_mega(event.bytes_per_token_without)} without")
        text.append(f" · {event.reuse:.0%} read in the step before too\n")
        return self._guarded(text, event)

    def _guarded(self, text: Text, event: Experts) -> Text:
        settings = self.workspace.config.experts
        if settings.policy != "off":
            text.append("guard    ", "dim").append(
                GUARD.get(event.guard, event.guard), _style(event)
            )
            if event.scale < 1:
                text.append(f" to {event.scale:.0%}")
            if event.samples:
                text.append(
                    f" · replaced {event.mass:.1%}/{settings.max_mass:.0%}"
                    f" · KL {event.kl:.4f}/{settings.max_kl:g}"
                )
            text.append("\n")
        if event.ab == "runs":
            text.append("A/B      ", "dim").append(
                f"with and without in turns: {event.ab_share:.0%}\n"
            )
        elif event.ab == "done":
            text.append("A/B      ", "dim").append(
                f"{event.ab_factor:.2f}× tokens a second", "bold"
            )
            text.append(" with the policy, measured in turns\n")
        if event.recording:
            text.append("record   ", "dim").append(f"{event.recording}\n")
        text.rstrip()
        return text


def _style(event: Experts) -> str:
    return "bold yellow" if event.guard in ("lowered", "stopped") else ""


def _mega(count: float) -> str:
    """Bytes in MB, as memory bandwidth is told."""
    return f"{count / 1e6:,.1f} MB" if count < 1e8 else f"{count / 1e6:,.0f} MB"
