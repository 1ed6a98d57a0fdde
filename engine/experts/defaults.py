"""How strong the bonus is and how many experts are kept, for the model at hand."""

from __future__ import annotations

import math
from fnmatch import fnmatchcase
from typing import NamedTuple

from engine.config import ExpertsConfig
from engine.routing import Experts

KEEP_SHARE = 1 / 4  # of the experts a token uses
SOFTMAX, OTHERS = 0.4, 0.1  # bonus as a share of the scores' range
# Measured: softmax routers (docs/benchmarks.md). Sigmoid routers give many experts nearly the same
# score and logits have long tails, and neither was measured on a trained model: less, and the
# guard decides.


class Tuning(NamedTuple):
    """What is in force."""

    bonus: float
    keep: int


def tuning(config: ExpertsConfig, experts: Experts, architecture: str, name: str) -> Tuning:
    """[experts] with the first of `models` that fits by architecture or name; the rest by kind."""
    bonus, keep = config.bonus, config.keep_top
    for pattern, own in config.models.items():
        if any(fnmatchcase(n.lower(), pattern.lower()) for n in (architecture, name)):
            bonus = bonus if bonus >= 0 else own.bonus
            keep = keep if keep > 0 else own.keep_top
            break
    if bonus < 0:
        bonus = SOFTMAX if experts.gating == "softmax" else OTHERS
    if keep <= 0:
        keep = max(1, math.ceil(KEEP_SHARE * experts.n_used))
    return Tuning(bonus, min(keep, max(1, experts.n_used)))
