"""The peers of the throughput bench, each in a process of its own: `python -m engine.bench.contender`.

Reads one JSON object from standard input and prints one: `ceiling` is the bare batched loop in
C++, `sequential` is `llama_cpp.Llama` serving one prompt after the other.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from engine import native

INTERRUPTED = 130  # how it ends after Ctrl-C


def ceiling(job: dict[str, Any]) -> dict[str, float]:
    """Aggregate decode tokens/s of the bare loop, and seconds to its first token."""
    llama = native.load()
    model = llama.llama_model_load_from_file(
        job["path"].encode(), llama.llama_model_default_params()
    )
    p = llama.llama_context_default_params()
    p.n_ctx, p.n_batch, p.n_ubatch = job["n_ctx"], job["n_batch"], job["n_ubatch"]
    p.n_seq_max, p.kv_unified = job["n_seq_max"], True
    p.n_threads = p.n_threads_batch = job["threads"]
    p.flash_attn_type = 1
    ctx = llama.llama_init_from_model(model, p)
    prompts = tokens_of(llama, model, job)
    native.bench_batched(ctx, prompts, 8)  # warm up
    result = native.bench_batched(ctx, prompts, job["tokens"])
    return {"tok_s": result.decoded_tokens / result.decode_seconds, "ttft": result.ttft_seconds}


def tokens_of(llama: Any, model: Any, job: dict[str, Any]) -> list[list[int]]:
    """The texts as tokens, each cut or repeated to the engine's own prompt length."""
    import ctypes

    vocab = llama.llama_model_get_vocab(model)
    prompts = []
    for text in job["texts"]:
        data = text.encode()
        out = (ctypes.c_int32 * (4 * len(data) + 16))()  # a blank is three byte tokens at worst
        n = llama.llama_tokenize(vocab, data, len(data), out, len(out), True, False)
        tokens = list(out[:n])
        if n <= 0:
            raise RuntimeError("the prompt could not be tokenised")
        prompts.append((tokens * (job["prompt_tokens"] // n + 1))[: job["prompt_tokens"]])
    return prompts


def sequential(job: dict[str, Any]) -> dict[str, float]:
    """Decode tokens/s over all agents served one after the other, and seconds to a first token."""
    native.load()
    import llama_cpp

    llm = llama_cpp.Llama(
        job["path"], n_ctx=job["n_ctx"], n_batch=job["n_batch"], n_ubatch=job["n_ubatch"],
        n_threads=job["threads"], n_threads_batch=job["threads"], flash_attn=True,
        n_gpu_layers=-1, verbose=False, logits_all=False,
    )  # fmt: skip
    prompts = tokens_of(llama_cpp.llama_cpp, llm._model.model, job)
    decode, first = 0.0, 0.0
    for prompt in prompts:
        llm.reset()
        start = time.perf_counter()
        begun = 0.0
        for i, _ in enumerate(llm.generate(prompt, temp=0.0, repeat_penalty=1.0)):
            if i == 0:
                begun = time.perf_counter()
                first = first or begun - start
            if i + 1 == job["tokens"]:
                break
        decode += time.perf_counter() - begun
    return {"tok_s": len(prompts) * (job["tokens"] - 1) / decode, "ttft": first}


if __name__ == "__main__":
    work = json.load(sys.stdin)
    try:
        print(json.dumps({"ceiling": ceiling, "sequential": sequential}[work["kind"]](work)))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
