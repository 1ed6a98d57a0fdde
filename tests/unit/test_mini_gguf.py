"""The shipped halo-mini.gguf: what its header promises, and that llama.cpp may load every tensor."""

from __future__ import annotations

from pathlib import Path

import gguf
import jinja2
import pytest

MODEL = Path(__file__).resolve().parents[2] / "engine" / "assets" / "halo-mini.gguf"


@pytest.fixture(scope="module")
def reader() -> gguf.GGUFReader:
    return gguf.GGUFReader(MODEL)


def field(reader: gguf.GGUFReader, name: str) -> object:
    found = reader.get_field(name)
    assert found is not None, name
    return found.contents()


def test_is_small_enough_to_ship() -> None:
    assert MODEL.stat().st_size <= 40_000_000


def test_architecture(reader: gguf.GGUFReader) -> None:
    assert field(reader, "general.architecture") == "qwen3moe"
    assert field(reader, "general.name") == "halo-mini"
    assert field(reader, "general.license") == "apache-2.0"
    assert field(reader, "qwen3moe.context_length") == 8192
    assert field(reader, "qwen3moe.attention.key_length") == 64
    assert field(reader, "qwen3moe.expert_count") >= 16
    assert field(reader, "qwen3moe.expert_used_count") == 4
    heads = field(reader, "qwen3moe.attention.head_count")
    assert heads > field(reader, "qwen3moe.attention.head_count_kv")


def test_tensor_types_are_safe(reader: gguf.GGUFReader) -> None:
    for t in reader.tensors:
        assert t.tensor_type.name in ("F32", "F16", "Q8_0"), t.name
        if "norm" in t.name or "ffn_gate_inp" in t.name:
            assert t.tensor_type.name == "F32", t.name


def test_tokenizer_ends_a_turn(reader: gguf.GGUFReader) -> None:
    tokens = field(reader, "tokenizer.ggml.tokens")
    assert tokens[field(reader, "tokenizer.ggml.eos_token_id")] == "<|im_end|>"
    assert field(reader, "tokenizer.ggml.pre") == "gpt-2"
    types = field(reader, "tokenizer.ggml.token_type")
    for special in ("<|im_start|>", "<|im_end|>", "<|endoftext|>"):
        assert types[tokens.index(special)] == gguf.TokenType.CONTROL


def test_template_is_chatml(reader: gguf.GGUFReader) -> None:
    template = jinja2.Template(str(field(reader, "tokenizer.chat_template")))
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert template.render(messages=messages, add_generation_prompt=True) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
