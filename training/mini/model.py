"""The halo-mini network in PyTorch: a qwen3moe decoder, tensor for tensor as llama.cpp runs it."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass
class Config:
    """Sizes of the network; written into every checkpoint."""

    vocab: int = 4096
    d_model: int = 256
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 64
    experts: int = 16
    used: int = 4
    ff: int = 64
    rope_theta: float = 100_000.0
    eps: float = 1e-6
    context: int = 8192

    def to_dict(self) -> dict:
        return asdict(self)


class RMSNorm(nn.Module):
    """Root-mean-square norm over the last dimension."""

    def __init__(self, n: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n))
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.weight.to(x.dtype), self.eps)


def rope_tables(n: int, dim: int, theta: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosine and sine [n, dim/2] of the NEOX rotary embedding (halves, as qwen3 in llama.cpp)."""
    inv = theta ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    a = torch.outer(torch.arange(n, dtype=torch.float64), inv)
    return a.cos().float(), a.sin().float()


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """x [b, h, t, d] rotated by position; NEOX pairs (i, i + d/2)."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)


class Attention(nn.Module):
    """Causal grouped-query attention with qwen3's per-head q and k norms."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        self.c = c
        self.q = nn.Linear(c.d_model, c.heads * c.head_dim, bias=False)
        self.k = nn.Linear(c.d_model, c.kv_heads * c.head_dim, bias=False)
        self.v = nn.Linear(c.d_model, c.kv_heads * c.head_dim, bias=False)
        self.o = nn.Linear(c.heads * c.head_dim, c.d_model, bias=False)
        self.q_norm = RMSNorm(c.head_dim, c.eps)
        self.k_norm = RMSNorm(c.head_dim, c.eps)

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        """x [b, t, d_model] to [b, t, d_model]."""
        b, t, _ = x.shape
        c = self.c
        q = self.q_norm(self.q(x).view(b, t, c.heads, c.head_dim)).transpose(1, 2)
        k = self.k_norm(self.k(x).view(b, t, c.kv_heads, c.head_dim)).transpose(1, 2)
        v = self.v(x).view(b, t, c.kv_heads, c.head_dim).transpose(1, 2)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        g = c.heads // c.kv_heads
        k, v = k.repeat_interleave(g, 1), v.repeat_interleave(g, 1)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o(y.transpose(1, 2).reshape(b, t, -1))


class Dispatch(torch.autograd.Function):
    """Rows of x [n, d] in expert order [n*used, d]; its gradient is a gather too.

    The stock backward of indexing is a scatter-add, which is serial on the CPU.
    """

    @staticmethod
    def forward(ctx, x, rows, back, used):
        ctx.save_for_backward(back)
        ctx.used = used
        return x.index_select(0, rows)

    @staticmethod
    def backward(ctx, g):
        (back,) = ctx.saved_tensors
        return g.index_select(0, back).view(-1, ctx.used, g.shape[-1]).sum(1), None, None, None


class Permute(torch.autograd.Function):
    """y [m, d] reordered by `back`, whose inverse is `order`."""

    @staticmethod
    def forward(ctx, y, back, order):
        ctx.save_for_backward(order)
        return y.index_select(0, back)

    @staticmethod
    def backward(ctx, g):
        (order,) = ctx.saved_tensors
        return g.index_select(0, order), None, None


class MoE(nn.Module):
    """Softmax over all experts, top-k, renormalised: llama.cpp's qwen3moe router."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        self.c = c
        self.router = nn.Linear(c.d_model, c.experts, bias=False)
        s = c.d_model**-0.5
        self.gate = nn.Parameter(torch.randn(c.experts, c.ff, c.d_model) * s)
        self.up = nn.Parameter(torch.randn(c.experts, c.ff, c.d_model) * s)
        self.down = nn.Parameter(torch.randn(c.experts, c.d_model, c.ff) * c.ff**-0.5)
        self.balance = torch.zeros(())
        self.share = torch.zeros(
            c.experts
        )  # part of the routed slots each expert got in the last call

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [b, t, d_model] to the weighted sum of its chosen experts, same shape."""
        c = self.c
        flat = x.reshape(-1, c.d_model)
        p = self.router(flat).softmax(-1)
        w, idx = p.topk(c.used, -1)
        w = w / w.sum(-1, keepdim=True)
        e = idx.reshape(-1)
        order = e.argsort(stable=True)
        back = torch.empty_like(order).index_copy_(
            0, order, torch.arange(order.numel(), device=order.device)
        )
        counts = torch.bincount(e, minlength=c.experts)
        xs = Dispatch.apply(flat, order // c.used, back, c.used).split(counts.tolist())
        ys = [
            F.linear(F.silu(F.linear(h, self.gate[i])) * F.linear(h, self.up[i]), self.down[i])
            for i, h in enumerate(xs)
        ]
        y = Permute.apply(torch.cat(ys), back, order).view(-1, c.used, c.d_model)
        out = (w.unsqueeze(1) @ y).squeeze(1)
        self.share = counts.detach().float() / e.numel()
        if self.training:
            self.balance = c.experts * (self.share * p.mean(0)).sum()
        return out.view_as(x)


class Block(nn.Module):
    """One decoder layer: attention, then the experts, each after a norm and added to the stream."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        self.attn_norm, self.ffn_norm = RMSNorm(c.d_model, c.eps), RMSNorm(c.d_model, c.eps)
        self.attn, self.moe = Attention(c), MoE(c)

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        x = x + self.attn(self.attn_norm(x), cos, sin)
        return x + self.moe(self.ffn_norm(x))


class Mini(nn.Module):
    """The decoder; the output matrix is the embedding, which llama.cpp takes for an absent output."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        self.c = c
        self.embed = nn.Embedding(c.vocab, c.d_model)
        nn.init.normal_(self.embed.weight, std=0.02)
        self.blocks = nn.ModuleList(Block(c) for _ in range(c.layers))
        for b in self.blocks:
            with torch.no_grad():
                b.attn.o.weight.mul_(0.3)
                b.moe.down.mul_(0.3)
        self.norm = RMSNorm(c.d_model, c.eps)
        cos, sin = rope_tables(c.context, c.head_dim, c.rope_theta)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def hidden(self, ids: torch.Tensor) -> torch.Tensor:
        """Token ids [b, t] to final normed states [b, t, d_model]."""
        t = ids.shape[1]
        x = self.embed(ids)
        for b in self.blocks:
            x = b(x, self.cos[:t], self.sin[:t])
        return self.norm(x)

    def logits(self, h: torch.Tensor) -> torch.Tensor:
        """States [..., d_model] to scores [..., vocab]."""
        return F.linear(h, self.embed.weight)

    def balance(self) -> torch.Tensor:
        return torch.stack([b.moe.balance for b in self.blocks]).mean()


def load(path: str) -> tuple[Mini, dict]:
    """The model of a checkpoint in eval mode, with the checkpoint's other fields."""
    s = torch.load(path, weights_only=True, map_location="cpu")
    m = Mini(Config(**s["config"]))
    m.load_state_dict(s["model"])
    return m.eval(), s
