"""What a GPU's libraries say before they abort, and what is made of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import last_words

# As rocBLAS 4 writes it: https://github.com/ROCm/legacy-rocm-build/issues/2719
ROCBLAS = """
rocBLAS error: Cannot read /opt/rocm/lib/rocblas/library/TensileLibrary.dat: Illegal seek for GPU arch : gfx1151
 List of available TensileLibrary Files :
"/opt/rocm/lib/rocblas/library/TensileLibrary_lazy_gfx1100.dat"
"""
HIP = """ROCm error: invalid device function
  current device: 0, in function ggml_cuda_compute_forward at ggml-cuda.cu:2600
"""
CUDA = "CUDA error: no kernel image is available for execution on the device\n"
MEMORY = "ROCm error: out of memory\n"


@pytest.mark.parametrize(
    ("said", "what", "remedy"),
    [
        (ROCBLAS, "rocBLAS of this machine has no kernels for its GPU (gfx1151)", "BACKEND=vulkan"),
        (HIP, "without code for this GPU", "BACKEND=hip"),
        (CUDA, "without code for this GPU", "doctor"),
    ],
)
def test_what_would_happen_again_is_told_with_its_remedy(
    tmp_path: Path, said: str, what: str, remedy: str
) -> None:
    log = tmp_path / "core.log"
    log.write_text("ready\n" + said + "#1 0x00007f in ggml_abort ()\n" * 2000)
    fault = last_words.of_gpu(log, 0)
    assert fault is not None and what in fault.what and remedy in fault.remedy


def test_other_ends_and_older_cores_are_not_explained(tmp_path: Path) -> None:
    log = tmp_path / "core.log"
    assert last_words.of_gpu(log, 0) is None
    log.write_text(ROCBLAS)
    before = log.stat().st_size
    log.write_text(ROCBLAS + MEMORY)
    assert last_words.of_gpu(log, before) is None
    assert last_words.of_gpu(log, 10 * before) is None  # begun anew meanwhile
