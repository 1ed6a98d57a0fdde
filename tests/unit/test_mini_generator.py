"""The dialogue generator of halo-mini: deterministic, disjoint splits, answers that the text holds."""

from __future__ import annotations

import random
import re

import pytest

from training.mini import generator, names
from training.mini.evaluate import holds, summarise

MODES = sorted(set(generator.MODES))


@pytest.mark.parametrize("mode", MODES)
def test_same_seed_same_dialogue(mode: str) -> None:
    first = generator.dialogue(11, target_tokens=700, mode=mode)
    assert first == generator.dialogue(11, target_tokens=700, mode=mode)
    assert first != generator.dialogue(12, target_tokens=700, mode=mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("split", ["train", "heldout"])
def test_every_answer_stands_in_the_text_before(mode: str, split: str) -> None:
    asked = 0
    for seed in range(30):
        messages = generator.dialogue(seed, target_tokens=900, split=split, mode=mode)
        for i, m in enumerate(messages):
            if m.get("kind") in (None, *generator.NOT_RECALL):
                continue
            before = "\n".join(x["content"] for x in messages[:i] if x["role"] == "user")
            assert m["answer"], m
            for value in m["answer"]:
                assert value in before, (seed, m)
            assert holds(m["content"], m["answer"])
            asked += 1
    assert asked > 30


@pytest.mark.parametrize("mode", MODES)
def test_roles_alternate(mode: str) -> None:
    messages = generator.dialogue(3, target_tokens=600, mode=mode)
    turns = [m["role"] for m in messages if m["role"] != "system"]
    assert turns == ["user", "assistant"] * (len(turns) // 2)


def test_corrections_win() -> None:
    corrected = 0
    for seed in range(200):
        messages = generator.dialogue(seed, target_tokens=600, mode="dense")
        for i, m in enumerate(messages):
            found = (
                re.fullmatch(r"Actually, (.*), not (.+)\.", m["content"])
                if m["role"] == "user"
                else None
            )
            if found:
                corrected += 1
                assert not holds(messages[i + 1]["content"], [found[2]]) or found[2] in found[1]
    assert corrected > 10


def test_splits_share_no_name_or_number() -> None:
    made: dict[str, dict[str, set[str]]] = {}
    for split in ("train", "heldout"):
        kinds: dict[str, set[str]] = {
            k: set() for k in ("person", "city", "project", "number", "age", "code", "org")
        }
        for seed in range(300):
            pool = names.Pool(random.Random(seed), split == "heldout")
            for kind, got in kinds.items():
                got.update(getattr(pool, kind)() for _ in range(10))
        made[split] = kinds
    for kind in ("person", "city", "project", "code", "age", "number"):
        assert not made["train"][kind] & made["heldout"][kind], kind
    heads = [{o.split()[0] for o in made[s]["org"]} for s in ("train", "heldout")]
    assert not heads[0] & heads[1]


def test_real_names_of_the_splits_are_disjoint() -> None:
    assert not set(names.PEOPLE) & set(names.HELD_PEOPLE)
    assert not set(names.CITIES) & set(names.HELD_CITIES)
    assert not set(names.ORGS) & set(names.HELD_ORGS)


@pytest.mark.parametrize("tokens", [300, 2000, 6000])
def test_length_follows_the_target(tokens: int) -> None:
    for seed in range(5):
        chars = sum(
            len(m["content"]) + generator.OVERHEAD
            for m in generator.dialogue(seed, target_tokens=tokens)
        )
        assert (
            tokens * generator.CHARS_PER_TOKEN <= chars < tokens * generator.CHARS_PER_TOKEN + 3000
        )


def test_dates_of_the_splits_are_disjoint() -> None:
    days: list[set[tuple[str, ...]]] = []
    for held in (False, True):
        pool = names.Pool(random.Random(1), held)
        days.append({tuple(sorted(pool.date().split()[:2])) for _ in range(3000)})
    assert not days[0] & days[1]


def test_unknown_split_is_refused() -> None:
    with pytest.raises(ValueError, match="no split"):
        generator.dialogue(1, target_tokens=100, split="other")


def test_holds_wants_whole_words() -> None:
    assert holds("You work at Halo Labs.", ["Halo Labs"])
    assert not holds("It is 1234.", ["234"])


def test_summary_counts_kinds() -> None:
    s = summarise([("work", True), ("work", False), ("never", True)])
    assert s["recall"] == 0.5
    assert s["never_told"] == 1.0
    assert s["by_kind"] == {"work": [0.5, 2]}
