"""`halo-tui memory` and `bench recall` with the shipped models, as a script would use them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.support.cli import command, environment
from tui.cli.main import cli

CORPUS = Path(__file__).parents[1] / "corpus" / "recall"
STORY = (
    "Lena Fischer works at Siemens and lives in Munich. Lena Fischer likes chess.\n\n"
    "Tom Baker lives in Bristol. Tom Baker works at Rolls-Royce."
)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.setenv("HALO_TUI_HOME", str(tmp_path / "home"))

    def call(*args: str, code: int = 0) -> Result:
        done = CliRunner().invoke(cli, list(args))
        assert done.exit_code == code, (done.output, done.exception)
        return done

    return call


def read(done: Result) -> Any:
    lines = done.stdout.strip().splitlines()
    assert len(lines) == 1, "exactly one JSON value"
    return json.loads(lines[0])


def test_from_a_document_to_answers_and_back(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "story.txt"
    file.write_text(STORY)
    (first,) = read(run("memory", "ingest", str(file), "--json"))
    assert first["new"] == first["chunks"] >= 1 and first["facts"] >= 3
    assert read(run("memory", "ingest", str(file), "--json"))[0]["new"] == 0

    found = read(run("memory", "recall", "Where", "does", "Lena", "Fischer", "live?", "--json"))
    assert found[0]["kind"] == "fact" and found[0]["text"] == "Lena Fischer lives in Munich"
    assert {"score", "confidence", "valid_from", "sources"} <= set(found[0])
    message = next(item for item in found if item["kind"] == "message")
    assert {"id", "score", "ranks", "text", "speaker", "time"} <= set(message)

    query = "MATCH (a:Entity {name: $n})-[f:WORKS_AT]->(b) RETURN b.name AS firm"
    rows = read(run("memory", "cypher", query, "-p", "n=Tom Baker", "--json"))
    assert rows == [{"firm": "Rolls-Royce"}]
    run("memory", "cypher", "CREATE (x:X)", code=1)
    (stats,) = read(run("memory", "stats", "--json"))
    assert stats["messages"] == first["chunks"] and stats["extractor"] and stats["embedder"]
    assert read(run("memory", "verify", "--json"))["ok"] is True

    out = tmp_path / "all.jsonld"
    run("memory", "export", str(out))
    said = read(run("memory", "forget", "Tom Baker", "--yes", "--json"))
    assert said["what"].startswith("Forgot Tom Baker")
    run("memory", "forget", "Tom Baker", "--yes", code=1)
    data = ("--data", str(tmp_path / "other"))
    assert read(run("memory", "import", str(out), "--json", *data))["messages"] == first["chunks"]
    rows = read(run("memory", "cypher", query, "-p", "n=Tom Baker", "--json", *data))
    assert rows == [{"firm": "Rolls-Royce"}]


def test_for_people_and_when_nothing_is_known(run) -> None:  # type: ignore[no-untyped-def]
    assert "Nothing is known" in run("memory", "recall", "What?").stderr
    assert "entities" in run("memory", "stats").stdout
    assert "sound" in run("memory", "verify").stdout
    run("memory", "recall", "x", "--as-of", "soon", code=2)
    run("memory", "ingest", "/nowhere/at/all.txt", code=1)


def test_long_messages_are_shortened_for_reading(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "long.txt"
    file.write_text("Lena Fischer lives in Munich and " + "walks along the river " * 20 + "daily.")
    run("memory", "ingest", str(file))
    shown = run("memory", "recall", "Where does Lena Fischer live?").stdout
    assert "Lena Fischer lives in Munich" in shown and " characters)" in shown
    found = read(run("memory", "recall", "Where does Lena Fischer live?", "--json"))
    whole = next(item["text"] for item in found if item["kind"] == "message")
    assert whole.count("river") > " ".join(shown.split()).count("river"), "all of it with --json"


def test_questions_at_once_wait_for_each_other(tmp_path: Path) -> None:
    home = tmp_path / "home"
    asked = [
        subprocess.Popen(
            command("memory", "stats", "--json"), env=environment(home),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(3)
    ]  # fmt: skip
    for process in asked:
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "") and json.loads(out)[0]["messages"] == 0


def test_what_cannot_be_ingested_is_named_for_what_it_is(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "x.bin").write_bytes(b"x")
    for name, words in (("", "is a folder"), ("none.md", "No such file"), ("no", "No such file"),
                        ("x.bin", "is no document")):  # fmt: skip
        done = run("memory", "ingest", str(tmp_path / name), code=1)
        assert words in str(done.exception)


def test_bench_recall_refuses_what_is_no_conversation(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "x.json"
    turn = {"id": "a", "speaker": "s", "text": "t"}
    for text in ("[", "{}", json.dumps({"sessions": [{"id": 1, "turns": [turn, turn]}],
                                        "questions": []})):  # fmt: skip
        file.write_text(text)
        run("bench", "recall", str(file), "--json", code=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["held-out.json", "two-starts.json"])
def test_together_the_retrievers_are_better_than_each(run, name: str) -> None:  # type: ignore[no-untyped-def]
    result = read(run("bench", "recall", str(CORPUS / name), "--json"))
    rows = {row["retriever"]: row for row in result["rows"]}
    assert set(rows) == {"bm25", "vector", "graph", "hybrid"}
    for name in ("bm25", "vector", "graph"):
        for key in ("recall_at_5", "recall_at_10"):
            assert rows[name][key] < rows["hybrid"][key]
    assert rows["hybrid"]["recall_at_10"] >= 0.9
    assert result["ms_per_message"] > 0 and rows["hybrid"]["ms_per_query"] > 0
