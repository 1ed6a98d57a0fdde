"""What other models call the types of entities."""

from __future__ import annotations

import re

_KNOWN = {
    "per": "person",
    "pers": "person",
    "people": "person",
    "org": "organisation",
    "organization": "organisation",
    "corporation": "organisation",
    "company": "organisation",
    "group": "organisation",
    "norp": "organisation",
    "loc": "location",
    "place": "location",
    "gpe": "location",
    "fac": "location",
    "facility": "location",
    "prod": "product",
    "eve": "event",
    "time": "date",
    "datetime": "date",
    "tim": "date",
    "cardinal": "quantity",
    "ordinal": "quantity",
    "percent": "quantity",
    "money": "quantity",
    "num": "quantity",
    "number": "quantity",
    "work_of_art": "creative_work",
    "creativework": "creative_work",
    "art": "creative_work",
    "law": "creative_work",
    "language": "topic",
    "miscellaneous": "misc",
}


def schema_type(name: str) -> str:
    """A type as `[memory] entity_types` spells it: "PER" is person, "Creative-Work" creative_work.

    Types nobody knows keep their name in lower case; put them into `entity_types` to keep them.
    """
    plain = re.sub(r"[\s\-]+", "_", name.strip()).lower()
    return _KNOWN.get(plain, plain)
