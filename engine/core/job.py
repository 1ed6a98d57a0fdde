"""One compaction on its way beside the steps, or the preparation of a later one."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from engine.compaction import policy, span
from engine.compaction.solve import LayerResult
from engine.core.ahead import Prepared, Solution, Terms
from engine.core.sequence import Sequence
from engine.core.solver import Worker

STUDY = 1 / 3  # of the progress


@dataclass(slots=True)
class Job:
    """What it is about and how far it is."""

    number: int
    sequence: Sequence
    part: policy.Span
    trigger: str  # why; "study" and "solve" only prepare a compaction to come
    method: str
    ratio: float  # 0 = by error bound
    started: float
    stage: str = "study"  # study | gather | measure | solve
    branches: list[Sequence] = field(default_factory=list)
    upto: int = 0  # tokens the branches share with the session
    prepared: Prepared | None = None  # a study made before
    said: int = 0  # tokens of the branches, in study
    most: int = 0  # tokens that each may say
    urgent: bool = False  # somebody waits for its end
    exact: bool = field(init=False)  # the ratio was asked for, whatever the error
    handed: int = 0  # layers, to the worker
    source: str = ""
    sources: list[int] = field(default_factory=list)  # slots that asked
    tokens: int = 0  # that asked, of all of these
    asked: list[list[span.Asked]] = field(default_factory=list)  # by layer, by source
    cells_after: int = 0
    layers: list[int] = field(default_factory=list)  # of this stage
    errors: dict[float, float] = field(default_factory=dict)  # measured, by ratio
    solved: dict[float, list[LayerResult]] = field(default_factory=dict)  # all layers, by ratio
    terms: Terms = ()  # of a solution for later
    solution: Solution | None = None  # made before
    worker: Worker | None = None
    told: tuple[float, int] = (0.0, 0)  # the ratio and the layers solved that were reported last
    stall: float = 0.0
    progress: float = 0.0  # 0 to 1, as it was told last
    stage_told: tuple[str, str, float] = ("", "", 0.0)
    stage_began: float = 0.0  # the progress then

    def __post_init__(self) -> None:
        self.exact = self.ratio > 0

    def advance(self, phase: str, done: int, total: int) -> float:
        """How far all of it is, 0 to 1, at `done` of `total` in this phase.

        Nobody knows how many ratios will be tried, each from the first layer: one that is only
        measured takes half of what is left.
        """
        stage = (phase, self.stage, self.ratio)
        if stage != self.stage_told:
            self.stage_told, self.stage_began = stage, self.progress
        left = 1.0 - self.stage_began
        if phase == "study":
            left = max(0.0, STUDY - self.stage_began)
        elif self.stage == "measure":
            left /= 2
        part = min(1.0, done / total) if total else 0.0
        self.progress = max(self.progress, self.stage_began + left * part)
        return self.progress

    @property
    def ahead(self) -> bool:
        """Only a preparation; nothing is compacted at its end."""
        return self.trigger in ("study", "solve")

    @property
    def end(self) -> int:
        """Behind the last token that it relies on: of the span, or of what the branches saw."""
        return self.upto if self.trigger == "study" else self.part.end

    @property
    def positions(self) -> tuple[int, int]:
        """Positions [first, last) of the span's cells."""
        sequence, part = self.sequence, self.part
        return (
            part.start if part.whole or sequence.fold is None else sequence.position(part.start),
            sequence.position(self.end),
        )

    @property
    def queries(self) -> int:
        """Tokens that asked."""
        if self.solution is not None:
            return self.solution.queries
        return sum(len(a.pos) for a in self.asked[0]) if self.asked else 0

    def described(self, group: int) -> dict[str, Any]:
        """What a `Compaction` event says of it; `group` query heads share a KV head."""
        part = self.part
        return {
            "trigger": self.trigger, "method": self.method, "start": part.start, "end": part.end,
            "cells_before": part.cells, "cells_after": self.cells_after, "source": self.source,
            "queries": group * self.queries,
            "seconds": time.monotonic() - self.started, "stall_ms": 1000 * self.stall,
        }  # fmt: skip
