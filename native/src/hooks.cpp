// The wrapped upstream symbols, each with a counter that proves it is reached.
#include <atomic>
#include <type_traits>

#include "internal.h"

#include "llama-graph.h"
#include "llama-model.h"

namespace {

std::atomic<int64_t> g_build_graph{0};

struct entry {
    const char *           name;
    const char *           symbol;
    std::atomic<int64_t> * reached;
};

constexpr const char * BUILD_GRAPH = "_ZNK11llama_model11build_graphERK16llm_graph_params";

const entry ENTRIES[] = {
    { "build_graph", BUILD_GRAPH, &g_build_graph },
};

// The linker compares names, not types: a changed signature must fail here, at compile time.
static_assert(std::is_same_v<decltype(&llama_model::build_graph),
                             ggml_cgraph * (llama_model::*) (const llm_graph_params &) const>,
              "llama_model::build_graph changed its signature: adapt the wrapper");

} // namespace

extern "C" {

ggml_cgraph * __real__ZNK11llama_model11build_graphERK16llm_graph_params(const llama_model *, const llm_graph_params &);
ggml_cgraph * __wrap__ZNK11llama_model11build_graphERK16llm_graph_params(const llama_model *      self,
                                                                         const llm_graph_params & params);

ggml_cgraph * __wrap__ZNK11llama_model11build_graphERK16llm_graph_params(const llama_model *      self,
                                                                         const llm_graph_params & params) {
    g_build_graph.fetch_add(1, std::memory_order_relaxed);
    return __real__ZNK11llama_model11build_graphERK16llm_graph_params(self, params);
}

int32_t halo_hooks(halo_hook * out, int32_t capacity) {
    constexpr int32_t n = (int32_t) (sizeof(ENTRIES) / sizeof(ENTRIES[0]));
    for (int32_t i = 0; out && i < n && i < capacity; ++i) {
        out[i] = { ENTRIES[i].name, ENTRIES[i].symbol, ENTRIES[i].reached->load(std::memory_order_relaxed) };
    }
    return n;
}

} // extern "C"
