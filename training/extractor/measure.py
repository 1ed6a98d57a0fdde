"""Micro-F1 of mentions and of relations, on encoded examples."""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch

from training.extractor import schema
from training.extractor.encode import Encoded
from training.extractor.model import Extractor, pairs
from training.extractor.signature import ALLOWED

MOST_MENTIONS = 20
LABELS = schema.LABELS


def decode(labels: list[str]) -> list[tuple[int, int, str]]:
    """Spans (first word, last + 1, type) of a row of BIO labels."""
    out: list[tuple[int, int, str]] = []
    for i, label in enumerate(labels):
        if label == "O":
            continue
        if label[0] == "I" and out and out[-1][1] == i and out[-1][2] == label[2:]:
            out[-1] = (out[-1][0], i + 1, label[2:])
        else:
            out.append((i, i + 1, label[2:]))
    return out


def f1(c: Counter) -> dict[str, float]:
    tp, fp, fn = c["tp"], c["fp"], c["fn"]
    p, r = tp / max(1, tp + fp), tp / max(1, tp + fn)
    return {
        "precision": round(p, 4),
        "recall": round(r, 4),
        "f1": round(2 * p * r / max(1e-9, p + r), 4),
    }


def covered(name: str, data: list[Encoded]) -> dict[str, frozenset[str] | None]:
    """Which types count: `all` those the data set's map names, `marked` those this file marks."""
    if name.startswith("crossner"):
        every = frozenset(schema.CROSSNER.values())
    elif name in ("wnut", "posts_heldout"):
        every = frozenset(schema.WNUT.values())
    elif name == "redocred_tenth":
        every = schema.COVERS["redocred"]
    else:
        return {"all": None}
    return {"all": every, "marked": every & {kind for e in data for _, _, kind in e.gold}}


@torch.no_grad()
def outputs(m: Extractor, data: list[Encoded], device: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each text the logits of its words [w, labels] and the probabilities [m, m, relations]."""
    m.eval()
    order = sorted(range(len(data)), key=lambda i: len(data[i].ids))
    out: list = [None] * len(data)
    for at in range(0, len(order), 64):
        some = order[at : at + 64]
        batch = [data[i] for i in some]
        t = (max(len(e.ids) for e in batch) + 15) // 16 * 16
        n = max(1, min(MOST_MENTIONS, max(len(e.mentions) for e in batch)))
        ids, shapes, mask = (np.zeros((len(batch), t), np.int64) for _ in range(3))
        pool = np.zeros((len(batch), n, t), np.float32)
        for k, e in enumerate(batch):
            ids[k, : len(e.ids)], shapes[k, : len(e.ids)], mask[k, : len(e.ids)] = (
                e.ids,
                e.shapes,
                1,
            )
            for j, (x, y) in enumerate(e.mentions[:n]):
                pool[k, j, x:y] = 1 / max(1, y - x)
        x = [torch.from_numpy(v).to(device) for v in (ids, mask, shapes, pool)]
        with torch.autocast(device.split(":")[0], torch.bfloat16, enabled=device != "cpu"):
            tags, head, tail = m(x[0], x[1], x[2])
        p = pairs(head.float(), tail.float(), x[3], m.bias.float()).sigmoid().cpu().numpy()
        logits = tags.float().cpu().numpy()
        for k, (i, e) in enumerate(zip(some, batch, strict=True)):
            out[i] = (logits[k, e.firsts], p[k])
    m.train()
    return out


def kinds(e: Encoded) -> list[str | None]:
    """The type of each mention, None where it is not known."""
    place = {}
    for first, last, kind in e.gold:
        end = e.firsts[last] if last < len(e.firsts) else len(e.ids) - 1
        place[int(e.firsts[first]), int(end)] = kind
    return [place.get((int(x), int(y))) for x, y in e.mentions]


def possible(e: Encoded, n: int) -> np.ndarray:
    """[n, n, relations] True where the types of two mentions allow the relation."""
    types = kinds(e)[:n]
    out = np.ones((n, n, len(schema.RELATION_TYPES)), bool)
    for i, a in enumerate(types):
        for j, b in enumerate(types):
            if a and b:
                out[i, j] = ALLOWED[schema.KINDS.index(a), schema.KINDS.index(b)]
    return out


def relations(
    data: list[Encoded],
    found: list[tuple[np.ndarray, np.ndarray]],
    threshold: float | np.ndarray,
    can: list[np.ndarray] | None = None,
) -> tuple[Counter, dict[str, Counter]]:
    """Counts of relations between the right mentions, in all and by relation. `can` says which are possible."""
    total: Counter = Counter()
    by: dict[str, Counter] = {}
    for number, (e, (_, p)) in enumerate(zip(data, found, strict=True)):
        if not e.related:
            continue
        n = min(MOST_MENTIONS, len(e.mentions))
        gold = {(h, r, t) for h, r, t in e.relations if h < n and t < n and h != t}
        over = p[:n, :n] > threshold
        if can is not None:
            over &= can[number]
        hit = {
            (int(h), int(r), int(t))
            for h, t, r in zip(*np.nonzero(over), strict=True)
            if h != t and (int(h), int(t)) not in e.ignored
        }
        for what, some in (("tp", gold & hit), ("fp", hit - gold), ("fn", gold - hit)):
            total[what] += len(some)
            for _, r, _ in some:
                by.setdefault(schema.RELATION_TYPES[r], Counter())[what] += 1
    return total, by


def mentions(
    data: list[Encoded],
    found: list[tuple[np.ndarray, np.ndarray]],
    covers: frozenset[str] | None,
    less: float = 0.0,
) -> tuple[Counter, dict[str, Counter]]:
    """Counts of mentions; pronouns never count, others if `covers` has them. `less` lowers O."""
    total: Counter = Counter()
    by: dict[str, Counter] = {}
    skip = set(schema.PRONOUN_TYPES) | (
        set(schema.ENTITY_TYPES) - covers if covers is not None else set()
    )
    for e, (logits, _) in zip(data, found, strict=True):
        scores = logits.copy()
        scores[:, 0] -= less
        told = {s for s in decode([LABELS[i] for i in scores.argmax(-1)]) if s[2] not in skip}
        want = {s for s in e.gold if s[2] not in skip}
        for what, some in (("tp", told & want), ("fp", told - want), ("fn", want - told)):
            total[what] += len(some)
            for s in some:
                by.setdefault(s[2], Counter())[what] += 1
    return total, by


def measure(m: Extractor, exams: dict[str, list[Encoded]], device: str) -> dict:
    """Every figure of the card."""
    result: dict = {}
    for name, data in exams.items():
        found = outputs(m, data, device)
        entry: dict = {}
        for rule, covers in covered(name, data).items():
            total, by = mentions(data, found, covers)
            entry["mentions" if rule == "all" else "mentions_of_marked_types"] = f1(total)
            entry["by_type"] = {k: f1(c)["f1"] for k, c in sorted(by.items())}
            if rule == "marked":
                entry["o_bias"] = {
                    b: f1(mentions(data, found, covers, b)[0])["f1"] for b in (-1.0, -0.5, 0.5, 1.0)
                }
        if any(e.related for e in data):
            can = [possible(e, min(MOST_MENTIONS, len(e.mentions))) for e in data]
            for typed in (False, True):
                for t in (0.3, 0.4, 0.5, 0.6, 0.7):
                    total, by = relations(data, found, t, can if typed else None)
                    entry[f"relations{'_typed' if typed else ''}_{t}"] = f1(total)
                    if typed and t == 0.5:
                        entry["by_relation"] = {
                            k: [c["tp"], c["fp"], c["fn"]] for k, c in sorted(by.items())
                        }
        result[name] = entry
    crossner = [v for k, v in result.items() if k.startswith("crossner")]
    if crossner:
        for rule in ("mentions", "mentions_of_marked_types"):
            result[f"crossner_mean_{rule}"] = round(
                float(np.mean([v[rule]["f1"] for v in crossner])), 4
            )
    return result
