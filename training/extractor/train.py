"""Trains the extractor in two stages: public data, then generated conversations beside it.

With `--hold-out` the development splits of CrossNER and WNUT-17 are kept out and measured, which
gives the figures of the card; without it everything is learnt from, which gives the shipped model.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from itertools import chain

import numpy as np
import torch
import torch.nn.functional as F

from training.extractor import encode, public, schema
from training.extractor.encode import Encoded
from training.extractor.generator import Generator
from training.extractor.model import Config, Extractor, pairs, start_from

MOST_MENTIONS = 20
LABELS = schema.LABELS
_tok = None


def _start(path: str) -> None:
    global _tok
    _tok = encode.tokenizer(path)


def _encode(examples: list[public.Example]) -> list[Encoded]:
    return [e for e in (encode.encode(_tok, x) for x in examples) if e is not None]


def _generate(job: tuple[int, int, str, dict]) -> list[Encoded]:
    seed, count, split, extra = job
    g = Generator(seed, split, extra)
    return _encode([g.example() for _ in range(count)])


def flat(lists: Iterable[list]) -> list:
    return list(chain.from_iterable(lists))


def harvest(examples: list[public.Example]) -> dict[str, set[str]]:
    """Names by type from public sentences: they fill the templates too."""
    found: dict[str, set[str]] = {}
    for e in examples:
        for a, b, kind in e.spans:
            text = e.text[a:b]
            if kind and 2 < len(text) < 40 and not any(c in text for c in '@#/"()'):
                found.setdefault(kind, set()).add(text)
    return found


def uncovered(source: str) -> np.ndarray:
    """[labels] True where a type may hide at an O word of this data."""
    covers = schema.COVERS.get(source)
    return np.array(
        [bool(covers) and n != "O" and n[2:] not in covers for n in LABELS]  # type: ignore[operator]
    )


HIDDEN = {s: uncovered(s) for s in ("", "wnut", "crossner", "redocred")}


def collate(
    batch: list[Encoded], rng: np.random.Generator, training: bool
) -> dict[str, torch.Tensor]:
    """Arrays of a batch, padded to its longest text."""
    t = max(len(e.ids) for e in batch)
    t = (t + 15) // 16 * 16
    n = max(2, min(MOST_MENTIONS, max(len(e.mentions) for e in batch)))
    b = len(batch)
    ids, shapes = np.zeros((b, t), np.int64), np.zeros((b, t), np.int64)
    labels = np.full((b, t), -100, np.int64)
    mask = np.zeros((b, t), np.int64)
    pool = np.zeros((b, n, t), np.float32)
    gold = np.zeros((b, n, n, len(schema.RELATION_TYPES)), np.float32)
    learn = np.zeros((b, n, n), np.float32)
    hidden = np.zeros((b, len(LABELS)), bool)
    for i, e in enumerate(batch):
        k = len(e.ids)
        ids[i, :k], shapes[i, :k], labels[i, :k], mask[i, :k] = e.ids, e.shapes, e.labels, 1
        if training:
            if rng.random() < 0.15:
                shapes[i] = 0  # as if typed without capitals
            drop = rng.random(k) < 0.04
            drop[0] = drop[-1] = False
            ids[i, :k][drop] = 103  # [MASK]
        hidden[i] = HIDDEN[e.source]
        m = min(n, len(e.mentions))
        for j, (x, y) in enumerate(e.mentions[:m]):
            pool[i, j, x:y] = 1 / max(1, y - x)
        if e.related:
            learn[i, :m, :m] = 1 - np.eye(m)
            for h, tail in e.ignored:
                if h < m and tail < m:
                    learn[i, h, tail] = 0
            for h, r, tail in e.relations:
                if h < m and tail < m and h != tail:
                    gold[i, h, tail, r] = 1
                    learn[i, h, tail] = 1
    return {
        k: torch.from_numpy(v)
        for k, v in {
            "ids": ids, "shapes": shapes, "labels": labels, "mask": mask, "pool": pool, "gold": gold, "learn": learn,
            "hidden": hidden,
        }.items()
    }  # fmt: skip


def losses(m: Extractor, x: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Tagging and relation loss of a batch.

    At a word without a mark, in data that marks only some types, what counts is the probability
    that it is none of the marked ones.
    """
    tags, head, tail = m(x["ids"], x["mask"], x["shapes"])
    logp = tags.float().log_softmax(-1)
    at = x["labels"] >= 0
    label = x["labels"].clamp_min(0)
    picked = logp.gather(-1, label[..., None])[..., 0]
    rest = x["hidden"][:, None, :].expand_as(logp)
    none = torch.logaddexp(logp[..., 0], logp.masked_fill(~rest, -1e4).logsumexp(-1))
    picked = torch.where(label == 0, none, picked)
    tag_loss = -(picked * at).sum() / at.sum().clamp_min(1)
    scores = pairs(head.float(), tail.float(), x["pool"], m.bias.float())
    each = F.binary_cross_entropy_with_logits(scores, x["gold"], reduction="none").sum(-1)
    rel_loss = (each * x["learn"]).sum() / x["learn"].sum().clamp_min(1)
    return tag_loss, rel_loss


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


def f1(tp: int, fp: int, fn: int) -> dict[str, float]:
    p, r = tp / max(1, tp + fp), tp / max(1, tp + fn)
    return {
        "precision": round(p, 4),
        "recall": round(r, 4),
        "f1": round(2 * p * r / max(1e-9, p + r), 4),
    }


@torch.no_grad()
def measure(
    m: Extractor,
    data: list[Encoded],
    device: str,
    covers: frozenset[str] | None,
    threshold: float = 0.5,
) -> dict:
    """Micro-F1 of mentions, of relations between the right mentions, and of both together.

    Only types that the data marks count (`covers`); pronouns never do.
    """
    m.eval()
    rng = np.random.default_rng(0)
    order = sorted(range(len(data)), key=lambda i: len(data[i].ids))
    ner, rel = Counter(), Counter()
    by: dict[str, Counter] = {}
    for at in range(0, len(order), 128):
        batch = [data[i] for i in order[at : at + 128]]
        x = {k: v.to(device) for k, v in collate(batch, rng, False).items()}
        with torch.autocast(device.split(":")[0], torch.bfloat16, enabled=device != "cpu"):
            tags, head, tail = m(x["ids"], x["mask"], x["shapes"])
        best = tags.argmax(-1).cpu().numpy()
        scores = pairs(head.float(), tail.float(), x["pool"], m.bias).sigmoid().cpu().numpy()
        for i, e in enumerate(batch):
            found = set(decode([LABELS[best[i, k]] for k in e.firsts]))
            want = set(e.gold)
            skip = set(schema.PRONOUN_TYPES)
            if covers is not None:
                skip |= set(schema.ENTITY_TYPES) - covers
            a = {s for s in found if s[2] not in skip}
            b = {s for s in want if s[2] not in skip}
            ner.update(tp=len(a & b), fp=len(a - b), fn=len(b - a))
            for s in a | b:
                c = by.setdefault(s[2], Counter())
                c["tp" if s in a and s in b else "fp" if s in a else "fn"] += 1
            if not e.related:
                continue
            n = min(MOST_MENTIONS, len(e.mentions))
            gold = {(h, r, t) for h, r, t in e.relations if h < n and t < n}
            hit = {
                (int(h), int(r), int(t))
                for h, t, r in zip(*np.nonzero(scores[i, :n, :n] > threshold), strict=True)
                if h != t and (int(h), int(t)) not in e.ignored
            }
            rel.update(tp=len(gold & hit), fp=len(hit - gold), fn=len(gold - hit))
    m.train()
    out = {"entities": f1(ner["tp"], ner["fp"], ner["fn"])}
    out["by_type"] = {k: f1(c["tp"], c["fp"], c["fn"])["f1"] for k, c in sorted(by.items())}
    if rel:
        out["relations"] = f1(rel["tp"], rel["fp"], rel["fn"])
    return out


def buckets(data: list[Encoded], tokens: int, rng: np.random.Generator) -> list[list[int]]:
    """Batches of texts of like length, about `tokens` pieces each, in random order."""
    order = sorted(range(len(data)), key=lambda i: len(data[i].ids) + rng.random() * 8)
    out: list[list[int]] = []
    row: list[int] = []
    for i in order:
        row.append(i)
        if len(row) * len(data[i].ids) >= tokens:
            out.append(row)
            row = []
    if row:
        out.append(row)
    rng.shuffle(out)  # type: ignore[arg-type]
    return out


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--data", default="../shared/data", help="folder of the labelled public data")
    ap.add_argument("--start", default="training/out/minilm.npz", help="encoder, by model.convert")
    ap.add_argument("--backbone", default="", help="a Hugging Face encoder in its place")
    ap.add_argument("--tokenizer", default="training/out/minilm-tokenizer.json")
    ap.add_argument("--out", default="training/out/extractor")
    ap.add_argument("--hold-out", action="store_true")
    ap.add_argument("--seconds", type=float, default=600)
    ap.add_argument(
        "--first-stage", type=float, default=0.12, help="part of the time on public data"
    )
    ap.add_argument("--generated", type=int, default=60000, help="generated messages")
    ap.add_argument("--batch", type=int, default=8192, help="word pieces in a step")
    ap.add_argument("--rate", type=float, default=2e-4)
    ap.add_argument("--processes", type=int, default=4)
    ap.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    ap.add_argument("--seed", type=int, default=1)
    a = ap.parse_args()
    begin = time.time()
    os.makedirs(a.out, exist_ok=True)
    torch.manual_seed(a.seed)
    rng = np.random.default_rng(a.seed)
    root = public.folder(a.data)
    train = [*flat(public.crossner(root, "train").values()), *public.wnut(root, "train")]
    devs = {f"crossner-{d}": x for d, x in public.crossner(root, "dev").items()}
    devs["wnut"] = public.wnut(root, "dev")
    docs = public.redocred(root)
    kept = docs[::10] if a.hold_out else []
    docs = [d for i, d in enumerate(docs) if not a.hold_out or i % 10]
    if not a.hold_out:
        train += flat(devs.values())
    extra = harvest(train + docs)
    chunk = 1000
    with ProcessPoolExecutor(a.processes, initializer=_start, initargs=(a.tokenizer,)) as pool:
        split = "train" if a.hold_out else "all"
        jobs = [(a.seed * 1000 + i, chunk, split, extra) for i in range(a.generated // chunk)]
        made = pool.map(_generate, jobs)
        exam = pool.map(_generate, [(7, 1500, "heldout", {})])
        parts = [train[i : i + 500] for i in range(0, len(train), 500)]
        ner = flat(pool.map(_encode, parts))
        rel = flat(pool.map(_encode, [docs[i : i + 500] for i in range(0, len(docs), 500)]))
        dev = dict(zip(devs, pool.map(_encode, devs.values()), strict=True))
        dev_docs = flat(pool.map(_encode, [kept] if kept else []))
        made, exam = flat(made), flat(exam)
    print(
        json.dumps(
            {
                "sentences": len(ner), "documents' sentences": len(rel), "generated": len(made),
                "exam": len(exam), "seconds": round(time.time() - begin, 1),
            }
        ),
        flush=True,
    )  # fmt: skip
    c = Config()
    m = Extractor(c, a.backbone)
    if not a.backbone:
        start_from(m, a.start)
    m.to(a.device).train()
    body = [p for n, p in m.named_parameters() if n.startswith("bert.") and "shapes" not in n]
    heads = [p for n, p in m.named_parameters() if not n.startswith("bert.") or "shapes" in n]
    opt = torch.optim.AdamW(
        [{"params": body, "scale": 1.0}, {"params": heads, "scale": 5.0}], a.rate, weight_decay=0.01
    )
    tally, count, step, mark = np.zeros(2), 0, 0, time.time()
    left: list[tuple[list[Encoded], list[int]]] = []
    stage = 1
    while (part := (time.time() - begin) / a.seconds) < 1:
        if part > a.first_stage and stage == 1:
            stage, left = 2, []
        if not left:
            sets = [ner, rel]
            if stage == 2:  # mostly generated: the public sentences would be learnt by heart

                def some(data: list[Encoded], n: int) -> list[Encoded]:
                    return [
                        data[i] for i in rng.choice(len(data), min(len(data), n), replace=False)
                    ]

                sets = [some(ner, 1500), some(rel, 1000), some(made, 12000)]
            left = [(d, row) for d in sets for row in buckets(d, a.batch, rng)]
            rng.shuffle(left)  # type: ignore[arg-type]
        data, row = left.pop()
        x = {
            k: v.to(a.device, non_blocking=True)
            for k, v in collate([data[i] for i in row], rng, True).items()
        }
        with torch.autocast(a.device.split(":")[0], torch.bfloat16, enabled=a.device != "cpu"):
            tag_loss, rel_loss = losses(m, x)
        (tag_loss + rel_loss).backward()
        torch.nn.utils.clip_grad_norm_(m.parameters(), 1.0)
        rate = a.rate * min(1, (step + 1) / 200) * max(0.02, 1 - part)
        for g in opt.param_groups:
            g["lr"] = rate * g["scale"]
        opt.step()
        opt.zero_grad(set_to_none=True)
        step += 1
        if step % 20 == 0:
            tally += np.array([tag_loss.item(), rel_loss.item()])
            count += 1
        if step % 500 == 0:
            print(
                json.dumps(
                    {
                        "step": step, "stage": stage, "part": round(part, 3),
                        "tags": round(tally[0] / count, 4), "relations": round(tally[1] / count, 4),
                        "ms_step": round((time.time() - mark) * 2, 1),
                    }
                ),
                flush=True,
            )  # fmt: skip
            tally, count, mark = np.zeros(2), 0, time.time()
    half = {k: v.half().cpu() for k, v in m.state_dict().items()}
    names = sorted(half)
    # Four files: small enough each for wherever they travel.
    table = half.pop("bert.words.weight", None)
    if table is not None:
        middle = len(table) // 2
        torch.save({"low": table[:middle].clone()}, f"{a.out}/words1.pt")
        torch.save({"high": table[middle:].clone()}, f"{a.out}/words2.pt")
        names.remove("bert.words.weight")
    middle = len(names) // 2
    torch.save({k: half[k] for k in names[:middle]}, f"{a.out}/a.pt")
    torch.save({k: half[k] for k in names[middle:]}, f"{a.out}/b.pt")
    result: dict = {"steps": step, "seconds": round(time.time() - begin, 1), "config": c.to_dict()}
    result["generated_heldout"] = measure(m, exam, a.device, None)
    for t in (0.3, 0.4, 0.6, 0.7):
        result[f"generated_relations_at_{t}"] = measure(m, exam, a.device, None, t)["relations"]
    if a.hold_out:
        result["redocred_tenth"] = measure(m, dev_docs, a.device, schema.COVERS["redocred"])
        for name, data in dev.items():
            source = "wnut" if name == "wnut" else "crossner"
            types = frozenset(
                schema.WNUT.values() if source == "wnut" else schema.CROSSNER.values()
            )
            result[name] = measure(m, data, a.device, types)
        result["crossner_mean_f1"] = round(
            float(np.mean([result[n]["entities"]["f1"] for n in dev if n != "wnut"])), 4
        )
    print(json.dumps(result), flush=True)
    with open(f"{a.out}/metrics.json", "w", encoding="utf-8") as f:
        json.dump(result, f, indent=1)


if __name__ == "__main__":
    main()
