"""The shipped sentence embedder, and what is said of folders that hold none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from agents.memory.embed import SHIPPED, OnnxEmbedder, load
from engine.config import MemoryConfig
from engine.errors import HaloError

REFERENCE = Path(__file__).parents[1] / "corpus" / "embedder" / "float32.npz"


@pytest.fixture(scope="module")
def embedder() -> OnnxEmbedder:
    return load(MemoryConfig())


def test_int8_agrees_with_float32(embedder: OnnxEmbedder) -> None:
    """Vectors of the model before quantisation, written by training/extractor/embedder.py."""
    with np.load(REFERENCE) as stored:
        texts, exact = list(map(str, stored["texts"])), stored["vectors"].astype(np.float32)
    vectors = embedder.embed(texts)
    assert len(texts) == 200
    assert vectors.shape == (200, embedder.dimension)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4)
    cosine = (exact / np.linalg.norm(exact, axis=1, keepdims=True) * vectors).sum(1)
    assert cosine.mean() > 0.997
    assert cosine.min() > 0.98


def test_meaning_is_near(embedder: OnnxEmbedder) -> None:
    texts = ["Where does she work?", "Her employer is a bank.", "The recipe needs two eggs."]
    near = embedder.embed(texts) @ embedder.embed(texts).T
    assert near[0, 1] > near[0, 2] + 0.1


def test_neighbours_in_a_batch_do_not_matter(embedder: OnnxEmbedder) -> None:
    texts = ["hi", "", "Ada moved to Oslo in May. " * 80, "Grace likes tea."]
    together = embedder.embed(texts)
    alone = np.concatenate([embedder.embed([text]) for text in texts])
    assert ((together * alone).sum(1) > 0.99).all()
    assert embedder.embed([]).shape == (0, embedder.dimension)


def test_long_texts_are_cut(embedder: OnnxEmbedder) -> None:
    long = "Ada moved to Oslo in May. " * 80
    assert np.allclose(embedder.embed([long]), embedder.embed([long + "Cheese!"]), atol=1e-5)


def test_a_sentence_transformers_export(tmp_path: Path) -> None:
    """Token states and token types: averaged here. The states are one-hot rows of the ids."""
    ints = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["b", "t"])
        for name in ("input_ids", "attention_mask", "token_type_ids")
    ]
    out = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["b", "t", 5])
    nodes = [
        helper.make_node("Mod", ["input_ids", "five"], ["id"]),
        helper.make_node("OneHot", ["id", "depth", "values"], ["last_hidden_state"]),
    ]
    constants = [
        helper.make_tensor("five", TensorProto.INT64, [], [5]),
        helper.make_tensor("depth", TensorProto.INT64, [], [5]),
        helper.make_tensor("values", TensorProto.FLOAT, [2], [0.0, 1.0]),
    ]
    graph = helper.make_graph(nodes, "g", ints, [out], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    (tmp_path / "onnx").mkdir()
    onnx.save(model, tmp_path / "onnx" / "model.onnx")
    (tmp_path / "config.json").write_text('{"max_position_embeddings": 64}')
    shutil.copy(SHIPPED / "tokenizer.json", tmp_path)
    own = OnnxEmbedder(tmp_path)
    assert (own.dimension, own.name) == (5, tmp_path.name)
    ids = own._tokenizer.encode("tea and toast").ids
    wanted = np.bincount(np.array(ids) % 5, minlength=5).astype(np.float32)
    padded = own.embed(["tea and toast", "a much longer text that makes padding necessary"])
    assert np.allclose(padded[0], wanted / np.linalg.norm(wanted), atol=1e-5)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: (f / "tokenizer.json").unlink(), "has no tokenizer.json"),
        (lambda f: (f / "config.json").unlink(), "has no config.json"),
        (lambda f: (f / "model.onnx").unlink(), "has no model.onnx"),
        (lambda f: (f / "model.onnx").write_bytes(b"no model"), "ONNX Runtime cannot load"),
        (lambda f: (f / "config.json").write_text("[]"), "is no JSON object"),
        (lambda f: (f / "tokenizer.json").write_text("{}"), "cannot be read"),
    ],
)
def test_one_sentence_for_a_broken_folder(tmp_path: Path, spoil, words: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(SHIPPED, folder)
    spoil(folder)
    with pytest.raises(HaloError) as caught:
        load(MemoryConfig(embedder=str(folder)))
    assert words in caught.value.what
    assert caught.value.what.endswith(".") and caught.value.remedy.endswith(".")
    assert "\n" not in str(caught.value)


def test_a_missing_folder_and_a_model_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(HaloError, match="does not exist"):
        load(MemoryConfig(embedder=str(tmp_path / "none")))
    inputs = [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1])]
    outputs = [helper.make_tensor_value_info("label", TensorProto.FLOAT, [1])]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["pixels"], ["label"])], "g", inputs, outputs
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, tmp_path / "model.onnx")
    shutil.copy(SHIPPED / "tokenizer.json", tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({}))
    with pytest.raises(HaloError, match="takes pixels, but a sentence embedder takes"):
        load(MemoryConfig(embedder=str(tmp_path)))
