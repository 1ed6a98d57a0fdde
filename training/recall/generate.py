"""Writes generated conversations for `halo-tui bench recall`.

    python -m training.recall.generate --set held-out --seed 1 --out held-out.json

Two friends talk on many days. The topics that are asked about come up a few times each, by either
of them and with other names, between many that are not, so that the right turn has to be told from
similar ones. Questions are worded unlike turns; a third of them name nothing but a person.
"""

from __future__ import annotations

import argparse
import json
import random
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from training.recall.topics import DEV, HELD_OUT, SLOTS, SMALL_TALK

TIMES = 3  # each asked topic comes up
PEOPLE = [
    ("Caleb", "Noor"), ("Ruth", "Emil"), ("Tessa", "Grant"), ("Yusuf", "Clara"), ("Ivy", "Hugo"),
]  # fmt: skip


class Maker:
    """One conversation."""

    def __init__(
        self, asked: list[dict[str, Any]], others: list[dict[str, Any]], seed: int
    ) -> None:
        self.random = random.Random(seed)
        # One of three topics is asked about.
        self.topics = [(topic, True) for topic in asked * TIMES]
        self.topics += [(self.random.choice(others), False) for _ in range(2 * len(self.topics))]
        self.random.shuffle(self.topics)
        self.people = self.random.choice(PEOPLE)
        self.sessions: list[dict[str, Any]] = []
        self.questions: list[dict[str, Any]] = []
        self._left: dict[str, list[str]] = {}

    def slot(self, name: str) -> str:
        """A value that was not used lately."""
        if name in ("when", "soon", "number", "month", "colour"):
            return self.random.choice(SLOTS[name])
        left = self._left.setdefault(name, [])
        if not left:
            left += self.random.sample(SLOTS[name], len(SLOTS[name]))
        return left.pop()

    def make(self) -> dict[str, Any]:
        day = date(2023, 1, 9)
        number = 0
        while self.topics:
            number += 1
            day += timedelta(self.random.randint(3, 21))
            turns: list[dict[str, str]] = []
            self._talk(number, turns)
            for _ in range(min(len(self.topics), self.random.randint(3, 5))):
                self._topic(number, turns, *self.topics.pop())
                if self.random.random() < 0.5:
                    self._talk(number, turns)
            self.sessions.append({"id": f"S{number}", "date": day.isoformat(), "turns": turns})
        return {"sessions": self.sessions, "questions": self.questions}

    def _say(self, number: int, turns: list[dict[str, str]], speaker: str, text: str) -> str:
        turn = {"id": f"D{number}:{len(turns) + 1}", "speaker": speaker, "text": text}
        turns.append(turn)
        return turn["id"]

    def _talk(self, number: int, turns: list[dict[str, str]]) -> None:
        one, other = self.random.sample(self.people, 2)
        names = {"S": one, "F": other}
        for speaker, text in zip((one, other), self.random.choice(SMALL_TALK), strict=True):
            self._say(number, turns, speaker, text.format(**names))

    def _topic(
        self, number: int, turns: list[dict[str, str]], topic: dict[str, Any], asked: bool
    ) -> None:
        owner, friend = self.random.sample(self.people, 2)
        values = {"S": owner, "F": friend}
        chosen = [(who, self.random.choice(texts)) for who, texts in topic["turns"]]
        for name in SLOTS:
            values[name] = self.slot(name) if any(f"{{{name}}}" in t for _, t in chosen) else ""
        ids = []
        for who, text in chosen:
            said = text.format(**values)
            said = said[0].upper() + said[1:]
            ids.append(self._say(number, turns, owner if who == "o" else friend, said))
        for wordings, evidence in topic["questions"] if asked else ():
            said = " ".join(chosen[i][1] for i in evidence) + " " + chosen[0][1] + chosen[1][1]
            fitting = [
                w for w in wordings
                if all(values[n] for n in SLOTS if f"{{{n}}}" in w)
                and all(f"{{{n}}}" in said for n in SLOTS if f"{{{n}}}" in w)
            ]  # fmt: skip
            if fitting:
                question = self.random.choice(fitting).format(**values)
                self.questions.append(
                    {"question": question, "evidence": [ids[i] for i in evidence]}
                )


def merged(conversation: dict[str, Any]) -> dict[str, Any]:
    """A question that was asked of several topics is one, with the evidence of all of them."""
    evidence: dict[str, list[str]] = {}
    for item in conversation["questions"]:
        evidence.setdefault(item["question"], []).extend(item["evidence"])
    questions = [{"question": q, "evidence": list(dict.fromkeys(e))} for q, e in evidence.items()]
    return {**conversation, "questions": questions}


def generate(name: str, seed: int) -> dict[str, Any]:
    """A conversation of the dev or the held-out topics."""
    asked, others = (DEV, HELD_OUT) if name == "dev" else (HELD_OUT, DEV)
    return merged(Maker(asked, others, seed).make())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", choices=["dev", "held-out"], default="held-out")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    made = generate(given.set, given.seed)
    given.out.write_text(json.dumps(made, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
