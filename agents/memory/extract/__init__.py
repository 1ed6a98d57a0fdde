"""Extractors: ONNX models that find mentions and relations in a text.

A folder's files say which kind of model it holds:

- `config.json` with `"format": "halo-extractor"`: halo-tui's own, mentions and relations;
- `gliner_config.json`: a GLiNER export of a span model, mentions only;
- `config.json` of a `…ForTokenClassification` model: an `optimum` export, mentions only.
"""

from __future__ import annotations

from pathlib import Path

from agents.memory.extract.gliner import GlinerExtractor
from agents.memory.extract.halo import FORMAT, HaloExtractor
from agents.memory.extract.tagger import TagExtractor
from agents.memory.onnx_model import chosen_folder, read_config
from engine.config import ENTITY_TYPES, MemoryConfig
from engine.errors import HaloError

SHIPPED = Path(__file__).parents[2] / "assets" / "extractor"

AnyExtractor = HaloExtractor | GlinerExtractor | TagExtractor


def load(config: MemoryConfig) -> AnyExtractor:
    """The extractor of `[memory] extractor`, else the one that ships. Raises HaloError."""
    folder = chosen_folder(config.extractor, SHIPPED, "the extractor", "extractor")
    return open_folder(folder, config.threads, config.entity_types)


def open_folder(
    folder: Path, threads: int = 2, entity_types: list[str] | None = None
) -> AnyExtractor:
    """Load whatever the folder holds. `entity_types` is what a GLiNER model is asked for."""
    if (folder / "gliner_config.json").is_file():
        return GlinerExtractor(folder, threads, entity_types or list(ENTITY_TYPES))
    content = read_config(folder)
    if content.get("format") == FORMAT:
        return HaloExtractor(folder, content, threads)
    kinds = content.get("architectures") or []
    if any(str(kind).endswith("ForTokenClassification") for kind in kinds):
        return TagExtractor(folder, content, threads)
    raise HaloError(
        f"{folder} holds no extractor that halo-tui knows"
        + (f" (architecture {', '.join(map(str, kinds))})." if kinds else "."),
        "Give a halo-extractor, a GLiNER ONNX export with gliner_config.json, or an optimum export "
        "of a token-classification model.",
    )
