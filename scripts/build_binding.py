"""Installs the llama-cpp-python binding without a llama.cpp of its own (ours is found at run time)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

NATIVE = Path(__file__).resolve().parent.parent / "native"
sys.path.insert(0, str(NATIVE))

import fetch_llama  # noqa: E402


def main() -> None:
    env = {
        **os.environ,
        "CMAKE_ARGS": "-DLLAMA_BUILD=OFF",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation"]
    raise SystemExit(
        subprocess.run([*pip, str(fetch_llama.sdist())], env=env, check=False).returncode
    )


if __name__ == "__main__":
    main()
