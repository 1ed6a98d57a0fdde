"""Builds llama.cpp and halo's C++ tests with sanitizers and runs them on tiny models."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.support import mkgguf  # noqa: E402

BUILD = ROOT / "native" / "build" / "asan"


def main() -> None:
    models = BUILD / "models"
    models.mkdir(parents=True, exist_ok=True)
    paths = []
    for arch in mkgguf.ARCHITECTURES:
        path = models / f"{arch}.gguf"
        shutil.copyfile(mkgguf.tiny(arch), path)
        paths.append(str(path))
    tools = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    configure = ["cmake", "-S", str(ROOT / "native"), "-B", str(BUILD), "-G", "Ninja"]
    configure += [f"-DPython3_EXECUTABLE={sys.executable}"]
    configure += ["-DCMAKE_BUILD_TYPE=RelWithDebInfo", "-DHALO_SANITIZE=ON", "-DHALO_TESTS=ON"]
    # OpenMP's runtime is not instrumented and reports races and leaks of its own.
    configure += ["-DGGML_OPENMP=OFF", f"-DHALO_TEST_MODELS={';'.join(paths)}"]
    subprocess.run(configure, check=True, env=environment)
    subprocess.run(
        ["cmake", "--build", str(BUILD), "--target", "halo_tests"], check=True, env=environment
    )
    ctest = ["ctest", "--test-dir", str(BUILD), "--output-on-failure"]
    raise SystemExit(subprocess.run(ctest, env=environment, check=False).returncode)


if __name__ == "__main__":
    main()
