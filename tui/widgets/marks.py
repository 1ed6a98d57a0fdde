"""How states look: a mark and words for each, never colour alone."""

from __future__ import annotations

from agents.agent import Agent

MARKS = {
    "idle": "○",
    "queued": "◔",
    "prefill": "◑",
    "thinking": "◕",
    "decode": "●",
    "error": "✗",
}


def short(number: float) -> str:
    """1234 -> 1,234; 123456 -> 123k."""
    return f"{number:,.0f}" if number < 100_000 else f"{number / 1000:,.0f}k"


def doing(agent: Agent) -> str:
    """A few words: what the agent does now."""
    state = agent.state
    if state.kind == "prefill" and state.total:
        return f"prefill {100 * state.done // state.total}%"
    if state.kind in ("decode", "thinking"):
        word = "thinking" if state.kind == "thinking" else "decoding"
        return f"{word} {state.tok_s:.0f} tok/s" if state.tok_s else word
    if state.kind == "idle":
        return "new answer" if state.unread else "idle"
    return state.kind
