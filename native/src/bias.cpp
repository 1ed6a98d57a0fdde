// The bias of cells: kept on the host, mirrored into one leaf tensor a layer, gone with the cell.
#include <algorithm>
#include <cmath>

#include "internal.h"

#include "llama-context.h"
#include "llama-kv-cache.h"
#include "llama-model.h"

namespace {

// Copies cells [from, to) of one stream from the host to the layer's leaf.
void push(const halo::layer_state & layer, uint32_t stream, uint32_t from, uint32_t to) {
    const uint32_t n_cells = layer.cache->kv->get_size();
    ggml_tensor *  t       = layer.bias;
    std::vector<ggml_fp16_t> half(to - from);
    for (int32_t h = 0; h < layer.n_head_kv; ++h) {
        const float * row    = &layer.beta[((size_t) stream * layer.n_head_kv + h) * n_cells + from];
        const size_t  offset = stream * t->nb[2] + h * t->nb[1] + from * t->nb[0];
        if (t->type == GGML_TYPE_F16) {
            ggml_fp32_to_fp16_row(row, half.data(), to - from);
            ggml_backend_tensor_set(t, half.data(), offset, half.size() * sizeof(ggml_fp16_t));
        } else {
            ggml_backend_tensor_set(t, row, offset, (to - from) * sizeof(float));
        }
    }
}

float & beta_at(halo::layer_state & layer, uint32_t at, int32_t head) {
    const uint32_t n_cells = layer.cache->kv->get_size();
    return layer.beta[((size_t) (at / n_cells) * layer.n_head_kv + head) * n_cells + at % n_cells];
}

void make_biases(halo::context_state & state, halo::cache_state & cache) {
    const int64_t n_cells = cache.kv->get_size(), n_streams = cache.kv->get_n_stream();
    cache.biased.resize(n_cells * n_streams);
    for (auto & layer : cache.layers) {
        if (layer.bias) {
            continue;
        }
        // The mask's type: flash attention takes F16, the softmax F32.
        const auto type = state.ctx->cparams.flash_attn ? GGML_TYPE_F16 : GGML_TYPE_F32;
        layer.beta.assign(n_cells * n_streams * layer.n_head_kv, 0.0f);
        layer.bias = halo::make_leaf(state, layer.k, type, n_cells, layer.n_head_kv, n_streams, "halo_bias");
    }
}

// Graphs with and without bias differ; the first and the last bias switch.
void switch_bias(halo::context_state & state) {
    bool any = false;
    for (const auto & cache : state.caches) {
        any = any || !cache->biased_list.empty();
    }
    if (any != state.bias_on) {
        state.bias_on = any;
        ++state.epoch;
    }
}

} // namespace

namespace halo {

void clear_bias(cache_state & cache, uint32_t at) {
    if (cache.biased.empty() || !cache.biased[at]) {
        return;
    }
    cache.biased[at] = 0;
    cache.biased_list.erase(std::find(cache.biased_list.begin(), cache.biased_list.end(), at));
    const uint32_t n_cells = cache.kv->get_size();
    for (auto & layer : cache.layers) {
        for (int32_t h = 0; h < layer.n_head_kv; ++h) {
            beta_at(layer, at, h) = 0.0f;
        }
        push(layer, at / n_cells, at % n_cells, at % n_cells + 1);
    }
}

void clear_stale(context_state & state, cache_state & cache, const std::vector<uint32_t> & taken) {
    const uint32_t n_cells = cache.kv->get_size();
    std::vector<uint32_t> stale;
    for (const auto at : cache.biased_list) {
        if (cache.kv->v_cells[at / n_cells].is_empty(at % n_cells)) {
            stale.push_back(at);
        }
    }
    for (const auto at : taken) {
        if (at < cache.biased.size() && cache.biased[at]) {
            stale.push_back(at);
        }
    }
    if (stale.empty()) {
        return;
    }
    // On a GPU the step before may be computing still, and reads these leaves.
    ggml_backend_sched_synchronize(state.ctx->get_sched());
    for (const auto at : stale) {
        cache.biased[at] = 0;
    }
    cache.biased_list.erase(std::remove_if(cache.biased_list.begin(), cache.biased_list.end(),
                                           [&](uint32_t at) { return !cache.biased[at]; }),
                            cache.biased_list.end());
    const auto [lowest, highest] = std::minmax_element(stale.begin(), stale.end());
    for (auto & layer : cache.layers) {
        for (const auto at : stale) {
            for (int32_t h = 0; h < layer.n_head_kv; ++h) {
                beta_at(layer, at, h) = 0.0f;
            }
        }
        for (uint32_t stream = *lowest / n_cells; stream <= *highest / n_cells; ++stream) {
            const uint32_t from = stream == *lowest / n_cells ? *lowest % n_cells : 0;
            const uint32_t to   = stream == *highest / n_cells ? *highest % n_cells + 1 : n_cells;
            push(layer, stream, from, to);
        }
    }
}

void move_bias(cache_state & cache, uint32_t from, uint32_t to) {
    if (cache.biased.empty()) {
        return;
    }
    clear_bias(cache, to); // a free cell may be stale still
    if (!cache.biased[from]) {
        return;
    }
    std::replace(cache.biased_list.begin(), cache.biased_list.end(), from, to);
    std::swap(cache.biased[from], cache.biased[to]);
    const uint32_t n_cells = cache.kv->get_size();
    for (auto & layer : cache.layers) {
        for (int32_t h = 0; h < layer.n_head_kv; ++h) {
            std::swap(beta_at(layer, from, h), beta_at(layer, to, h));
        }
        push(layer, from / n_cells, from % n_cells, from % n_cells + 1);
        push(layer, to / n_cells, to % n_cells, to % n_cells + 1);
    }
}

} // namespace halo

extern "C" {

halo_status halo_bias_set(llama_context * ctx, int32_t cache, int32_t i, int32_t stream, const int32_t * cells, int32_t n,
                          const float * beta) {
    return halo::guarded([&] {
        halo_status status = HALO_OK;
        auto * layer = halo::pick_layer(ctx, cache, i, &status);
        if (!layer) {
            return status;
        }
        auto & owner   = *layer->cache;
        const int32_t n_cells = (int32_t) owner.kv->get_size(), n_streams = (int32_t) owner.kv->get_n_stream();
        if (stream < 0 || stream >= n_streams || n < 0 || (n && (!cells || !beta))) {
            return halo::fail(HALO_ERR_ARGUMENT, "no such stream, or no cells or biases given");
        }
        if (ctx->model.hparams.f_max_alibi_bias > 0.0f) {
            return halo::fail(HALO_ERR_UNSUPPORTED, "this model uses ALiBi, which would multiply the bias by a slope");
        }
        if (ctx->model.hparams.is_mla() || !layer->v) {
            return halo::fail(HALO_ERR_UNSUPPORTED, "this model's cache is compressed already (MLA)");
        }
        for (int32_t c = 0; c < n; ++c) {
            if (cells[c] < 0 || cells[c] >= n_cells) {
                return halo::fail(HALO_ERR_ARGUMENT, "cell " + std::to_string(cells[c]) + " does not exist");
            }
            for (int32_t h = 0; h < layer->n_head_kv; ++h) {
                if (const float b = beta[(size_t) h * n + c]; std::isnan(b) || b > 60000.0f) {
                    return halo::fail(HALO_ERR_ARGUMENT, "a bias is not a number, or too large");
                }
            }
        }
        if (!n) {
            return HALO_OK; // asked whether biases can be used at all
        }
        auto & state = *halo::find(ctx);
        llama_synchronize(ctx);
        make_biases(state, owner);
        int32_t lowest = n_cells, highest = -1;
        for (int32_t c = 0; c < n; ++c) {
            const auto at = (uint32_t) (stream * n_cells + cells[c]);
            lowest  = std::min(lowest, cells[c]);
            highest = std::max(highest, cells[c]);
            for (int32_t h = 0; h < layer->n_head_kv; ++h) {
                beta_at(*layer, at, h) = beta[(size_t) h * n + c];
            }
            bool any = false;
            for (auto & other : owner.layers) {
                for (int32_t h = 0; !any && h < other.n_head_kv; ++h) {
                    any = beta_at(other, at, h) != 0.0f;
                }
            }
            if (any && !owner.biased[at]) {
                owner.biased_list.push_back(at);
            } else if (!any && owner.biased[at]) {
                owner.biased_list.erase(std::find(owner.biased_list.begin(), owner.biased_list.end(), at));
            }
            owner.biased[at] = any;
        }
        if (highest >= 0) {
            push(*layer, (uint32_t) stream, (uint32_t) lowest, (uint32_t) highest + 1);
        }
        switch_bias(state);
        return HALO_OK;
    });
}

halo_status halo_bias_get(const llama_context * ctx, int32_t cache, int32_t i, int32_t stream, const int32_t * cells,
                          int32_t n, float * beta) {
    return halo::guarded([&] {
        halo_status status = HALO_OK;
        auto * layer = halo::pick_layer(ctx, cache, i, &status);
        if (!layer) {
            return status;
        }
        const int32_t n_cells = (int32_t) layer->cache->kv->get_size();
        if (stream < 0 || stream >= (int32_t) layer->cache->kv->get_n_stream() || n < 0 || (n && (!cells || !beta))) {
            return halo::fail(HALO_ERR_ARGUMENT, "no such stream, or no room for the biases given");
        }
        for (int32_t c = 0; c < n; ++c) {
            if (cells[c] < 0 || cells[c] >= n_cells) {
                return halo::fail(HALO_ERR_ARGUMENT, "cell " + std::to_string(cells[c]) + " does not exist");
            }
            // A freed cell counts as unbiased at once; its leaf is cleared before the next step.
            const bool empty = layer->cache->kv->v_cells[stream].is_empty(cells[c]);
            for (int32_t h = 0; h < layer->n_head_kv; ++h) {
                beta[(size_t) h * n + c] = layer->bias && !empty ? beta_at(*layer, (uint32_t) (stream * n_cells + cells[c]), h) : 0.0f;
            }
        }
        return HALO_OK;
    });
}

int32_t halo_bias_count(const llama_context * ctx, int32_t cache) {
    const auto * state = halo::find(ctx);
    if (!state) {
        return ctx ? HALO_ERR_NOT_ATTACHED : HALO_ERR_ARGUMENT;
    }
    int32_t n = 0;
    for (size_t c = 0; c < state->caches.size(); ++c) {
        if (cache >= 0 && (int32_t) c != cache) {
            continue;
        }
        const auto & owner = *state->caches[c];
        for (const auto at : owner.biased_list) {
            n += !owner.kv->v_cells[at / owner.kv->get_size()].is_empty(at % owner.kv->get_size());
        }
    }
    return n;
}

halo_status halo_bias_mode(llama_context * ctx, int32_t mode) {
    auto * state = halo::find(ctx);
    if (!state) {
        return ctx ? HALO_ERR_NOT_ATTACHED : HALO_ERR_ARGUMENT;
    }
    if (mode < 0 || mode > 2) {
        return halo::fail(HALO_ERR_ARGUMENT, "the mode is 0, 1 or 2");
    }
    state->bias_mode = mode;
    ++state->epoch;
    return HALO_OK;
}

} // extern "C"
