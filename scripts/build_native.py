"""Builds halo-native for one backend and installs it, from the user's cache when nothing changed."""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NATIVE = ROOT / "native"
sys.path[:0] = [str(NATIVE), str(ROOT / "scripts")]

import backend_needs  # noqa: E402
import fetch_llama  # noqa: E402

KEPT = 6
OPTIONS = {
    "cpu": [],
    "vulkan": ["-DGGML_VULKAN=ON"],
    "hip": ["-DGGML_HIP=ON"],
    "cuda": ["-DGGML_CUDA=ON"],
}
TAKES = {  # docs/native.md has the measurements
    "cpu": "a few minutes",
    "vulkan": "5 minutes on two cores, less on more,",
    "hip": "10 minutes on two cores, less on more,",
    "cuda": "an hour or more on two cores, less on more,",
}


def compiler() -> str:
    """The C++ compiler; ends the program with a remedy when there is none."""
    found = subprocess.run(
        ["bash", str(ROOT / "scripts" / "find_compiler.sh")],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if found.returncode:
        raise SystemExit(found.returncode)
    return found.stdout.strip()


def version(name: str) -> str:
    """The first line of what a compiler says of itself."""
    out = subprocess.run([name, "--version"], capture_output=True, text=True, check=False).stdout
    return out.splitlines()[0] if out else name


def cpu_flags() -> str:
    """What -march=native depends on."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    return next((line for line in text.splitlines() if line.startswith(("flags", "Features"))), "")


def key(backend: str, env: Mapping[str, str], built_with: str = "") -> str:
    """Changes whenever the library that is built in `env` could.

    `built_with`: the vendor's tools, for their libraries change names with their versions."""
    digest = hashlib.sha256()
    skip = {"build", "__pycache__", "tests"}
    for path in sorted(NATIVE.rglob("*")):
        if path.is_file() and not skip.intersection(path.relative_to(NATIVE).parts):
            digest.update(path.relative_to(NATIVE).as_posix().encode() + b"\0" + path.read_bytes())
    for part in (
        backend,
        version(compiler()),
        cpu_flags(),
        platform.machine(),
        env.get("CMAKE_ARGS", ""),
        *([built_with] if built_with else []),
    ):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()[:20]


def show(line: str, tty: bool, last: list[int]) -> None:
    """Ninja's [n/m] as one moving line, or every tenth of the way where there is no terminal.

    `last` holds the tenth shown last and the steps of the build; builds within it have fewer.
    """
    step = re.match(r"\s*\[(\d+)/(\d+)\]", line)
    if not step or int(step[2]) < last[1]:
        return
    done, total = int(step[1]), int(step[2])
    last[1] = total
    if tty:
        end = "\n" if done == total else ""
        print(f"\r  native build {done}/{total}\033[K", end=end, file=sys.stderr, flush=True)
    elif done * 10 // total != last[0]:
        last[0] = done * 10 // total
        print(f"  native build {done}/{total}", file=sys.stderr, flush=True)


def build(backend: str, target: Path, env: Mapping[str, str]) -> Path:
    """Builds the wheel into `target`, in a folder that is kept, so that edits rebuild in seconds."""
    fetch_llama.source()  # here, since pip would hide the download's progress
    folder = NATIVE / "build" / backend
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "build.log"
    command = [sys.executable, "-m", "pip", "wheel", "-v", "--no-deps", "--no-build-isolation"]
    command += ["-w", str(target), "-C", f"build-dir={folder}", str(NATIVE)]
    env = {
        **env,
        "CMAKE_ARGS": " ".join([env.get("CMAKE_ARGS", ""), *OPTIONS[backend]]).strip(),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}",
    }
    tty, last = sys.stderr.isatty(), [-1, 0]
    print(
        f"halo-native: building llama.cpp for {backend} ({TAKES[backend]} the first time)",
        file=sys.stderr,
    )
    with (
        log.open("w", buffering=1) as out,
        subprocess.Popen(
            command, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process,
    ):
        assert process.stdout
        for line in process.stdout:
            out.write(line)
            show(line, tty, last)
    if process.returncode:
        tail = log.read_text().splitlines()[-25:]
        print("\n".join(tail), file=sys.stderr)
        raise SystemExit(
            f"halo-tui: the native build failed; the whole log is {log.relative_to(ROOT)}"
        )
    return next(target.glob("halo_native-*.whl"))


def forget_old(wheels: Path) -> None:
    """Keeps the newest few builds; each native edit makes one."""
    for folder in sorted(wheels.iterdir(), key=lambda f: f.stat().st_mtime, reverse=True)[KEPT:]:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", default="cpu", help=", ".join(OPTIONS))
    parser.add_argument("--check", action="store_true", help="only look for what it needs")
    options = parser.parse_args()
    backend = options.backend
    if backend not in OPTIONS:
        raise SystemExit(f"halo-tui: there is no BACKEND={backend}; there is {', '.join(OPTIONS)}.")
    try:
        prepared = backend_needs.prepare(backend, compiler(), os.environ)
    except backend_needs.Missing as missing:
        raise SystemExit(f"halo-tui: {missing}. Or use BACKEND=cpu.") from None
    if options.check:
        return
    if prepared.warning:
        print(f"halo-native: {prepared.warning}.", file=sys.stderr)
    env = prepared.env
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    kept = base / "halo-tui" / "wheels" / key(backend, env, prepared.built_with)
    wheel = next(kept.glob("halo_native-*.whl"), None) if kept.is_dir() else None
    with tempfile.TemporaryDirectory() as scratch:
        if wheel is None:
            wheel = build(backend, Path(scratch), env)
            try:
                kept.mkdir(parents=True, exist_ok=True)
                shutil.copy2(wheel, kept / (wheel.name + ".part"))
                os.replace(kept / (wheel.name + ".part"), kept / wheel.name)
                forget_old(kept.parent)
            except OSError as error:  # the cache is a convenience
                print(f"halo-native: the build was not cached: {error}", file=sys.stderr)
        else:
            print("halo-native: taken from the cache", file=sys.stderr)
        pip = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "-q",
            "--no-deps",
            "--force-reinstall",
            str(wheel),
        ]
        raise SystemExit(subprocess.run(pip, check=False).returncode)


if __name__ == "__main__":
    main()
