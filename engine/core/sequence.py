"""One llama.cpp sequence: which tokens it wants, how many of them have cells, what it is doing."""

from __future__ import annotations

from enum import StrEnum


class Phase(StrEnum):
    """The four states of a session; the values are those of `protocol.State.state`."""

    IDLE = "idle"
    QUEUED = "queued"
    PREFILL = "prefill"
    DECODE = "decode"


class Sequence:
    """State of one session, running or not. Only the scheduler changes it, but for `tokens`, which
    grows by whatever was sampled.

    `tokens[:held]` have cells under llama's sequence `slot`, `tokens[held:]` are still to be
    computed. While a generation runs, `tokens` is the prompt and after it whatever was generated,
    so a preempted sequence is simply one that holds nothing any more.
    """

    __slots__ = (
        "admitted", "arrival", "cached", "held", "last_used", "n_prompt", "name", "payload",
        "phase", "preempted", "reason", "slot", "tokens", "waits_for",
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
        self.reason = ""  # why it is queued, one sentence for people
        self.waits_for: tuple[Sequence, int] | None = None  # whose tokens, and how many of them
        self.payload: object = None  # the generation it works on; not the scheduler's business

    @property
    def pending(self) -> int:
        """Tokens to compute before the next one can be sampled."""
        return len(self.tokens) - self.held

    def __repr__(self) -> str:
        return (
            f"Sequence({self.name!r}, {self.phase}, slot={self.slot}, "
            f"held={self.held}/{len(self.tokens)})"
        )
