"""Writes the trained extractor as INT8 ONNX with its tokenizer and config, and measures what INT8 costs.

    python -m training.extractor.export --weights training/out/extractor

Both files, float and INT8, are asked the generated exams; the last line printed has the F1 of each.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import torch

from training.extractor import checkpoint, encode, public, schema, signature
from training.extractor.generator import Generator
from training.extractor.measure import measure
from training.extractor.model import Extractor

LARGEST = 30  # MB that may ship
WINDOW = 32  # word pieces: about a sentence, as most of what it was trained on
THIRD_PERSON = ("he", "she", "him", "her", "his")  # told by the word, not by the model


def load(folder: str) -> Extractor:
    """The weights `train` wrote, as the runtime wants them."""
    m = checkpoint.load(folder)
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


class Exported:
    """An ONNX file in the network's place, for `measure`."""

    def __init__(self, path: Path, m: Extractor) -> None:
        import onnxruntime as ort

        # As the runtime of the app does it.
        self.session = ort.InferenceSession(str(path), disabled_optimizers=["SkipLayerNormFusion"])
        self.bias, self.scale = m.bias.detach(), m.c.rank**0.5

    def eval(self) -> None: ...

    def train(self) -> None: ...

    def __call__(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        names = ("input_ids", "attention_mask", "shapes")
        feeds = {name: x.numpy() for name, x in zip(names, inputs, strict=True)}
        tags, head, tail = map(torch.from_numpy, self.session.run(["tags", "head", "tail"], feeds))
        return tags, head * self.scale, tail


def exams(tokenizer: str, count: int) -> dict[str, list[encode.Encoded]]:
    """Generated messages of the held-out side: the first card's, and as many new ones."""
    tok, g = encode.tokenizer(tokenizer), Generator(7, "heldout", {})
    some = {
        "generated_heldout": public.exam()[:count],
        "generated_new": [g.example() for _ in range(count)],
    }
    return {k: [e for e in (encode.encode(tok, x) for x in v) if e] for k, v in some.items()}


def config(m: Extractor, threshold: float) -> dict[str, Any]:
    """What `config.json` says of the model (docs/extractor.md)."""
    return {
        "format": "halo-extractor",
        "version": 1,
        "name": "halo-extractor",
        "max_length": encode.MAX_PIECES,
        "id2label": dict(enumerate(schema.LABELS)),
        "relations": list(schema.RELATION_TYPES),
        "relation_bias": [round(float(b), 5) for b in m.bias.detach()],
        "relation_threshold": threshold,
        "window": WINDOW,
        "across_sentences": False,
        "mend": True,
        "third_person": list(THIRD_PERSON),
        "type_groups": {
            k: [*v, *(["third_person"] if "person" in v else [])]
            for k, v in signature.GROUPS.items()
        },
        "relation_types": signature.signatures(),
        "entity_threshold": 0.4,
    }


def as_text(content: dict[str, Any]) -> str:
    """JSON with a line for each key, and for each key of its objects."""
    lines = []
    for key, value in content.items():
        told = json.dumps(value)
        if isinstance(value, dict):
            told = (
                "{\n"
                + ",\n".join(f"  {json.dumps(str(k))}: {json.dumps(v)}" for k, v in value.items())
                + "\n }"
            )
        lines.append(f" {json.dumps(key)}: {told}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main() -> None:
    ap = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ap.add_argument("--weights", default="training/out/extractor")
    ap.add_argument("--tokenizer", default="training/out/minilm-tokenizer.json")
    ap.add_argument("--out", default="agents/assets/extractor")
    ap.add_argument("--threshold", type=float, default=0.5)
    ap.add_argument("--exam", type=int, default=1500, help="texts of each exam")
    a = ap.parse_args()
    from onnxruntime.quantization import QuantType, quantize_dynamic

    m, out = load(a.weights), Path(a.out)
    out.mkdir(parents=True, exist_ok=True)
    plain, small = Path(a.weights) / "float.onnx", out / "model.onnx"
    write(m, plain)
    quantize_dynamic(str(plain), str(small), weight_type=QuantType.QInt8, per_channel=True)
    if (out / "tokenizer.json").resolve() != Path(a.tokenizer).resolve():
        shutil.copy(a.tokenizer, out / "tokenizer.json")
    (out / "config.json").write_text(as_text(config(m, a.threshold)), encoding="utf-8")
    size = small.stat().st_size / 1e6
    if size > LARGEST:
        raise SystemExit(f"{small} is {size:.1f} MB, more than {LARGEST} MB")
    asked = exams(a.tokenizer, a.exam)
    result: dict[str, Any] = {"size_mb": round(size, 1)}
    for name, path in (("float", plain), ("int8", small)):
        told = measure(Exported(path, m), asked, "cpu")  # type: ignore[arg-type]
        result[name] = {
            k: {"mentions": v["mentions"]["f1"], "relations": v["relations_typed_0.5"]["f1"]}
            for k, v in told.items()
        }
    result["cost"] = {
        k: {what: round(result["float"][k][what] - v[what], 4) for what in v}
        for k, v in result["int8"].items()
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
