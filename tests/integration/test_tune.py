"""`halo-tui tune` and `engine.auto` on real cores: what is told, kept, refused, and how it stops."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agents.roster import DataFolder
from engine.config import Config, load
from engine.tune import bandwidth, keep, run
from engine.tune.traffic import traffic
from tests.support.cli import command as command_line
from tests.support.cli import cores, environment, halo
from tests.support.engine import CHATML, running
from tests.support.mkgguf import tiny
from tests.support.pace import Pace
from tui.cli.tune import as_text

TREE = Path(__file__).parents[1] / "data" / "sysfs" / "strix-halo"


@pytest.fixture(scope="module")
def model() -> Path:
    return tiny("qwen3moe", chat_template=CHATML)


@pytest.mark.timeout(300)
def test_a_run_to_its_end(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "QUICK_SECONDS", 0.05)
    monkeypatch.setattr(run, "CELLS_PAIRS", 1)
    monkeypatch.setattr(bandwidth, "BLOCK", 32 << 20)
    config = Config()
    config.model.path = str(model)
    config.engine.n_ctx = 2048
    config.sources = {"engine.threads": "mine", "engine.threads_batch": "mine"}
    told: list[str] = []
    tuner = run.Tuner(config, told.append, agents=(1, 2), quick=True)
    found = asyncio.run(tuner.run())
    assert json.loads(json.dumps(found)) == found
    assert found["backend"] == "cpu" and not found["stopped"]
    assert found["bandwidth"]["host_gb_s"] > 0.5 and found["bandwidth"]["device_gb_s"] > 0.1
    assert found["default"]["settings"]["engine.n_ubatch"] == 512
    assert set(found["default"]["decode_tok_s"]) == {"1", "2"}
    assert found["default"]["prefill_tok_s"] > 0
    tried = {t["dimension"] for t in found["tried"]}
    # Of short prompts, one ubatch is like another.
    assert tried - {"ubatch"} == {"flash attention"}
    assert ("ubatch" in tried) == (found["work"]["prompt_tokens"] > 256)
    assert all(t["seconds"] for t in found["tried"])
    assert not any("threads" in key for t in found["tried"] for key in t["settings"])
    assert any("engine.threads is yours (mine)" in line for line in told)
    assert found["roofline"]["rows"][0]["bytes_per_step"] == round(traffic(model).step(1))
    # The default stays unless it was beaten in turns, and quantised cells are never the winner.
    assert found["gain"] >= 1 and found["confirmed"] == bool(tuner.winner)
    assert "engine.type_k" not in (found["found"] or {"settings": {}})["settings"]
    assert found["quantised_cells"] is None or found["quantised_cells"]["type_k"] == "q8_0"
    found["written"] = None
    assert ("stays" in as_text(found)) == (not found["confirmed"])


def test_ctrl_c_tells_what_it_had_and_writes_nothing(
    tmp_path: Path, model: Path, slow_core: Pace
) -> None:
    with subprocess.Popen(
        command_line("tune", "--quick", "--json", "--model", str(model)), cwd=tmp_path,
        env=environment(tmp_path, **slow_core.environment), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:  # fmt: skip
        assert process.stderr is not None and process.stdout is not None
        line = next(line for line in process.stderr if "[1/" in line)
        process.send_signal(signal.SIGINT)
        found = json.loads(process.stdout.read())
        assert process.wait(90) == 130
        assert cores(process.pid) == []
    assert "left at most" in line
    assert found["stopped"] and found["written"] is None and not found["confirmed"]
    assert found["default"]["prefill_tok_s"] > 0
    assert not (tmp_path / "config.toml").exists()
    assert "Nothing was written" in as_text(found)


def test_it_is_refused_beside_the_app(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.lock()
    try:
        done = halo(tmp_path, "tune", "--quick", "--data", str(tmp_path / "data"))
    finally:
        folder.unlock()
    assert done.returncode == 1 and "Another halo-tui" in done.stderr and done.stdout == ""


def test_undo(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('# mine\n[ui]\ntheme = "nord"\n')
    keep.keep({"engine.threads": 3}, ["x"], file)
    done = halo(tmp_path, "tune", "--undo", "--json", "--config", str(file))
    assert json.loads(done.stdout) == {"removed": {"engine.threads": 3}}
    assert load(file, env={}).engine.threads == 0 and "# mine" in file.read_text()
    assert "nothing" in halo(tmp_path, "tune", "--undo", "--config", str(file)).stdout


async def test_a_core_chooses_and_says_so(tmp_path: Path, model: Path) -> None:
    async with running(model, tmp_path, threads=2) as talk:
        ready = talk.client.ready
        assert ready is not None
        keys = {one.key for one in ready.chosen}
        assert {"engine.mmap", "engine.flash_attention"} <= keys
        assert "engine.threads" not in keys and ready.threads == 2


def test_doctor_lists_the_choices_and_what_is_yours(tmp_path: Path, model: Path) -> None:
    def auto(*sets: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        args = [part for text in sets for part in ("--set", text)]
        found = json.loads(halo(tmp_path, "doctor", "--json", "--model", str(model), *args).stdout)
        return next(c for c in found["checks"] if c["name"] == "auto"), found["auto"]

    line, choices = auto(f"telemetry.root={TREE}", "engine.n_batch=256", "engine.n_ubatch=256")
    assert "16 physical cores, AMD Radeon 8060S" in line["detail"]
    assert "yours: engine.n_batch, engine.n_ubatch" in line["detail"]
    assert {"key", "value", "why", "changed"} == set(choices[0])
    assert "engine.n_batch" not in {c["key"] for c in choices}
    line, choices = auto("engine.auto=false")
    assert line["ok"] is None and choices == []
