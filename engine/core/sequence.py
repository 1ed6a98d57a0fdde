"""One llama.cpp sequence: which tokens it wants, how many of them have cells, what it is doing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from engine.protocol import Compaction, Message, Sampling

if TYPE_CHECKING:
    from engine.core.frozen import Frozen


class Phase(StrEnum):
    """The four states of a session; the values are those of `protocol.State.state`."""

    IDLE = "idle"
    QUEUED = "queued"
    PREFILL = "prefill"
    DECODE = "decode"


@dataclass(frozen=True, slots=True)
class Fold:
    """Tokens [start, end) of a sequence that were compacted into `cells` cells.

    What comes before is exact. All tokens from `start` on are `shift` positions lower than their
    index: that is how a sequence outlives the model's trained length (K-shift).
    """

    start: int
    end: int
    cells: int
    rounds: int = 1
    shift: int = 0


def internal(name: str) -> bool:
    """Whether a name is no session's but of a branch of the engine's own: nobody is told of it."""
    return name.startswith("~")


class Sequence:
    """State of one session, running or not. Only the scheduler changes it, but for `tokens`, which
    grows by whatever was sampled.

    `tokens[:held]` are represented under llama's sequence `slot`, one cell each but for those of
    the `fold`; `tokens[held:]` are still to be computed. While a generation runs, `tokens` is the
    prompt and after it whatever was generated, so a preempted sequence is simply one that holds
    nothing any more.
    """

    __slots__ = (
        "admitted", "arrival", "away", "cached", "fold", "guard", "held", "hold", "last_used",
        "loading", "messages", "n_prompt", "name", "past", "payload", "phase", "pinned",
        "preempted", "private", "reason", "sampling", "slot", "studied", "tokens", "waits_for",
    )  # fmt: skip

    def __init__(self, name: str) -> None:
        self.name = name
        self.phase = Phase.IDLE
        self.slot = -1  # llama's sequence id, -1 when it holds nothing
        self.tokens: list[int] = []
        self.held = 0
        self.n_prompt = 0
        self.cached = 0  # tokens whose cells were there when it was admitted
        self.arrival = 0  # order of requests: the queue is served in this order
        self.admitted = 0  # order of admissions: the youngest is preempted first
        self.last_used = 0  # order of use: of the idle ones, the oldest is freed first
        self.preempted = False
        self.reason = ""  # why it waits, one sentence for people
        self.waits_for: tuple[Sequence, int] | None = None  # whose tokens, and how many of them
        self.payload: object = None  # the generation it works on; not the scheduler's business
        self.fold: Fold | None = None  # what was compacted
        self.guard = 0  # tokens a compaction under way relies on; 0 as soon as they change
        self.private = 0  # from where on cells are not shared while `guard` is set
        # Queries kept for its next compaction; not the scheduler's business.
        self.studied: object = None
        self.hold = False  # waits at the last position for a compaction to make room
        self.away: Frozen | None = None  # its cells, out of the cache, to come back on demand
        self.loading = False  # `away` is being read from a file; it waits for that
        self.pinned = False  # its cells are not taken while it is idle
        self.past: list[Compaction] = []  # its compactions, oldest first
        self.sampling: Sampling | None = None  # of its newest answer, with the seed in use
        self.messages: tuple[Message, ...] = ()  # the conversation that `tokens` were made of

    @property
    def pending(self) -> int:
        """Tokens to compute before the next one can be sampled."""
        return len(self.tokens) - self.held

    @property
    def exact(self) -> int:
        """Tokens at the beginning that have a cell each: what others may share."""
        if self.fold is not None:
            return self.fold.start
        return min(self.held, self.private) if self.guard else self.held

    def cells_of(self, count: int) -> int:
        """Cells of the first `count` tokens; `count` is not inside the fold."""
        fold = self.fold
        if fold is None or count <= fold.start:
            return count
        return count - (fold.end - fold.start - fold.cells)

    def position(self, index: int) -> int:
        """Position of the token at `index`, which is not inside the fold."""
        fold = self.fold
        return index if fold is None or index < fold.end else index - fold.shift

    def __repr__(self) -> str:
        return (
            f"Sequence({self.name!r}, {self.phase}, slot={self.slot}, "
            f"held={self.held}/{len(self.tokens)})"
        )
