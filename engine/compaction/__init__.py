"""KV-cache compaction by Attention Matching (arXiv 2602.16284), and plain eviction beside it.

Importing this loads no native library; the first call does, and it never needs libllama.
"""

from __future__ import annotations

from engine.compaction.kernels import (
    METHODS,
    Cancel,
    Compacted,
    Diagnostics,
    Job,
    Params,
    compact_head,
    compact_heads,
    errors_over,
    method_name,
)

__all__ = [
    "METHODS",
    "Cancel",
    "Compacted",
    "Diagnostics",
    "Job",
    "Params",
    "compact_head",
    "compact_heads",
    "errors_over",
    "method_name",
]
