"""Namespaces: what is shared by all agents, and what stays with one of them."""

from __future__ import annotations

from typing import Literal

SHARED = "shared"
Policy = Literal["shared", "own", "sealed", "off"]


def written_to(agent: str, policy: Policy) -> str:
    """The space that what an agent hears goes to; "" = nothing is remembered."""
    match policy:
        case "shared":
            return SHARED
        case "own" | "sealed":
            return f"agent:{agent}"
        case "off":
            return ""


def read_from(agent: str, policy: Policy) -> list[str] | None:
    """The spaces an agent may recall from; None = all, which only the person may ("" as agent)."""
    if not agent:
        return None
    match policy:
        case "shared":
            return [SHARED]
        case "own":
            return [SHARED, f"agent:{agent}"]
        case "sealed":
            return [f"agent:{agent}"]
        case "off":
            return []
