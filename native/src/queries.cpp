// The newest queries of tracked sequences, copied out of the graph between two ubatches.
#include <algorithm>

#include "internal.h"

#include "llama-batch.h"
#include "llama-context.h"

namespace {

halo::query_ring * ring_of(const llama_context * ctx, int32_t seq, halo_status * status) {
    auto * state = halo::find(ctx);
    if (!state) {
        *status = ctx ? HALO_ERR_NOT_ATTACHED : HALO_ERR_ARGUMENT;
        return nullptr;
    }
    halo::fetch_queries(*state);
    const auto it = state->rings.find(seq);
    if (it == state->rings.end()) {
        *status = halo::fail(HALO_ERR_ARGUMENT, "sequence " + std::to_string(seq) + " is not tracked");
        return nullptr;
    }
    return &it->second;
}

} // namespace

namespace halo {

void plan_queries(context_state & state, const llama_ubatch & ubatch) {
    // What a later token of this ubatch would overwrite is not fetched at all.
    std::unordered_map<int32_t, int32_t> seen;
    for (int32_t row = (int32_t) ubatch.n_tokens - 1; row >= 0; --row) {
        for (int32_t s = 0; s < ubatch.n_seq_id[row]; ++s) {
            const int32_t seq = ubatch.seq_id[row][s];
            const auto    it  = state.rings.find(seq);
            if (it != state.rings.end() && seen[seq]++ < it->second.capacity) {
                state.harvest.push_back({ row, seq, ubatch.pos[row] });
            }
        }
    }
    std::reverse(state.harvest.begin(), state.harvest.end());
}

void fetch_queries(context_state & state) {
    if (state.harvest.empty()) {
        return;
    }
    ggml_backend_sched_synchronize(state.ctx->get_sched());
    std::vector<float> rows;
    auto & layers = state.caches[0]->layers;
    const int32_t last = std::max_element(state.harvest.begin(), state.harvest.end(),
                                          [](const auto & a, const auto & b) { return a.row < b.row; })->row;
    for (size_t i = 0; i < layers.size(); ++i) {
        const auto & layer = layers[i];
        if (!layer.captured || !layer.queries) {
            continue;
        }
        const size_t width = (size_t) layer.n_head * layer.d_k;
        rows.resize((size_t) (last + 1) * width);
        ggml_backend_tensor_get(layer.queries, rows.data(), 0, rows.size() * sizeof(float));
        std::unordered_map<int32_t, int64_t> nth;
        for (const auto & p : state.harvest) {
            auto &        ring = state.rings[p.seq];
            const int64_t at   = (ring.written + nth[p.seq]++) % ring.capacity;
            ring.rows[i].resize((size_t) ring.capacity * width);
            std::copy_n(&rows[(size_t) p.row * width], width, &ring.rows[i][(size_t) at * width]);
        }
    }
    for (const auto & p : state.harvest) {
        auto & ring = state.rings[p.seq];
        ring.pos[ring.written++ % ring.capacity] = p.pos;
    }
    state.harvest.clear();
}

} // namespace halo

extern "C" {

halo_status halo_queries_track(llama_context * ctx, int32_t seq, int32_t capacity) {
    return halo::guarded([&] {
        auto * state = halo::find(ctx);
        if (!state) {
            return ctx ? HALO_ERR_NOT_ATTACHED : HALO_ERR_ARGUMENT;
        }
        if (capacity < 0 || seq < 0) {
            return halo::fail(HALO_ERR_ARGUMENT, "the sequence or the capacity is negative");
        }
        halo::fetch_queries(*state);
        const bool before = !state->rings.empty();
        state->rings.erase(seq);
        if (capacity) {
            auto & ring = state->rings[seq];
            ring.capacity = capacity;
            ring.pos.assign(capacity, -1);
            ring.rows.resize(state->caches[0]->layers.size());
        }
        if (before == state->rings.empty()) {
            ++state->epoch; // graphs with and without copies differ
        }
        return HALO_OK;
    });
}

int32_t halo_queries_count(llama_context * ctx, int32_t seq, int32_t from) {
    return halo::guarded([&]() -> int32_t {
        halo_status status = HALO_OK;
        const auto * ring = ring_of(ctx, seq, &status);
        if (!ring) {
            return status;
        }
        return (int32_t) std::count_if(ring->pos.begin(), ring->pos.end(),
                                       [&](int32_t pos) { return pos >= 0 && pos >= from; });
    });
}

int32_t halo_queries_read(llama_context * ctx, int32_t i, int32_t seq, int32_t from, int32_t * pos, float * queries,
                          int32_t capacity) {
    return halo::guarded([&]() -> int32_t {
        halo_status status = HALO_OK;
        const auto * ring = ring_of(ctx, seq, &status);
        if (!ring) {
            return status;
        }
        const auto * layer = halo::pick_layer(ctx, 0, i, &status);
        if (!layer) {
            return status;
        }
        const size_t width = (size_t) layer->n_head * layer->d_k;
        if (queries && ring->rows[i].empty() && ring->written) {
            return halo::fail(HALO_ERR_UNSUPPORTED, "layer " + std::to_string(layer->il) + " computes no queries of its own");
        }
        int32_t n = 0;
        for (int64_t t = std::max<int64_t>(0, ring->written - ring->capacity); t < ring->written && n < capacity; ++t) {
            const size_t at = (size_t) (t % ring->capacity);
            if (ring->pos[at] < 0 || ring->pos[at] < from) {
                continue;
            }
            if (pos) {
                pos[n] = ring->pos[at];
            }
            if (queries) {
                std::copy_n(&ring->rows[i][at * width], width, queries + (size_t) n * width);
            }
            ++n;
        }
        return n;
    });
}

halo_status halo_queries_forget(llama_context * ctx, int32_t seq, int32_t p0) {
    return halo::guarded([&] {
        halo_status status = HALO_OK;
        auto * ring = ring_of(ctx, seq, &status);
        if (!ring) {
            return status;
        }
        for (auto & pos : ring->pos) {
            pos = pos >= p0 ? -1 : pos;
        }
        return HALO_OK;
    });
}

} // extern "C"
