"""Tiny random-weight GGUF models, one per memory layout llama.cpp has, for tests.

They answer nonsense, quickly: about a megabyte each, loaded in milliseconds. The vocabulary is
SentencePiece with byte tokens, so any text can be tokenised.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import DTypeLike

# llama, qwen3: plain; gemma3: sliding window; lfm2: hybrid (recurrent layers). With experts:
# qwen3moe: softmax router; glm4moe: sigmoid, a trained selection bias, the first layer dense;
# bailingmoe2: the same with expert groups, as DeepSeek has them; llama4: selects by logits.
ARCHITECTURES = (
    "llama", "qwen3", "qwen3moe", "glm4moe", "bailingmoe2", "llama4", "gemma3", "lfm2",
)  # fmt: skip
MOE = ("qwen3moe", "glm4moe", "bailingmoe2", "llama4")


@dataclass(frozen=True, slots=True)
class Shape:
    """Dimensions of a tiny model; `experts` and `window` are 0 where there are none."""

    layers: int = 2
    embedding: int = 128
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 32
    feed_forward: int = 256
    vocabulary: int = 512
    experts: int = 0
    experts_used: int = 0
    expert_feed_forward: int = 64
    shared_experts: int = 0
    dense_layers: int = 0  # the first ones
    groups: int = 0
    groups_used: int = 0
    window: int = 0
    context: int = 8192


def shape_of(arch: str) -> Shape:
    """The shape `tiny` uses for an architecture."""
    match arch:
        case "llama" | "qwen3":
            return Shape()
        case "qwen3moe":
            return Shape(experts=16, experts_used=4)
        case "llama4":
            # Every fourth layer has no RoPE; llama.cpp crashes on a model without one.
            return Shape(layers=4, experts=16, experts_used=2, shared_experts=1)
        case "glm4moe":
            return Shape(layers=3, experts=16, experts_used=4, shared_experts=1, dense_layers=1)
        case "bailingmoe2":
            return Shape(layers=3, experts=16, experts_used=4, shared_experts=1, dense_layers=1,
                         groups=4, groups_used=2)  # fmt: skip
        case "gemma3":  # every sixth layer looks at the whole context
            return Shape(layers=7, window=64)
        case "lfm2":  # every other layer is a short convolution
            return Shape(layers=4)
    raise ValueError(f"no tiny model of architecture {arch!r}; there are {ARCHITECTURES}")


@cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="halo-tiny-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def tiny(arch: str, *, seed: int = 0, chat_template: str = "", context: int = 8192) -> Path:
    """Path of a tiny model, written once per process; do not change the file."""
    path = _folder() / f"{arch}-{seed}-{len(list(_folder().iterdir()))}.gguf"
    shape = replace(shape_of(arch), context=context)
    write(path, arch, shape, seed=seed, chat_template=chat_template)
    return path


def write(
    path: Path, arch: str, shape: Shape | None = None, *, seed: int = 0, chat_template: str = ""
) -> None:
    """Writes a random model of `arch` to `path`; the same arguments give the same bytes."""
    model = _Model(path, arch, shape or shape_of(arch), seed)
    model.header(chat_template)
    model.embeddings()
    for layer in range(model.shape.layers):
        model.block(layer)
    model.close()


class _Model:
    """One GGUF being written."""

    def __init__(self, path: Path, arch: str, shape: Shape, seed: int) -> None:
        self.arch, self.shape = arch, shape
        self.random = np.random.default_rng(seed)
        self.writer = gguf.GGUFWriter(path, arch)

    def header(self, chat_template: str) -> None:
        w, s = self.writer, self.shape
        w.add_context_length(s.context)
        w.add_embedding_length(s.embedding)
        w.add_block_count(s.layers)
        w.add_feed_forward_length(s.feed_forward)
        w.add_head_count(s.heads)
        w.add_layer_norm_rms_eps(1e-5)
        w.add_rope_freq_base(10000.0)
        w.add_vocab_size(s.vocabulary)
        if self.arch == "lfm2":
            w.add_head_count_kv([s.kv_heads * self._attends(i) for i in range(s.layers)])
            w.add_shortconv_l_cache(3)
        else:
            w.add_head_count_kv(s.kv_heads)
            w.add_key_length(s.head_dim)
            w.add_value_length(s.head_dim)
            w.add_rope_dimension_count(s.head_dim)
        if s.experts:
            w.add_expert_count(s.experts)
            w.add_expert_used_count(s.experts_used)
            w.add_expert_feed_forward_length(s.expert_feed_forward)
        if self.arch in ("glm4moe", "bailingmoe2"):
            w.add_expert_shared_count(s.shared_experts)
            w.add_leading_dense_block_count(s.dense_layers)
            w.add_expert_weights_scale(1.5)
            w.add_expert_weights_norm(True)
            w.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
        if s.groups:
            w.add_expert_group_count(s.groups)
            w.add_expert_group_used_count(s.groups_used)
        if self.arch == "llama4":
            w.add_interleave_moe_layer_step(1)
        if s.window:
            w.add_sliding_window(s.window)
        self._tokenizer()
        if chat_template:
            w.add_chat_template(chat_template)

    def _tokenizer(self) -> None:
        w, n = self.writer, self.shape.vocabulary
        kind = gguf.TokenType
        tokens = [b"<unk>", b"<s>", b"</s>", *(b"<0x%02X>" % i for i in range(256))]
        types = [kind.UNKNOWN, kind.CONTROL, kind.CONTROL, *[kind.BYTE] * 256]
        words = [b"t%d" % i for i in range(len(tokens), n)]
        w.add_tokenizer_model("llama")
        w.add_token_list([*tokens, *words])
        w.add_token_scores([0.0] * n)
        w.add_token_types([*types, *[kind.NORMAL] * len(words)])
        w.add_bos_token_id(1)
        w.add_eos_token_id(2)
        w.add_unk_token_id(0)

    def embeddings(self) -> None:
        s = self.shape
        self._matrix("token_embd.weight", s.vocabulary, s.embedding, scale=1.0)
        self._matrix("output.weight", s.vocabulary, s.embedding)
        norm = "token_embd_norm.weight" if self.arch == "lfm2" else "output_norm.weight"
        self._ones(norm, s.embedding)

    def block(self, layer: int) -> None:
        s, p = self.shape, f"blk.{layer}."
        self._ones(p + "attn_norm.weight", s.embedding)
        if self.arch == "glm4moe":
            self._ones(p + "post_attention_norm.weight", s.embedding)
        else:
            self._ones(p + "ffn_norm.weight", s.embedding)
        if self._attends(layer):
            self._attention(p)
        else:
            self._matrix(p + "shortconv.conv.weight", s.embedding, 3, dtype=np.float32)
            self._matrix(p + "shortconv.in_proj.weight", 3 * s.embedding, s.embedding)
            self._matrix(p + "shortconv.out_proj.weight", s.embedding, s.embedding)
        if self.arch == "gemma3":
            self._ones(p + "post_attention_norm.weight", s.embedding)
            self._ones(p + "post_ffw_norm.weight", s.embedding)
        if s.experts and layer >= s.dense_layers:
            inner = s.expert_feed_forward
            if self.arch in ("glm4moe", "bailingmoe2"):
                bias = 0.05 * self.random.standard_normal(s.experts, dtype=np.float32)
                self.writer.add_tensor(p + "exp_probs_b.bias", bias.astype(np.float32))
            if s.shared_experts:
                self._matrix(p + "ffn_gate_shexp.weight", inner, s.embedding)
                self._matrix(p + "ffn_up_shexp.weight", inner, s.embedding)
                self._matrix(p + "ffn_down_shexp.weight", s.embedding, inner)
            self._matrix(p + "ffn_gate_inp.weight", s.experts, s.embedding, dtype=np.float32)
            self._matrix(p + "ffn_gate_exps.weight", s.experts, inner, s.embedding)
            self._matrix(p + "ffn_up_exps.weight", s.experts, inner, s.embedding)
            self._matrix(p + "ffn_down_exps.weight", s.experts, s.embedding, inner)
        else:
            self._matrix(p + "ffn_gate.weight", s.feed_forward, s.embedding)
            self._matrix(p + "ffn_up.weight", s.feed_forward, s.embedding)
            self._matrix(p + "ffn_down.weight", s.embedding, s.feed_forward)

    def _attention(self, p: str) -> None:
        s = self.shape
        if self.arch not in ("llama", "llama4"):
            self._ones(p + "attn_q_norm.weight", s.head_dim)
            self._ones(p + "attn_k_norm.weight", s.head_dim)
        rows = [s.heads * s.head_dim, s.kv_heads * s.head_dim, s.kv_heads * s.head_dim]
        if self.arch == "bailingmoe2":
            self._matrix(p + "attn_qkv.weight", sum(rows), s.embedding)
        else:
            for name, count in zip("qkv", rows, strict=True):
                self._matrix(p + f"attn_{name}.weight", count, s.embedding)
        self._matrix(p + "attn_output.weight", s.embedding, s.heads * s.head_dim)

    def _attends(self, layer: int) -> bool:
        return self.arch != "lfm2" or layer % 2 == 1

    def _matrix(
        self, name: str, *dims: int, scale: float = 0.0, dtype: DTypeLike = np.float16
    ) -> None:
        # float32 throughout: NumPy promotes silently, and llama.cpp crashes on float64 tensors.
        values = self.random.standard_normal(dims, dtype=np.float32)
        values *= np.float32(scale or dims[-1] ** -0.5)
        self.writer.add_tensor(name, values.astype(dtype))

    def _ones(self, name: str, size: int) -> None:
        self.writer.add_tensor(name, np.ones(size, np.float32))

    def close(self) -> None:
        self.writer.write_header_to_file()
        self.writer.write_kv_data_to_file()
        self.writer.write_tensors_to_file()
        self.writer.close()
