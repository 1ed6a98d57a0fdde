// What halo's translation units share: errors, per-context state, the guard round the C ABI.
#pragma once

#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "halo.h"

#include "ggml-cpp.h"

class llama_kv_cache;
class llama_memory_context_i;
struct llama_context;
struct llama_ubatch;
struct llama_cross;
struct llm_graph_params;

namespace halo {

// Remembers the message and returns the code, so that callers can `return fail(...)`.
halo_status fail(halo_status code, std::string message);

// Runs a body that may throw; nothing crosses the C border.
template <typename F> auto guarded(F && body) -> decltype(body()) {
    try {
        return body();
    } catch (const std::exception & e) {
        return (decltype(body())) fail(HALO_ERR_INTERNAL, e.what());
    } catch (...) {
        return (decltype(body())) fail(HALO_ERR_INTERNAL, "an unknown C++ exception");
    }
}

struct cache_state;

// One layer of one attention cache.
struct layer_state {
    cache_state * cache = nullptr;
    int32_t       il = 0;
    int32_t       n_head = 0, n_head_kv = 0, d_k = 0, d_v = 0;
    bool          sinks = false;      // attention sinks: heads cannot become streams
    ggml_tensor * k = nullptr;        // storage [d_k * n_head_kv, n_cells, n_streams]
    ggml_tensor * v = nullptr;        // the same, or transposed without flash attention
    ggml_tensor * bias = nullptr;     // leaf [n_cells, n_head_kv, n_streams], F16 with flash attention else F32
    ggml_tensor * queries = nullptr;  // leaf [d_k, n_head, n_ubatch] F32
    std::vector<float> beta;          // the bias on the host, same order
    float scale = 0.0f, softcap = 0.0f, alibi = 0.0f;
    bool  captured = false;           // the last graph built copies this layer's queries
};

struct cache_state {
    llama_kv_cache *         kv = nullptr;
    std::vector<layer_state> layers;
    std::vector<uint8_t>     biased;       // [n_streams * n_cells]
    std::vector<uint32_t>    biased_list;  // indices into `biased` that are set
};

// The newest queries of one sequence, a ring over tokens.
struct query_ring {
    int32_t capacity = 0;
    int64_t written = 0;             // tokens ever
    std::vector<int32_t> pos;        // [capacity], -1 = forgotten
    std::vector<std::vector<float>> rows; // per layer [capacity * n_head * d_k]
};

// Leaves of the experts of all layers that live in buffers of one type.
struct expert_store {
    ggml_backend_buffer_type_t type = nullptr;
    ggml_tensor * bias   = nullptr; // F32 [n_expert + 2, n_layers]: biases, shared bonus, highest sum
    ggml_tensor * ids    = nullptr; // I32 [n_used, n_ubatch, n_layers]
    ggml_tensor * scores = nullptr; // F32 [n_expert, HALO_EXPERT_ROWS, n_layers], what selects, unbiased
    ggml_tensor * probs  = nullptr; // the same, what weighs
};

// Expert routing of one context.
struct expert_state {
    bool    bias_on = false;
    int32_t keep    = 0;
    int32_t capture = 0;             // 0 = nothing, 1 = ids, 2 = ids and scores
    bool    pending = false;         // the leaves hold ids that were not fetched
    std::vector<float>   bias;       // [n_layers, n_expert + 2] as set
    std::vector<int32_t> rows;       // [n_layers] tokens the last graph built routes, 0 = none
    std::vector<ggml_backend_buffer_type_t> where; // [n_layers] the store of each
    std::vector<std::vector<int32_t>> read;        // [n_layers] ids fetched and not read
    std::vector<expert_store> stores;
};

struct context_state {
    llama_context * ctx = nullptr;
    expert_state    experts;
    std::vector<std::unique_ptr<cache_state>> caches;
    std::unordered_map<const ggml_tensor *, layer_state *> by_k;
    std::vector<std::pair<ggml_context_ptr, ggml_backend_buffer_ptr>> buffers; // of the leaves
    uint64_t epoch = 1;              // counts what makes built graphs wrong
    bool     bias_on = false;
    int32_t  bias_mode = 0;
    std::unordered_map<int32_t, query_ring> rings; // by sequence
    struct planned { int32_t row, seq, pos; };
    std::vector<planned> harvest;    // what the leaves hold of the last ubatch
};

// nullptr when the context is not attached (the message is set).
context_state * find(const llama_context * ctx);
context_state * find(const llama_cross * cross); // without a message

// A cache and layer by index; nullptr with the message set and `status` filled.
cache_state * pick_cache(const llama_context * ctx, int32_t cache, halo_status * status);
layer_state * pick_layer(const llama_context * ctx, int32_t cache, int32_t i, halo_status * status);

// A tensor of its own buffer that lives as long as the context's state; zeroed.
ggml_tensor * make_leaf(context_state & state, const ggml_tensor * like, ggml_type type, int64_t a, int64_t b, int64_t c,
                        const char * name);

// bias.cpp: clears the biases of one cell (index within `biased`); of all freed cells and those `taken`.
void clear_bias(cache_state & cache, uint32_t at);
void clear_stale(context_state & state, cache_state & cache, const std::vector<uint32_t> & taken);
void move_bias(cache_state & cache, uint32_t from, uint32_t to);

// queries.cpp: plans which rows of this ubatch to keep; fetches what was planned before.
void plan_queries(context_state & state, const llama_ubatch & ubatch);
void fetch_queries(context_state & state);

// experts.cpp: a graph is about to be built, is about to be computed; fetches the ids of the last one.
void begin_experts(context_state & state);
void plan_experts(context_state & state);
void fetch_experts(context_state & state);

// attention.cpp: the context whose graph is being built on this thread.
struct building {
    building(context_state * state, const llm_graph_params * params);
    ~building();
    context_state *          saved_state;
    const llm_graph_params * saved_params;
};

// The context and the parameters of the graph being built on this thread; nullptr outside.
context_state *          building_state();
const llm_graph_params * building_params();

void count_hook(int which); // hooks.cpp

enum hook_id { HOOK_BUILD_GRAPH, HOOK_FLASH_ATTENTION, HOOK_SOFT_MAX, HOOK_SINKS, HOOK_N_KV_MAX, HOOK_PRECISION, HOOK_EXPERTS, HOOK_COUNT };

} // namespace halo
