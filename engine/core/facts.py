"""What `Ready` says: model, context and build, as the loaded library reports them."""

from __future__ import annotations

import ctypes
import os
from typing import Any

from engine import native
from engine.auto.rules import Decision
from engine.config import EngineConfig
from engine.core import llama, remote
from engine.core.language import Language
from engine.core.model import Model
from engine.core.runner import Context
from engine.protocol import PROTOCOL_VERSION, Ready


def ready_event(
    model: Model,
    context: Context,
    config: EngineConfig,
    load_seconds: float,
    decision: Decision,
    language: Language,
) -> Ready:
    """Describe what was loaded."""
    api = llama.load()
    build = native.build_info()
    devices = _devices(api)
    return Ready(
        protocol=PROTOCOL_VERSION,
        pid=os.getpid(),
        model=model.name,
        path=str(model.path),
        architecture=model.header.architecture,
        parameters=int(api.llama_model_n_params(model.pointer)),
        model_bytes=int(api.llama_model_size(model.pointer)),
        n_ctx=context.n_ctx,
        n_ctx_train=model.n_ctx_train,
        n_seq_max=context.n_seq_max,
        n_vocab=model.n_vocab,
        n_layer=int(api.llama_model_n_layer(model.pointer)),
        kv_bytes_per_cell=model.kv_bytes_per_cell,
        backend=_backend(api, config),
        devices=devices,
        type_k=config.type_k,
        type_v=config.type_v,
        flash_attention=config.flash_attention != "off",
        threads=context.threads,
        build=f"halo-native {build['version']}, llama-cpp-python {build['llama_cpp']}",
        hooks=native.hooks(experts=model.n_expert > 0),
        load_seconds=load_seconds,
        n_expert=model.n_expert,
        chosen=decision.chosen,
        hints=decision.hints,
        call_format=language.calls.name,
        knows_tools=language.knows_tools,
    )


def _backend(api: Any, config: EngineConfig) -> str:
    """The ggml backend that does the work, in lower case: cpu, vulkan, hip, cuda, ...; rpc for
    layers on workers, vulkan+rpc where the GPU of this machine takes part. A backend that was
    built in but finds no device does none."""
    if config.gpu_layers == 0:
        return "cpu"
    local = native.gpu_backends()[:1] if remote.local_gpus(api) else ()
    parts = [*local, *(["rpc"] if config.rpc else [])]
    return "+".join(parts) or "cpu"


def _devices(api: Any) -> tuple[str, ...]:
    """Descriptions of the devices ggml found, of workers "RPC host:port"; its symbols are
    reachable through libllama."""
    library = remote.declare(api._lib)
    library.ggml_backend_dev_description.restype = ctypes.c_char_p
    library.ggml_backend_dev_description.argtypes = [ctypes.c_void_p]
    found = []
    for index in range(library.ggml_backend_dev_count()):
        device = library.ggml_backend_dev_get(index)
        raw = library.ggml_backend_dev_description(device)
        text = raw.decode("utf-8", "replace").strip() if raw else ""
        found.append(f"{remote.NAME} {text}" if remote.is_remote(library, device) else text)
    return tuple(found)
