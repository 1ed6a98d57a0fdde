"""Which types a relation may hold between, with room for types that are easily taken for one another."""

from __future__ import annotations

import numpy as np

from training.extractor import frames, schema, templates

_TECH = ("hardware", "gpu_feature", "optimization_technique", "algorithm", "software_framework", "performance_metric",
         "memory_pattern", "kernel_operation", "model_architecture", "constraint", "data_structure", "research_paper")  # fmt: skip
# Types of one group may stand for one another; a type may be in several.
GROUPS = {
    "who": ("person", "speaker", "addressee"),
    "body": ("organisation", "product", "creative_work", "misc", "software_framework"),
    "place": ("location",),
    "day": ("date",),
    "number": ("quantity",),
    "thing": ("topic", "misc", "product", "creative_work", *_TECH),
    "happening": ("event",),
}
# Beside the templates: what the mapped relations of Re-DocRED hold between.
PUBLIC = {
    "LOCATED_IN": (("organisation", "location"), ("location", "location"), ("event", "location")),
    "PART_OF": (("location", "location"), ("organisation", "organisation"), ("organisation", "location")),
    "MEMBER_OF": (("person", "organisation"), ("organisation", "organisation")),
    "CREATED": (("person", "organisation"), ("organisation", "product"), ("person", "creative_work")),
    "OWNS": (("person", "organisation"), ("organisation", "organisation")),
    "HAPPENED_ON": (("organisation", "date"), ("location", "date"), ("creative_work", "date"), ("event", "date")),
    "STUDIES": (("person", "organisation"),),
    "LIVES_IN": (("person", "location"),),
}  # fmt: skip


def _told() -> dict[str, set[tuple[str, str]]]:
    """Pairs of types of each relation in the templates and phrases."""
    found: dict[str, set[tuple[str, str]]] = {
        r: set(PUBLIC.get(r, ())) for r in schema.RELATION_TYPES
    }
    said = {
        "I": "speaker",
        "my": "speaker",
        "we": "speaker",
        "our": "speaker",
        "me": "speaker",
        "you": "addressee",
        "your": "addressee",
    }

    def kind(slot: str) -> str:
        slot = slot.rstrip("23456789")
        return said.get(slot) or templates.SLOTS[slot]

    for block in (templates.FACTS, templates.TECHNICAL, templates.MORE):
        for _, triples in templates.parse(block):
            for h, name, t in triples:
                found[name].add((kind(h), kind(t)))
    for block in (frames.FACTS, frames.TECHNICAL):
        for name, heads, tails, _ in frames.parse(block):
            for h in heads:
                for t in tails:
                    found[name].add((kind(h), kind({"1": h, "P": "p"}.get(t, t))))
    return found


def signatures() -> dict[str, list[list[str]]]:
    """For each relation the groups of types it holds between, as pairs."""
    groups = {kind: [g for g, some in GROUPS.items() if kind in some] for kind in schema.KINDS}
    return {
        name: sorted({(a, b) for h, t in some for a in groups[h] for b in groups[t]})  # type: ignore[misc]
        for name, some in _told().items()
    }


def allowed() -> np.ndarray:
    """[types, types, relations] True where a relation may hold, types in the order of schema.KINDS."""
    out = np.zeros((len(schema.KINDS), len(schema.KINDS), len(schema.RELATION_TYPES)), bool)
    for name, some in signatures().items():
        r = schema.RELATION_TYPES.index(name)
        for a, b in some:
            for h in GROUPS[a]:
                for t in GROUPS[b]:
                    out[schema.KINDS.index(h), schema.KINDS.index(t), r] = True
    return out


ALLOWED = allowed()
