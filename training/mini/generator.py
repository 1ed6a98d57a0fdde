"""Dialogues that need in-context recall, each question with the answer that the text holds.

Standard library only, deterministic in (seed, split, target_tokens, mode):

    from training.mini import generator
    messages = generator.dialogue(7, target_tokens=2000, split="heldout")

A message is {"role", "content"}; an assistant message also has "kind" (the sort of fact, or "ack",
"filler", "self", "outside", "never") and "answer", the strings an exact reply must hold ([] where
nothing is recalled).
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from training.mini import facts, talk
from training.mini.facts import Form
from training.mini.names import ANIMALS, LISTS, Pool

CHARS_PER_TOKEN = 3.72  # of message text; measured with the trained tokenizer
OVERHEAD = 18  # characters that stand for one message's ChatML marks
THINGS = {"project": facts.PROJECT, "server": facts.SERVER, "company": facts.COMPANY}
COMMON = {"name": 12, "work": 9, "home": 9}  # others: 1 where there are many of a sort, else 3
RARE = {
    *facts.RELATIVES,
    *facts.NUMBERS,
    *facts.DATES,
    *(f"favourite {x}" for x in facts.FAVOURITES),
}
ASKED_MOST = [COMMON.get(f.key, 1 if f.key in RARE else 3) for f in facts.ME]
NOT_RECALL = ("ack", "filler", "self", "outside", "never", "recap")
RECAP_MOST = 30  # facts; longer recaps would crowd everything else out of a training context
MODES = ("dense", "dense", "chat", "gap", "speakers", "document")


@dataclass
class Fact:
    """One thing told: who it is about ("me" is the nameless user), how it is put, its value now."""

    form: Form
    owner: str
    subject: str
    value: str
    animal: str = ""

    def say(self, pattern: str) -> str:
        return pattern.format(s=self.subject, v=self.value, a=self.animal)


def upper(s: str) -> str:
    return s[:1].upper() + s[1:]


class Dialogue:
    """Builds one conversation as a list of messages."""

    def __init__(self, rng: random.Random, held: bool) -> None:
        self.r, self.p = rng, Pool(rng, held)
        self.msgs: list[dict] = []
        self.facts: dict[tuple[str, str, str], Fact] = {}
        self.chars = 0
        self.persona = ""
        self.people: list[str] = []
        self.things: dict[str, list[str]] = {"project": [], "server": [], "company": []}
        self.he: dict[str, bool] = {}  # which pronoun somebody goes by
        self.lower = False  # a user who never types a capital
        self.speakers: list[str] = []  # named users of this conversation; empty: one nameless user
        self.speaker = "me"
        self.mark = "[from {n}] {t}"

    # -- writing --

    def user(self, text: str) -> None:
        if self.lower:
            text = text.lower()
        if self.speakers:
            text = self.mark.format(n=self.speaker, t=text)
        elif self.persona and self.r.random() < 0.08:
            text = f"@{self.persona} {text}"
        self._add({"role": "user", "content": text})

    def reply(self, text: str, kind: str, answer: list[str] | None = None) -> None:
        self._add(
            {"role": "assistant", "content": upper(text), "kind": kind, "answer": answer or []}
        )

    def _add(self, m: dict) -> None:
        self.msgs.append(m)
        self.chars += len(m["content"]) + OVERHEAD

    def style(self, s: str, names: bool = True) -> str:
        """As people type: mostly proper, sometimes without capitals or the mark."""
        roll = self.r.random()
        if not names and roll < 0.2:
            return s.lower().rstrip("?." if roll < 0.1 else "")
        if roll < 0.7:
            return upper(s)
        return s.rstrip("?.") if roll < 0.82 else s

    # -- facts --

    def value(self, form: Form) -> str:
        return self.case(
            self.p.pick(form.value) if form.value in LISTS else getattr(self.p, form.value)()
        )

    def case(self, name: str) -> str:
        return name.lower() if self.lower else name

    def other(self) -> str:
        if len(self.people) < 2 or (self.r.random() < 0.35 and len(self.people) < 60):
            self.people.append(self.case(self.p.person()))
        return self.r.choice(self.people)

    def new_fact(self) -> Fact | None:
        r = self.r
        for _ in range(20):
            if r.random() < 0.24:
                sort = r.choice(("project", "project", "server", "company"))
                have = self.things[sort]
                if not have or r.random() < 0.5:
                    have.append(self.case(self.p.org() if sort == "company" else self.p.project()))
                form, owner = r.choice(THINGS[sort]), r.choice(have)
            elif r.random() < (0.25 if self.speakers else 0.55):
                form, owner = r.choice(facts.OTHER), self.other()
            else:
                form, owner = r.choices(facts.ME, ASKED_MOST)[0], self.speaker
                if form.key == "name" and self.speakers:
                    continue
            animal = r.choice(ANIMALS) if form.key == "pet" else ""
            if (owner, form.key, animal) in self.facts:
                continue
            f = Fact(form, owner, owner, self.value(form), animal)
            self.facts[owner, form.key, animal] = f
            return f
        return None

    def next_speaker(self) -> None:
        if self.speakers:
            self.speaker = self.r.choice(self.speakers)

    def telling(self, f: Fact) -> str:
        """A told fact as people put it: plainly, in passing, or with more words after it."""
        r = self.r
        own = f.form in facts.ME
        if own and f.form.key in facts.PASSING and r.random() < 0.2:
            return f.say(r.choice(facts.PASSING[f.form.key].split("|")))
        text = f.say(r.choice(f.form.tell))
        if own and f.form.key in facts.OURS and r.random() < 0.1:
            text = re.sub(r"^my ", "our ", re.sub(r"^I (?=live|moved)", "we ", text))
        if r.random() < 0.12 and text.endswith(f.value):
            text += r.choice(
                facts.TAILS[f.form.key if own and f.form.key in facts.TAILS else ""].split("|")
            )
        return text

    def one_more(self, f: Fact) -> Fact | None:
        """Another fact about the one whom `f` is about."""
        forms = next(g for g in (facts.ME, facts.OTHER, *THINGS.values()) if f.form in g)
        free = [
            x
            for x in forms
            if (f.owner, x.key, "") not in self.facts and x.key not in ("pet", "name")
        ]
        if not free:
            return None
        form = self.r.choice(free)
        g = Fact(form, f.owner, f.subject, self.value(form))
        self.facts[g.owner, form.key, ""] = g
        return g

    def tell_about(self) -> None:
        """Two or three facts about one person or thing in a sentence, the subject named once."""
        first = self.new_fact()
        if first is None:
            return self.filler()
        told = [first]
        for _ in range(self.r.choice((1, 1, 2))):
            more = self.one_more(first)
            if more:
                told.append(more)
        text = self.telling(first)
        for i, f in enumerate(told[1:]):
            joint = " and " if i == len(told) - 2 else ", "
            text += joint + self.elided(f.say(self.r.choice(f.form.tell)), f, text)
        self.user(self.style(text) + self.r.choice((".", ".", "", "!")))
        said = " ".join(upper(f.say(f.form.answer)) for f in told)
        self.reply(self.r.choice(("Got it. ", "Noted. ", "Thanks. ", "Okay. ")) + said, "ack")

    def elided(self, text: str, f: Fact, before: str) -> str:
        """`text` as people go on after `before`: no subject, or a pronoun in its place."""
        r = self.r
        if f.form in facts.ME:
            drop = text.startswith("I ") and before.startswith(("I ", "I'm "))
            return text[2:] if drop and r.random() < 0.8 else text
        whole = r"(?:project |server )?" + re.escape(f.subject)
        if f.form in facts.OTHER:
            he = self.he.setdefault(f.subject, r.random() < 0.5)
            if re.match(rf"{whole} ", text):
                gone = before.startswith(f.subject + " ") and r.random() < 0.6
                return re.sub(rf"^{whole} ", "" if gone else "he " if he else "she ", text)
            return re.sub(rf"^{whole}'s ", "his " if he else "her ", text)
        text = re.sub(rf"^the (\w+(?: office)?) of {whole}", r"its \1", text)
        return re.sub(rf"^{whole} ", "it ", text)

    def tell(self) -> None:
        r = self.r
        self.next_speaker()
        if r.random() < 0.25:
            return self.tell_about()
        told = [f for f in (self.new_fact() for _ in range(r.choice((1, 1, 1, 2, 2, 3)))) if f]
        if not told:
            return self.filler()
        told.sort(key=lambda f: f.form.key != "name")  # people give their name first
        s = [self.telling(f) for f in told]
        if len(s) == 1 or r.random() < 0.5:
            text = self.style(
                " and ".join(s)
                if len(s) == 2
                else ", ".join(s[:-1]) + r.choice((", ", " and ")) + s[-1]
                if len(s) > 2
                else s[0]
            ) + r.choice((".", ".", ".", "", "!"))
        else:
            text = ". ".join(upper(x) for x in s) + "."
        if len(self.msgs) < 2 or r.random() < 0.15:
            text = upper(r.choice(talk.GREET)) + r.choice((", ", "! ", ". ", ", ", " ")) + text
        elif r.random() < 0.25:
            text = (
                r.choice(
                    (
                        "By the way, ",
                        "Also, ",
                        "Remember: ",
                        "Just so you know, ",
                        "Note that ",
                        "Oh, ",
                        "Please remember that ",
                    )
                )
                + text
            )
        if r.random() < 0.1:
            text += " " + self.fill_sentence()
        self.user(text)
        said = " ".join(upper(f.say(f.form.answer)) for f in told)
        self.reply(r.choice(("Got it. ", "Noted. ", "Thanks. ", "Okay. ")) + said, "ack")

    def correct(self) -> None:
        r = self.r
        own = [f for f in self.facts.values() if f.form.key != "name" and f.form.value]
        if not own:
            return self.tell()
        f = r.choice(own)
        self.next_speaker()
        if f.owner in self.speakers and f.form in facts.ME:
            self.speaker = f.owner  # "my" and "I" are the owner's words
        old, f.value = f.value, self.value(f.form)
        if f.value == old:
            return
        t = f.say(r.choice(f.form.tell))
        self.user(
            r.choice(
                (
                    "Actually, {t}, not {o}.",
                    "Correction: {t}.",
                    "Sorry, I was wrong: {t}.",
                    "Wait, {t}.",
                    "No, {t}.",
                    "Update: {t} now.",
                    "Actually {t}.",
                    "I made a mistake, {t}.",
                )
            ).format(t=t, o=old)
        )
        self.reply(r.choice(("Got it. ", "Corrected. ", "Thanks. ")) + f.say(f.form.answer), "ack")

    def make_list(self) -> None:
        r = self.r
        self.next_speaker()
        name, words = r.choice(facts.LISTS)
        key = (self.speaker, name, "")
        if key in self.facts:
            return self.ask(self.facts[key])
        count = r.randint(2, 4)
        if words == "person":
            items = [self.case(self.p.person()) for _ in range(count)]
        else:
            items = r.sample(LISTS[words], count)
        text = ", ".join(items[:-1]) + " and " + items[-1]
        form = facts.GROUPS.get(name) or Form(
            name,
            "",
            (f"my {name} is {{v}}", f"on my {name} are {{v}}", f"please keep my {name}: {{v}}"),
            (
                f"what is on my {name}?",
                f"what's on my {name}?",
                f"read me my {name}",
                f"what was on my {name}?",
            ),
            f"Your {name}: {{v}}.",
        )
        f = self.facts[key] = Fact(form, self.speaker, self.speaker, text)
        said = f.say(r.choice(form.tell)).replace("{n}", ("two", "three", "four")[count - 2])
        self.user(self.style(said) + ".")
        self.reply("Got it. " + f.say(form.answer), "ack")

    def notes(self, n: int, filler: int = 0) -> None:
        """One long user message with n facts and about `filler` characters of talk between them."""
        r = self.r
        self.next_speaker()
        lines: list[str] = []
        for _ in range(n):
            f = self.new_fact()
            if f:
                lines.append(upper(self.telling(f)) + ".")
            while (
                filler
                and sum(map(len, lines)) < filler * (len(lines) / max(1, n))
                and r.random() < 0.8
            ):
                lines.append(self.fill_sentence())
            if r.random() < 0.15:
                lines.append(self.fill_sentence())
        sep = r.choice((" ", "\n", "\n- "))
        self.user(
            r.choice(
                (
                    "Notes:",
                    "Here are some facts:",
                    "Please remember this:",
                    "Facts:",
                    "Meeting notes:",
                )
            )
            + sep
            + sep.join(lines)
        )
        self.reply("I will remember these notes.", "ack")

    # -- questions --

    def ask(self, f: Fact | None = None) -> None:
        r = self.r
        if not self.facts:
            return self.tell()
        if f is None:
            fs = list(self.facts.values())
            f = (
                r.choice(fs) if r.random() < 0.5 else fs[int(len(fs) * r.random() ** 2)]
            )  # old ones more often
        form = f.form
        kind = form.key if f.owner in ("me", *self.speakers) else form.key + " of other"
        third = next((o for o in facts.OTHER if o.key == form.key), None)
        if f.owner in self.speakers and form not in facts.OTHER:
            self.speaker = r.choice(self.speakers)
            if (
                self.speaker != f.owner
            ):  # asked by the other speaker: in the third person, where there is such a form
                if third is None:
                    self.speaker = f.owner
                else:
                    form = third
        else:
            self.next_speaker()
        q = r.choice(form.ask).format(s=f.subject, a=f.animal)
        bare = f.owner == "me"
        if r.random() < 0.15:
            q = (
                r.choice(
                    (
                        "do you remember ",
                        "can you tell me ",
                        "please tell me ",
                        "tell me, ",
                        "and ",
                        "so, ",
                    )
                )
                + q
            )
        self.user(self.style(q, names=not bare))
        self.reply(form.answer.format(s=f.subject, v=f.value, a=f.animal), kind, [f.value])

    def ask_all(self) -> None:
        """ "What do you know about me?", while there is little to tell."""
        mine = [f for f in self.facts.values() if f.owner == "me"]
        if self.speakers or not 1 <= len(mine) <= 4:
            return self.ask()
        self.user(
            self.style(
                self.r.choice(
                    (
                        "what do you know about me?",
                        "what did I tell you about me?",
                        "what do you remember about me?",
                        "tell me what you know about me",
                    )
                ),
                names=False,
            )
        )
        self.reply(
            " ".join(upper(f.say(f.form.answer)) for f in mine), "summary", [f.value for f in mine]
        )

    def recap(self) -> None:
        """Everything told so far as questions with their answers, in any order.

        The engine asks for this before it compacts a conversation, and samples several: the queries
        of the answers are those of later questions, so they tell which keys matter ("self-study" of
        the paper).
        """
        if self.speakers or not 1 <= len(self.facts) <= RECAP_MOST:
            return self.ask()
        r = self.r
        self.user(self.style(r.choice(talk.RECAP), names=False))
        told = r.sample(list(self.facts.values()), len(self.facts))
        said = [
            upper(r.choice(f.form.ask).format(s=f.subject, a=f.animal))
            + " "
            + upper(f.say(f.form.answer))
            for f in told
        ]
        self.reply(" ".join(said), "recap", [f.value for f in told])

    def ask_unknown(self) -> None:
        r = self.r
        self.next_speaker()
        for _ in range(20):
            form, owner = r.choice(facts.ME), self.speaker
            if r.random() < 0.5:
                form, owner = (
                    r.choice(facts.OTHER),
                    r.choice(self.people)
                    if self.people and r.random() < 0.6
                    else self.case(self.p.person()),
                )
            elif self.speakers and form.key == "name":
                continue
            animal = r.choice(ANIMALS) if form.key == "pet" else ""
            if (owner, form.key, animal) in self.facts:
                continue
            self.user(self.style(r.choice(form.ask).format(s=owner, a=animal), names=owner != "me"))
            self.reply(form.unknown().format(s=owner, a=animal), "never", [facts.NEVER])
            return

    # -- talk --

    def fill_sentence(self) -> str:
        r = self.r
        if r.random() < 0.25:
            return upper(r.choice(talk.ACTS) + r.choice(talk.FILL_TAIL) + ".")
        return upper(
            r.choice(talk.FILL_SUBJ)
            + " "
            + r.choice(talk.FILL_VERB)
            + r.choice(talk.FILL_TAIL)
            + "."
        )

    def filler(self, long: bool = False) -> None:
        r = self.r
        self.next_speaker()
        if not long and r.random() < 0.2:
            self.user(self.style(r.choice(talk.MOOD)) + r.choice(("", ".", "!")))
        else:
            n = r.randint(6, 25) if long else r.choice((1, 1, 2, 3))
            self.user(" ".join(self.fill_sentence() for _ in range(n)))
        self.reply(r.choice(talk.REPLIES), "filler")

    def identity(self) -> None:
        r = self.r
        self.next_speaker()
        roll = r.random() * (0.7 if self.persona else 1.0)
        if roll < 0.4:
            self.user(self.style(r.choice(talk.WHO), names=False))
            me = (
                f"I'm {self.persona}, running on halo-mini, a small demo model."
                if self.persona
                else "I'm halo-mini, a small demo model."
            )
            self.reply(me, "self", [self.persona or "halo-mini"])
        elif roll < 0.62:
            self.user(self.style(r.choice(talk.CAN), names=False))
            self.reply(talk.CAN_ANSWER, "self")
        elif roll < 0.74:
            self.user(self.style(r.choice(talk.HOW), names=False))
            self.reply(talk.HOW_ANSWER, "self")
        elif roll < 0.88:
            self.user(self.style(r.choice(talk.THANKS), names=False) + r.choice(("", "!", ".")))
            self.reply("You're welcome.", "self")
        else:
            self.user(self.style(r.choice(talk.BYE), names=False) + r.choice(("", "!", ".")))
            self.reply("Goodbye!", "self")

    def greet(self) -> None:
        self.next_speaker()
        self.user(
            self.style(self.r.choice(talk.GREET), names=False) + self.r.choice(("", "!", "."))
        )
        self.reply(talk.HELLO, "self")

    def outside(self) -> None:
        r = self.r
        self.next_speaker()
        n = r.choice(talk.COUNTRIES) if r.random() < 0.7 else upper(self.p.word(2))
        w, w2 = (r.choice(talk.WORDS) if r.random() < 0.7 else self.p.word(2) for _ in range(2))
        pick = {
            k: r.choice(LISTS[v]) for k, v in {"l": "lang", "f": "food", "m": "machine"}.items()
        }
        q = r.choice(talk.OUTSIDE).format(
            n=n, w=w, w2=w2, a=r.randint(2, 99), b=r.randint(2, 99), y=r.randint(1900, 2030), **pick
        )
        self.user(self.style(q))
        self.reply(talk.OUTSIDE_ANSWER, "outside", ["don't know"])


def _system(d: Dialogue) -> None:
    s = d.r.choice(talk.SYSTEMS)
    if "{n}" in s:
        d.persona = d.p.person()
    d._add(
        {
            "role": "system",
            "content": s.format(
                n=d.persona, o=f"{d.p.person()} and {d.p.person()}" if "{o}" in s else ""
            ),
        }
    )


def dialogue(
    seed: int,
    *,
    target_tokens: int,
    split: str = "train",
    mode: str | None = None,
    told: int = 0,
) -> list[dict]:
    """One conversation of about `target_tokens` tokens; "gap" and "document" tell `told` facts,
    0 = one in about 90 tokens.

    Modes: "dense" and "chat" mix telling and asking; "gap" and "document" tell everything first, talk
    for most of the length, then ask; "speakers" has named people whose facts must be kept apart.
    """
    if split not in ("train", "heldout"):
        raise ValueError(f"no split {split!r}")
    target = int(target_tokens * CHARS_PER_TOKEN)
    r = random.Random(f"{split}-{seed}")
    d = Dialogue(r, split == "heldout")
    if r.random() < 0.5:
        _system(d)
    d.lower = r.random() < 0.1
    mode = mode or r.choice(MODES)
    if mode in ("gap", "document"):
        n = told or max(3, min(40, target // 300))
        if mode == "document" or r.random() < 0.3:
            d.notes(n, target // 2 if mode == "document" else 0)
        while len(d.facts) < n:
            d.make_list() if r.random() < 0.04 else d.tell()
        if r.random() < 0.4:
            d.correct()
        while d.chars < target * 0.75:
            if r.random() < 0.92:
                d.filler(long=target > 2500 and r.random() < 0.5)
            else:
                r.choice((d.outside, d.identity))()
        if r.random() < 0.5:
            d.recap()
        while d.chars < target:
            d.ask() if r.random() < 0.8 else d.ask_unknown()
        return d.msgs
    if mode == "speakers":
        d.lower = False
        d.speakers = [d.p.person() for _ in range(r.choice((2, 2, 3)))]
        d.mark = r.choice(("[from {n}] {t}", "[from {n}] {t}", "{n}: {t}", "[{n}] {t}"))
        d.next_speaker()
    acts = [
        d.tell,
        d.ask,
        lambda: d.filler(long=target > 4000 and r.random() < 0.5),
        d.correct,
        d.ask_unknown,
        d.make_list,
        d.identity,
        d.outside,
        d.ask_all,
        d.recap,
    ]
    w = (22, 26, 16, 5, 9, 3, 9, 10, 3, 2) if mode == "chat" else (30, 40, 4, 5, 9, 3, 3, 4, 2, 4)
    if r.random() < 0.15:
        d.greet()
    if r.random() < 0.88:  # the rest open with anything
        d.tell()
    while d.chars < target:
        if len(d.facts) > 45 and r.random() < 0.5:
            r.choice((d.ask, d.filler))()
        else:
            r.choices(acts, w)[0]()
    return d.msgs


def main() -> None:
    import argparse

    ap = argparse.ArgumentParser(description="Prints generated dialogues.")
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--tokens", type=int, default=400)
    ap.add_argument("--split", default="train")
    ap.add_argument("--mode", choices=sorted(set(MODES)))
    a = ap.parse_args()
    for m in dialogue(a.seed, target_tokens=a.tokens, split=a.split, mode=a.mode):
        print(
            f"{m['role']:9} | {m['content']}"
            + (f"   [{m['kind']}] {m['answer']}" if "kind" in m else "")
        )


if __name__ == "__main__":
    main()
