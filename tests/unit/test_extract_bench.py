"""`bench extract`: scores on labelled files, and that its peer is GLiNER's shape."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from agents.memory.extract import bench, open_folder, peer, score
from agents.memory.types import Entity, Extraction
from engine.errors import HaloError
from tests.support import tiny_extractors as tiny
from tests.support.cli import halo

FILE = """\
Ada\tB-PER
Lovelace\tI-PER
saw\tO
Oslo\tB-LOC
.\tO

Linux\tB-thing
ran\tO
in\tO
Rome\tB-LOC
\t
Ada\tI-PER
left\tO
"""
MAP = {"PER": "person", "LOC": "location", "thing": None, "never": "event"}


class Says:
    """An extractor that finds given words of a text, each with a type."""

    def __init__(self, words: dict[str, str]) -> None:
        self.words = words

    def raw(self, texts: list[str]) -> list[Extraction]:
        found = []
        for text in texts:
            at = {word: text.find(word) for word in self.words}
            found.append(
                Extraction(
                    tuple(
                        Entity(word, self.words[word], start, start + len(word))
                        for word, start in at.items()
                        if start >= 0
                    )
                )
            )
        return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "some.tsv"
    path.write_text(FILE)
    (tmp_path / "map.json").write_text(json.dumps(MAP))
    return path


def test_sentences_of_a_file(file: Path) -> None:
    first, second, third = score.read(file)
    assert first.tokens == ("Ada", "Lovelace", "saw", "Oslo", ".")
    assert first.gold == ((0, 2, "PER"), (3, 4, "LOC"))
    assert second.gold == ((0, 1, "thing"), (3, 4, "LOC"))
    assert third.gold == ((0, 1, "PER"),)


@pytest.mark.parametrize(
    ("words", "precision", "recall", "left_out"),
    [
        ({"Ada Lovelace": "person", "Oslo": "location", "Rome": "location"}, 1, 0.75, 0),
        ({"Ada": "person"}, 0.5, 0.25, 0),  # cut short in the first sentence, right in the third
        ({"Oslo": "person", "Rome": "location"}, 0.5, 0.25, 0),
        # Overlapping what maps to null, or of a type the file never marks: neither right nor wrong.
        (
            {"Linux ran": "person", "saw": "event", "left": "speaker", "Rome": "location"},
            1,
            0.25,
            3,
        ),
        ({"love": "person", "Lovelace saw": "person"}, 0, 0, 0),
        ({}, 0, 0, 0),
    ],
)
def test_scores(
    file: Path, words: dict[str, str], precision: float, recall: float, left_out: int
) -> None:
    result = score.measure(Says(words), score.read(file), MAP)
    assert (result["precision"], result["recall"]) == (precision, recall)
    assert result["left_out"] == left_out
    f1 = 2 * precision * recall / (precision + recall) if recall else 0
    assert result["micro_f1"] == pytest.approx(f1, abs=1e-4)
    assert result["by_type"]["location"]["gold"] == 2


def test_what_is_said_of_broken_files(tmp_path: Path, file: Path) -> None:
    broken = tmp_path / "broken.tsv"
    for content, words in (
        ("Ada PER\n", "Line 1 of"),
        ("Ada\tB-PER\nsaw\tX\n", "Line 2 of"),
        ("\n\n", "has no sentences"),
    ):
        broken.write_text(content)
        with pytest.raises(HaloError, match=words):
            score.read(broken)
    with pytest.raises(HaloError, match="cannot be read"):
        score.read(tmp_path / "none")
    sentences = score.read(file)
    assert score.read_map(None, sentences)["PER"] == "PER"
    for content, words in (
        ("{", "cannot be read"),
        ('["PER"]', "is no map"),
        ('{"PER": 1}', "is no map"),
        ('{"PER": "person"}', "says nothing about LOC, thing"),
    ):
        broken.write_text(content)
        with pytest.raises(HaloError, match=words):
            score.read_map(broken, sentences)


def test_maps_of_the_public_data_fit_the_training() -> None:
    from training.extractor import schema

    folder = Path(schema.__file__).parent / "maps"
    assert json.loads((folder / "wnut17.json").read_text()) == schema.WNUT
    assert json.loads((folder / "crossner.json").read_text()) == schema.CROSSNER


def test_texts_of_the_bench() -> None:
    messages, chunks = bench.texts()
    assert len(messages) == bench.MESSAGES
    assert len(chunks) == bench.CHUNKS
    assert all(bench.CHUNK / 2 < len(chunk) <= bench.CHUNK for chunk in chunks)
    hundred = bench.of_length(messages)
    assert len(hundred) > 50
    assert bench.quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert bench.quantile(list(map(float, range(100))), 0.95) == 95.0


@pytest.mark.slow
def test_the_peer_is_gliner_small(tmp_path: Path) -> None:
    """166 million weights; the answer depends on the words, their places and the types."""
    own = peer.load(tmp_path, 2)
    layout = json.loads((peer.SHAPE / "gliner_config.json").read_text())["weights"]
    weights = sum(size for _, size, *_ in [*layout["random"], *layout["zero"]]) // 4
    assert 165e6 < weights < 167e6
    one = own._logits([["Ada", "met", "Grace"]])
    assert one.shape == (1, 3, 12, 22)
    assert np.isfinite(one).all() and one.std() > 0
    both = own._logits([["Ada", "met", "Grace"], ["a", "b", "c", "d"]])
    assert both.shape == (2, 4, 12, 22)
    stamp = (tmp_path / "gliner-small-shape" / "weights.bin").stat()
    peer.load(tmp_path, 2)  # written once
    assert (tmp_path / "gliner-small-shape" / "weights.bin").stat().st_mtime == stamp.st_mtime


def test_the_command(tmp_path: Path, file: Path) -> None:
    folder = tiny.halo(tmp_path / "m", {"ada": "B-person", "oslo": "B-location"}, {})
    assert open_folder(folder)
    options = ["--set", f"memory.extractor={folder}"]
    files = ["--ner", str(file), "--map", str(tmp_path / "map.json")]
    done = halo(tmp_path, "bench", "extract", "--json", "--gliner-chunks", "0", *files, *options)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert 0 < result["ms_p50"] <= result["ms_p95"]
    assert result["messages_s"] > 0 and result["ratio_to_gliner"] is None
    assert result["precision"] == pytest.approx(2 / 3, abs=1e-3)  # Ada, Oslo; "Lovelace" missing
    assert set(result["by_type"]) == {"person", "location"}
    bad = halo(tmp_path, "bench", "extract", "--map", str(file), *options)
    assert bad.returncode == 2 and "--map belongs to --ner" in bad.stderr


def test_a_map_may_spell_types_otherwise_and_what_the_schema_has_not_is_told() -> None:
    given = {
        "a": "Organization",
        "b": "creative-work",
        "c": "date/time",
        "d": None,
        "e": "humanoid",
    }
    found, faults = score.of_schema(given, ["organisation", "creative_work", "date"])
    assert found == {
        "a": "organisation", "b": "creative_work", "c": "date", "d": None, "e": "humanoid",
    }  # fmt: skip
    (fault,) = faults
    assert "e is mapped to 'humanoid'" in fault


def test_a_byte_order_mark_and_windows_lines_are_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "x.tsv"
    path.write_bytes(b"\xef\xbb\xbfAda\tB-PER\r\nsaw\tO\r\n\r\nOslo\tB-LOC\r\n")
    assert [s.tokens for s in score.read(path)] == [("Ada", "saw"), ("Oslo",)]
