"""The environment of processes that compute: the core, workers, and the benches' contenders."""

from __future__ import annotations

import os

# Idle threads of a step must not burn the cores that the app, or anything else, waits for: with
# libgomp's long spinning, one busy neighbour makes a step a hundred times slower.
SPIN_COUNT = "300"


def for_computing() -> dict[str, str]:
    """A copy of this process's, completed; what is set already stays."""
    # NumPy's products are small here; its own threads would only compete with those of the step.
    return {"GOMP_SPINCOUNT": SPIN_COUNT, "OPENBLAS_NUM_THREADS": "1", **os.environ}
