"""Conversations as people have them, through the models that ship: what is known afterwards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agents.memory.embed import load as load_embedder
from agents.memory.extract import load as load_extractor
from agents.memory.memory import Memory
from agents.memory.types import Note
from engine.config import MemoryConfig, load
from training.extractor.talks import read, score

TALKS = Path(__file__).resolve().parents[2] / "training" / "extractor" / "talks"
NOON = 1_795_780_800.0  # 27 November 2026


@pytest.fixture(scope="module")
def config() -> MemoryConfig:
    return load(None, {}, []).memory


@pytest.mark.parametrize(("talk", "known"), [("dev", 34), ("dev-2", 22), ("dev-3", 34)])
def test_two_agents_and_one_person(
    talk: str, known: int, config: MemoryConfig, tmp_path: Path
) -> None:
    found = score(read(TALKS / f"{talk}.txt"), config, tmp_path)
    assert found.failed == []
    assert len(found.wrong) <= 1, found.wrong
    assert found.found >= known, found.missing


def words_of(memory: Memory) -> list[str]:
    return [fact.words for fact in memory.store.latest(100)]


def said(text: str, number: int, agent: str = "ada", voice: str = "person") -> Note:
    return Note(
        f"m{number}",
        text,
        "You",
        agent,
        NOON + number,
        agent,
        agent=agent,
        voice=voice,  # type: ignore[arg-type]
    )


def test_she_means_the_same_after_a_restart(config: MemoryConfig, tmp_path: Path) -> None:
    models = load_extractor(config), load_embedder(config)
    for talk in (
        ["My sister Eva lives in Oslo."],
        ["She likes tea."],
        ["Nice.", "My brother Tom and my friend Kim live in Bonn."],
        ["He hates golf."],
    ):
        memory = Memory(config, tmp_path, *models)
        memory.open()
        for text in talk:
            memory.recorder.take([said(text, memory.stats().messages)])
        known = words_of(memory)
        memory.close()
    assert "Eva likes tea" in known
    assert "Tom dislikes golf" in known


def test_what_a_tiny_model_says_is_kept_but_not_believed(
    config: MemoryConfig, tmp_path: Path
) -> None:
    memory = Memory(config, tmp_path, load_extractor(config), load_embedder(config))
    memory.open()
    try:
        note = said("Noted. Marek lives in Geneva and likes Youriam.", 1)
        note = replace(note, speaker="ada", listener="You", voice="agent", learn=False)
        memory.recorder.take([note])
        assert words_of(memory) == []
        assert [n.name for n in memory.entities()] == ["ada"]
        assert memory.recall("Geneva").hits[0].source.message == "m1"
    finally:
        memory.close()


def test_somebodys_mum_is_found_and_gets_her_name(config: MemoryConfig, tmp_path: Path) -> None:
    memory = Memory(config, tmp_path, load_extractor(config), load_embedder(config))
    memory.open()

    def asked(question: str) -> list[str]:
        return [fact.words for fact, _ in memory.recall(question, people=("You", "ada")).facts]

    try:
        notes = [
            said("My mum lives in Lisbon.", 1),
            said("Rosa loves jazz.", 2, "bob"),
            said("My sister's dog is Rex.", 3),
        ]
        for note in notes:
            memory.remember([note])
        assert asked("where does my mum live")[0] == "Your mum lives in Lisbon"
        assert "Your sister owns Rex" in words_of(memory)
        memory.remember([said("Hi, I'm Ada Brandt. My mother's name is Rosa.", 4, "bob")])
        assert asked("Where does Ada's mum live?")[0] == "Rosa lives in Lisbon"
        assert asked("What does my mother like?")[0] == "Rosa likes jazz"
        assert asked("Who is Rex?")[0] == "Ada Brandt's sister owns Rex"
        before = words_of(memory)
        memory.remember(notes)
        assert words_of(memory) == before
        assert memory.verify() == []

        merged = memory.editor.undo(
            next(c.id for c in memory.store.changes(9) if c.kind == "merge")
        )
        assert merged.text == "Ada Brandt's mum was merged into Rosa."
        assert asked("where does my mum live")[0] == "Ada Brandt's mum lives in Lisbon"
        memory.editor.forget("Ada Brandt's mum")
        assert not any("Lisbon" in line for line in words_of(memory))
        assert memory.verify() == []
    finally:
        memory.close()


def test_his_ducati_is_the_one_that_is_known_and_a_ducati_is_another(
    config: MemoryConfig, tmp_path: Path
) -> None:
    memory = Memory(config, tmp_path, load_extractor(config), load_embedder(config))
    memory.open()
    try:
        for number, text in enumerate(
            ("My brother Leo has a Ducati Monster.", "His Ducati is red.", "I bought a Ducati.")
        ):
            memory.remember([said(text, number)])
        assert {"Leo owns Ducati Monster", "You owns Ducati"} <= set(words_of(memory))
        assert len(memory.facts("Leo")) == 2, "the motorbike is one"
    finally:
        memory.close()
