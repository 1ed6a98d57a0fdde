"""Prints the folder of the pinned llama.cpp source, fetching it on first use.

llama.cpp comes from the llama-cpp-python source distribution, pinned by version and SHA-256 in
`llama.txt`, through pip: whatever index the user has configured is used. The unpacked source is
kept in the user's cache folder; delete it and it is made again.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PIN = Path(__file__).with_name("llama.txt")


def pinned() -> tuple[str, str]:
    """Version and SHA-256 of the source distribution."""
    text = PIN.read_text()
    version = re.search(r"llama-cpp-python==([\w.]+)", text)
    digest = re.search(r"sha256:([0-9a-f]{64})", text)
    if not version or not digest:
        raise SystemExit(f"{PIN.name} names no version and hash. Restore it from version control.")
    return version[1], digest[1]


def cache_root() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "halo-tui"


def is_right(archive: Path, digest: str) -> bool:
    return archive.is_file() and hashlib.sha256(archive.read_bytes()).hexdigest() == digest


def sdist() -> Path:
    """The verified archive; downloaded when the cache has none or a damaged one."""
    version, digest = pinned()
    folder = cache_root() / "sdist"
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / f"llama_cpp_python-{version}.tar.gz"
    if is_right(archive, digest):
        return archive
    archive.unlink(missing_ok=True)
    print(f"halo-native: fetching llama-cpp-python {version} (about 70 MB)", file=sys.stderr)
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
    ]
    command += ["--no-binary", ":all:", "--require-hashes", "-r", str(PIN), "-d", str(folder)]
    if subprocess.run(command, stdout=sys.stderr).returncode or not is_right(archive, digest):
        raise SystemExit(
            f"halo-native: pip could not fetch llama-cpp-python {version} with the pinned hash. "
            "Check the network or the package index of pip, then try again."
        )
    return archive


def source() -> Path:
    """Folder of llama.cpp itself."""
    version, digest = pinned()
    target = cache_root() / f"llama.cpp-{version}-{digest[:12]}"
    if (target / "CMakeLists.txt").is_file():
        return target
    archive = sdist()  # makes the cache folder, too
    prefix = f"llama_cpp_python-{version}/vendor/llama.cpp/"
    scratch = Path(tempfile.mkdtemp(dir=cache_root()))
    try:
        with tarfile.open(archive) as tar:
            members = [m for m in tar.getmembers() if m.name.startswith(prefix)]
            tar.extractall(scratch, members=members, filter="data")
        shutil.rmtree(target, ignore_errors=True)
        (scratch / prefix).rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return target


if __name__ == "__main__":
    print(sdist() if sys.argv[1:] == ["--sdist"] else source())
