"""What a text claims of two mentions: how it speaks of a relation that a model found between them.

Models tell that "visit" stands between somebody and Osaka, not whether it has happened. Here the
words around decide, by rules that leave a fact out rather than guess: what will be is a plan, what is
denied, wished for or only supposed is no fact, where somebody comes from is not where they live, and
"don't like" is no liking.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from agents.memory.relatives import ROLE
from agents.memory.types import Entity

# It holds; it holds no more; it is denied, which ends it if it held; it holds, and is no news that
# ends another ("I've lived in Austria since 2009").
Ends = Literal[0, 1, 2, 3]


@dataclass(frozen=True, slots=True)
class Claim:
    """What is said: a relation, and whether that holds."""

    type: str
    ends: Ends = 0


_I = re.IGNORECASE
_ENDS = re.compile(r"\b(?:no longer|any ?more|not any longer|used to|ex-|former(?:ly)?)\b", _I)
_LEFT = r"stopped|quit|gave up|left (?:my|his|her|the|our)?\s?(?:job|position)|(?:have |has |['’]ve |['’]s )left"
# What ends some relations only: who quit a job there has not moved the firm.
_ENDS_OF = {
    type: re.compile(rf"\b(?:{words})\b", _I)
    for types, words in {
        "WORKS_AT MEMBER_OF STUDIES USES PLANS": _LEFT,
        "LIVES_IN": rf"{_LEFT}|moved (?:away|out)",
        "OWNS": r"sold|gave away|got rid of|lost|ran away|died",
        "KNOWS RELATED_TO": r"broke up|divorced|separated",
        "LIKES": rf"{_LEFT}|don['’]?t like|doesn['’]?t like|do not like|does not like|never liked",
        "DISLIKES": r"stopped",
    }.items()
    for type in types.split()
}
_PARTED = re.compile(
    r"(?:['’](?:s|ve)|\s+(?:has|have|had))?\s+(?:(?:just|finally|already|recently|now)\s+)?"
    r"(?:sold|gave away|given away|got rid of|scrapped|lost|threw away|thrown away)\s+"
    r"(?:the|my|his|her|our|their)\s+(?:(?:old|new|little|beloved)\s+)?",
    _I,
)
_BEGINS = re.compile(
    r"\b(?:bought|got|purchased|joined|started|began|moved to|now|ha(?:ve|s) a|took up)\b", _I
)
# Somebody else's belief, and what is taken back.
_BELIEVES = re.compile(
    r"\b(?!I\b)\w+\s+(?:thinks|believes|assumes|guesses|suspects|reckons|imagines|thought|believed)\b"
)
_NONSENSE = re.compile(
    r"\b(?:that|it|this)(?:['’]s| is| was)\s+(?:not true|wrong|untrue|nonsense|a lie|a joke)\b"
    r"|\b(?:isn['’]t|wasn['’]t|not) true\b|\bjust (?:kidding|joking)\b",
    _I,
)
_SO_FAR = re.compile(
    r"(?:\bha(?:ve|s)|['’](?:ve|s))\s+(?:\w+\s+)?(?:lived|been living|been based)\b", _I
)
# "I no longer like tea" ends that one likes it, and is how one says that one does not.
_UNLIKED = re.compile(
    r"\b(?:no longer|don['’]?t|doesn['’]?t|didn['’]?t|do not|does not|never|stopped|used to)\s+"
    r"(?:(?:really|even|much|particularly)\s+)?(?:lik|lov|enjoy)\w*",
    _I,
)
# Where a clause begins: after a sentence, or with a subject or "now" of its own.
_CLAUSE = re.compile(
    r"[.!?;\n]|(?:,|\s(?:and|but|so|then|while)\b)(?:\s+(?:and|but|so|then))*"
    r"\s+(?=(?:I|we|you|he|she|they|it|my|our|your|his|their|now)\b)"
    r"|,?\s(?=(?:because|although|though|whereas|who|which|even if)\b)",
    _I,
)
_BEGUN = re.compile(r"(?:^|\s|,)(?:and|but|while|whereas|so)\s+$", _I)
# A clause that begins with somebody else; "Eva and my sister" are two of one clause.
_OTHERS = re.compile(
    rf"\w[^.!?\n]*(?:,|\s(?:and|but|so|then|while|because|although))\s+(?:my|our|your|his|her)\s+{ROLE}"
    r"(?!\s*(?:,|and\b|or\b))",
    _I,
)
_SENTENCE = re.compile(r"[.!?]+(?=\s|$)|\n")

_LIVES = r"(?:liv|resid|relocat|settl|stay|dwell|mov)\w*|based|home is"
_PLACED = re.compile(
    r"(?P<origin>(?:\b(?:is|are|am|was|were|be)|['’](?:s|m|re))\s+(?:\w+\s+){0,2}?from"
    r"|\b(?:c(?:o|a)m(?:e|es|ing)\s+(?:\w+\s+)?from|hails?\s+from|originally\s+from|grew\s+up"
    rf"|grown\s+up|growing\s+up|raised|brought\s+up|born))\b|(?<![\w’'])(?P<lives>{_LIVES})\b",
    _I,
)
_HOLDS = re.compile(
    r"\b(?:own|run|rent|sell|buy|visit|lov|lik|manag|open|study|studi|work|teach|play)(?:s|ed|es|ing|ned|ning)?\b"
    r"|\b(?:has|had|have|bought|sold|ran|taught|met|got)\b(?!\s+(?:lived|moved|been|settled|a (?:flat|house|home|room|place)))",
    _I,
)
_LEAVES = re.compile(r"\b(?:move|moved|moving|moves|relocated?|away|back)\b[^,;]*\bfrom\s+$", _I)
# Capitals count: "Will" and "May" are people.
_WILL = re.compile(
    r"\b(?:will|won['’]t|shall|gonna|about to)\b|['’]ll\b"
    r"|\b(?:am|is|are)\s+(?:\w+\s+)?going to\b|['’](?:m|s|re)\s+(?:\w+\s+)?going to\b"
    r"|\b(?:plan|plans|planning|planned|intend|intends|aim|aims|decided|want|wants|mean|means)\s+(?:\w+\s+)?to\b"
    r"|\b(?:can['’]t wait|looking forward) to\b"
)
_COMING = re.compile(
    r"(?:\b(?:am|is|are)|['’](?:m|s|re))\s+(?:\w+\s+)?"
    r"(?:moving|going|flying|travell?ing|starting|joining|visiting|driving|getting|buying)\b"
)
_WISH = re.compile(
    r"(?:\b(?:would|might|could|should)|['’]d)\s+(?:\w+\s+)?(?:like|love|prefer|rather|be|have|go|move|live|work|buy|get|start|join|visit)\b"
    r"|\b(?:hope|hopes|hoping|wish|wishes|dream|dreams|dreaming|thinking|thought|considering|tempted)\b"
    r"|\b(?:want|wants|need|needs|looking for|saving for|saving up for|applied|applying|interview)\b"
    r"|\b(?:[Ii]f|[Uu]nless|whether|[Ss]uppose|imagine|pretend|wonder)\b",
)
_PERHAPS = re.compile(r"\b(?:might|maybe|perhaps|possibly|could)\b", _I)
_NT = r"(?:n['’]t|\b(?:do|does|did|is|was|wo|ca|could|would|should|have|has|had)nt)\b"
_NOT = re.compile(rf"(?:{_NT}|\bnot\b|\bnever\b|\bneither\b|\bnor\b|\bwithout\b)", _I)
_NOT_SO = re.compile(
    r"\b(?:believe it or|whether or|more often than|why) not\b"
    r"|\bnot (?:only|just|long|sure|to mention)\b|\b(?:don['’]?t|never) forget\b"
    rf"|(?:{_NT}|\bnot|\bnever)\s+(?:\w+\s+)?(?:leav\w*|left|sell\w*|sold|quit\w*|wait|help|stop\w*|forget)\b"
    rf"|(?:{_NT}|\bnot|\bnever)\s+(?:yet\s+)?mov\w*\s+(?:away|out)\b",
    _I,
)
_NO_LIKING = re.compile(
    rf"(?:{_NT}|\bnot|\bnever)\s+(?:(?:really|even|much|particularly|actually|at all)\s+)*"
    r"(?:lik|lov|enjoy|fond|keen|into\b|car(?:e|ing) for|(?:a\s+)?(?:big\s+|huge\s+|great\s+)?fan\b)\w*"
    r"|\bneither\b|\bnor\b",
    _I,
)
_NO_DISLIKING = re.compile(
    rf"(?:{_NT}|\bnot|\bnever)\s+(?:(?:really|even|actually|exactly|at all)\s+)*"
    r"(?:dislik|hat|mind|detest|loath|despis|object|afraid|say)\w*",
    _I,
)
_INSATIABLE = re.compile(
    r"\b(?:can(?:not|['’]?t| not| never)|never|couldn['’]?t)\s+(?:\w+\s+)?(?:get|have|had)\s+enough\b",
    _I,
)
_ALLERGIC = re.compile(r"\b(?:allerg\w*|intoleran\w*|coeliac|celiac)\b", _I)
_MAKING = re.compile(
    r"\b(?:build|buildin|mak|writ|develop|cod|design|paint|knit|sew|compos|programm)(?:ing|es?|s)?\b"
    r"|\b(?:built|made|wrote|painted)\b|\bworking on\b",
    _I,
)
_HAVING = re.compile(r"\b(?:have|has|had|own\w*|got|bought|my|his|her|our|their)\b", _I)
_LENT = re.compile(r"\b(?:borrow|rent|hir|leas)(?:s|ed|e|es|ing)?\b", _I)
_POSSESSIVE = frozenset("my our your his her their".split())

# What is read or seen of something is neither liked nor visited by that.
_ABOUT = re.compile(
    r"\b(?:film|movie|documentary|book|article|report|podcast|talk|lecture|news|something|paper|series|programme)"
    r"\s+(?:about|on|of)\b|\b(?:read|heard|watched|talked|told \w+|asked)\s+(?:\w+\s+)?about\b",
    _I,
)
_FOND = re.compile(r"\b(?:lik|lov|enjoy|ador|favou?rite|prefer|fond|fan|keen|into)\w*", _I)
_TEACHES = re.compile(
    r"\b(?:teach(?:es|ing)?|taught|tutor(?:s|ed|ing)?|lectur(?:es?|ed|ing))\b", _I
)
_SELF_TAUGHT = re.compile(r"\b(?:teach|taught)\w*\s+(?:my|him|her|them)sel(?:f|ves)\b", _I)
# Models tell STUDIES of who has to do with a subject or a school; these words say that one learns.
_STUDIES = re.compile(
    r"\b(?:stud(?:y|ies|ied|ying|ents?)|learn\w*|major\w*|subjects?|degrees?|graduat\w*|enroll?\w*|attend\w*"
    r"|courses?|class(?:es)?|school\w*|universit\w*|colleges?|train(?:s|ed|ing)?|masters?|bachelors?"
    r"|diplomas?|phd|doctorate|thes[ei]s|dissertation|practi[sc]\w*|lessons?|lectures|research\w*"
    r"|apprentice\w*|exams?|revis(?:es?|ed|ing)|pupils?|read(?:s|ing)? up|drop\w* out|(?:go|goes|went|going|gone) to"
    r"|look(?:s|ed|ing)? into)\b",
    _I,
)
_RELIES = re.compile(
    r"\b(?:rel(?:y|ies|ied|ying) on|depend(?:s|ed|ing)? on|requires?|needs?)\s+(?:\w+\s+)?$", _I
)

_TIMED = frozenset("VISITED LIVES_IN OWNS STUDIES CREATED USES".split())  # what is to be is a plan
_POSTS = frozenset("WORKS_AT MEMBER_OF KNOWS".split())  # what is to be is left out
_DENIED = _TIMED | _POSTS | {"RELATED_TO", "BORN_ON", "PLANS"}


def judge(text: str, head: Entity, tail: Entity, type: str) -> Claim | None:
    """What `text` claims, where a model found the relation `type`; None = nothing that is sure.

    Offsets of the two mentions are those of `text`.
    """
    first, later = sorted((head, tail), key=lambda e: e.start)
    left = max((m.end() for m in _CLAUSE.finditer(text, 0, later.start)), default=0)
    start = max((m.end() for m in _SENTENCE.finditer(text, 0, later.start)), default=0)
    before = text[left : later.start]  # of the clause, up to the later mention
    between = text[first.end : later.start]
    if _NONSENSE.search(text, later.end, _end_of_sentence(text, later.end)):
        return None
    if _BELIEVES.search(text, start, first.start):
        return None
    if type in _TIMED | _POSTS and first is tail and _CLAUSE.search(text, tail.end, head.end):
        return None  # who is said to do it comes in another clause, of something else
    if type in _TIMED | _POSTS and first is tail and _BEGUN.search(between):
        return None  # "Eva lives in Oslo and Tom lives in Rome": not Tom in Oslo
    if type in _TIMED | _POSTS and first is head and _OTHERS.search(between):
        return None  # "I live in Oslo, my sister lives in Rome": not I in Rome
    if type in ("LIKES", "VISITED") and _ABOUT.search(between) and not _FOND.search(between):
        return None  # "I watched a film about snakes"
    if type in ("LIKES", "DISLIKES"):
        return _liking(text, head, tail, type, left)
    if head.text.lower() in _POSSESSIVE and not between.strip().count(" ") and type != "OWNS":
        return Claim(type, 1 if ended(text, head, tail, type) else 0)  # "my brother Tunde"
    if type == "STUDIES":
        if _SELF_TAUGHT.search(between):
            pass
        elif _TEACHES.search(between):
            at_work = tail.type == "organisation" and re.search(r"\bat\s+(?:the\s+)?$", between, _I)
            if not at_work:
                return None
            type = "WORKS_AT"
        elif not _STUDIES.search(text, left, _end_of_sentence(text, later.end)):
            return None
    if type == "USES" and head.type != "person" and _RELIES.search(between):
        return Claim("REQUIRES")
    if type == "LIVES_IN":
        if _LEAVES.search(between):
            return Claim(type, 1)
        place = [m.lastgroup for m in _PLACED.finditer(between)]
        if not place and re.search(r"\bfrom\s+$", between, _I):
            return None  # "I bought it from Ulm"
        if not place and _HOLDS.search(between):
            return None  # "owns a vineyard near Lugano"
        if place and place[-1] == "origin":
            return None if _denied(before) else Claim("COMES_FROM")
        if _SO_FAR.search(before) and not ended(text, head, tail, type):
            return None if _denied(before) else Claim(type, 3)
    if ended(text, head, tail, type):
        return Claim(type, 1)
    if type in _DENIED and _denied(before):
        return Claim(type, 2)
    if type == "PLANS" and _PERHAPS.search(before):
        return None
    if type in _TIMED or type in _POSTS:
        ahead = bool(_WILL.search(before) or _COMING.search(before))
        if type == "OWNS" and not ahead and _MAKING.search(between) and not _HAVING.search(between):
            means = re.search(r"\b(?:with|using|out of|from|for|on)\b", between, _I)
            if not means:
                return Claim("CREATED")
            return Claim("USES") if means.group().lower() in ("with", "using") else None
        if type == "OWNS" and _LENT.search(between):
            return None
        if ahead:
            return Claim("PLANS") if type in _TIMED else None
        if _WISH.search(text[start : later.start]):
            return None
    return Claim(type)


def parted(text: str, mentions: Sequence[Entity]) -> list[tuple[int, int]]:
    """Pairs of who and what, where the first is said to have what was theirs no more: "Leo sold the
    Ducati". Models tell little of it; it ends that they own it, and tells nothing else."""
    return [
        (i, j)
        for i, who in enumerate(mentions)
        if who.type == "person"
        for j, what in enumerate(mentions)
        if what.type not in ("person", "location", "date", "quantity")
        and who.end < what.start
        and _PARTED.fullmatch(text, who.end, what.start)
    ]


def _end_of_sentence(text: str, start: int) -> int:
    found = _SENTENCE.search(text, start)
    return found.start() if found else len(text)


def ended(text: str, head: Entity, tail: Entity, type: str = "") -> bool:
    """Whether a text says of two mentions' relation that it is over, in the clause of the later
    one: of "I no longer work at Siemens, I started at Bosch" the second half tells of no end."""
    start, end = max(head.start, tail.start), max(head.end, tail.end)
    left = max((m.end() for m in _CLAUSE.finditer(text, 0, start)), default=0)
    right = _CLAUSE.search(text, end)
    stop = right.start() if right else len(text)
    if type == "DISLIKES" and _UNLIKED.search(text, left, stop):
        return False
    if _ENDS.search(text, left, stop):
        return True
    own = _ENDS_OF.get(type)
    if own is None or not own.search(text, left, stop):
        return False
    # "He sold his car and bought a boat": what stands last before the boat begins something.
    last = max((m.end() for m in own.finditer(text, left, start)), default=-1)
    begun = max((m.end() for m in _BEGINS.finditer(text, left, start)), default=-1)
    return last >= begun


def _liking(text: str, head: Entity, tail: Entity, type: str, left: int) -> Claim | None:
    said = text[min(left, tail.start) : tail.start]
    if _ALLERGIC.search(said):
        return None
    if _INSATIABLE.search(said):
        return Claim("LIKES")
    if type == "DISLIKES":
        if _NO_DISLIKING.search(said):
            return None
        return Claim(type, 1 if ended(text, head, tail, type) else 0)
    if ended(text, head, tail, type):
        return Claim(type, 1)
    if re.search(r"\bnot\s+(?:the\s+)?$", said, _I):
        return None  # "I like tea but not coffee"
    return Claim("DISLIKES") if _NO_LIKING.search(said) else Claim(type)


def _denied(before: str) -> bool:
    # "She doesn't like tea but owns a cafe": what has a verb of its own is not denied with the rest.
    last = re.split(r"\b(?:and|but|then)\b", before, flags=_I)[-1]
    return bool(_NOT.search(_NOT_SO.sub(" ", last if len(last.split()) > 1 else before)))
