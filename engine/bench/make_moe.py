"""Writes a random-weight mixture-of-experts model of about 3 GB, for timing only.

The shape is a slice of today's models: width 2048, 128 experts of 512 a layer, 8 used, but few
layers, so that the file stays small while one decoding step reads far more bytes than any
processor cache holds. The experts are BF16, of which a CPU computes more per second than its
memory delivers, as a GPU does of any type: reading is what a step waits for.

Routers are skewed as trained ones are. A router's logit is the sum of two parts: a popularity of
the expert, the same for every token, and a part that depends on the token. Both are made by the
weights alone: all embeddings share one direction, the routers' rows have a component along it
(popularity), and are random otherwise. `POPULARITY` and `CHOICE` are the two standard deviations;
`halo-tui bench experts` reports what comes of them (share of the top experts, entropy of the use).

Weights are drawn once for each shape and written tensor by tensor, so that memory holds a few of
them at most.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from engine.bench.make_model import TEMPLATE

LAYERS, WIDTH, HEADS, KV_HEADS, HEAD, VOCAB = 4, 2048, 16, 4, 64, 4096
EXPERTS, USED, FF = 128, 8, 512
POPULARITY, CHOICE = 1.0, 1.5  # standard deviations of the two parts of a router's logits
COMMON = 0.6  # share of an embedding's power along the direction all of them share


def _bf16(rng: np.random.Generator, shape: tuple[int, ...], scale: float) -> np.ndarray:
    """Random BF16 weights as the bytes of their rows, uint8 [..., 2 * columns]."""
    out = np.empty(shape, np.uint16)
    for row in out.reshape(-1, shape[-2], shape[-1]):  # float32 of one matrix at a time
        values = rng.standard_normal(row.shape, dtype=np.float32) * np.float32(scale)
        row[:] = values.view(np.uint32) >> 16
    return out.view(np.uint8)


def write(path: Path) -> None:
    """Write the model; the file appears whole or not at all."""
    import gguf

    rng = np.random.default_rng(11)
    part = path.with_suffix(".part")
    w = gguf.GGUFWriter(part, "qwen3moe")
    w.add_name("moe 3g random")
    w.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)
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
    w.add_expert_count(EXPERTS)
    w.add_expert_used_count(USED)
    w.add_expert_feed_forward_length(FF)
    tokens = [b"<unk>", b"<s>", b"</s>", *(f"<0x{i:02X}>".encode() for i in range(256))]
    control = [b"<|im_start|>", b"<|im_end|>"]
    fill = [f"▁w{i}".encode() for i in range(VOCAB - len(tokens) - len(control))]
    w.add_tokenizer_model("llama")
    w.add_token_list([*tokens, *control, *fill])
    w.add_token_types([2, 3, 3] + [6] * 256 + [3] * len(control) + [1] * len(fill))
    w.add_token_scores([0.0] * VOCAB)
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    w.add_unk_token_id(0)
    w.add_chat_template(TEMPLATE)

    common = rng.standard_normal(WIDTH).astype(np.float32)
    common /= np.linalg.norm(common)
    made: dict[tuple[int, ...], np.ndarray] = {}

    def matrix(name: str, *shape: int, small: float = 1.0) -> None:
        key = (*shape, int(1000 * small))
        if key not in made:
            made[key] = _bf16(rng, shape, small * shape[-1] ** -0.5)
        w.add_tensor(name, made[key], raw_dtype=gguf.GGMLQuantizationType.BF16)

    def ones(name: str, n: int) -> None:
        w.add_tensor(name, np.ones(n, np.float32))

    embedding = rng.standard_normal((VOCAB, WIDTH)).astype(np.float32) * (1 - COMMON) ** 0.5
    embedding += common * np.float32((COMMON * WIDTH) ** 0.5)
    w.add_tensor("token_embd.weight", embedding.astype(np.float16))
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
        matrix(block + "attn_output.weight", WIDTH, HEADS * HEAD, small=0.2)
        # After the norm an input has power 1 a dimension: COMMON of it along the common direction.
        router = rng.standard_normal((EXPERTS, WIDTH)).astype(np.float32)
        router -= np.outer(router @ common, common)
        router *= np.float32(CHOICE / ((1 - COMMON) * WIDTH) ** 0.5)
        popularity = rng.standard_normal(EXPERTS).astype(np.float32) * np.float32(POPULARITY)
        router += np.outer(popularity, common) / np.float32((COMMON * WIDTH) ** 0.5)
        w.add_tensor(block + "ffn_gate_inp.weight", router)
        matrix(block + "ffn_gate_exps.weight", EXPERTS, FF, WIDTH)
        matrix(block + "ffn_up_exps.weight", EXPERTS, FF, WIDTH)
        matrix(block + "ffn_down_exps.weight", EXPERTS, WIDTH, FF, small=0.2)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    os.replace(part, path)


def moe(cache: Path) -> Path:
    """The model's file in the cache folder, written on first use."""
    path = cache / "bench" / "moe-3g-bf16-v1.gguf"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path)
    return path
