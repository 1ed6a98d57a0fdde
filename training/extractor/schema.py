"""Entity and relation types of the shipped extractor, and how public data maps onto them."""

from __future__ import annotations

ENTITY_TYPES = (
    "person", "organisation", "location", "product", "event", "date", "quantity", "topic",
    "creative_work", "misc", "hardware", "gpu_feature", "optimization_technique", "algorithm",
    "software_framework", "performance_metric", "memory_pattern", "kernel_operation",
    "model_architecture", "constraint", "data_structure", "research_paper",
)  # fmt: skip
# Pronouns of the two who talk: mentions that only relations use.
PRONOUN_TYPES = ("speaker", "addressee")
RELATION_TYPES = (
    "WORKS_AT", "LIVES_IN", "KNOWS", "RELATED_TO", "LIKES", "DISLIKES", "OWNS", "MEMBER_OF",
    "LOCATED_IN", "BORN_ON", "PART_OF", "CREATED", "USES", "PLANS", "HAPPENED_ON", "VISITED",
    "STUDIES", "TARGETS", "IS_FEATURE_OF", "IMPLEMENTS", "IMPROVES", "REDUCES", "MEASURES",
    "LIMITS", "IS_PART_OF", "BUILDS_ON", "EXTENDS", "ENABLES", "REQUIRES", "INTRODUCES",
    "VALIDATES", "COMPETES_WITH", "OPTIMIZES", "ELIMINATES", "COULD_IMPROVE", "PORTS_TO",
)  # fmt: skip
KINDS = (*ENTITY_TYPES, *PRONOUN_TYPES)
LABELS = ("O", *(f"{p}-{t}" for t in (*ENTITY_TYPES, *PRONOUN_TYPES) for p in "BI"))

WNUT = {
    "person": "person",
    "location": "location",
    "group": "organisation",
    "corporation": "organisation",
    "product": "product",
    "creative-work": "creative_work",
}
CROSSNER = {
    # every domain
    "person": "person", "organisation": "organisation", "location": "location",
    "country": "location", "event": "event", "misc": "misc", "award": "misc",
    "university": "organisation",
    # ai
    "field": "topic", "task": "topic", "product": "product", "algorithm": "algorithm",
    "researcher": "person", "metrics": "performance_metric", "programlang": "software_framework",
    "conference": "event",
    # literature
    "book": "creative_work", "writer": "person", "poem": "creative_work",
    "literarygenre": "topic", "magazine": "creative_work",
    # music
    "musicgenre": "topic", "song": "creative_work", "band": "organisation",
    "album": "creative_work", "musicalartist": "person", "musicalinstrument": "product",
    # politics
    "politician": "person", "politicalparty": "organisation", "election": "event",
    # science
    "scientist": "person", "chemicalcompound": "misc", "chemicalelement": "misc",
    "protein": "misc", "enzyme": "misc", "astronomicalobject": "location",
    "academicjournal": "creative_work", "discipline": "topic", "theory": "topic",
}  # fmt: skip
# MISC of Re-DocRED mixes works, events and peoples: nothing is learnt from those words.
REDOCRED = {
    "PER": "person", "ORG": "organisation", "LOC": "location", "TIME": "date", "NUM": "quantity",
    "MISC": None,
}  # fmt: skip
# Wikidata property: (relation, whether head and tail change places); others are not learnt from.
WIKIDATA = {
    "P108": ("WORKS_AT", False), "P551": ("LIVES_IN", False), "P937": ("LIVES_IN", False),
    "P131": ("LOCATED_IN", False), "P276": ("LOCATED_IN", False), "P159": ("LOCATED_IN", False),
    "P17": ("LOCATED_IN", False), "P569": ("BORN_ON", False), "P361": ("PART_OF", False),
    "P527": ("PART_OF", True), "P463": ("MEMBER_OF", False), "P54": ("MEMBER_OF", False),
    "P102": ("MEMBER_OF", False), "P170": ("CREATED", True), "P50": ("CREATED", True),
    "P178": ("CREATED", True), "P57": ("CREATED", True), "P86": ("CREATED", True),
    "P112": ("CREATED", True), "P176": ("CREATED", True), "P175": ("CREATED", True),
    "P800": ("CREATED", False), "P69": ("STUDIES", False), "P26": ("RELATED_TO", False),
    "P40": ("RELATED_TO", False), "P22": ("RELATED_TO", False), "P25": ("RELATED_TO", False),
    "P3373": ("RELATED_TO", False), "P585": ("HAPPENED_ON", False), "P577": ("HAPPENED_ON", False),
    "P571": ("HAPPENED_ON", False), "P127": ("OWNS", True),
}  # fmt: skip
# Types that a data set would have marked: at its O words any other type may hide.
_ALWAYS = {"person", "organisation", "location", "event", "misc"}
COVERS = {
    "wnut": frozenset(WNUT.values()),
    "crossner-ai": frozenset(
        {*_ALWAYS, "topic", "product", "algorithm", "performance_metric", "software_framework"}
    ),
    "crossner-literature": frozenset({*_ALWAYS, "creative_work", "topic"}),
    "crossner-music": frozenset({*_ALWAYS, "creative_work", "topic", "product"}),
    "crossner-politics": frozenset(_ALWAYS),
    "crossner-science": frozenset({*_ALWAYS, "creative_work", "topic"}),
    "redocred": frozenset({"person", "organisation", "location", "date"}),
}
SOURCES = ("", *COVERS)  # "" is generated: every type is marked
