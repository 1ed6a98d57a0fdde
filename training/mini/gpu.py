"""Trains halo-mini on one GPU: processes generate, every step has the same number of tokens.

The network is `model.Mini`; here its layers run as a few fused functions over all tokens of a step at
once [n, ...], with every expert computed and the unchosen ones weighted zero, which a GPU does faster
than sorting tokens by expert. Only attention sees rows, so one compilation serves all lengths.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing as mp
import os
import queue
import time

import numpy as np
import torch
import torch.nn.functional as F

from training.mini import generator
from training.mini.evaluate import summarise
from training.mini.model import Config, Mini
from training.mini.tokenizer import Chat
from training.mini.train import batch, orthogonal

LENGTHS = (256, 512, 1024, 2048, 4096, 8192)
# Part of the run up to which a mix of lengths holds (weights in the order of LENGTHS).
MIXES = (
    (0.08, (1, 0, 0, 0, 0, 0)),
    (0.20, (2, 4, 0, 0, 0, 0)),
    (0.35, (1, 2, 4, 0, 0, 0)),
    (0.55, (1, 2, 2, 4, 0, 0)),
    (0.75, (1, 2, 2, 3, 3, 1)),
    (1.00, (1, 2, 2, 3, 2, 4)),
)


def mix(part: float) -> tuple[int, ...]:
    return next(w for end, w in MIXES if part <= end or end == 1.0)


def produce(seed: int, tokenizer: str, tokens: int, part, out: dict[int, mp.Queue]) -> None:
    """Endless batches: ids [rows, t + 1] uint16, indices of the targets that count, their weights."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(seed)
    chat = Chat(tokenizer)
    number = seed * 1_000_000_000
    while True:
        weights = np.array(mix(part.value), dtype=float)
        t = int(rng.choice(LENGTHS, p=weights / weights.sum()))
        rows = tokens // t
        x, w = batch(chat, t, rows, number)
        number += rows
        ww = w[:, 1:].reshape(-1).numpy()
        sel = ww.nonzero()[0]
        item = (x.numpy().astype(np.uint16), sel.astype(np.int32), ww[sel].astype(np.float32))
        while True:
            try:
                out[t].put(item, timeout=1)
                break
            except queue.Full:
                if mix(part.value)[LENGTHS.index(t)] == 0:
                    break


def norm(x: torch.Tensor, w: torch.Tensor, eps: float) -> torch.Tensor:
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * w


def before(x, wn, wq, wk, wv, wqn, wkn, cos, sin, heads: int, kv: int, hd: int, eps: float):
    """Stream x [n, d] to rotated q [n, heads, hd], k and v [n, kv, hd], all bf16."""
    h = norm(x, wn, eps).bfloat16()
    q = norm(F.linear(h, wq.bfloat16()).view(-1, heads, hd).float(), wqn, eps)
    k = norm(F.linear(h, wk.bfloat16()).view(-1, kv, hd).float(), wkn, eps)
    v = F.linear(h, wv.bfloat16()).view(-1, kv, hd)
    c, s = cos[:, None], sin[:, None]

    def turn(a: torch.Tensor) -> torch.Tensor:
        u, w = a.chunk(2, dim=-1)
        return torch.cat((u * c - w * s, w * c + u * s), dim=-1).bfloat16()

    return turn(q), turn(k), v


def after(x, y, wo, wn, router, gate, up, down, used: int, eps: float):
    """Attention's y [n, heads * hd] and the experts added to x; and the balance loss."""
    n, d = x.shape
    experts, ff, _ = gate.shape
    x = x + F.linear(y, wo.bfloat16()).float()
    h = norm(x, wn, eps)
    p = F.linear(h, router).softmax(-1)
    chosen = (p >= p.topk(used, -1).values[:, -1:]).float()
    w = p * chosen
    w = w / w.sum(-1, keepdim=True)
    hb = h.bfloat16()
    g = F.linear(hb, gate.bfloat16().view(experts * ff, d))
    u = F.linear(hb, up.bfloat16().view(experts * ff, d))
    a = (F.silu(g) * u).view(n, experts, ff) * w.bfloat16()[:, :, None]
    flat = down.bfloat16().permute(1, 0, 2).reshape(d, experts * ff)
    out = x + F.linear(a.view(n, experts * ff), flat).float()
    return out, experts * (chosen.mean(0) / used * p.mean(0)).sum()


class Fast:
    """`Mini`'s forward pass over steps of a fixed number of tokens."""

    def __init__(self, m: Mini, compiled: bool) -> None:
        self.m = m
        wrap = torch.compile if compiled else (lambda f: f)
        self.before, self.after = wrap(before), wrap(after)
        self.tables: dict[tuple[int, int], tuple[torch.Tensor, torch.Tensor]] = {}

    def hidden(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids [rows, t] to normed states [rows * t, d] and the mean balance loss."""
        c, (rows, t) = self.m.c, ids.shape
        if (rows, t) not in self.tables:
            self.tables[rows, t] = tuple(
                a[:t].repeat(rows, 1).contiguous() for a in (self.m.cos, self.m.sin)
            )
        cos, sin = self.tables[rows, t]
        x = self.m.embed(ids.reshape(-1))
        balance = x.new_zeros(())
        for b in self.m.blocks:
            a, e = b.attn, b.moe
            q, k, v = self.before(
                x, b.attn_norm.weight, a.q.weight, a.k.weight, a.v.weight, a.q_norm.weight,
                a.k_norm.weight, cos, sin, c.heads, c.kv_heads, c.head_dim, c.eps,
            )  # fmt: skip
            q, k, v = (z.view(rows, t, -1, c.head_dim).transpose(1, 2) for z in (q, k, v))
            g = c.heads // c.kv_heads
            y = F.scaled_dot_product_attention(
                q, k.repeat_interleave(g, 1), v.repeat_interleave(g, 1), is_causal=True
            )
            x, bal = self.after(
                x, y.transpose(1, 2).reshape(rows * t, -1), a.o.weight, b.ffn_norm.weight,
                e.router.weight, e.gate, e.up, e.down, c.used, c.eps,
            )  # fmt: skip
            balance = balance + bal
        return norm(x, self.m.norm.weight, c.eps), balance / c.layers


class Stacked:
    """Muon over matrices of one shape at a time, all layers in one batched product."""

    def __init__(self, params: list[torch.nn.Parameter], momentum: float = 0.95) -> None:
        shapes: dict[tuple[int, ...], list[torch.nn.Parameter]] = {}
        for p in params:
            shapes.setdefault(tuple(p.shape), []).append(p)
        self.groups = list(shapes.values())
        self.state = [torch.zeros_like(torch.stack(list(g))) for g in self.groups]
        self.momentum = momentum

    @torch.no_grad()
    def step(self, lr: float) -> None:
        for g, m in zip(self.groups, self.state, strict=True):
            grad = torch.stack([p.grad for p in g])
            m.lerp_(grad, 1 - self.momentum)
            u = orthogonal(grad.lerp(m, self.momentum))
            scale = -lr * max(1.0, u.shape[-2] / u.shape[-1]) ** 0.5
            torch._foreach_add_(g, list(u.unbind(0)), alpha=scale)


@torch.no_grad()
def examine(m: Mini, fast: Fast, chat: Chat, tokens: int, count: int, device: str) -> dict:
    """Exact recall on held-out dialogues of about `tokens` tokens, as `evaluate` measures it."""
    rows, modes = [], ("gap", "dense", "document", "chat", "speakers")
    eager = Fast(m, compiled=False)
    for i in range(count):
        d = generator.dialogue(
            1000 + i, target_tokens=tokens, split="heldout", mode=modes[i % len(modes)]
        )
        ids, _, spans = chat.encode(d, m.c.context)
        x = torch.tensor(ids, device=device)
        h, _ = eager.hidden(x[None])
        best = m.logits(h).argmax(-1)
        for a, b, msg in spans:
            if msg["kind"] not in ("ack", "filler"):
                rows.append((msg["kind"], bool((best[a - 1 : b - 1] == x[a:b]).all())))
    return summarise(rows)


def save(m: Mini, path: str, tokens: int, step: int) -> None:
    """Weights as they ship: norms and routers F32, the rest F16."""
    state = {
        n: p.detach().cpu().to(torch.float32 if p.ndim == 1 or "router" in n else torch.float16)
        for n, p in m.state_dict().items()
    }
    torch.save(
        {"model": state, "config": m.c.to_dict(), "tokens": tokens, "step": step}, path + ".tmp"
    )
    os.replace(path + ".tmp", path)


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--out", default="training/out/mini")
    ap.add_argument("--tokenizer", default="training/out/tokenizer.json")
    ap.add_argument("--init", help="checkpoint to start from")
    ap.add_argument("--seconds", type=float, default=420, help="training time, compiling included")
    ap.add_argument(
        "--start-part", type=float, default=0.0, help="where in the mix of lengths to begin"
    )
    ap.add_argument("--step-tokens", type=int, default=65536)
    ap.add_argument("--producers", type=int, default=13)
    ap.add_argument("--device", default="cuda")
    ap.add_argument("--layers", type=int, default=6)
    ap.add_argument("--d-model", type=int, default=256)
    ap.add_argument("--ff", type=int, default=64)
    ap.add_argument("--experts", type=int, default=16)
    ap.add_argument("--muon", type=float, default=0.02)
    ap.add_argument("--adam", type=float, default=3e-3)
    ap.add_argument("--balance", type=float, default=0.01)
    ap.add_argument("--warmup", type=int, default=100)
    ap.add_argument("--decay", type=float, default=0.45)
    ap.add_argument("--eager", action="store_true", help="do not compile")
    ap.add_argument("--seed", type=int, default=1)
    a = ap.parse_args()
    os.makedirs(a.out, exist_ok=True)
    start = time.time()
    ctx = mp.get_context("spawn")
    part = ctx.Value("d", a.start_part)
    queues = {t: ctx.Queue(maxsize=8) for t in LENGTHS}
    workers = [
        ctx.Process(
            target=produce,
            args=(a.seed * 1000 + i, a.tokenizer, a.step_tokens, part, queues),
            daemon=True,
        )
        for i in range(a.producers)
    ]
    for w in workers:
        w.start()
    torch.manual_seed(a.seed)
    torch.set_float32_matmul_precision("high")
    chat = Chat(a.tokenizer)
    saved = torch.load(a.init, weights_only=True, map_location="cpu") if a.init else None
    c = (
        Config(**saved["config"])
        if saved
        else Config(
            vocab=chat.tok.get_vocab_size(),
            d_model=a.d_model,
            layers=a.layers,
            ff=a.ff,
            experts=a.experts,
        )
    )
    m = Mini(c).to(a.device)
    if saved:
        m.load_state_dict(saved["model"])
    fast = Fast(m, compiled=not a.eager)
    named = list(m.named_parameters())
    hidden = [p.ndim >= 2 and "embed" not in n and "router" not in n for n, p in named]
    mats = [p for (_, p), h in zip(named, hidden, strict=True) if h]
    rest = [p for (_, p), h in zip(named, hidden, strict=True) if not h]
    mu = Stacked(mats)
    ad = torch.optim.Adam(rest, a.adam, betas=(0.9, 0.98), foreach=True)
    rng = np.random.default_rng(a.seed)
    tokens, step, starved = saved["tokens"] if saved else 0, 0, 0
    saved_at = 0.0
    tally = torch.zeros(4, device=a.device)
    mark, mark_tokens = time.time(), 0
    print(
        json.dumps({"parameters": sum(p.numel() for p in m.parameters()), **c.to_dict()}),
        flush=True,
    )
    while (spent := (time.time() - start) / a.seconds) < 1:
        part.value = a.start_part + (1 - a.start_part) * spent
        weights = np.array(mix(part.value), dtype=float)
        t = int(rng.choice(LENGTHS, p=weights / weights.sum()))
        try:
            x, sel, ww = queues[t].get_nowait()
        except queue.Empty:
            starved += 1
            ready = [k for k in LENGTHS if weights[LENGTHS.index(k)] and not queues[k].empty()]
            if not ready:
                time.sleep(0.002)
                continue
            try:
                x, sel, ww = queues[int(rng.choice(ready))].get_nowait()
            except queue.Empty:
                continue
        ids = torch.from_numpy(x.astype(np.int64)).to(a.device, non_blocking=True)
        sel = torch.from_numpy(sel.astype(np.int64)).to(a.device, non_blocking=True)
        ww = torch.from_numpy(ww).to(a.device, non_blocking=True)
        h, balance = fast.hidden(ids[:, :-1])
        target = ids[:, 1:].reshape(-1)[sel]
        logits = F.linear(h[sel].bfloat16(), m.embed.weight.bfloat16()).float()
        loss = (F.cross_entropy(logits, target, reduction="none") * ww).sum() / ww.sum()
        (loss + a.balance * balance).backward()
        lr = min(1.0, (step + 1) / a.warmup) * min(1.0, max(0.01, (1 - spent) / a.decay))
        torch.nn.utils.clip_grad_norm_(rest, 1.0)
        mu.step(a.muon * lr)
        ad.param_groups[0]["lr"] = a.adam * lr
        ad.step()
        m.zero_grad(set_to_none=True)
        step += 1
        tokens += ids.numel()
        with torch.no_grad():
            known = ww == 1.0
            right = ((logits.argmax(-1) == target) & known).sum()
            tally += torch.stack([loss.detach(), right, known.sum(), balance.detach()])
        if step % 200 == 0 or step in (1, 2, 10, 50):
            got = tally.tolist()
            tally.zero_()
            now = time.time()
            print(
                json.dumps(
                    {
                        "step": step,
                        "tokens": tokens,
                        "part": round(spent, 3),
                        "loss": round(got[0] / (step - mark_tokens), 4),
                        "recall_token_acc": round(got[1] / max(1, got[2]), 5),
                        "balance": round(got[3] / (step - mark_tokens), 3),
                        "ms_step": round((now - mark) * 1000 / (step - mark_tokens), 1),
                        "starved": starved,
                    }
                ),
                flush=True,
            )
            mark, mark_tokens = now, step
        if time.time() - saved_at > 90:
            saved_at = time.time()
            save(m, f"{a.out}/last.pt", tokens, step)
    save(m, f"{a.out}/last.pt", tokens, step)
    for w in workers:
        w.terminate()
    print(
        json.dumps({"done": True, "tokens": tokens, "step": step, "starved": starved}), flush=True
    )
    for n, count in ((512, 200), (2048, 50), (6144, 20)):
        print(json.dumps({"tokens": n, **examine(m, fast, chat, n, count, a.device)}), flush=True)


if __name__ == "__main__":
    main()
