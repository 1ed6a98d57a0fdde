"""How states look: a mark and words for each, never colour alone."""

from __future__ import annotations

from collections.abc import Iterable

from agents.agent import Agent
from agents.events import AgentState

MARKS = {
    "idle": "○",
    "queued": "◔",
    "prefill": "◑",
    "thinking": "◕",
    "decode": "●",
    "tool": "⚙",
    "error": "✗",
}
SHARED_LETTER, KEPT_LETTER = "=", "~"


def short(number: float) -> str:
    """1234 -> 1,234; 123456 -> 123k."""
    return f"{number:,.0f}" if number < 100_000 else f"{number / 1000:,.0f}k"


def bar(fraction: float, width: int) -> str:
    """A bar in eighths of a column."""
    eighths = round(max(0.0, min(1.0, fraction)) * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (" ▏▎▍▌▋▊▉"[rest] if rest else "")).ljust(width)


def waits_for_cells(state: AgentState) -> bool:
    """Whether what had begun cannot go on for now."""
    return state.kind in ("prefill", "decode") and bool(state.reason)


def doing(agent: Agent) -> str:
    """A few words: what the agent does now."""
    state = agent.state
    if waits_for_cells(state):
        return "waits for cells"
    if state.kind == "prefill" and state.total:
        return f"prefill {100 * state.done // state.total}%"
    if state.kind in ("decode", "thinking"):
        word = "thinking" if state.kind == "thinking" else "decoding"
        return f"{word} {state.tok_s:.0f} tok/s" if state.tok_s else word
    if state.kind == "idle":
        return "new answer" if state.unread else "idle"
    return "at a tool" if state.kind == "tool" else state.kind


def letters(names: Iterable[str]) -> dict[str, str]:
    """One letter for each name, all different: its first that is free, else any that is."""
    taken: set[str] = set()
    given: dict[str, str] = {}
    spare = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefghijklmnopqrstuvwxyz"
    for name in names:
        wanted = [c for c in name.upper() if c.isalnum() and c.isascii()] + list(spare)
        letter = next((c for c in wanted if c not in taken), "?")
        taken.add(letter)
        given[name] = letter
    return given
