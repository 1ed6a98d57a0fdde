"""The encoder (BERT layers, MiniLM's sizes) with two heads: tags of words, relations of mentions.

A Hugging Face BERT checkpoint gives the encoder's weights by name; `convert` packs one into a small
file. `hf` wraps any other Hugging Face encoder in their place.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from training.extractor import schema


@dataclass
class Config:
    """Sizes; the defaults are those of all-MiniLM-L6-v2."""

    vocab: int = 30522
    width: int = 384
    layers: int = 6
    heads: int = 12
    ff: int = 1536
    positions: int = 512
    shapes: int = 5
    labels: int = len(schema.LABELS)
    relations: int = len(schema.RELATION_TYPES)
    rank: int = 48
    dropout: float = 0.1

    def to_dict(self) -> dict:
        return asdict(self)


class Layer(nn.Module):
    """One BERT layer: attention, then the feed-forward part, each followed by its norm."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        self.c = c
        self.query, self.key = nn.Linear(c.width, c.width), nn.Linear(c.width, c.width)
        self.value, self.out = nn.Linear(c.width, c.width), nn.Linear(c.width, c.width)
        self.norm1, self.norm2 = nn.LayerNorm(c.width, 1e-12), nn.LayerNorm(c.width, 1e-12)
        self.up, self.down = nn.Linear(c.width, c.ff), nn.Linear(c.ff, c.width)
        self.drop = nn.Dropout(c.dropout)

    def forward(self, x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """x [b, t, width], bias [b, 1, 1, t] added to the scores."""
        b, t, w = x.shape
        h = self.c.heads

        def split(z: torch.Tensor) -> torch.Tensor:
            return z.view(b, t, h, w // h).transpose(1, 2)

        q, k, v = split(self.query(x)), split(self.key(x)), split(self.value(x))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        x = self.norm1(x + self.drop(self.out(y.transpose(1, 2).reshape(b, t, w))))
        return self.norm2(x + self.drop(self.down(F.gelu(self.up(x)))))


class Bert(nn.Module):
    """Word pieces (and how their words are written) to states [b, t, width]."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        self.words = nn.Embedding(c.vocab, c.width)
        self.places = nn.Embedding(c.positions, c.width)
        self.shapes = nn.Embedding(c.shapes, c.width)
        nn.init.zeros_(self.shapes.weight)
        self.norm, self.drop = nn.LayerNorm(c.width, 1e-12), nn.Dropout(c.dropout)
        self.layers = nn.ModuleList(Layer(c) for _ in range(c.layers))

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, shapes: torch.Tensor) -> torch.Tensor:
        t = ids.shape[1]
        places = torch.arange(t, device=ids.device)
        x = self.words(ids) + self.places(places)[None] + self.shapes(shapes)
        x = self.drop(self.norm(x))
        bias = ((1.0 - mask[:, None, None, :].to(x.dtype)) * -1e4).to(x.dtype)
        for layer in self.layers:
            x = layer(x, bias)
        return x


class HuggingFace(nn.Module):
    """Any encoder of the transformers library in Bert's place (`--backbone NAME or FOLDER`)."""

    def __init__(self, name: str, c: Config) -> None:
        super().__init__()
        try:
            from transformers import AutoModel
        except ImportError as error:
            raise SystemExit("--backbone needs transformers: pip install transformers") from error
        self.encoder = AutoModel.from_pretrained(name)
        c.width, c.vocab = self.encoder.config.hidden_size, self.encoder.config.vocab_size
        self.shapes = nn.Embedding(c.shapes, c.width)
        nn.init.zeros_(self.shapes.weight)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, shapes: torch.Tensor) -> torch.Tensor:
        words = self.encoder.get_input_embeddings()(ids) + self.shapes(shapes)
        return self.encoder(inputs_embeds=words, attention_mask=mask).last_hidden_state


class Extractor(nn.Module):
    """Encoder and heads.

    `tags` [b, t, labels]; `head` [b, t, relations, rank] and `tail` [b, t, rank]: the score of
    relation r from mention i to mention j is mean(head over i)[r] . mean(tail over j) + bias[r],
    so all pairs of a sentence cost one small product.
    """

    def __init__(self, c: Config, backbone: str = "") -> None:
        super().__init__()
        self.bert = HuggingFace(backbone, c) if backbone else Bert(c)
        self.c = c
        self.drop = nn.Dropout(c.dropout)
        self.tag = nn.Linear(c.width, c.labels)
        self.mix_head, self.mix_tail = nn.Linear(c.width, c.width), nn.Linear(c.width, c.width)
        self.head = nn.Linear(c.width, c.relations * c.rank)
        self.tail = nn.Linear(c.width, c.rank)
        self.bias = nn.Parameter(torch.full((c.relations,), -4.0))

    def forward(
        self, ids: torch.Tensor, mask: torch.Tensor, shapes: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        x = self.drop(self.bert(ids, mask, shapes))
        b, t, _ = x.shape
        head = self.head(F.gelu(self.mix_head(x))).view(b, t, self.c.relations, self.c.rank)
        return self.tag(x), head, self.tail(F.gelu(self.mix_tail(x)))


def pairs(
    head: torch.Tensor, tail: torch.Tensor, pool: torch.Tensor, bias: torch.Tensor
) -> torch.Tensor:
    """Scores [b, e, e, relations] of all ordered pairs; pool [b, e, t] averages over mentions."""
    h = torch.einsum("bet,btrk->berk", pool, head)
    t = torch.einsum("bet,btk->bek", pool, tail)
    return torch.einsum("berk,bfk->befr", h, t) / head.shape[-1] ** 0.5 + bias


NAMES = {
    "attention.self.query": "query", "attention.self.key": "key", "attention.self.value": "value",
    "attention.output.dense": "out", "attention.output.LayerNorm": "norm1",
    "intermediate.dense": "up", "output.dense": "down", "output.LayerNorm": "norm2",
}  # fmt: skip


def convert(source: str, target: str) -> None:
    """A BERT safetensors file as a compressed .npz: embeddings int8 by row, the rest float16."""
    from safetensors.numpy import load_file

    w = load_file(source)
    table = w["embeddings.word_embeddings.weight"].astype(np.float32)
    scale = np.abs(table).max(1, keepdims=True) / 127
    out = {
        "words.q": np.round(table / scale).astype(np.int8),
        "words.scale": scale.astype(np.float32),
        "places.weight": (
            w["embeddings.position_embeddings.weight"]
            + w["embeddings.token_type_embeddings.weight"][0]
        ).astype(np.float16),
        "norm.weight": w["embeddings.LayerNorm.weight"].astype(np.float16),
        "norm.bias": w["embeddings.LayerNorm.bias"].astype(np.float16),
    }
    for name, value in w.items():
        if name.startswith("encoder.layer."):
            number, rest = name.removeprefix("encoder.layer.").split(".", 1)
            part, kind = rest.rsplit(".", 1)
            out[f"layers.{number}.{NAMES[part]}.{kind}"] = value.astype(np.float16)
    np.savez(target, **out)


def start_from(m: Extractor, path: str) -> None:
    """Load a file that `convert` wrote into the encoder."""
    z = np.load(path)
    state = {
        k: torch.from_numpy(z[k].astype(np.float32)) for k in z.files if not k.startswith("words.")
    }
    state["words.weight"] = torch.from_numpy(z["words.q"].astype(np.float32) * z["words.scale"])
    missing, unexpected = m.bert.load_state_dict(state, strict=False)
    if unexpected or set(missing) != {"shapes.weight"}:
        raise SystemExit(f"{path} does not fit the encoder: {missing} {unexpected}")


if __name__ == "__main__":
    import sys

    convert(sys.argv[1], sys.argv[2])
