// What halo's translation units share: errors, per-context state, the guard round the C ABI.
#pragma once

#include <exception>
#include <string>
#include <vector>

#include "halo.h"

class llama_kv_cache;
struct llama_context;

namespace halo {

// Remembers the message and returns the code, so that callers can `return fail(...)`.
halo_status fail(halo_status code, std::string message);

// Runs a body that may throw; nothing crosses the C border.
template <typename F> halo_status guarded(F && body) {
    try {
        return body();
    } catch (const std::exception & e) {
        return fail(HALO_ERR_INTERNAL, e.what());
    } catch (...) {
        return fail(HALO_ERR_INTERNAL, "an unknown C++ exception");
    }
}

struct context_state {
    std::vector<llama_kv_cache *> caches; // borrowed from the context's memory
};

// nullptr when the context is not attached (the message is set).
context_state * find(const llama_context * ctx);

} // namespace halo
