"""Extractor folders of the three formats, with models so small that their answers are known.

Each word piece's id alone says what the model makes of it: tables are looked up, nothing is learnt.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

from agents.memory.embed import SHIPPED

SURE = 12.0  # a logit


CORPUS = ["Ada Lovelace went to Oslo, (with Linux) and Grace Hopper met Ray."] * 4


def unigram() -> Tokenizer:
    """As DeBERTa and XLM-RoBERTa have it: pieces with ▁, words end only at spaces."""
    words = "▁Ada ▁Love lace ▁Oslo ▁Linux ▁with ▁went ▁to ▁and ▁then ▁said Linux".split()
    letters = ["▁", *map(chr, range(33, 127))]
    vocabulary = [("<unk>", 0.0), ("[CLS]", 0.0), ("[SEP]", 0.0)]
    vocabulary += [(word, -1.0) for word in words] + [(letter, -9.0) for letter in letters]
    found = Tokenizer(models.Unigram(vocabulary, unk_id=0))
    found.pre_tokenizer = pre_tokenizers.Metaspace()
    found.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return found


def byte_level() -> Tokenizer:
    """As RoBERTa has it: bytes, the space before a word belongs to it."""
    found = Tokenizer(models.BPE())
    found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    found.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=["<s>", "</s>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    found.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    return found


def tokenizer(folder: Path, extra: Sequence[str] = (), base: Tokenizer | None = None) -> Tokenizer:
    """A tokenizer, by default the WordPiece one that ships, written to `folder`."""
    found = base or Tokenizer.from_file(str(SHIPPED / "tokenizer.json"))
    found.no_truncation()
    if extra:
        found.add_special_tokens(list(extra))
    found.save(str(folder / "tokenizer.json"))
    return found


def _id(tok: Tokenizer, word: str) -> int:
    """The id of a word's first piece."""
    return tok.encode(word, add_special_tokens=False).ids[0]


def write(
    folder: Path,
    nodes: Iterable[onnx.NodeProto],
    inputs: Mapping[str, tuple[int, Sequence[str | int]]],
    outputs: Mapping[str, Sequence[str | int]],
    constants: Mapping[str, np.ndarray],
) -> None:
    graph = helper.make_graph(
        list(nodes),
        "tiny",
        [helper.make_tensor_value_info(n, kind, shape) for n, (kind, shape) in inputs.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, folder / "model.onnx")


INTS = (TensorProto.INT64, ["b", "t"])


def halo(
    folder: Path,
    tags: Mapping[str, str],
    relations: Mapping[tuple[str, str, str], float],
    shapes: bool = False,
    **config: object,
) -> Path:
    """`tags`: word -> label; `relations`: (head word, relation, tail word) -> logit.

    With `shapes`, a word that is not capitalised has no tag.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tok = tokenizer(folder)
    size = tok.get_vocab_size()
    labels = ["O", *sorted(set(tags.values()))]
    names = sorted({r for _, r, _ in relations}) or ["KNOWS"]
    rank = max(1, len(relations))
    table = np.zeros((size, len(labels)), np.float32)
    table[:, 0] = SURE / 2
    for word, label in tags.items():
        table[_id(tok, word), labels.index(label)] = SURE
    head = np.zeros((size, len(names), rank), np.float32)
    tail = np.zeros((size, rank), np.float32)
    for k, ((h, r, t), logit) in enumerate(relations.items()):
        head[_id(tok, h), names.index(r), k] = logit + 50
        tail[_id(tok, t), k] = 1
    nodes = [
        helper.make_node("Gather", ["tag_table", "input_ids"], ["plain" if shapes else "tags"]),
        helper.make_node("Gather", ["head_table", "input_ids"], ["head"]),
        helper.make_node("Gather", ["tail_table", "input_ids"], ["tail"]),
    ]
    constants = {"tag_table": table, "head_table": head, "tail_table": tail}
    inputs = {"input_ids": INTS, "attention_mask": INTS}
    if shapes:
        inputs["shapes"] = INTS
        lower = np.zeros((5, len(labels)), np.float32)
        lower[0, 0] = 2 * SURE
        constants["shape_table"] = lower
        nodes += [
            helper.make_node("Gather", ["shape_table", "shapes"], ["by_shape"]),
            helper.make_node("Add", ["plain", "by_shape"], ["tags"]),
        ]
    outputs = {
        "tags": ["b", "t", len(labels)],
        "head": ["b", "t", len(names), rank],
        "tail": ["b", "t", rank],
    }
    write(folder, nodes, inputs, outputs, constants)
    content = {
        "format": "halo-extractor",
        "version": 1,
        "max_length": 192,
        "id2label": labels,
        "relations": names,
        "relation_bias": [-50.0] * len(names),
        "relation_threshold": 0.5,
        **config,
    }
    (folder / "config.json").write_text(json.dumps(content))
    return folder


def optimum(
    folder: Path,
    tags: Mapping[str, str],
    token_types: bool = True,
    base: Tokenizer | None = None,
) -> Path:
    """A BertForTokenClassification export."""
    folder.mkdir(parents=True, exist_ok=True)
    tok = tokenizer(folder, base=base)
    labels = ["O", *sorted(set(tags.values()))]
    table = np.zeros((tok.get_vocab_size(), len(labels)), np.float32)
    table[:, 0] = SURE / 2
    for word, label in tags.items():
        table[_id(tok, word), labels.index(label)] = SURE
    names = ["input_ids", "attention_mask", *(["token_type_ids"] if token_types else [])]
    write(
        folder,
        [helper.make_node("Gather", ["table", "input_ids"], ["logits"])],
        dict.fromkeys(names, INTS),
        {"logits": ["b", "t", len(labels)]},
        {"table": table},
    )
    content = {
        "architectures": ["BertForTokenClassification"],
        "model_type": "bert",
        "max_position_embeddings": 64,
        "id2label": {str(i): label for i, label in enumerate(labels)},
    }
    (folder / "config.json").write_text(json.dumps(content))
    return folder


def gliner(
    folder: Path,
    types: Sequence[str],
    begins: Mapping[str, str],
    ends: Mapping[str, str],
    base: Tokenizer | None = None,
) -> Path:
    """A span model of width 4: a span is of a type if its first word begins and its last word ends
    one. The features of a word are read where words_mask has its number, as GLiNER does."""
    folder.mkdir(parents=True, exist_ok=True)
    tok = tokenizer(folder, ["<<ENT>>", "<<SEP>>"], base)
    count, width = len(types), 4
    table = np.zeros((tok.get_vocab_size(), 2 * count), np.float32)
    for word, type in begins.items():
        table[_id(tok, word), types.index(type)] = 4
    for word, type in ends.items():
        table[_id(tok, word), count + types.index(type)] = 4
    constants = {
        "table": table,
        "one": np.array(1, np.int64),
        "values": np.array([0, 1], np.float32),
        "from": np.array([1], np.int64),
        "to": np.array([1 << 30], np.int64),
        "axis": np.array([1], np.int64),
        "zero": np.array(0, np.int64),
        "halves": np.array([count, count], np.int64),
        "shape": np.array([0, -1, width, count], np.int64),
        "six": np.array(6, np.float32),
        "last": np.array([2], np.int64),
    }
    n = helper.make_node
    nodes = [
        n("ReduceMax", ["text_lengths"], ["most"], keepdims=0),
        n("Add", ["most", "one"], ["depth"]),
        n("OneHot", ["words_mask", "depth", "values"], ["hot"]),  # [b, t, words + 1]
        n("Transpose", ["hot"], ["turned"], perm=[0, 2, 1]),
        n("Gather", ["table", "input_ids"], ["features"]),
        n("MatMul", ["turned", "features"], ["by_number"]),
        n("Slice", ["by_number", "from", "to", "axis"], ["by_word"]),  # [b, words, 2 types]
        n("Split", ["by_word", "halves"], ["begin", "end"], axis=2),
        n("Gather", ["span_idx", "zero"], ["firsts"], axis=2),
        n("Gather", ["span_idx", "one"], ["lasts"], axis=2),
        n("Unsqueeze", ["firsts", "last"], ["firsts3"]),
        n("Unsqueeze", ["lasts", "last"], ["lasts3"]),
        n("GatherND", ["begin", "firsts3"], ["b0"], batch_dims=1),
        n("GatherND", ["end", "lasts3"], ["e0"], batch_dims=1),
        n("Add", ["b0", "e0"], ["sum"]),
        n("Sub", ["sum", "six"], ["scores"]),
        n("Reshape", ["scores", "shape"], ["logits"]),
    ]
    spans = (TensorProto.INT64, ["b", "s", 2])
    write(
        folder,
        nodes,
        {
            "input_ids": INTS,
            "attention_mask": INTS,
            "words_mask": INTS,
            "text_lengths": (TensorProto.INT64, ["b", 1]),
            "span_idx": spans,
            "span_mask": (TensorProto.BOOL, ["b", "s"]),
        },
        {"logits": ["b", "w", width, count]},
        constants,
    )
    content = {"max_width": width, "max_len": 24, "span_mode": "markerV0", "name": "tiny-gliner"}
    (folder / "gliner_config.json").write_text(json.dumps(content))
    return folder
