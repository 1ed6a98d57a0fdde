"""The compaction bench: recall, perplexity and KL beside the full cache and plain eviction.

Each method gets the same span, the same queries (those of later tokens and of sampled recaps, as in
the product) and the same number of cells. A row is one task, method and ratio; the full cache is
method "full", ratio 1.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.bench import recall
from engine.bench.lab import Lab
from engine.compaction import policy, solve, span
from engine.errors import EngineError, HaloError

KEEP_FIRST = 4
KEEP_RECENT = 64
CONTINUATION = 192  # tokens that perplexity and KL are measured on
Row = dict[str, Any]
Say = Callable[[str], None]
Known = dict[bool, list[list[span.Asked]]]  # with a study or without: who asked, by layer


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure."""

    model: Path
    context: int = 2000
    ratios: tuple[float, ...] = (2, 5, 10, 20, 50)
    methods: tuple[str, ...] = ("am-omp", "am-attention", "evict-attention", "evict-recent")
    ablate: bool = (
        False  # the am- methods also unrefined, without beta, without values, without both
    )
    dialogues: int = 8
    rounds: int = 1
    samples: int = 0  # recaps; 0 = by the span, as compaction.study_samples
    study_tokens: int = 256
    seed: int = 0
    threads: int = 0
    engine: dict[str, Any] = field(default_factory=dict)  # type_k, type_v, ...

    def variants(self) -> list[tuple[str, solve.Settings]]:
        """Names of rows and how to solve them."""
        found = []
        for method in self.methods:
            switches = {"": solve.Settings(method)}
            if self.ablate and method.startswith("am-"):
                switches["-refine"] = solve.Settings(method, refine=False)
                for beta, values in ((False, True), (True, False), (False, False)):
                    name = ("" if beta else "-beta") + ("" if values else "-values")
                    switches[name] = solve.Settings(method, beta, values)
            for name, settings in switches.items():
                settings.threads, settings.seed = self.threads or 1, self.seed
                found.append((method + name, settings))
        return found


class _Tally:
    """Means over dialogues of one row."""

    def __init__(self) -> None:
        self.right = self.asked = self.rounds = 0
        self.seconds = 0.0
        self.before: list[int] = []
        self.after: list[int] = []
        self.nll: list[float] = []
        self.kl: list[float] = []
        self.layers: list[solve.LayerResult] = []
        self.positions = self.n_kv = self.queries = 0

    def row(self, task: str, method: str, ratio: float, plan: Plan) -> Row:
        errors = [e for layer in self.layers for e in layer.errors]
        return {
            "task": task,
            "method": method,
            "ratio": ratio,
            "cells_before": round(float(np.mean(self.before))) if self.before else 0,
            "cells_after": round(float(np.mean(self.after))) if self.after else 0,
            "accuracy": self.right / self.asked if self.asked else None,
            "perplexity": math.exp(float(np.mean(self.nll))) if self.nll else None,
            "kl": float(np.mean(self.kl)) if self.kl else None,
            "seconds": self.seconds / max(1, len(self.before)),
            "beta_min": min((r.beta_min for r in self.layers), default=0.0),
            "beta_max": max((r.beta_max for r in self.layers), default=0.0),
            "cv_norm_ratio": max((r.norm_ratio for r in self.layers), default=1.0),
            "output_error": float(np.mean(errors)) if errors else 0.0,
            "questions": self.asked,
            "queries": self.queries,
            "n_kv": self.n_kv,
            "positions": self.positions,
            "rounds": plan.rounds,
        }

    def compacted(self, lab: Lab, results: list[solve.LayerResult]) -> None:
        self.layers += results
        self.positions = lab.positions[0]
        cells = lab.context.cell_map()
        self.n_kv = -(-cells.highest // 256) * 256 if cells is not None else 0


def run_recall(plan: Plan, say: Say) -> list[Row]:
    """Facts told inside the span, asked after it."""
    dialogues = recall.load(plan.context)[: plan.dialogues]
    tallies: dict[tuple[str, float], _Tally] = {}
    lab = Lab(plan.model, 8192 + 2048, threads=plan.threads, **plan.engine)
    try:
        for number, dialogue in enumerate(dialogues):
            say(f"recall: dialogue {number + 1} of {len(dialogues)}")
            base = recall.base_tokens(lab, dialogue.messages)
            lab.clear()
            lab.feed(0, base)
            tally = tallies.setdefault(("full", 1.0), _Tally())
            tally.before.append(lab.used())
            tally.after.append(lab.used())
            tally.right += recall.correct(lab, 0, dialogue, base)
            tally.asked += len(dialogue.questions)
            known: Known = {}
            for ratio in plan.ratios:
                for name, settings in plan.variants():
                    _recall_once(
                        lab, plan, dialogue, ratio, settings,
                        tallies.setdefault((name, ratio), _Tally()), known,
                    )  # fmt: skip
    finally:
        lab.close()
    return [t.row("recall", name, ratio, plan) for (name, ratio), t in tallies.items()]


def _recall_once(
    lab: Lab,
    plan: Plan,
    dialogue: recall.Dialogue,
    ratio: float,
    settings: solve.Settings,
    tally: _Tally,
    known: Known,
) -> None:
    """Compact and ask. `known` keeps who asked in a dialogue's first round, the same for all."""
    lab.clear()
    lab.context.track(0, KEEP_RECENT * 4)
    messages, fed = dialogue.messages, 0
    base: list[int] = []
    for round_ in range(plan.rounds):
        # Rounds end between an answer and the next prompt.
        part = 2 * max(1, round(len(messages) * (round_ + 1) / plan.rounds / 2))
        part += (len(messages) - part) % 2 if messages[0].role == "system" else 0
        upto = messages if round_ == plan.rounds - 1 else messages[: min(part, len(messages))]
        base = recall.base_tokens(lab, upto)
        lab.feed(0, base[fed:])
        fed = len(base)
        last = fed - KEEP_RECENT
        studies = settings.method != "evict-recent"
        if round_ == 0 and studies in known:
            asked = known[studies]
        else:
            slots: list[int] = []
            if studies:
                question = recall.recap_suffix(lab, upto, base)
                samples = policy.recaps(plan.samples, last - KEEP_FIRST)
                slots = lab.study(0, question, samples, plan.study_tokens, plan.seed + round_)
            asked = lab.asked([0, *slots], KEEP_FIRST, last)
            lab.forget(slots)
            if round_ == 0:
                known[studies] = asked
        before = lab.used()
        if before - KEEP_FIRST - KEEP_RECENT < 8:
            continue
        started = time.monotonic()
        results = lab.compact(0, KEEP_FIRST, last, ratio, asked, settings)
        tally.seconds += time.monotonic() - started
        tally.queries = sum(len(a.pos) for a in asked[0]) * lab.layers[0].group
        if round_ == plan.rounds - 1:
            tally.before.append(before)
            tally.after.append(lab.used())
            tally.compacted(lab, results)
    lab.context.track(0, 0)
    tally.right += recall.correct(lab, 0, dialogue, base)
    tally.asked += len(dialogue.questions)


def run_text(plan: Plan, text: str, say: Say) -> list[Row]:
    """Perplexity and KL of the continuation of a text behind a compacted span."""
    lab = Lab(plan.model, plan.context + 1024, threads=plan.threads, **plan.engine)
    tallies: dict[tuple[str, float], _Tally] = {}
    try:
        tokens = lab.model.tokenize(text, True)
        size = plan.context + CONTINUATION
        if len(tokens) < plan.context // 2 + CONTINUATION:
            raise EngineError(
                f"The text has {len(tokens):,} tokens, {size:,} are wanted.",
                "Give a longer text, or a smaller --context.",
            )
        starts = range(0, max(1, min(plan.dialogues, len(tokens) // size)) * size, size)
        for number, start in enumerate(starts):
            say(f"text: piece {number + 1} of {len(starts)}")
            piece = tokens[start : start + size]
            before, rest = piece[:-CONTINUATION], piece[-CONTINUATION:]
            full = _continue(lab, before, rest, tallies.setdefault(("full", 1.0), _Tally()), None)
            for ratio in plan.ratios:
                for name, settings in plan.variants():
                    tally = tallies.setdefault((name, ratio), _Tally())
                    _continue(lab, before, rest, tally, (ratio, settings, full))
    finally:
        lab.close()
    return [t.row("text", name, ratio, plan) for (name, ratio), t in tallies.items()]


def _continue(
    lab: Lab,
    before: Sequence[int],
    rest: Sequence[int],
    tally: _Tally,
    compacts: tuple[float, solve.Settings, npt.NDArray[np.float64]] | None,
) -> npt.NDArray[np.float64]:
    """Log-probabilities [CONTINUATION, n_vocab] behind `before`, compacted or not."""
    lab.clear()
    recent = min(256, len(before) // 4)
    lab.context.track(0, recent)
    logits = [lab.feed(0, before)[None]]
    used = lab.used()
    tally.before.append(used)
    if compacts is not None:
        ratio, settings, _ = compacts
        last = len(before) - recent
        asked = lab.asked([0], KEEP_FIRST, last)
        started = time.monotonic()
        results = lab.compact(0, KEEP_FIRST, last, ratio, asked, settings)
        tally.seconds += time.monotonic() - started
        tally.queries = len(asked[0][0].pos) * lab.layers[0].group
        tally.compacted(lab, results)
    tally.after.append(lab.used())
    lab.context.track(0, 0)
    logits.append(lab.feed(0, rest[:-1], every=True))
    scores = np.concatenate(logits).astype(np.float64)
    found = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
    # The first token was predicted before anything was compacted.
    tally.nll.append(-float(found[np.arange(1, len(rest)), rest[1:]].mean()))
    full = compacts[2] if compacts is not None else found
    tally.kl.append(float((np.exp(full) * (full - found))[1:].sum(1).mean()))
    return np.asarray(found)


def run_gain(plan: Plan, say: Say, agents: int = 8, steps: int = 48) -> list[Row]:
    """Decode speed and cells of many agents at long context, before and after compaction."""
    ratio = plan.ratios[len(plan.ratios) // 2]
    length = plan.context
    lab = Lab(
        plan.model,
        agents * (length + 2 * steps) + 512,
        slots=agents,
        threads=plan.threads,
        **plan.engine,
    )
    rows: list[Row] = []
    try:
        dialogues = recall.load(2000)
        for slot in range(agents):
            say(f"gain: agent {slot + 1} of {agents} reads {length} tokens")
            tokens: list[int] = []
            while len(tokens) < length:
                more = dialogues[(slot + len(tokens)) % len(dialogues)].messages
                tokens += recall.base_tokens(lab, more)
            lab.context.track(slot, KEEP_RECENT)
            lab.feed(slot, tokens[:length])
        for phase in ("full", plan.methods[0]):
            started = time.monotonic()
            if phase != "full":
                settings = solve.Settings(phase, threads=plan.threads or 1)
                for slot in range(agents):
                    last = length - KEEP_RECENT
                    asked = lab.asked([slot], KEEP_FIRST, last)
                    lab.compact(slot, KEEP_FIRST, last, ratio, asked, settings)
            seconds = time.monotonic() - started
            used, rate = lab.used(), _decode_rate(lab, agents, steps)
            per_cell = lab.model.kv_bytes_per_cell
            full = rows[0]["cells_after"] if rows else used
            rows.append({
                "task": "gain", "method": phase, "ratio": ratio if phase != "full" else 1,
                "cells_before": full, "cells_after": used, "accuracy": None, "perplexity": None,
                "kl": None, "seconds": seconds, "beta_min": 0.0, "beta_max": 0.0,
                "cv_norm_ratio": 1.0, "tok_s": rate, "agents": agents, "bytes": used * per_cell,
                "agents_that_fit": int(full / (used / agents)),
            })  # fmt: skip
            for slot in range(agents):
                lab.drop(slot, length)
    finally:
        lab.close()
    return rows


def _decode_rate(lab: Lab, agents: int, steps: int) -> float:
    """Tokens per second of all agents in lock step."""
    lab.decode([(1, lab.positions[s], s, True) for s in range(agents)])
    started = time.monotonic()
    for step in range(1, steps + 1):
        lab.decode([(1, lab.positions[s] + step, s, True) for s in range(agents)])
    return agents * steps / (time.monotonic() - started)


def studied(
    lab: Lab, plan: Plan, dialogue: recall.Dialogue
) -> tuple[int, list[list[span.Asked]], list[span.LayerData]]:
    """A recall dialogue heard in slot 0 and asked for recaps: its tokens, who asked by layer, and
    the layers of its span."""
    base = recall.base_tokens(lab, dialogue.messages)
    lab.context.track(0, KEEP_RECENT)
    lab.feed(0, base)
    last = len(base) - KEEP_RECENT
    question = recall.recap_suffix(lab, dialogue.messages, base)
    samples = policy.recaps(plan.samples, last - KEEP_FIRST)
    slots = lab.study(0, question, samples, plan.study_tokens, plan.seed)
    asked = lab.asked([0, *slots], KEEP_FIRST, last)
    lab.forget(slots)
    return len(base), asked, lab.read(0, KEEP_FIRST, last, asked)


def dump_heads(plan: Plan, path: Path, say: Say) -> int:
    """Write real heads of a recall dialogue: k, v [L, H, n, d], q [L, H, t * group, d] (see
    engine/bench/heads.py); how many heads."""
    dialogue = recall.load(plan.context)[plan.seed % 8]
    lab = Lab(plan.model, 8192 + 2048, threads=plan.threads, **plan.engine)
    try:
        tokens, _, data = studied(lab, plan, dialogue)
        heads = [[layer.head(h) for h in range(layer.info.n_head_kv)] for layer in data]
    finally:
        lab.close()
    k, v, q, _, rest = (
        np.stack([[head[part] for head in layer] for layer in heads]) for part in range(5)
    )
    meta = {"model": plan.model.name, "text": f"recall, {tokens} tokens"}
    try:
        with path.open("wb") as file:  # the name as it was given: savez would append .npz
            np.savez_compressed(file, k=k, v=v, q=q, log_rest=rest, meta=np.array(json.dumps(meta)))
    except OSError as error:
        raise HaloError(f"{path} cannot be written: {error.strerror}.", "Name another.") from error
    say(f"dump: {k.shape[0]} layers of {k.shape[1]} heads in {path}")
    return int(k.shape[0] * k.shape[1])


__all__ = ["Plan", "dump_heads", "policy", "run_gain", "run_recall", "run_text", "span"]
