"""Bytes of weights that decoding reads: what the memory's bandwidth is divided by."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from engine.core.preflight import parts_of, read_header, read_tensor_table

_EXPERTS = re.compile(r"_(ch)?exps\.")
_CACHE = Path("/sys/devices/system/cpu/cpu0/cache")


class Traffic(msgspec.Struct, frozen=True):
    """Of one model: bytes every step reads, and those of all experts of all layers."""

    always: int
    experts: int = 0
    n_expert: int = 0
    n_used: int = 0

    def step(self, agents: int) -> float:
        """Bytes a step of so many decoding agents reads.

        Of E experts, k for each token, drawn independently, E·(1 - (1 - k/E)^n) are read: an upper
        bound, since real routers agree more than that.
        """
        if not self.n_expert:
            return float(self.always)
        share = 1 - (1 - self.n_used / self.n_expert) ** agents
        return self.always + self.experts * share

    def most(self, bandwidth: float, agents: int) -> float:
        """Tokens a second of all agents together that `bandwidth` bytes a second allow."""
        return agents * bandwidth / self.step(agents)


def traffic(path: Path) -> Traffic:
    """Read the tensor tables of all parts of a model. Raises ModelError.

    The embedding table is looked up by rows and counts only where it is the output as well. Cells
    are not counted: at short contexts they are small beside the weights.
    """
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    sizes: dict[str, int] = {}
    for part in parts_of(path):
        for name, elements, kind in read_tensor_table(read_header(part)):
            try:
                block, size = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
            except (KeyError, ValueError):
                block, size = 1, 2  # a type newer than the gguf package: taken for two bytes
            sizes[name] = elements // block * size
    if "output.weight" in sizes:
        sizes.pop("token_embd.weight", None)
    sizes.pop("per_layer_token_embd.weight", None)  # rows of it are looked up, too
    header = read_header(path)
    experts = sum(size for name, size in sizes.items() if _EXPERTS.search(name))
    return Traffic(
        sum(sizes.values()) - experts,
        experts,
        header.number("expert_count") if experts else 0,
        header.number("expert_used_count") if experts else 0,
    )


def cpu_cache() -> int:
    """Bytes of the CPU's largest cache, 0 where the kernel does not say."""
    found = [0]
    for file in _CACHE.glob("index*/size"):
        try:
            text = file.read_text().strip()
            found.append(int(text.rstrip("KMG")) * {"K": 1024, "M": 1024**2}.get(text[-1], 1))
        except (OSError, ValueError):
            continue
    return max(found)
