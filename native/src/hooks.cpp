// The wrapped upstream symbols, each with a counter that proves it is reached.
#include <atomic>
#include <type_traits>

#include "internal.h"

#include "ggml.h"
#include "llama-graph.h"
#include "llama-model.h"

namespace {

std::atomic<int64_t> g_calls[halo::HOOK_COUNT];

struct entry {
    const char * name;
    const char * symbol;
    int          ids[2]; // a context uses one of the two attentions
};

constexpr const char * BUILD_GRAPH = "_ZNK11llama_model11build_graphERK16llm_graph_params";

const entry ENTRIES[] = {
    { "build_graph", BUILD_GRAPH, { halo::HOOK_BUILD_GRAPH, halo::HOOK_BUILD_GRAPH } },
    { "attention", "ggml_flash_attn_ext, ggml_soft_max_ext", { halo::HOOK_FLASH_ATTENTION, halo::HOOK_SOFT_MAX } },
    { "experts", "ggml_argsort_top_k", { halo::HOOK_EXPERTS, halo::HOOK_EXPERTS } },
};

// The linker compares names, not types: a changed signature must fail here, at compile time.
static_assert(std::is_same_v<decltype(&llama_model::build_graph),
                             ggml_cgraph * (llama_model::*) (const llm_graph_params &) const>,
              "llama_model::build_graph changed its signature: adapt the wrapper");
static_assert(std::is_same_v<decltype(&ggml_flash_attn_ext),
                             ggml_tensor * (*) (ggml_context *, ggml_tensor *, ggml_tensor *, ggml_tensor *, ggml_tensor *,
                                                float, float, float)>,
              "ggml_flash_attn_ext changed its signature: adapt the wrapper");
static_assert(std::is_same_v<decltype(&ggml_soft_max_ext),
                             ggml_tensor * (*) (ggml_context *, ggml_tensor *, ggml_tensor *, float, float)>,
              "ggml_soft_max_ext changed its signature: adapt the wrapper");
static_assert(std::is_same_v<decltype(&ggml_argsort_top_k), ggml_tensor * (*) (ggml_context *, ggml_tensor *, int)>,
              "ggml_argsort_top_k changed its signature: adapt the wrapper");

} // namespace

namespace halo {

void count_hook(int which) {
    g_calls[which].fetch_add(1, std::memory_order_relaxed);
}

} // namespace halo

extern "C" {

ggml_cgraph * __real__ZNK11llama_model11build_graphERK16llm_graph_params(const llama_model *, const llm_graph_params &);
ggml_cgraph * __wrap__ZNK11llama_model11build_graphERK16llm_graph_params(const llama_model *      self,
                                                                         const llm_graph_params & params);

ggml_cgraph * __wrap__ZNK11llama_model11build_graphERK16llm_graph_params(const llama_model *      self,
                                                                         const llm_graph_params & params) {
    halo::count_hook(halo::HOOK_BUILD_GRAPH);
    auto * state = halo::find(params.cross);
    if (!state) {
        return __real__ZNK11llama_model11build_graphERK16llm_graph_params(self, params);
    }
    const halo::building scope(state, &params);
    return __real__ZNK11llama_model11build_graphERK16llm_graph_params(self, params);
}

int32_t halo_hooks(halo_hook * out, int32_t capacity) {
    constexpr int32_t n = (int32_t) (sizeof(ENTRIES) / sizeof(ENTRIES[0]));
    for (int32_t i = 0; out && i < n && i < capacity; ++i) {
        const auto & e = ENTRIES[i];
        int64_t reached = g_calls[e.ids[0]].load(std::memory_order_relaxed);
        if (e.ids[1] != e.ids[0]) {
            reached += g_calls[e.ids[1]].load(std::memory_order_relaxed);
        }
        out[i] = { e.name, e.symbol, reached };
    }
    return n;
}

} // extern "C"
