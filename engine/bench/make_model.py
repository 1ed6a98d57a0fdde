"""Writes a random-weight model of about half a billion parameters, for timing only.

The shape is a small Qwen3's (24 layers, width 1024, 16 query and 8 KV heads of 64, vocabulary
32,768), every weight Q8_0. The blocks are drawn directly as quantised bytes and reused for tensors
of one shape, so that writing needs little memory and a few seconds.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

LAYERS, WIDTH, HEADS, KV_HEADS, HEAD, FF, VOCAB = 24, 1024, 16, 8, 64, 3072, 32_768
TEMPLATE = (
    "{%- for m in messages -%}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"
    "{%- endfor -%}{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}"
)


def q8_blocks(rows: int, columns: int, rng: np.random.Generator) -> np.ndarray:
    """Random Q8_0 rows, uint8 [rows, columns / 32 * 34]: an f16 scale and 32 int8 per block."""
    blocks = columns // 32
    data = np.empty((rows, blocks, 34), np.uint8)
    scale = np.float16(1.6 / np.sqrt(columns) / 127)
    data[:, :, :2] = np.frombuffer(scale.tobytes(), np.uint8)
    data[:, :, 2:] = rng.integers(-127, 128, (rows, blocks, 32), np.int8).view(np.uint8)
    return data.reshape(rows, blocks * 34)


def write(path: Path) -> None:
    """Write the model; the file appears whole or not at all."""
    import gguf

    rng = np.random.default_rng(7)
    part = path.with_suffix(".part")
    w = gguf.GGUFWriter(part, "qwen3")
    w.add_name("half-b random")
    w.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    w.add_context_length(32_768)
    w.add_embedding_length(WIDTH)
    w.add_block_count(LAYERS)
    w.add_feed_forward_length(FF)
    w.add_head_count(HEADS)
    w.add_head_count_kv(KV_HEADS)
    w.add_key_length(HEAD)
    w.add_value_length(HEAD)
    w.add_layer_norm_rms_eps(1e-6)
    w.add_rope_freq_base(1e6)
    w.add_vocab_size(VOCAB)
    # A SentencePiece-like vocabulary of bytes and fillers: any text can be tokenised.
    tokens = [b"<unk>", b"<s>", b"</s>", *(f"<0x{i:02X}>".encode() for i in range(256))]
    types = [2, 3, 3] + [6] * 256
    control = [b"<|im_start|>", b"<|im_end|>"]
    fill = [f"\u2581w{i}".encode() for i in range(VOCAB - len(tokens) - len(control))]
    w.add_tokenizer_model("llama")
    w.add_token_list([*tokens, *control, *fill])
    w.add_token_types(types + [3] * len(control) + [1] * len(fill))
    w.add_token_scores([0.0] * VOCAB)
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    w.add_unk_token_id(0)
    w.add_chat_template(TEMPLATE)
    made: dict[tuple[int, int], np.ndarray] = {}

    def matrix(name: str, rows: int, columns: int) -> None:
        if (rows, columns) not in made:
            made[rows, columns] = q8_blocks(rows, columns, rng)
        w.add_tensor(name, made[rows, columns], raw_dtype=gguf.GGMLQuantizationType.Q8_0)

    def ones(name: str, n: int) -> None:
        w.add_tensor(name, np.ones(n, np.float32))

    matrix("token_embd.weight", VOCAB, WIDTH)
    matrix("output.weight", VOCAB, WIDTH)
    ones("output_norm.weight", WIDTH)
    for i in range(LAYERS):
        block = f"blk.{i}."
        ones(block + "attn_norm.weight", WIDTH)
        ones(block + "ffn_norm.weight", WIDTH)
        ones(block + "attn_q_norm.weight", HEAD)
        ones(block + "attn_k_norm.weight", HEAD)
        matrix(block + "attn_q.weight", HEADS * HEAD, WIDTH)
        matrix(block + "attn_k.weight", KV_HEADS * HEAD, WIDTH)
        matrix(block + "attn_v.weight", KV_HEADS * HEAD, WIDTH)
        matrix(block + "attn_output.weight", WIDTH, HEADS * HEAD)
        matrix(block + "ffn_gate.weight", FF, WIDTH)
        matrix(block + "ffn_up.weight", FF, WIDTH)
        matrix(block + "ffn_down.weight", WIDTH, FF)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    os.replace(part, path)


def half_b(cache: Path) -> Path:
    """The model's file in the cache folder, written on first use."""
    path = cache / "bench" / "half-b-q8_0-v1.gguf"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path)
    return path
