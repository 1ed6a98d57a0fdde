"""The two small models the memory uses; what cannot be loaded is said, not hidden."""

from __future__ import annotations

from dataclasses import dataclass, field

from agents.memory.types import Embedder, Extractor
from engine.config import MemoryConfig
from engine.errors import HaloError


@dataclass(slots=True)
class Models:
    """What could be loaded, and why the rest could not."""

    extractor: Extractor | None = None
    embedder: Embedder | None = None
    faults: list[HaloError] = field(default_factory=list)


def load(config: MemoryConfig) -> Models:
    """Load both. Without the extractor no facts are learnt, without the embedder words decide."""
    models = Models()
    try:
        from agents.memory.extract import load as load_extractor

        models.extractor = load_extractor(config)
    except (HaloError, ImportError) as error:
        models.faults.append(_fault(error, "entities and relations"))
    try:
        from agents.memory.embed import load as load_embedder

        models.embedder = load_embedder(config)
    except (HaloError, ImportError) as error:
        models.faults.append(_fault(error, "sentence vectors"))
    return models


def _fault(error: Exception, what: str) -> HaloError:
    if isinstance(error, HaloError):
        return error
    return HaloError(f"The model for {what} is not installed: {error}.", "Run `make run` again.")
