"""Trains halo-mini on generated dialogues, short contexts first, on CPU processes or one GPU."""

from __future__ import annotations

import argparse
import json
import os
import time

import torch
import torch.distributed as dist
import torch.nn.functional as F

from training.mini import generator
from training.mini.model import Config, Mini
from training.mini.tokenizer import Chat


def orthogonal(g: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Newton-Schulz orthogonalisation of g [..., a, b], expert by expert."""
    x = g / (g.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    for _ in range(steps):
        a = x @ x.mT
        x = 3.4445 * x + (-4.775 * a + 2.0315 * a @ a) @ x
    return x.mT if tall else x


class Muon:
    """Momentum with orthogonalised updates; the matrices are shared out over the processes."""

    def __init__(
        self, params: list[torch.nn.Parameter], rank: int, world: int, momentum: float = 0.95
    ) -> None:
        self.params, self.rank, self.world, self.momentum = params, rank, world, momentum
        self.state = [torch.zeros_like(p) for p in params]

    @torch.no_grad()
    def step(self, lr: float) -> None:
        updates = []
        for i, (p, m) in enumerate(zip(self.params, self.state, strict=True)):
            m.lerp_(p.grad, 1 - self.momentum)
            mine = i % self.world == self.rank
            updates.append(
                orthogonal(p.grad.lerp(m, self.momentum)) if mine else torch.zeros_like(p)
            )
        if self.world > 1:
            flat = torch.cat([u.reshape(-1) for u in updates])
            dist.all_reduce(flat)
            updates = [
                f.view_as(p)
                for f, p in zip(
                    flat.split([p.numel() for p in self.params]), self.params, strict=True
                )
            ]
        for p, u in zip(self.params, updates, strict=True):
            p.add_(u, alpha=-lr * max(1.0, p.shape[-2] / p.shape[-1]) ** 0.5)


def batch(chat: Chat, t: int, rows: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and target weights, both [rows, t + 1]; one dialogue a row, with no other's facts in sight."""
    x = torch.zeros(rows, t + 1, dtype=torch.long)
    w = torch.zeros(rows, t + 1)
    for i in range(rows):
        ids, weights, _ = chat.encode(
            generator.dialogue(seed + i, target_tokens=int(t * 1.05)), t + 1
        )
        x[i, : len(ids)] = torch.tensor(ids)
        w[i, : len(ids)] = torch.tensor(weights)
    return x, w


def stages(text: str) -> list[tuple[float, int]]:
    """ "0.3:256,1:512" as [(part of the run, context), ...]."""
    return [(float(p), int(t)) for p, t in (s.split(":") for s in text.split(","))]


def run(rank: int, a: argparse.Namespace) -> None:
    torch.set_num_threads(a.threads)
    if a.procs > 1:
        os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
        os.environ.setdefault("MASTER_PORT", str(a.port))
        dist.init_process_group("gloo", rank=rank, world_size=a.procs)
    dev = torch.device(a.device)
    torch.manual_seed(a.seed)
    chat = Chat(a.tokenizer)
    c = Config(
        vocab=chat.tok.get_vocab_size(),
        d_model=a.d_model,
        layers=a.layers,
        heads=a.heads,
        kv_heads=a.kv_heads,
        experts=a.experts,
        used=a.used,
        ff=a.ff,
    )
    last = f"{a.out}/last.pt"
    resume = last if os.path.exists(last) else a.init
    saved = torch.load(resume, weights_only=True, map_location="cpu") if resume else None
    if saved:
        c = Config(**saved["config"])
    m = Mini(c).to(dev)
    if saved:
        m.load_state_dict(saved["model"])
    named = list(m.named_parameters())
    hidden = [p.ndim >= 2 and "embed" not in n and "router" not in n for n, p in named]
    mats = [p for (_, p), h in zip(named, hidden, strict=True) if h]
    rest = [p for (_, p), h in zip(named, hidden, strict=True) if not h]
    mu, ad = Muon(mats, rank, a.procs), torch.optim.Adam(rest, a.adam, betas=(0.9, 0.98))
    tokens, step, spent0 = (saved["tokens"], saved["step"], 0.0) if saved else (0, 0, 0.0)
    if saved and resume == last:
        mu.state = [s.to(dev) for s in saved["muon"]]
        ad.load_state_dict(saved["adam"])
        spent0 = saved["spent"]
    first = step
    plan = stages(a.stages)
    start = mark = save_mark = time.time()
    tally = torch.zeros(4)  # loss, right recall tokens, recall tokens, steps
    amp = torch.autocast(dev.type, torch.bfloat16, enabled=a.bf16)
    m.train()
    while True:
        clock = torch.tensor([spent0 + time.time() - start])
        if a.procs > 1:
            dist.broadcast(
                clock, 0
            )  # one clock, or the processes would leave a stage at different steps
        spent = clock.item()
        part = (step - first) / a.steps if a.steps else spent / 60 / a.minutes
        if part >= 1:
            break
        t = next(t for p, t in plan if part < p or p == plan[-1][0])
        rows = max(1, a.batch_tokens // t)
        x, w = batch(chat, t, rows, a.seed * 1_000_000_000 + (step * a.procs + rank) * 1000)
        x, w = x.to(dev), w.to(dev)
        target, ww = x[:, 1:].reshape(-1), w[:, 1:].reshape(-1)
        sel = ww.nonzero().squeeze(1)  # logits only where there is something to learn
        with amp:
            logits = m.logits(m.hidden(x[:, :-1]).reshape(-1, c.d_model)[sel])
        wsel = ww[sel]
        loss = (
            F.cross_entropy(logits.float(), target[sel], reduction="none") * wsel
        ).sum() / wsel.sum().clamp_min(1.0)
        (loss + a.balance * m.balance()).backward()
        if a.procs > 1:
            flat = torch.cat([p.grad.reshape(-1) for _, p in named])
            dist.all_reduce(flat)
            flat /= a.procs
            for (_, p), g in zip(named, flat.split([p.numel() for _, p in named]), strict=True):
                p.grad = g.view_as(p)
        lr = min(1.0, (step - first + 1) / a.warmup) * min(1.0, max(0.02, (1 - part) / a.decay))
        torch.nn.utils.clip_grad_norm_(rest, 1.0)
        mu.step(a.muon * lr)
        ad.param_groups[0]["lr"] = a.adam * lr
        ad.step()
        m.zero_grad(set_to_none=True)
        step += 1
        tokens += rows * t * a.procs
        recall = wsel == 1.0
        hit = (logits.argmax(-1) == target[sel]) & recall
        tally += torch.tensor([loss.item(), hit.sum().item(), recall.sum().item(), 1.0])
        if rank == 0 and step % a.log_every == 0:
            now = time.time()
            line = {
                "step": step,
                "t": t,
                "loss": round(tally[0].item() / tally[3].item(), 4),
                "recall_token_acc": round(tally[1].item() / max(1.0, tally[2].item()), 4),
                "tokens": tokens,
                "min": round(spent / 60, 1),
                "tok_s": round(tally[3].item() * rows * t * a.procs / (now - mark)),
                "balance": round(m.balance().item(), 2),
            }
            print(json.dumps(line), flush=True)
            tally.zero_()
            mark = now
        if rank == 0 and time.time() - save_mark > a.save_every:
            save_mark = time.time()
            save(last, m, mu, ad, c, tokens, step, spent)
    if rank == 0:
        save(last, m, mu, ad, c, tokens, step, spent)
        print(json.dumps({"done": True, "tokens": tokens, "step": step}), flush=True)
    if a.procs > 1:
        dist.destroy_process_group()


def save(
    path: str,
    m: Mini,
    mu: Muon,
    ad: torch.optim.Adam,
    c: Config,
    tokens: int,
    step: int,
    spent: float,
) -> None:
    state = {
        "model": m.state_dict(),
        "muon": mu.state,
        "adam": ad.state_dict(),
        "config": c.to_dict(),
        "tokens": tokens,
        "step": step,
        "spent": spent,
    }
    torch.save(state, path + ".tmp")
    os.replace(path + ".tmp", path)


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument(
        "--out",
        default="training/out/mini",
        help="folder of the checkpoint; an old one there is continued",
    )
    ap.add_argument("--tokenizer", default="training/out/tokenizer.json")
    ap.add_argument("--init", help="checkpoint to start from (weights only)")
    ap.add_argument("--minutes", type=float, default=60)
    ap.add_argument(
        "--steps", type=int, default=0, help="run this many steps in place of --minutes"
    )
    ap.add_argument(
        "--stages",
        default="0.3:256,0.5:512,0.66:1024,0.84:2048,1:5120",
        help="part of the run:context",
    )
    ap.add_argument(
        "--batch-tokens", type=int, default=2048, help="tokens of one step in each process"
    )
    ap.add_argument("--procs", type=int, default=1)
    ap.add_argument("--threads", type=int, default=1)
    ap.add_argument("--port", type=int, default=29531)
    ap.add_argument("--device", default="cpu")
    ap.add_argument("--bf16", action="store_true")
    for k, v in {
        "d-model": 256,
        "layers": 4,
        "heads": 4,
        "kv-heads": 2,
        "experts": 16,
        "used": 4,
        "ff": 64,
    }.items():
        ap.add_argument(f"--{k}", type=int, default=v)
    ap.add_argument("--muon", type=float, default=0.02)
    ap.add_argument("--adam", type=float, default=3e-3)
    ap.add_argument("--balance", type=float, default=0.01)
    ap.add_argument("--warmup", type=int, default=60)
    ap.add_argument(
        "--decay", type=float, default=0.35, help="last part of the run in which the rate falls"
    )
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--log-every", type=int, default=25)
    ap.add_argument("--save-every", type=float, default=120, help="seconds")
    a = ap.parse_args()
    os.makedirs(a.out, exist_ok=True)
    if a.procs > 1:
        torch.multiprocessing.spawn(run, (a,), nprocs=a.procs)
    else:
        run(0, a)


if __name__ == "__main__":
    main()
