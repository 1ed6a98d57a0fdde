"""Bare llama.cpp contexts of tiny models, with the seam attached."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from engine import native
from tests.support import mkgguf


@contextmanager
def attached(arch: str, **settings: Any) -> Iterator[tuple[Any, Any]]:
    """llama_cpp and a context; `settings` are fields of llama_context_params."""
    llama = native.load()
    model = llama.llama_model_load_from_file(
        str(mkgguf.tiny(arch)).encode(), llama.llama_model_default_params()
    )
    params = llama.llama_context_default_params()
    # llama.cpp aborts when n_batch is below n_seq_max.
    params.n_batch = params.n_ubatch = max(128, settings.get("n_seq_max", 1))
    for name, value in settings.items():
        setattr(params, name, value)
    ctx = llama.llama_init_from_model(model, params)
    assert ctx
    try:
        native.attach(ctx)
        yield llama, ctx
    finally:
        native.detach(ctx)
        llama.llama_free(ctx)
        llama.llama_model_free(model)
