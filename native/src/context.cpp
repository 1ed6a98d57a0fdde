// Which contexts halo knows, and where their attention caches are.
#include <memory>
#include <mutex>
#include <stdexcept>
#include <unordered_map>

#include "internal.h"

#include "llama-context.h"
#include "llama-kv-cache-iswa.h"
#include "llama-kv-cache.h"
#include "llama-memory-hybrid-iswa.h"
#include "llama-memory-hybrid.h"
#include "llama-memory-recurrent.h"
#include "llama-model.h"

namespace {

thread_local std::string g_error;

// Keyed by the address of the context's cross-attention state: it lives exactly as long as the
// context, and graph building sees it too (llm_graph_params::cross), unlike the scheduler, which
// llama.cpp re-creates.
std::unordered_map<const llama_cross *, std::unique_ptr<halo::context_state>> g_states;
std::mutex g_mutex;

std::vector<llama_kv_cache *> attention_caches(llama_memory_i * memory) {
    if (auto * kv = dynamic_cast<llama_kv_cache *>(memory)) {
        return { kv };
    }
    if (auto * kv = dynamic_cast<llama_kv_cache_iswa *>(memory)) {
        return { kv->get_base(), kv->get_swa() };
    }
    if (auto * hybrid = dynamic_cast<llama_memory_hybrid_iswa *>(memory)) {
        return { hybrid->get_mem_attn()->get_base(), hybrid->get_mem_attn()->get_swa() };
    }
    if (auto * hybrid = dynamic_cast<llama_memory_hybrid *>(memory)) {
        return { hybrid->get_mem_attn() };
    }
    return {};
}

std::unique_ptr<halo::cache_state> describe(llama_kv_cache * kv, const llama_model & model) {
    auto cache = std::make_unique<halo::cache_state>();
    cache->kv  = kv;
    for (const auto & stored : kv->layers) {
        const uint32_t il = stored.il;
        halo::layer_state layer;
        layer.cache     = cache.get();
        layer.il        = (int32_t) il;
        layer.n_head    = (int32_t) model.hparams.n_head(il);
        layer.n_head_kv = (int32_t) model.hparams.n_head_kv(il);
        layer.d_k       = (int32_t) model.hparams.n_embd_head_k(il);
        layer.d_v       = (int32_t) model.hparams.n_embd_head_v(il);
        layer.sinks     = il < model.layers.size() && model.layers[il].attn_sinks;
        layer.k         = stored.k;
        layer.v         = stored.v;
        cache->layers.push_back(layer);
    }
    return cache;
}

std::string unsupported(llama_memory_i * memory) {
    if (!memory) {
        return "this model keeps no memory between tokens, so it has no cells";
    }
    if (dynamic_cast<llama_memory_recurrent *>(memory)) {
        return "this model is purely recurrent: its memory is one state per sequence, not cells";
    }
    return "this model's memory is of a kind whose cells halo cannot read";
}

} // namespace

namespace halo {

halo_status fail(halo_status code, std::string message) {
    g_error = std::move(message);
    return code;
}

context_state * find(const llama_cross * cross) {
    const std::lock_guard<std::mutex> lock(g_mutex);
    const auto it = g_states.find(cross);
    return it == g_states.end() ? nullptr : it->second.get();
}

context_state * find(const llama_context * ctx) {
    if (!ctx) {
        fail(HALO_ERR_ARGUMENT, "the context is NULL");
        return nullptr;
    }
    auto * state = find(&ctx->cross);
    if (!state) {
        fail(HALO_ERR_NOT_ATTACHED, "halo_attach() was not called on this context");
    }
    return state;
}

cache_state * pick_cache(const llama_context * ctx, int32_t cache, halo_status * status) {
    auto * state = find(ctx);
    if (!state) {
        *status = ctx ? HALO_ERR_NOT_ATTACHED : HALO_ERR_ARGUMENT;
        return nullptr;
    }
    if (cache < 0 || cache >= (int32_t) state->caches.size()) {
        *status = fail(HALO_ERR_ARGUMENT, "cache " + std::to_string(cache) + " is not one of the context's " +
                                              std::to_string(state->caches.size()));
        return nullptr;
    }
    return state->caches[cache].get();
}

layer_state * pick_layer(const llama_context * ctx, int32_t cache, int32_t i, halo_status * status) {
    auto * owner = pick_cache(ctx, cache, status);
    if (owner && (i < 0 || i >= (int32_t) owner->layers.size())) {
        *status = fail(HALO_ERR_ARGUMENT, "layer " + std::to_string(i) + " is not one of the cache's " +
                                              std::to_string(owner->layers.size()));
        return nullptr;
    }
    return owner ? &owner->layers[i] : nullptr;
}

ggml_tensor * make_leaf(context_state & state, const ggml_tensor * like, ggml_type type, int64_t a, int64_t b, int64_t c,
                        const char * name) {
    ggml_init_params params = { ggml_tensor_overhead(), nullptr, true };
    ggml_context_ptr context(ggml_init(params));
    ggml_tensor * leaf = ggml_new_tensor_3d(context.get(), type, a, b, c);
    ggml_set_name(leaf, name);
    ggml_backend_buffer_ptr buffer(
        ggml_backend_alloc_ctx_tensors_from_buft(context.get(), ggml_backend_buffer_get_type(like->buffer)));
    if (!buffer) {
        throw std::runtime_error("no device memory for " + std::to_string(ggml_nbytes(leaf)) + " bytes (" + name + ")");
    }
    ggml_backend_buffer_clear(buffer.get(), 0);
    state.buffers.emplace_back(std::move(context), std::move(buffer));
    return leaf;
}

} // namespace halo

extern "C" {

const char * halo_last_error(void) {
    return g_error.c_str();
}

halo_status halo_attach(llama_context * ctx) {
    return halo::guarded([&] {
        if (!ctx) {
            return halo::fail(HALO_ERR_ARGUMENT, "the context is NULL");
        }
        auto state = std::make_unique<halo::context_state>();
        state->ctx = ctx;
        for (auto * kv : attention_caches(ctx->memory.get())) {
            state->caches.push_back(describe(kv, ctx->model));
        }
        if (state->caches.empty()) {
            return halo::fail(HALO_ERR_UNSUPPORTED, unsupported(ctx->memory.get()));
        }
        for (auto & cache : state->caches) {
            for (auto & layer : cache->layers) {
                state->by_k[layer.k] = &layer;
            }
        }
        // The graph built before now does not know us; on a device it may be computing still, with the
        // leaves of an earlier attachment.
        llama_synchronize(ctx);
        ctx->gf_res_prev_active = nullptr;
        const std::lock_guard<std::mutex> lock(g_mutex);
        // Replaces: a context freed without halo_detach() may have left its address behind.
        g_states.insert_or_assign(&ctx->cross, std::move(state));
        return HALO_OK;
    });
}

void halo_detach(llama_context * ctx) {
    if (ctx) {
        // A graph that is kept for reuse refers to our leaves and to the state, one that a device is
        // computing still reads and writes them.
        llama_synchronize(ctx);
        ctx->gf_res_prev_active = nullptr;
        const std::lock_guard<std::mutex> lock(g_mutex);
        g_states.erase(&ctx->cross);
    }
}

} // extern "C"
