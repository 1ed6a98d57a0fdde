"""Texts as an extractor reads them, with a name in place of whom they do not name.

Models find what is said of names: of "My mum lives in Lisbon" they make nothing, of "Emma lives in
Lisbon" everything. So a phrase as "my mum" is read with a name in its place, and what was found of
that name is said of the phrase. Where the text tells the name itself ("my mum Rosa"), it stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from agents.memory import naming, relatives
from agents.memory.extract.mending import FIRMS
from agents.memory.relatives import Phrase
from agents.memory.types import Entity, Extraction

_NAMES = {
    "she": ("Emma", "Julia", "Anna", "Laura"),
    "he": ("Peter", "Paul", "Tom", "Martin"),
    "": ("Robin", "Alex", "Kim", "Sam"),
}
SURE = 0.95  # of what a phrase says itself: that the mother of Ada is a relative of hers
_LINKS = frozenset(("RELATED_TO", "KNOWS", "OWNS"))

# As `Read.relations` has them: head, tail, type, confidence, how it ends.
Found = tuple[int, int, str, float, int]


@dataclass(slots=True)
class Reworded:
    """A text with stand-ins: `text` is what a model reads, `said` what was said."""

    said: str
    text: str
    cuts: list[tuple[int, int, Phrase]]  # in `text`, [start, end) stands for a phrase
    named: list[Phrase]  # whom the text gives a name, it seems
    phrases: list[Phrase] = field(default_factory=list)

    def place(self, start: int, end: int) -> tuple[int, int, Phrase | None]:
        """Where in `said` a piece of `text` is, and the phrase, if it is a stand-in."""
        shift = 0
        for first, last, phrase in self.cuts:
            if start < last and first < end:
                return phrase.start, phrase.end, phrase
            if last <= start:
                shift = phrase.end - last
        return start + shift, end + shift, None

    def back(self, entity: Entity) -> Entity:
        """A mention in `text` as it stands in `said`."""
        start, end, _ = self.place(entity.start, entity.end)
        return Entity(self.said[start:end], entity.type, start, end, entity.confidence)


def reword(said: str, own: bool, unnamed: Sequence[Phrase] = ()) -> Reworded:
    """`own`: who speaks may say "Mum" of their own. `unnamed`: phrases that a model has found no
    name for, whatever it looks like."""
    phrases = relatives.find(said, own)
    having = naming.having(said)
    named = [
        phrase
        for phrase in (*phrases, *having)
        if phrase not in unnamed and any(naming.candidates(said, phrase))
    ]
    cuts: list[tuple[int, int, Phrase]] = []
    text, done = "", 0
    free = {key: [n for n in names if n not in said] for key, names in _NAMES.items()}
    for whole in phrases:
        phrase: Phrase | str = whole.owner if whole in named else whole
        if not isinstance(phrase, Phrase) or not _may_stand(phrase):
            continue
        if naming.several(said, phrase):
            continue
        names = free[phrase.role.pronoun]
        if not names:
            continue
        text += said[done : phrase.start]
        name = names.pop(0)
        cuts.append((len(text), len(text) + len(name), phrase))
        text, done = text + name, phrase.end
    return Reworded(said, text + said[done:], cuts, named, [*phrases, *having])


def _may_stand(phrase: Phrase) -> bool:
    """Not for one of many, whoever that is, nor for somebody of a firm: "Google's boss"."""
    if any(link.role.many == "many" for link in phrase.chain()):
        return False
    first = next(phrase.chain())
    firm = isinstance(first.owner, str) and first.owner.lower() in FIRMS
    return not firm


def unconfirmed(reworded: Reworded, extraction: Extraction) -> list[Phrase]:
    """Phrases that looked as if named, and a model finds no such person: "my boss is Italian"."""
    return [p for p in reworded.named if _name_of(reworded, p, extraction.entities) is None]


def _name_of(reworded: Reworded, phrase: Phrase, entities: Sequence[Entity]) -> int | None:
    for i, entity in enumerate(entities):
        start, end, stands = reworded.place(entity.start, entity.end)
        person = entity.type == "person" and stands is None and entity.text[:1].isupper()
        if person and naming.names_it(reworded.said, phrase, start, end):
            return i
    return None


@dataclass(slots=True)
class Said:
    """What is found of a text, in its own words: mentions in their order, what is said of them."""

    entities: list[Entity] = field(default_factory=list)
    relations: list[Found] = field(default_factory=list)
    named: dict[int, Phrase] = field(default_factory=dict)  # mention -> whom it names
    phrases: dict[int, Phrase] = field(default_factory=dict)  # mention -> the phrase it is
    idle: set[int] = field(default_factory=set)  # those of whom nothing is said here


def put_back(reworded: Reworded, entities: Sequence[Entity], relations: Sequence[Found]) -> Said:
    """Phrases instead of their stand-ins, and what the phrases themselves say.

    `entities` and `relations` are those of `reworded.text`.
    """
    mentions: list[Entity] = []
    stands: dict[int, Phrase] = {}
    place: dict[int, int] = {}
    for i, entity in enumerate(entities):
        _, _, phrase = reworded.place(entity.start, entity.end)
        if phrase is not None:
            if entity.type != "person" or phrase in stands.values():
                continue  # taken for a place, or cut in two
            stands[len(mentions)] = phrase
        place[i] = len(mentions)
        mentions.append(reworded.back(entity))
    facts = [
        (place[head], place[tail], type, sure, ends)
        for head, tail, type, sure, ends in relations
        if head in place and tail in place
    ]
    told = {end for head, tail, *_ in facts for end in (head, tail)}
    result = Said()
    named: dict[int, Phrase] = {}
    for phrase in reworded.named:
        found = _name_of(reworded, phrase, entities)
        if found is not None and found in place:
            named[place[found]] = phrase
    links: list[Found] = []
    for whole in reworded.phrases:
        name = next((i for i, phrase in named.items() if phrase is whole), None)
        if name is None and not _may_stand(whole):
            continue
        if name is None and whole.has:
            continue
        owner = _owner(whole, mentions, stands, reworded.said)
        for link in whole.chain():
            if link is whole and name is not None:
                at = name
            else:
                at = _mention(link.start, link.end, mentions, reworded.said)
                stands[at] = link
            facts = [f for f in facts if not ({f[0], f[1]} == {owner, at} and f[2] in _LINKS)]
            links.append((owner, at, link.role.relation, SURE, 1 if link.over else 0))
            owner = at
    # Of whom something is said, that one's owner is needed too: "my sister's dog is called Rex".
    told |= set(named)
    for head, tail, *_ in reversed(links):
        if tail in told:
            told.add(head)
    order = sorted(range(len(mentions)), key=lambda i: (mentions[i].start, mentions[i].end))
    new = {old: at for at, old in enumerate(order)}
    new[-1] = -1
    result.entities = [mentions[old] for old in order]
    result.relations = [
        (new[h], new[t], type, sure, ends) for h, t, type, sure, ends in facts + links
    ]
    result.named = {new[i]: phrase for i, phrase in named.items()}
    result.phrases = {new[i]: phrase for i, phrase in stands.items()}
    result.idle = {new[i] for i in stands if i not in told}
    return result


def _owner(whole: Phrase, mentions: list[Entity], stands: dict[int, Phrase], said: str) -> int:
    """The mention of the innermost owner; -1 = who speaks."""
    first = next(whole.chain())
    assert isinstance(first.owner, str)
    if not first.owner:
        return -1
    start, end = first.owner_end - len(first.owner), first.owner_end
    for i, mention in enumerate(mentions):
        inside = mention.start <= start and end <= mention.end
        if inside and i not in stands and mention.type == "person":
            return i
    return _mention(start, end, mentions, said)


def _mention(start: int, end: int, mentions: list[Entity], said: str) -> int:
    """The mention at [start, end), made where a model has none."""
    for i, mention in enumerate(mentions):
        if (mention.start, mention.end) == (start, end):
            return i
    mentions.append(Entity(said[start:end], "person", start, end, SURE))
    return len(mentions) - 1
