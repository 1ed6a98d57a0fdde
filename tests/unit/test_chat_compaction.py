"""`halo-tui chat` passes compactions on, on a scripted engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.config import Config
from engine.protocol import Message
from tests.support.scripted import ScriptedClient
from tui.cli.chat import Chat

pytestmark = pytest.mark.asyncio


async def said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], as_json: bool, error: float
) -> tuple[str, str]:
    def reply(_: tuple[Message, ...]) -> str:
        [session] = client.generations
        for phase in ("started", "solve"):
            client.compaction(session, phase, trigger="threshold")
        client.compaction(session, "done", trigger="threshold", error=error)
        return "At Halo Labs."

    client = ScriptedClient(reply)
    chat = Chat(Config(), tmp_path, "grace", as_json=as_json, client=client)
    assert await chat.run("Where do I work?") == 0
    out, err = capsys.readouterr()
    return out, err


async def test_json_lines_tell_of_compactions_before_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, _ = await said(tmp_path, capsys, True, 0.042)
    events = [json.loads(line) for line in out.splitlines()]
    told = [event for event in events if event["type"] == "compaction"]
    assert [event["phase"] for event in told] == ["started", "solve", "done"]
    assert {(event["agent"], event["trigger"]) for event in told} == {("grace", "threshold")}
    assert not any("session" in event or "t" in event for event in told)
    last = told[-1]
    assert (last["cells_before"], last["cells_after"], last["error"]) == (3412, 341, 0.042)
    assert len(last["by_layer"]) == 8
    assert events[-1]["type"] == "done"


async def test_as_text_only_a_high_error_is_told_and_not_in_the_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await said(tmp_path, capsys, False, 0.042) == ("At Halo Labs.\n", "")
    out, err = await said(tmp_path / "other", capsys, False, 0.42)
    assert out == "At Halo Labs.\n"
    assert "error 42%" in err and "/compact 5" in err
