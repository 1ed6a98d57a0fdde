"""`halo-tui chat` as a person and a script run it, on a real engine."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.cli import command, cores, environment, halo, lines
from tests.support.engine import CHATML
from tests.support.mkgguf import tiny
from tests.support.pace import Pace
from tests.support.waiting import until_sync

ENDLESS = "root ::= [a-z ] root"  # never complete, so an answer goes on to its limit


@pytest.fixture(scope="module")
def model() -> str:
    return str(tiny("llama", chat_template=CHATML))


@pytest.fixture
def home(tmp_path: Path, model: str) -> Path:
    (tmp_path / "config.toml").write_text(
        f'[model]\npath = "{model}"\n[engine]\nn_ctx = 1024\nthreads = 1\n'
        f'[sampling]\nmax_tokens = 8\ngrammar = "{ENDLESS}"\n'
    )
    return tmp_path


def test_text_goes_to_stdout_and_repeats_with_a_seed(home: Path) -> None:
    first = halo(home, "chat", "--agent", "ada", "--seed", "5", "Hello")
    assert (first.returncode, len(first.stdout.strip()) > 0) == (0, True)
    assert first.stdout.endswith("\n")
    assert "cut at 8 tokens (sampling.max_tokens)" in first.stderr
    assert halo(home, "chat", "--agent", "ada", "--seed", "5", "Hello").stdout == first.stdout
    assert halo(home, "chat", "--agent", "ada", "--seed", "6", "Hello").stdout != first.stdout
    assert not (home / "data").exists()  # nothing of the person's is touched


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_prompt_longer_than_the_context_is_refused(home: Path, form: tuple[str, ...]) -> None:
    done = halo(home, "chat", "--agent", "ada", *form, stdin="One word after the other. " * 400)
    assert done.returncode == 4
    assert done.stderr.count("\n") == 1
    assert "tokens and the context holds 1,024. Shorten it, or send it in parts" in done.stderr
    assert '"done"' not in done.stdout


def test_json_lines_end_with_done(home: Path) -> None:
    done = halo(home, "chat", "-a", "grace", "--json", "--seed", "3", stdin="Hello from a pipe")
    events = lines(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    kinds = [event["type"] for event in events]
    assert kinds.index("loading") < kinds.index("ready") < kinds.index("delta")
    assert (kinds[-1], kinds.count("done")) == ("done", 1)
    last = events[-1]
    assert last["text"] == "".join(e["text"] for e in events if e["type"] == "delta")
    assert (last["agent"], last["tokens"], last["reason"], last["seed"]) == (
        "grace",
        8,
        "length",
        3,
    )
    assert last["seconds"] > 0
    assert last["cells"] > last["prompt_tokens"] > 0


def test_what_the_engine_refuses_is_a_sentence(home: Path) -> None:
    done = halo(home, "chat", "--set", "compaction.auto=false", "word " * 3000)
    assert (done.returncode, done.stdout) == (4, "")
    assert "the context holds 1024" in done.stderr.replace(",", "")
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1


def test_broken_model_files(home: Path) -> None:
    (home / "junk.gguf").write_bytes(b"junk" * 100)
    done = halo(home, "chat", "--model", "junk.gguf", "hi")
    assert (done.returncode, done.stdout) == (3, "")
    assert "junk.gguf" in done.stderr
    assert done.stderr.count("\n") == 1


def test_continue_goes_on_with_the_conversation(home: Path) -> None:
    for text in ("first", "second"):
        assert halo(home, "chat", "--continue", "-a", "ada", text).returncode == 0
    (file,) = [f for f in (home / "data" / "agents").glob("*.jsonl") if b'"ada"' in f.read_bytes()]
    said = [json.loads(line) for line in file.read_bytes().splitlines()]
    turns = {line["turn"]["id"]: line["turn"] for line in said if line["t"] == "turn"}
    assert [t["text"] for t in turns.values() if t["role"] == "user"] == ["first", "second"]
    assert [t["status"] for t in turns.values() if t["role"] == "assistant"] == ["length"] * 2
    # and a prompt without --continue does not see it, nor change it
    before = file.read_bytes()
    alone = lines(halo(home, "chat", "-a", "ada", "--json", "third").stdout)[-1]
    more = lines(halo(home, "chat", "-a", "ada", "--json", "--continue", "third").stdout)[-1]
    assert alone["prompt_tokens"] < more["prompt_tokens"]
    assert file.read_bytes().startswith(before)


def test_agents_made_in_the_app_can_be_asked(home: Path) -> None:
    data = home / "data"
    data.mkdir()
    (data / "workspace.json").write_text(
        '{"version": 1, "agents": [{"id": "a-1", "name": "Bob", "system": "You are Bob."}]}'
    )
    done = halo(home, "chat", "-a", "bob", "--json", "hi")
    assert lines(done.stdout)[-1]["agent"] == "Bob"


@pytest.mark.parametrize("as_json", [False, True])
def test_ctrl_c_stops_at_once_and_keeps_what_was_said(
    home: Path, as_json: bool, slow_core: Pace
) -> None:
    flags = ["--json"] if as_json else []
    process = subprocess.Popen(
        command("chat", "--continue", "--max-tokens", "900", *flags, "go"), cwd=home,
        env=environment(home, **slow_core.environment), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    said = b""
    while (b'"delta"' if as_json else b" ") not in said:
        part = os.read(process.stdout.fileno(), 4096)
        assert part, process.stderr and process.stderr.read()
        said += part
    started = cores(process.pid)
    assert len(started) == 1
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=90)
    said += out
    assert process.returncode == 130
    assert b"Traceback" not in err
    if as_json:
        last = json.loads(said.splitlines()[-1])
        assert (last["type"], last["reason"]) == ("done", "cancelled")
        assert 0 < last["tokens"] < 900
    assert not Path(f"/proc/{started[0]}").exists()
    saved = b"".join(f.read_bytes() for f in (home / "data" / "agents").glob("*.jsonl"))
    assert b'"status":"cancelled"' in saved


def test_ctrl_c_while_the_model_loads(home: Path, slow_core: Pace) -> None:
    slow_core.never_load()
    process = subprocess.Popen(
        command("chat", "go"), cwd=home, env=environment(home, **slow_core.environment),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    until_sync(lambda: cores(process.pid) or process.poll() is not None, 60)
    started = cores(process.pid)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=90)
    assert (process.returncode, out) == (130, b"")
    assert b"Traceback" not in err
    assert not Path(f"/proc/{started[0]}").exists()


def test_a_reader_that_leaves_ends_it_quietly(home: Path, slow_core: Pace) -> None:
    process = subprocess.Popen(
        command("chat", "--max-tokens", "900", "go"), cwd=home,
        env=environment(home, **slow_core.environment), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.read(1)
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    assert process.wait(90) == 1
    assert err == b""


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_full_disk_is_a_sentence(home: Path, flags: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command("chat", *flags, "go"), cwd=home, env=environment(home), stdout=full,
            stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    (only,) = done.stderr.splitlines()
    assert only.startswith(b"halo-tui: The disk is full"), "the cause, and nothing else"


def test_a_conversation_that_could_not_be_kept_is_a_failure(home: Path) -> None:
    def nothing_fits() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    done = subprocess.run(
        command("chat", "--continue", "hi"), cwd=home, env=environment(home), capture_output=True,
        stdin=subprocess.DEVNULL, check=False, preexec_fn=nothing_fits,
    )  # fmt: skip
    assert done.returncode == 1 and done.stdout.strip(), "the answer, and that it is not kept"
    assert b"could not be kept" in done.stderr.splitlines()[-1]


def test_an_app_that_has_the_folder_is_named(home: Path) -> None:
    from agents.roster import DataFolder

    folder = DataFolder(home / "data")
    folder.lock()
    try:
        done = halo(home, "chat", "--continue", "hi")
        assert done.returncode == 1
        assert f"process {os.getpid()}" in done.stderr
        assert halo(home, "chat", "hi").returncode == 0  # without --continue nothing is shared
    finally:
        folder.unlock()
