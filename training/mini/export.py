"""Writes a checkpoint as a qwen3moe GGUF with a ChatML template, and checks what it wrote."""

from __future__ import annotations

import argparse
import json
import os

import gguf
import numpy as np

from training.mini.model import Mini, load

TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"
)
CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
DESCRIPTION = (
    "A small mixture-of-experts model that remembers what it is told in the conversation "
    "and answers about it."
)


def tensors(m: Mini):
    """GGUF names with float32 arrays."""
    yield "token_embd.weight", m.embed.weight
    yield "output_norm.weight", m.norm.weight
    for i, b in enumerate(m.blocks):
        p = f"blk.{i}."
        yield p + "attn_norm.weight", b.attn_norm.weight
        yield p + "attn_q.weight", b.attn.q.weight
        yield p + "attn_k.weight", b.attn.k.weight
        yield p + "attn_v.weight", b.attn.v.weight
        yield p + "attn_output.weight", b.attn.o.weight
        yield p + "attn_q_norm.weight", b.attn.q_norm.weight
        yield p + "attn_k_norm.weight", b.attn.k_norm.weight
        yield p + "ffn_norm.weight", b.ffn_norm.weight
        yield p + "ffn_gate_inp.weight", b.moe.router.weight
        yield p + "ffn_gate_exps.weight", b.moe.gate
        yield p + "ffn_up_exps.weight", b.moe.up
        yield p + "ffn_down_exps.weight", b.moe.down


def write(m: Mini, tokenizer: str, path: str, kind: str = "f16") -> None:
    """Norms and router stay F32, the rest is `kind` (f16 or q8_0)."""
    c = m.c
    w = gguf.GGUFWriter(path, "qwen3moe")
    w.add_name("halo-mini")
    w.add_description(DESCRIPTION)
    w.add_author("the halo-tui project")
    w.add_license("apache-2.0")
    w.add_languages(["en"])
    w.add_file_type(
        gguf.LlamaFileType.MOSTLY_F16 if kind == "f16" else gguf.LlamaFileType.MOSTLY_Q8_0
    )
    w.add_context_length(c.context)
    w.add_embedding_length(c.d_model)
    w.add_block_count(c.layers)
    w.add_feed_forward_length(c.ff * c.used)
    w.add_head_count(c.heads)
    w.add_head_count_kv(c.kv_heads)
    w.add_key_length(c.head_dim)
    w.add_value_length(c.head_dim)
    w.add_rope_dimension_count(c.head_dim)
    w.add_rope_freq_base(c.rope_theta)
    w.add_layer_norm_rms_eps(c.eps)
    w.add_vocab_size(c.vocab)
    w.add_expert_count(c.experts)
    w.add_expert_used_count(c.used)
    w.add_expert_feed_forward_length(c.ff)
    with open(tokenizer, encoding="utf-8") as f:
        t = json.load(f)["model"]
    vocab = sorted(t["vocab"], key=t["vocab"].get)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("gpt-2")
    w.add_token_list(vocab)
    w.add_token_types(
        [gguf.TokenType.CONTROL if v in CONTROL else gguf.TokenType.NORMAL for v in vocab]
    )
    w.add_token_merges([x if isinstance(x, str) else " ".join(x) for x in t["merges"]])
    w.add_eos_token_id(vocab.index("<|im_end|>"))
    w.add_eot_token_id(vocab.index("<|im_end|>"))
    w.add_pad_token_id(vocab.index("<|endoftext|>"))
    w.add_add_bos_token(False)
    w.add_chat_template(TEMPLATE)
    for name, p in tensors(m):
        a = np.ascontiguousarray(p.detach().float().cpu().numpy(), dtype=np.float32)
        if a.ndim == 1 or "ffn_gate_inp" in name:
            w.add_tensor(name, a)
        elif kind == "f16":
            w.add_tensor(name, a.astype(np.float16))
        else:
            q = gguf.quants.quantize(a, gguf.GGMLQuantizationType.Q8_0)
            w.add_tensor(name, q, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def check(path: str, limit_mb: float = 40.0) -> dict:
    """Size and tensor types of a file; raises on a type that llama.cpp would crash on."""
    r = gguf.GGUFReader(path)
    kinds: dict[str, int] = {}
    for t in r.tensors:
        kinds[t.tensor_type.name] = kinds.get(t.tensor_type.name, 0) + 1
        if t.tensor_type.name not in ("F32", "F16", "Q8_0"):
            raise ValueError(f"{t.name} is {t.tensor_type.name}")
    size = os.path.getsize(path) / 1e6
    if size > limit_mb:
        raise ValueError(f"{path} is {size:.1f} MB, more than {limit_mb} MB")
    return {"size_mb": round(size, 2), "tensors": kinds}


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--checkpoint", required=True)
    ap.add_argument("--tokenizer", required=True)
    ap.add_argument("--out", default="engine/assets/halo-mini.gguf")
    ap.add_argument("--type", choices=("f16", "q8_0"), default="f16")
    a = ap.parse_args()
    m, s = load(a.checkpoint)
    write(m, a.tokenizer, a.out + ".new", a.type)
    info = check(a.out + ".new")
    os.replace(a.out + ".new", a.out)  # a running app keeps its mapped file
    print(
        json.dumps(
            {
                **info,
                "tokens": s.get("tokens"),
                "parameters": sum(p.numel() for p in m.parameters()),
            }
        )
    )


if __name__ == "__main__":
    main()
