"""Trains the extractor on what `prepare` made. The whole set lies on the device; each step draws rows by group.

`--teachers` adds what other trained models think of every word and pair (their mean), `--layers` makes a
shallower model, which starts from layers of the first teacher.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import time

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from training.extractor import checkpoint, schema
from training.extractor.measure import measure
from training.extractor.model import Config, Extractor, pairs, start_from
from training.extractor.prepare import GROUPS

LABELS = schema.LABELS
RELATIONS = len(schema.RELATION_TYPES)
MIX = "generated=0.52,posts=0.08,wnut=0.06,wnut_swapped=0.10,crossner=0.03,crossner_swapped=0.07,redocred=0.14"
MASK = 103  # [MASK]


def hidden() -> torch.Tensor:
    """[sources, labels] True where a type may hide at an O word of this data."""
    rows = []
    for source in schema.SOURCES:
        covers = schema.COVERS.get(source)
        rows.append([covers is not None and n != "O" and n[2:] not in covers for n in LABELS])
    return torch.tensor(rows)


class Rows:
    """The training set on the device: batches of `tokens` pieces, all of one length."""

    def __init__(self, path: str, mix: dict[str, float], tokens: int, device: str) -> None:
        self.sets = {
            t: {k: v.to(device) for k, v in s.items()}
            for t, s in torch.load(path, weights_only=True).items()
        }
        self.tokens, self.device = tokens, device
        count = torch.zeros(len(GROUPS), device=device)
        for s in self.sets.values():
            count += torch.bincount(s["group"].long(), minlength=len(GROUPS))
        share = torch.tensor([mix.get(g, 0.0) for g in GROUPS], device=device) / count.clamp_min(1)
        self.lengths = sorted(self.sets)
        self.weights = {t: share[s["group"].long()] for t, s in self.sets.items()}
        pieces = np.array([float(self.weights[t].sum()) * t for t in self.lengths])
        self.odds = pieces / pieces.sum()
        self.hidden = hidden().to(device)

    def batch(self, rng: np.random.Generator) -> dict[str, torch.Tensor]:
        t = int(rng.choice(self.lengths, p=self.odds))
        s, n = self.sets[t], max(2, self.tokens // t)
        i = torch.multinomial(self.weights[t], min(n, len(self.weights[t])), replacement=True)
        x = {k: v[i] for k, v in s.items()}
        b, most = len(i), s["spans"].shape[1]
        place = torch.arange(t, device=self.device)
        mask = (place[None] < x["length"][:, None]).long()
        start, end = x["spans"][..., 0].long(), x["spans"][..., 1].long()
        inside = (place[None, None] >= start[..., None]) & (place[None, None] < end[..., None])
        size = (end - start).clamp_min(1)
        pool = inside.float() / size[..., None]
        gold = torch.zeros(b, most * most * RELATIONS + 1, device=self.device)
        told = x["relations"].long()
        gold.scatter_(1, torch.where(told < 0, most * most * RELATIONS, told), 1.0)
        gold = gold[:, :-1].view(b, most, most, RELATIONS)
        there = end > start
        learn = there[:, :, None] & there[:, None, :] & x["related"][:, None, None]
        learn &= ~torch.eye(most, dtype=torch.bool, device=self.device)[None]
        left = torch.zeros(b, most * most + 1, device=self.device)
        skip = x["ignored"].long()
        left.scatter_(1, torch.where(skip < 0, most * most, skip), 1.0)
        learn &= ~(left[:, :-1].view(b, most, most) > 0)
        learn |= gold.any(-1)
        return {
            "ids": x["ids"].long(), "shapes": x["shapes"].long(), "labels": x["labels"].long(), "mask": mask, "pool": pool,
            "gold": gold, "learn": learn.float(), "hidden": self.hidden[x["source"].long()], "length": x["length"],
        }  # fmt: skip


def roughened(
    x: dict[str, torch.Tensor], letters: torch.Tensor, hide: float
) -> dict[str, torch.Tensor]:
    """Some pieces masked, more often in mentions; some texts as if typed without, or all in, capitals."""
    ids, shapes = x["ids"].clone(), x["shapes"].clone()
    b, t = ids.shape
    chance = torch.where(x["labels"] > 0, 2 * hide, hide)
    place = torch.arange(t, device=ids.device)[None]
    inner = (place > 0) & (place < x["length"][:, None] - 1)
    ids[(torch.rand(b, t, device=ids.device) < chance) & inner] = MASK
    how = torch.rand(b, 1, device=ids.device)
    word = letters[x["ids"]] & (shapes < 4)
    shapes = torch.where(how < 0.15, torch.zeros_like(shapes), shapes)
    shapes = torch.where((how >= 0.15) & (how < 0.18) & word, torch.full_like(shapes, 2), shapes)
    shapes = torch.where(
        (how >= 0.18) & (how < 0.21) & word & (shapes == 0), torch.ones_like(shapes), shapes
    )
    return {**x, "ids": ids, "shapes": shapes}


def losses(
    m: Extractor, x: dict[str, torch.Tensor], taught: tuple[torch.Tensor, torch.Tensor] | None
) -> list[torch.Tensor]:
    """Tagging and relation loss, and how far off the teachers' probabilities both are.

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
    count = at.sum().clamp_min(1)
    tag_loss = -(picked * at).sum() / count
    scores = pairs(head.float(), tail.float(), x["pool"], m.bias.float())
    each = F.binary_cross_entropy_with_logits(scores, x["gold"], reduction="none").sum(-1)
    learnt = x["learn"].sum().clamp_min(1)
    rel_loss = (each * x["learn"]).sum() / learnt
    if taught is None:
        return [tag_loss, rel_loss]
    p, q = taught
    tag_far = -((p * logp).sum(-1) * at).sum() / count
    far = F.binary_cross_entropy_with_logits(scores, q, reduction="none").sum(-1)
    return [tag_loss, rel_loss, tag_far, (far * x["learn"]).sum() / learnt]


@torch.no_grad()
def teach(
    teachers: list[Extractor], x: dict[str, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean probabilities of tags and of relations."""
    p: torch.Tensor | float = 0.0
    q: torch.Tensor | float = 0.0
    for m in teachers:
        tags, head, tail = m(x["ids"], x["mask"], x["shapes"])
        p = p + tags.float().softmax(-1) / len(teachers)
        q = q + pairs(head.float(), tail.float(), x["pool"], m.bias.float()).sigmoid() / len(
            teachers
        )
    return p, q  # type: ignore[return-value]


def shallow(m: Extractor, teacher: Extractor, keep: list[int]) -> None:
    """Start a model of fewer layers from a deeper one."""
    state = teacher.state_dict()
    new = {}
    for name in m.state_dict():
        part = name.split(".")
        if part[:2] == ["bert", "layers"]:
            part[2] = str(keep[int(part[2])])
        new[name] = state[".".join(part)]
    m.load_state_dict(new)


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--rows", default="training/out/all", help="folder that `prepare` wrote")
    ap.add_argument("--start", default="training/out/minilm.npz", help="encoder, by model.convert")
    ap.add_argument("--backbone", default="", help="a Hugging Face encoder in its place")
    ap.add_argument("--tokenizer", default="training/out/minilm-tokenizer.json")
    ap.add_argument("--out", default="training/out/extractor")
    ap.add_argument("--seconds", type=float, default=200)
    ap.add_argument("--mix", default=MIX, help="share of the steps' rows by group")
    ap.add_argument("--batch", type=int, default=8192, help="word pieces in a step")
    ap.add_argument("--rate", type=float, default=2e-4)
    ap.add_argument(
        "--hide",
        type=float,
        default=0.04,
        help="share of pieces that are masked, twice that in mentions",
    )
    ap.add_argument("--dropout", type=float, default=0.1)
    ap.add_argument("--relations", type=float, default=1.0, help="weight of the relations' loss")
    ap.add_argument(
        "--ema", type=float, default=0.998, help="decay of the mean of the weights that is kept"
    )
    ap.add_argument("--teachers", nargs="*", default=[])
    ap.add_argument(
        "--teaching", type=float, default=0.6, help="part of the loss that is the teachers'"
    )
    ap.add_argument("--layers", type=int, default=6)
    ap.add_argument("--keep", default="0,1,3,5", help="layers of the first teacher to start from")
    ap.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    ap.add_argument(
        "--exam", type=int, default=0, help="texts of each exam, 0 = all (for dry runs)"
    )
    ap.add_argument("--say", type=int, default=500, help="steps between two lines")
    ap.add_argument("--seed", type=int, default=1)
    a = ap.parse_args()
    os.makedirs(a.out, exist_ok=True)
    torch.manual_seed(a.seed)
    rng = np.random.default_rng(a.seed)
    mix = {k: float(v) for k, v in (part.split("=") for part in a.mix.split(","))}
    rows = Rows(f"{a.rows}/rows.pt", mix, a.batch, a.device)
    tok = Tokenizer.from_file(a.tokenizer)
    letters = torch.zeros(tok.get_vocab_size(), dtype=torch.bool)
    for piece, i in tok.get_vocab().items():
        letters[i] = piece.removeprefix("##").isalpha()
    letters = letters.to(a.device)
    c = Config(layers=a.layers, dropout=a.dropout)
    m = Extractor(c, a.backbone)
    teachers = [checkpoint.load(folder).to(a.device).eval() for folder in a.teachers]
    if a.layers < 6 and teachers:
        shallow(m, teachers[0], [int(k) for k in a.keep.split(",")])
    elif not a.backbone:
        start_from(m, a.start)
    m.to(a.device).train()
    body = [p for n, p in m.named_parameters() if n.startswith("bert.") and "shapes" not in n]
    heads = [p for n, p in m.named_parameters() if not n.startswith("bert.") or "shapes" in n]
    fused = a.device.startswith("cuda")
    opt = torch.optim.AdamW(
        [{"params": body, "scale": 1.0}, {"params": heads, "scale": 5.0}],
        a.rate,
        weight_decay=0.01,
        fused=fused,
    )
    mean = [p.detach().clone() for p in m.parameters()]
    kind = a.device.split(":")[0]
    step, mark, begin = 0, time.time(), time.time()
    while (part := (time.time() - begin) / a.seconds) < 1:
        x = rows.batch(rng)
        with torch.autocast(kind, torch.bfloat16, enabled=kind != "cpu"):
            x = roughened(x, letters, a.hide)
            taught = teach(teachers, x) if teachers else None
            parts = losses(m, x, taught)
        loss = parts[0] + a.relations * parts[1]
        if taught is not None:
            loss = (1 - a.teaching) * loss + a.teaching * (parts[2] + a.relations * parts[3])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(m.parameters(), 1.0)
        rate = a.rate * min(1, (step + 1) / 150) * max(0.01, 1 - part)
        for g in opt.param_groups:
            g["lr"] = rate * g["scale"]
        opt.step()
        opt.zero_grad(set_to_none=True)
        step += 1
        torch._foreach_lerp_(mean, list(m.parameters()), 1 - min(a.ema, step / (step + 10)))
        if step % a.say == 0:
            print(
                json.dumps({"out": a.out, "step": step, "part": round(part, 3), "tags": round(parts[0].item(), 4),
                            "relations": round(parts[1].item(), 4), "ms_step": round((time.time() - mark) * 1e3 / a.say, 1)}),
                flush=True,
            )  # fmt: skip
            mark = time.time()
    with torch.no_grad():
        for p, kept in zip(m.parameters(), mean, strict=True):
            p.copy_(kept)
    checkpoint.save(m, a.out)
    with open(f"{a.rows}/exams.pkl", "rb") as f:
        exams = {k: v[: a.exam or None] for k, v in pickle.load(f).items()}
    result: dict = {
        "out": a.out,
        "steps": step,
        "seconds": round(time.time() - begin, 1),
        "args": vars(a),
        "config": c.to_dict(),
    }
    result |= measure(m, exams, a.device)
    with open(f"{a.out}/metrics.json", "w", encoding="utf-8") as f:
        json.dump(result, f, indent=1)
    short = {
        k: [
            v.get("mentions", {}).get("f1"),
            v.get("mentions_of_marked_types", {}).get("f1"),
            v.get("relations_typed_0.5", {}).get("f1"),
        ]
        if isinstance(v, dict)
        else v
        for k, v in result.items()
        if k not in ("args", "config")
    }
    print(json.dumps(short), flush=True)


if __name__ == "__main__":
    main()
