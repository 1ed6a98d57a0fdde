"""What models take for a place and is none: languages, peoples, and food that is called after one.

Adjectives of peoples are few and closed; a language, a kitchen and a passport share them, and none is
a place. Of food only what bears a place's name is listed: "I like Gouda" may still be said of a town,
so that a word for being there ("in Gouda") leaves it one.
"""

from __future__ import annotations

import re

from agents.memory.types import Entity

PEOPLES = frozenset(
    """afghan african afrikaans albanian american amharic arab arabic argentinian armenian asian australian austrian azerbaijani
    basque bavarian belarusian belgian bengali berber bolivian bosnian brazilian breton british bulgarian burmese
    cambodian canadian cantonese caribbean catalan chilean chinese colombian cornish corsican creole croatian cuban cypriot
    czech danish dutch ecuadorian egyptian english eritrean estonian ethiopian european farsi filipino finnish flemish french
    frisian gaelic galician georgian german ghanaian greek gujarati hausa hawaiian hebrew hindi hungarian icelandic igbo
    indian indonesian iranian iraqi irish israeli italian jamaican japanese javanese kazakh kenyan khmer korean kurdish lao
    latin latvian lebanese libyan lithuanian luxembourgish macedonian malay malaysian maltese mandarin maori marathi
    mediterranean mexican moldovan mongolian moroccan neapolitan nepalese nepali nigerian norwegian pakistani palestinian
    pashto persian peruvian polish portuguese provençal punjabi romanian russian sardinian saudi scandinavian scottish
    senegalese serbian sicilian sinhalese slovak slovene slovenian somali spanish sudanese swahili swedish swiss syrian
    tagalog taiwanese tamil telugu thai tibetan tunisian turkish ugandan ukrainian urdu uruguayan uzbek venezuelan
    vietnamese welsh xhosa yiddish yoruba zulu""".split()
)
# Food and drink whose names are those of places.
_EATEN = frozenset(
    """asiago beaujolais bordeaux bourbon brie burgundy camembert chablis champagne cheddar chianti cognac cornish edam
    emmental emmentaler gorgonzola gouda gruyère gruyere madeira manchego marsala munster parmesan pecorino pilsner port
    prosecco rioja riesling roquefort sauternes sherry stilton tequila tokaj tokay worcester""".split()
)
_DISHES = (
    r"(?:food|cuisine|cooking|kitchen|dish(?:es)?|salads?|soups?|stews?|curr(?:y|ies)|ducks?|sprouts|sausages?|ham|"
    r"cheeses?|wines?|beers?|coffee|teas?|pizzas?|pasta|bread|noodles|rice|dumplings|meatballs|pastries|pancakes|chocolate|"
    r"schnitzel|sauce|mustard|toast|fries|rolls?|cakes?|tarts?|pudding)"
)
_DISH = re.compile(rf"\s{_DISHES}\b")
_THERE = re.compile(r"\b(?:in|at|to|from|near|of|around|outside|via|through)\s+(?:the\s+)?$", re.I)
_PLACES = frozenset(("LIVES_IN", "LOCATED_IN", "VISITED", "COMES_FROM"))
TOPIC = "topic"


def is_people(name: str) -> bool:
    """Whether a name is an adjective of a people, or a language."""
    return name.lower() in PEOPLES


def typed(said: str, mention: Entity, until: int) -> Entity:
    """A mention of `said` as what it is: "Portuguese" is no place, nor is "Peking duck".

    `until`: where the next mention begins, into which none is to reach.
    """
    name = mention.text
    if not name[:1].isupper() or mention.type in (TOPIC, "date", "quantity"):
        return mention
    people = is_people(name)
    if mention.type == "location" or people:
        dish = _DISH.match(said, mention.end)
        if dish and dish.end() <= until:
            end = dish.end()
            return Entity(said[mention.start : end], TOPIC, mention.start, end, mention.confidence)
    eaten = name.lower() in _EATEN and mention.type == "location"
    if people or (eaten and not _THERE.search(said, 0, mention.start)):
        return Entity(name, TOPIC, mention.start, mention.end, mention.confidence)
    if mention.type in ("location", "organisation", "creative_work", "product"):
        first, _, rest = name.partition(" ")
        if is_people(first) and re.fullmatch(_DISHES, rest):
            return Entity(name, TOPIC, mention.start, mention.end, mention.confidence)
    return mention


def possible(before: Entity, after: Entity, type: str) -> bool:
    """Whether a relation to a mention may still hold, now that it is called something else."""
    return before.type == after.type or type not in _PLACES
