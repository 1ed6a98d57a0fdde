"""The command line without an engine: options, errors as sentences, exit codes, imports."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

import engine.errors as errors
from tests.support.cli import REPOSITORY, command, environment, halo
from tui.cli import exit_codes
from tui.cli.asking import confirm
from tui.cli.main import COMMANDS, run
from tui.cli.output import size, table
from tui.cli.settings import Settings


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(environment(tmp_path)):
        if name.startswith("HALO_"):
            monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HALO_TUI_HOME", str(tmp_path))


def ran(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    code = run(args)
    out, err = capsys.readouterr()
    return code, out, err


def test_version_and_help(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")  # sentences are wrapped
    code, out, _ = ran(capsys, "--version")
    assert (code, out.startswith("halo-tui ")) == (0, True)
    code, out, _ = ran(capsys, "--help")
    assert code == 0
    assert all(name in out and text in out for name, (_, text) in COMMANDS.items())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ran(capsys, name, "--help")
    assert code == 0
    assert f"halo-tui {name}" in out


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["chatt"], 2, "Did you mean 'chat'?"),
        (["xyz"], 2, "There are: chat, doctor"),
        (["chat", "--seed", "x", "hi"], 2, "--seed"),
        (["chat", "--temperature", "-1", "hi"], 2, "--temperature"),
        (["--set", "engine.n_cxt=1", "config", "show"], 2, "Did you mean 'n_ctx'?"),
        (["config", "show", "--set", "engine.n_ctx=1"], 2, "engine.n_ctx: 1 is too small."),
        (["--config", "/nowhere.toml", "config", "show"], 2, "/nowhere.toml does not exist."),
        (["chat", "--agent", "nobody", "hi"], 1, "There are: ada, grace, alan."),
        (["chat", "--model", "/nowhere.gguf", "hi"], 3, "no model '/nowhere.gguf'"),
        (["bench", "throughput", "--agents", "0,2"], 2, "numbers from 1 to 64"),
        (["chat", " "], 2, "The prompt is empty."),
        ([], 2, "needs a terminal"),
    ],
)
def test_faults_are_one_sentence_and_a_code(
    args: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found, out, err = ran(capsys, *args)
    assert (found, out) == (code, "")
    assert words in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigError("x"), 2),
        (errors.ModelError("x"), 3),
        (errors.EngineError("x"), 4),
        (errors.HaloError("x"), 1),
        (ValueError("x"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_exit_codes(error: BaseException, code: int) -> None:
    assert exit_codes.code_for(error) == code


def test_the_codes_are_documented() -> None:
    text = (REPOSITORY / "docs" / "cli.md").read_text(encoding="utf-8")
    for name in ("OK", "FAILURE", "USAGE", "MODEL", "ENGINE", "PROBLEMS", "INTERRUPTED"):
        assert f"| {getattr(exit_codes, name)} |" in text, name


def test_a_fault_of_ours_is_a_sentence_unless_debugging(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Settings) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(Settings, "load", broken)
    code, _, err = ran(capsys, "config", "show")
    assert code == 1
    assert "boom" in err
    assert "HALO_DEBUG=1" in err
    assert "Traceback" not in err
    monkeypatch.setenv("HALO_DEBUG", "1")
    with pytest.raises(RuntimeError):
        run(["config", "show"])


def test_options_count_before_and_after_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = ran(
        capsys, "--set", "engine.n_ctx=1024", "--set", "ui.mouse=no", "config", "show", "--json",
        "--set", "engine.n_ctx=2048",
    )  # fmt: skip
    shown = json.loads(out)
    assert (shown["engine"]["n_ctx"], shown["ui"]["mouse"]) == (2048, False)
    assert shown["sources"]["engine.n_ctx"] == "--set engine.n_ctx=2048"


def test_settings_are_shown_as_toml_that_loads_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from engine.config import load

    (tmp_path / "config.toml").write_text('[ui]\ntheme = "x # y"\n[[agents]]\nname = "bob"\n')
    _, out, _ = ran(capsys, "config", "show")
    again = tmp_path / "again.toml"
    again.write_text(out)
    first, second = load(tmp_path / "config.toml", env={}), load(again, env={})
    assert (second.ui, second.agents, second.engine) == (first.ui, first.agents, first.engine)
    assert f"{tmp_path / 'config.toml'}:2" in out


def test_the_annotated_defaults_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = ran(capsys, "config", "show", "--defaults")
    assert out == (REPOSITORY / "config.toml").read_text(encoding="utf-8")


def test_places(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = ran(capsys, "config", "path", "--json", "--data", "/elsewhere")
    places = json.loads(out)
    assert places["config"] == str(tmp_path / "config.toml")
    assert places["data"] == "/elsewhere"


def test_keys_come_from_the_action_table(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = ran(capsys, "config", "keys", "--json", "--set", "ui.keys.quit=ctrl+x")
    rows = {row["action"]: row["keys"] for row in json.loads(out)}
    assert rows["quit"] == "ctrl+x"
    assert len(rows) > 10


def test_prompts_from_words_and_pipes() -> None:
    code = (
        "from tui.cli.chat import read_prompt; import sys; print(read_prompt(tuple(sys.argv[1:])))"
    )

    def read(*words: str, pipe: bytes) -> str:
        return subprocess.run(
            [sys.executable, "-c", code, *words], input=pipe, cwd=REPOSITORY, check=True,
            capture_output=True,
        ).stdout.decode().rstrip("\n")  # fmt: skip

    assert read("two", "words", pipe=b"ignored") == "two words"
    assert read(pipe="aus dem Röhr\n".encode()) == "aus dem Röhr"
    assert read("-", pipe=b"text") == "text"
    assert read("Sum up:", "-", pipe=b"text") == "Sum up:\n\ntext"


def test_a_pipe_that_is_not_text(tmp_path: Path) -> None:
    done = halo(tmp_path, "chat", stdin=b"\xff\xfe\x00")
    assert done.returncode == 2
    assert "not UTF-8" in done.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_fault(closed: str, tmp_path: Path) -> None:
    line = f'"$@" config path {closed}'
    done = subprocess.run(
        ["/bin/sh", "-c", line, "sh", *command()], env=environment(tmp_path),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert ("config" in done.stdout) == (">&-" not in closed.replace("2>&-", ""))


def test_what_is_no_text_is_refused_and_an_ascii_locale_reads_text(tmp_path: Path) -> None:
    done = subprocess.run(
        [*command("memory", "recall"), b"\xff"], env=environment(tmp_path),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and "not UTF-8" in done.stderr
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = halo(tmp_path, "sessions", "show", "Zoë", PYTHONIOENCODING="utf-8", **plain)
    assert "called 'Zoë'" in done.stderr


def test_a_question_that_nobody_answers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for said, words, code in (("", "--force does it", 2), ("n\n", "Nothing was changed.", 1)):
        monkeypatch.setattr("sys.stdin", io.StringIO(said))
        with pytest.raises((click.UsageError, click.exceptions.Exit)) as ended:
            confirm("Sure?", "--force")
        assert code == ended.value.exit_code  # type: ignore[union-attr]
        assert words in f"{ended.value} {capsys.readouterr().err}"
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    confirm("Sure?", "--force")


def test_the_headless_path_imports_no_textual() -> None:
    """Everything `chat` and `doctor` import, by running them up to the engine."""
    code = (
        "import sys\n"
        "from tui.cli.main import run\n"
        "assert run(['chat', '--model', '/nowhere', 'hi']) == 3\n"
        "run(['config', 'show']); run(['models', 'list'])\n"
        "import tui.cli.chat, tui.cli.doctor, tui.cli.checks, agents.workspace, engine.client\n"
        "import tui.cli.bench, tui.cli.models\n"
        "loaded = {name.split('.')[0] for name in sys.modules}\n"
        "assert not loaded & {'textual', 'rich', 'llama_cpp'}, loaded & {'textual', 'rich'}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, check=False, text=True
    )
    assert done.returncode == 0, done.stderr


def test_version_imports_next_to_nothing() -> None:
    code = (
        "import sys\n"
        "from tui.cli.main import run\n"
        "assert run(['--version']) == 0\n"
        "heavy = {'textual', 'msgspec', 'numpy', 'agents', 'asyncio', 'huggingface_hub'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, check=False, text=True
    )
    assert done.returncode == 0, done.stderr


def test_tables_and_sizes() -> None:
    assert table([("a", "1.5 kB"), ("long", "10 B")], ("name", "size")).splitlines() == [
        "name    size",
        "a     1.5 kB",
        "long    10 B",
    ]
    assert [size(n) for n in (0, 999, 1000, 39_500_000, 2e12)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "39.5 MB",
        "2.0 TB",
    ]


def test_pull_prints_the_file_and_passes_on_what_was_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from engine import hub

    asked: list[tuple[str, str | None]] = []
    file = tmp_path / "m.gguf"
    file.write_bytes(b"12345")

    def pull(repo: str, name: str | None, progress: Callable[[int, int], None]) -> Path:
        asked.append((repo, name))
        progress(2, 5)
        progress(5, 5)
        return file

    monkeypatch.setattr(hub, "pull", pull)
    code, out, err = ran(capsys, "models", "pull", "owner/repo", "Q4_K_M", "--json")
    assert (code, asked, err) == (0, [("owner/repo", "Q4_K_M")], "")
    assert json.loads(out) == {"path": str(file), "bytes": 5}
    assert ran(capsys, "models", "pull", "owner/repo")[1] == f"{file}\n"


def test_control_characters_do_not_reach_a_terminal() -> None:
    from tui.cli.chat import CONTROLS

    assert "a\x1b[2Jb\n\tc\x9b\r\x7fé🙂".translate(CONTROLS) == "a[2Jb\n\tcé🙂"
