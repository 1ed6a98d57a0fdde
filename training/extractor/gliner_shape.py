"""The shape of GLiNER small as an ONNX graph without weights: the peer of `bench extract`.

    python -m training.extractor.gliner_shape agents/assets/gliner-small-shape

Sizes of urchade/gliner_small-v2.1: DeBERTa-v3-small (6 layers, 768 wide, 12 heads, disentangled
attention with shared projections and 256 position buckets, 128,100 word pieces), a bidirectional
LSTM, markerV0 spans of up to 12 words; 166 million parameters. Weights are external data: `bench
extract` fills them with random numbers, which take as long as learnt ones. Buckets are looked up
instead of computed, and what depends on weights alone is folded when the model is loaded: both are
in the peer's favour.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

VOCAB, WIDTH, LAYERS, HEADS, INNER = 128_100, 768, 6, 12, 3072
BUCKETS, MOST = 256, 512
HIDDEN, SPAN = 768, 12
ENT = 30_522  # the id of <<ENT>>: the first one after the word pieces of the tokenizer that ships
ALIGN = 4096


def buckets() -> Tensor:
    """[2·MOST - 1] int64: the row of the relative embeddings for each distance."""
    distance = torch.arange(-MOST + 1, MOST)
    middle = BUCKETS // 2
    size = distance.abs().clamp(min=middle - 1).float()
    far = torch.ceil((size / middle).log() / math.log((MOST - 1) / middle) * (middle - 1)) + middle
    bucket = torch.where(distance.abs() <= middle, distance, (far * distance.sign()).long())
    return (bucket + BUCKETS).clamp(0, 2 * BUCKETS - 1)


class Layer(nn.Module):
    """DeBERTa-v2's layer with content-to-position and position-to-content attention."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.out, self.norm1 = nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH, 1e-7)
        self.up, self.down = nn.Linear(WIDTH, INNER), nn.Linear(INNER, WIDTH)
        self.norm2 = nn.LayerNorm(WIDTH, 1e-7)

    def forward(self, x: Tensor, mask: Tensor, places: Tensor, rows: Tensor) -> Tensor:
        """x [b, t, width]; places [2·buckets, width]; rows [t, t] into places."""
        b, t, _ = x.shape

        def split(y: Tensor) -> Tensor:
            return y.view(-1, y.shape[1], HEADS, WIDTH // HEADS).transpose(1, 2)

        q, k, v = split(self.query(x)), split(self.key(x)), split(self.value(x))
        place_q, place_k = split(self.query(places)[None]), split(self.key(places)[None])
        index = rows.expand(b, HEADS, t, t)
        to_place = torch.gather(q @ place_k.transpose(-1, -2), -1, index)
        from_place = torch.gather(k @ place_q.transpose(-1, -2), -1, index).transpose(-1, -2)
        scores = (q @ k.transpose(-1, -2) + to_place + from_place) / (3 * WIDTH // HEADS) ** 0.5
        mixed = ((scores + mask).softmax(-1) @ v).transpose(1, 2).reshape(b, t, WIDTH)
        x = self.norm1(x + self.out(mixed))
        return self.norm2(x + self.down(nn.functional.gelu(self.up(x))))


def projection(width: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, out * 4), nn.ReLU(), nn.Linear(out * 4, out))


class Gliner(nn.Module):
    """Encoder, LSTM, spans against prompts. Inputs and output as in gliner's own export."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.norm = nn.Embedding(VOCAB, WIDTH), nn.LayerNorm(WIDTH, 1e-7)
        self.places = nn.Parameter(torch.randn(2 * BUCKETS, WIDTH))
        self.places_norm = nn.LayerNorm(WIDTH, 1e-7)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.rnn = nn.LSTM(HIDDEN, HIDDEN // 2, bidirectional=True, batch_first=True)
        self.first, self.last = projection(HIDDEN, HIDDEN), projection(HIDDEN, HIDDEN)
        self.out, self.prompt = projection(2 * HIDDEN, HIDDEN), projection(HIDDEN, HIDDEN)
        self.register_buffer("buckets", buckets())

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        words_mask: Tensor,
        text_lengths: Tensor,
        span_idx: Tensor,
        span_mask: Tensor,
    ) -> Tensor:
        b, t = input_ids.shape
        seen = attention_mask.to(torch.float32)
        x = self.norm(self.words(input_ids)) * seen[:, :, None]
        mask = (1.0 - seen)[:, None, None, :] * -10000.0
        order = torch.arange(t)
        rows = self.buckets[order[:, None] - order[None, :] + MOST - 1]
        places = self.places_norm(self.places)
        for layer in self.layers:
            x = layer(x, mask, places, rows)
        batch, at = torch.where(words_mask > 0)
        count = text_lengths.max()
        words = torch.zeros(b, count, HIDDEN)
        words = words.index_put((batch, words_mask[batch, at] - 1), x[batch, at])
        words, _ = self.rnn(words)
        batch, at = torch.where(input_ids == ENT)
        prompts = self.prompt(x[batch, at].view(b, -1, HIDDEN))
        span_idx = span_idx * span_mask[:, :, None]
        first = span_idx[:, :, 0:1].expand(-1, -1, HIDDEN)
        last = span_idx[:, :, 1:2].expand(-1, -1, HIDDEN)
        ends = torch.gather(self.first(words), 1, first), torch.gather(self.last(words), 1, last)
        spans = self.out(torch.cat(ends, -1).relu())
        return (spans @ prompts.transpose(-1, -2)).view(b, count, SPAN, -1)


def example() -> tuple[Tensor, ...]:
    ids = torch.randint(1000, 2000, (2, 20))
    ids[:, [1, 3]] = ENT
    numbers = torch.zeros_like(ids)
    numbers[:, 6:19] = torch.arange(1, 14)
    first = torch.arange(13).repeat_interleave(SPAN)
    last = first + torch.arange(SPAN).repeat(13)
    spans = torch.stack([first, last], -1)[None].repeat(2, 1, 1)
    return (
        ids,
        torch.ones_like(ids),
        numbers,
        torch.tensor([[13], [13]]),
        spans,
        spans[:, :, 1] < 13,
    )


def strip(model: onnx.ModelProto, small: int = 8192) -> dict:
    """Replace large float weights by references into `weights.bin`. Returns its layout."""
    end, holes, scales = 0, [], []
    for tensor in model.graph.initializer:
        shape = list(tensor.dims)
        count = math.prod(shape)
        if tensor.data_type != onnx.TensorProto.FLOAT or count < small:
            continue
        end = -(-end // ALIGN) * ALIGN
        size = 4 * count
        del tensor.external_data[:]
        for name in ("raw_data", "float_data"):
            tensor.ClearField(name)
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", "weights.bin"), ("offset", end), ("length", size)):
            tensor.external_data.add(key=key, value=str(value))
        if VOCAB in shape:
            holes.append([end, size])
        else:
            scales.append([end, size, round(1 / math.sqrt(min(shape)), 5)])
        end += size
    return {"bytes": end, "random": scales, "zero": holes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    names = [
        "input_ids", "attention_mask", "words_mask", "text_lengths", "span_idx", "span_mask"
    ]  # fmt: skip
    axes: dict[str, dict[int, str]] = {name: {0: "b", 1: "t"} for name in names[:3]}
    axes |= {"text_lengths": {0: "b"}, "span_idx": {0: "b", 1: "s"}, "span_mask": {0: "b", 1: "s"}}
    axes["logits"] = {0: "b", 1: "w", 3: "c"}
    model = Gliner().eval()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        torch.onnx.export(
            model,
            example(),
            str(path),
            input_names=names,
            output_names=["logits"],
            dynamic_axes=axes,
            opset_version=17,
            do_constant_folding=False,
            dynamo=False,
        )
        graph = onnx.load(path)
    layout = strip(graph)
    onnx.save(graph, out / "model.onnx")
    content = {
        "name": "GLiNER small (shape)",
        "max_width": SPAN,
        "max_len": 384,
        "span_mode": "markerV0",
        "weights": layout,
    }
    (out / "gliner_config.json").write_text(json.dumps(content) + "\n")
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    print(
        f"{out}: {millions:.0f} M parameters, {(out / 'model.onnx').stat().st_size} bytes of graph"
    )


if __name__ == "__main__":
    main()
