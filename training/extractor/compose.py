"""Composes sentences from the phrases of `frames`: subjects, tenses, clauses, lists, questions, hedges.

What comes out has the form of `templates`: a text with slots, and what it claims. A sentence that
holds a template kept for the held-out split is never made on the training side.
"""

from __future__ import annotations

import random
import re

from training.extractor import frames, templates

Claims = list[tuple[str, str, str]]
VERB = re.compile(r"\[(\w[\w-]*)\]")
SPOKEN = {"I": ("my", "me", "myself"), "we": ("our", "me", "ourselves"), "you": ("your", "you", "yourself")}  # fmt: skip

INTRO = """I heard that |it turns out |apparently |as far as I know, |someone told me |the news is that |guess what: |
fun fact: |I found out that |rumour has it that |let me add that |it's true that |for the record, |I should mention that |
not sure you know, but |everyone knows that |remember that |FYI |update: |we were told that |I just learned that |
did I tell you that |you should know that |one more thing: |to be clear, |honestly, |it seems |it looks like |I'm told |
just so you remember: |good news: |bad news: |last thing: |please note: |as I said, |in case it matters, |these days |
nowadays |meanwhile |so basically |for your information, |I realised that |they say |I can confirm that |no kidding, |
as you may know, |the thing is, |to answer you: |yes, |no, |right, |sure, |well yes, |my notes say |I read that |
as of today, |to my surprise |finally |luckily |sadly |of course |in fact, |at the moment |long story short: """.replace(
    "\n", ""
).split("|")
TOLD = ("{n} told me that ", "{n} says ", "according to {n}, ", "{n} mentioned that ", "I heard from {n} that ",
        "{n} said that ", "{n} thinks ", "{n} is sure that ")  # fmt: skip
OUTRO = (""" now| these days|, I think|, you know| as far as I know|, by the way| at the moment|, which is nice|, finally|
, believe it or not|, apparently| after all|, so they say|, for what it's worth|, just saying|, to be honest| as well|
 too|, as always|, of course|, so keep that in mind|, which surprised me|, which is a pity| again|, thanks for asking|
, as I told you before|, in case you wonder|, and that matters|, so I heard|, if I remember correctly|, at least for now"""
         .replace("\n", "").split("|"))  # fmt: skip
TAGS = (
    ", right?",
    ", isn't that so?",
    ", remember?",
    ", did you know?",
    ", you know that?",
    ", correct?",
)
HEDGE = """I wonder if |I wonder whether |maybe |perhaps |I doubt that |if only |what if |I'm not sure whether |
nobody knows if |ask whether |suppose |imagine |it would be odd if |I can't say whether |find out if |let me know if """.replace(
    "\n", ""
).split("|")
WHEN = ("when {c}, {f}", "since {c}, {f}", "because {c}, {f}", "now that {c}, {f}", "after {c}, {f}",
        "{f} because {c}", "{f} since {c}", "ever since {c}, {f}", "although {c}, {f}", "{f}, even though {c}",
        "as {c}, {f}")  # fmt: skip
FILLER = """we see each other less|everything is easier|life is good|things got quiet|we talk more|nobody complains|
it all makes sense|there is a lot to do|I sleep better|the mood is good|it takes longer|we need a new plan|
the weekends are busy|the bills are higher|we laughed a lot|that was a surprise|I was impressed|it is worth a note|
the plan has changed|we need to talk|I had to smile|it works well|the results are better|we are happy with it""".replace(
    "\n", ""
).split("|")
JOBS = """a nurse|a teacher|an engineer|a plumber|an artist|a retired pilot|my age|a quiet person|the tall one|a good cook|
the new one|an old friend of the family|a student|a lawyer|the one with the beard|always on time""".replace(
    "\n", ""
).split("|")
ADJUNCTS = """ since {d}| in {d}| for {q}| every day| for now| for ages| since {d}| most of the time| all day| a lot| once more|
 on weekdays| from time to time| without telling anyone| for fun| already| until {d}| with great pleasure| with a friend|
 next to everything else| on the side| to relax| for years| twice| this year""".replace(
    "\n", ""
).split("|")
TECH_ADJUNCTS = """ by {q}| on {hw}| in practice| out of the box| by a lot| in version 2| in most cases| on paper| under load|
 at batch size one| for long prompts| since {d}| in {d}| without extra cost| by default| on every machine| in our tests|
 to some degree| on {hw}| at run time| for free| on large inputs""".replace("\n", "").split("|")
# Said of a person who is called he or she then.
BEFORE = (
    "{p} called yesterday. ", "{p} was here. ", "{p} is nice. ", "do you remember {p}? ", "let me tell you about {p}. ",
    "{p} says hi. ", "you know {p}: ", "{p} wrote to me. ", "I like working with {p}. ", "{p} is a nurse. ",
)  # fmt: skip
KIN = """sister brother son daughter mother father wife husband cousin uncle aunt grandmother nephew niece""".split()
FRIENDS = """friend colleague neighbour boss flatmate teacher coach dentist manager mate doctor landlord""".split()
TECH = frozenset("hw gf ot al sf pm mp ko ma co ds rp".split())
FIRM = frozenset(("IMPROVES", "COULD_IMPROVE"))  # a hedge makes one of the other


def canonical(text: str) -> str:
    """A template's wording, whatever its slots are numbered."""
    return re.sub(r"(?<=[a-zA-Z])\d(?=\})", "", text).lower()


class Composer:
    """Endless templates of one split; `mine(text)` says which phrases belong to it."""

    def __init__(  # type: ignore[no-untyped-def]
        self, r: random.Random, mine, barred: list[str], unseen: set[tuple[str, frozenset[str]]]
    ) -> None:
        self.r = r
        self.barred = [canonical(text) for text in barred]
        for block, kind in ((frames.FACTS, "facts"), (frames.TECHNICAL, "technical")):
            lines = []
            for name, heads, tails, phrases in frames.parse(block):
                kept = [
                    p for p in phrases if mine(f"{name} {p}") and (name, wording(p)) not in unseen
                ]
                if kept:
                    lines.append((name, heads, tails, kept))
            setattr(self, kind, lines)
        self.counts: dict[str, int] = {}

    def slot(self, key: str) -> str:
        """A slot of its own for one more value of this kind."""
        n = self.counts.get(key, 0) + 1
        self.counts[key] = n
        return key if n == 1 else f"{key}{n}"

    def sentence(self, technical: bool) -> tuple[str, Claims]:
        """Text with slots and what it claims."""
        for _ in range(20):
            self.counts = {}
            text, claims = self._sentence(technical)
            plain = canonical(text)
            if not any(b in plain for b in self.barred) and max(self.counts.values()) < 10:
                return text, claims
        return "{p} said hello", []

    def _line(self, technical: bool) -> tuple[str, list[str], list[str], list[str]]:
        lines = self.technical if technical else self.facts  # type: ignore[attr-defined]
        return self.r.choice(lines)

    def _sentence(self, technical: bool) -> tuple[str, Claims]:
        r = self.r
        name, heads, tails, phrases = self._line(technical)
        phrase = r.choice(phrases)
        key = r.choice(heads)
        subject, slots, person = self._subject(key, technical)
        extra: Claims = []
        before = ""
        if key == "p" and person == 3 and len(slots) == 1:
            subject, before, more = self._dressed(subject, slots[0])
            extra += more
        text, claims, adjunct = self._clause(name, phrase, tails, key, subject, slots, person)
        if phrase.startswith("=") or before:
            return self._framed(before + text + adjunct, claims + extra, name)
        roll = r.random()
        verb = VERB.match(phrase)
        plain = verb is not None and verb[1] not in frames.MODAL and " not " not in phrase[:12]
        used = phrase.startswith("[use] to ")
        if roll < 0.07 and plain and not used and name not in FIRM:  # a question claims nothing
            return self._question(phrase, tails, key, subject, person), extra
        if roll < 0.11 and plain and not used and name not in FIRM:
            return self._denied(name, phrase, tails, key, subject, slots, person, extra)
        if roll < 0.22:  # "works at A and lives in B"
            other, heads2, tails2, phrases2 = self._line(technical)
            phrases2 = [p for p in phrases2 if not p.startswith("=")]
            if key in heads2 and phrases2:
                second, more, end = self._clause(
                    other, r.choice(phrases2), tails2, key, "", slots, person
                )
                joint = r.choice((" and ", " but ", " and ", ", and also ", " and then "))
                return self._framed(
                    f"{text}{adjunct}{joint}{second.strip()}{end}", claims + more + extra, name
                )
        if roll < 0.27 and person == 3 and len(slots) == 1 and subject.startswith("{"):
            other, heads2, tails2, phrases2 = self._line(technical)
            phrases2 = [p for p in phrases2 if not p.startswith("=")]
            if key in heads2 and phrases2:
                second, more, end = self._clause(
                    other, r.choice(phrases2), tails2, key, "", slots, person
                )
                rest = text[len(subject) :].strip()
                who = "who" if key == "p" else "which"
                return self._framed(
                    f"{subject}, {who} {rest}{adjunct}, {second.strip()}{end}",
                    claims + more + extra,
                    name,
                )
        return self._framed(text + adjunct, claims + extra, name)

    def _subject(self, key: str, technical: bool) -> tuple[str, list[str], int]:
        """Text, slots of those it names, and 1 for "I", 2 for "you" and plurals, 3 otherwise."""
        r = self.r
        if key == "p":
            roll = r.random()
            if roll < 0.36:
                return "{I}", [self.slot("I")], 1
            if roll < 0.43:
                return "{we}", [self.slot("we")], 2
            if roll < 0.48:
                return "{you}", [self.slot("you")], 2
        if r.random() < 0.07:
            a, b = self.slot(key), self.slot(key)
            return f"{{{a}}} and {{{b}}}", [a, b], 2
        a = self.slot(key)
        if technical and r.random() < 0.04:
            return f"our {{{a}}}" if r.random() < 0.5 else f"the new {{{a}}}", [a], 3
        return f"{{{a}}}", [a], 3

    def _dressed(self, subject: str, who: str) -> tuple[str, str, Claims]:
        """A person with something said about them, or told of before and then called he or she."""
        r = self.r
        roll = r.random()
        if roll < 0.06:
            my = r.choice(("my", "our"))
            kin = r.random() < 0.5
            word = r.choice(KIN if kin else FRIENDS)
            return (
                f"{{{my}}} {word} {subject}",
                "",
                [(self.slot(my), "RELATED_TO" if kin else "KNOWS", who)],
            )
        if roll < 0.08:
            o = self.slot("o")
            return f"{subject} from {{{o}}}", "", [(who, "WORKS_AT", o)]
        if roll < 0.1:
            other = self.slot("p")
            kin = r.random() < 0.5
            word = r.choice(KIN if kin else FRIENDS)
            return (
                f"{{{other}}}'s {word} {subject}",
                "",
                [(other, "RELATED_TO" if kin else "KNOWS", who)],
            )
        if roll < 0.13:
            return f"{subject}, {r.choice(JOBS)},", "", []
        if roll < 0.2:
            he = r.choice(("he", "she"))
            start = r.choice(BEFORE)
            return he, start.replace("{p}", subject), []
        return subject, "", []

    def _clause(
        self,
        name: str,
        phrase: str,
        tails: list[str],
        key: str,
        subject: str,
        slots: list[str],
        person: int,
    ) -> tuple[str, Claims, str]:
        """The clause, what it claims, and something to add at its end."""
        r = self.r
        kind = r.choice(tails)
        kind = {"1": key, "P": "p"}.get(kind, kind)
        ends = phrase.endswith("{O}")
        count = r.choice((1,) * 12 + (2, 2, 3)) if ends and kind not in ("d",) else 1
        objects = [self.slot(kind) for _ in range(count)]
        said = [f"{{{o}}}" for o in objects]
        what = (
            said[0]
            if count == 1
            else ", ".join(said[:-1])
            + r.choice((" and ", " and ", " or ", " as well as "))
            + said[-1]
        )
        claims = [(s, name, o) for s in slots for o in objects]
        whole = phrase.startswith("=")
        body = phrase.removeprefix("=")
        tense = self._tense(body, whole)
        if not whole:
            body = "{S} " + body
        body = self._conjugated(body, tense, person)
        mine = self._forms(subject, person, slots)
        for mark, word in zip(("{S's}", "{Sm}", "{Sr}", "{S}"), mine, strict=True):
            body = body.replace(mark, word)
        body = body.replace("{O}", what)
        if person == 1 or slots[0][:2] in ("we", "yo"):  # one pronoun is one mention, in any form
            claims = [(self._spoken(body, s), n, o) for s, n, o in claims]
        adjunct = ""
        if not whole and r.random() < 0.22 and kind != "d":
            adjunct = r.choice(TECH_ADJUNCTS if kind in TECH or key in TECH else ADJUNCTS)
            for mark in ("d", "q", "hw"):
                if f"{{{mark}}}" in adjunct:
                    new = self.slot(mark)
                    adjunct = adjunct.replace(f"{{{mark}}}", f"{{{new}}}")
                    dated = name == "CREATED" or (name in ("PLANS", "VISITED") and kind == "e")
                    if mark == "d" and dated and " in " in adjunct:
                        claims += [(o, "HAPPENED_ON", new) for o in objects]
        elif name == "WORKS_AT" and ends and count == 1 and r.random() < 0.12:
            place = self.slot("l")
            adjunct = f" in {{{place}}}"
            claims.append((objects[0], "LOCATED_IN", place))
        return body, claims, adjunct

    def _spoken(self, body: str, slot: str) -> str:
        """The slot that a pronoun of one who talks has in this clause."""
        base = re.sub(r"\d", "", slot)
        found = [w for w in (base, *SPOKEN[base][:2]) if f"{{{w}}}" in body]
        return found[0] if found else slot

    def _forms(self, subject: str, person: int, slots: list[str]) -> tuple[str, str, str, str]:
        """Possessive, object, reflexive and subject form."""
        base = re.sub(r"\d", "", slots[0])
        if base in SPOKEN and subject.strip("{}") == base:
            own, obj, self_ = SPOKEN[base]
            obj = "{me}" if obj == "me" else f"{{{obj}}}" if obj == "you" else obj
            return f"{{{own}}}", obj, self_, subject
        if subject in ("he", "she"):
            return (
                ("his", "him", "himself", "he")
                if subject == "he"
                else ("her", "her", "herself", "she")
            )
        return f"{subject}'s", subject, "themselves", subject

    def _tense(self, body: str, whole: bool) -> str:
        verb = VERB.search(body)
        if verb is None or verb[1] in frames.MODAL:
            return "present"
        if whole:
            return self.r.choice(("present", "present", "past"))
        if " not " in body[:12] or body.startswith("[do] "):
            return self.r.choice(("present", "present", "past"))
        ways = ["present"] * 10 + ["past"] * 5 + ["perfect"] * 2 + ["will", "going"]
        if verb[1] not in ("be", "have", "know", "like", "own", "belong"):
            ways += ["progressive"] * 2 + ["been"]
        return self.r.choice(ways)

    def _conjugated(self, body: str, tense: str, person: int) -> str:
        r = self.r

        def form(m: re.Match[str]) -> str:
            verb = m[1]
            if verb in frames.MODAL:
                return verb
            if verb == "use" and body[m.end() :].startswith(" to "):
                return "used"
            base, third, past, done, ing = frames.conjugate(verb)
            be = ("am", "are", "is")[person - 1]
            was = ("was", "were", "was")[person - 1]
            have = "has" if person == 3 else "have"
            if verb == "be":
                base, third, past = be if person < 3 else "is", "is", was
            if tense == "past":
                return past
            if tense == "perfect":
                return f"{have} {done}"
            if tense == "progressive":
                return f"{be if r.random() < 0.7 else was} {ing}"
            if tense == "been":
                return f"{have} been {ing}"
            if tense == "will":
                return f"will {verb}"
            if tense == "going":
                return f"{be} going to {verb}"
            return third if person == 3 else base

        text = VERB.sub(form, body)
        if r.random() < 0.6:
            for long, short in (
                ("{S} am ", "{S}'m "), ("{S} are ", "{S}'re "), ("{S} have been", "{S}'ve been"), ("{S} will ", "{S}'ll "),
                (" does not ", " doesn't "), (" do not ", " don't "), (" did not ", " didn't "), (" is not ", " isn't "),
                (" can not ", " can't "), (" was not ", " wasn't "),
            ):  # fmt: skip
                text = text.replace(long, short)
        return text.replace(" can not ", " cannot ")

    def _question(self, phrase: str, tails: list[str], key: str, subject: str, person: int) -> str:
        """ "Does she work at ...?" """
        r = self.r
        kind = r.choice(tails)
        kind = {"1": key, "P": "p"}.get(kind, kind)
        verb = VERB.match(phrase)
        assert verb
        rest = phrase[verb.end() :].replace("{O}", f"{{{self.slot(kind)}}}")
        rest = rest.replace("{Sr}", "themselves")
        if verb[1] == "be":
            start = r.choice((("am", "are", "is"), ("was", "were", "was")))[person - 1]
            return f"{start} {subject}{rest}?"
        start = r.choice(("does" if person == 3 else "do", "did", "will", "should", "can"))
        return f"{start} {subject} {verb[1]}{rest}?"

    def _denied(
        self,
        name: str,
        phrase: str,
        tails: list[str],
        key: str,
        subject: str,
        slots: list[str],
        person: int,
        extra: Claims,
    ) -> tuple[str, Claims]:
        """Said not to be so, or only supposed: nothing is claimed, except by "not like"."""
        r = self.r
        if r.random() < 0.5:
            text, _, adjunct = self._clause(name, phrase, tails, key, subject, slots, person)
            return r.choice(HEDGE) + text + adjunct, extra
        kind = r.choice(tails)
        kind = {"1": key, "P": "p"}.get(kind, kind)
        new = self.slot(kind)
        verb = VERB.match(phrase)
        assert verb
        rest = phrase[verb.end() :].replace("{O}", f"{{{new}}}").replace("{Sr}", "themselves")
        if verb[1] == "be":
            text = f"{subject} {('am', 'are', 'is')[person - 1]} not{rest}"
        else:
            no = r.choice(
                ("doesn't" if person == 3 else "don't", "didn't", "will not", "never did")
            )
            text = f"{subject} {no} {verb[1]}{rest}"
        claims = (
            [(s, "DISLIKES", new) for s in slots]
            if name == "LIKES" and "never" not in text and "will" not in text
            else []
        )
        return text, claims + extra

    def _framed(self, text: str, claims: Claims, name: str) -> tuple[str, Claims]:
        """Said plainly, heard from somebody, as a subordinate clause, with a tag."""
        r = self.r
        roll = r.random()
        if roll < 0.2:
            text = r.choice(INTRO) + text
        elif roll < 0.25:
            text = r.choice(TOLD).replace("{n}", f"{{{self.slot('p')}}}") + text
        elif roll < 0.31 and "?" not in text and ". " not in text:
            text = r.choice(WHEN).replace("{c}", text).replace("{f}", r.choice(FILLER))
        roll = r.random()
        if roll < 0.13:
            text += r.choice(OUTRO)
        elif roll < 0.16:
            text += r.choice(TAGS)
        return text, claims


def barred(held) -> list[str]:  # type: ignore[no-untyped-def]
    """Wordings of the held-out templates."""
    found = []
    for block in (templates.FACTS, templates.TECHNICAL, templates.OPEN):
        found += [text for text, _ in templates.parse(block) if held(text) and "{" in text]
    return found


_BASE = {form: verb for verb, forms in frames.IRREGULAR.items() for form in forms} | {
    "are": "be",
    "were": "be",
    "'m": "be",
    "'re": "be",
}
_SMALL = frozenset("a an the i my me we our you your who he she his her it and".split())


def wording(text: str) -> frozenset[str]:
    """The words of a template or phrase, whoever it is about and whenever: verbs in their base form."""
    text = re.sub(r"\{[^}]*\}('s)?", " ", text.removeprefix("=")).lower()
    found = set()
    for word in re.findall(r"'m|'re|[a-z][a-z-]*(?:'t)?", text):
        word = _BASE.get(word, word)
        if word in _SMALL:
            continue
        for end, new in (
            ("ies", "y"),
            ("ied", "y"),
            ("ing", ""),
            ("ed", ""),
            ("es", ""),
            ("s", ""),
            ("e", ""),
        ):
            if word.endswith(end) and len(word) - len(end) > 2:
                word = word[: -len(end)] + new
                break
        found.add(word)
    return frozenset(found)


def unseen(held) -> set[tuple[str, frozenset[str]]]:  # type: ignore[no-untyped-def]
    """(relation, words) of held-out templates that no training template shares: no phrase may tell them."""
    kept: set[tuple[str, frozenset[str]]] = set()
    seen: set[tuple[str, frozenset[str]]] = set()
    for block in (templates.FACTS, templates.TECHNICAL):
        for text, triples in templates.parse(block):
            for _, name, _ in triples:
                (kept if held(text) else seen).add((name, wording(text)))
    return kept - seen
