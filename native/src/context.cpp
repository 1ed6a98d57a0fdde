// Which contexts halo knows, and where their attention caches are.
#include <memory>
#include <mutex>
#include <unordered_map>

#include "internal.h"

#include "llama-context.h"
#include "llama-kv-cache-iswa.h"
#include "llama-kv-cache.h"
#include "llama-memory-hybrid-iswa.h"
#include "llama-memory-hybrid.h"
#include "llama-memory-recurrent.h"

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

context_state * find(const llama_context * ctx) {
    if (!ctx) {
        fail(HALO_ERR_ARGUMENT, "the context is NULL");
        return nullptr;
    }
    const std::lock_guard<std::mutex> lock(g_mutex);
    const auto it = g_states.find(&ctx->cross);
    if (it == g_states.end()) {
        fail(HALO_ERR_NOT_ATTACHED, "halo_attach() was not called on this context");
        return nullptr;
    }
    return it->second.get();
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
        state->caches = attention_caches(ctx->memory.get());
        if (state->caches.empty()) {
            return halo::fail(HALO_ERR_UNSUPPORTED, unsupported(ctx->memory.get()));
        }
        const std::lock_guard<std::mutex> lock(g_mutex);
        // Replaces: a context freed without halo_detach() may have left its address behind.
        g_states.insert_or_assign(&ctx->cross, std::move(state));
        return HALO_OK;
    });
}

void halo_detach(llama_context * ctx) {
    if (ctx) {
        const std::lock_guard<std::mutex> lock(g_mutex);
        g_states.erase(&ctx->cross);
    }
}

} // extern "C"
