"""GGUF files with random weights: a small Qwen3's metadata, a vocabulary of bytes, a template."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

TEMPLATE = (
    "{%- for m in messages -%}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"
    "{%- endfor -%}{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}"
)


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a model; `ff` is an expert's where there are any."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    head: int
    ff: int
    vocab: int


@contextmanager
def writing(
    path: Path, architecture: str, name: str, file_type: str, shape: Shape
) -> Iterator[Any]:
    """A gguf.GGUFWriter with the metadata in it, to be given tensors. The file appears whole at the
    end, or not at all."""
    import gguf

    part = path.with_suffix(".part")
    w = gguf.GGUFWriter(part, architecture)
    w.add_name(name)
    w.add_file_type(gguf.LlamaFileType[file_type])
    w.add_context_length(32_768)
    w.add_embedding_length(shape.width)
    w.add_block_count(shape.layers)
    w.add_feed_forward_length(shape.ff)
    w.add_head_count(shape.heads)
    w.add_head_count_kv(shape.kv_heads)
    w.add_key_length(shape.head)
    w.add_value_length(shape.head)
    w.add_layer_norm_rms_eps(1e-6)
    w.add_rope_freq_base(1e6)
    w.add_vocab_size(shape.vocab)
    # SentencePiece-like, of bytes and fillers: any text can be tokenised.
    tokens = [b"<unk>", b"<s>", b"</s>", *(f"<0x{i:02X}>".encode() for i in range(256))]
    control = [b"<|im_start|>", b"<|im_end|>"]
    fill = [f"\u2581w{i}".encode() for i in range(shape.vocab - len(tokens) - len(control))]
    w.add_tokenizer_model("llama")
    w.add_token_list([*tokens, *control, *fill])
    w.add_token_types([2, 3, 3] + [6] * 256 + [3] * len(control) + [1] * len(fill))
    w.add_token_scores([0.0] * shape.vocab)
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    w.add_unk_token_id(0)
    w.add_chat_template(TEMPLATE)
    yield w
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    os.replace(part, path)


def norms(w: Any, shape: Shape) -> None:
    """The weights that are all ones."""
    w.add_tensor("output_norm.weight", np.ones(shape.width, np.float32))
    for i in range(shape.layers):
        for name, size in (("attn", shape.width), ("ffn", shape.width), ("attn_q", shape.head),
                           ("attn_k", shape.head)):  # fmt: skip
            w.add_tensor(f"blk.{i}.{name}_norm.weight", np.ones(size, np.float32))


def cached(cache: Path, name: str, write: Callable[[Path], None]) -> Path:
    """The model's file in the cache folder, written on first use."""
    path = cache / "bench" / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path)
    return path
