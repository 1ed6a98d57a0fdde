"""Extractors of three formats: what they find, where, and what is said of broken folders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agents.memory.extract import load, open_folder
from agents.memory.extract.gliner import GlinerExtractor
from agents.memory.extract.halo import HaloExtractor
from agents.memory.extract.tagger import TagExtractor
from agents.memory.extract.types import schema_type
from agents.memory.types import Extraction
from engine.config import MemoryConfig
from engine.errors import HaloError
from tests.support import tiny_extractors as tiny

TAGS = {
    "ada": "B-person",
    "lovelace": "I-person",
    "i": "B-speaker",
    "oslo": "B-location",
    "bank": "I-organisation",  # never after its B-
}
RELATIONS = {
    ("ada", "WORKS_AT", "bank"): 3.0,
    ("i", "LIVES_IN", "oslo"): 2.0,
    ("ada", "KNOWS", "oslo"): -3.0,
}


@pytest.fixture
def own(tmp_path: Path) -> HaloExtractor:
    found = load(MemoryConfig(extractor=str(tiny.halo(tmp_path / "own", TAGS, RELATIONS))))
    assert isinstance(found, HaloExtractor)
    return found


def names(found: Extraction) -> list[tuple[str, str]]:
    return [(entity.text, entity.type) for entity in found.entities]


def facts(found: Extraction) -> set[tuple[str, str, str]]:
    e = found.entities
    return {(e[r.head].text, r.type, e[r.tail].text) for r in found.relations}


def exact(text: str, found: Extraction) -> None:
    for entity in found.entities:
        assert text[entity.start : entity.end] == entity.text
        assert 0 < entity.confidence <= 1


def test_mentions_and_relations(own: HaloExtractor) -> None:
    text = "  Well—Ada Lovelace left the bank; I stay in Oslo."
    (found,) = own.extract([text])
    exact(text, found)
    assert names(found) == [
        ("Ada Lovelace", "person"),
        ("bank", "organisation"),
        ("I", "person"),  # resolution knows the word
        ("Oslo", "location"),
    ]
    # "lovelace" halves the head vector of "Ada Lovelace": 53 / 2 - 50 < 0.
    assert facts(found) == {("I", "LIVES_IN", "Oslo")}
    (again,) = own.extract(["Ada, the bank"])
    assert facts(again) == {("Ada", "WORKS_AT", "bank")}
    assert again.relations[0].confidence == pytest.approx(0.9526, abs=1e-3)
    assert [e.type for e in own.raw([text])[0].entities][2] == "speaker"


def test_relations_between_types_that_rule_them_out_are_left_out(tmp_path: Path) -> None:
    tags = TAGS | {"bank": "B-organisation"}
    wrong = {("ada", "WORKS_AT", "bank"): 3.0, ("ada", "WORKS_AT", "oslo"): 4.0}
    right = {("bank", "LOCATED_IN", "oslo"): 2.0, ("i", "WORKS_AT", "bank"): 1.0}
    text = "Ada and I are at the bank in Oslo"
    open_to_all = open_folder(tiny.halo(tmp_path / "a", tags, wrong | right))
    assert facts(open_to_all.extract([text])[0]) == {*spelt(wrong | right)}
    typed = open_folder(
        tiny.halo(
            tmp_path / "b",
            tags,
            wrong | right,
            type_groups={"who": ["person", "speaker"]},
            relation_types={"WORKS_AT": [["who", "organisation"]]},  # LOCATED_IN: any types
        )
    )
    left = {pair: score for pair, score in wrong.items() if pair[2] != "oslo"}
    assert facts(typed.extract([text])[0]) == {*spelt(left | right)}
    none = open_folder(tiny.halo(tmp_path / "c", tags, wrong, relation_types={"WORKS_AT": []}))
    assert facts(none.extract([text])[0]) == set()


def spelt(told: dict[tuple[str, str, str], float]) -> list[tuple[str, str, str]]:
    names = {"ada": "Ada", "oslo": "Oslo", "i": "I"}
    return [(names.get(h, h), r, names.get(t, t)) for h, r, t in told]


def test_others_are_mentions_by_their_word(tmp_path: Path) -> None:
    told = {("she", "WORKS_AT", "bank"): 2.0, ("ada", "WORKS_AT", "bank"): 2.0}
    tags = TAGS | {"bank": "B-organisation"}
    text = "Ada is here. She and the bank!"
    plain = open_folder(tiny.halo(tmp_path / "a", tags, told))
    assert facts(plain.extract([text])[0]) == {("Ada", "WORKS_AT", "bank")}
    own = open_folder(
        tiny.halo(
            tmp_path / "b",
            tags,
            told,
            third_person=["he", "she"],
            across_sentences=False,
            type_groups={"who": ["person", "third_person"]},
            relation_types={"WORKS_AT": [["who", "organisation"]]},
        )
    )
    (found,) = own.extract([text])
    exact(text, found)
    assert names(found) == [("Ada", "person"), ("She", "person"), ("bank", "organisation")]
    assert facts(found) == {("She", "WORKS_AT", "bank")}  # Ada is of the sentence before
    assert [e.type for e in own.raw([text])[0].entities][1] == "third_person"


def test_a_window_is_about_as_long_as_it_is_to_be(tmp_path: Path) -> None:
    """Pieces of other sentences are not read along; a long sentence stays whole."""
    seen: list[list[int]] = []
    own = open_folder(tiny.halo(tmp_path / "m", TAGS, RELATIONS, window=24))
    run = own._model.run

    def watched(outputs, feeds):  # type: ignore[no-untyped-def]
        seen.extend(feeds["attention_mask"].tolist())
        return run(outputs, feeds)

    own._model.run = watched  # type: ignore[method-assign]
    text = "Nothing of note was said on that long day by anyone. " * 4
    assert names(own.extract([text + "I live in Oslo" + " or so" * 40])[0]) == [
        ("I", "person"),
        ("Oslo", "location"),
    ]
    sizes = sorted(sum(row) - 2 for row in seen)
    assert sizes[-1] == 84 and sum(sizes) == 84 + 4 * 12 and max(sizes[:-1]) <= 36


def test_who_she_is_is_left_to_the_memory() -> None:
    (found,) = load(MemoryConfig()).extract(
        ["My sister Eva lives in Berlin. She works at Charité and hates mornings."]
    )
    assert {("Eva", "LIVES_IN", "Berlin"), ("She", "WORKS_AT", "Charité")} <= facts(found)
    assert {e.type for e in found.entities if e.text in ("Eva", "She")} == {"person"}
    assert ("My", "WORKS_AT", "Charité") not in facts(found)


def test_nobody_works_at_the_city_of_the_firm() -> None:
    """The shipped model, whose types rule it out."""
    own = load(MemoryConfig())
    texts = ["I work at Siemens in Munich.", "Bob works for Bosch in Stuttgart since May."]
    told = [facts(found) for found in own.extract(texts)]
    assert ("I", "WORKS_AT", "Siemens") in told[0]
    assert ("Bob", "WORKS_AT", "Bosch") in told[1]
    assert not {
        f
        for some in told
        for f in some
        if f[1:] in (("WORKS_AT", "Munich"), ("WORKS_AT", "Stuttgart"))
    }


def test_articles_and_signs_are_no_mentions(tmp_path: Path) -> None:
    tags = {
        "a": "B-misc",
        "the": "B-misc",
        "!": "B-misc",
        "5": "B-quantity",
        "vitamin": "B-product",
    }
    own = open_folder(tiny.halo(tmp_path / "m", tags | {"+": "I-product"}, {}))
    (found,) = own.extract(["a vitamin + the 5!"])
    assert names(found) == [("vitamin +", "product"), ("5", "quantity")]
    own = open_folder(tiny.halo(tmp_path / "n", {"it": "B-topic", "them": "B-topic"}, {}))
    assert names(own.extract(["It likes them, it asks IT"])[0]) == [("IT", "topic")]


def test_texts_keep_their_order_and_batches_do_not_matter(own: HaloExtractor) -> None:
    texts = ["I like Oslo", "", "hm", "Ada " * 150, "the bank", "Oslo " * 3, "\n\t "]
    together = own.extract(texts)
    assert together == [own.extract([text])[0] for text in texts]
    assert [len(found.entities) for found in together] == [2, 0, 0, 150, 1, 3, 0]
    assert own.extract([]) == []


def test_long_texts_are_read_in_windows(own: HaloExtractor) -> None:
    filler = "Nothing of note was said on that long day by anyone at all. "
    text = filler * 20 + "I live in Oslo. " + filler * 20 + "Ada runs the bank. " + filler * 9
    (found,) = own.extract([text])
    exact(text, found)
    assert names(found) == [
        ("I", "person"),
        ("Oslo", "location"),
        ("Ada", "person"),
        ("bank", "organisation"),
    ]
    assert facts(found) == {("I", "LIVES_IN", "Oslo"), ("Ada", "WORKS_AT", "bank")}


def test_one_sentence_longer_than_a_window(own: HaloExtractor) -> None:
    """No mention is lost or doubled at the cuts, wherever they fall."""
    for shift in range(0, 60, 7):
        text = "so " * shift + "and then Ada Lovelace came " * 120
        (found,) = own.extract([text])
        exact(text, found)
        assert names(found) == [("Ada Lovelace", "person")] * 120


def test_a_word_longer_than_a_window(own: HaloExtractor) -> None:
    text = "Ada " + "q" * 95 + "x7" * 300 + " Oslo"
    (found,) = own.extract([text])
    assert names(found) == [("Ada", "person"), ("Oslo", "location")]


def test_shapes_of_words(tmp_path: Path) -> None:
    own = open_folder(tiny.halo(tmp_path / "m", TAGS, {}, shapes=True))
    (found,) = own.extract(["ada met Ada in oslo and OSLO"])
    assert names(found) == [("Ada", "person"), ("OSLO", "location")]


def test_an_optimum_export(tmp_path: Path) -> None:
    tags = {"ada": "B-PER", "lovelace": "I-PER", "oslo": "I-LOC", "linux": "B-Creative-Work"}
    own = open_folder(tiny.optimum(tmp_path / "m", tags))
    assert isinstance(own, TagExtractor)
    text = "(Ada Lovelace) went to Oslo with Linux. " * 12  # 64 positions: windows
    (found,) = own.extract([text])
    exact(text, found)
    assert (
        names(found)
        == [("Ada Lovelace", "person"), ("Oslo", "location"), ("Linux", "creative_work")] * 12
    )
    assert found.relations == ()
    plain = open_folder(tiny.optimum(tmp_path / "n", tags, token_types=False))
    assert plain.extract([text]) == [found]


@pytest.mark.parametrize("base", [tiny.unigram, tiny.byte_level])
def test_other_tokenizers(tmp_path: Path, base) -> None:
    """Offsets where pieces carry the space before a word, and words that end only at spaces."""
    tok = base()
    text = "Ada Lovelace went to Oslo, (with Linux) and é. "
    tags = {
        "Ada": "B-PER",
        " Lovelace": "I-PER",
        " Oslo": "B-LOC",
        "Linux": "B-PROD",
        " Linux": "B-PROD",
    }
    own = open_folder(tiny.optimum(tmp_path / "m", tags, base=tok))
    (found,) = own.extract([text * 9])
    exact(text * 9, found)
    wanted = [("Ada Lovelace", "person"), ("Oslo", "location"), ("Linux", "product")]
    assert names(found) == wanted * 9


def test_gliner_with_pieces_that_carry_spaces(tmp_path: Path) -> None:
    begins, ends = {" Ada": "person", " Oslo": "location"}, {" Ada": "person", " Oslo": "location"}
    types = ["person", "location"]
    own = open_folder(
        tiny.gliner(tmp_path / "m", types, begins, ends, base=tiny.unigram()), entity_types=types
    )
    text = "then Ada went to Oslo, said Ada"
    (found,) = own.extract([text])
    exact(text, found)
    assert names(found) == [("Ada", "person"), ("Oslo", "location"), ("Ada", "person")]


def test_a_gliner_export(tmp_path: Path) -> None:
    types = ["person", "software_framework"]
    folder = tiny.gliner(
        tmp_path / "m",
        types,
        {"ada": "person", "grace": "person", "ray": "software_framework"},
        {"lovelace": "person", "hopper": "person", "ada": "person", "ray": "software_framework"},
    )
    own = open_folder(folder, entity_types=types)
    assert isinstance(own, GlinerExtractor)
    texts = [
        "Ada Lovelace, unbelievably, likes Ray",
        "hello",
        "Grace Hopper met Ada. " * 12,  # 24 words at most: windows
        "",
    ]
    found = own.extract(texts)
    for text, extraction in zip(texts, found, strict=True):
        exact(text, extraction)
    # "Ada" alone scores as high as "Ada Lovelace": the first one found stands.
    assert names(found[0])[0][0].startswith("Ada")
    assert names(found[0])[-1] == ("Ray", "software_framework")
    assert names(found[1]) == names(found[3]) == []
    assert names(found[2]) == [("Grace Hopper", "person"), ("Ada", "person")] * 12


def test_names_of_types() -> None:
    assert schema_type("PER") == "person"
    assert schema_type("Creative-Work") == schema_type("WORK_OF_ART") == "creative_work"
    assert schema_type("software framework") == "software_framework"
    assert schema_type("Enzyme") == "enzyme"


def change(**values: object):
    def spoil(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return spoil


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: (f / "tokenizer.json").unlink(), "has no tokenizer.json"),
        (lambda f: (f / "model.onnx").unlink(), "has no model.onnx"),
        (lambda f: (f / "config.json").unlink(), "has no config.json"),
        (lambda f: (f / "config.json").write_text("{"), "cannot be read"),
        (lambda f: (f / "model.onnx").write_bytes(b"\x08\x09"), "ONNX Runtime cannot load"),
        (change(version=2), "this halo-tui reads version 1"),
        (change(id2label=["O", "B-person"]), "gives tags of shape"),
        (change(relations=["KNOWS"], relation_bias=[0.0]), "gives head of shape"),
        (change(relation_bias=[0.0]), "relation_bias"),
        (change(max_length=4), "reads 4 tokens at most"),
        (change(relation_threshold=[0.1, 0.2]), "relation_threshold"),
        (change(relation_bias="none"), "relation_bias"),
        (change(relation_types={"EATS": []}), "names EATS, which the model does not know"),
        (change(relation_types={"KNOWS": [["person", "firm"]]}), "has firm for KNOWS"),
        (change(relation_types={"KNOWS": ["person"]}), "must have pairs of types for KNOWS"),
        (change(relation_types=["KNOWS"]), "relation_types in"),
        (
            change(type_groups={"who": ["robot"]}, relation_types={"KNOWS": [["who", "who"]]}),
            "has who for KNOWS",
        ),
        (change(format="something"), "holds no extractor that halo-tui knows"),
    ],
)
def test_one_sentence_for_a_broken_folder(tmp_path: Path, spoil, words: str) -> None:
    folder = tiny.halo(tmp_path / "m", TAGS, RELATIONS)
    spoil(folder)
    with pytest.raises(HaloError) as caught:
        load(MemoryConfig(extractor=str(folder)))
    assert words in caught.value.what
    assert caught.value.what.endswith(".") and caught.value.remedy.endswith(".")
    assert "\n" not in str(caught.value)


def test_broken_exports_of_others(tmp_path: Path) -> None:
    folder = tiny.optimum(tmp_path / "a", {"ada": "B-PER"})
    change(id2label={"0": "O"})(folder)
    with pytest.raises(HaloError, match="gives logits of shape"):
        open_folder(folder)
    change(id2label=None)(folder)
    with pytest.raises(HaloError, match="has no id2label"):
        open_folder(folder)
    change(architectures=["BertForMaskedLM"])(folder)
    with pytest.raises(HaloError, match=r"knows \(architecture BertForMaskedLM\)"):
        open_folder(folder)

    folder = tiny.gliner(tmp_path / "b", ["person"], {"ada": "person"}, {"ada": "person"})
    with pytest.raises(HaloError, match="for two words and 2 types"):
        open_folder(folder, entity_types=["person", "location"])
    tiny.tokenizer(folder)
    with pytest.raises(HaloError, match="does not know <<ENT>>"):
        open_folder(folder, entity_types=["person"])
    (folder / "gliner_config.json").write_text('{"span_mode": "token_level"}')
    with pytest.raises(HaloError, match="span_mode token_level"):
        open_folder(folder, entity_types=["person"])
    with pytest.raises(HaloError, match="does not exist"):
        load(MemoryConfig(extractor=str(tmp_path / "none")))


def test_a_model_of_other_inputs(tmp_path: Path) -> None:
    folder = tiny.optimum(tmp_path / "m", {"ada": "B-PER"})
    (folder / "config.json").write_text(
        json.dumps({"format": "halo-extractor", "version": 1, "id2label": ["O", "B-person"]})
    )
    with pytest.raises(HaloError, match="takes attention_mask, input_ids, token_type_ids, but"):
        open_folder(folder)


@pytest.mark.parametrize(
    "word", ["", "a", "A", "Ada", "NASA", "iPhone", "McKay", "8060S", "...", "é", "Öl"]
)
def test_words_have_the_shape_that_training_saw(word: str) -> None:
    from agents.memory.extract.halo import word_shape
    from training.extractor.encode import shape

    assert word_shape(word) == shape(word)


def test_the_shipped_config_is_what_training_says() -> None:
    from agents.memory.extract import SHIPPED
    from training.extractor import schema, signature

    config = json.loads((SHIPPED / "config.json").read_text())
    assert list(config["id2label"].values()) == list(schema.LABELS)
    assert config["relations"] == list(schema.RELATION_TYPES)
    pairs = {name: [list(p) for p in found] for name, found in signature.signatures().items()}
    assert config["relation_types"] == pairs
    groups = {
        name: [t for t in found if t != "third_person"]
        for name, found in config["type_groups"].items()
    }
    assert groups == {name: list(found) for name, found in signature.GROUPS.items()}
