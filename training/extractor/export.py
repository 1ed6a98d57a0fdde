"""Writes the trained extractor as INT8 ONNX with its tokenizer and config, and compares the two."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import torch

from training.extractor import encode, schema
from training.extractor.generator import Generator
from training.extractor.model import Config, Extractor


def load(folder: str) -> Extractor:
    """The weights `train` wrote."""
    state: dict[str, torch.Tensor] = {}
    for name in ("a", "b"):
        state |= torch.load(f"{folder}/{name}.pt", weights_only=True, map_location="cpu")
    low = torch.load(f"{folder}/words1.pt", weights_only=True, map_location="cpu")["low"]
    high = torch.load(f"{folder}/words2.pt", weights_only=True, map_location="cpu")["high"]
    state["bert.words.weight"] = torch.cat([low, high])
    m = Extractor(Config())
    m.load_state_dict({k: v.float() for k, v in state.items()})
    with torch.no_grad():  # the runtime leaves out the division by the rank's root
        m.head.weight /= m.c.rank**0.5
        m.head.bias /= m.c.rank**0.5
    return m.eval()


def write(m: Extractor, path: Path) -> None:
    """Float ONNX with free batch and length."""
    x = torch.ones(2, 16, dtype=torch.long)
    free = {0: "batch", 1: "length"}
    names = ("input_ids", "attention_mask", "shapes", "tags", "head", "tail")
    torch.onnx.export(
        m,
        (x, x, x),
        str(path),
        input_names=list(names[:3]),
        output_names=list(names[3:]),
        dynamic_axes=dict.fromkeys(names, free),
        opset_version=17,
        dynamo=False,
    )


def agreement(first: Path, second: Path, tokenizer: str, count: int = 300) -> float:
    """Share of words of generated messages that two files tag the same."""
    import onnxruntime as ort

    tok = encode.tokenizer(tokenizer)
    g = Generator(11, "heldout", {})
    runs = [ort.InferenceSession(str(p)) for p in (first, second)]
    same = words = 0
    for _ in range(count):
        e = encode.encode(tok, g.example())
        if e is None:
            continue
        feeds = {
            "input_ids": e.ids[None].astype(np.int64),
            "attention_mask": np.ones((1, len(e.ids)), np.int64),
            "shapes": e.shapes[None].astype(np.int64),
        }
        a, b = (r.run(["tags"], feeds)[0][0, e.firsts].argmax(-1) for r in runs)
        same += int((a == b).sum())
        words += len(e.firsts)
    return same / words


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--weights", default="training/out/extractor")
    ap.add_argument("--tokenizer", default="training/out/minilm-tokenizer.json")
    ap.add_argument("--out", default="agents/assets/extractor")
    ap.add_argument("--threshold", type=float, default=0.5)
    a = ap.parse_args()
    from onnxruntime.quantization import QuantType, quantize_dynamic

    m, out = load(a.weights), Path(a.out)
    out.mkdir(parents=True, exist_ok=True)
    plain = Path(a.weights) / "float.onnx"
    write(m, plain)
    quantize_dynamic(
        str(plain), str(out / "model.onnx"), weight_type=QuantType.QInt8, per_channel=True
    )
    shutil.copy(a.tokenizer, out / "tokenizer.json")
    config = {
        "format": "halo-extractor",
        "version": 1,
        "name": "halo-extractor",
        "max_length": encode.MAX_PIECES,
        "id2label": dict(enumerate(schema.LABELS)),
        "relations": schema.RELATION_TYPES,
        "relation_bias": [round(float(b), 5) for b in m.bias.detach()],
        "relation_threshold": a.threshold,
        "entity_threshold": 0.4,
    }
    (out / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    size = (out / "model.onnx").stat().st_size / 1e6
    if size > 30:
        raise SystemExit(f"{out / 'model.onnx'} is {size:.1f} MB, more than 30 MB")
    same = agreement(plain, out / "model.onnx", a.tokenizer)
    print(json.dumps({"size_mb": round(size, 1), "same_tags_as_float": round(same, 4)}))


if __name__ == "__main__":
    main()
