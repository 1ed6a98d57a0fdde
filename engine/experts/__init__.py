"""Expert routing: which experts a batch of agents should share, what it costs, what was used."""

from __future__ import annotations

from engine.experts.policy import POLICIES, make_policy

__all__ = ["POLICIES", "make_policy"]
