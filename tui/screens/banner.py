"""What the banner says of an engine that is not ready."""

from __future__ import annotations

from textual.content import Content

from agents.events import EngineChanged
from agents.workspace import Workspace


def engine_banner(workspace: Workspace, event: EngineChanged | None = None) -> Content | None:
    """Text and buttons for the state the engine is in, which `event` has told of; None when there
    is nothing to say."""
    state, rpc = workspace.engine_state, bool(workspace.config.engine.rpc)
    if state == "starting":
        share = f" {event.fraction:.0%}" if event and event.fraction else ""
        step = f": {event.what}" if event and event.what else ""
        return Content(f"◔ The model is loading{share}{step}. You can write already.")
    if state == "restarting":
        said = event.what if event and event.what else "The engine core died."
        if event and event.remedy and rpc:
            return Content.assemble(f"◔ {said} {event.remedy}\n", _button("workers_off"))
        return Content(f"◔ {said} It starts again; answers go on where they were.")
    if state == "dead":
        actions = ["restart", "models", *(["workers_off"] if rpc else [])]
        fault = workspace.engine_error
        text = f"✗ {fault.what} {fault.remedy} Your chats are safe."
        gap = "\n" if len(actions) > 2 else "  "
        buttons = [part for action in actions for part in ("  ", _button(action))][1:]
        return Content.assemble(" ".join(text.split()), gap, *buttons)
    return None


def _button(action: str) -> tuple[str, str]:
    """An action as a button of the banner."""
    return f"[ /{action.replace('_', ' ')} ]", f"reverse @click=screen.run('{action}')"
