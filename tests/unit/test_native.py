"""The native library through ctypes: its cells, hooks and bench on every memory layout."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import native, routing
from tests.support import mkgguf
from tests.support.contexts import attached

CPP_TESTS = Path(__file__).parents[2] / "native" / "tests"
CELLS = 512


def context(
    arch: str, *, cells: int = CELLS, unified: bool = True, n_seq: int = 4
) -> AbstractContextManager[tuple[Any, Any]]:
    """llama_cpp and an attached context of a tiny model."""
    return attached(
        arch,
        n_ctx=cells,
        n_seq_max=n_seq,
        n_threads=2,
        n_threads_batch=2,
        kv_unified=unified,
        swa_full=False,
    )


def decode(llama: Any, ctx: Any, rows: list[tuple[int, int, list[int]]]) -> None:
    """One llama_decode of (token, position, sequences)."""
    batch = llama.llama_batch_init(len(rows), 0, 4)
    for i, (token, pos, sequences) in enumerate(rows):
        batch.token[i], batch.pos[i], batch.logits[i] = token, pos, i == len(rows) - 1
        batch.n_seq_id[i] = len(sequences)
        for j, sequence in enumerate(sequences):
            batch.seq_id[i][j] = sequence
    batch.n_tokens = len(rows)
    status = llama.llama_decode(ctx, batch)
    llama.llama_batch_free(batch)
    assert status == 0


def positions(cells: native.CellMap, owner: int) -> list[int]:
    return sorted(cells.pos[cells.owner == owner].tolist())


def test_a_context_reaches_every_hook() -> None:
    with context("llama"):
        found = native.hooks(experts=False)
    assert found
    assert all(found.values()), f"upstream renamed a wrapped symbol: {found}"
    with context("qwen3moe"):
        found = native.hooks()
    assert found["experts"], "upstream selects experts in another way"


@pytest.mark.parametrize(
    ("arch", "windows"),
    [("llama", [0]), ("qwen3", [0]), ("qwen3moe", [0]), ("gemma3", [0, 64]), ("lfm2", [0])],
)
def test_caches_are_those_of_the_memory(arch: str, windows: list[int]) -> None:
    with context(arch) as (_, ctx):
        found = native.caches(ctx)
    assert [cache.n_swa for cache in found] == windows
    assert all(cache.n_streams == 1 for cache in found)
    # All attention layers are in one of the caches, recurrent ones in none.
    layers = mkgguf.shape_of(arch).layers
    assert sum(cache.n_layers for cache in found) == (layers // 2 if arch == "lfm2" else layers)


@pytest.mark.parametrize("arch", mkgguf.ARCHITECTURES)
def test_cells_follow_sequences(arch: str) -> None:
    with context(arch) as (llama, ctx):
        memory = llama.llama_get_memory(ctx)
        empty = native.cell_map(ctx)
        assert (empty.used, empty.highest, empty.shared) == (0, 0, 0)
        assert (empty.pos == -1).all() and (empty.owner == native.FREE).all()

        decode(llama, ctx, [(7, i, [0]) for i in range(20)])
        decode(llama, ctx, [(9, i, [1]) for i in range(12)])
        cells = native.cell_map(ctx)
        assert (cells.total, cells.used, cells.shared) == (CELLS, 32, 0)
        assert positions(cells, 0) == list(range(20))
        assert positions(cells, 1) == list(range(12))
        assert cells.highest == int(np.flatnonzero(cells.owner != native.FREE)[-1]) + 1

        llama.llama_memory_seq_cp(memory, 0, 3, -1, -1)
        cells = native.cell_map(ctx)
        assert (cells.used, cells.shared) == (32, 20)
        mine = cells.owner == native.SHARED
        assert (cells.count[mine] == 2).all() and (cells.first[mine] == 0).all()
        assert positions(cells, native.SHARED) == list(range(20))

        decode(llama, ctx, [(5, 20, [3])])
        assert positions(native.cell_map(ctx), 3) == [20]

        assert llama.llama_memory_seq_rm(memory, 0, -1, -1)
        cells = native.cell_map(ctx)
        assert (cells.used, cells.shared) == (33, 0)
        assert positions(cells, 3) == list(range(21))

        assert llama.llama_memory_seq_rm(memory, 1, 3, 6)
        assert positions(native.cell_map(ctx), 1) == [0, 1, 2, *range(6, 12)]


def test_the_sliding_cache_forgets_and_the_base_cache_does_not() -> None:
    with context("gemma3", cells=1024) as (llama, ctx):
        for start in range(0, 960, 120):
            decode(llama, ctx, [(7, start + i, [0]) for i in range(120)])
        base, sliding = native.cell_map(ctx, 0), native.cell_map(ctx, 1)
    assert positions(base, 0) == list(range(960))
    assert sliding.total < base.total
    kept = positions(sliding, 0)
    assert len(kept) < 960
    assert kept[-64:] == list(range(896, 960))  # at least the window is there


def test_each_stream_has_cells_of_its_own() -> None:
    with context("llama", unified=False) as (llama, ctx):
        (cache,) = native.caches(ctx)
        assert cache.n_streams == 4
        decode(llama, ctx, [(7, i, [2]) for i in range(9)])
        used = [native.cell_map(ctx, stream=stream).used for stream in range(4)]
    assert used == [0, 0, 9, 0]


def test_many_sequences_share_a_cell() -> None:
    with context("llama", n_seq=256) as (llama, ctx):
        memory = llama.llama_get_memory(ctx)
        decode(llama, ctx, [(7, i, [200]) for i in range(4)])
        for sequence in range(201, 256):
            llama.llama_memory_seq_cp(memory, 200, sequence, -1, -1)
        cells = native.cell_map(ctx)
        shared = cells.owner == native.SHARED
    assert set(cells.count[shared].tolist()) == {56}
    assert set(cells.first[shared].tolist()) == {200}


def test_bad_calls_are_sentences_and_not_crashes() -> None:
    with context("llama") as (_, ctx):
        with pytest.raises(native.NativeError, match="cache 1 is not one of the context's 1"):
            native.cell_map(ctx, cache=1)
        with pytest.raises(native.NativeError, match="stream 5 is not one"):
            native.cell_map(ctx, stream=5)
        native.detach(ctx)
        with pytest.raises(native.NativeError, match="halo_attach"):
            native.cell_map(ctx)
        native.attach(ctx)
        assert native.cell_map(ctx).used == 0
    with pytest.raises(native.NativeError, match="NULL"):
        native.attach(None)


@pytest.mark.parametrize("arch", mkgguf.ARCHITECTURES)
def test_the_bare_loop_counts_and_cleans_up(arch: str) -> None:
    prompts = [[7] * 150, [9] * 20, [11]]
    with context(arch) as (llama, ctx):
        decode(llama, ctx, [(7, 0, [3])])
        result = native.bench_batched(ctx, prompts, 5, temperature=0.8, top_k=20, top_p=0.9)
        assert native.cell_map(ctx).used == 0
    assert (result.prompt_tokens, result.decoded_tokens) == (171, 12)
    assert 0 < result.ttft_seconds <= result.prefill_seconds
    assert result.decode_seconds > 0


@pytest.mark.parametrize(
    ("prompts", "n_decode", "says"),
    [
        ([[1]] * 5, 4, "takes 1 to 4"),
        ([], 4, "takes 1 to 4"),
        ([[1], []], 4, "at least one token"),
        ([[1]], 0, "n_decode"),
        ([[10**9]], 4, "llama_decode failed"),
        ([[1] * 200] * 4, 4, "too few cells"),
    ],
)
def test_the_bare_loop_refuses(prompts: list[list[int]], n_decode: int, says: str) -> None:
    with context("llama") as (_, ctx):
        with pytest.raises(native.NativeError, match=says):
            native.bench_batched(ctx, prompts, n_decode)
        assert native.cell_map(ctx).used == 0


def test_build_info_names_what_was_built() -> None:
    info = native.build_info()
    pin = (CPP_TESTS.parent / "llama.txt").read_text().split()[0]
    assert pin == f"llama-cpp-python=={info['llama_cpp']}"
    assert info["abi"] == native.ABI
    assert "CPU" in info["backends"]


def run_python(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **env},
        cwd=CPP_TESTS.parents[1],
        check=False,
    )


def test_importing_loads_nothing() -> None:
    done = run_python("import sys, engine.native; raise SystemExit('llama_cpp' in sys.modules)")
    assert done.returncode == 0, done.stderr


def test_another_libllama_is_told_apart(tmp_path: Path) -> None:
    """A llama_cpp that was imported first, with a libllama without our seam."""
    package = tmp_path / "llama_cpp"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "llama_cpp.py").write_text("import ctypes\n_lib = ctypes.CDLL(None)\n")
    done = run_python(
        "from engine import native\n"
        "try:\n    native.load()\n"
        "except native.NativeError as e:\n    print(e.what, '|', e.remedy)",
        PYTHONPATH=str(tmp_path),
    )
    assert "another libllama" in done.stdout and "make clean" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("missing", "built", "what", "remedy"),
    [
        (
            "libcuda.so.1",
            "cuda",
            "NVIDIA's driver is missing (libcuda.so.1)",
            "make run BACKEND=cpu.",
        ),
        ("libvulkan.so.1", "vulkan", "Vulkan's loader is missing", "libvulkan1"),
        ("libcublas.so.13", "cuda", "libcublas.so.13", "make clean && make run BACKEND=cuda."),
        ("libfoo-2.so", "", "libfoo-2.so", "make clean && make run."),
    ],
)
def test_a_library_that_is_missing_is_named_with_what_helps(
    missing: str, built: str, what: str, remedy: str
) -> None:
    said = f"Failed to load shared library '/x/libllama.so': {missing}: cannot open shared object file: No such file"
    error = native._not_loaded(said, built)
    assert what in error.what and remedy in error.remedy


@pytest.mark.parametrize("name", ["test_seam", "test_bias", "test_experts"])
def test_the_cpp_tests_pass(name: str, tmp_path: Path) -> None:
    """The C++ tests, against the installed library and its installed headers."""
    import halo_native

    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    assert compiler, "the tests need the C++ compiler that built the native part"
    lib, program = halo_native.lib_dir(), tmp_path / name
    command = [
        compiler,
        "-std=c++17",
        "-Wall",
        "-Wextra",
        "-Werror",
        str(CPP_TESTS / f"{name}.cpp"),
    ]
    command += [f"-I{halo_native.include_dir()}", f"-L{lib}", "-lllama"]
    command += [f"-Wl,-rpath,{lib}", f"-Wl,-rpath-link,{lib}", "-o", str(program)]
    subprocess.run(command, check=True)
    for arch in mkgguf.ARCHITECTURES:
        done = subprocess.run(
            [program, mkgguf.tiny(arch)], capture_output=True, text=True, check=False,
            env={**os.environ, "GOMP_SPINCOUNT": "300"},  # spinning threads starve one another
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (0, "ok\n"), f"{arch}: {done.stderr}"


def test_the_header_compiles_as_c(tmp_path: Path) -> None:
    import halo_native

    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    assert compiler
    source = tmp_path / "header.c"
    source.write_text('#include "halo.h"\nint main(void) { return HALO_OK; }\n')
    command = [compiler, "-std=c99", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"]
    subprocess.run([*command, f"-I{halo_native.include_dir()}", str(source)], check=True)


def test_structs_have_the_headers_layout(tmp_path: Path) -> None:
    """The ctypes mirrors are as large as the C structs; the fields' order is checked by use."""
    import halo_native

    names = {
        "halo_hook": native._Hook,
        "halo_cache_info": native._CacheInfo,
        "halo_cells_summary": native._Summary,
        "halo_experts_info": routing._Info,
        "halo_bench_params": native._BenchParams,
        "halo_bench_result": native._BenchResult,
    }
    checks = "\n".join(
        f'static_assert(sizeof({name}) == {ctypes.sizeof(mirror)}, "{name}");'
        for name, mirror in names.items()
    )
    source = tmp_path / "layout.cpp"
    source.write_text(f'#include "halo.h"\n{checks}\n')
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    assert compiler
    subprocess.run(
        [compiler, "-std=c++17", "-fsyntax-only", f"-I{halo_native.include_dir()}", str(source)],
        check=True,
    )


def test_a_backend_that_did_not_register_is_of_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Vulkan without a driver: it was built for, and that is what the user has to hear."""
    registered = native.gpu_backends()
    (tmp_path / "libggml-vulkan.so").touch()
    monkeypatch.setattr("halo_native.lib_dir", lambda: tmp_path)
    assert native.gpu_backends() == tuple(dict.fromkeys([*registered, "vulkan"]))
