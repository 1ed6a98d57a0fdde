"""Which entity a mention means: pronouns, names, abbreviations, spellings, and meaning."""

from __future__ import annotations

import re
import secrets
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from agents.memory import dates, names, relatives, text
from agents.memory.registry import Known, Registry
from agents.memory.relatives import YOU, Phrase
from agents.memory.types import Entity, Note

RECENT = 64  # entities of a conversation that a first name can mean
THIRD_PERSON_MESSAGES = 3  # how far back "he" and "she" reach
_HIS = frozenset("he him his himself".split())
_TITLES = {"mr": "he", "mrs": "she", "ms": "she"}
_BEFORE = re.compile(r"(\w+)[.,]?\s+(?:is\s+)?$")  # "my sister Eva", "Mrs. Miller"
_GOODS = ("product", "hardware")  # things whose names have a maker's and their own
_ANY = re.compile(r"\b(?:an?|another|new|any|some|no)\s+(?:\w+\s+)?$", re.IGNORECASE)
_THE = re.compile(r"(?:\b(?:the|my|our|your|his|her|their)|\w['’]s)\s+(?:\w+\s+)?$", re.IGNORECASE)
# What models call a firm that is named by its first word only.
_FIRMS = ("organisation", "product", "event", "misc", "software_framework")

_INTRODUCTION = re.compile(
    r"\b(?:my name is|my name's|call me|i am|i'm|i’m|this is)\s+"
    r"((?-i:[A-Z][\w'’-]+(?:\s[A-Z][\w'’-]+)?))(?=\s*(?:[.,!?;\n]|and\b|from\b|$))",
    re.IGNORECASE,
)

# Somebody who has given a name says it again: "Jonas here", "it's Jonas".
_AGAIN = (
    r"\b(?:it['’]s|it is|this is|my name is|i am|i['’]m|call me)\s+{0}(?=\s*(?:[.,!?;\n]|again\b|$))",
    r"(?:^|[.,!?]\s*){0} (?:here|speaking|again)\b",
)

# Finds an entity whose name means the same, by vectors: (name, kind) -> id or None.
Meaning = Callable[[str, str], str | None]


# A message of a conversation: its text, and the entities it mentions with the character at which
# and the words by which it does.
Past = tuple[str, list[tuple[str, int, str]]]


@dataclass(slots=True)
class Talk:
    """What a conversation has mentioned lately."""

    # entity id -> number of the message and of its sentence, latest last
    recent: OrderedDict[str, tuple[int, int]] = field(default_factory=OrderedDict)
    count: int = 0
    sentences: list[int] = field(default_factory=list)  # where those of the message begin
    called: dict[str, str] = field(default_factory=dict)  # entity id -> "he" or "she"

    def saw(self, id: str, start: int = 0) -> None:
        """An entity was mentioned in the message at hand, at character `start`."""
        self.recent[id] = self.count, bisect_right(self.sentences, start)
        self.recent.move_to_end(id)
        while len(self.recent) > RECENT:
            self.recent.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Resolved:
    """The entity of a mention. `how` other than exact is worth a line in the list of changes."""

    id: str
    how: (
        str  # speaker | exact | new | date | owned | first-name | abbreviation | spelling | meaning
    )
    confidence: float = 1.0

    @property
    def guessed(self) -> bool:
        """Whether a person may want to undo it."""
        return self.how in ("first-name", "abbreviation", "spelling", "meaning")


class Resolver:
    """Resolves mentions of one message after the other. New entities are put into the registry."""

    def __init__(self, registry: Registry, meaning: Meaning | None = None) -> None:
        self.registry = registry
        self.meaning = meaning
        self.changed: dict[str, Known] = {}  # entities that are new or have new names or votes
        self.kept_apart: set[tuple[str, str]] = set()  # (entity id, key) that a person split
        self._talks: dict[str, Talk] = {}
        self.joined: list[tuple[str, str]] = []  # entities to merge, as a name was told: kept, gone
        self.named: list[
            tuple[str, str]
        ] = []  # entities that were given a name: id, what they were
        self.talkers: set[str] = set()  # everybody who ever spoke or listened: agents and people

    # --- the people who talk -----------------------------------------------------------------------

    def begin(self, note: Note, load: Callable[[str], list[Past]]) -> tuple[str, str]:
        """Begin a message. Returns the entities of its speaker and listener ("" = none).

        `load` gives the messages of a conversation that came lately, oldest first, when it is new
        here: after a restart "she" means whom it would have meant without.
        """
        talk = self._talks.get(note.conversation)
        if talk is None:
            talk = self._talks[note.conversation] = Talk()
            for said, found in load(note.conversation):
                talk.count += 1
                talk.sentences = [start for start, _ in text.bounds(said)]
                for id, start, words in found:
                    if id in self.registry.by_id:
                        talk.saw(id, start)
                        self._note_called(talk, id, said, start)
                        if words.lower() in names.THIRD_PERSON:
                            talk.called[id] = "he" if words.lower() in _HIS else "she"
                        phrase = relatives.parse(words)
                        if phrase and phrase.role.pronoun:
                            talk.called[id] = phrase.role.pronoun
        talk.count += 1
        talk.sentences = [start for start, _ in text.bounds(note.text)]
        if note.kind == "document":
            return "", ""
        speaker = self.speaker(note.speaker)
        self.talkers.add(speaker.id)
        introduced = _INTRODUCTION.search(note.text)
        if introduced and speaker.name == YOU:
            self._rename(speaker, names.display(introduced.group(1)))
        listener = self.speaker(note.listener).id if note.listener else ""
        self.talkers.update({listener} - {""})
        return speaker.id, listener

    def speaker(self, name: str) -> Known:
        """The entity of somebody who talks."""
        for entity in self.registry.named(name):
            if entity.kind == "person":
                return entity
        return self._new(name.strip() or YOU, "person")

    def _rename(self, entity: Known, name: str) -> None:
        same = [e for e in self.registry.named(name) if e.kind == "person" and e is not entity]
        if same:
            return  # somebody else is called that already; a person may merge the two
        old = relatives.name_of(entity.name, "")
        entity.aliases = [a for a in dict.fromkeys([*entity.aliases, entity.name]) if a != name]
        entity.name = name
        self.registry.add(entity)
        self.changed[entity.id] = entity
        for theirs in [e for e in self.registry.by_id.values() if e.kind == "person"]:
            if any(known.startswith(old) for known in (theirs.name, *theirs.aliases)):
                new = relatives.name_of(name, "")
                theirs.name = theirs.name.replace(old, new, 1)
                theirs.aliases = [alias.replace(old, new, 1) for alias in theirs.aliases]
                self.registry.add(theirs)
                self.changed[theirs.id] = theirs

    # --- mentions ------------------------------------------------------------------------------------

    def resolve(
        self,
        mention: Entity,
        note: Note,
        speaker: str,
        listener: str,
        born: bool = False,
        phrase: Phrase | None = None,
        idle: bool = False,
    ) -> Resolved | None:
        """The entity of a mention; None for a pronoun that means nobody known. `born`: a day on
        which somebody was born. `phrase`: what the mention says, if it is "my mum"; `idle`: nothing is said of her, and
        she is nobody new then."""
        talk = self._talks[note.conversation]
        people = speaker, listener
        if phrase is None and mention.type == "person":
            phrase = relatives.parse(mention.text)
        found = (
            self._relative(phrase, note, talk, people, new=not idle)
            if phrase
            else self._find(mention, note, talk, speaker, listener, born)
        )
        if found is None:
            return None
        talk.saw(found.id, mention.start)
        entity = self.registry.by_id[found.id]
        if found.how != "speaker":
            self._note_called(talk, found.id, note.text, mention.start)
            entity.votes[mention.type] += 1
            entity.type = _type(entity)
            if note.voice != "agent":  # models misspell and garble: people say what is called how
                self._learn_name(entity, mention, found.how)
            self.changed[entity.id] = entity
        return found

    def _note_called(self, talk: Talk, id: str, said: str, start: int) -> None:
        """Whether somebody is "he" or "she", by the word before: "my sister Eva"."""
        before = _BEFORE.search(said, 0, start)
        if self.registry.by_id[id].kind == "person" and before:
            pronoun = _TITLES.get(before[1].lower()) or relatives.pronoun(before[1].lower())
            if pronoun:
                talk.called[id] = pronoun

    def _find(
        self, mention: Entity, note: Note, talk: Talk, speaker: str, listener: str, born: bool
    ) -> Resolved | None:
        word = mention.text.strip().lower().replace("’", "'")
        if word in names.PRONOUNS:
            return self._pronoun(word, talk, speaker, listener)
        name, kind = names.display(mention.text), names.kind(mention.type)
        if not names.key(name):
            return None
        if kind == "date":
            day = (born and dates.yearless(mention.text)) or _day(mention, note)
            if not day and not any(map(str.isdigit, name)):
                return None  # "a while", "the week"
            name = day or name
            return self._exact(name, kind) or Resolved(self._new(name, mention.type).id, "date")
        if kind == "person" and names.owned(mention.text):
            return None  # "my people", of no role that is known
        exact = self._exact(name, kind)
        if exact is not None and mention.type in _GOODS:
            whole = self.registry.by_id[exact.id].name
            if names.part_of_thing(name, whole) and _ANY.search(note.text, 0, mention.start):
                return Resolved(self._new(name, mention.type).id, "new")  # "a Ducati"
        if exact is not None or kind == "quantity":
            return exact or Resolved(self._new(name, mention.type).id, "new")
        if kind == "person" and self._is_talker(name, note, speaker, listener):
            return Resolved(speaker if note.voice == "person" else listener, "first-name", 0.9)
        return self._guess(name, mention.type, talk, note.text[: mention.start]) or Resolved(
            self._new(name, mention.type).id, "new"
        )

    def _is_talker(self, name: str, note: Note, speaker: str, listener: str) -> bool:
        """Whether a part of a talker's name means that one: people who say it of themselves, and
        whom an agent calls so."""
        meant = self.registry.by_id.get(speaker if note.voice == "person" else listener)
        if meant is None or not names.part_of_person(name, meant.name) or " " in name:
            return False
        if not self._allowed(meant, name):
            return False
        if note.voice == "agent":
            return True
        return any(re.search(p.format(re.escape(name)), note.text, re.I) for p in _AGAIN)

    def _pronoun(self, word: str, talk: Talk, speaker: str, listener: str) -> Resolved | None:
        if word in names.FIRST_PERSON or word in names.PLURAL:
            return Resolved(speaker, "speaker") if speaker else None
        if word in names.SECOND_PERSON:
            return Resolved(listener, "speaker") if listener else None
        return self._third_person("he" if word in _HIS else "she", talk, speaker, listener)

    def _third_person(self, word: str, talk: Talk, speaker: str, listener: str) -> Resolved | None:
        """Whoever the last sentence with anybody names, if that is one person: of two it would be
        a guess, unless one of them is known to be called by the other word."""
        people: list[str] = []
        last: tuple[int, int] | None = None
        for id, seen in reversed(talk.recent.items()):
            if talk.count - seen[0] > THIRD_PERSON_MESSAGES or (last and seen != last):
                break
            entity = self.registry.by_id.get(id)
            if (
                entity is not None
                and entity.kind == "person"
                and id not in (speaker, listener)
                and talk.called.get(id, word) == word
            ):
                people.append(id)
                last = seen
        sure = [id for id in people if talk.called.get(id) == word]
        if len(sure or people) != 1:
            return None
        (one,) = sure or people
        talk.called[one] = word
        return Resolved(one, "speaker", 0.7)

    # --- relatives ---------------------------------------------------------------------------------

    def give_name(
        self, phrase: Phrase, mention: Entity, note: Note, speaker: str, listener: str
    ) -> None:
        """Somebody's somebody is given a name, that of a mention which is to be resolved next.

        Whoever was known by what they are only is called so from now on; if there is somebody of
        that name, both are one (`joined`). Of a role that one has at a time ("my boss") another
        name is another person, who takes the role over.
        """
        talk = self._talks[note.conversation]
        role = phrase.role
        owner = self._owner(phrase, note, talk, (speaker, listener), new=True)
        if not owner or role.many == "many":
            return
        name = names.display(mention.text)
        found = self._exact(name, "person") or self._guess(name, "person", talk)
        if found is not None and found.id in self.talkers:
            return  # an agent that is called so
        known = self.relatives_of(owner, phrase)
        unnamed = [e for e in known if relatives.stands_for(e.name)]
        unnamed = unnamed if len(unnamed) == 1 else []
        alias = relatives.name_of(self.registry.by_id[owner].name, phrase.said)
        if found is None and unnamed:
            (entity,) = unnamed
            self.named.append((entity.id, entity.name))
            entity.aliases = [entity.name, *entity.aliases]
            entity.name = name
        elif found is None:
            entity = self._new(name, "person")
            entity.aliases = [alias]
        else:
            entity = self.registry.by_id[found.id]
            if not self._allowed(entity, alias):
                return
            if unnamed and unnamed[0] is not entity:
                self.joined.append((entity.id, unnamed[0].id))
            elif entity not in known:
                entity.aliases = [*entity.aliases, alias]
        if role.many == "one":
            self._take_over(owner, phrase, entity, [e for e in known if e not in unnamed])
        self.registry.add(entity)
        self.changed[entity.id] = entity

    def _take_over(self, owner: str, phrase: Phrase, new: Known, others: list[Known]) -> None:
        own = self.registry.by_id[owner]
        keys = {names.key(n) for n in relatives.other_names((own.name, *own.aliases), phrase)}
        for other in others:
            if other is not new:
                other.aliases = [a for a in other.aliases if names.key(a) not in keys]
                self.registry.add(other)
                self.changed[other.id] = other

    def relatives_of(self, owner: str, phrase: Phrase) -> list[Known]:
        """Who is known to be to somebody what a phrase says."""
        found = relatives.known(self.registry, self.registry.by_id[owner], phrase)
        return [entity for name, entity in found.values() if self._allowed(entity, name)]

    def _relative(
        self, phrase: Phrase, note: Note, talk: Talk, people: tuple[str, str], new: bool
    ) -> Resolved | None:
        """Whom "my sister" means: the one sister who is known, of several the one spoken of lately,
        or somebody `new`. Nobody, where it would be a guess."""
        owner = self._owner(phrase, note, talk, people, new)
        if not owner:
            return None
        role = phrase.role
        known = self.relatives_of(owner, phrase)
        if len(known) > 1:
            known = [e for e in known if e.id in talk.recent]
            if len(known) != 1:
                return None
        if known:
            found = Resolved(known[0].id, "owned")
        elif role.many == "many" or not new:
            return None
        else:
            name = relatives.name_of(self.registry.by_id[owner].name, phrase.said)
            found = Resolved(self._new(name, "person").id, "owned")
        if role.pronoun:
            talk.called[found.id] = role.pronoun
        return found

    def _owner(
        self, phrase: Phrase, note: Note, talk: Talk, people: tuple[str, str], new: bool
    ) -> str:
        owner = phrase.owner
        if isinstance(owner, Phrase):
            found = self._relative(owner, note, talk, people, new)
        elif not owner or owner.lower() in names.PRONOUNS:
            found = self._pronoun(owner.lower() or "my", talk, *people)
        else:
            name = names.display(owner)
            found = self._exact(name, "person") or self._guess(name, "person", talk)
            if found is None and new:
                found = Resolved(self._new(name, "person").id, "new")
        return found.id if found else ""

    def _exact(self, name: str, kind: str) -> Resolved | None:
        found = [e for e in self.registry.named(name) if self._allowed(e, name)]
        same = [e for e in found if e.kind == kind]
        if not same:
            # A model may call somebody a person once and a thing another time.
            same = [e for e in found if "person" in (e.kind, kind) and len(found) == 1]
            same = [e for e in same if e.kind not in ("date", "quantity")]
        if not same:
            return None
        best = max(same, key=lambda e: sum(e.votes.values()))
        return Resolved(best.id, "exact")

    def _guess(self, name: str, type: str, talk: Talk, before: str = "") -> Resolved | None:
        """`before`: the text up to the mention."""
        kind = names.kind(type)
        here = [
            entity
            for id in reversed(talk.recent)
            if (entity := self.registry.by_id.get(id)) is not None
            and entity.kind == kind
            and self._allowed(entity, name)
        ]
        if kind == "person":
            fits = [
                e
                for e in here
                if any(names.part_of_person(name, n) for n in (e.name, *e.aliases))
                # An agent called ada is not Ada Lovelace; who talks says so, if it is their name.
                and not (" " in name and e.id in self.talkers)
            ]
            if len(fits) == 1 or (fits and " " not in name):
                return Resolved(fits[0].id, "first-name", 0.9)
        else:
            short = [e for e in self.registry.abbreviated(name) if e.kind == kind]
            short = [e for e in short if self._allowed(e, name)]
            if not short and type in _FIRMS:
                short = [
                    e
                    for e in here
                    if e.type == "organisation"
                    and any(names.shortens(name, n) for n in (e.name, *e.aliases))
                ]
            if not short and type in _GOODS:
                short = self._goods(name, here, before)
            if len(short) == 1:
                return Resolved(short[0].id, "abbreviation", 0.9)
            same = self._exact(_other_name(name), kind) if type == "topic" else None
            if same is not None:
                return Resolved(same.id, "abbreviation", 0.9)
        spelt = self.registry.fuzzy(name, kind)
        if spelt is not None and self._allowed(spelt, name):
            return Resolved(spelt.id, "spelling", 0.9)
        if kind == "thing" and self.meaning is not None:
            id = self.meaning(name, kind)
            entity = self.registry.by_id.get(id or "")
            if entity is not None and self._allowed(entity, name):
                return Resolved(entity.id, "meaning", 0.85)
        return None

    def _goods(self, name: str, here: list[Known], before: str) -> list[Known]:
        """Things that a part of a name means: "his Ducati" the Ducati Monster spoken of here, or the
        only one that is known at all. "A Ducati" is another one."""
        if _ANY.search(before):
            return []
        known = self.registry.with_stems(text.terms(name)) if _THE.search(before) else ()
        for some in (here, [self.registry.by_id[id] for id in known]):
            found = [
                e
                for e in some
                if e.type in _GOODS
                and any(names.part_of_thing(name, n) for n in (e.name, *e.aliases))
                and self._allowed(e, name)
            ]
            if found:
                return found
        return []

    def _allowed(self, entity: Known, name: str) -> bool:
        return (entity.id, names.key(name)) not in self.kept_apart

    # --- entities --------------------------------------------------------------------------------------

    def _new(self, name: str, type: str) -> Known:
        entity = Known("e-" + secrets.token_hex(6), name, type)
        self.registry.add(entity)
        self.changed[entity.id] = entity
        return entity

    def _learn_name(self, entity: Known, mention: Entity, how: str) -> None:
        if how in ("date", "owned"):
            return
        name = names.display(mention.text)
        if name == entity.name or names.key(name) in names.PRONOUNS:
            return
        fuller = how == "first-name" and len(name.split()) > len(entity.name.split())
        fuller = fuller and not names.PRONOUNS.union(text.STOP) & set(name.lower().split())
        better = names.key(name) == names.key(entity.name) and entity.name.islower()
        if fuller or (better and not name.islower()):
            entity.aliases = [a for a in dict.fromkeys([entity.name, *entity.aliases]) if a != name]
            entity.name = name
            self.registry.add(entity)
        elif names.key(name) not in entity.keys:
            entity.aliases.append(name)
            self.registry.add(entity)


def _other_name(name: str) -> str:
    """The other name of a kind of music: "fado music" for fado, and fado for it."""
    return re.sub(r"\s+music$", "", name) if name.endswith(" music") else f"{name} music"


def _day(mention: Entity, note: Note) -> str:
    """The day a mention means; models may tag "week" where the text says "last week"."""
    for start, end, span in dates.find(note.text, note.time):
        if start < mention.end and mention.start < end:
            return str(span)
    return dates.resolve(mention.text, note.time)


def _type(entity: Known) -> str:
    """What most mentions said; people stay people."""
    if entity.type == "person" or not entity.votes:
        return entity.type
    best = max(entity.votes.values())
    if entity.votes[entity.type] == best:
        return entity.type
    return max(entity.votes, key=lambda t: entity.votes[t])
