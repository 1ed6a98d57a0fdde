"""`halo-tui doctor` on a real engine, on good and on bad machines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import halo
from tests.support.engine import CHATML
from tests.support.mkgguf import tiny

KEYS = {"ok", "version", "llama_cpp", "backends", "hooks", "model", "graph", "gpu", "problems"}


@pytest.fixture(scope="module")
def model() -> str:
    return str(tiny("qwen3moe", chat_template=CHATML))


def doctor(home: Path, *args: str, **env: str) -> tuple[int, dict[str, Any]]:
    done = halo(home, "doctor", "--json", *args, **env)
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout)


def test_a_good_machine(tmp_path: Path, model: str) -> None:
    code, found = doctor(tmp_path, "--model", model)
    assert (code, found["ok"], found["problems"]) == (0, True, [])
    assert set(found) >= KEYS
    assert found["hooks"]
    assert all(found["hooks"].values())
    assert found["llama_cpp"]
    assert found["backends"] == ["cpu"] or found["backends"]
    assert found["model"]["architecture"] == "qwen3moe"
    assert found["graph"]["state"] == "ready"
    assert found["graph"]["embedder"] and found["graph"]["seconds"] < 5
    assert set(found["gpu"]) >= {"dri", "kfd", "nvidia"}
    assert found["memory"]["needed"] > found["memory"]["model"] > 0


def test_for_people(tmp_path: Path, model: str) -> None:
    done = halo(tmp_path, "doctor", "--model", model, PYTHONIOENCODING="utf-8")
    assert done.returncode == 0
    for name in ("python", "config", "data folder", "model", "engine", "hooks", "memory"):
        assert f"✓ {name}" in done.stdout
    assert "Everything is fine." in done.stdout
    assert "\x1b" not in done.stdout
    plain = halo(tmp_path, "doctor", "--model", model, PYTHONIOENCODING="ascii")
    assert "ok python" in plain.stdout


def test_every_problem_has_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[engine]\nn_cxt = 3\n")
    (tmp_path / "data").write_text("a file where the folder should be")
    code, found = doctor(tmp_path, "--model", "nowhere.gguf")
    assert (code, found["ok"]) == (5, False)
    told = " ".join(problem["what"] for problem in found["problems"])
    assert "engine.n_cxt" in told
    assert "data folder" in told
    assert all(problem["remedy"] for problem in found["problems"])


def test_a_broken_model_file(tmp_path: Path, model: str) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(Path(model).read_bytes()[:5000])
    code, found = doctor(tmp_path, "--model", str(cut))
    assert code == 5
    assert any("cut.gguf" in problem["what"] for problem in found["problems"])


def test_a_missing_model(tmp_path: Path) -> None:
    code, found = doctor(tmp_path, "--set", "model.path=/nowhere.gguf")
    assert code == 5
    assert any("/nowhere.gguf" in problem["what"] for problem in found["problems"])
    assert found["model"]["ok"] is False


def test_more_cells_than_memory(tmp_path: Path, model: str) -> None:
    code, found = doctor(tmp_path, "--model", model, "--set", "engine.n_ctx=16777216")
    needed, available = found["memory"]["needed"], found["memory"]["available"]
    assert (code == 5) == (needed > available)
    if needed > available:
        assert any("engine.n_ctx" in problem["remedy"] for problem in found["problems"])
