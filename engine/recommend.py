"""A few models worth downloading, by the memory they need."""

from __future__ import annotations

from dataclasses import dataclass

GB = 10**9


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A file on the hub; `needs` includes room for a few agents' cells."""

    title: str
    repo: str
    file: str
    size: int  # bytes, rounded
    needs: int  # bytes of memory
    good_for: str  # 30 characters have room on a screen of 80


# Public repositories of the models' makers or of llama.cpp's own organisation.
TABLE = (
    Recommendation("Qwen3 0.6B Q8_0", "Qwen/Qwen3-0.6B-GGUF", "Qwen3-0.6B-Q8_0.gguf",
                   int(0.64 * GB), 2 * GB, "quick tries on any machine"),
    Recommendation("Qwen3 4B Q4_K_M", "Qwen/Qwen3-4B-GGUF", "Qwen3-4B-Q4_K_M.gguf",
                   int(2.5 * GB), 6 * GB, "small; several agents in 8 GB"),
    Recommendation("Qwen3 8B Q4_K_M", "Qwen/Qwen3-8B-GGUF", "Qwen3-8B-Q4_K_M.gguf",
                   int(5.0 * GB), 10 * GB, "general use in 16 GB"),
    Recommendation("gpt-oss 20B MXFP4", "ggml-org/gpt-oss-20b-GGUF", "gpt-oss-20b-mxfp4.gguf",
                   int(12.1 * GB), 18 * GB, "mixture of experts, so quick"),
    Recommendation("Qwen3 30B-A3B Q4_K_M", "Qwen/Qwen3-30B-A3B-GGUF",
                   "Qwen3-30B-A3B-Q4_K_M.gguf", int(18.6 * GB), 26 * GB,
                   "fast with many agents, 32 GB"),
    Recommendation("Qwen3 30B-A3B Q8_0", "Qwen/Qwen3-30B-A3B-GGUF", "Qwen3-30B-A3B-Q8_0.gguf",
                   int(32.5 * GB), 42 * GB, "nearly full precision, 64 GB"),
    Recommendation("gpt-oss 120B MXFP4", "ggml-org/gpt-oss-120b-GGUF",
                   "gpt-oss-120b-mxfp4-00001-of-00003.gguf", int(63.4 * GB), 76 * GB,
                   "the largest, for 96 to 128 GB"),
)  # fmt: skip


def recommend(available: int, count: int = 3) -> list[Recommendation]:
    """The largest `count` entries that fit into `available` bytes, best first."""
    fitting = [entry for entry in TABLE if entry.needs <= available]
    return sorted(fitting, key=lambda entry: entry.needs, reverse=True)[:count]
