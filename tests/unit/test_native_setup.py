"""The set-up scripts: what they find, what they refuse, and what they say then."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.setup_scripts import ROOT, bare_path, module, program


@pytest.fixture
def fetch() -> ModuleType:
    return module(ROOT / "native" / "fetch_llama.py")


@pytest.fixture
def build() -> ModuleType:
    return module(ROOT / "scripts" / "build_native.py")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    return bare_path(tmp_path / "bin")


def script(name: str, path: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(ROOT / "scripts" / name)],
        env={"PATH": str(path), "HOME": str(path), **env},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


# A stand-in interpreter answers the three questions that the script asks.
PYTHON = """case "$2" in
  *"%d.%d"*) echo {version} ;;
  *version_info*) exit {old} ;;
  *ensurepip*) exit {no_venv} ;;
esac"""


def test_no_python_is_a_sentence_with_a_remedy(machine: Path) -> None:
    program(machine, "python3", PYTHON.format(version="3.11", old=1, no_venv=0))
    done = script("find_python.sh", machine)
    assert (done.returncode, done.stdout) == (1, "")
    assert "no Python >= 3.12" in done.stderr and "make PYTHON=" in done.stderr


def test_missing_venv_names_the_package(machine: Path) -> None:
    program(machine, "python3", PYTHON.format(version="3.13", old=0, no_venv=1))
    done = script("find_python.sh", machine)
    assert (done.returncode, done.stdout) == (1, "")
    assert "apt install python3.13-venv" in done.stderr


def test_a_complete_python_is_preferred_to_one_without_venv(machine: Path) -> None:
    program(machine, "python3.12", PYTHON.format(version="3.12", old=0, no_venv=1))
    good = program(machine, "python3.13", PYTHON.format(version="3.13", old=0, no_venv=0))
    assert script("find_python.sh", machine).stdout.strip() == str(good)


def test_pyenv_versions_are_found_without_shims(machine: Path) -> None:
    folder = machine / ".pyenv" / "versions" / "3.12.9" / "bin"
    folder.mkdir(parents=True)
    good = program(folder, "python", PYTHON.format(version="3.12", old=0, no_venv=0))
    assert script("find_python.sh", machine).stdout.strip() == str(good)


def test_a_named_python_comes_first(machine: Path) -> None:
    program(machine, "python3.12", PYTHON.format(version="3.12", old=0, no_venv=0))
    mine = program(machine, "mine", PYTHON.format(version="3.14", old=0, no_venv=0))
    assert script("find_python.sh", machine, PYTHON=str(mine)).stdout.strip() == str(mine)


@pytest.mark.parametrize(
    ("release", "says"),
    [
        ("ID=debian", "apt install build-essential"),
        ('ID=nobara\nID_LIKE="rhel centos fedora"', "dnf install gcc-c++"),
        ("ID=arch", "pacman -S base-devel"),
        ("", "apt install build-essential"),
    ],
)
def test_no_compiler_is_a_sentence_with_a_remedy(machine: Path, release: str, says: str) -> None:
    (machine / "os-release").write_text(release)
    done = script("find_compiler.sh", machine, OS_RELEASE=str(machine / "os-release"))
    assert (done.returncode, done.stdout) == (1, "")
    assert says in done.stderr


def test_the_compiler_of_cxx_is_used_or_named(machine: Path) -> None:
    program(machine, "c++", "")
    mine = program(machine, "mine++", "")
    assert script("find_compiler.sh", machine, CXX=str(mine)).stdout.strip() == str(mine)
    assert "CXX is no++" in script("find_compiler.sh", machine, CXX="no++").stderr


@pytest.mark.parametrize("check", [[], ["--check"]])
def test_a_missing_backend_tool_is_named(machine: Path, check: list[str]) -> None:
    program(machine, "c++", "")
    script = str(ROOT / "scripts" / "build_native.py")
    done = subprocess.run(
        [sys.executable, script, "--backend", "cuda", *check],
        env={"PATH": str(machine), "HOME": str(machine)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "CUDA" in done.stderr and "BACKEND=cpu" in done.stderr


def test_a_backend_that_does_not_exist_is_named(machine: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "build_native.py"), "--backend", "metal"],
        env={"PATH": str(machine), "HOME": str(machine)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "no BACKEND=metal; there is cpu, vulkan, hip, cuda" in done.stderr


def test_looking_for_what_is_needed_builds_nothing(machine: Path) -> None:
    program(machine, "c++", "")
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "build_native.py"), "--check"],
        env={"PATH": str(machine), "HOME": str(machine)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not (machine / ".cache").exists()


def test_steps_of_a_build_within_the_build_are_not_shown(
    build: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    last = [-1, 0]
    for line in ("[10/400] a", "[1/2] shader generator", "[2/2] shader generator", "[80/400] b"):
        build.show(line, False, last)
    assert capsys.readouterr().err.split() == "native build 10/400 native build 80/400".split()


def test_the_key_follows_what_is_built(
    build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("src", "build", "tests"):
        (tmp_path / folder).mkdir()
    source = tmp_path / "src" / "a.cpp"
    source.write_text("1")
    monkeypatch.setattr(build, "NATIVE", tmp_path)
    first = build.key("cpu", {})
    assert build.key("vulkan", {}) != first
    for aside in ("build/log", "tests/test_seam.cpp"):
        (tmp_path / aside).write_text("x")
    assert build.key("cpu", {}) == first
    assert build.key("cpu", {"CMAKE_ARGS": "-DGGML_NATIVE=OFF"}) != first
    assert build.key("hip", {}, "ROCm 6.4") != build.key("hip", {}, "ROCm 7.2")
    source.write_text("2")
    assert build.key("cpu", {}) != first


def test_old_builds_are_forgotten(build: ModuleType, tmp_path: Path) -> None:
    for age in range(build.KEPT + 3):
        folder = tmp_path / f"build-{age}"
        folder.mkdir()
        (folder / "wheel.whl").touch()
        os.utime(folder, (1000 - age, 1000 - age))
    build.forget_old(tmp_path)
    assert {f.name for f in tmp_path.iterdir()} == {f"build-{age}" for age in range(build.KEPT)}


def test_a_damaged_archive_is_fetched_again(
    fetch: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = b"the archive"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(fetch, "pinned", lambda: ("1.0", hashlib.sha256(right).hexdigest()))
    archive = tmp_path / "halo-tui" / "sdist" / "llama_cpp_python-1.0.tar.gz"
    archive.parent.mkdir(parents=True)
    archive.write_bytes(right[:-1])

    def download(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        assert "--require-hashes" in command
        assert not archive.exists()
        archive.write_bytes(right)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(fetch.subprocess, "run", download)
    assert fetch.sdist() == archive
    monkeypatch.setattr(fetch.subprocess, "run", lambda *_, **__: pytest.fail("fetched twice"))
    assert fetch.sdist() == archive


def test_a_wrong_archive_is_refused(
    fetch: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def download(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        version, _digest = fetch.pinned()
        folder = Path(command[command.index("-d") + 1])
        (folder / f"llama_cpp_python-{version}.tar.gz").write_bytes(b"something else")
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(fetch.subprocess, "run", download)
    with pytest.raises(SystemExit, match="pinned hash"):
        fetch.sdist()


def test_the_source_is_unpacked_into_a_cache_that_does_not_exist_yet(
    fetch: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = "llama_cpp_python-1.0/vendor/llama.cpp/CMakeLists.txt"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name in (inside, "llama_cpp_python-1.0/setup.py"):
            tar.addfile(tarfile.TarInfo(name))
    right = packed.getvalue()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(fetch, "pinned", lambda: ("1.0", hashlib.sha256(right).hexdigest()))

    def download(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        folder = Path(command[command.index("-d") + 1])
        (folder / "llama_cpp_python-1.0.tar.gz").write_bytes(right)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(fetch.subprocess, "run", download)
    folder = fetch.source()
    assert [f.name for f in folder.iterdir()] == ["CMakeLists.txt"]
    assert sorted(f.name for f in folder.parent.iterdir()) == sorted([folder.name, "sdist"])
    assert fetch.source() == folder


@pytest.mark.parametrize("name", ["build", "runtime", "dev"])
def test_locks_are_pinned_hashed_and_name_no_index(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    assert "://" not in text and "--index" not in text and "--find-links" not in text
    logical = text.replace("\\\n", " ").splitlines()
    entries = [line for line in logical if line.strip() and not line.lstrip().startswith("#")]
    assert entries
    for entry in entries:
        assert "==" in entry.split("--hash")[0] and "--hash=sha256:" in entry, entry


def test_dev_contains_the_very_versions_of_runtime() -> None:
    def pins(name: str) -> set[str]:
        lines = (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()
        return {line.split()[0] for line in lines if "==" in line}

    assert pins("runtime") <= pins("dev")
