"""Models on disk: listing, metadata, names; broken files are told, never loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import models, recommend
from engine.config import Config
from engine.core.preflight import read_header, read_tensor_table
from engine.errors import ModelError
from tests.support import mkgguf


@pytest.fixture
def config(tmp_path: Path) -> Config:
    config = Config()
    config.model.folders = [str(tmp_path)]
    config.model.hf_cache = False
    return config


def test_the_shipped_model_is_within_its_limits() -> None:
    info = models.info(models.MINI)
    assert info.architecture == "qwen3moe"
    assert info.bytes_on_disk <= 40_000_000
    assert (info.experts, info.experts_used) >= (16, 4)
    assert info.n_ctx_train == 8192
    assert info.n_head > info.n_head_kv
    assert info.chat_template


@pytest.mark.parametrize("arch", mkgguf.ARCHITECTURES)
def test_info_agrees_with_what_was_written(arch: str) -> None:
    shape = mkgguf.shape_of(arch)
    info = models.info(mkgguf.tiny(arch))
    assert (info.layers, info.n_embd, info.n_head) == (shape.layers, shape.embedding, shape.heads)
    assert (info.experts, info.sliding_window) == (shape.experts, shape.window)
    assert info.parameters > shape.vocabulary * shape.embedding


def test_listing_tells_broken_files_and_skips_projectors(config: Config, tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    data = mkgguf.tiny("llama").read_bytes()
    (deep / "good.gguf").write_bytes(data)
    (tmp_path / "cut.gguf").write_bytes(data[:500])
    (tmp_path / "mmproj-x.gguf").write_bytes(data)
    (tmp_path / "text.gguf").write_text("no")
    found = {f.name: f for f in models.list_models(config)}
    assert set(found) == {"halo-mini", "good", "cut", "text"}
    assert not found["good"].problem and not found["halo-mini"].problem
    assert "damaged" in found["cut"].problem
    assert "not a GGUF file" in found["text"].problem


def test_names_lead_to_files(config: Config, tmp_path: Path) -> None:
    path = tmp_path / "Small-Q8_0.gguf"
    path.write_bytes(mkgguf.tiny("llama").read_bytes())
    assert models.resolve("", config) == models.resolve("halo-mini", config) == models.MINI
    assert models.resolve("small-q8_0", config) == path
    assert models.resolve(str(path), config) == path
    with pytest.raises(ModelError, match="Did you mean Small-Q8_0"):
        models.resolve("smal-q8", config)


DATA = mkgguf.tiny("qwen3moe").read_bytes()


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 20_000), st.binary(min_size=1, max_size=8), st.booleans())
def test_damage_gives_a_sentence_or_is_harmless(at: int, patch: bytes, cut: bool) -> None:
    import tempfile

    data = DATA[:at] if cut else DATA[:at] + patch + DATA[at + len(patch) :]
    with tempfile.NamedTemporaryFile(suffix=".gguf") as file:
        file.write(data)
        file.flush()
        try:
            read_tensor_table(read_header(Path(file.name)))
        except ModelError as error:
            assert error.what.endswith(".") and error.remedy


def test_what_recommendations_are_good_for_fits_the_list() -> None:
    assert all(0 < len(entry.good_for) <= 30 for entry in recommend.TABLE)


def test_recommendations_fit_and_come_best_first() -> None:
    for gigabytes in (1, 8, 16, 32, 64, 96, 128):
        offers = recommend.recommend(gigabytes * 10**9)
        assert all(o.needs <= gigabytes * 10**9 for o in offers)
        assert [o.needs for o in offers] == sorted((o.needs for o in offers), reverse=True)
    assert recommend.recommend(10**9) == []
    assert recommend.recommend(128 * 10**9)[0].title.startswith("gpt-oss 120B")
