"""Who is spoken of by what they are to somebody: "my mum", "Till's girlfriend", "my sister's dog".

A phrase is an owner and a role. Roles are a list (people of the family, those one has to do with,
pets), because what may follow "my" is open, and who is meant by it is not: one's mother is one person
however she is called, a colleague may be another one each time. Of a role of many nothing is taken
for known unless it is named.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from agents.memory import names, text
from agents.memory.registry import Known, Registry

# How many somebody has: who is called "my boss" today is not who was, if the name is another; of
# several sisters one is meant, whose name decides; whoever "a friend" is, nobody knows.
HowMany = Literal["one", "few", "many"]
LATE = "ex former".split()  # what was and is no more
YOU = "You"  # the person at the keyboard, until they give a name


@dataclass(frozen=True, slots=True)
class Role:
    """What somebody is to somebody: all words for it, and what it tells."""

    words: tuple[str, ...]
    relation: str  # of the owner to who has the role
    pronoun: str  # he | she | "" = either
    many: HowMany


_ROLES = """
RELATED_TO she one: mother mum mom mummy mommy mam mama
RELATED_TO he one: father dad daddy papa
RELATED_TO - one: parents folks; grandparents; partner spouse; in-laws; family
RELATED_TO she one: wife; girlfriend; fiancée fiancee
RELATED_TO he one: husband; boyfriend; fiancé fiance
RELATED_TO - few: ex
RELATED_TO she few: sister sis; daughter; grandmother grandma granny gran nan nana; aunt auntie
RELATED_TO she few: niece; granddaughter; godmother
RELATED_TO he few: brother; son; grandfather grandpa grandad granddad; uncle; nephew; grandson
RELATED_TO he few: godfather
RELATED_TO - few: cousin; baby; twin; kid child; grandchild; sibling
RELATED_TO - one: kids children; sons; daughters; brothers; sisters; siblings; grandchildren
KNOWS - one: boss manager supervisor; best friend; landlord; flatmate roommate housemate
KNOWS she one: landlady
KNOWS - few: neighbour neighbor; teacher; tutor; coach trainer; mentor; therapist; doctor; dentist
KNOWS - few: assistant; babysitter; nanny; hairdresser; cleaner; gardener; vet; plumber
KNOWS - few: neighbours neighbors; flatmates roommates housemates
KNOWS - many: friend; colleague coworker co-worker workmate; teammate; classmate; client; customer
KNOWS - many: student; pupil; intern; patient
OWNS - few: dog puppy; cat kitten; parrot; rabbit; hamster; horse; pony; budgie; guinea pig; tortoise
OWNS - one: dogs; cats; rabbits; horses
"""
_BEFORE = r"(?:step-?|half-|god|great-|foster[ -]|ex-)"
_AFTER = r"[- ]in[- ]law"
# Tells one from another of the same role, and is a part of the name then.
_WHICH = "older elder younger eldest oldest youngest big little twin ex former".split()
# Tells nothing of who is meant.
_FOND = "late dear lovely poor old beloved own".split()
# "My mother tongue" is no mother's: words that make another word of a role.
_COMPOUND = r"(?!\s+(?:tongue|ship|board|country|company|food|toy|walker|sitter|person|people|hair|figure|in\s+chief)\b)(?!-\w)"


def _table() -> dict[str, Role]:
    found: dict[str, Role] = {}
    for line in _ROLES.strip().splitlines():
        kind, _, groups = line.partition(": ")
        relation, pronoun, many = kind.split()
        for group in groups.split(";"):
            phrase = group.strip()
            words = (phrase,) if phrase in ("best friend", "guinea pig") else tuple(phrase.split())
            role = Role(words, relation, pronoun.strip("-"), many)  # type: ignore[arg-type]
            found.update(dict.fromkeys(words, role))
    return found


_BY_WORD = _table()
_BASE = "|".join(sorted(map(re.escape, _BY_WORD), key=len, reverse=True))
ROLE = rf"(?:(?:{'|'.join(_WHICH + _FOND)})\s+)*{_BEFORE}?(?:{_BASE})(?:{_AFTER})?\b{_COMPOUND}"
_CAPITAL = r"[A-ZÀ-ÖØ-ÞĀŁŚŠŻŽČİ]"
NAME = rf"(?-i:{_CAPITAL}[\w-]+(?:\s{_CAPITAL}[\w-]+)?)"
_OF = r"(?:['’]s|(?<=s)['’])\s+"
_PHRASE = re.compile(
    rf"(?<![\w'’-])(?:(?P<own>my|our|your|his|her)\s+|(?P<name>{NAME}){_OF})"
    rf"(?P<roles>{ROLE}(?:['’]s\s+{ROLE})*)",
    re.IGNORECASE,
)
_ALSO = re.compile(rf"\s+(?:and|or|&)\s+({ROLE})", re.IGNORECASE)
# Names that their children give them, and no others.
_BARE = re.compile(
    rf"(?<![\w'’-])(?P<role>Mum|Mom|Mummy|Mommy|Mama|Dad|Daddy|Papa|Grandma|Grandpa|Granny|Grandad|Granddad)\b"
    rf"{_COMPOUND}(?!\s+(?-i:{_CAPITAL})\w)"
)
_SOME = re.compile(
    r"\b(?:one|two|three|some|most|many|none|each|any|few|several|neither)\s+of\s+$", re.I
)
_DETERMINED = re.compile(
    r"\b(?:a|an|the|my|our|your|his|her|their|no|\w+['’]s)\s+(?:\w+\s+)?$", re.I
)


@dataclass(frozen=True, slots=True)
class Phrase:
    """Somebody's somebody; offsets in the text it stands in, the end exclusive."""

    owner: str | Phrase  # "my", a name, or a phrase; "" = of who speaks, and not said: "Mum"
    said: str  # the role's words: "older sister"
    start: int
    end: int
    owner_end: int  # of the owner's words
    has: bool = False  # "I have a sister", of whom a name must follow

    @property
    def role(self) -> Role:
        """What it says: "step-sister" is a role of its own, "step-sis" another word for it."""
        return _role_of(self.said)

    @property
    def over(self) -> bool:
        """Whether they are it no more: "my ex-wife"."""
        return any(re.match(rf"{word}\b", self.said) for word in LATE)

    def chain(self) -> Iterator[Phrase]:
        """The phrase and those of its owners, the innermost first."""
        if isinstance(self.owner, Phrase):
            yield from self.owner.chain()
        yield self


@lru_cache(512)
def _role_of(said: str) -> Role:
    """The role of some words: the base's, with what stands before and after it."""
    after = "-in-law" if said.endswith("-in-law") else ""
    inner = said.removesuffix(after)
    base = max((word for word in _BY_WORD if inner.endswith(word)), key=len)
    before = inner.removesuffix(base)
    role = _BY_WORD[base]
    words = tuple(f"{before}{word}{after}" for word in role.words)
    own = re.match(rf"(?:{'|'.join(_WHICH)})\b", before) is not None
    return Role(words, role.relation, role.pronoun, "few" if own else role.many)


def find(said: str, bare: bool = False) -> list[Phrase]:
    """The phrases of a text in order, each as long as it is. `bare`: also "Mum" alone, as those say
    it who speak of their own."""
    found: list[Phrase] = []
    for match in _PHRASE.finditer(said):
        if _SOME.search(said, 0, match.start()):
            continue
        name, start = match["own"] or match["name"], match.start()
        if match["name"]:
            start, name = _without_stop(name, start)
            if not name:
                continue
        owner: str | Phrase = name
        owner_end = start + len(name)
        at = match.start("roles")
        for part in re.split(r"(['’]s\s+)", match["roles"]):
            if re.fullmatch(r"['’]s\s+", part):
                at += len(part)
                continue
            owner = Phrase(owner, _plain(part), start, at + len(part), owner_end)
            owner_end = at = at + len(part)
        assert isinstance(owner, Phrase)
        found.append(owner)
        also = _ALSO.match(said, match.end())
        if also and owner.owner_end == match.start("roles") - 1:  # "my mum and dad"
            found.append(Phrase(owner.owner, _plain(also[1]), *also.span(1), owner.owner_end))
    if bare:
        for match in _BARE.finditer(said):
            inside = any(p.start <= match.start() < p.end for p in found)
            if not inside and not _DETERMINED.search(said, 0, match.start()):
                word = match["role"].lower()
                found.append(Phrase("", word, match.start(), match.end(), match.start()))
    return sorted(found, key=lambda phrase: phrase.start)


def _without_stop(name: str, start: int) -> tuple[int, str]:
    """A name without what only begins a sentence: "And Tunde", "Who"."""
    words = name.split()
    while words and words[0].lower() in text.STOP:
        start += len(words[0]) + 1
        words = words[1:]
    return start, " ".join(words)


def _plain(role: str) -> str:
    """One way to write it, without what tells nothing: mother-in-law, step-sister."""
    role = re.sub(rf"^(?:(?:{'|'.join(_FOND)})\s+)+", "", " ".join(role.lower().split()))
    role = re.sub(r"[- ]in[- ]law$", "-in-law", role)
    if _role_of(role).relation == "OWNS":  # "my little dog" is "my dog"
        role = re.sub(rf"^(?:(?:{'|'.join(_WHICH)})\s+)+", "", role)
    return re.sub(r"^(ex|half)[ -]", r"\1-", role)


def of_words(owner: str, role: str, start: int, end: int, owner_end: int) -> Phrase:
    """A phrase whose role somebody is said to have, at [start, end); the owner ends at `owner_end`."""
    return Phrase(owner, _plain(role), start, end, owner_end, True)


def parse(words: str) -> Phrase | None:
    """The phrase that a mention is, if it is one and nothing else."""
    for phrase in find(words, bare=True):
        if phrase.start == 0 and phrase.end == len(words):
            return phrase
    return None


def name_of(owner: str, said: str) -> str:
    """What who has a role is called until they have a name: "Ada's mum", "Your mum"."""
    return f"Your {said}" if owner == YOU else f"{owner}'s {said}"


def other_names(owners: Iterable[str], phrase: Phrase) -> list[str]:
    """All names that mean the same: by each name of the owner, and each word for the role."""
    words = dict.fromkeys((phrase.said, *phrase.role.words))
    return [name_of(owner, word) for owner in owners for word in words]


def known(registry: Registry, owner: Known, phrase: Phrase) -> dict[str, tuple[str, Known]]:
    """Who is known to be to somebody what a phrase says: id -> (by which name, entity)."""
    return {
        entity.id: (name, entity)
        for name in other_names((owner.name, *owner.aliases), phrase)
        for entity in registry.named(name)
        if entity.kind == "person"
    }


def stands_for(name: str) -> tuple[str, str] | None:
    """The owner's name and the role, of a name that is made of them; None for other names."""
    key = names.display(name)
    match = re.fullmatch(rf"(?:(Your)|(.+?)['’]s)\s+({ROLE})", key, re.IGNORECASE)
    if match is None:
        # "Ada's sister's dog": the owner is whose name ends last.
        return None
    return (YOU if match[1] else match[2]), match[3].lower()


def pronoun(word: str) -> str:
    """By which pronoun one speaks of who has a role; "" = either, or no role."""
    role = _BY_WORD.get(word)
    return role.pronoun if role else ""


def means(alias: str, surface: str) -> bool:
    """Whether a mention written as "my mother" is of who is called "Ada's mum"."""
    made, phrase = stands_for(alias), parse(surface)
    if made is None:
        return False
    if phrase is None and not re.fullmatch(ROLE, surface, re.IGNORECASE):
        return False
    said = phrase.said if phrase else _plain(surface)  # of "my mum and dad"
    return _plain(made[1]) in (said, *_role_of(said).words)
