"""Recall: words, meaning and the graph together, with scores and sources.

Each retriever scores messages from 0 to 1; the hybrid is their weighted sum, lifted a little by
what stands next to a good message. In a talk a message often says little without those before it
("She recommended it to me"), so both words and vectors count a message's surroundings as well. A
speaker's name in the question is no word to look for, since it stands before half of the messages:
it is taken out, and what that person says is preferred.
"""

from __future__ import annotations

import heapq
import math
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from agents.memory import names, relatives, text
from agents.memory.graph import GraphDB
from agents.memory.hops import Hops, cues
from agents.memory.lexical import Lexical
from agents.memory.registry import Registry
from agents.memory.store import Store
from agents.memory.types import Embedder, Fact, Hit, Recall, said_once
from agents.memory.walk import Walk

Retriever = Literal["bm25", "vector", "graph", "hybrid"]
NEAREST = 200  # messages asked of the vector index
FACTS = 12
ECHOES = 4  # times as many messages are looked at, for what was said to several agents at once
LONGEST_NAME = 6  # words
BRIEF = 4  # words but stop words, from which on a message says enough


@dataclass(frozen=True)
class Weights:
    """How the retrievers are put together; tuned on a generated set (docs/benchmarks.md)."""

    bm25: float = 0.30
    around: float = 0.15  # words of the message and the two before it
    vector: float = 0.45
    window: float = 0.25  # the vector of the message with the two before it
    graph: float = 0.25
    beside: float = 0.10  # share of a neighbouring message's score
    answer: float = 0.15  # lift for who, where, when and how many, where a message says that
    kind: float = 0.20  # the same in the graph alone
    others: float = 0.65  # factor for what others say than whom the question names
    asks: float = 0.70  # factor for messages that only ask
    brief: float = 0.80  # factor for messages without a word; those of BRIEF words count fully
    again: float = 0.70  # factor for a message that was said before with the same words


class Near(dict[str, float]):
    """Scores from 0 to 1, with the cosines they were made of."""

    def __init__(self, scores: dict[str, float], cosines: dict[str, float] | None = None) -> None:
        super().__init__(scores)
        self.cosines = cosines or {}


# "What do you know about Eva?" asks for everything of Eva, and not whom she knows.
_ASKING = re.compile(
    r"\b(?:(?:do|did|does|can|could)\s+(?:you|i|we)\s+(?:\w+\s+)?(?:know|remember|tell|recall)"
    r"|(?:is|was)\s+known|know\s+(?:about|of))\b",
    re.IGNORECASE,
)


class Recaller:
    """Answers questions from one graph. Safe to use from several threads."""

    def __init__(
        self,
        graph: GraphDB,
        registry: Registry,
        embedder: Embedder | None,
        weights: Weights | None = None,
    ) -> None:
        self.graph = graph
        self.registry = registry
        self.embedder = embedder
        self.weights = weights or Weights()
        self.store = Store(graph)
        self.lexical = Lexical(graph)
        self.walk = Walk(graph)
        self.hops = Hops(graph, registry, self.walk, embedder)

    def changed(self, entirely: bool = True) -> None:
        """The graph was changed; not `entirely` when messages were only added."""
        self.lexical.changed()
        self.walk.changed(entirely)

    def recall(
        self,
        question: str,
        k: int = 10,
        spaces: Sequence[str] | None = None,
        as_of: float | None = None,
        people: tuple[str, str] = ("", ""),
    ) -> Recall:
        """Facts and messages that bear on a question, best first.

        `spaces`: where to look (None = everywhere). `people`: names of who asks and who is asked,
        for "I" and "you".
        """
        began = time.monotonic()
        seeds = self.entities_in(question, people)
        visible = self.store.visible(seeds, spaces, as_of)
        seeds = {id: weight for id, weight in seeds.items() if id in visible}
        scores = self.score(question, spaces, as_of, seeds)
        hybrid = self.fuse(question, scores)
        best = sorted(hybrid, key=lambda id: -hybrid[id])[: ECHOES * k]
        ranks = {name: _ranks(found) for name, found in scores.items()}
        sources = self.store.sources(best)
        once = said_once([sources[id] for id in best if id in sources])[:k]
        hits = [
            Hit(
                source,
                round(hybrid[source.message], 4),
                {
                    name: rank[source.message]
                    for name, rank in ranks.items()
                    if source.message in rank
                },
                self._cosines(scores).get(source.message, 0.0) if self.embedder else 1.0,
            )
            for source in once
        ]
        facts = self._facts(self._without_phrases(question, people), seeds, hybrid, spaces, as_of)
        named = sorted(seeds, key=lambda id: -seeds[id])[:8]
        return Recall(
            question,
            tuple(self.store.nodes(named)),
            tuple(facts),
            tuple(hits),
            as_of,
            time.monotonic() - began,
        )

    def rank(
        self, question: str, retriever: Retriever, k: int, now: float | None = None
    ) -> list[str]:
        """Ids of the best messages by one retriever alone, or all together; for measuring."""
        seeds = self.entities_in(question) if retriever in ("graph", "hybrid") else {}
        scores = self.score(question, None, None, seeds, retriever, now)
        found = self.fuse(question, scores) if retriever == "hybrid" else scores[retriever]
        return sorted(found, key=lambda id: -found[id])[:k]

    # --- parts -----------------------------------------------------------------------------------

    def score(
        self,
        question: str,
        spaces: Sequence[str] | None,
        as_of: float | None,
        seeds: dict[str, float],
        only: Retriever = "hybrid",
        now: float | None = None,
    ) -> dict[str, dict[str, float]]:
        """What each retriever makes of the messages, from 0 to 1."""
        scores: dict[str, dict[str, float]] = {}
        moment = now if now is not None else (as_of or time.time())
        self.walk.load()
        bare = self._without_speakers(question)
        if only in ("bm25", "hybrid"):
            found = self.lexical.rank(text.question_terms(bare, moment), spaces, as_of)
            scores["bm25"] = _scaled(found)
            if only == "hybrid":
                scores["around"] = _scaled(self._around(found, spaces, as_of))
        if only in ("vector", "hybrid") and self.embedder is not None:
            vectors = self.embedder.embed([bare, question])
            own = self._nearest("embedding", vectors[0], spaces, as_of)
            window = self._nearest("window", vectors[1], spaces, as_of)
            scores["vector"], scores["window"] = own, window
            if only == "vector":
                w = self.weights
                scores["vector"] = {
                    id: w.vector * own.get(id, 0.0) + w.window * window.get(id, 0.0)
                    for id in own.keys() | window.keys()
                }
        if only in ("graph", "hybrid"):
            scores["graph"] = self._walked(question, bare, seeds, spaces, as_of)
        return scores

    def _walked(
        self,
        question: str,
        bare: str,
        seeds: dict[str, float],
        spaces: Sequence[str] | None,
        as_of: float | None,
    ) -> dict[str, float]:
        """What the graph makes of the messages: a walk from what the question names."""
        ends, lifts = self.hops.follow(bare, seeds, spaces, as_of) if seeds else ({}, {})
        # Everything hangs on who is spoken of all the time, so that says little.
        start = {id: w / math.log2(1 + self.walk.degree(id)) for id, w in {**ends, **seeds}.items()}
        found = _scaled(_best(self.walk.rank(start, spaces, as_of), NEAREST))
        for id, lift in lifts.items():
            found[id] = found.get(id, 0.0) + lift
        wanted = _wanted(question)
        for id in found:
            if wanted & self.walk.kinds.get(id, frozenset()):
                found[id] *= 1 + self.weights.kind
        return _scaled(found)

    def fuse(self, question: str, scores: dict[str, dict[str, float]]) -> dict[str, float]:
        """The weighted sum, with neighbours and speakers."""
        weight = {name: getattr(self.weights, name) for name, found in scores.items() if found}
        total = sum(weight.values()) or 1.0
        mixed: dict[str, float] = {}
        for name, part in weight.items():
            for id, score in scores[name].items():
                mixed[id] = mixed.get(id, 0.0) + part / total * score
        lifted = {}
        asked = self._speakers_in(question)
        wanted = _wanted(question)
        for id, score in mixed.items():
            before, after = self.walk.neighbours(id)
            beside = max(mixed.get(before, 0.0), mixed.get(after, 0.0))
            lifted[id] = score + self.weights.beside * beside
            if wanted & self.walk.kinds.get(id, frozenset()):
                lifted[id] *= 1 + self.weights.answer
            if asked and self.walk.said_by(id) not in asked:
                lifted[id] *= self.weights.others
            lifted[id] *= self._worth(id)
        if self.weights.again < 1:
            seen: set[int] = set()
            for id in sorted(lifted, key=lambda id: -lifted[id]):
                said = self.walk.said.get(id)
                if said is not None:
                    if said.key in seen:
                        lifted[id] *= self.weights.again
                    seen.add(said.key)
        return lifted

    def _worth(self, id: str) -> float:
        """How much of its score a message keeps: greetings and questions answer little."""
        said = self.walk.said.get(id)
        if said is None:
            return 1.0
        w = self.weights
        full = min(1.0, said.words / BRIEF)
        return (w.asks if said.asks else 1.0) * (w.brief + (1 - w.brief) * full)

    def _around(
        self, found: dict[str, float], spaces: Sequence[str] | None, as_of: float | None
    ) -> dict[str, float]:
        """A message's score and those of the two before it, together."""
        summed = dict(found)
        for id, score in found.items():
            at = id
            for _ in range(2):
                at = self.walk.neighbours(at)[1]
                if not at:
                    break
                if self.walk.allowed(at, spaces, as_of):
                    summed[at] = summed.get(at, 0.0) + score
        return summed

    def entities_in(self, question: str, people: tuple[str, str] = ("", "")) -> dict[str, float]:
        """Entities a question speaks of: id -> how surely, from 0 to 1."""
        words = question.replace("’", "'").split()
        found: dict[str, float] = {}
        for size in range(min(LONGEST_NAME, len(words)), 0, -1):
            for at in range(len(words) - size + 1):
                name = " ".join(words[at : at + size])
                key = names.key(name)
                if size == 1 and (key in text.STOP or key in names.PRONOUNS):
                    continue
                for entity in self.registry.named(name):
                    found[entity.id] = max(found.get(entity.id, 0.0), 1.0)
        said = {word.strip("?.,!;:\"'").lower() for word in words}
        for pronouns, name in zip((names.FIRST_PERSON, names.SECOND_PERSON), people, strict=True):
            if name and said & pronouns:
                for entity in self.registry.named(name):
                    found[entity.id] = max(found.get(entity.id, 0.0), 0.7)
        for phrase in relatives.find(question, bare=True):
            found.update(dict.fromkeys(self._meant(phrase, people), 1.0))
        stems = text.terms(question)
        for id, shared in self.registry.with_stems(stems).items():
            told = relatives.stands_for(self.registry.by_id[id].name)
            if told is not None and shared <= set(text.terms(told[0])):
                continue  # who asks for Ada does not ask for "Ada's mum"
            own = self.registry.stems(id)
            rare = sum(1 / (1 + math.log(self.registry.rarity(s))) for s in shared)
            of = sum(1 / (1 + math.log(self.registry.rarity(s))) for s in own)
            part = rare / of if of else 0.0
            if part >= 0.3:
                found[id] = max(found.get(id, 0.0), 0.8 * part)
        return found

    def _without_phrases(self, question: str, people: tuple[str, str]) -> str:
        """A question without who is known by what they are: "Where does my mother live?" asks for a
        place, and not for relatives."""
        for phrase in reversed(relatives.find(question, bare=True)):
            if self._meant(phrase, people):
                question = question[: phrase.start] + question[phrase.end :]
        return question

    def _meant(self, phrase: relatives.Phrase, people: tuple[str, str]) -> list[str]:
        """Who is known by what they are to somebody: "my mum", "Till's girlfriend"."""
        owner = phrase.owner
        if isinstance(owner, relatives.Phrase):
            owners = [self.registry.by_id[id] for id in self._meant(owner, people)]
        elif owner.lower() in names.SECOND_PERSON:
            owners = self.registry.named(people[1]) if people[1] else []
        elif not owner or owner.lower() in names.FIRST_PERSON | names.PLURAL:
            owners = self.registry.named(people[0]) if people[0] else []
        else:
            owners = self.registry.named(owner) or [
                self.registry.by_id[id]
                for id in self.registry.with_stems(text.terms(owner))
                if any(
                    names.part_of_person(owner, name)
                    for name in (self.registry.by_id[id].name, *self.registry.by_id[id].aliases)
                )
            ]
        return [id for own in owners for id in relatives.known(self.registry, own, phrase)]

    @staticmethod
    def _cosines(scores: dict[str, dict[str, float]]) -> dict[str, float]:
        found = scores.get("vector")
        return found.cosines if isinstance(found, Near) else {}

    def _nearest(
        self,
        name: str,
        vector: Any,
        spaces: Sequence[str] | None,
        as_of: float | None,
    ) -> dict[str, float]:
        where = [] if spaces is None else ["node.space IN $spaces"]
        if as_of is not None:
            where.append("node.time <= $as_of")
        condition = f"WITH node, score WHERE {' AND '.join(where)} " if where else ""
        rows = self.graph.read(
            "CALL db.idx.vector.queryNodes('Message', $name, $k, vecf32($v)) "
            f"YIELD node, score {condition}RETURN node.id, score",
            name=name,
            k=NEAREST * (4 if where else 1),
            v=[float(x) for x in vector],
            spaces=list(spaces or ()),
            as_of=as_of,
        )
        near = Near({str(id): 1.0 - float(distance) for id, distance in rows})
        return Near(_between(near), near)

    def _speakers_in(self, question: str) -> set[str]:
        """Names of speakers the question is about, if it is about some and not all of them."""
        said = {names.key(word) for word, speaks in self._words(question) if speaks}
        asked = {n for n in tuple(self.walk.speakers) if said & set(names.key(n).split())}
        return asked if len(asked) < len(self.walk.speakers) else set()

    def _without_speakers(self, question: str) -> str:
        """The question without the names of people who talk."""
        return " ".join(w for w, speaks in self._words(question) if not speaks) or question

    def _words(self, question: str) -> list[tuple[str, bool]]:
        """The question's words, and whether each is the name of somebody who talks.

        "Ada" in "Ada Lovelace" is not the agent Ada, if that name is known; in "Ada's mum" it is.
        """
        talking = {names.key(name) for name in tuple(self.walk.speakers)}
        parts = {part for name in talking for part in name.split()}
        words = question.replace("’", "'").split()
        marked = []
        for at, word in enumerate(words):
            pairs = (" ".join(words[at : at + 2]), " ".join(words[max(0, at - 1) : at + 1]))
            longer = any(
                " " in names.key(pair)
                and names.key(pair) not in talking
                and relatives.stands_for(pair) is None
                and self.registry.named(pair)
                for pair in pairs
            )
            marked.append((word, names.key(word) in parts and not longer))
        return marked

    def _facts(
        self,
        question: str,
        seeds: dict[str, float],
        hybrid: dict[str, float],
        spaces: Sequence[str] | None,
        as_of: float | None,
    ) -> list[tuple[Fact, float]]:
        """Facts of the question's entities, by its words and by the messages they come from."""
        strongest = sorted(seeds, key=lambda id: -seeds[id])[:8]
        best = sorted(hybrid, key=lambda id: -hybrid[id])[:10]
        also = [id for id in self.store.entities_in(best) if id not in seeds][:20] if best else []
        asked = set(text.terms(_ASKING.sub(" ", question)))
        asked -= {stem for id in strongest for stem in self.registry.stems(id)}
        top = max(hybrid.values(), default=1.0) or 1.0
        heaviest = max(seeds.values(), default=1.0) or 1.0
        scored: list[tuple[float, float, str]] = []
        for row in self.store.rows_about([*strongest, *also], spaces, as_of, limit=300):
            id, head, tail, head_name, tail_name, type, confidence, since = row[:8]
            words = {*text.terms(f"{head_name} {tail_name}"), *cues(type)}
            source = max((hybrid.get(m, 0.0) for m in row[12] or ()), default=0.0) / top
            seed = max(seeds.get(head, 0.0), seeds.get(tail, 0.0)) / heaviest
            score = 0.3 * source + 0.4 * bool(words & asked) + 0.3 * seed
            if score >= 0.25:
                scored.append((round(score * confidence, 4), since, id))
        best_facts = {id: score for score, _, id in sorted(scored, reverse=True)[:FACTS]}
        return [(fact, best_facts[fact.id]) for fact in self.store.facts(list(best_facts))]


_ASKS = (
    (re.compile(r"\bwho(?:m|se)?\b", re.I), frozenset(("person", "organisation"))),
    (
        re.compile(r"\bwhere\b|\b(?:what|which) (?:city|country|place|state|town)\b", re.I),
        frozenset(("location", "organisation")),
    ),
    (
        re.compile(r"\bwhen\b|\bhow long\b|\b(?:what|which) (?:date|day|month|year)\b", re.I),
        frozenset(("date",)),
    ),
    (re.compile(r"\bhow (?:many|much|often|old)\b", re.I), frozenset(("quantity",))),
)


def _wanted(question: str) -> frozenset[str]:
    """Types of entities that would answer a question; empty when it does not say."""
    return frozenset().union(*(types for asks, types in _ASKS if asks.search(question)))


def _best(found: dict[str, float], count: int) -> dict[str, float]:
    """The best few."""
    if len(found) <= count:
        return found
    return dict(heapq.nlargest(count, found.items(), key=lambda item: item[1]))


def _scaled(found: dict[str, float]) -> dict[str, float]:
    """Shares of the best."""
    top = max(found.values(), default=0.0)
    return {id: score / top for id, score in found.items()} if top > 0 else {}


def _between(found: dict[str, float]) -> dict[str, float]:
    """The best is 1, the last 0."""
    if not found:
        return {}
    low, high = min(found.values()), max(found.values())
    if high - low < 1e-9:
        return dict.fromkeys(found, 1.0)
    return {id: (score - low) / (high - low) for id, score in found.items()}


def _ranks(found: dict[str, float]) -> dict[str, int]:
    ordered: Iterable[Any] = sorted(found, key=lambda id: -found[id])
    return {id: rank for rank, id in enumerate(ordered, 1)}
