"""One conversation on disk: written as it grows, read back whatever a crash left."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from agents.events import Turn
from agents.history import INTERRUPTED, Header, HistoryFile, parse

HEADER = Header("a-1", "ada", "Be kind.", "cyan", {"top_k": 3}, [], 1.5)


def turn(number: int, text: str = "", **fields: object) -> Turn:
    role = "user" if number % 2 == 0 else "assistant"
    return Turn(f"t-{number}", role, text or f"text {number}", **fields)  # type: ignore[arg-type]


def filled(path: Path, turns: list[Turn]) -> HistoryFile:
    file = HistoryFile(path)
    file.header(HEADER)
    for item in turns:
        file.turn(item)
    file.close()
    return file


def test_turns_come_back_as_they_were(tmp_path: Path) -> None:
    turns = [turn(0, "Grüße\n\u2028 🙂"), turn(1, thinking="hm", tokens=3, tok_s=1.5, seed=9)]
    filled(tmp_path / "a.jsonl", turns)
    loaded = HistoryFile(tmp_path / "a.jsonl").load()
    assert (loaded.header, loaded.turns, loaded.faults) == (HEADER, turns, [])


def test_a_file_that_is_not_there_is_an_empty_conversation(tmp_path: Path) -> None:
    loaded = HistoryFile(tmp_path / "none.jsonl").load()
    assert (loaded.header, loaded.turns, loaded.faults) == (None, [], [])


def test_a_running_turn_is_on_disk_as_far_as_it_was_flushed(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    file = HistoryFile(path)
    file.header(HEADER)
    running = turn(1, " ", status="waiting")
    running.text = ""
    file.turn(running)
    for text, thinking in (("", "let me"), ("One", "let me see"), ("One two", "let me see")):
        running.status, running.text, running.thinking = "streaming", text, thinking
        file.progress(running)
    size = path.stat().st_size
    file.progress(running)
    assert path.stat().st_size == size  # nothing new, nothing written
    loaded = parse(path.read_bytes())
    assert [(t.text, t.thinking, t.status, t.detail) for t in loaded.turns] == [
        ("One two", "let me see", "cancelled", INTERRUPTED)
    ]
    running.status = "done"
    file.turn(running)
    assert [(t.text, t.status) for t in parse(path.read_bytes()).turns] == [("One two", "done")]


def test_a_cut_removes_what_followed(tmp_path: Path) -> None:
    file = filled(tmp_path / "a.jsonl", [turn(i) for i in range(4)])
    file.cut("t-2")
    file.turn(turn(9, "again"))
    file.cut("t-unknown")
    file.close()
    assert [t.text for t in HistoryFile(file.path).load().turns] == ["text 0", "text 1", "again"]


def test_rewriting_leaves_no_trace(tmp_path: Path) -> None:
    file = filled(tmp_path / "a.jsonl", [turn(0, "a secret")])
    file.rewrite(HEADER, [])
    file.turn(turn(1, "after"))
    file.close()
    assert b"secret" not in file.path.read_bytes()
    assert [t.text for t in HistoryFile(file.path).load().turns] == ["after"]


def test_a_file_grown_by_edits_is_made_small_at_start(tmp_path: Path) -> None:
    file = HistoryFile(tmp_path / "a.jsonl")
    file.header(HEADER)
    for _ in range(30):
        file.turn(turn(0, "x" * 50_000))
    file.close()
    before = file.path.stat().st_size
    assert len(HistoryFile(file.path).load().turns) == 1
    assert file.path.stat().st_size < before / 10
    assert parse(file.path.read_bytes()).turns == [turn(0, "x" * 50_000)]


def test_lines_of_a_newer_version_are_skipped_and_said(tmp_path: Path) -> None:
    file = filled(tmp_path / "a.jsonl", [turn(0)])
    with file.path.open("a") as stream:
        stream.write('{"t":"picture","id":"p"}\n')
    file2 = HistoryFile(file.path)
    loaded = file2.load()
    assert len(loaded.turns) == 1
    assert loaded.faults == ["a.jsonl: 1 damaged line was skipped."]


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(st.lists(texts, min_size=1, max_size=6), st.data())
@settings(max_examples=60, deadline=None)
def test_any_beginning_of_the_file_loads_a_beginning_of_the_conversation(
    said: list[str], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.jsonl"
        turns = [turn(i, text) for i, text in enumerate(said)]
        filled(path, turns)
        whole = path.read_bytes()
        path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
        file = HistoryFile(path)
        found = file.load().turns
        assert found == turns[: len(found)]
        # and the conversation goes on from there, with every new turn kept
        file.turn(turn(98, "next"))
        file.close()
        again = HistoryFile(path).load()
        assert again.turns == [*found, turn(98, "next")]
        assert again.faults == []


@given(st.binary(max_size=200))
def test_no_file_content_is_too_strange(data: bytes) -> None:
    parse(data)


@given(st.lists(texts, min_size=2, max_size=5), st.data())
@settings(max_examples=60)
def test_damage_in_the_middle_costs_the_damaged_lines_only(
    said: list[str], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.jsonl"
        turns = [turn(i, text) for i, text in enumerate(said)]
        filled(path, turns)
        lines = path.read_bytes().splitlines(keepends=True)
        hit = data.draw(st.integers(1, len(said)))
        lines[hit] = b"\x00" * 20 + lines[hit][20:]
        loaded = parse(b"".join(lines))
        assert loaded.turns == turns[: hit - 1] + turns[hit:]
        assert len(loaded.faults) == 1
