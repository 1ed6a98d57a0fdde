"""Why a core ended: what it, and the libraries of a GPU before they aborted, wrote into its log."""

from __future__ import annotations

import os
import re
from pathlib import Path

from engine.errors import EngineError

TAIL = 1 << 18  # bytes of the log; stacks of all threads follow what they say

_NO_BLAS = re.compile(r"rocBLAS error: Cannot read .{0,4096}?for GPU arch : (gfx\w+)", re.DOTALL)
_NO_CODE = re.compile(
    r"invalid device function|hipErrorNoBinaryForGpu|Unable to find code object"
    r"|no kernel image is available|device kernel image is invalid"
)


def of_gpu(log: Path, since: int) -> EngineError | None:
    """What to tell when this build and this GPU do not fit, so that a new core would end likewise.

    `since`: where in the log this core's lines begin. None: it says nothing of the kind.
    """
    try:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(min(since, size), size - TAIL))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return None
    if found := _NO_BLAS.search(text):
        return EngineError(
            f"The engine ended: the rocBLAS of this machine has no kernels for its GPU ({found[1]}).",
            "Take AMD's ROCm and build again, or make run BACKEND=vulkan; docs/native.md says more.",
            "dead",
        )
    if _NO_CODE.search(text):
        return EngineError(
            "The engine ended: it was built without code for this GPU.",
            "Build it here (make run with BACKEND=hip or cuda); `halo-tui doctor` says for what it was.",
            "dead",
        )
    return None


def lines(log: Path, count: int = 3) -> str:
    """The log's last lines in one, "" when it cannot be read."""
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 4096))
            last = file.read().decode("utf-8", "replace").splitlines()[-count:]
    except OSError:
        return ""
    return " / ".join(line.strip() for line in last if line.strip())
