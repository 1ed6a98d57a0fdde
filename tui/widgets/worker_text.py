"""One line for each worker: what it holds for us, or how it answers."""

from __future__ import annotations

from collections.abc import Sequence

from engine.protocol import Holdings
from engine.telemetry.advice import gib
from engine.workers import Worker

WORDS = {
    "ready": "ready",
    "busy": "serves somebody else, or hangs",
    "down": "does not answer",
    "other": "has another version",
    "stranger": "is no rpc-server",
}


def worker_lines(
    endpoints: Sequence[str], holdings: Holdings | None, found: Sequence[Worker] = ()
) -> list[str]:
    """`holdings` is what llama.cpp holds there; `found` what workers we do not use say."""
    answers = {one.endpoint: one for one in found}
    lines = []
    for endpoint in endpoints:
        said = answers.get(endpoint)
        if said is not None:
            lines.append(f"worker {endpoint} {state_words(said)}")
        else:
            lines.append(f"worker {endpoint}: {held_words(endpoint, holdings)}")
    return lines


def state_words(worker: Worker) -> str:
    """How it answered."""
    if worker.state == "ready":
        return f"is ready: {gib(sum(worker.free))} of {gib(sum(worker.total))} free"
    detail = f" ({worker.detail})" if worker.detail and worker.state == "down" else ""
    return f"{WORDS[worker.state]}{detail}"


def held_words(endpoint: str, holdings: Holdings | None) -> str:
    """What llama.cpp holds there, by its own accounting."""
    held = [h for h in holdings.held if h.device == endpoint] if holdings is not None else []
    if not held:
        return "in use"
    model, cells, compute = (
        sum(getattr(one, key) for one in held) for key in ("model", "cells", "compute")
    )
    return f"weights {gib(model)} · KV cells {gib(cells)} · compute {gib(compute)}"
