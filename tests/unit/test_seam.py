"""The seam on real contexts: biases against eviction and duplication, cell contents, queries."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from engine import native, seam
from tests.support import mkgguf
from tests.support.contexts import attached

TYPES = {"f32": 0, "f16": 1, "bf16": 30, "q8_0": 8}
N = 120  # prompt tokens
EVICT = np.array([17, 20, 21, 22, 50, 77, 90, 101], np.int32)


def context(
    arch: str, *, flash: bool = True, cache: str = "f16", n_seq: int = 2, cells: int = 512
) -> AbstractContextManager[tuple[Any, Any]]:
    return attached(
        arch,
        n_ctx=cells,
        n_seq_max=n_seq,
        n_threads=1,
        n_threads_batch=1,
        kv_unified=True,
        swa_full=True,
        flash_attn_type=int(flash),
        type_k=TYPES[cache],
        type_v=TYPES[cache],
    )


def prompt() -> list[int]:
    return [int(t) for t in np.random.default_rng(1).integers(3, 500, N)]


def decode(
    llama: Any, ctx: Any, tokens: list[int], start: int = 0, slot: int = 0
) -> npt.NDArray[np.float32]:
    """Logits after the last token."""
    batch = llama.llama_batch_init(len(tokens), 0, 1)
    for i, token in enumerate(tokens):
        batch.token[i], batch.pos[i], batch.logits[i] = token, start + i, i == len(tokens) - 1
        batch.n_seq_id[i], batch.seq_id[i][0] = 1, slot
    batch.n_tokens = len(tokens)
    assert llama.llama_decode(ctx, batch) == 0
    llama.llama_batch_free(batch)
    n_vocab = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(llama.llama_get_model(ctx)))
    return np.ctypeslib.as_array(llama.llama_get_logits_ith(ctx, -1), (n_vocab,)).copy()


def bias_all(ctx: Any, cells: npt.ArrayLike, beta: float) -> None:
    for cache, info in enumerate(native.caches(ctx)):
        for i, layer in enumerate(seam.layers(ctx, info.n_layers, cache)):
            seam.set_bias(
                ctx,
                i,
                cells,
                np.full((layer.n_head_kv, len(np.asarray(cells))), beta, np.float32),
                cache,
            )


def distance(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    return float(np.abs(a - b).max())


@pytest.mark.parametrize("arch", mkgguf.ARCHITECTURES)
@pytest.mark.parametrize("flash", [True, False])
@pytest.mark.parametrize("tail", [1, 5])
def test_minus_infinity_is_eviction_and_zero_is_nothing(arch: str, flash: bool, tail: int) -> None:
    more = prompt()[:tail]
    with context(arch, flash=flash) as (llama, ctx):
        decode(llama, ctx, prompt())
        plain = decode(llama, ctx, more, N)
    with context(arch, flash=flash) as (llama, ctx):
        decode(llama, ctx, prompt())
        bias_all(ctx, EVICT, 0.0)
        assert seam.bias_count(ctx) == 0
        np.testing.assert_array_equal(decode(llama, ctx, more, N), plain)
    with context(arch, flash=flash) as (llama, ctx):
        decode(llama, ctx, prompt())
        for cache in range(len(native.caches(ctx))):
            seam.evict(ctx, 0, EVICT, cache)
        evicted = decode(llama, ctx, more, N)
    for mode in (1, 2):
        with context(arch, flash=flash) as (llama, ctx):
            decode(llama, ctx, prompt())
            seam.bias_mode(ctx, mode)
            bias_all(ctx, EVICT, -np.inf)
            hidden = decode(llama, ctx, more, N)
        scale = float(np.abs(plain).max())
        assert distance(hidden, evicted) < 5e-3 * max(1, scale)
        assert distance(hidden, plain) > 20 * distance(hidden, evicted)


@pytest.mark.parametrize("cache", ["f16", "q8_0", "bf16"])
@pytest.mark.parametrize("flash", [True, False])
@pytest.mark.parametrize("heads", [(0, 1), (0,), (1,)])
@pytest.mark.parametrize("mode", [1, 2])
def test_log_two_is_a_second_copy(
    cache: str, flash: bool, heads: tuple[int, ...], mode: int
) -> None:
    """Twice the cell in some KV heads: by bias, or with a copy of its key and value in a cell of
    filler. Equal only if a head's bias reaches the query heads of its own group."""
    if cache == "q8_0" and not flash:
        pytest.skip("llama.cpp needs flash attention for quantised values")
    filler = np.arange(len(EVICT), dtype=np.int32)
    twice = EVICT[len(filler) <= EVICT]
    filler = filler[: len(twice)]
    found = []
    for by_bias in (True, False, None):
        with context("qwen3", cache=cache, flash=flash) as (llama, ctx):
            decode(llama, ctx, prompt())
            seam.bias_mode(ctx, mode)
            for i, layer in enumerate(seam.layers(ctx, native.caches(ctx)[0].n_layers)):
                assert layer.n_head_kv == 2 and layer.group > 1
                hide = np.full((2, len(filler)), -np.inf, np.float32)
                if by_bias:
                    beta = np.zeros((2, len(twice)), np.float32)
                    beta[list(heads)] = np.log(2)
                    seam.set_bias(ctx, i, twice, beta)
                elif by_bias is False:
                    seam.write(ctx, i, filler, *seam.read(ctx, i, layer, twice))
                    hide[list(heads)] = 0
                seam.set_bias(ctx, i, filler, hide)
            found.append(decode(llama, ctx, [5], N))
    by_beta, copied, single = found
    assert distance(by_beta, single) > 0.02
    assert distance(by_beta, copied) < 0.1 * distance(by_beta, single)


def random_beta(ctx: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    cells = np.sort(rng.choice(N, 40, replace=False)).astype(np.int32)
    for cache, info in enumerate(native.caches(ctx)):
        for i, layer in enumerate(seam.layers(ctx, info.n_layers, cache)):
            beta = rng.normal(0, 2, (layer.n_head_kv, len(cells))).astype(np.float16)
            seam.set_bias(ctx, i, cells, beta.astype(np.float32), cache)


@pytest.mark.parametrize("arch", mkgguf.ARCHITECTURES)
@pytest.mark.parametrize("tail", [1, 5])
def test_every_way_into_attention_gives_the_same_logits(arch: str, tail: int) -> None:
    found = []
    for flash, mode in ((True, 1), (True, 2), (False, 0)):
        with context(arch, flash=flash) as (llama, ctx):
            decode(llama, ctx, prompt())
            plain = decode(llama, ctx, prompt()[:tail], N)
            llama.llama_memory_seq_rm(llama.llama_get_memory(ctx), 0, N, -1)
            if arch == "lfm2":  # recurrent state cannot go back
                llama.llama_memory_clear(llama.llama_get_memory(ctx), True)
                decode(llama, ctx, prompt())
            seam.bias_mode(ctx, mode)
            random_beta(ctx, 3)
            found.append(decode(llama, ctx, prompt()[:tail], N))
            assert distance(found[-1], plain) > 0.02
    scale = float(np.abs(found[0]).max())
    assert distance(found[0], found[1]) < 2e-3 * scale
    assert distance(found[0], found[2]) < 1e-2 * scale


@pytest.mark.parametrize("cache", ["f32", "f16", "bf16", "q8_0"])
@pytest.mark.parametrize("flash", [True, False])
def test_reading_and_writing_back_changes_nothing(cache: str, flash: bool) -> None:
    if cache == "q8_0" and not flash:
        pytest.skip("llama.cpp needs flash attention for quantised values")
    with context("qwen3", cache=cache, flash=flash) as (llama, ctx):
        decode(llama, ctx, prompt())
        for i, layer in enumerate(seam.layers(ctx, native.caches(ctx)[0].n_layers)):
            keys, values = seam.read(ctx, i, layer, EVICT)
            assert np.abs(keys).max() > 0.01
            seam.write(ctx, i, EVICT, keys, values)
            again, also = seam.read(ctx, i, layer, EVICT)
            np.testing.assert_array_equal(again, keys)
            np.testing.assert_array_equal(also, values)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e5])
def test_what_the_cache_cannot_hold_is_refused(bad: float) -> None:
    with context("qwen3") as (llama, ctx):
        decode(llama, ctx, prompt())
        layer = seam.layers(ctx, 1)[0]
        keys, values = seam.read(ctx, 0, layer, [3])
        values[0, 0, 0] = bad
        with pytest.raises(native.NativeError, match="too large"):
            seam.write(ctx, 0, [3], keys, values)


def test_an_overwritten_cell_loses_its_bias() -> None:
    with context("qwen3", cells=256) as (llama, ctx):
        decode(llama, ctx, prompt())
        bias_all(ctx, EVICT, 3.0)
        assert seam.bias_count(ctx) == len(EVICT)
        memory = llama.llama_get_memory(ctx)
        llama.llama_memory_seq_rm(memory, 0, 50, 51)
        assert seam.bias_count(ctx) == len(EVICT) - 1  # at once, before any decode
        for position in range(N, N + 140):  # round the ring into the hole
            decode(llama, ctx, [5], position)
            if native.cell_map(ctx).pos[50] >= N:
                break
        assert native.cell_map(ctx).pos[50] >= N
        layer = seam.layers(ctx, 1)[0]
        assert (seam.get_bias(ctx, 0, layer, [50]) == 0).all()
        assert (seam.get_bias(ctx, 0, layer, [77]) == 3).all()


@pytest.mark.parametrize("arch", mkgguf.ARCHITECTURES)
@pytest.mark.parametrize("flash", [True, False])
def test_defragmenting_moves_everything_along(arch: str, flash: bool) -> None:
    with context(arch, flash=flash) as (llama, ctx):
        decode(llama, ctx, prompt())
        random_beta(ctx, 4)
        rng = np.random.default_rng(9)
        gone = np.sort(rng.choice(N - 1, 70, replace=False)).astype(np.int32)
        for cache in range(len(native.caches(ctx))):
            seam.evict(ctx, 0, gone, cache)
        snapshot = decode(llama, ctx, [5], N)
    with context(arch, flash=flash) as (llama, ctx):
        decode(llama, ctx, prompt())
        random_beta(ctx, 4)
        for cache in range(len(native.caches(ctx))):
            seam.evict(ctx, 0, gone, cache)
            moved = 0
            while step := seam.defragment(ctx, 7, cache):
                moved += step
            assert moved
            cells = native.cell_map(ctx, cache)
            assert cells.highest == cells.used == N - 70
            assert sorted(cells.pos[:50].tolist()) == sorted(set(range(N)) - set(gone.tolist()))
        again = decode(llama, ctx, [5], N)
    assert distance(again, snapshot) < 5e-3 * float(np.abs(snapshot).max())


def test_shared_and_last_cells_are_not_evicted() -> None:
    with context("qwen3") as (llama, ctx):
        decode(llama, ctx, prompt())
        with pytest.raises(native.NativeError, match="last cell"):
            seam.evict(ctx, 0, [5, N - 1])
        llama.llama_memory_seq_cp(llama.llama_get_memory(ctx), 0, 1, 0, 50)
        with pytest.raises(native.NativeError, match="alone"):
            seam.evict(ctx, 0, [60, 49])
        assert native.cell_map(ctx).used == N  # nothing was freed


@pytest.mark.parametrize("flash", [True, False])
def test_queries_are_a_ring_of_the_newest(flash: bool) -> None:
    with context("qwen3", flash=flash) as (llama, ctx):
        seam.track_queries(ctx, 0, 100)
        decode(llama, ctx, prompt())
        layers = seam.layers(ctx, native.caches(ctx)[0].n_layers)
        pos, all_rows = seam.queries(ctx, 1, layers[1], 0)
        assert pos.tolist() == list(range(N - 100, N))
        decode(llama, ctx, [5], N)
        decode(llama, ctx, [5], 0, slot=1)  # not tracked
        pos, rows = seam.queries(ctx, 1, layers[1], 0)
        assert pos.tolist() == list(range(N - 99, N + 1))
        np.testing.assert_array_equal(rows[:-1], all_rows[1:])
        assert seam.count_queries(ctx, 0, N - 3) == 4
        seam.forget_queries(ctx, 0, N)
        assert seam.count_queries(ctx, 0) == 99
        seam.track_queries(ctx, 0, 0)
        with pytest.raises(native.NativeError, match="not tracked"):
            seam.queries(ctx, 1, layers[1], 0)


def test_tracking_changes_no_logits() -> None:
    with context("qwen3moe") as (llama, ctx):
        decode(llama, ctx, prompt())
        plain = decode(llama, ctx, [5], N)
    with context("qwen3moe") as (llama, ctx):
        seam.track_queries(ctx, 0, 64)
        decode(llama, ctx, prompt())
        np.testing.assert_array_equal(decode(llama, ctx, [5], N), plain)
