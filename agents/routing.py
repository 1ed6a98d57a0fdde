"""Expert routing as people meet it: what may be asked for, and that it is kept for the next core."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from agents.events import ExpertsChanged
from engine.errors import HaloError
from engine.experts import POLICIES
from engine.protocol import Experts

if TYPE_CHECKING:
    from agents.workspace import Workspace

HIGHEST_BONUS = 10.0


async def change(workspace: Workspace, policy: str = "", bonus: float | None = None) -> None:
    """Switch the policy or the bonus of the running core. Raises HaloError; nothing is set then.

    `bonus` -1 means the model's own.
    """
    if policy and policy not in POLICIES:
        raise HaloError(f"'{policy}' is no policy.", f"There are: {', '.join(POLICIES)}.")
    if bonus is not None and bonus != -1 and not 0 <= bonus <= HIGHEST_BONUS:
        raise HaloError(
            f"{bonus:g} is no bonus.",
            f"Give a share of the scores' range from 0 to {HIGHEST_BONUS:g}, for example 0.2.",
        )
    workspace.engine.need("Nothing can be routed")
    settings = workspace.config.experts
    if bonus is not None:
        await workspace.client.configure("experts.bonus", float(bonus))
        settings.bonus = float(bonus)
    if policy:
        await workspace.client.configure("experts.policy", policy)
        settings.policy = policy  # type: ignore[assignment]  # one of POLICIES
    workspace.note("info", "experts", f"Expert routing: {words(workspace)}.")


def words(workspace: Workspace) -> str:
    """cache, bonus 0.20."""
    settings = workspace.config.experts
    if settings.policy == "off":
        return "off"
    bonus = settings.bonus
    if bonus < 0 and workspace.experts is not None:
        bonus = workspace.experts.bonus
    return f"{settings.policy}, bonus {f'{bonus:.2f}' if bonus >= 0 else 'as suits the model'}"


async def watch(workspace: Workspace, on: bool) -> None:
    """Have the core count also while the policy is off, or no longer."""
    if workspace.engine_state == "ready":
        await workspace.client.configure("experts.watch", on)


async def compare(workspace: Workspace) -> None:
    """Measure the policy against off, in short windows in turns, while agents answer."""
    workspace.engine.need("Nothing can be routed")
    await workspace.client.configure("experts.ab", True)


async def record(workspace: Workspace, path: str) -> None:
    """Write what is chosen to a file from now on; "" ends it."""
    workspace.engine.need("Nothing can be routed")
    await workspace.client.configure("experts.record", str(Path(path).expanduser()) if path else "")


def apply(workspace: Workspace, event: Experts) -> None:
    """The core tells what was routed lately."""
    workspace.experts = event
    workspace.emit(ExpertsChanged(event))
