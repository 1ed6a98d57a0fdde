"""`halo-tui sessions` on a data folder of real snapshot files, without an app."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agents import talk as talks
from agents.agent import Agent, AgentSpec
from agents.events import Turn
from agents.roster import DataFolder, Document, entry_of, header_of
from agents.talk import talk_of
from engine import snapshot
from tui.cli.main import run

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two agents; ada has a checkpoint whose conversation has gone on since."""
    data = tmp_path / "data"
    agents = DataFolder(data)
    document = Document()
    for name in ("ada", "grace"):
        agent = Agent(f"a-{name}", name, AgentSpec(system=f"You are {name}."))
        history = agents.history(agent.id)
        history.header(header_of(agent))
        if name == "ada":
            agent.turns = [Turn("t-1", "user", "My dog is Rex.", author="you")]
            snapshot.write(
                data / "agents" / "a-ada.halo",
                {
                    "talk.json": talks.encode(talk_of(agent)),
                    "tokens.json": b"{}",
                    "state.bin": bytes(range(256)) * 40,
                },
                fingerprint="f00d",
                kv={"type_k": "f16"},
                about={**talks.about(talk_of(agent)), "tokens": 900, "cells": 90, "model": "m"},
            )
            agent.turns.append(Turn("t-2", "assistant", "Noted: Rex.", author="ada"))
            for turn in agent.turns:
                history.turn(turn)
        history.close()
        document.agents.append(entry_of(agent))
    agents.save(document)
    return data


@pytest.fixture
def cli(folder: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    def call(*args: str) -> tuple[int, str, str]:
        code = run(["sessions", *args, "--data", str(folder)])
        out = capsys.readouterr()
        return code, out.out, out.err

    return call


def listed(cli: Cli) -> dict[str, Any]:
    code, out, _ = cli("list", "--json")
    assert code == 0
    return {item["name"]: item for item in json.loads(out)}


def test_agents_and_their_checkpoints_are_listed(cli: Cli) -> None:
    items = listed(cli)
    assert list(items) == ["ada", "grace"]
    assert items["ada"]["kind"] == "agent"
    assert (items["ada"]["tokens"], items["ada"]["cells"], items["ada"]["ratio"]) == (900, 90, 10)
    assert items["grace"]["cells"] == 0


def test_saving_takes_the_cells_and_the_newest_text(cli: Cli, folder: Path) -> None:
    assert cli("save", "ada", "--as", "first talk")[0] == 0
    item = listed(cli)["first talk"]
    assert (item["kind"], item["turns"], item["cells"]) == ("saved", 2, 90)
    with snapshot.read(Path(item["path"])) as found:
        assert bytes(found.part("state.bin")) == bytes(range(256)) * 40
    assert "Noted: Rex." in cli("show", "first talk")[1]


def test_an_agent_without_cells_is_saved_as_text(cli: Cli) -> None:
    assert cli("save", "grace", "--as", "g")[0] == 0
    assert listed(cli)["g"]["path"].endswith(".json")


def test_restoring_makes_an_agent_with_its_checkpoint(cli: Cli, folder: Path) -> None:
    cli("save", "ada", "--as", "first talk")
    code, out, _ = cli("restore", "first talk", "--agent", "eve", "--json")
    assert (code, json.loads(out)) == (0, {"agent": "eve"})
    item = listed(cli)["eve"]
    assert (item["kind"], item["cells"]) == ("agent", 90)
    assert Path(item["path"]).parent == folder / "agents"
    assert cli("restore", "first talk", "--agent", "eve")[0] == 1  # the name is taken
    assert "Rex" in cli("show", "eve")[1]


def test_forks_get_names_of_their_own(cli: Cli) -> None:
    assert cli("fork", "ada")[1] == "ada-2 is on the list of agents.\n"
    assert listed(cli)["ada-2"]["cells"] == 90


def test_renaming_deleting_and_near_names(cli: Cli) -> None:
    cli("save", "ada", "--as", "first talk")
    assert cli("rename", "first talk", "../../evil")[0] == 0
    name = next(item["name"] for item in listed(cli).values() if item["kind"] == "saved")
    assert "/" not in name
    assert cli("delete", name, "--force")[0] == 0
    assert cli("rename", "grace", "hopper")[0] == 0
    assert list(listed(cli)) == ["ada", "hopper"]
    code, _, err = cli("show", "hoper")
    assert code == 1 and "Did you mean 'hopper'?" in err
    code, _, err = cli("delete", "ada", "--force")
    assert code == 1 and "Close it in the app" in err


def test_exports_and_imports(cli: Cli, tmp_path: Path) -> None:
    for ending in ("md", "json", "halo"):
        assert cli("export", "ada", str(tmp_path / f"talk.{ending}"))[0] == 0
    assert "Noted: Rex." in (tmp_path / "talk.md").read_text()
    assert cli("import", str(tmp_path / "talk.json"))[0] == 0
    assert cli("import", str(tmp_path / "talk.halo"))[0] == 0
    saved = [item for item in listed(cli).values() if item["kind"] == "saved"]
    assert {(item["turns"], item["cells"]) for item in saved} == {(2, 0), (2, 90)}
    code, _, err = cli("export", "grace", str(tmp_path / "g.halo"))
    assert code == 1 and "no cells" in err


def test_a_damaged_import_brings_the_conversation_alone(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "lost.halo"
    cli("export", "ada", str(path))
    data = bytearray(path.read_bytes())
    data[data.index(bytes(range(256))) + 5] ^= 1
    path.write_bytes(data)
    code, _, err = cli("import", str(path))
    assert code == 0 and "state.bin" in err
    item = next(item for item in listed(cli).values() if item["kind"] == "saved")
    assert (item["turns"], item["cells"]) == (2, 0)


def test_verify_names_what_is_damaged(cli: Cli, folder: Path) -> None:
    assert cli("verify")[0] == 0
    path = folder / "agents" / "a-ada.halo"
    data = bytearray(path.read_bytes())
    data[data.index(bytes(range(256))) + 5] ^= 1
    path.write_bytes(data)
    code, out, _ = cli("verify", "--json")
    assert code == 1
    bad = [item for item in json.loads(out) if not item["ok"]]
    assert [item["name"] for item in bad] == ["ada"] and "state.bin" in bad[0]["problem"]
    # The conversation is not in danger: it can still be saved, as text.
    assert cli("show", "ada")[0] == 0


def test_changes_wait_for_the_app_to_end(cli: Cli, folder: Path) -> None:
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        code, _, err = cli("save", "ada")
        assert code == 1 and "Another halo-tui" in err
        assert cli("list")[0] == 0  # reading does not


def test_an_empty_folder_says_what_to_do(tmp_path: Path, capsys: Any) -> None:
    assert run(["sessions", "list", "--data", str(tmp_path / "none")]) == 0
    assert "/save" in capsys.readouterr().err
