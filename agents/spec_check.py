"""What an agent may be set to, checked before it is."""

from __future__ import annotations

import re

from agents import calling
from agents.agent import AgentSpec
from agents.tools import TOOLS
from engine.config import COLOUR_PATTERN, Colour, Config
from engine.config_check import expected
from engine.errors import HaloError

MEMORIES = ("shared", "own", "sealed", "off")


def check(config: Config, spec: AgentSpec) -> None:
    """Raises HaloError for the first thing that cannot be."""
    config.sampling_for(spec.sampling)
    if strange := calling.unknown(spec.tools):
        raise HaloError(
            f"There is no tool called '{strange[0]}'.", f"There are: {', '.join(TOOLS)}."
        )
    if spec.memory not in MEMORIES:
        raise HaloError(
            f"'{spec.memory}' is no kind of memory.", "Give shared, own, sealed or off."
        )
    if not re.fullmatch(COLOUR_PATTERN, spec.colour):
        raise HaloError(f"'{spec.colour}' is no colour.", f"Give {expected(Colour)}.")
