"""The bench of expert routing: what a policy gains in speed, and what it costs in quality.

Speed: a real engine core on a random model that is bound by memory (`make_moe`), agents answer at
once, and the core compares by itself (A/B): windows of 12 steps with the policy and without in turns. The guard is off
there: weights without meaning have no quality to guard. Quality: halo-mini, agents in lock step.
*Recall* answers questions about long dialogues, each agent another one. *KL* and *perplexity* feed
the answers of held-out dialogues with and without the policy, cells included: errors add up as in
use.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np

from engine import paths, routing
from engine.bench import make_moe, recall
from engine.bench.lab import Lab
from engine.bench.throughput import machine, prompt
from engine.client import EngineClient
from engine.config import Config, ExpertsConfig
from engine.core.model import thread_count
from engine.core.router import AB_ROUNDS, AB_STEPS, CALIBRATION, Router
from engine.core.step import Step
from engine.environment import SPIN_COUNT
from engine.experts import choice
from engine.experts.policy import CALIBRATION as STATIC_STEPS
from engine.models import MINI
from engine.protocol import Deltas, Event, Experts, Message, Sampling

Say = Callable[[str], None]

CONTEXT = 2000  # tokens of a dialogue
ROOM = 2700  # cells of an agent
ALONE = 9  # questions for an agent alone
ANSWERS = 4  # the last of each dialogue that are fed for KL and perplexity
ANSWER = 24  # tokens of an answer to a question of the recall task
WINDOWS = 6  # events of half a second before a comparison; the later half counts
WARM = max(CALIBRATION, STATIC_STEPS) + 2  # steps before anything is measured


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure."""

    agents: tuple[int, ...] = (1, 4, 8, 10)
    policies: tuple[str, ...] = ("static", "cache")
    bonuses: tuple[float, ...] = (0.1, 0.2, 0.4)
    repeats: int = 3
    questions: int = 80
    speed: bool = True
    quality: bool = True
    model: Path | None = None  # a mixture of experts for speed; None = the generated one


def run(config: Config, plan: Plan, say: Say) -> dict[str, Any]:
    """Rows as the plan asks, off first for each number of agents."""
    # Before the library is loaded; as the client does for the core.
    os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
    rows: list[dict[str, Any]] = []
    before = machine()
    if plan.quality:
        rows += list(_quality(config, plan, say))
    if plan.speed:
        if plan.model is None:
            say("writes the random mixture of experts (3.3 GB, once)")
        path = plan.model or make_moe.moe(paths.cache_dir())
        for agents in plan.agents:
            rows += asyncio.run(_speed(config, plan, path, agents, say))
    return {"rows": rows, "machine": before, "settings": {
        "threads": thread_count(config.engine.threads), "repeats": plan.repeats, "questions": plan.questions, "keep_top": config.experts.keep_top,
        "recency": config.experts.recency,
    }}  # fmt: skip


def _settings(plan: Plan) -> list[tuple[str, float]]:
    return [(policy, bonus) for policy in plan.policies for bonus in plan.bonuses]


def _row(model: str, policy: str, bonus: float, agents: int) -> dict[str, Any]:
    return {
        "model": model, "policy": policy, "bonus": bonus, "agents": agents, "tok_s": None,
        "speedup": None, "distinct_experts": None, "bytes_per_token": None, "kl": None,
        "recall": None, "perplexity": None, "mass": None,
    }  # fmt: skip


# --- speed: a real core ---------------------------------------------------------------------------


async def _speed(
    config: Config, plan: Plan, path: Path, agents: int, say: Say
) -> list[dict[str, Any]]:
    own: Config = msgspec.convert(msgspec.to_builtins(config), Config)
    own.model.path = str(path)
    own.engine.n_ctx = 8192
    own.engine.threads = thread_count(config.engine.threads)
    own.engine.keep_closed = False
    own.experts.policy = "off"
    own.experts.guard = False
    own.experts.sample_every = 1_000_000  # a sampled step is computed twice: not in the figures
    seen: list[Experts] = []

    def watch(event: Event) -> None:
        if isinstance(event, Experts):
            seen.append(event)

    rows: list[dict[str, Any]] = []
    plain: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        client = EngineClient(own, log_path=Path(folder) / "core.log")
        client.subscribe(watch)
        await client.start()
        try:
            await client.configure("experts.watch", True)
            names = [f"a{i}" for i in range(agents)]
            for policy, bonus in _settings(plan):
                await client.configure("experts.bonus", bonus)
                await client.configure("experts.policy", policy)
                found = [
                    await _turns(client, names, seen, f"{policy} {bonus:g}", i, say)
                    for i in range(plan.repeats)
                ]
                row = _row(path.stem, policy, bonus, agents)
                row["tok_s"] = round(statistics.median(e.ab_tok_s for e, _, _ in found), 1)
                ratios = [e.ab_factor for e, _, _ in found]
                row["speedup"] = round(statistics.median(ratios), 3)
                row["speedup_spread"] = [round(min(ratios), 3), round(max(ratios), 3)]
                row["distinct_experts"] = round(statistics.mean(d for _, d, _ in found), 1)
                row["bytes_per_token"] = round(statistics.mean(b for _, _, b in found))
                rows.append(row)
                plain += [e.ab_tok_s_without for e, _, _ in found]
            off = _row(path.stem, "off", 0.0, agents)
            await client.configure("experts.policy", "off")
            event = await _watch_off(client, names, seen)
            off["tok_s"], off["speedup"] = round(statistics.median(plain), 1), 1.0
            off["distinct_experts"] = round(event.distinct, 1)
            off["bytes_per_token"] = round(event.bytes_per_token)
        finally:
            await client.stop()
    return [off, *rows]


async def _start(client: EngineClient, names: list[str], tokens: int) -> None:
    """All agents begin an answer of random tokens; returns when all decode."""
    decoding: set[str] = set()
    all_there = asyncio.Event()

    def watch(event: Event) -> None:
        if isinstance(event, Deltas):
            decoding.update(d.session for d in event.items if d.tokens)
            if decoding >= set(names):
                all_there.set()

    stop = client.subscribe(watch)
    sampling = Sampling(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, max_tokens=tokens,
                        ignore_eos=True, seed=1)  # fmt: skip
    for i, name in enumerate(names):
        await client.open(name)
        await client.generate(name, prompt(i + 1, False), sampling)
    await all_there.wait()
    stop()


async def _turns(
    client: EngineClient, names: list[str], seen: list[Experts], what: str, repeat: int, say: Say
) -> tuple[Experts, float, float]:
    """The core's own comparison, and what steps with the policy read (distinct, bytes a token)."""
    say(f"{len(names)} agents, {what}, {repeat + 1}")
    await _start(client, names, 2 * AB_STEPS * AB_ROUNDS + 256)
    seen.clear()
    # The first steps have no bonus yet: ranges are measured.
    while sum(e.steps > 0 for e in seen) < WINDOWS:
        await asyncio.sleep(0.1)
    acting = [e for e in seen if e.steps][WINDOWS // 2 :]
    seen.clear()
    await client.configure("experts.ab", True)
    while not any(e.ab == "done" for e in seen):
        await asyncio.sleep(0.1)
    event = next(e for e in seen if e.ab == "done")
    for name in names:
        await client.close(name)
    await client.configure("experts.ab", False)
    return (
        event,
        statistics.mean(e.distinct for e in acting),
        statistics.mean(e.bytes_per_token for e in acting),
    )


async def _watch_off(client: EngineClient, names: list[str], seen: list[Experts]) -> Experts:
    """What is read without a policy."""
    await _start(client, names, 64)
    seen.clear()
    while not any(e.steps and e.agents > len(names) - 0.5 for e in seen):
        await asyncio.sleep(0.05)
    for name in names:
        await client.close(name)
    return next(e for e in seen if e.steps and e.agents > len(names) - 0.5)


# --- quality: halo-mini in lock step ---------------------------------------------------------------


class _Routed:
    """A lab whose steps are routed as the core's are."""

    def __init__(self, lab: Lab, config: ExpertsConfig, policy: str, bonus: float) -> None:
        own = msgspec.structs.replace(
            config, policy=policy, bonus=bonus, guard=False, sample_every=1_000_000
        )
        self.lab = lab
        self.router = Router(
            lab.context, own, lab.model.header.architecture, lab.model.name, lambda *_: None
        )
        self.router.watch = True
        experts = self.router.experts
        assert experts is not None
        self.experts = experts
        self.masses: list[float] = []
        self.seconds = 0.0
        self.tokens = 0

    def decode(self, batch: Sequence[tuple[int, int, int, bool]]) -> Any:
        step = Step(decode=cast(Any, [None] * len(batch)))
        self.router.prepare(step)
        started = time.perf_counter()
        logits = self.lab.decode(batch)
        self.seconds += time.perf_counter() - started
        self.tokens += len(batch)
        active = self.router._active
        if active and self.router.calibrated and len(self.masses) < 512:
            pointer = self.lab.context.pointer
            scores, probs = routing.read_scores(pointer, self.experts, len(batch))
            _, chosen = routing.read_ids(pointer, self.experts)
            self.masses.append(choice.compare(self.experts, scores, probs, chosen).mass)
            self.router.taken(chosen, len(batch))
        else:
            self.router.observe(step)
        return logits

    def begin(self) -> None:
        """Others have used the context since."""
        self.router._mode = (False, 0, -1)

    def close(self) -> None:
        routing.set_mode(self.lab.context.pointer, bias=False, keep=0, capture=0)


@dataclass(slots=True)
class _Tally:
    """What one setting came to."""

    routed: _Routed
    right: int = 0
    kls: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)


def _quality(config: Config, plan: Plan, say: Say) -> Iterator[dict[str, Any]]:
    most = max(plan.agents)
    lab = Lab(MINI, most * ROOM, slots=most, threads=thread_count(config.engine.threads))
    try:
        dialogues = recall.load(CONTEXT)
        for agents in plan.agents:
            yield from _with_agents(lab, config, plan, dialogues, agents, say)
    finally:
        lab.close()


def _with_agents(
    lab: Lab, config: Config, plan: Plan, dialogues: list[recall.Dialogue], agents: int, say: Say
) -> Iterator[dict[str, Any]]:
    """All settings on the same prefilled cells, group of dialogues by group."""
    cases = [("off", 0.0), *_settings(plan)]
    tallies = {case: _Tally(_Routed(lab, config.experts, *case)) for case in cases}
    for tally in tallies.values():
        _warm(tally.routed, agents)
    # One agent alone decodes step by step what ten do at once; its choice is never changed.
    most = plan.questions if agents >= config.experts.min_agents else min(plan.questions, ALONE)
    asked = 0
    say(f"{MINI.stem}: {agents} agents")
    for start in range(0, len(dialogues) - agents + 1, agents):
        group = dialogues[start : start + agents]
        lab.clear()
        held: dict[int, list[int]] = {}
        for back in range(ANSWERS, 0, -1):
            answers = [_said(lab, d, back) for d in group]
            for slot, (before, _) in enumerate(answers):
                _feed_to(lab, held, slot, before)
            reference: list[Any] = []
            for tally in tallies.values():
                logits, losses = _forced(tally.routed, [answer for _, answer in answers])
                reference = reference or logits
                tally.losses += losses
                tally.kls += [
                    choice.kl(a[None], b[None]) for a, b in zip(reference, logits, strict=True)
                ]
        bases = [recall.base_tokens(lab, d.messages) for d in group]
        for slot, base in enumerate(bases):
            _feed_to(lab, held, slot, base)
        for number in range(min(len(d.questions) for d in group)):
            if asked >= most:
                break
            for tally in tallies.values():
                tally.right += _ask(tally.routed, group, bases, number)
            asked += len(group)
        if asked >= most:
            break
    plain = tallies["off", 0.0].routed
    for case, tally in tallies.items():
        routed = tally.routed
        row = _row(MINI.stem, *case, agents)
        row["tok_s"] = round(routed.tokens / routed.seconds, 1)
        row["speedup"] = round(routed.tokens / routed.seconds * plain.seconds / plain.tokens, 3)
        row["recall"], row["kl"] = (
            round(tally.right / asked, 3),
            round(float(np.mean(tally.kls)), 5),
        )
        row["perplexity"] = round(float(np.exp(np.mean(tally.losses))), 3)
        row["mass"] = round(float(np.mean(routed.masses)), 4) if routed.masses else 0.0
        figures = routed.router._meter.take()
        row["distinct_experts"] = round(figures["distinct"], 2)
        row["bytes_per_token"] = round(figures["bytes_per_token"])
        yield row
        routed.close()


def _feed_to(lab: Lab, told: dict[int, list[int]], slot: int, tokens: list[int]) -> None:
    """Have a slot hold `tokens`; what it holds of them already (`told`) stays."""
    held = told.get(slot, [])
    common = next(
        (i for i, (a, b) in enumerate(zip(held, tokens, strict=False)) if a != b),
        min(len(held), len(tokens)),
    )
    lab.drop(slot, common)
    if common < len(tokens):
        lab.feed(slot, tokens[common:])
    told[slot] = tokens


def _warm(routed: _Routed, agents: int) -> None:
    """Steps in which ranges, and a static subset, are found."""
    lab = routed.lab
    lab.clear()
    routed.begin()
    text = lab.language.prompt(
        (Message("user", "Hello, who are you and what can you do?"),), False
    )[0]
    for i in range(WARM):
        routed.decode([(text[(i + s) % len(text)], i, s, True) for s in range(agents)])
    routed.seconds, routed.tokens = 0.0, 0
    routed.masses.clear()
    routed.router._meter.take()


def _ask(
    routed: _Routed, group: Sequence[recall.Dialogue], bases: Sequence[list[int]], number: int
) -> int:
    """Every agent answers its dialogue's question of that number; how many are right."""
    lab = routed.lab
    routed.begin()
    last = {}
    for slot, (dialogue, base) in enumerate(zip(group, bases, strict=True)):
        tokens = recall.suffix(lab, dialogue.messages, base, dialogue.questions[number][0])
        last[slot] = int(lab.feed(slot, tokens).argmax())
    said: dict[int, list[int]] = {slot: [] for slot in last}
    live = list(last)
    for _ in range(ANSWER):
        live = [s for s in live if not lab.model.is_eog(last[s])]
        if not live:
            break
        for s in live:
            said[s].append(last[s])
        logits = routed.decode([(last[s], lab.positions[s], s, True) for s in live])
        for row, s in enumerate(live):
            lab.positions[s] += 1
            last[s] = int(logits[row].argmax())
    routed.close()
    for slot, base in enumerate(bases):
        lab.drop(slot, len(base))
    return sum(
        recall.holds(lab.text(said[slot]), dialogue.questions[number][1])
        for slot, dialogue in enumerate(group)
    )


def _forced(routed: _Routed, targets: Sequence[list[int]]) -> tuple[list[Any], list[float]]:
    """Feed each agent its target in lock step, and take it back: logits [n_vocab] at every token,
    and the negative log-likelihood of the one that follows."""
    lab = routed.lab
    routed.begin()
    before = list(lab.positions)
    rows, losses = [], []
    for i in range(max(map(len, targets)) - 1):
        live = [s for s, t in enumerate(targets) if i + 1 < len(t)]
        logits = routed.decode([(targets[s][i], lab.positions[s], s, True) for s in live])
        for row, s in zip(logits, live, strict=True):
            lab.positions[s] += 1
            wide = row.astype(np.float64)
            top = wide.max()
            losses.append(float(np.log(np.exp(wide - top).sum()) + top - wide[targets[s][i + 1]]))
            rows.append(row)
    routed.close()
    for slot in range(len(targets)):
        lab.drop(slot, before[slot])
    return rows, losses


def _said(lab: Lab, dialogue: recall.Dialogue, back: int) -> tuple[list[int], list[int]]:
    """The `back`-th last answer of a dialogue: tokens before it, and its own (the model was trained
    to predict answers alone)."""
    places = [i for i, m in enumerate(dialogue.messages) if m.role == "assistant"]
    at = places[-back]
    before = lab.language.prompt(dialogue.messages[:at], False)[0]
    return before, lab.model.tokenize(dialogue.messages[at].content, False)
